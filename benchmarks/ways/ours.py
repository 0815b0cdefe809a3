"""llmtriage, through its public `Triage.classify_many`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from llmtriage import BackendSettings, Outcome, Settings, Triage
from llmtriage.predictions import Question, Scores
from llmtriage.prompting import IDS, Form, Messages, Prompt
from llmtriage.settings import Patience
from ways import Way
from ways.clock import Ask, Said
from ways.tasks import Task


class TicketFirst(Prompt):
    """The same words the other way round: the ticket, then what all tickets share, so that no two prompts begin alike."""

    def render(self, question: Question, form: Form = IDS) -> Messages:
        """The messages for one question."""
        messages = super().render(question, form)
        return Messages(system=messages.user, user=messages.system)


@contextmanager
def asking(way: Way, task: Task, *, ticket_first: bool = False, engine: Mapping[str, Any] | None = None) -> Iterator[Ask]:
    """An engine that was told how to read, and has found out what it needs to know.

    Args:
        way: How to read.
        task: What is asked.
        ticket_first: Turn the prompt round.
        engine: Arguments of `vllm.LLM`, for vLLM in process.
    """
    with _triage(way, task, engine) as triage:
        if ticket_first:
            backend: Any = triage.backend
            backend.prompt = TicketFirst(task.categories, examples=task.shown)
        triage.settle()
        yield lambda texts: [said(outcome) for outcome in triage.classify_many(texts)]


def said(outcome: Outcome) -> Said:
    """What is compared of an outcome."""
    if outcome.prediction is None:
        failure = getattr(outcome, "failure", None)
        return Said(category=None, seconds=failure.seconds if failure else 0.0)
    prediction, usage = outcome.prediction, outcome.prediction.usage
    answer = prediction.answer
    tokens = (usage.prompt_tokens or 0, usage.cached_tokens or 0, usage.output_tokens or 0)
    if isinstance(answer, Scores):
        best = outcome.candidates[0].category
        return Said(category=best, seconds=prediction.seconds, values=tuple(answer.values.tolist()), tokens=tokens)
    return Said(category=answer.category, seconds=prediction.seconds, confidence=answer.score, tokens=tokens)


def _triage(way: Way, task: Task, engine: Mapping[str, Any] | None) -> Triage:
    server = {"url": task.url, "extra_body": {"cache_salt": task.salt}}
    place = server if engine is None else {"engine": dict(engine)}
    it = {**way.settings, **place, "model": task.model, "concurrency": task.in_flight}
    # All requests that may be in flight are, from the beginning: those of others begin no slower.
    patience = Patience(start=task.in_flight)
    settings = Settings(backends={"it": BackendSettings.model_validate(it)}, patience=patience, reply_cache=None)
    return Triage(
        taxonomy=task.categories,
        backend="it",
        examples=task.shown,
        prompt_examples=len(task.examples),
        rationale=way.rationale,
        settings=settings,
    )
