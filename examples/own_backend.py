"""An engine of your own: one async method that turns questions into predictions, in their order.

To name it on the command line (--backend shouting:2), give a package an entry point in its pyproject.toml:
    [project.entry-points."llmtriage.backends"]
    shouting = "own_backend:make"
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Mapping
from typing import TYPE_CHECKING

import numpy as np

from llmtriage import Accepted, Failure, Prediction, Question, Scores, Taxonomy, Triage

if TYPE_CHECKING:
    from llmtriage.backends import Setup

SHOP = Taxonomy.from_labels(["complaint", "question"])


class ShoutingBackend:
    """Capitals are complaints. A question mark is none."""

    def __init__(self, weight: float) -> None:
        """How much a capital counts."""
        self.name = "shouting"
        self.weight = weight

    def fingerprint(self) -> Mapping[str, str]:
        """All that the scores depend on: another weight is another run."""
        return {"engine": self.name, "weight": str(self.weight)}

    async def predict(self, questions: AsyncIterable[Question], *, online: bool) -> AsyncIterator[Prediction | Failure]:  # noqa: ARG002
        """Answer each question; what cannot be answered is a Failure, not an exception."""
        async for question in questions:
            if not question.text.isascii():
                yield Failure(reason="refused", detail="it knows no capitals but A to Z")
                continue
            shouted = self.weight * sum(character.isupper() for character in question.text) / len(question.text)
            values = np.array([shouted, 1.0 if "?" in question.text else 0.5])
            yield Prediction(answer=Scores(values=values - np.logaddexp.reduce(values)), source="lexical", model=self.name)


def make(argument: str, setup: Setup) -> ShoutingBackend:  # noqa: ARG001 - an engine may need the taxonomy, examples or keys
    """What the entry point names: the text behind the colon, and all that an engine may need."""
    return ShoutingBackend(float(argument or 1))


def main() -> None:
    """Sort three tickets with it."""
    triage = Triage(taxonomy=SHOP, backend=ShoutingBackend(4), threshold=0.6)
    for text in ("WHERE IS MY MONEY", "Where is my parcel?", "钱呢"):
        outcome = triage.classify(text)
        verdict = outcome.category if isinstance(outcome, Accepted) else f"waits: {outcome.reasons[0].sentence()}"
        print(f"{text} -> {verdict}")


if __name__ == "__main__":
    main()
