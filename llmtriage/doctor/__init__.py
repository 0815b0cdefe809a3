"""What can this engine do here, and what is missing? `examine` asks it and judges; nothing rests on a table of names."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from llmtriage.backends import settings_of
from llmtriage.backends.choosing import ChosenBackend
from llmtriage.backends.decisions import DecisionBackend
from llmtriage.backends.probing import probe
from llmtriage.backends.readings.known import forget
from llmtriage.doctor.decisions import Decisions, decisions
from llmtriage.doctor.findings import Finding, of_chat, of_decisions, of_load, of_other, of_reading
from llmtriage.doctor.load import AT_ONCE, Load, load
from llmtriage.doctor.table import table_for
from llmtriage.measured import Measured, remember
from llmtriage.prompting import estimated_tokens
from llmtriage.settings import Patience

if TYPE_CHECKING:
    from llmtriage.backends.probing import Capabilities
    from llmtriage.settings import BackendSettings, Settings
    from llmtriage.triage import Triage

__all__ = ["Checkup", "Finding", "examine", "probing_settings"]

_TICKET = 20_000  # characters of the longest ticket that is thought of
_NEVER = 10**6
_FULL = 0.98  # of the window: servers that cut stop a little below it


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkup:
    """What was found.

    Attributes:
        backend: The engine's name.
        findings: In the order of what builds on what.
        capabilities: Of a chat server; None for other engines.
        decisions: Of a decision endpoint; None for other engines.
        load: Speed, tokens, repeats.
        table: The `[backends.NAME]` table that fits, as TOML; None where there is none.
    """

    backend: str
    findings: tuple[Finding, ...]
    capabilities: Capabilities | None
    decisions: Decisions | None
    load: Load
    table: str | None

    @property
    def works(self) -> bool:
        """Whether at least one sample ticket got an answer that can be used, to a prompt that was read whole."""
        return self.load.answered > 0 and not self.cut_short

    @property
    def cut_short(self) -> bool:
        """Whether prompts with a short ticket fill the window of a server that cuts: then it does not read the whole list."""
        window = self.capabilities.window if self.capabilities else None
        if window is None or not window.cut or not window.read or not self.load.prompt_tokens:
            return False
        return self.load.prompt_tokens >= _FULL * window.read


def probing_settings(name: str, settings: Settings) -> Settings:
    """Settings with which a fault shows at once, for the engine `name`: one attempt, no breaker, no memory, no budget."""
    patience = {"breaker_failures": _NEVER, "breaker_window": _NEVER, "unusable": _NEVER, "start": AT_ONCE, "outage": 1.0}
    plain: dict[str, Any] = {"attempts": 1, "reply_cache": None, "max_tokens": None, "max_cost": None, "concurrency": AT_ONCE}
    engine = settings_of(name, settings)
    if engine is None:
        return settings.model_copy(update=plain)
    online = (engine.timeout or settings.timeout) + 1
    own = settings.patience_of(engine).model_copy(update={**patience, "online": online, "batch": online})
    probing = engine.model_copy(update={"concurrency": AT_ONCE, "patience": Patience(**own.model_dump())})
    return settings.model_copy(update={**plain, "backends": {**settings.backends, name: probing}})


async def examine(triage: Triage, settings: Settings, *, repeat: int = 5) -> Checkup:
    """Ask the engine of `triage` everything, about eighty requests in all.

    Args:
        triage: Made with `probing_settings`.
        settings: The same.
        repeat: How often the same ticket is asked alone.

    Raises:
        BackendError: It cannot work at all.
    """
    engine, backend = settings_of(triage.backend.name, settings), triage.backend
    found: tuple[Finding, ...] = ()
    capabilities = seen = None
    if isinstance(backend, ChosenBackend) and engine is not None:
        longest = _longest(triage)
        capabilities = await probe(backend.transport, engine, backend.dialect, longest=longest)
        forget(backend.transport.endpoint.url, engine.model)  # what a run would find now, not what one found before
        await backend.settle()
        reading = (of_reading(backend.chosen),) if backend.chosen else ()
        found = (*of_chat(capabilities, engine, needed=longest), *reading)
    elif isinstance(backend, DecisionBackend) and engine is not None:
        seen = await decisions(backend.transport, engine)
        found = of_decisions(seen, backend.transport.endpoint.url, leaves=len(triage.taxonomy.leaves))
    else:
        found = of_other(backend.name)
    measured = await load(triage, repeat=repeat)
    found += of_load(measured, engine, speaks=engine is not None)
    table = None if engine is None else table_for(engine, capabilities, seen, measured)
    checkup = Checkup(backend=backend.name, findings=found, capabilities=capabilities, decisions=seen, load=measured, table=table)
    if isinstance(backend, ChosenBackend | DecisionBackend) and engine is not None and checkup.works:
        _remember(backend.transport.endpoint.url, engine, measured)
    return checkup


def _longest(triage: Triage) -> int:
    """Tokens, by our estimate, of the prompt with a long ticket."""
    from llmtriage.predictions import Question

    messages = triage.prompt.render(Question(text="x" * _TICKET, categories=triage.taxonomy.leaves))
    return estimated_tokens(messages.system) + estimated_tokens(messages.user)


def _remember(url: str, engine: BackendSettings, measured: Load) -> None:
    known = Measured(
        tickets_per_second=measured.tickets_per_second,
        prompt_ratio=measured.ratio,
        output_tokens=measured.output_tokens or None,
        when=datetime.now(UTC).isoformat(timespec="seconds"),
        source=f"llmtriage doctor, {measured.at_once} at once",
    )
    remember(url, engine.model, known)
