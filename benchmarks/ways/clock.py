"""What asking took: seconds, CPU and tokens, and what was answered."""

from __future__ import annotations

import gc
import os
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx2

Ask = Callable[[Sequence[str]], "list[Said]"]

_COUNTED = {
    "prompt": "vllm:prompt_tokens_total",
    "cached": "vllm:prefix_cache_hits_total",
    "output": "vllm:generation_tokens_total",
}
_SETTLED = 0.2  # seconds until a server's counters hold what it has answered


@dataclass(frozen=True, kw_only=True)
class Said:
    """What came for one ticket.

    Attributes:
        category: What was chosen; None: there was no usable answer.
        seconds: From the request to the answer.
        values: Log-scores of all categories, where there are any.
        confidence: The model's own number, where there is one.
        tokens: Of the prompt, of these in the prefix cache, and of the answer, where an answer tells.
    """

    category: str | None
    seconds: float
    values: tuple[float, ...] | None = None
    confidence: float | None = None
    tokens: tuple[int, int, int] | None = None


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What a way took for all tickets of a task; tokens and CPU seconds are means a ticket.

    Attributes:
        per_second: Tickets.
        prompt: Tokens of prompts that were worked on, those in the prefix cache too.
        uncached: Of these, what was computed.
        output: Tokens of answers.
        client: CPU seconds of the process that asks.
        server: CPU seconds of the server, where it runs below this process; None where it does not.
        said: One a ticket.
    """

    per_second: float
    prompt: float
    uncached: float
    output: float
    client: float
    server: float | None
    said: tuple[Said, ...]


class Server:
    """The counters of a vLLM server. Nobody else may ask it meanwhile."""

    def __init__(self, url: str) -> None:
        """Nothing is asked yet; `url` is the base URL with its path."""
        self._root = url.removesuffix("/").removesuffix("/v1")

    def tokens(self) -> dict[str, float]:
        """Tokens since its start. Raises SystemExit where it counts none."""
        try:
            text = self._get("/metrics")
        except httpx2.HTTPError as error:
            raise SystemExit(f"{self._root}/metrics does not answer ({type(error).__name__}); vLLM counts tokens there") from None
        found = {name: re.findall(rf"^{counter}\{{.*\}} (\S+)$", text, re.MULTILINE) for name, counter in _COUNTED.items()}
        if not all(found.values()):
            raise SystemExit(f"{self._root} shows no counters of vLLM at /metrics")
        return {name: sum(map(float, values)) for name, values in found.items()}

    def block(self) -> int | None:
        """Tokens of a block of its prefix cache."""
        found = re.search(r'block_size="(\d+)"', self._get("/metrics"))
        return int(found[1]) if found else None

    def version(self) -> str:
        """Of vLLM."""
        return str(httpx2.get(f"{self._root}/version", timeout=30).json()["version"])

    def tokens_of(self, text: str, model: str) -> int:
        """How many tokens a text has."""
        reply = httpx2.post(f"{self._root}/tokenize", json={"model": model, "prompt": text}, timeout=30)
        return int(reply.raise_for_status().json()["count"])

    def _get(self, path: str) -> str:
        return httpx2.get(f"{self._root}{path}", timeout=30).raise_for_status().text


def clocked(ask: Ask, warm_up: Sequence[str], texts: Sequence[str], server: Server | None) -> Measured:
    """Ask about `texts`, after `warm_up`, which opens connections and brings what all prompts share into the prefix cache.

    Args:
        ask: Asks about texts, many at a time.
        warm_up: Not counted.
        texts: Counted.
        server: Whose counters tell the tokens; None: the answers do.
    """
    ask(warm_up)
    time.sleep(_SETTLED)
    gc.collect()
    before, below = server.tokens() if server else {}, cpu_below()
    cpu, wall = time.process_time(), time.perf_counter()
    said = ask(texts)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    above = cpu_below()
    time.sleep(_SETTLED)
    n, after = len(texts), server.tokens() if server else _told(said)
    prompt, cached, output = ((after[name] - before.get(name, 0)) / n for name in _COUNTED)
    return Measured(
        per_second=n / wall,
        prompt=prompt,
        uncached=prompt - cached,
        output=output,
        client=cpu / n,
        server=None if below is None or above is None else (above - below) / n,
        said=tuple(said),
    )


def _told(said: Sequence[Said]) -> dict[str, float]:
    """The sums of what the answers tell."""
    tokens = [one.tokens for one in said if one.tokens]
    return dict(zip(_COUNTED, map(sum, zip(*tokens, strict=True)), strict=True))


def cpu_below() -> float | None:
    """User and system seconds of all living processes below this one; None: there are none, or the system does not tell."""
    parents: dict[int, int] = {}
    seconds: dict[int, float] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text(encoding="utf-8").rpartition(")")[2].split()
        except OSError:  # it ended meanwhile
            continue
        parents[int(path.parent.name)] = int(fields[1])
        seconds[int(path.parent.name)] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    below = [process for process in parents if process != os.getpid() and _is_below(process, parents)]
    return sum(seconds[process] for process in below) if below else None


def _is_below(process: int, parents: dict[int, int]) -> bool:
    while process in parents and process != os.getpid():
        process = parents[process]
    return process == os.getpid()
