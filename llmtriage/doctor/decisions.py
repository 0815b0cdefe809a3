"""What a decision endpoint's probabilities look like, before anything is made of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from llmtriage.backends.decision_questions import Choice
from llmtriage.backends.decisions import request_body
from llmtriage.backends.fields import mapping
from llmtriage.backends.probing.asking import asked
from llmtriage.doctor.samples import samples
from llmtriage.errors import BackendRefusedError, UnknownRouteError
from llmtriage.prompting import fenced

if TYPE_CHECKING:
    from collections.abc import Iterator

    from llmtriage.backends.decisions import Dialect
    from llmtriage.backends.transport import Transport
    from llmtriage.settings import BackendSettings

_ASKED = 4  # questions
_OPTIONS = {
    "delivery": "where a parcel is; 物流",
    "payment": "money that was taken or is due; 付款、退款",
    "device": "something that does not work; 设备故障",
    "account": "signing in; 登录",
}
_PATHS: dict[Dialect, str] = {"openai": "/decisions", "systemone": "/systemone"}
_GRID = 0.01
_CLOSE = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Decisions:
    """What a decision endpoint answers.

    Attributes:
        dialect: The first that answered.
        answered: How many of the questions.
        sum_off: The farthest that the probabilities of one answer are from 1.
        rounded: Whether every probability is a multiple of 0.01.
        certain: How many probabilities are exactly 0 or 1.
        values: How many probabilities were seen.
        model: As an answer names it.
    """

    dialect: Dialect
    answered: int
    sum_off: float
    rounded: bool
    certain: int
    values: int
    model: str | None


async def decisions(transport: Transport, settings: BackendSettings) -> Decisions:
    """Ask four questions with four options.

    Raises:
        BackendError: The endpoint cannot work.
    """
    dialects: tuple[Dialect, ...] = (settings.dialect,) if settings.dialect else ("openai", "systemone")
    for dialect in dialects:
        try:
            bodies = [(await _ask(transport, settings, dialect, text)) for _, text in samples(_ASKED)]
        except UnknownRouteError:
            continue
        return _seen(dialect, bodies)
    routes = ", ".join(_PATHS[dialect] for dialect in dialects)
    problem = f"no decision endpoint at {transport.endpoint.url} ({routes})"
    remedy = "check the URL and that the server offers decisions; a chat model is openai:MODEL@URL"
    raise BackendRefusedError(problem, remedy=remedy, backend=transport.endpoint.name)


async def _ask(transport: Transport, settings: BackendSettings, dialect: Dialect, text: str) -> dict[str, Any]:
    choice = Choice(name="category", within="", instructions="Which kind of ticket is it?", options=_OPTIONS)
    answer = await asked(transport, _PATHS[dialect], request_body(settings, dialect, fenced(text), [choice]))
    return dict(answer.body)


def _seen(dialect: Dialect, bodies: list[dict[str, Any]]) -> Decisions:
    found = [values for body in bodies if (values := list(_probabilities(body)))]
    every = [value for values in found for value in values]
    models = (body.get("model") for body in bodies)
    return Decisions(
        dialect=dialect,
        answered=len(found),
        sum_off=max((abs(math.fsum(values) - 1) for values in found), default=0.0),
        rounded=bool(every) and all(abs(value / _GRID - round(value / _GRID)) < _CLOSE / _GRID for value in every),
        certain=sum(value in (0.0, 1.0) for value in every),
        values=len(every),
        model=next((model for model in models if isinstance(model, str)), None),
    )


def _probabilities(body: dict[str, Any]) -> Iterator[float]:
    answers = body.get("answers")
    first = answers[0] if isinstance(answers, list) and answers else mapping(answers).get("category")
    listed = mapping(first).get("probabilities")
    values = listed.values() if isinstance(listed, dict) else [mapping(one).get("probability") for one in listed or ()]
    yield from (float(value) for value in values if isinstance(value, int | float))
