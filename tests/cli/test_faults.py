"""The ten faults of servers, each against a real process: what the server is asked, what the user is told, what is in the output."""

from __future__ import annotations

import json
import socket
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from cli.misbehaving import (
    Asked,
    Line,
    Play,
    blank_lines,
    by_ticket,
    closes_at_once,
    completion,
    cuts_a_chunk,
    cuts_the_body,
    drips,
    good,
    in_turn,
    is_no_http,
    label,
    never_answers,
    refuses,
    resets_in_mid_body,
    says,
    ten_megabytes,
    white_space_without_end,
    writes,
)
from cli.real_runs import DECIDED, Start, Workplace, at_once, finishes, several, wanted

pytestmark = pytest.mark.usefixtures("by_json")

Faults = dict[str, tuple[Play, str, int]]

START = 8  # requests in flight at the beginning of a run: the most that a server sees after it said that nothing works
MANY = [f"n{i}" for i in range(60)]


def then_good(play: Play) -> Play:
    """The fault once."""
    return in_turn(play, good)


# -- 1: rate limit ---------------------------------------------------------------------------------


def busy(message: str = "slow down", status: int = 429, **headers: str) -> Play:
    """A rate limit."""
    return refuses(status, "rate_limit_exceeded", message=message, **headers)


@pytest.mark.slow
def test_1_a_stated_wait_pauses_the_whole_endpoint(tmp_path: Path, playing: Start) -> None:
    """In every form it comes in; nobody is asked meanwhile, then all goes on as if nothing had been."""

    def in_two_seconds(line: Line, asked: Asked) -> None:
        date = format_datetime(datetime.now(UTC) + timedelta(seconds=2), usegmt=True)
        busy(Retry_After=date)(line, asked)

    waits: dict[str, tuple[Play, float]] = {
        "ms": (busy(retry_after_ms="250"), 0.25),
        "seconds": (busy(Retry_After="1"), 1.0),
        "fraction": (busy(Retry_After="0.25"), 0.25),
        "ms-first": (busy(retry_after_ms="250", Retry_After="90"), 0.25),
        "date": (in_two_seconds, 0.9),
        "prose-ms": (busy("Please try again in 250ms"), 0.25),
        "prose": (busy("Rate limit reached. Retry after 0.25 seconds."), 0.25),
        "overload": (busy(status=503, Retry_After="0.25"), 0.25),
    }
    server = playing(by_ticket({name: then_good(play) for name, (play, _) in waits.items()}))
    run = Workplace.of(tmp_path, ["first", *waits, "last"]).run(server, "--concurrency", "1")
    assert (run.code, run.err, set(run.reasons.values())) == (0, "", {DECIDED})
    assert {name: server.counts[name] for name in waits} == dict.fromkeys(waits, 2)
    paused = {one.ticket: after.at - one.at for one, after in pairwise(server.asked) if one.ticket in waits and one.nth == 1}
    assert {name: seconds for name, seconds in paused.items() if seconds < waits[name][1]} == {}


@pytest.mark.slow
def test_1_a_rate_limit_that_stays(tmp_path: Path) -> None:
    """Five requests where the server says how long to wait, three where it says nothing that makes sense; then a person looks."""
    faults: Faults = {
        "none": (busy(), "rate_limited", 3),
        "nan": (busy(Retry_After="nan"), "rate_limited", 3),
        "negative": (busy(Retry_After="-5"), "rate_limited", 3),
        "words": (busy(Retry_After="soon"), "rate_limited", 3),
        "endless": (busy(Retry_After="inf"), "rate_limited", 3),
        "stated": (busy(Retry_After="0.05"), "rate_limited", 5),
        "past": (then_good(busy(Retry_After="Wed, 21 Oct 2015 07:28:00 GMT")), DECIDED, 2),
        "passing": (in_turn(busy(), busy(), good), DECIDED, 3),
        "not-again": (busy(x_should_retry="false"), "rate_limited", 1),
    }
    assert several(tmp_path, faults) == wanted(faults)


@pytest.mark.slow
def test_1_a_wait_longer_than_patience_stops_the_run(tmp_path: Path, playing: Start) -> None:
    """Exit code 5 at once, and --resume finishes the file."""
    server = playing(by_ticket({"n0": good}, busy(Retry_After="3600")))
    place = Workplace.of(tmp_path, MANY)
    run = place.run(server)
    assert run.code == 5
    assert "the server asks to wait 3" in run.line
    assert run.reasons == {"n0": DECIDED}
    assert len(server.asked) <= 1 + START
    finishes(place, run, playing(good))


# -- 2 and 3: the server or the way to it fails ----------------------------------------------------


@pytest.mark.slow
def test_2_errors_of_the_server(tmp_path: Path) -> None:
    """Three requests, then the ticket waits; what passes by itself is not seen."""
    faults: Faults = {
        f"status-{status}": (refuses(status), "backend_unavailable", 3) for status in (500, 502, 503, 504, 529, 408, 409)
    }
    faults |= {
        "html": (says(b"<html>Bad gateway</html>", 502, kind="text/html"), "backend_unavailable", 3),
        "no-body": (says(b"", 500), "backend_unavailable", 3),
        "broken-off": (writes("", "insufficient_system_resource"), "backend_unavailable", 3),
        "aborted": (writes("", "aborted"), "backend_unavailable", 3),
        "not-again": (refuses(500, x_should_retry="false"), "backend_unavailable", 1),
        "again": (then_good(refuses(400, x_should_retry="true")), DECIDED, 2),
        "passing": (in_turn(refuses(500), writes("", "insufficient_system_resource"), good), DECIDED, 3),
    }
    assert several(tmp_path, faults) == wanted(faults)


@pytest.mark.slow
def test_3_connections_that_break(tmp_path: Path) -> None:
    """Three requests; what came of an answer that was cut is never read."""
    faults: Faults = {
        "closes": (closes_at_once, "backend_unavailable", 3),
        "resets": (resets_in_mid_body, "backend_unavailable", 3),
        "cut": (cuts_the_body, "backend_unavailable", 3),
        "cut-chunk": (cuts_a_chunk, "backend_unavailable", 3),
        "no-http": (is_no_http, "backend_unavailable", 3),
        "passing": (in_turn(closes_at_once, cuts_the_body, good), DECIDED, 3),
    }
    assert several(tmp_path, faults) == wanted(faults)


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_3_no_connection(tmp_path: Path, playing: Start, scheme: str) -> None:
    """Nobody listens, or not in TLS: exit code 4, host and port, and nothing is decided."""
    server = playing(good)
    if scheme == "http":
        server.stop()
    url = f"{scheme}://127.0.0.1:{server.port}/v1"
    run = Workplace.of(tmp_path, MANY).run(f"openai:m@{url}")
    assert (run.code, run.rows, server.asked) == (4, [], [])
    assert f"no connection to {url}; check that the server runs" in run.line


@pytest.mark.slow
def test_3_a_port_that_takes_connections_and_no_more(tmp_path: Path) -> None:
    """The time to connect ends a handshake that never ends: the same line, long before the time-out of an answer."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"https://127.0.0.1:{listener.getsockname()[1]}/v1"
        run = Workplace.of(tmp_path, MANY).run(f"openai:m@{url}", "--timeout", "1000", connect_timeout=0.3)
    assert (run.code, run.rows) == (4, [])
    assert f"no connection to {url}" in run.line


@pytest.mark.slow
def test_3_a_server_that_only_hangs_up(tmp_path: Path, playing: Start) -> None:
    """From the first request on: exit code 4, and the queue of those who review stays empty."""
    server = playing(closes_at_once)
    run = Workplace.of(tmp_path, MANY).run(server, breaker_failures=10, outage=1)
    assert run.code == 4
    assert server.url in run.line
    assert run.rows == []


# -- 4: no answer ----------------------------------------------------------------------------------


@pytest.mark.slow
def test_4_no_answer_in_time(tmp_path: Path) -> None:
    """Two requests: a clock on the wall ends what a read time-out never would."""
    faults: Faults = {
        "silent": (never_answers, "timeout", 2),
        "drips": (drips, "timeout", 2),
        "blank-lines": (blank_lines, "timeout", 2),
        "passing": (then_good(never_answers), DECIDED, 2),
    }
    assert several(tmp_path, faults, "--timeout", "1") == wanted(faults)


@pytest.mark.slow
def test_4_a_server_that_never_answers_at_all(tmp_path: Path, playing: Start) -> None:
    """The run stops with exit code 4 before the queue of those who review fills."""
    server = playing(never_answers)
    run = Workplace.of(tmp_path, MANY).run(server, "--timeout", "0.2", breaker_failures=6, outage=1)
    assert run.code == 4
    assert server.url in run.line
    assert len(run.rows) <= 3
    assert set(run.reasons.values()) <= {"timeout"}


# -- 5: cut answers --------------------------------------------------------------------------------


@pytest.mark.slow
def test_5_answers_that_are_cut(tmp_path: Path) -> None:
    """One more request with more room, then the ticket waits."""
    room: list[int] = []

    def cut(line: Line, asked: Asked) -> None:
        room.append(asked.body["max_tokens"])
        writes('{"category": "refu', "length")(line, asked)

    faults: Faults = {
        "cut": (cut, "truncated", 2),
        "white-space": (writes("{" + " \n" * 5000, "length"), "truncated", 2),
        "whole-yet-cut": (writes(label(), "max_tokens"), "truncated", 2),
        "passing": (then_good(writes("{", "length")), DECIDED, 2),
    }
    assert several(tmp_path, faults) == wanted(faults)
    assert room[1] == 2 * room[0]


# -- 6: answers that name no category --------------------------------------------------------------

NO_LABELS: Faults = {
    "unknown": (writes(label("money")), "unknown_label", 2),
    "like-it": (writes(label("refunds")), "unknown_label", 2),
    "two-in-one": (writes(label("refund, parcel")), "unknown_label", 2),
    "prose": (writes(f"Sure! Here is the label: {label()}"), "bad_response", 2),
    "prose-behind": (writes(f"{label()} Hope this helps!"), "bad_response", 2),
    "two-objects": (writes(f"{label()}\n{label('parcel')}"), "bad_response", 2),
    "two-keys": (writes('{"category": "refund", "category": "parcel"}'), "bad_response", 2),
    "mended": (then_good(writes("A refund, I think.")), DECIDED, 2),
    "fenced": (writes(f"```json\n{label()}\n```"), DECIDED, 1),
    "by-name": (writes(label("退款")), DECIDED, 1),
}


@pytest.mark.slow
def test_6_no_label_is_invented(tmp_path: Path) -> None:
    """One request to mend it; then the ticket waits, without a suggestion that nobody made."""
    assert several(tmp_path, NO_LABELS) == wanted(NO_LABELS)


@pytest.mark.slow
def test_6_without_repair(tmp_path: Path) -> None:
    """One request is all."""
    faults = {name: fault for name, fault in NO_LABELS.items() if name != "mended"}
    done = several(tmp_path, faults, env={"LLMTRIAGE_REPAIR": "false"})
    assert done == {name: (reason, 1) for name, (_, reason, _) in faults.items()}


# -- 7: filters and refusals -----------------------------------------------------------------------


def said(message: dict[str, Any] | None, finish: str | None = "stop", **body: Any) -> Play:
    """A completion with any message."""
    return says({**completion(None), "choices": [{"index": 0, "message": message, "finish_reason": finish}], **body})


AZURE = {
    "message": "The response was filtered",
    "code": "content_filter",
    "status": 400,
    "innererror": {"code": "ResponsibleAIPolicyViolation", "content_filter_result": {"hate": {"filtered": True}}},
}
CAUGHT = [{"prompt_index": 0, "content_filter_results": {"violence": {"filtered": True, "severity": "medium"}}}]


@pytest.mark.slow
def test_7_filters_and_refusals_belong_to_their_ticket(tmp_path: Path) -> None:
    """One request, in whatever form a host puts it; an angry customer stops no run."""
    faults: Faults = {
        "openai": (refuses(400, "content_filter"), "refused", 1),
        "azure": (says({"error": AZURE}, 400), "refused", 1),
        "dashscope": (
            says({"code": "DataInspectionFailed", "message": "Input data may contain", "request_id": "1"}, 400),
            "refused",
            1,
        ),
        "dashscope-compatible": (refuses(400, "data_inspection_failed"), "refused", 1),
        "ark": (refuses(400, "InputTextRiskDetection"), "refused", 1),
        "policy": (refuses(400, "content_policy_violation"), "refused", 1),
        "openrouter": (says({"error": {"code": 403, "message": "no", "metadata": {"reasons": ["x"]}}}, 403), "refused", 1),
        "refusal": (said({"content": None, "refusal": "I cannot help with that."}), "refused", 1),
        "finish": (writes("", "content_filter"), "refused", 1),
        "finish-with-label": (writes(label(), "content_filter"), "refused", 1),
        "zhipu": (writes("", "sensitive"), "refused", 1),
        "gemini": (said(None, "PROHIBITED_CONTENT"), "refused", 1),
        "azure-null": (says({"choices": None, "prompt_filter_results": CAUGHT}), "refused", 1),
        "azure-empty": (says({"choices": [], "prompt_filter_results": CAUGHT}), "refused", 1),
    }
    assert several(tmp_path, faults, unusable=5) == wanted(faults)


@pytest.mark.slow
def test_7_nothing_without_a_sign(tmp_path: Path) -> None:
    """Is asked for once more, then the ticket waits; many such answers in a row stop no run."""
    faults: Faults = {
        "choices-null": (says({"choices": None}), "bad_response", 2),
        "choices-empty": (says({"choices": []}), "bad_response", 2),
        "message-null": (said(None), "bad_response", 2),
        "content-null": (writes(None), "bad_response", 2),
        "content-empty": (writes(""), "bad_response", 2),
        "content-blank": (writes(" \n"), "bad_response", 2),
        "passing": (then_good(writes(None)), DECIDED, 2),
    }
    assert several(tmp_path, faults, unusable=5) == wanted(faults)


OTHER_FILTERS: dict[str, Play] = {
    # https://github.com/666ghj/BettaFish/issues/108
    "deepseek": refuses(400, "invalid_request_error", message="Content Exists Risk"),
    # https://github.com/langchain4j/langchain4j/issues/1079
    "zhipu": says({"error": {"code": "1301", "message": "系统检测到输入或生成内容可能包含不安全或敏感内容"}}, 400),
    # https://github.com/microsoft/PyRIT/pull/1463
    "openai": refuses(400, "invalid_prompt", message="Invalid prompt: we've limited access to this content for safety reasons."),
    # https://github.com/UKGovernmentBEIS/inspect_ai/pull/2267
    "xai": says({"code": "The caller does not have permission", "error": "Content violates usage guidelines."}, 403),
}


@pytest.mark.slow
@pytest.mark.parametrize("host", OTHER_FILTERS)
def test_7_filters_that_have_no_code_of_their_own(tmp_path: Path, host: str) -> None:
    """Belong to their ticket too, as hosts were seen to put them; above all they stop no run."""
    assert several(tmp_path, {host: (OTHER_FILTERS[host], "", 0)}) == {host: ("refused", 1)}


@pytest.mark.slow
def test_7_a_refusal_that_nobody_knows_stops_no_run(tmp_path: Path, playing: Start) -> None:
    """Six tickets refused one after the other are no reason to think that the server is no API: it has answered others."""
    odd = {f"odd-{i}": refuses(400) for i in range(6)}
    run = Workplace.of(tmp_path, ["before", *odd, "after"]).run(playing(by_ticket(odd)), "--concurrency", "1", unusable=5)
    assert run.code == 0, run.err
    assert run.reasons == {"before": DECIDED, **dict.fromkeys(odd, "bad_response"), "after": DECIDED}


# -- 8: no answer of an API ------------------------------------------------------------------------

NO_API: Faults = {
    "html": (says(b"<html>Please log in</html>", kind="text/html"), "bad_response", 2),
    "html-as-json": (says(b"<html>Please log in</html>"), "bad_response", 2),
    "nothing": (says(b""), "bad_response", 2),
    "null": (says(None), "bad_response", 2),
    "list": (says([completion(label())]), "bad_response", 2),
    "number": (says(7), "bad_response", 2),
    "cut-json": (says(json.dumps(completion(label())).encode()[:-5]), "bad_response", 2),
    "not-utf-8": (says(b'{"choices": "\xff\xfe"}'), "bad_response", 2),
    "ten-megabytes": (ten_megabytes, "bad_response", 2),
    "white-space": (white_space_without_end, "bad_response", 2),
    "deep": (says(b"[" * 100_000), "bad_response", 2),
    "passing": (then_good(says(b"<html>Please wait</html>", kind="text/html")), DECIDED, 2),
}


@pytest.mark.slow
def test_8_answers_of_no_api(tmp_path: Path) -> None:
    """Two requests, and at most a mebibyte of the answer is read."""
    assert several(tmp_path, NO_API) == wanted(NO_API)


@pytest.mark.slow
def test_8_an_error_object_in_a_200(tmp_path: Path) -> None:
    """Counts as what it says."""
    error = {"message": "no", "type": "t"}
    faults: Faults = {
        "server": (says({"error": error, "choices": None}), "backend_unavailable", 3),
        "limit": (says({"error": {**error, "code": 429}, "choices": None}), "rate_limited", 3),
        "filter": (says({"error": {**error, "code": "content_filter"}}), "refused", 1),
        "context": (says({"error": {**error, "code": "context_length_exceeded"}}), "too_long", 1),
        "text": (says({"error": "no", "choices": None}), "bad_response", 2),
        "null": (says({**completion(label()), "error": None}), DECIDED, 1),
    }
    assert several(tmp_path, faults) == wanted(faults)


@pytest.mark.slow
def test_8_five_in_a_row_stop_the_run(tmp_path: Path, playing: Start) -> None:
    """Exit code 4, and the line says what the URL is not."""
    server = playing(NO_API["html"][0])
    run = Workplace.of(tmp_path, MANY).run(server, unusable=5)
    assert run.code == 4
    assert f"{server.url} gives no answer that can be used" in run.line
    assert len(server.asked) <= 5 + START
    assert len(run.rows) <= 2


# -- 9: key, model, money --------------------------------------------------------------------------

STOPS: dict[str, tuple[Play, int, str]] = {
    "key": (refuses(401, "invalid_api_key"), 4, "the server refused the key (401); set LLMTRIAGE_API_KEY"),
    "model": (refuses(404, "model_not_found"), 4, "the server does not know this model; check its name"),
    "path": (says({"detail": "Not Found"}, 404), 4, "nothing answers at"),
    "quota": (refuses(429, "insufficient_quota", Retry_After="1"), 5, "no credit or quota left (429)"),
    "overdue": (refuses(403, "AccountOverdueError"), 5, "no credit or quota left (403)"),
    "in-a-200": (says({"error": {"code": "insufficient_quota", "message": "no"}, "choices": None}), 5, "no credit or quota left"),
    "field": (refuses(400, "unknown_parameter", param="top_k"), 4, "does not take the field 'top_k' (400)"),
}


@pytest.mark.slow
def test_9_what_concerns_the_run_stops_it_with_one_request(tmp_path: Path, playing: Start) -> None:
    """From the first ticket on: exactly one request, one line, nothing decided. For an unknown name it asks which there are."""
    settings = (
        '[backends.it]\nkind = "openai"\nmodel = "m"\nurl = "{}"\nkey_env = "LLMTRIAGE_API_KEY"\nextra_body = {{top_k = 5}}\n'
    )

    def stopped(name: str) -> tuple[int, int, int]:
        play, _, words = STOPS[name]
        server = playing(play)
        run = Workplace.of(tmp_path / name, MANY, settings=settings.format(server.url)).run("it")
        assert words in run.line
        return run.code, len(server.asked), len(run.rows)

    done = dict(zip(STOPS, at_once(stopped, STOPS), strict=True))
    assert done == {name: (code, 1 + (name == "model"), 0) for name, (_, code, _) in STOPS.items()}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["key", "quota"])
def test_9_in_mid_run_it_stops_before_the_next_wave(tmp_path: Path, playing: Start, name: str) -> None:
    """What is in flight ends, no more is sent, what is decided is kept, and --resume asks for the rest alone."""
    play, code, words = STOPS[name]
    decided = MANY[:20]
    server = playing(by_ticket(dict.fromkeys(decided, good), play))
    place = Workplace.of(tmp_path, MANY)
    run = place.run(server)
    assert run.code == code
    assert words in run.line
    assert set(run.reasons.values()) == {DECIDED}
    assert len(server.asked) <= len(decided) + START + 2
    finishes(place, run, playing(good))


@pytest.mark.slow
def test_9_without_a_key(tmp_path: Path, playing: Start) -> None:
    """The line says that one is wanted and what to set."""
    server = playing(STOPS["key"][0])
    run = Workplace.of(tmp_path, MANY).run(server, key="")
    assert (run.code, len(server.asked)) == (4, 1)
    assert "the server wants a key (401); set LLMTRIAGE_API_KEY" in run.line


# -- 10: prompts that are too long -----------------------------------------------------------------


@pytest.mark.slow
def test_10_prompts_that_are_too_long(tmp_path: Path) -> None:
    """The ticket waits with its reason, also where the server cut the prompt without a word."""
    front = completion(label(), usage={"prompt_tokens": 4096, "completion_tokens": 9})
    faults: Faults = {
        "openai": (refuses(400, "context_length_exceeded"), "too_long", 1),
        "vllm": (refuses(400, 400, param="input_tokens"), "too_long", 1),
        "entity": (says(b"<html>413</html>", 413, kind="text/html"), "too_long", 1),
        "cut-from-the-front": (says(front), "too_long", 1),
    }
    long = {"cut-from-the-front": "I have waited for it since the first of March and nobody ever called me back. " * 800}
    assert several(tmp_path, faults, texts=long) == wanted(faults)


@pytest.mark.slow
def test_10_a_server_that_cuts_every_prompt(tmp_path: Path, playing: Start) -> None:
    """Nothing is accepted on the end of a prompt alone."""
    run = Workplace.of(tmp_path, MANY[:6]).run(playing(writes(label(), usage={"prompt_tokens": 30})))
    assert (run.code, set(run.reasons.values())) == (0, {"too_long"})


@pytest.mark.slow
def test_10_a_shortened_ticket_still_waits(tmp_path: Path) -> None:
    """Two requests, of which the second holds less; what was left out is a reason to look."""
    lengths: list[int] = []

    def first_too_long(line: Line, asked: Asked) -> None:
        lengths.append(len(asked.body["messages"][-1]["content"]))
        in_turn(refuses(400, "context_length_exceeded"), good)(line, asked)

    faults: Faults = {"long": (first_too_long, "too_long", 2)}
    texts = {"long": "I have waited for it since the first of March. " * 50}
    assert several(tmp_path, faults, texts=texts, env={"LLMTRIAGE_SHORTEN": "true"}) == wanted(faults)
    assert lengths[1] < lengths[0]
