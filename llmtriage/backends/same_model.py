"""One run, one model: what was measured on one says nothing about another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmtriage.errors import StoppedError, short
from llmtriage.predictions import Failure

if TYPE_CHECKING:
    from llmtriage.predictions import Prediction


class SameModel:
    """Lets through what the model says that answered first."""

    def __init__(self, name: str, model: str = "") -> None:
        """Keep who is asked.

        Args:
            name: The engine's.
            model: That the run begins with; empty: the one that answers first.
        """
        self._name = name
        self._model = model

    def is_another(self, model: str) -> bool:
        """Whether this is another model than the run began with; a name that was not told is none."""
        return bool(model and self._model) and model != self._model

    def check(self, model: str) -> None:
        """Raises StoppedError if this is another model than the run began with."""
        if self.is_another(model):
            problem = f"the server now answers as {short(model)!r}; this run began with {short(self._model)!r}"
            raise StoppedError(problem, remedy="name a model whose version is fixed", backend=self._name)

    def checked(self, answer: Prediction | Failure) -> Prediction | Failure:
        """`answer`. Answers that were kept from an earlier run are let through.

        Raises:
            StoppedError: Another model gave it.
        """
        if isinstance(answer, Failure) or not answer.usage.attempts or "\ufffd" in answer.model:
            return answer  # a name that came broken tells nothing
        self._model = self._model or answer.model
        self.check(answer.model)
        return answer
