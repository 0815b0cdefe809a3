"""What a real server is asked for, what it makes of it, and what is remembered: codes, fields that it ignores or refuses, its cache."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
from local_vllm import Served
from served import answers, counted, probabilities, requests, taxonomy, tickets, tokens, triage

from llmtriage import Taxonomy, Triage
from llmtriage.backends.choosing import Chosen, ChosenBackend
from llmtriage.backends.logprobs import LogprobBackend
from llmtriage.backends.readings.known import recall, remember
from llmtriage.predictions import Prediction

TEXTS = [ticket["content"] for ticket in tickets()]
SOME = TEXTS[:20]
FLAT = Taxonomy.from_labels([f"c{number:03d}" for number in range(150)])
CHAT = "/v1/chat/completions"


def chosen(sorter: Triage) -> Chosen:
    """How the model was read."""
    assert isinstance(sorter.backend, ChosenBackend)
    assert sorter.backend.chosen is not None
    return sorter.backend.chosen


def codes(sorter: Triage) -> dict[str, tuple[int, ...]]:
    """The codes of the categories, with their tokens."""
    assert isinstance(sorter.backend, ChosenBackend)
    engine = sorter.backend.engine
    assert isinstance(engine, LogprobBackend)
    return dict(engine.way.book.ids)


def asked(server: Served, **fields: Any) -> httpx2.Response:
    """One chat request for one token."""
    body = {
        "model": server.model,
        "messages": [{"role": "user", "content": "Hello"}],
        "max_tokens": 1,
        "logprobs": True,
        **fields,
    }
    return httpx2.post(f"{server.url}/chat/completions", json=body, timeout=60)


def renamed(name: str) -> Taxonomy:
    """The ten domains under another name, so that no prompt's beginning is in a cache."""
    return taxonomy().model_copy(update={"name": name})


# -- codes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["letters", "random"])
def test_every_code_is_one_token_where_the_answer_stands(vllm_server: Served, kind: str) -> None:
    """As the server itself splits it, right behind the beginning of the answer."""
    with triage(vllm_server, reading="token", codes=kind) as sorter:
        sorter.settle()
    found, before = codes(sorter), "<|im_start|>assistant\n"
    assert len(found) == len(taxonomy().leaves)
    assert len({number for own in found.values() for number in own}) == sum(map(len, found.values()))
    begun = tokens(vllm_server, before)
    for code, own in found.items():
        assert tokens(vllm_server, before + code) == [*begun, own[0]]
    if kind == "letters":
        assert list(found) == list("ABCDEFGHIJ")
    else:
        assert not found.keys() & {leaf.id for leaf in taxonomy().leaves}


@pytest.mark.parametrize("kind", ["random", "words"])
def test_other_codes_work_on_the_wire(vllm_server: Served, kind: str) -> None:
    """The model knows one assignment of letters, so what it says with others means nothing; that it means nothing is seen."""
    said = answers(triage(vllm_server, reading="token", codes=kind), SOME)
    shares = probabilities(said)
    assert np.allclose(shares.sum(axis=1), 1)
    assert all(isinstance(answer, Prediction) and answer.read["codes"] == kind for answer in said)


def test_a_model_that_does_not_answer_with_codes_is_not_read_by_them(vllm_server: Served) -> None:
    """Where it may choose: the probability on random codes is next to nothing, so one token is passed over, with the reason."""
    with triage(vllm_server, codes="random") as sorter:
        sorter.settle()
    assert "code" in chosen(sorter).passed["token"]
    assert chosen(sorter).reading != "token"


# -- fields --------------------------------------------------------------------------------------


def test_a_field_that_the_server_does_not_know_is_ignored(vllm_server: Served) -> None:
    """With a 200, which is why what came back is looked at, not the status. A misspelt field is one that it does not know."""
    reply = asked(vllm_server, logprob_tokens_ids=[40, 41], return_tokens_as_token_ids=True)
    assert reply.status_code == 200
    [first] = reply.json()["choices"][0]["logprobs"]["content"]
    assert {"token_id:40", "token_id:41"} - {entry["token"] for entry in first["top_logprobs"]}


def test_that_it_was_ignored_is_noticed_and_the_next_way_is_taken(vllm_server: Served) -> None:
    """The field never arrives: the trial misses the tokens it asked for, and the most probable ones give the same answers."""
    sorter = triage(vllm_server, omit=("logprob_token_ids",))
    shares = probabilities(answers(sorter, SOME))
    assert chosen(sorter).facts["lists"] == "openai"
    by_ids = probabilities(answers(triage(vllm_server), SOME))
    assert np.abs(shares - by_ids).max() < 0.01


def test_a_field_of_ones_own_changes_nothing_where_it_is_not_known(vllm_server: Served) -> None:
    """To the last bit."""
    with_it = probabilities(answers(triage(vllm_server, extra_body={"no_such_field": 1}), SOME))
    assert np.array_equal(with_it, probabilities(answers(triage(vllm_server), SOME)))


def test_more_categories_than_ids_stay_below_the_limit(vllm_server: Served) -> None:
    """129 ids are one too many for the server. Of 150 categories no question has so many, and none is refused."""
    refused = asked(vllm_server, logprob_token_ids=list(range(300, 429)))
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "logprob_token_ids")
    before = counted(vllm_server, "http_requests_total", handler=CHAT, status="4xx")
    sorter = triage(vllm_server, sorts=FLAT, reading="token")
    shares = probabilities(answers(sorter, SOME))
    assert counted(vllm_server, "http_requests_total", handler=CHAT, status="4xx") == before
    assert chosen(sorter).facts["lists"] == "ids"
    assert len(codes(sorter)) <= 128
    assert shares.shape == (len(SOME), 150)
    assert np.allclose(shares.sum(axis=1), 1)


# -- many at once --------------------------------------------------------------------------------


def test_64_in_flight_are_answered_as_one_by_one(vllm_server: Served) -> None:
    """Bit by bit: this build computes a ticket alike whatever stands beside it. A GPU need not, so there it is to rounding."""
    together = probabilities(answers(triage(vllm_server, concurrency=64, patience={"start": 64}), TEXTS))
    alone = probabilities(answers(triage(vllm_server, concurrency=1), TEXTS))
    assert np.abs(together - alone).max() < 1e-6


def test_what_the_prompts_share_is_read_once(vllm_server: Served) -> None:
    """By the server's own count: of a hundred prompts all but the first find the whole blocks of their beginning in the cache."""
    queried, hit = (counted(vllm_server, f"vllm:prefix_cache_{name}_total") for name in ("queries", "hits"))
    sorter = triage(vllm_server, sorts=renamed("Nobody asked about this"))
    said = answers(sorter, TEXTS[:100])
    queries = counted(vllm_server, "vllm:prefix_cache_queries_total") - queried
    hits = counted(vllm_server, "vllm:prefix_cache_hits_total") - hit
    prompts = sum(answer.usage.prompt_tokens or 0 for answer in said)
    assert queries >= prompts
    assert hits / queries > 0.8


# -- what is remembered --------------------------------------------------------------------------


def fresh(server: Served, cache: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[float, list[Any]]:
    """Requests that a run of a few tickets takes, and its answers."""
    monkeypatch.setenv("LLMTRIAGE_CACHE_DIR", str(cache))
    before = requests(server)
    said = answers(triage(server), SOME)
    return requests(server) - before, said


def test_a_second_run_asks_less_and_answers_the_same(
    vllm_server: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tokens of codes are kept; a trial is made each time."""
    first, said = fresh(vllm_server, tmp_path, monkeypatch)
    second, again = fresh(vllm_server, tmp_path, monkeypatch)
    assert len(SOME) < second < len(SOME) + 5 < first
    assert np.array_equal(probabilities(said), probabilities(again))
    assert {tuple(answer.read.items()) for answer in (*said, *again)} == {tuple(said[0].read.items())}
    known = recall(vllm_server.url, vllm_server.model)
    assert known is not None
    assert (known.server, known.model, known.lists and known.lists.form) == ("vLLM", vllm_server.model, "ids")


def test_tokens_of_another_model_are_not_used(vllm_server: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind the same URL and name there may stand another model than last time."""
    _, said = fresh(vllm_server, tmp_path, monkeypatch)
    known = recall(vllm_server.url, vllm_server.model)
    assert known is not None
    moved = {text: tuple(number + 1 for number in own) for text, own in known.tokens.items()}
    remember(vllm_server.url, vllm_server.model, replace(known, tokens=moved))
    _, again = fresh(vllm_server, tmp_path, monkeypatch)
    assert np.array_equal(probabilities(said), probabilities(again))
