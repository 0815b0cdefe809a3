"""From what was seen to what it means: pure judging, one finding a check, in a fixed order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING

from llmtriage.doctor.words import WORDINGS, State, in_words

if TYPE_CHECKING:
    from llmtriage.backends.choosing import Chosen
    from llmtriage.backends.probing import Capabilities, LogProbs, Window
    from llmtriage.doctor.decisions import Decisions
    from llmtriage.doctor.load import Load, Repeats
    from llmtriage.settings import BackendSettings

_SLOW = 10.0  # seconds: an agent who waits for one ticket looks elsewhere
_SUM = 0.05  # rounding four numbers to 0.01 moves their sum by 0.02 at most


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one check found.

    Attributes:
        code: Which finding it is, "CHECK.RESULT".
        values: What stands in its sentences; a text that begins with "=" is a word to be translated.
    """

    code: str
    values: Mapping[str, object] = field(default_factory=dict)

    @property
    def check(self) -> str:
        """What was looked at."""
        return self.code.partition(".")[0]

    @property
    def state(self) -> State:
        """ok, warning or missing."""
        return WORDINGS[self.code].state

    def line(self, language: str) -> str:
        """One sentence."""
        return WORDINGS[self.code].line(language).format(**self._words(language))

    def suggestion(self, language: str) -> str | None:
        """What to do, where something is missing."""
        return WORDINGS[self.code].mend(language).format(**self._words(language)) or None

    def _words(self, language: str) -> dict[str, str]:
        return {name: in_words(value, language) for name, value in self.values.items()}


def of_chat(found: Capabilities, settings: BackendSettings, *, needed: int) -> tuple[Finding, ...]:
    """What a chat server can do.

    Args:
        found: What was seen.
        settings: Of the engine.
        needed: Tokens of the prompt with a long ticket, by our estimate.
    """
    who = found.identity
    server = " ".join(filter(None, (who.server, who.version))) or "=unnamed"
    findings = [
        Finding(code="reachable.ok", values={"url": found.url, "server": server}),
        Finding(code="key.taken" if found.keyed else "key.none"),
        _model(found),
        _context(settings.context or who.context, needed),
        _json(found),
        _thinking(found),
        _logprobs(found.logprobs, thinks=found.thinking.works is None and found.thinking.state == "on"),
    ]
    if found.window is not None:
        findings.append(_front(found.window))
    return tuple(findings)


def of_reading(chosen: Chosen) -> Finding:
    """How a run would read the model."""
    facts = chosen.facts
    way = "votes" if "votes" in chosen.reading else chosen.reading
    values = {
        "reading": chosen.reading,
        "codes": f"={facts.get('codes', '')}",
        "lists": f"=by_{facts.get('lists', '')}",
        "most": facts.get("most", ""),
        "mass": "=unknown" if chosen.mass is None else f"{chosen.mass:.1%}",
        "why": "; ".join(chosen.passed.values()) or "-",
    }
    return Finding(code=f"reading.{way}", values=values)


def of_decisions(found: Decisions, url: str, *, leaves: int) -> tuple[Finding, ...]:
    """What a decision endpoint can do; `leaves` is the number of categories."""
    if found.answered < 4:
        silent = {"dialect": found.dialect, "answered": found.answered}
        return (Finding(code="decisions.silent", values=silent),)
    model = found.model or "=unknown"
    first = Finding(code="decisions.ok", values={"url": url, "dialect": found.dialect, "model": model, "leaves": leaves})
    values = {"values": found.values, "off": found.sum_off, "certain": found.certain}
    result = "rounded" if found.rounded else "off" if found.sum_off > _SUM else "ok"
    return first, Finding(code=f"probabilities.{result}", values=values)


def of_other(backend: str) -> tuple[Finding, ...]:
    """An engine that speaks to no server of ours."""
    return (Finding(code="reachable.here", values={"backend": backend}),)


def of_load(load: Load, settings: BackendSettings | None, *, speaks: bool) -> tuple[Finding, ...]:
    """Speed, tokens and repeats.

    Args:
        load: What was measured.
        settings: Of the engine, if it has any.
        speaks: Whether it speaks to a server, so that tokens mean something.
    """
    answers = _answers(load)
    if not load.answered:
        return (answers,)
    tokens = (_tokens(load),) if speaks else ()
    temperature = settings.temperature if settings else 0.0
    return answers, _alone(load), _at_once(load), *tokens, _repeat(load.repeats, temperature)


def _model(found: Capabilities) -> Finding:
    true = found.identity.model_true
    if found.identity.name_checked is False:
        return Finding(code="model.ignored", values={"model": found.model, "true": true or "=unknown"})
    if true and true != found.model:
        return Finding(code="model.true", values={"model": found.model, "true": true})
    return Finding(code="model.ok", values={"model": found.model})


def _context(context: int | None, needed: int) -> Finding:
    if context is None:
        return Finding(code="context.unknown")
    return Finding(code=f"context.{'ok' if context >= needed else 'small'}", values={"context": context, "needed": needed})


def _json(found: Capabilities) -> Finding:
    modes = found.json
    if modes.schema == "honoured":
        return Finding(code="json.schema" if modes.chinese != "ignored" else "json.chinese")
    values = {"schema": f"={modes.schema}", "object": f"={modes.object}", "prompt": f"={modes.prompt}"}
    return Finding(code=f"json.{modes.best or 'none'}", values=values)


def _thinking(found: Capabilities) -> Finding:
    seen = found.thinking
    if seen.state == "off":
        # Where nothing is sent, with and without are the same.
        result = "none" if seen.plain is False else "off" if seen.plain else "unclear"
    elif seen.works is not None:
        result = "other"
    else:
        result = "on" if seen.plain or seen.state == "on" else "unknown"
    return Finding(code=f"thinking.{result}", values={"switch": f'"{seen.switch}"', "works": f'"{seen.works}"'})


def _logprobs(found: LogProbs, *, thinks: bool) -> Finding:
    values: dict[str, object] = {"most": found.most, "mass": found.mass or 0.0, "ids": "=yes" if found.token_ids else "=no"}
    if found.state == "listed":
        result = "ok" if found.both else "thinking" if thinks else "labels"
    elif found.state in ("refused", "unknown"):
        result = found.state
    else:
        result, values = "silent", {"state": f"={found.state}"}
    return Finding(code=f"logprobs.{result}", values=values)


def _front(window: Window) -> Finding:
    values = {"tested": window.tested, "read": window.read or 0, "refused": window.refused_at or 0}
    if window.cut:
        return Finding(code="front.cut", values=values)
    if window.refused_at is not None:
        return Finding(code="front.refused", values=values)
    return Finding(code="front.whole" if window.longest_whole is not None else "front.unknown", values=values)


def _answers(load: Load) -> Finding:
    result = "ok" if not load.failed else "some" if load.answered else "none"
    failed = ", ".join(f"{reason} {count}" for reason, count in sorted(load.failed.items()))
    return Finding(code=f"answers.{result}", values={"asked": load.asked, "answered": load.answered, "failed": failed})


def _alone(load: Load) -> Finding:
    middle = float(median(load.alone))
    values = {"count": len(load.alone), "median": middle, "worst": load.alone[-1]}
    return Finding(code="alone.slow" if middle > _SLOW else "alone.ok", values=values)


def _at_once(load: Load) -> Finding:
    values = {
        "count": load.at_once,
        "failed": load.failed_at_once,
        "speed": load.tickets_per_second or 0.0,
        "median": float(median(load.seconds)),
        "worst": load.seconds[-1],
    }
    return Finding(code="at_once.failures" if load.failed_at_once else "at_once.ok", values=values)


def _tokens(load: Load) -> Finding:
    if load.prompt_tokens is None:
        return Finding(code="tokens.none")
    ratios = ", ".join(f"{language} {ratio:.2f}" for language, ratio in load.ratios.items()) or "-"
    numbers = {"prompt": load.prompt_tokens, "cached": load.cached_tokens, "output": load.output_tokens}
    shown = {name: "=unknown" if number is None else number for name, number in numbers.items()}
    return Finding(code="tokens.ok", values={**shown, "ratios": ratios})


def _repeat(repeats: Repeats | None, temperature: float) -> Finding:
    if repeats is None:
        return Finding(code="repeat.unknown")
    moved = "=nothing"
    if repeats.change is not None:
        moved = f"=change {repeats.change:.2g}"
    elif repeats.spread is not None:
        moved = f"=spread {repeats.spread:.2g}"
    if repeats.equal == 1 and repeats.equal_at_once in (1, None):
        return Finding(code="repeat.same", values={"asked": repeats.asked, "moved": moved})
    beside = "=unknown" if repeats.equal_at_once is None else f"{repeats.equal_at_once:.0%}"
    mend = "=temperature" if temperature else "=margin"
    shown = {"equal": f"{repeats.equal:.0%}", "asked": repeats.asked, "beside": beside, "moved": moved, "mend": mend}
    return Finding(code="repeat.moves", values=shown)
