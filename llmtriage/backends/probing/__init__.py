"""What can this server do? Everything is asked, nothing is looked up: `probe` returns it as plain data.

Only fixed texts of our own are sent, never a ticket. Each probe takes a `Prober` and returns a part of `Capabilities`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from llmtriage.backends.probing.asking import Answer, Prober, cannot_work, read
from llmtriage.backends.probing.capabilities import Capabilities, Identity, JsonModes, LogProbs, Thinking, Window
from llmtriage.backends.probing.identity import identity, tokenizer
from llmtriage.backends.probing.json_modes import json_modes
from llmtriage.backends.probing.logprobs import logprobs
from llmtriage.backends.probing.thinking import thinking
from llmtriage.backends.probing.window import window
from llmtriage.errors import RefusedFieldError

if TYPE_CHECKING:
    from llmtriage.backends.dialect import Dialect
    from llmtriage.backends.transport import Transport
    from llmtriage.settings import BackendSettings

__all__ = ["Capabilities", "Identity", "JsonModes", "LogProbs", "Prober", "Thinking", "Window", "probe"]

_HELLO = "Answer with the one word hello. 只回答 hello。"
_NO_SUCH_MODEL = "llmtriage-doctor-no-such-model"
_ROOM = 1000  # tokens; OpenAI answers 400 where the thinking alone needs more than there is


async def probe(transport: Transport, settings: BackendSettings, dialect: Dialect, *, longest: int | None = None) -> Capabilities:
    """Ask a chat server what it can do: about fifteen small requests, and up to four long ones.

    Args:
        transport: Best with one attempt, short limits and a high `unusable`.
        settings: Of the engine.
        dialect: Where to begin.
        longest: Tokens of the longest prompt to try, by our estimate; None: long prompts are not tried.

    Raises:
        BackendError: It cannot work at all: no connection, wrong key, unknown model, no API.
    """
    prober, hello = await _first(Prober(transport, settings, dialect))
    found = replace(await identity(prober), name_checked=await _checks_names(prober))
    named = hello.body.get("model")
    if found.model_true is None and isinstance(named, str) and named:
        found = replace(found, model_true=named)
    route = await tokenizer(prober)
    thinks = await thinking(prober)
    prober = replace(prober, dialect=_settled(prober.dialect, thinks))
    return Capabilities(
        url=transport.endpoint.url,
        model=settings.model,
        keyed=transport.endpoint.key is not None,
        identity=found,
        limit=prober.dialect.limit,
        temperature=prober.dialect.temperature,
        counts=hello.prompt_tokens is not None,
        tokenizer=route,
        json=await json_modes(prober),
        thinking=thinks,
        logprobs=await logprobs(prober, tokenizer=route is not None),
        window=None if longest is None else await window(prober, longest),
    )


def _settled(dialect: Dialect, thinks: Thinking) -> Dialect:
    """How the other probes are put: as a run is that follows what was found about thinking."""
    if thinks.works is not None:
        return replace(dialect, switch=thinks.works)
    switch = "leave" if thinks.switched is None else thinks.switch
    return replace(dialect, switch=switch, thinks=True)


async def _first(prober: Prober) -> tuple[Prober, Answer]:
    """The first answer, and the prober that got it: names of fields are settled here. The switch against thinking is not sent."""
    dialect = prober.dialect
    while True:
        body = prober.body(_HELLO, most=_ROOM, fields={}, plain=True, model=None)
        naming = (dialect.limit, "temperature")
        try:
            reply = await prober.transport.post("/chat/completions", body, online=True, fresh=True, naming=naming)
        except RefusedFieldError as error:
            other = dialect.without(error.field) if error.field in naming else None
            if other is None:
                raise
            dialect = other
            prober = replace(prober, dialect=dialect)
            continue
        answer = read(reply)
        if not answer.came or not answer.choice:
            raise cannot_work(answer, prober)
        return prober, answer


async def _checks_names(prober: Prober) -> bool | None:
    answer = await prober.chat(_HELLO, most=_ROOM, plain=True, model=_NO_SUCH_MODEL)
    if answer.came:
        return False
    return True if answer.refused else None
