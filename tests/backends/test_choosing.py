"""Which way a chat model is read: found out by trial, once, and shown."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from toy_engine import ask, engine, shares
from toy_model import Plays, ToyModel

from llmtriage import Example, Prediction, Scores, Taxonomy
from llmtriage.backends.choosing import ChosenBackend
from llmtriage.errors import BackendRefusedError, BackendUnavailableError, InputError, StoppedError
from llmtriage.settings import Patience

CHAT = "/v1/chat/completions"
SHOP = Taxonomy.from_labels(["refund", "parcel", "login", "other"])
PLAIN: dict[str, Any] = {"tokenize": False, "known": False}  # a server that has nothing but the chat route


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What is found out in one test is not known in the next."""
    monkeypatch.setenv("LLMTRIAGE_CACHE_DIR", str(tmp_path))
    return tmp_path / "capabilities.json"


async def settled(backend: ChosenBackend) -> dict[str, str]:
    """The facts of what was chosen."""
    await backend.settle()
    assert backend.chosen is not None
    return dict(backend.chosen.facts)


def is_kept(cache: Path) -> bool:
    """Whether anything was kept for the next run."""
    return cache.exists()


# -- the ways, the best first ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("plays", "reading", "lists", "most", "requests"),
    [
        pytest.param({}, "token", "ids", "128", 1, id="a vLLM: by ids"),
        pytest.param(PLAIN, "token", "openai", "20", 1, id="top 20"),
        pytest.param({**PLAIN, "top": 5}, "token", "openai", "5", 2, id="top 5: twenty are refused first"),
        pytest.param({**PLAIN, "integer": True}, "token", "integer", "5", 3, id="the old form"),
        pytest.param({"ids": "refused"}, "token", "openai", "20", 2, id="ids refused"),
        pytest.param({"ids": "ignored"}, "token", "openai", "20", 2, id="ids ignored: 200 and another list"),
        pytest.param({"ids": "fewer"}, "token", "openai", "20", 2, id="one of the ids left out"),
        pytest.param({"most_ids": 3}, "token", "openai", "20", 2, id="too many ids"),
        pytest.param({**PLAIN, "mass": 0.2}, "json-token", "openai", "20", 4, id="it would rather say something else"),
    ],
)
async def test_the_best_way_that_a_trial_confirms(
    plays: dict[str, Any], reading: str, lists: str, most: str, requests: int
) -> None:
    """Each ends in the same probabilities; the trial of the best way is one request, and each that fails is one more."""
    model = ToyModel(Plays(**plays))
    backend = engine(model, SHOP)
    facts = await settled(backend)
    assert (facts["reading"], facts["lists"], facts["most"]) == (reading, lists, most)
    assert len(model.asked) == requests
    [row] = await shares(backend, "I want a refund")
    assert len(model.asked) == requests + 1
    np.testing.assert_allclose(row, [0.711, 0.096, 0.096, 0.096], atol=1e-3)


@pytest.mark.parametrize(
    ("plays", "why"),
    [
        pytest.param({"state": "refused"}, "the server does not take the field 'logprobs' (400)", id="refused"),
        pytest.param({"state": "null"}, "the server listed no log-probabilities", id="null"),
        pytest.param({"state": "empty"}, "the server listed no log-probabilities", id="an empty list"),
        pytest.param({"state": "absent"}, "the server listed no log-probabilities", id="absent: the field was ignored"),
        pytest.param({"state": "positive"}, "the server's numbers are no log-probabilities", id="no logarithms"),
        pytest.param({"state": "over one"}, "the server's numbers are no log-probabilities", id="more than one in all"),
        pytest.param({"masks": True}, "of all codes only the chosen one has a log-probability", id="-9999"),
        pytest.param({"top": 1}, "the server does not take the field 'top_logprobs' (400)", id="one at most"),
    ],
)
async def test_what_lies_about_log_probabilities_is_read_by_votes(plays: dict[str, Any], why: str) -> None:
    """Nothing is read out of such numbers, and the reason is kept to be shown."""
    model = ToyModel(Plays(**PLAIN, **plays))
    backend = engine(model, SHOP)
    assert await settled(backend) == {"reading": "5 votes", "temperature": "1.0"}
    assert backend.chosen is not None
    assert list(backend.chosen.passed) == ["token", "json-token"]
    assert all(reason.startswith(why) for reason in backend.chosen.passed.values())
    assert len(model.asked) == 6  # each of three forms, at each of two places


async def test_a_server_that_lists_fewer_than_asked_for(caplog: pytest.LogCaptureFixture) -> None:
    """Gives as many options a question, and is asked for no more than it gives."""

    class Sparing(ToyModel):
        def post(self, path: str, body: dict[str, Any]) -> tuple[int, Any]:
            return super().post(path, {**body, "top_logprobs": 3} if "top_logprobs" in body else body)

    model = Sparing(Plays(**PLAIN))
    backend = engine(model, SHOP)
    facts = await settled(backend)
    assert (facts["reading"], facts["most"]) == ("token", "3")
    await shares(backend, "refund", "parcel")
    assert caplog.records == []


async def test_thinking_cannot_be_switched_off() -> None:
    """The first token of an answer is then none of it, and what stands behind the thinking follows the thinking."""
    model = ToyModel(Plays(thinks=True))
    backend = engine(model, SHOP, kind="vllm", votes=3)
    facts = await settled(backend)
    assert facts["reading"] == "3 votes"
    assert backend.chosen is not None
    assert "the model thinks before it answers" in backend.chosen.passed["token"]
    assert len(model.asked) == 1
    [answer] = await ask(backend, "refund")
    assert isinstance(answer, Prediction)
    assert answer.source == "votes"
    assert model.asked[-1]["max_tokens"] == 4000  # it has room to think


async def test_a_model_that_is_told_not_to_think() -> None:
    """The switch is sent with the first request."""
    model = ToyModel()
    await settled(engine(model, SHOP, kind="vllm"))
    assert model.asked[0]["chat_template_kwargs"] == {"enable_thinking": False}
    assert model.asked[0]["max_tokens"] == 1
    assert "response_format" not in model.asked[0]


async def test_one_category_needs_no_model() -> None:
    """It is certain, and no ticket is sent."""
    model = ToyModel()
    backend = engine(model, Taxonomy.from_labels(["all"]), kind="vllm")
    [answer] = await ask(backend, "refund")
    assert isinstance(answer, Prediction)
    assert isinstance(answer.answer, Scores)
    assert answer.answer.values.tolist() == [0.0]
    assert answer.usage.attempts == 0
    assert model.asked == []


# -- nothing is concluded from what passes ---------------------------------------------------------


def failing(status: int, *, path: str = CHAT, since: int = 1) -> Callable[[int, str], tuple[int, Any] | None]:
    """A route that answers with this status from one request on."""
    return lambda number, asked: (status, {"error": {"message": "busy"}}) if asked == path and number >= since else None


@pytest.mark.parametrize(("status", "requests"), [(429, 3), (503, 3), (500, 3), (408, 3)])
async def test_a_passing_fault_chooses_no_other_way(status: int, requests: int, cache: Path) -> None:
    """The run stops before its first ticket; when the server works again, the best way is found."""
    model = ToyModel(Plays(fault=failing(status)))
    backend = engine(model, SHOP)
    with pytest.raises(BackendUnavailableError, match=f"the server answered {status}; try again when the server answers"):
        await backend.settle()
    assert (len(model.asked), backend.chosen, is_kept(cache)) == (requests, None, False)
    model.plays = Plays()
    assert (await settled(backend))["lists"] == "ids"


async def test_a_time_out_chooses_no_other_way() -> None:
    """The same for a server that does not answer."""
    model = ToyModel(Plays(**PLAIN))
    backend = engine(model, SHOP, timeout=0.05)
    model.plays.delay = 1.0
    with pytest.raises(BackendUnavailableError, match=r"a first question got no answer: no answer within 0\.05 s"):
        await backend.settle()
    model.plays.delay = 0.0
    assert (await settled(backend))["reading"] == "token"


async def test_the_page_of_a_gateway_chooses_no_other_way() -> None:
    """It comes and goes, and says nothing about the server behind it."""
    model = ToyModel(Plays(**PLAIN, fault=lambda number, path: (200, "<html>") if number <= 2 else None))
    backend = engine(model, SHOP)
    with pytest.raises(BackendUnavailableError, match="the server's answer is not JSON"):
        await backend.settle()
    assert (await settled(backend))["reading"] == "token"


@pytest.mark.parametrize(
    ("kind", "known"), [pytest.param("vllm", False, id="kind vllm"), pytest.param("openai", True, id="it says it is a vLLM")]
)
@pytest.mark.parametrize("since", [1, 10])
async def test_a_passing_fault_of_the_tokenizer_chooses_no_other_codes(kind: str, since: int, *, known: bool) -> None:
    """A server that has the route is not taken for one that has none, nor a letter for no token."""
    model = ToyModel(Plays(known=known, fault=failing(503, path="/tokenize", since=since)))
    with pytest.raises(BackendUnavailableError, match="a question about tokens got no answer: the server answered 503"):
        await engine(model, SHOP, kind=kind).settle()
    assert model.asked == []


@pytest.mark.parametrize("status", [404, 405, 500, 503])
async def test_a_host_without_the_route_may_say_so_in_any_way(status: int) -> None:
    """Of a host that nobody knows, an error there is no error of the run."""
    model = ToyModel(Plays(known=False, fault=failing(status, path="/tokenize")))
    assert (await settled(engine(model, SHOP)))["lists"] == "openai"


@pytest.mark.slow
async def test_nobody_waits_for_a_dead_server_twice() -> None:
    """Fifty who wait learn together, in the time of one, that it does not answer."""
    model = ToyModel(Plays(**PLAIN))
    model.plays.delay = 9.0
    backend = engine(model, SHOP, timeout=0.1)
    answers = await asyncio.gather(*(ask(backend, "refund", online=True) for _ in range(50)), return_exceptions=True)
    assert {type(answer) for answer in answers} == {BackendUnavailableError}
    assert len(model.paths) == 0  # nothing came through; each try is two attempts of 0.1 s


@pytest.mark.slow
async def test_somebody_who_waits_waits_no_longer_than_their_patience() -> None:
    """Also for the trial, whose attempts may take longer than that."""
    model = ToyModel(Plays(**PLAIN))
    model.plays.delay = 9.0
    backend = engine(model, SHOP, timeout=60.0)
    patience = Patience(online=0.2)
    backend.transport.endpoint = backend.transport.endpoint.__class__(
        name="toy", url=backend.transport.endpoint.url, patience=patience
    )
    backend.transport.pace.patience = patience
    with pytest.raises(BackendUnavailableError, match="a first question got no answer"):
        await asyncio.wait_for(ask(backend, "refund", online=True), 15)


# -- what was asked for ----------------------------------------------------------------------------


@pytest.mark.parametrize("reading", ["token", "json-token"])
async def test_a_way_that_was_asked_for_and_does_not_work(reading: str) -> None:
    """Is an error, not another way."""
    backend = engine(ToyModel(Plays(**PLAIN, state="null")), SHOP, reading=reading)
    words = f"it cannot be read by --reading {reading}: the server listed no log-probabilities; run `llmtriage doctor`"
    with pytest.raises(BackendRefusedError, match=words):
        await backend.settle()


async def test_little_mass_is_told_where_the_way_was_asked_for(caplog: pytest.LogCaptureFixture) -> None:
    """Each ticket keeps its label mass, and those with little wait for a person."""
    backend = engine(ToyModel(Plays(**PLAIN, mass=0.2)), SHOP, reading="token")
    assert (await settled(backend))["reading"] == "token"
    [record] = caplog.records
    assert "only 0.20 of the probability lies on codes" in record.getMessage()
    [answer] = await ask(backend, "refund")
    assert isinstance(answer, Prediction)
    assert isinstance(answer.answer, Scores)
    assert answer.answer.label_mass == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("settings", "how", "words"),
    [
        pytest.param({"reading": "token"}, {"rationale": True}, "a rationale is no single token", id="rationale, token"),
        pytest.param({"reading": "json-token"}, {"rationale": True}, "a rationale is no single token", id="rationale in JSON"),
        pytest.param(
            {"debias": "permute"}, {"rationale": True}, "only log-probabilities can be corrected", id="rationale, debias"
        ),
        pytest.param({"debias": "content-free"}, {"per_ticket": True}, "one fixed correction is wrong", id="own examples"),
        pytest.param({"debias": "permute", "reading": "votes"}, {}, "only log-probabilities can be corrected", id="votes"),
        pytest.param({"debias": "content-free", "reading": "json"}, {}, "only log-probabilities can be corrected", id="json"),
        pytest.param({"debias": "permute", "codes": "words"}, {}, "words cannot change places", id="words"),
    ],
)
def test_what_does_not_go_together(settings: dict[str, Any], how: dict[str, Any], words: str) -> None:
    """Is refused before anything is sent."""
    with pytest.raises(InputError, match=words):
        engine(ToyModel(), SHOP, **how, **settings)


@pytest.mark.parametrize(
    ("labels", "settings", "words"),
    [
        pytest.param(["refund", "return"], {"codes": "words"}, "'refund' and 'return' may begin with the same token", id="words"),
        pytest.param(["a1", "b1"], {"codes": "letters"}, "no two letters are one token", id="letters"),
        pytest.param([f"n{i}" for i in range(30)], {"many": "tree"}, "has 30 parts, and one question takes 20", id="tree"),
        pytest.param([f"n{i}" for i in range(30)], {"debias": "content-free"}, "content-free texts need fixed ones", id="prior"),
    ],
)
async def test_what_was_set_and_cannot_be_done_is_no_reason_for_another_way(
    labels: list[str], settings: dict[str, Any], words: str
) -> None:
    """Whoever sets something is told, and not served something else."""
    plays = Plays(letters=False, pairs=False) if "letters" in words or "letter " in words else Plays(**PLAIN)
    model = ToyModel(plays)
    with pytest.raises(InputError, match=words):
        await engine(model, Taxonomy.from_labels(labels), **settings).settle()
    assert model.asked == []


async def test_a_correction_of_log_probabilities_that_are_none() -> None:
    """Is not left out in silence."""
    backend = engine(ToyModel(Plays(**PLAIN, state="null")), SHOP, debias="permute")
    with pytest.raises(BackendRefusedError, match="--debias permute corrects log-probabilities, and it has none"):
        await backend.settle()


async def test_no_letter_is_one_token() -> None:
    """Such a model is read by votes, unless its names differ in their first token and words were asked for."""
    plays = Plays(letters=False, pairs=False)
    model = ToyModel(plays)
    backend = engine(model, SHOP, kind="vllm")
    assert (await settled(backend))["reading"] == "5 votes"
    assert model.asked == []  # the tokenizer told
    backend = engine(ToyModel(plays), SHOP, kind="vllm", codes="words")
    assert (await settled(backend))["codes"] == "words"
    [row] = await shares(backend, "I want a refund")
    assert row.argmax() == 0


async def test_by_json() -> None:
    """One answer, when asked for, and with a reason; there is no trial."""
    model = ToyModel()
    for backend in (engine(model, SHOP, reading="json"), engine(model, SHOP, rationale=True)):
        assert await settled(backend) == {"reading": "json"}
    assert model.paths == []


# -- overrides -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "form", "most"),
    [
        pytest.param({"token_ids": 0}, "openai", "20", id="no ids"),
        pytest.param({"token_ids": 9}, "ids", "9", id="nine ids"),
        pytest.param({"token_ids": 0, "top_logprobs": 5}, "openai", "5", id="five listed"),
        pytest.param({"max_options": 3}, "ids", "3", id="three options a question"),
    ],
)
async def test_what_a_server_can_do_may_be_said(settings: dict[str, Any], form: str, most: str, cache: Path) -> None:
    """And then holds for this engine alone: nothing is kept for others that was not found out."""
    model = ToyModel()
    facts = await settled(engine(model, SHOP, **settings))
    assert (facts["lists"], facts["most"]) == (form, most)
    assert is_kept(cache) == ("max_options" in settings)
    assert (await settled(engine(model, SHOP)))["lists"] == "ids"


async def test_without_any_log_probabilities() -> None:
    """Both forms can be forbidden."""
    model = ToyModel()
    backend = engine(model, SHOP, token_ids=0, top_logprobs=0)
    assert (await settled(backend))["reading"] == "5 votes"
    assert model.asked == []


@pytest.fixture
def tokenizer(tmp_path: Path) -> Path:
    """A tokenizer that knows the letters B, D, E, F, G and the blank."""
    from tokenizers import Tokenizer, models

    vocabulary = {letter: number for number, letter in enumerate(" BDEFG", 40)}
    path = tmp_path / "tokenizer.json"
    Tokenizer(models.BPE(vocabulary, [])).save(str(path))
    return path


async def test_a_tokenizer_in_a_file(tokenizer: Path) -> None:
    """Tells which letters are one token where the server does not; the folder may be named, too."""
    for path in (tokenizer, tokenizer.parent):
        model = ToyModel(Plays(**PLAIN, ids="ignored"))
        backend = engine(model, SHOP, tokenizer=path)
        assert (await settled(backend))["lists"] == "openai"
        codes = [line[0] for line in model.asked[-1]["messages"][0]["content"].splitlines() if ': "' in line]
        assert codes == ["B", "D", "E", "F"]
        assert "/tokenize" not in model.paths
        assert model.asked[0]["logprob_token_ids"] == [41, 42, 43, 44]


async def test_a_tokenizer_that_cannot_be_read(tmp_path: Path) -> None:
    """Is an error that names the file, also where another way would be found."""
    path = tmp_path / "tokenizer.json"
    for content in ("", "{}", "not JSON"):
        path.write_text(content)
        with pytest.raises(InputError, match=r"tokenizer\.json: tokenizer: no tokenizer can be read"):
            await engine(ToyModel(Plays(**PLAIN)), SHOP, tokenizer=path).settle()
    with pytest.raises(InputError, match="no tokenizer can be read"):
        await engine(ToyModel(), SHOP, tokenizer=tmp_path / "missing").settle()


async def test_the_host_of_openai_is_asked_nothing_that_it_does_not_have() -> None:
    """One chat request, and no route beside the API."""
    model = ToyModel()
    facts = await settled(engine(model, SHOP, url="https://api.openai.com/v1"))
    assert (facts["lists"], facts["codes"]) == ("openai", "letters")
    assert model.paths == [CHAT]
    assert "logprob_token_ids" not in model.asked[0]


# -- what was found out is kept --------------------------------------------------------------------


@pytest.mark.slow
async def test_what_was_found_out_is_used_the_next_time() -> None:
    """A look at the tokenizer and one request instead of many, with the same result."""
    model = ToyModel()
    first = engine(model, SHOP)
    await first.settle()
    assert len(model.paths) > 20
    model.paths.clear()
    second = engine(model, SHOP)
    await second.settle()
    assert model.paths == ["/tokenize", CHAT]
    assert second.fingerprint() == first.fingerprint()
    assert second.chosen == first.chosen


async def test_what_was_found_out_about_few_categories_is_not_enough_for_many() -> None:
    """What is missing is asked for, and the result is that of a first run."""
    many = Taxonomy.from_labels([f"n{i}" for i in range(30)])
    other, model = ToyModel(), ToyModel()
    fresh = engine(other, many, url="http://other.test/v1")
    await fresh.settle()
    await engine(model, SHOP).settle()
    later = engine(model, many)
    await later.settle()
    assert later.fingerprint() == fresh.fingerprint()
    assert model.paths.count("/tokenize") <= other.paths.count("/tokenize") + 1  # what was known was not asked for again


@pytest.mark.parametrize(
    ("now", "lists"),
    [
        pytest.param({"ids": "refused"}, "openai", id="it has lost the ids"),
        pytest.param({"ids": "ignored", "top": 5}, "openai", id="and lists less"),
        pytest.param({"models": ("toy-2",)}, "ids", id="another model"),
        pytest.param({"models": ("toy-2",), "letters": False}, "ids", id="another model with another tokenizer"),
        pytest.param({"state": "null"}, None, id="it lists nothing any more"),
        pytest.param({"thinks": True}, None, id="it thinks"),
    ],
)
async def test_what_does_not_hold_any_more_is_found_out_anew(now: dict[str, Any], lists: str | None) -> None:
    """The choice is that of a first run, and is kept in its place."""
    model = ToyModel()
    await engine(model, SHOP).settle()
    model.plays = Plays(**now)
    fresh = engine(ToyModel(Plays(**now)), SHOP, url="http://other.test/v1")
    later = engine(model, SHOP)
    await fresh.settle()
    await later.settle()
    assert later.fingerprint() == fresh.fingerprint()
    assert later.chosen == fresh.chosen
    assert later.chosen is not None
    assert later.chosen.facts.get("lists") == lists


async def test_other_settings_begin_anew() -> None:
    """A switch against thinking that is set now was not tried before."""
    model = ToyModel()
    await engine(model, SHOP).settle()
    await engine(model, SHOP, thinking="enable_thinking").settle()
    assert "enable_thinking" not in model.asked[0]
    assert model.asked[-1]["enable_thinking"] is False


async def test_a_way_that_was_asked_for_once_is_not_the_next_ones() -> None:
    """The code in JSON is the second best way, whoever asked for it before."""
    model = ToyModel()
    await engine(model, SHOP, reading="json-token").settle()
    assert await settled(engine(model, SHOP)) == await settled(engine(ToyModel(), SHOP, url="http://other.test/v1"))


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", '{"format": 1, "servers": {"x": 1}}'])
async def test_a_broken_file_of_what_was_found_out(text: str, cache: Path) -> None:
    """Is as none."""
    cache.write_text(text)  # noqa: ASYNC240
    assert (await settled(engine(ToyModel(), SHOP)))["lists"] == "ids"


# -- more than one loop ----------------------------------------------------------------------------


def test_two_event_loops_read_in_one_way() -> None:
    """Sync calls have a loop of their own; an engine that is asked from two at once is settled once."""
    model = ToyModel(Plays(**PLAIN, models=("toy-1", "toy-2"), change=2))
    backend = engine(model, SHOP)
    begun = threading.Barrier(2)

    def settle() -> ChosenBackend:
        begun.wait()
        asyncio.run(backend.settle())
        return backend

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda _: settle(), range(2)))
    chosen = backend.chosen
    asyncio.run(backend.settle())
    assert backend.chosen is chosen
    assert chosen is not None
    assert chosen.facts["answers_as"] == backend.fingerprint()["answers_as"]


# -- the best codes --------------------------------------------------------------------------------

WORDS = ["money", "parcel", "login", "other"]
TEXTS = ["the money of order {}", "parcel {} is late", "no login on device {}", "other question {}"]


def labelled(count: int) -> list[Example]:
    """So many texts, each category in turn."""
    return [Example(text=TEXTS[i % 4].format(i), category=WORDS[i % 4]) for i in range(count)]


MISLEADING = {"A": 6.0, "C": -3.0}  # what this model thinks of letters, whatever they stand for


async def test_codes_are_chosen_by_their_log_loss_on_held_out_examples() -> None:
    """Where letters mislead a model, others are taken; all that was compared is shown."""
    model = ToyModel(Plays(pull=MISLEADING))
    backend = engine(model, Taxonomy.from_labels(WORDS), codes="best", examples=labelled(44))
    facts = await settled(backend)
    assert backend.chosen is not None
    losses = backend.chosen.log_losses
    assert set(losses) == {"letters", "random", "words"}
    assert facts["codes"] == min(losses, key=lambda kind: losses[kind]) != "letters"
    assert losses["letters"] > 2 * losses[facts["codes"]]
    assert len(model.asked) == 1 + 3 * 44
    assert backend.engine.fingerprint()["codes"].startswith(facts["codes"])


async def test_a_server_of_ones_own_compares_by_itself() -> None:
    """On others nothing is asked that was not asked for."""
    examples = labelled(40)
    taxonomy = Taxonomy.from_labels(WORDS)
    for kind, compared in (("vllm", True), ("openai", False)):
        backend = engine(ToyModel(Plays(pull=MISLEADING)), taxonomy, kind=kind, examples=examples, url=f"http://{kind}.test/v1")
        await backend.settle()
        assert backend.chosen is not None
        assert bool(backend.chosen.log_losses) == compared


@pytest.mark.parametrize(
    ("count", "shown"), [pytest.param(39, 0, id="too few"), pytest.param(44, 5, id="too few that no prompt shows")]
)
async def test_few_examples_say_nothing_about_codes(count: int, shown: int) -> None:
    """Fewer than 40 that no prompt shows: letters."""
    examples = labelled(count)
    model = ToyModel(Plays(pull=MISLEADING, **PLAIN))
    backend = engine(model, Taxonomy.from_labels(WORDS), codes="best", examples=examples, shown=examples[:shown])
    facts = await settled(backend)
    assert backend.chosen is not None
    assert (facts["codes"], backend.chosen.log_losses, len(model.asked)) == ("letters", {}, 1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("second", "asked"),
    [
        pytest.param({}, 1, id="nothing else"),
        pytest.param({"shown": slice(84, 88)}, 1 + 3 * 60, id="other examples in the prompt"),
        pytest.param({"max_options": 3}, 1 + 3 * 60, id="fewer categories in a question"),
        pytest.param({"extra_body": {"seed": 7}}, 1 + 3 * 60, id="another field"),
    ],
)
async def test_codes_are_compared_again_where_anything_else_is_asked(second: dict[str, Any], asked: int) -> None:
    """What was compared is kept for the very same requests."""
    examples, taxonomy, model = labelled(100), Taxonomy.from_labels(WORDS), ToyModel(Plays(pull=MISLEADING))
    for changes in ({}, second):
        model.asked.clear()
        how = {"shown": slice(80, 84), "codes": "best", "many": "shortlist", **changes}
        backend = engine(model, taxonomy, examples=examples, **{**how, "shown": examples[how["shown"]]})
        await backend.settle()
    assert len(model.asked) == asked


async def test_codes_that_cannot_be_are_left_out_of_the_comparison() -> None:
    """Names that begin alike are no words; a permutation has no use for words."""
    alike = Taxonomy.from_labels(["money", "mobile", "login"])
    examples = [Example(text=f"{name} {i}", category=name) for i in range(14) for name in ("money", "mobile", "login")]
    for taxonomy, debias, held_out in ((alike, "none", examples), (Taxonomy.from_labels(WORDS), "permute", labelled(40))):
        backend = engine(ToyModel(Plays(**PLAIN)), taxonomy, codes="best", examples=held_out, debias=debias)
        await backend.settle()
        assert backend.chosen is not None
        assert set(backend.chosen.log_losses) == {"letters", "random"}


@pytest.mark.slow
async def test_a_fault_while_codes_are_compared_is_no_reason_for_letters() -> None:
    """The run stops, and the next one compares."""
    model = ToyModel(Plays(fault=failing(503, since=30)))
    backend = engine(model, Taxonomy.from_labels(WORDS), codes="best", examples=labelled(40))
    with pytest.raises(StoppedError, match="the server answered 503"):
        await backend.settle()
    assert backend.chosen is None


async def test_random_codes_are_no_names() -> None:
    """They are the same for the same version of the taxonomy, and a name is never one."""
    taxonomy = Taxonomy.from_labels(["BC", "D", "F", "CB"])
    codes = []
    for url in ("http://a.test/v1", "http://b.test/v1"):
        model = ToyModel()
        backend = engine(model, taxonomy, codes="random", url=url)
        assert (await settled(backend))["codes"] == "random"
        codes.append(list(model.options(model.asked[0]["messages"][0]["content"])))
    assert codes[0] == codes[1]
    assert all(len(code) == 2 for code in codes[0])
    assert set(codes[0]).isdisjoint({"BC", "CB"})
