"""What doctor finds of servers that play their part, and what it says of it."""

from __future__ import annotations

import asyncio
import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from probed import TRAINED, Plays, Probed

from llmtriage import Taxonomy
from llmtriage.backends import settings_of
from llmtriage.backends.probing import JsonModes
from llmtriage.doctor import Checkup, examine, probing_settings
from llmtriage.doctor.decisions import Decisions
from llmtriage.doctor.findings import of_decisions
from llmtriage.doctor.load import AT_ONCE
from llmtriage.doctor.samples import samples
from llmtriage.errors import BackendError, BackendRefusedError, BackendUnavailableError
from llmtriage.measured import recall
from llmtriage.settings import BackendSettings, Settings
from llmtriage.triage import Triage

pytestmark = pytest.mark.usefixtures("by_json")

Examine = Callable[..., Checkup]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is written to the user's folder."""
    monkeypatch.setenv("LLMTRIAGE_CACHE_DIR", str(tmp_path))


@pytest.fixture
def checkup(started: Callable[[Plays], Probed]) -> Examine:
    """Examine a server that plays its part."""

    def call(plays: Plays, *, model: str = "m", kind: str = "openai", repeat: int = 2, **engine: Any) -> Checkup:
        return examined(started(plays).url, model=model, kind=kind, repeat=repeat, **engine)

    return call


def examined(url: str, *, model: str = "m", kind: str = "openai", repeat: int = 2, **engine: Any) -> Checkup:
    """Examine the server at `url`."""
    named = BackendSettings(kind=kind, model=model, url=url, **engine)
    settings = probing_settings("e", Settings(backends={"e": named}))
    taxonomy = Taxonomy.from_labels(["refund", "parcel", "other"])

    async def run() -> Checkup:
        async with Triage(taxonomy=taxonomy, backend="e", settings=settings) as triage:
            return await examine(triage, settings, repeat=repeat)

    return asyncio.run(run())


def codes(found: Checkup) -> dict[str, str]:
    """Check to result."""
    return {finding.check: finding.code.partition(".")[2] for finding in found.findings}


def test_a_healthy_server_has_nothing_to_mend(checkup: Examine) -> None:
    """Every check is ok, and the values are those that the server has."""
    found = checkup(Plays(), kind="vllm")
    assert {finding.state for finding in found.findings} == {"ok"}
    assert codes(found)["model"] == "true"
    server = found.capabilities
    assert server is not None
    assert (server.identity.server, server.identity.version, server.identity.context) == ("vLLM", "0.32.0", 16384)
    assert server.json == JsonModes(schema="honoured", chinese="honoured", object="honoured", prompt="honoured")
    assert server.logprobs.token_ids
    assert server.logprobs.mass == pytest.approx(0.984, abs=1e-3)
    assert server.counts
    assert server.tokenizer == "/tokenize"
    assert found.load.failed == {}
    assert found.load.ratio == pytest.approx(1.0, abs=0.02)


def test_the_probes_send_nothing_but_their_own_texts(started: Callable[[Plays], Probed]) -> None:
    """Each ticket is one of the samples, and each other request has one message in English and Chinese or of a fixed wording."""
    server = started(Plays())
    examined(server.url)
    own = {text for _, text in samples(100)}
    tickets = [re.findall(r"<ticket-\w+>\n(.*)\n</ticket", body["messages"][-1]["content"]) for body in server.asked]
    assert {ticket for found in tickets for ticket in found} <= own
    assert sum(map(bool, tickets)) == 10 + 2 + AT_ONCE
    assert len(server.asked) < 80


@pytest.mark.parametrize(
    ("plays", "result", "json"),
    [
        (Plays(), "schema", "schema"),
        (Plays(schema="ignored"), "object", "object"),
        (Plays(schema="refused"), "object", "object"),
        (Plays(schema="refused", object="refused"), "prompt", "prompt"),
        (Plays(schema="ignored", object="ignored"), "prompt", "prompt"),
        (Plays(schema="latin"), "chinese", "schema"),
    ],
)
def test_json_is_kept_to_ignored_or_refused(checkup: Examine, plays: Plays, result: str, json: str) -> None:
    """And the table asks for the strictest way that works."""
    found = checkup(plays)
    assert codes(found)["json"] == result
    assert found.table is not None
    assert tomllib.loads(found.table)["backends"]["NAME"]["json"] == json


def test_a_model_that_answers_no_json_cannot_work(checkup: Examine) -> None:
    """No sample ticket gets an answer."""
    found = checkup(Plays(schema="ignored", object="ignored", speaks_json=False))
    assert codes(found)["json"] == "none"
    assert codes(found)["answers"] == "none"
    assert not found.works
    assert recall("http://x/v1", "m") is None


@pytest.mark.parametrize(
    ("plays", "result"),
    [
        (Plays(logprobs="refused"), "refused"),
        (Plays(logprobs="absent"), "silent"),
        (Plays(logprobs="null"), "silent"),
        (Plays(logprobs="empty"), "silent"),
        (Plays(logprobs="one"), "labels"),
        (Plays(logprobs="five"), "ok"),
        (Plays(logprobs="integer"), "ok"),
        (Plays(thinks="always"), "thinking"),
    ],
)
def test_log_probabilities_count_only_where_both_labels_come(checkup: Examine, plays: Plays, result: str) -> None:
    """A 200 alone proves nothing."""
    found = checkup(plays)
    assert codes(found)["logprobs"] == result
    if result == "silent":
        assert found.capabilities is not None
        assert found.capabilities.logprobs.state == plays.logprobs
    if plays.logprobs == "integer":
        assert found.capabilities is not None
        assert found.capabilities.logprobs.form == "integer"


@pytest.mark.parametrize(("logprobs", "most"), [("many", 100), ("five", 3)])
def test_the_most_that_one_position_lists_is_found(checkup: Examine, logprobs: str, most: int) -> None:
    """A server of your own may allow more than the twenty that hosts do."""
    found = checkup(Plays(logprobs=logprobs))
    assert found.capabilities is not None
    assert found.capabilities.logprobs.most == most


def test_token_ids_that_do_not_come_back_are_not_supported(checkup: Examine) -> None:
    """llama.cpp ignores the field with a 200."""
    found = checkup(Plays(kind="llama.cpp"))
    assert found.capabilities is not None
    assert found.capabilities.tokenizer == "/tokenize"
    assert not found.capabilities.logprobs.token_ids


@pytest.mark.parametrize(
    ("plays", "thinking", "result", "fits"),
    [
        (Plays(), "leave", "none", "leave"),
        (Plays(thinks="chat_template_kwargs"), "chat_template", "off", "chat_template"),
        (Plays(thinks="reasoning_effort"), "leave", "other", "reasoning_effort"),
        (Plays(thinks="thinking"), "chat_template", "other", "thinking"),
        (Plays(refuses=("enable_thinking",)), "enable_thinking", "other", "leave"),
        (Plays(thinks="always"), "chat_template", "on", "chat_template"),
    ],
)
def test_the_switch_against_thinking_is_tried_and_another_one_found(
    checkup: Examine, plays: Plays, thinking: str, result: str, fits: str
) -> None:
    """The table has the one that works."""
    found = checkup(plays, thinking=thinking)
    assert codes(found)["thinking"] == result
    assert found.table is not None
    assert tomllib.loads(found.table)["backends"]["NAME"]["thinking"] == fits


def test_a_prompt_that_is_cut_from_the_front_is_noticed(checkup: Examine) -> None:
    """As Ollama does it, with a 200; the window goes into the table."""
    found = checkup(Plays(kind="ollama", cut=2000))
    assert codes(found)["front"] == "cut"
    assert found.capabilities is not None
    assert found.capabilities.identity.server == "Ollama"
    window = found.capabilities.window
    assert window is not None
    assert window.read == 2000
    assert window.cut
    assert window.recalled is False
    assert found.table is not None
    assert tomllib.loads(found.table)["backends"]["NAME"]["context"] == 2000


@pytest.mark.parametrize(("cut", "works"), [(2000, True), (100, False)])
def test_a_server_that_cuts_even_a_short_prompt_cannot_work(started: Callable[[Plays], Probed], cut: int, *, works: bool) -> None:
    """It never reads the whole list of categories, and what was measured of it is not kept."""
    server = started(Plays(cut=cut))
    found = examined(server.url)
    assert (found.cut_short, found.works) == (not works, works)
    assert (recall(server.url, "m") is not None) == works


def test_what_a_chat_template_adds_is_no_sign_of_a_cut(checkup: Examine) -> None:
    """It is in every count once, however long the prompt."""
    found = checkup(Plays(template=150))
    assert codes(found)["front"] == "whole"


def test_a_prompt_that_is_refused_for_its_length_is_the_good_case(checkup: Examine) -> None:
    """What was read whole is known too."""
    found = checkup(Plays(context=3000))
    assert codes(found)["front"] == "refused"
    assert found.capabilities is not None
    window = found.capabilities.window
    assert window is not None
    assert window.refused_at is not None
    assert window.longest_whole is not None
    assert window.longest_whole < 3000 < window.refused_at


@pytest.mark.slow
def test_without_counts_the_word_at_the_beginning_tells(checkup: Examine) -> None:
    """A model that repeats it has read it; one that does not may have forgotten it."""
    assert codes(checkup(Plays(counts=False)))["front"] == "whole"
    found = codes(checkup(Plays(counts=False, cut=500)))
    assert found["front"] == "unknown"
    assert found["tokens"] == "none"


def test_a_server_that_ignores_the_name_of_the_model_is_told(checkup: Examine) -> None:
    """With what is loaded."""
    found = checkup(Plays(kind="llama.cpp"), model="qwen")
    finding = next(finding for finding in found.findings if finding.check == "model")
    assert finding.code == "model.ignored"
    assert TRAINED in finding.line("en")
    assert found.capabilities is not None
    assert found.capabilities.identity.context == 16384


def test_answers_that_move_are_measured(checkup: Examine) -> None:
    """The share of equal ones and how far the number moves."""
    found = checkup(Plays(wavers=True), repeat=20)
    assert codes(found)["repeat"] == "moves"
    repeats = found.load.repeats
    assert repeats is not None
    assert 1 / 3 < repeats.equal < 1
    assert repeats.spread is not None
    assert repeats.spread > 0.3


def test_fields_that_are_refused_are_left_out(checkup: Examine) -> None:
    """Temperature, and the other name of the limit."""
    found = checkup(Plays(refuses=("temperature", "max_tokens")))
    assert found.capabilities is not None
    assert not found.capabilities.temperature
    assert found.capabilities.limit == "max_completion_tokens"
    assert found.works


@pytest.mark.slow
def test_speed_and_tokens_are_remembered(started: Callable[[Plays], Probed]) -> None:
    """By URL and model, for estimates."""
    server = started(Plays(delay=0.02))
    found = examined(server.url)
    kept = recall(server.url, "m")
    assert kept is not None
    assert kept.tickets_per_second == found.load.tickets_per_second
    assert kept.prompt_ratio == pytest.approx(1.0, abs=0.02)
    assert all(seconds >= 0.02 for seconds in found.load.alone)
    assert found.load.wall < 0.02 * AT_ONCE  # at once, not one after the other


@pytest.mark.slow
@pytest.mark.parametrize(
    ("plays", "model", "error", "says"),
    [
        (Plays(key="right"), "m", BackendRefusedError, "key"),
        (Plays(models=("qwen3-8b",)), "qwen3-8", BackendRefusedError, "did you mean 'qwen3-8b'"),
        (Plays(kind="html"), "m", BackendRefusedError, "does not answer like an API"),
        (Plays(delay=1.0), "m", BackendUnavailableError, "no answer within"),
    ],
)
def test_a_server_that_cannot_work_is_an_error(
    checkup: Examine, plays: Plays, model: str, error: type[BackendError], says: str
) -> None:
    """One line that says why."""
    with pytest.raises(error, match=re.escape(says)) as raised:
        checkup(plays, model=model, timeout=0.4)
    assert "\n" not in str(raised.value)


def test_nobody_listens(started: Callable[[Plays], Probed]) -> None:
    """No connection."""
    server = started(Plays())
    port = int(server.url.rpartition(":")[2].removesuffix("/v1"))
    with pytest.raises(BackendUnavailableError, match="no connection"):
        examined(f"http://127.0.0.1:{port + 1 if port < 65535 else 1}/v1")


def test_a_key_stands_nowhere(checkup: Examine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not in the findings, not in the table, not in what is kept."""
    monkeypatch.setenv("SERVER_KEY", "sk-very-secret")
    found = checkup(Plays(key="sk-very-secret"), key_env="SERVER_KEY", headers={"x-tenant": "hidden-tenant"})
    assert codes(found)["key"] == "taken"
    shown = repr(found) + (found.table or "") + "".join(finding.line("en") for finding in found.findings)
    assert "SERVER_KEY" in shown
    assert "very-secret" not in shown
    assert "hidden-tenant" not in shown


def test_the_table_is_one_that_the_settings_take(checkup: Examine) -> None:
    """And says the same as the engine that was examined, where nothing is wrong."""
    found = checkup(Plays(), kind="vllm")
    assert found.table is not None
    table = tomllib.loads(found.table)["backends"]["NAME"]
    settings = BackendSettings(**table)
    assert (settings.kind, settings.model, settings.json_mode, settings.thinking) == ("vllm", "m", "schema", "chat_template")
    assert settings.context == 16384
    assert settings.concurrency == 32


def test_an_engine_without_a_server_works() -> None:
    """The lexical one."""
    settings = probing_settings("lexical", Settings())
    assert settings_of("lexical", settings) is None

    async def run() -> Checkup:
        async with Triage(taxonomy=Taxonomy.from_labels(["refund", "parcel"]), backend="lexical", settings=settings) as triage:
            return await examine(triage, settings, repeat=2)

    found = asyncio.run(run())
    assert found.works
    assert found.table is None
    assert codes(found)["reachable"] == "here"
    assert codes(found)["repeat"] == "same"
    assert "tokens" not in codes(found)


def test_probing_asks_once_and_leaves_the_rest_as_it_is() -> None:
    """No budget, no memory, the engine's own patience kept where it is not in the way."""
    engine = BackendSettings.model_validate({"kind": "openai", "model": "m", "timeout": 7, "patience": {"connect_timeout": 2}})
    settings = probing_settings("e", Settings(backends={"e": engine}, max_tokens=5, reply_cache=Path("x")))
    patience = settings.patience_of(settings.backends["e"])
    assert (settings.attempts, settings.max_tokens, settings.reply_cache) == (1, None, None)
    assert (patience.connect_timeout, patience.online) == (2, 8)
    assert settings.backends["e"].concurrency == AT_ONCE


@pytest.mark.parametrize("dialect", ["openai", "systemone"])
def test_a_decision_endpoint_is_found_in_either_dialect(checkup: Examine, dialect: str) -> None:
    """And its probabilities are looked at as they came."""
    found = checkup(Plays(decides=dialect, kind="plain"), kind="decisions")
    assert {finding.state for finding in found.findings} == {"ok"}
    assert list(codes(found)) == ["decisions", "probabilities", "answers", "alone", "at_once", "tokens", "repeat"]
    assert found.decisions is not None
    assert (found.decisions.dialect, found.decisions.model, found.decisions.values) == (dialect, "decider-2b", 16)
    assert found.decisions.sum_off < 1e-9
    assert found.load.repeats is not None
    assert found.load.repeats.change == 0
    assert found.table is not None
    assert tomllib.loads(found.table)["backends"]["NAME"]["dialect"] == dialect


@pytest.mark.parametrize(
    ("probabilities", "result", "certain"),
    [((0.99, 0.01, 0.0, 0.0), "rounded", 8), ((1.0, 0.0, 0.0, 0.0), "rounded", 16), ((0.613, 0.2, 0.1, 0.2), "off", 0)],
)
def test_rounded_probabilities_and_wrong_sums_are_told(
    checkup: Examine, probabilities: tuple[float, ...], result: str, certain: int
) -> None:
    """Exact zeros and ones are counted."""
    found = checkup(Plays(decides="openai", kind="plain", probabilities=probabilities), kind="decisions")
    assert codes(found)["probabilities"] == result
    assert found.decisions is not None
    assert found.decisions.certain == certain


def test_an_endpoint_without_probabilities_cannot_work(checkup: Examine) -> None:
    """Nothing is listed."""
    found = checkup(Plays(decides="systemone", kind="plain", probabilities=(5.0,)), kind="decisions")
    assert codes(found)["answers"] == "none"
    assert not found.works


def test_questions_without_probabilities_are_counted() -> None:
    """One line says how many of the four got any."""
    seen = Decisions(dialect="openai", answered=1, sum_off=0.0, rounded=False, certain=0, values=4, model=None)
    (finding,) = of_decisions(seen, "http://h/v1", leaves=3)
    assert finding.state == "missing"
    assert "1 of 4" in finding.line("en")


def test_no_decision_endpoint_is_an_error(checkup: Examine) -> None:
    """Both routes are named."""
    with pytest.raises(BackendRefusedError, match="no decision endpoint"):
        checkup(Plays(), kind="decisions")
