"""One run, one model: what was measured on one says nothing about another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmtriage.errors import StoppedError, short
from llmtriage.predictions import Failure

if TYPE_CHECKING:
    from llmtriage.predictions import Prediction


class SameModel:
    """Lets through what the model says that answered first."""

    def __init__(self, name: str) -> None:
        """Nobody has answered yet; `name` is the engine's."""
        self._name = name
        self._model = ""

    def checked(self, answer: Prediction | Failure) -> Prediction | Failure:
        """`answer`. Answers that were kept from an earlier run are let through.

        Raises:
            StoppedError: Another model gave it.
        """
        if isinstance(answer, Failure) or not answer.usage.attempts or not answer.model or "\ufffd" in answer.model:
            return answer  # a name that came broken tells nothing
        self._model = self._model or answer.model
        if answer.model != self._model:
            problem = f"the server now answers as {short(answer.model)!r}; this run began with {short(self._model)!r}"
            raise StoppedError(problem, remedy="name a model whose version is fixed", backend=self._name)
        return answer
