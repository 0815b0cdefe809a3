"""The clients that `clients.py` compares, each runnable without llmtriage where it is not ours."""

from __future__ import annotations

from typing import NamedTuple


class Contestant(NamedTuple):
    """One row of the table.

    Attributes:
        title: What the row says.
        home: The module and the function that asks, as `module:function`.
        packages: Those whose versions are told.
        requirements: What its environment needs installed; empty: it runs in the environment of llmtriage. A name alone is
            installed in its newest version, `NAME==` in the version that stands beside llmtriage.
        fewer: It asks about one in so many of the tickets.
    """

    title: str
    home: str
    packages: tuple[str, ...]
    requirements: tuple[str, ...] = ()
    fewer: int = 1


_OURS = ("llmtriage", "openai", "httpx2")

CONTESTANTS = {
    "ours": Contestant("llmtriage, `Triage.aclassify_many`", "ours:triage", _OURS),
    "ours-backend": Contestant("llmtriage, `ChatBackend.predict` alone", "ours:backend", _OURS),
    "ours-identical": Contestant("llmtriage, all tickets identical", "ours:identical", _OURS),
    "ours-cache": Contestant("llmtriage, asked before (reply cache)", "ours:reply_cache", _OURS),
    "create": Contestant("`openai` `create` + pydantic", "sdk:create", ("openai", "httpx2", "pydantic")),
    "parse": Contestant("`openai` `parse`", "sdk:parse", ("openai", "httpx2", "pydantic")),
    "create-aiohttp": Contestant(
        "`openai` `create` over `DefaultAioHttpClient`",
        "sdk:create_over_aiohttp",
        ("openai", "aiohttp", "pydantic"),
        ("openai[aiohttp]==", "pydantic=="),
    ),
    "instructor": Contestant("instructor", "sdk:with_instructor", ("instructor", "openai", "pydantic"), ("instructor>=1.17",)),
    "scikit-llm": Contestant(
        "scikit-llm (its own prompt, threads)",
        "scikit_llm:ask",
        ("scikit-llm", "openai"),
        ("scikit-llm>=1.4", "openai<2"),
        fewer=10,
    ),
    "httpx2": Contestant("raw httpx2", "raw:over_httpx2", ("httpx2",)),
    "aiohttp": Contestant("raw aiohttp", "raw:over_aiohttp", ("aiohttp",), ("openai[aiohttp]==", "pydantic==")),
}
PARTS = Contestant("the parts of llmtriage alone", "ours:parts", _OURS)
