"""Votes: how often a model names each category, in one request or in several."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from toy_engine import ask, engine
from toy_model import Plays, ToyModel

from llmtriage import Failure, Prediction, Scores, Taxonomy
from llmtriage.backends.reply_cache import ReplyCache
from llmtriage.errors import BackendRefusedError

SHOP = Taxonomy.from_labels(["refund", "parcel", "login", "other"])


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is found out in one test is not known in the next."""
    monkeypatch.setenv("LLMTRIAGE_CACHE_DIR", str(tmp_path))


async def voted(plays: Plays, **settings: Any) -> tuple[Prediction | Failure, list[dict[str, Any]]]:
    """What comes of one ticket, and what was asked."""
    model = ToyModel(plays)
    [answer] = await ask(engine(model, SHOP, **{"reading": "votes", **settings}), "I want a refund")
    return answer, model.asked


def named(*answers: str) -> Plays:
    """A model that answers this, one after the other."""
    return Plays(says=lambda number: answers[number - 1])


def vote(category: str) -> str:
    """An answer in JSON."""
    return f'{{"category": "{category}", "confidence": 0.9}}'


def shares(answer: Prediction | Failure) -> list[float]:
    """Probabilities, to three digits."""
    assert isinstance(answer, Prediction), answer
    assert isinstance(answer.answer, Scores)
    found = np.exp(answer.answer.values)
    assert found.sum() == pytest.approx(1)
    return [round(float(share), 3) for share in found]


MOSTLY = [vote(name) for name in ("refund", "parcel", "refund", "refund", "refund")]


@pytest.mark.parametrize(
    ("kind", "several", "asked"),
    [
        pytest.param("vllm", True, [5], id="all in one request"),
        pytest.param("vllm-offline", True, [5], id="also in this process"),
        pytest.param("vllm", False, [5, 4, 3, 2, None], id="the field is ignored: the rest is asked for again"),
        pytest.param("openai", True, [None] * 5, id="one by one, where hosts refuse the field"),
    ],
)
async def test_five_votes(kind: str, asked: list[int | None], *, several: bool) -> None:
    """The mean under a prior of weight one: (4 + 1/4) / 6 for four of five. No vote is no proof of impossibility."""
    plays = named(*MOSTLY)
    plays.several = several
    answer, bodies = await voted(plays, kind=kind)
    assert [body.get("n") for body in bodies] == asked
    assert shares(answer) == [0.708, 0.208, 0.042, 0.042]
    assert isinstance(answer, Prediction)
    assert isinstance(answer.answer, Scores)
    assert (answer.source, answer.answer.label_mass, answer.usage.attempts) == ("votes", 1.0, len(asked))
    assert answer.answer.missing is not None
    assert answer.answer.missing.tolist() == [False, False, True, True]
    assert answer.read == {"reading": "5 votes", "temperature": "1.0"}
    assert {body["temperature"] for body in bodies} == {1.0}


async def test_a_refused_field_is_left_out_from_then_on() -> None:
    """One request in vain, in the whole run."""
    model = ToyModel(Plays(refuses=("n",)))
    backend = engine(model, SHOP, kind="vllm", reading="votes")
    answers = await ask(backend, *(f"refund {number}" for number in range(4)))
    assert all(isinstance(answer, Prediction) for answer in answers)
    assert ["n" in body for body in model.asked].count(True) == 1
    assert len(model.asked) == 1 + 4 * 5


async def test_more_choices_than_asked_for_are_not_counted() -> None:
    """Five votes are five."""

    class Generous(ToyModel):
        def post(self, path: str, body: dict[str, Any]) -> tuple[int, Any]:
            return super().post(path, {**body, "n": 9} if "messages" in body else body)

    model = Generous(named(*MOSTLY, *[vote("login")] * 4))
    [answer] = await ask(engine(model, SHOP, kind="vllm", reading="votes"), "refund")
    assert shares(answer) == [0.708, 0.208, 0.042, 0.042]


async def test_votes_that_cannot_be_read_count_against_the_label_mass() -> None:
    """They say nothing about a category, but that the model wanted something else."""
    answer, _ = await voted(named(vote("refund"), "I cannot tell", vote("returns"), vote("refund"), ""))
    assert shares(answer) == [0.75, 0.083, 0.083, 0.083]
    assert isinstance(answer, Prediction)
    assert isinstance(answer.answer, Scores)
    assert answer.answer.label_mass == pytest.approx(0.4)


async def test_no_vote_that_can_be_read() -> None:
    """Is a failure with the first reason, and what it cost."""
    answer, asked = await voted(named(*["I cannot tell"] * 3), votes=3)
    assert isinstance(answer, Failure)
    assert (answer.reason, answer.usage.attempts, len(asked)) == ("bad_response", 3, 3)


async def test_a_request_that_fails_is_the_ticket_that_fails() -> None:
    """Fewer votes than asked for would be another way of reading."""
    refused = (400, {"error": {"message": "no", "code": "content_filter"}})
    plays = Plays(fault=lambda number, path: refused if number == 3 else None)
    answer, asked = await voted(plays)
    assert isinstance(answer, Failure)
    assert (answer.reason, answer.usage.attempts, len(asked)) == ("refused", 3, 3)


async def test_another_field_that_is_refused_stops_the_run() -> None:
    """Only the number of answers can be done without."""
    with pytest.raises(BackendRefusedError, match="'model_extra'"):
        await voted(Plays(refuses=("model_extra",)), extra_body={"model_extra": 1})


async def test_samples_are_never_shared_nor_kept(tmp_path: Path) -> None:
    """The same ticket again is sampled again: an answer that is known already would be one vote that counts twice."""
    replies = ReplyCache(tmp_path / "replies.sqlite")
    model = ToyModel()
    backend = engine(model, SHOP, reading="votes", votes=3, transport={"cache": replies})
    await ask(backend, "refund", "refund")
    await ask(backend, "refund")
    assert len(model.asked) == 9
    replies.close()


async def test_votes_sum_up_what_they_cost() -> None:
    """The prompt of several answers to one request counts once."""
    together, _ = await voted(Plays(), kind="vllm")
    single, _ = await voted(Plays())
    assert isinstance(together, Prediction)
    assert isinstance(single, Prediction)
    assert together.usage.prompt_tokens is not None
    assert single.usage.prompt_tokens == 5 * together.usage.prompt_tokens
    assert single.usage.attempts == 5


async def test_a_temperature_of_ones_own() -> None:
    """And as many votes as wished for; both are in the fingerprint and with each answer."""
    answer, asked = await voted(Plays(), temperature=0.5, votes=2)
    assert isinstance(answer, Prediction)
    assert answer.read == {"reading": "2 votes", "temperature": "0.5"}
    assert [body["temperature"] for body in asked] == [0.5, 0.5]


async def test_votes_explain_themselves() -> None:
    """With a reason asked for, each answer has one; votes are counted all the same."""
    model = ToyModel()
    backend = engine(model, SHOP, reading="votes", votes=3, rationale=True)
    [answer] = await ask(backend, "refund")
    assert isinstance(answer, Prediction)
    assert (answer.source, len(model.asked)) == ("votes", 3)
    schema = model.asked[0]["response_format"]["json_schema"]["schema"]
    assert list(schema["properties"]) == ["rationale", "category", "confidence"]
