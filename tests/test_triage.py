"""`Triage`: from tickets to outcomes, sync and async, in order, with bounded memory."""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import CancelledError
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import llmtriage
from llmtriage import (
    Accepted,
    BackendError,
    Example,
    Failure,
    InputError,
    Pending,
    Policy,
    Preparation,
    Question,
    Settings,
    Taxonomy,
    Ticket,
    Triage,
    UnknownNameError,
)
from llmtriage.testing import Answer, ScriptedBackend, make_ticket

SURE = {"refund": 0.9, "parcel": 0.1}


def triage(shop: Taxonomy, backend: ScriptedBackend | str | None = None, **options: Any) -> Triage:
    """A triage over `shop` that accepts from 0.8 on."""
    return Triage(**{"taxonomy": shop, "backend": backend or ScriptedBackend(SURE), "threshold": 0.8, **options})


def test_one_ticket(shop: Taxonomy) -> None:
    """Matched by class and keyword, as the documentation shows."""
    match triage(shop).classify(make_ticket(id="T7")):
        case Accepted(category=category, team=team, confidence=confidence, ticket_id=ticket_id):
            assert (category, team, confidence, ticket_id) == ("refund", "sales", None, "T7")
        case Pending():
            pytest.fail("it should be accepted")
    match triage(shop, threshold=0.95).classify("Where is my money?"):
        case Pending(suggestion=suggestion, candidates=candidates, reasons=reasons):
            assert (suggestion, reasons[0].code) == ("sales", "below_threshold")
            assert [c.category for c in candidates][:2] == ["refund", "parcel"]
        case Accepted():
            pytest.fail("it should wait")


async def test_async_and_sync_agree(shop: Taxonomy) -> None:
    """Both inside a running loop."""
    one = triage(shop)
    assert (await one.aclassify("a text")).score == one.classify("a text").score
    assert [o.ticket_id async for o in one.aclassify_many(make_ticket(id=str(i)) for i in range(3))] == ["0", "1", "2"]

    async def tickets() -> AsyncIterator[Ticket]:
        yield make_ticket(id="a")

    assert [o.ticket_id async for o in one.aclassify_many(tickets())] == ["a"]


def test_order_is_kept_with_gated_failed_and_slow_tickets(shop: Taxonomy) -> None:
    """Whatever happens to a ticket, its outcome stands in its place."""

    def script(question: Question) -> Answer:
        return Failure(reason="refused", detail="no") if "bad" in question.text else SURE

    backend = ScriptedBackend(script, seconds=lambda question: 0.01 if "slow" in question.text else 0)
    texts = ["one text", "", "bad text", "slow text", "😀", "last text"] * 50
    outcomes = list(triage(shop, backend).classify_many(Ticket(content=text, id=str(i)) for i, text in enumerate(texts)))
    assert [o.ticket_id for o in outcomes] == [str(i) for i in range(len(texts))]
    words = ["accepted" if isinstance(o, Accepted) else o.reasons[0].code for o in outcomes]
    assert words == ["accepted", "too_short", "refused", "accepted", "too_short", "accepted"] * 50
    assert backend.asked == 200


@pytest.mark.slow
def test_many_gated_tickets_do_not_pile_up(shop: Taxonomy) -> None:
    """An endless run of empty tickets gives outcomes while the engine waits for a question."""
    drawn = 0

    def tickets() -> Iterator[Ticket]:
        nonlocal drawn
        while True:
            drawn += 1
            yield Ticket(content="")

    outcomes = triage(shop).classify_many(tickets())
    for _ in range(20_000):
        assert isinstance(next(outcomes), Pending)
    assert drawn < 20_000 + 5_000
    outcomes.close()  # type: ignore[attr-defined]


@pytest.mark.parametrize("seconds", [None, lambda question: 0.001], ids=["at once", "in time"])
def test_an_engine_that_breaks_raises_after_the_outcomes_before(shop: Taxonomy, seconds: object) -> None:
    """What was decided is not lost."""
    count = iter(range(100))

    def script(question: Question) -> Answer:
        return BackendError("gone", backend="scripted") if next(count) == 7 else SURE

    backend = ScriptedBackend(script, seconds=seconds, concurrency=3)  # type: ignore[arg-type]
    outcomes = []
    with pytest.raises(BackendError, match="scripted: gone"):
        for outcome in triage(shop, backend).classify_many(["a text"] * 100):
            outcomes.append(outcome)
    assert len(outcomes) == 7


def test_an_engine_that_answers_too_little_is_found_out(shop: Taxonomy) -> None:
    """No ticket is lost without a word."""

    class Lazy(ScriptedBackend):
        async def _at_once(self, questions):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
            async for question in questions:
                yield self._answer(question)
                return

    with pytest.raises(BackendError, match="answered fewer questions than it was asked"):
        list(triage(shop, Lazy(SURE)).classify_many(["a text"] * 3))


def test_a_broken_input_raises_after_the_outcomes_before(shop: Taxonomy) -> None:
    """An exception of the caller's iterator is the caller's."""

    def tickets() -> Iterator[str]:
        yield "a text"
        raise InputError("bad row")

    with pytest.raises(InputError, match="bad row"):
        list(triage(shop).classify_many(tickets()))


def test_concurrency_is_bounded(shop: Taxonomy) -> None:
    """As many as the engine allows, and that many."""
    backend = ScriptedBackend(SURE, seconds=lambda question: 0.001, concurrency=7)
    list(triage(shop, backend).classify_many(["a text"] * 100))
    assert backend.most_in_flight == 7


def test_several_threads_share_one_triage(shop: Taxonomy) -> None:
    """Each gets its own outcomes."""
    from concurrent.futures import ThreadPoolExecutor

    one = triage(shop)
    with ThreadPoolExecutor(4) as pool:
        ids = list(pool.map(lambda i: one.classify(make_ticket(id=str(i))).ticket_id, range(40)))
    assert ids == [str(i) for i in range(40)]


def test_several_event_loops_share_one_triage(shop: Taxonomy) -> None:
    """One after the other, as in a script that calls asyncio.run twice."""
    one = triage(shop)
    for _ in range(2):
        assert isinstance(asyncio.run(one.aclassify("a text")), Accepted)


def test_the_fingerprint_names_every_ingredient(shop: Taxonomy) -> None:
    """A change of any of them is another run."""
    from llmtriage.prepare import Preparation

    backend = ScriptedBackend(SURE)
    runs = [
        triage(shop, backend),
        triage(shop, ScriptedBackend(SURE, name="another")),
        triage(shop, backend, threshold=0.7),
        triage(shop.model_copy(update={"precedence": ("x",)}), backend),
        triage(shop, backend, preparation=Preparation(("unicode",))),
    ]
    assert len({run.run_id for run in runs}) == len(runs)
    assert runs[0].run_id == triage(shop, backend).run_id


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"threshold": 1.5}, "threshold: 1.5 is not between 0 and 1"),
        ({"threshold": 0.5, "policy": Policy()}, "threshold: given twice"),
        ({"backend": "nothing"}, "unknown backend 'nothing'"),
        ({"backend": "openai"}, "openai: names no model"),
        ({"backend": "openai:m@ftp://h"}, "not an HTTP address"),
        ({"backend": "openai:m@http://h:99999"}, "not an HTTP address"),
        ({"backend": "openai:m@127.0.0.1:8900/v1"}, "has no scheme; write openai:MODEL@http://127.0.0.1:8900/v1"),
        ({"backend": "openai:m@localhost"}, "has no scheme"),
        ({"backend": "openai:m@http://me:pw@h/v1"}, "a password does not belong in a URL"),
        ({"backend": "lexical", "shots": -1}, "shots: -1 is negative"),
        ({"backend": "openai:m", "prompt_examples": -1}, "prompt examples: -1 is negative"),
        ({"taxonomy": "nowhere.yaml"}, "no such file"),
        ({"examples": "nowhere.csv"}, "no such file"),
        ({"backend": "openai:m", "language": "fr"}, "unknown prompt language"),
    ],
)
def test_a_wrong_option_is_one_line(shop: Taxonomy, options: dict[str, Any], words: str) -> None:
    """At the start, not at the first ticket."""
    with pytest.raises(InputError, match=words.replace("(", r"\(")) as caught:
        triage(shop, **options)
    assert "pw" not in str(caught.value).replace("password", "")


def test_a_named_engine_comes_from_the_settings(shop: Taxonomy, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also one whose model's name holds an @, with a key of its own."""
    monkeypatch.setenv("MY_KEY", "sk-mine")
    backends = {"qwen": {"kind": "vllm", "model": "a@b", "url": "http://gpu:8000", "key_env": "MY_KEY", "timeout": 7}}
    one = triage(shop, backend="qwen", settings=Settings(backends=backends))
    endpoint = one.backend.transport.endpoint  # type: ignore[attr-defined]
    assert (endpoint.url, endpoint.key.get_secret_value(), endpoint.timeout) == ("http://gpu:8000/v1", "sk-mine", 7)


@pytest.mark.parametrize(
    ("backend", "key"),
    [
        ("openai:m", "sk-openai"),
        ("openai:m@https://api.openai.com/v1", "sk-openai"),
        ("openai:m@http://localhost:1/v1", "sk-other"),
        ("openai:m@https://api.openai.com.evil.test/v1", "sk-other"),
        ("vllm:m", "sk-other"),
    ],
)
def test_each_host_gets_its_own_key(shop: Taxonomy, monkeypatch: pytest.MonkeyPatch, backend: str, key: str) -> None:
    """OPENAI_API_KEY goes to OpenAI's own host and to no other."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-openai")
    monkeypatch.setenv("LLMTRIAGE_API_KEY", "sk-other")
    one = triage(shop, backend=backend)
    assert one.backend.transport.endpoint.key.get_secret_value() == key  # type: ignore[attr-defined]


@pytest.mark.parametrize(("key", "sent"), [("sk-1\n", "sk-1"), ("  ", None)], ids=["line end", "blank"])
def test_a_key_is_sent_without_what_surrounds_it(
    shop: Taxonomy, monkeypatch: pytest.MonkeyPatch, key: str, sent: str | None
) -> None:
    """A key pasted from a file has a line end."""
    monkeypatch.setenv("LLMTRIAGE_API_KEY", key)
    held = triage(shop, backend="vllm:m").backend.transport.endpoint.key  # type: ignore[attr-defined]
    assert (held.get_secret_value() if held else None) == sent


def test_a_key_that_no_header_can_carry_is_refused_unseen(shop: Taxonomy, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line that names the variable, not the key."""
    monkeypatch.setenv("LLMTRIAGE_API_KEY", "sk-\u2026secret")
    with pytest.raises(InputError, match="LLMTRIAGE_API_KEY: the key holds a character") as caught:
        triage(shop, backend="vllm:m")
    assert "secret" not in str(caught.value)


def test_settings_in_code_win_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """And a mistyped one is refused."""
    monkeypatch.setenv("LLMTRIAGE_CONCURRENCY", "64")
    assert Settings(concurrency=1).concurrency == 1
    assert Settings().concurrency == 64
    with pytest.raises(ValueError, match="Extra inputs are not permitted"):
        Settings(timeuot=1)  # type: ignore[call-arg]


def test_a_flag_wins_over_what_a_named_engine_says() -> None:
    """As over every other setting of the file."""
    backends = {"qwen": {"kind": "vllm", "model": "m", "timeout": 30, "concurrency": 64}}
    settings = Settings(backends=backends, timeout=40).with_flags(timeout=5.0, attempts=1)
    qwen = settings.backends["qwen"]
    assert (settings.timeout, settings.attempts, qwen.timeout, qwen.concurrency) == (5.0, 1, 5.0, 64)


@dataclass(frozen=True)
class FakeEntry:
    """An entry point that loads to whatever it holds."""

    made: object
    value: str = "somewhere:make"

    def load(self) -> object:
        """Load it."""
        if isinstance(self.made, Exception):
            raise self.made
        return self.made


def test_a_third_partys_engine_is_found_by_its_kind(shop: Taxonomy, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its factory gets what stands behind the colon; its faults are said to be its own."""
    found: dict[str, FakeEntry] = {}
    monkeypatch.setattr("llmtriage.backends.entry_points", lambda *, group, name: [found[name]] if name in found else [])
    found["sams"] = FakeEntry(lambda argument, setup: ScriptedBackend(SURE, name=f"sams:{argument}"))
    assert triage(shop, backend="sams:x").backend.name == "sams:x"
    for broken, words in ((ImportError("no torch"), "it cannot be made"), (lambda argument, setup: 7, "made no backend")):
        found["sams"] = FakeEntry(broken)
        with pytest.raises(BackendError, match=f"sams:x: .*{words}"):
            triage(shop, backend="sams:x")


@pytest.mark.parametrize("error", [SystemExit(3), asyncio.CancelledError(), KeyboardInterrupt()], ids=lambda e: type(e).__name__)
def test_whatever_an_engine_raises_nothing_hangs(shop: Taxonomy, error: BaseException) -> None:
    """The caller gets an exception, and the next call works."""

    class Rude(ScriptedBackend):
        async def _at_once(self, questions):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
            async for question in questions:
                if question.text == "rude text":
                    raise error
                yield self._answer(question)

    one = triage(shop, Rude(SURE))
    with pytest.raises(BaseException) as caught:  # noqa: PT011
        one.classify("rude text")
    assert isinstance(caught.value, BackendError | RuntimeError | CancelledError)
    assert isinstance(one.classify("a text"), Accepted)


def test_an_engine_that_answers_too_much_is_found_out(shop: Taxonomy) -> None:
    """An answer without a question is nobody's."""

    class Eager(ScriptedBackend):
        async def _at_once(self, questions):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
            async for question in questions:
                yield self._answer(question)
                yield self._answer(question)

    with pytest.raises(BackendError, match="answered more questions than it was asked"):
        list(triage(shop, Eager(SURE)).classify_many(["a text"] * 3))


def test_a_sync_call_inside_the_loop_is_told_so(shop: Taxonomy) -> None:
    """It would wait for itself."""

    def script(question: Question) -> Answer:
        one.classify("another text")
        return SURE

    one = triage(shop, ScriptedBackend(script))
    with pytest.raises(RuntimeError, match="use the async one"):
        one.classify("a text")


def test_a_script_that_names_no_category_is_told_so(shop: Taxonomy) -> None:
    """A mistyped name would make the scores flat."""
    with pytest.raises(UnknownNameError, match="did you mean 'refund'"):
        triage(shop, ScriptedBackend({"refnd": 0.9})).classify("a text")


def test_examples_are_learnt_from_or_shown(shop: Taxonomy) -> None:
    """Balanced and bounded, in a seeded order."""
    examples = [Example(text=f"text {i} {c}", category=c) for c in ("refund", "parcel", "login") for i in range(9)]
    shown = triage(shop, backend="openai:m", examples=examples, prompt_examples=6).prompt.examples
    assert sorted(e.category for e in shown) == ["login"] * 2 + ["parcel"] * 2 + ["refund"] * 2
    assert shown == triage(shop, backend="openai:m", examples=examples, prompt_examples=6).prompt.examples
    assert triage(shop, backend="openai:m", examples=examples, prompt_examples=0).prompt.examples == ()


def test_personal_data_in_examples_are_hidden(shop: Taxonomy) -> None:
    """Also in those that code gives, unless nothing is to be hidden; and not a second time."""
    given = [Example(text="我叫王芳，13800138000", category="refund")]
    hidden = triage(shop, backend="openai:m", examples=given).prompt.examples
    assert [example.text for example in hidden] == ["我叫[NAME_1]，[PHONE_1]"]
    assert triage(shop, backend="openai:m", examples=hidden).prompt.examples == hidden
    assert triage(shop, backend="openai:m", examples=given, preparation=Preparation(())).prompt.examples == tuple(given)


def test_no_ticket_text_in_repr_or_log(shop: Taxonomy, caplog: pytest.LogCaptureFixture) -> None:
    """Of tickets, questions, predictions and outcomes."""
    with caplog.at_level(logging.DEBUG, logger="llmtriage"):
        outcome = triage(shop).classify(Ticket(content="my secret", title="my secret", customer="my secret"))
    assert "secret" not in caplog.text + repr(outcome) + repr(
        Ticket(content="my secret", title="my secret", customer="my secret")
    )
    assert "secret" not in repr(Question(text="my secret", categories=())) + repr(Example(text="my secret", category="a"))


def test_classify_keeps_the_triage_it_built(tmp_path: Path, shop: Taxonomy, monkeypatch: pytest.MonkeyPatch) -> None:
    """One call; the second does not read the taxonomy again."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taxonomy.yaml").write_text(shop.to_yaml(), encoding="utf-8")
    first = llmtriage.classify("I cannot login", threshold=0.0)
    (tmp_path / "taxonomy.yaml").unlink()
    assert llmtriage.classify("I cannot login", threshold=0.0).score == first.score


def test_the_public_names_are_those_listed() -> None:
    """Sorted, and each can be had."""
    assert llmtriage.__all__ == sorted(llmtriage.__all__)
    assert set(dir(llmtriage)) == set(llmtriage.__all__)
    for name in llmtriage.__all__:
        assert getattr(llmtriage, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        llmtriage.nothing  # noqa: B018


def test_importing_loads_nothing_heavy() -> None:
    """Neither numpy nor openai nor scikit-learn nor pydantic."""
    code = "import sys, llmtriage; print([m for m in ('numpy', 'openai', 'sklearn', 'pydantic', 'jinja2') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_million_tickets_in_flat_memory(shop: Taxonomy) -> None:
    """Also when one in a thousand is slow: peak memory of the last 900,000 is that of the first 100,000."""
    code = """
import resource
from llmtriage import Taxonomy, Ticket, Triage
from llmtriage.testing import ScriptedBackend
shop = Taxonomy.from_labels(["refund", "parcel"])
slow = lambda question: 0.002 if question.text.endswith("000 money") else 0
backend = ScriptedBackend({"refund": 0.9, "parcel": 0.1}, seconds=slow, concurrency=64)
tickets = (Ticket(content=f"ticket {i} money", id=str(i)) for i in range(1_000_000))
peaks = []
for i, outcome in enumerate(Triage(taxonomy=shop, backend=backend, threshold=0.8).classify_many(tickets)):
    assert outcome.ticket_id == str(i)
    if i in (100_000, 999_999):
        peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
print(*peaks)
"""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    early, late = map(int, done.stdout.split())
    assert late < early * 1.05
