"""A model that changes behind its name stops the run, whatever way it is read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from toy_engine import ask, engine
from toy_model import Plays, ToyModel

from llmtriage import Failure, Prediction, Scores, Taxonomy
from llmtriage.backends.same_model import SameModel
from llmtriage.errors import StoppedError
from llmtriage.predictions import Usage

SHOP = Taxonomy.from_labels(["refund", "parcel", "login", "other"])
WORDS = "the server now answers as 'toy-2'; this run began with 'toy-1'; name a model whose version is fixed"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is found out in one test is not known in the next."""
    monkeypatch.setenv("LLMTRIAGE_CACHE_DIR", str(tmp_path))


def by(model: str, attempts: int = 1) -> Prediction:
    """An answer of a model."""
    scores = Scores(values=np.zeros(1), missing=np.zeros(1, dtype=np.bool_))
    return Prediction(answer=scores, source="decisions", model=model, usage=Usage(attempts=attempts))


def test_only_the_first_model_is_let_through() -> None:
    """Failures name none, some servers neither; what was kept from another day counts for nothing."""
    same = SameModel("it")
    kept, failed = by("toy-0", attempts=0), Failure(reason="timeout", detail="late")
    for answer in (kept, failed, by(""), by("toy-1"), kept, by("toy-1")):
        assert same.checked(answer) is answer
    with pytest.raises(StoppedError, match=WORDS):
        same.checked(by("toy-2"))


@pytest.mark.parametrize("reading", ["token", "json-token", "votes", "json"])
async def test_every_way_of_reading_a_chat_model(reading: str) -> None:
    """Exit code 5 of a run."""
    model = ToyModel(Plays(letters=True, models=("toy-1", "toy-2"), change=6))
    backend = engine(model, SHOP, reading=reading)
    with pytest.raises(StoppedError, match=WORDS):
        for number in range(9):
            await ask(backend, f"refund {number}")
    assert 0 < number < 8
