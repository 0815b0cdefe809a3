"""The transport: what stops a run, what belongs to a ticket, how often and when a server is asked. Time is held in the hand."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx
import pytest
import respx
from pydantic import SecretStr
from support import completion, refusal

from llmtriage import BackendRefusedError, BackendUnavailableError, Failure
from llmtriage.backends.budget import Budget
from llmtriage.backends.sharing import Shared
from llmtriage.backends.transport import Endpoint, Reply, Transport
from llmtriage.errors import BackendError, StoppedError
from llmtriage.settings import Patience, Price
from llmtriage.testing import FrozenClock

URL = "http://llm.test/v1"
PATH = "/chat/completions"
KEY = "sk-secret-1234"
BODY = {"model": "m", "messages": [{"role": "user", "content": "Where is my money?"}], "max_tokens": 10}
GOOD = completion("{}")
OK = httpx.Response(200, json=GOOD)

Answer = httpx.Response | Exception


def transport(
    *, patience: dict[str, Any] | None = None, budget: Budget | None = None, price: Price | None = None, **changes: Any
) -> tuple[Transport, FrozenClock]:
    """A transport whose client respx can see, and its clock."""
    clock = FrozenClock(1000.0)
    options = {"name": "openai:m", "url": URL, "key": SecretStr(KEY), "timeout": 5.0, "patience": Patience(**(patience or {}))}
    endpoint = Endpoint(**{**options, **changes})
    return Transport(endpoint, http_client=httpx.AsyncClient(), clock=clock, budget=budget, price=price), clock


def busy(**headers: str) -> httpx.Response:
    """A rate limit."""
    return httpx.Response(429, headers={name.replace("_", "-"): value for name, value in headers.items()}, json=refusal())


async def posts(asked: Transport, number: int, **how: Any) -> list[Reply | Failure]:
    """Different requests at once."""
    bodies = ({**BODY, "seed": n} for n in range(number))
    return await asyncio.gather(*(asked.post(PATH, body, **how) for body in bodies))


# -- one answer ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "body", "kind", "words"),
    [
        pytest.param(
            401,
            refusal("invalid_api_key"),
            BackendRefusedError,
            "the server refused the key (401); set LLMTRIAGE_API_KEY",
            id="wrong key",
        ),
        pytest.param(403, refusal(), BackendRefusedError, "the server refused the key (403)", id="forbidden"),
        pytest.param(
            404,
            refusal("model_not_found", param="model"),
            BackendRefusedError,
            "the server does not know this model",
            id="unknown model",
        ),
        pytest.param(404, {"detail": "Not Found"}, BackendRefusedError, "nothing answers at http://llm.test/v1", id="wrong path"),
        pytest.param(
            302, refusal(), BackendRefusedError, "http://llm.test/v1 redirects to another place; name that place", id="redirect"
        ),
        pytest.param(
            400, refusal(param="response_format"), BackendRefusedError, "does not take the field 'response_format'", id="field"
        ),
        pytest.param(
            422,
            {"detail": [{"loc": ["body", "seed"], "msg": "extra"}]},
            BackendRefusedError,
            "does not take the field 'seed'",
            id="field, FastAPI",
        ),
        pytest.param(402, refusal(), StoppedError, "the account has no credit or quota left (402)", id="no money"),
        pytest.param(429, refusal("insufficient_quota"), StoppedError, "no credit or quota left (429)", id="quota"),
        pytest.param(200, refusal("insufficient_quota"), StoppedError, "no credit or quota left", id="quota with 200"),
        pytest.param(400, [refusal("Arrearage")], StoppedError, "no credit or quota left", id="body is a list"),
        pytest.param(403, refusal("AccountOverdueError"), StoppedError, "no credit or quota left", id="overdue"),
    ],
)
@respx.mock
async def test_what_concerns_the_run_stops_it_at_once(status: int, body: object, kind: type[BackendError], words: str) -> None:
    """One request, one line, no key in it."""
    respx.get(f"{URL}/models").respond(404)
    route = respx.post(f"{URL}{PATH}").respond(status, json=body)
    asked, clock = transport()
    with pytest.raises(kind) as caught:
        await asked.post(PATH, BODY)
    assert words in str(caught.value)
    assert KEY not in str(caught.value)
    assert (route.call_count, clock.waits) == (1, [])


@pytest.mark.parametrize(
    ("status", "body", "reason", "requests"),
    [
        pytest.param(429, refusal("rate_limit_exceeded"), "rate_limited", 3, id="rate limit"),
        pytest.param(500, refusal(), "backend_unavailable", 3, id="server error"),
        pytest.param(529, refusal(), "backend_unavailable", 3, id="overload"),
        pytest.param(503, "<html>busy</html>", "backend_unavailable", 3, id="overload as HTML"),
        pytest.param(408, refusal(), "backend_unavailable", 3, id="request timeout"),
        pytest.param(409, refusal(), "backend_unavailable", 3, id="conflict"),
        pytest.param(400, refusal("context_length_exceeded"), "too_long", 1, id="context"),
        pytest.param(400, refusal(param="input_tokens"), "too_long", 1, id="context, vLLM"),
        pytest.param(413, refusal(), "too_long", 1, id="entity too large"),
        pytest.param(400, refusal("content_filter"), "refused", 1, id="filter"),
        pytest.param(400, refusal("DataInspectionFailed"), "refused", 1, id="filter, DashScope"),
        pytest.param(400, refusal("InputTextRiskDetection"), "refused", 1, id="filter, Ark"),
        pytest.param(400, refusal(), "bad_response", 1, id="bad request"),
        pytest.param(
            400, refusal(message="'my seed is gone' is no good"), "bad_response", 1, id="a message that quotes the ticket"
        ),
        pytest.param(403, refusal("content_filter"), "refused", 1, id="filter with 403"),
        pytest.param(403, {"error": {"message": "no", "metadata": {"reasons": ["x"]}}}, "refused", 1, id="moderation"),
        pytest.param(200, refusal("server_error"), "backend_unavailable", 3, id="error with 200"),
        pytest.param(
            200, completion("{}", finish_reason="insufficient_system_resource"), "backend_unavailable", 3, id="broken off"
        ),
        pytest.param(200, "<html>log in</html>", "bad_response", 2, id="HTML with 200"),
        pytest.param(200, "null", "bad_response", 2, id="null with 200"),
        pytest.param(200, "[]", "bad_response", 2, id="a list with 200"),
        pytest.param(200, "7", "bad_response", 2, id="a number with 200"),
    ],
)
@respx.mock
async def test_what_concerns_a_ticket_belongs_to_it(status: int, body: object, reason: str, requests: int) -> None:
    """What may pass by itself is asked for again, three times at most; what is unclear twice; the rest once."""
    content: dict[str, Any] = {"text": body} if isinstance(body, str) else {"json": body}
    route = respx.post(f"{URL}{PATH}").respond(status, **content)
    failure = await transport()[0].post(PATH, BODY)
    assert isinstance(failure, Failure)
    assert (failure.reason, failure.usage.attempts, route.call_count) == (reason, requests, requests)


@pytest.mark.parametrize(("header", "requests"), [("false", 1), ("true", 3)])
@respx.mock
async def test_a_server_may_say_whether_to_ask_again(header: str, requests: int) -> None:
    """`x-should-retry` wins over what the status means."""
    status = 500 if header == "false" else 400
    route = respx.post(f"{URL}{PATH}").respond(status, headers={"x-should-retry": header}, json=refusal())
    assert isinstance(await transport(patience={"attempts_unclear": 3})[0].post(PATH, BODY), Failure)
    assert route.call_count == requests


@pytest.mark.parametrize(
    ("fault", "reason", "requests"),
    [(httpx.ReadTimeout("slow"), "timeout", 2), (httpx.RemoteProtocolError("cut"), "backend_unavailable", 3)],
)
@respx.mock
async def test_a_connection_that_breaks_belongs_to_the_ticket(fault: Exception, reason: str, requests: int) -> None:
    """Slow, or cut in the middle of the answer, where others were answered."""
    route = respx.post(f"{URL}{PATH}").mock(side_effect=[OK, *([fault] * 9)])
    asked, _ = transport()
    assert isinstance(await asked.post(PATH, {**BODY, "seed": 1}), Reply)
    failure = await asked.post(PATH, BODY)
    assert isinstance(failure, Failure)
    assert (failure.reason, route.call_count) == (reason, requests + 1)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (httpx.ConnectError("refused"), r"no connection to http://llm\.test/v1; check that the server runs"),
        (httpx.RemoteProtocolError("cut"), r"http://llm\.test/v1: the connection broke \(RemoteProtocolError\); check that"),
    ],
)
@respx.mock
async def test_no_connection_stops_a_run_that_begins(fault: Exception, words: str) -> None:
    """After the attempts, with the address."""
    route = respx.post(f"{URL}{PATH}").mock(side_effect=fault)
    with pytest.raises(BackendUnavailableError, match=words):
        await transport()[0].post(PATH, BODY)
    assert route.call_count == 3


@respx.mock
async def test_a_certificate_that_is_not_trusted_is_told_as_such() -> None:
    """With the setting that mends it."""
    cause = httpx.ConnectError("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed")
    respx.post(f"{URL}{PATH}").mock(side_effect=cause)
    with pytest.raises(BackendUnavailableError, match="is not trusted; name your authority's certificates as ca_file"):
        await transport()[0].post(PATH, BODY)


# -- waiting ---------------------------------------------------------------------------------------


def in_seconds(seconds: float) -> str:
    """An HTTP date that far from now."""
    return format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)


@pytest.mark.parametrize(
    ("answer", "least", "most"),
    [
        pytest.param(busy(retry_after="1.5"), 1.5, 1.65, id="seconds"),
        pytest.param(busy(retry_after_ms="700", retry_after="9"), 0.7, 0.77, id="milliseconds first"),
        pytest.param(None, 50, 66, id="date"),
        pytest.param(
            httpx.Response(429, json=refusal(message="Rate limit. Please try again in 2.5s.")), 2.5, 2.75, id="in words"
        ),
        pytest.param(httpx.Response(429, json=refusal(message="try again after 1 minute")), 60, 66, id="minutes in words"),
    ],
)
@respx.mock
async def test_a_stated_wait_is_the_wait(answer: httpx.Response | None, least: float, most: float) -> None:
    """In all its forms, and up to a tenth more by chance; the second attempt counts."""
    respx.post(f"{URL}{PATH}").mock(side_effect=[answer or busy(retry_after=in_seconds(60)), OK])
    asked, clock = transport()
    reply = await asked.post(PATH, BODY)
    assert isinstance(reply, Reply)
    assert reply.attempts == 2
    assert least <= sum(clock.waits) <= most
    assert reply.waited == pytest.approx(sum(clock.waits))


@pytest.mark.parametrize("header", ["nan", "-1", "0", "soon", "inf", "", "Wed, 21 Oct 2015 07:28:00 GMT"])
@respx.mock
async def test_a_senseless_wait_is_not_obeyed(header: str) -> None:
    """Backoff with full jitter instead, within its limits; a date in the past is no wait."""
    respx.post(f"{URL}{PATH}").respond(503, headers={"retry-after": header}, json=refusal())
    asked, clock = transport()
    assert isinstance(await asked.post(PATH, BODY), Failure)
    assert all(0 <= wait <= 1 for wait in clock.waits)
    assert len(clock.waits) == 2


@respx.mock
async def test_a_stated_wait_allows_five_attempts() -> None:
    """The server says when it has room, so asking again is not pushing."""
    route = respx.post(f"{URL}{PATH}").mock(return_value=busy(retry_after="1"))
    failure = await transport()[0].post(PATH, BODY)
    assert isinstance(failure, Failure)
    assert (failure.reason, route.call_count) == ("rate_limited", 5)


@respx.mock
async def test_a_stated_wait_pauses_the_whole_endpoint() -> None:
    """Nobody else knocks while the server asks for a break."""
    clock_at: list[float] = []
    asked, clock = transport(concurrency=1)

    def answer(_: httpx.Request) -> httpx.Response:
        clock_at.append(clock.now())
        return busy(retry_after="30") if len(clock_at) == 1 else OK

    respx.post(f"{URL}{PATH}").mock(side_effect=answer)
    assert all(isinstance(reply, Reply) for reply in await posts(asked, 3))
    assert len(clock_at) == 4
    assert min(clock_at[1:]) - clock_at[0] >= 30


@pytest.mark.parametrize(("wait", "requests"), [("200", 1), ("70", 1), ("5", 2)])
@respx.mock
async def test_somebody_who_waits_is_not_kept_for_long(wait: str, requests: int) -> None:
    """Online a pause beyond the deadline is an answer."""
    route = respx.post(f"{URL}{PATH}").mock(side_effect=[busy(retry_after=wait), OK])
    asked, clock = transport()
    answer = await asked.post(PATH, BODY, online=True)
    assert route.call_count == requests
    if requests == 1:
        assert isinstance(answer, Failure)
        assert (answer.reason, sum(clock.waits)) == ("rate_limited", 0)
        waiting = asked.waiting()
        assert waiting is not None
        assert waiting.reason == "rate_limited"


@respx.mock
async def test_a_batch_waits_longer_and_stops_where_that_makes_no_sense(caplog: pytest.LogCaptureFixture) -> None:
    """Five minutes are waited for, and told; an hour stops the run, to be gone on with later."""
    route = respx.post(f"{URL}{PATH}").mock(side_effect=[busy(retry_after="300"), OK, busy(retry_after="3600")])
    asked, clock = transport()
    with caplog.at_level(logging.WARNING):
        assert isinstance(await asked.post(PATH, BODY), Reply)
    assert 300 <= sum(clock.waits) <= 331
    assert "openai:m asks to wait: next request in 3" in caplog.text
    with pytest.raises(StoppedError, match=r"the server asks to wait 3[6-9]\d\d s; go on then") as caught:
        await asked.post(PATH, {**BODY, "seed": 1})
    assert (caught.value.exit_code, route.call_count) == (5, 3)


# -- a server in trouble ---------------------------------------------------------------------------


def failing(times: int, then: Answer = OK, fault: Answer | None = None) -> Callable[[httpx.Request], httpx.Response]:
    """So many failures, then `then` for ever."""
    count = 0

    def answer(_: httpx.Request) -> httpx.Response:
        nonlocal count
        count += 1
        outcome = (fault or httpx.Response(500, json=refusal())) if count <= times else then
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    return answer


@respx.mock
async def test_a_batch_waits_for_a_server_that_comes_back() -> None:
    """The breaker opens, one request tries now and then, and no ticket is given up."""
    route = respx.post(f"{URL}{PATH}").mock(side_effect=failing(14))
    asked, clock = transport()
    replies = await posts(asked, 30)
    assert all(isinstance(reply, Reply) for reply in replies)
    assert 15 <= clock.now() - 1000 <= 600
    assert route.call_count == 14 + 30


@pytest.mark.parametrize(
    "fault",
    [
        busy(retry_after="1"),
        httpx.Response(503, headers={"retry-after": "1"}, json=refusal()),
        httpx.Response(500, json=refusal()),
        httpx.Response(429, json=refusal()),
        httpx.ReadTimeout("slow"),
        httpx.ConnectError("gone"),
    ],
)
@respx.mock
async def test_a_dead_server_fills_no_queue(fault: Answer) -> None:
    """After ten minutes the run stops, with not one ticket given up; the server was hardly bothered."""
    route = respx.post(f"{URL}{PATH}").mock(side_effect=[OK, *([fault] * 1000)])
    asked, clock = transport(attempts=10, patience={"attempts_unclear": 10})
    assert isinstance(await asked.post(PATH, {**BODY, "seed": -1}), Reply)
    with pytest.raises(
        StoppedError, match=r"http://llm\.test/v1 has not worked for 6\d\d s .*see that the server works, then go on"
    ):
        await posts(asked, 64)
    assert 600 <= clock.now() - 1000 <= 760
    assert route.call_count < 40


@respx.mock
async def test_a_breaker_without_a_budget_still_tries() -> None:
    """Retries are paid for before the door, so a trial is never taken and left."""
    respx.post(f"{URL}{PATH}").mock(side_effect=[OK, *[httpx.Response(500, json=refusal())] * 11, *[OK] * 100])
    asked, _ = transport(patience={"start": 32, "retry_budget": 1, "batch": 1e6, "outage": 1e6})
    assert isinstance(await asked.post(PATH, {**BODY, "seed": -1}), Reply)
    assert all(isinstance(reply, Reply) for reply in await posts(asked, 40))
    assert asked.waiting() is None


@pytest.mark.slow
@pytest.mark.parametrize("share", [15, 30])
@respx.mock
async def test_retries_that_wait_hold_nobody_up(share: int) -> None:
    """They have no slot in hand: a server that fails now and then is done in a time that fits, and no ticket is given up."""
    count = 0

    def answer(_: httpx.Request) -> httpx.Response:
        nonlocal count
        count += 1
        return httpx.Response(500, json=refusal()) if count % 100 < share and count % 2 else OK

    respx.post(f"{URL}{PATH}").mock(side_effect=answer)
    asked, _ = transport(attempts=10)
    answers = await posts(asked, 400)
    assert all(isinstance(reply, Reply) for reply in answers)


@respx.mock
async def test_the_queue_for_a_slot_is_nobodys_delay() -> None:
    """A ticket of a batch that waits its turn longer than its own deadline still gets a whole attempt."""
    asked, clock = transport(concurrency=1, patience={"batch": 100})

    async def answer(_: httpx.Request) -> httpx.Response:
        clock.pass_by(45)
        return OK

    respx.post(f"{URL}{PATH}").mock(side_effect=answer)
    assert all(isinstance(reply, Reply) for reply in await posts(asked, 10))
    assert clock.now() >= 1450


@respx.mock
async def test_online_the_ticket_that_opens_the_breaker_is_answered_too() -> None:
    """It does not wait for the trial as a batch does."""
    respx.post(f"{URL}{PATH}").mock(side_effect=[OK, *[httpx.ConnectError("gone")] * 100])
    asked, clock = transport()
    waits = []
    for seed in range(8):
        before = clock.now()
        await asked.post(PATH, {**BODY, "seed": seed}, online=True)
        waits.append(clock.now() - before)
    assert max(waits) < 2
    assert asked.waiting() is not None


@respx.mock
async def test_online_nobody_queues_behind_a_batch_that_waits() -> None:
    """Tickets of a batch wait without a slot, so the door answers at once."""
    respx.post(f"{URL}{PATH}").mock(side_effect=[OK, *[httpx.Response(500, json=refusal())] * 1000])
    asked, _ = transport(concurrency=2, patience={"outage": 1e9})
    assert isinstance(await asked.post(PATH, {**BODY, "seed": -1}), Reply)
    batch = asyncio.create_task(posts(asked, 20))
    await asyncio.sleep(0.1)
    assert asked.waiting() is not None
    answer = await asyncio.wait_for(asked.post(PATH, {**BODY, "seed": -2}, online=True), 1)
    assert isinstance(answer, Failure)
    assert (answer.reason, answer.usage.attempts) == ("backend_unavailable", 0)
    batch.cancel()
    await asyncio.gather(batch, return_exceptions=True)


@respx.mock
async def test_a_refusal_without_a_word_of_an_api_belongs_to_its_ticket_once_others_were_answered() -> None:
    """A gateway's page with 403 is about the key only as long as nothing was answered."""
    page = httpx.Response(403, text="<html>Forbidden</html>")
    respx.post(f"{URL}{PATH}").mock(side_effect=[page, page, OK, page, OK])
    asked, _ = transport()
    for _ in range(2):  # the first refusal is no answer, so the second still stops
        with pytest.raises(BackendRefusedError, match="refused the key"):
            await asked.post(PATH, {**BODY, "seed": 1})
    answers = [await asked.post(PATH, {**BODY, "seed": seed}) for seed in (2, 3, 4)]
    assert [getattr(answer, "reason", "answered") for answer in answers] == ["answered", "refused", "answered"]


@respx.mock
async def test_a_server_that_never_worked_is_no_run_that_stopped_early() -> None:
    """Exit code 4, not 5."""
    respx.post(f"{URL}{PATH}").respond(500, json=refusal())
    asked, _ = transport(attempts=10)
    with pytest.raises(BackendUnavailableError, match="has not worked for") as caught:
        await posts(asked, 20)
    assert caught.value.exit_code == 4


@respx.mock
async def test_online_an_open_breaker_is_an_answer() -> None:
    """At once, without a request and without a wait."""
    route = respx.post(f"{URL}{PATH}").respond(500, json=refusal())
    asked, clock = transport()
    for seed in range(4):
        await asked.post(PATH, {**BODY, "seed": seed}, online=True)
    count, before = route.call_count, clock.now()
    answer = await asked.post(PATH, {**BODY, "seed": 9}, online=True)
    assert isinstance(answer, Failure)
    assert (answer.reason, route.call_count - count, clock.now() - before) == ("backend_unavailable", 0, 0)
    assert answer.usage.attempts == 0


@pytest.mark.slow
@respx.mock
async def test_retries_stay_a_small_share_of_requests() -> None:
    """A server that fails every third time sees little more than one request a ticket when somebody waits for each."""
    count = 0

    def answer(_: httpx.Request) -> httpx.Response:
        nonlocal count
        count += 1
        return httpx.Response(500, json=refusal()) if count % 3 == 0 else OK

    respx.post(f"{URL}{PATH}").mock(side_effect=answer)
    asked, clock = transport()
    for seed in range(1000):
        await asked.post(PATH, {**BODY, "seed": seed}, online=True)
    assert count <= 1000 * 1.1 + 20 + (clock.now() - 1000)


@pytest.mark.slow
@respx.mock
async def test_an_endpoint_that_is_no_api_stops_the_run() -> None:
    """Five answers in a row that are none of an API's; no ticket beyond them is given up."""
    route = respx.post(f"{URL}{PATH}").respond(200, text="<html>log in</html>")
    asked, _ = transport()
    with pytest.raises(
        BackendRefusedError, match=r"gives no answer that can be used \(the server's answer is not JSON, 5 times in a row\)"
    ):
        for seed in range(9):
            await asked.post(PATH, {**BODY, "seed": seed})
    assert route.call_count == 5


@respx.mock
async def test_one_good_answer_between_is_enough_to_go_on() -> None:
    """A gateway's page that comes and goes stops nothing."""
    page = httpx.Response(200, text="<html>")
    respx.post(f"{URL}{PATH}").mock(side_effect=[page, page, page, page, OK, page, page, page, page, OK])
    asked, _ = transport()
    answers = [await asked.post(PATH, {**BODY, "seed": seed}) for seed in range(6)]
    assert [isinstance(answer, Reply) for answer in answers] == [False, False, True, False, False, True]


# -- how many at once ------------------------------------------------------------------------------


@pytest.mark.slow
async def test_a_wall_clock_ends_an_attempt(serve_slowly: str) -> None:
    """Bytes that drip in are no answer: a read time-out would never fire."""
    endpoint = Endpoint(name="m", url=serve_slowly, timeout=0.3, patience=Patience(first_wait=0.01))
    asked = Transport(endpoint)
    start = time.monotonic()
    failure = await asked.post(PATH, BODY)
    await asked.aclose()
    assert isinstance(failure, Failure)
    assert (failure.reason, failure.detail, failure.usage.attempts) == ("timeout", "no answer within 0.3 s", 2)
    assert time.monotonic() - start < 3


async def test_online_the_deadline_ends_everything(serve_slowly: str) -> None:
    """Also the wait for a slot."""
    endpoint = Endpoint(name="m", url=serve_slowly, timeout=5, concurrency=1, patience=Patience(online=0.3))
    asked = Transport(endpoint)
    start = time.monotonic()
    answers = await posts(asked, 3, online=True)
    await asked.aclose()
    assert {answer.reason for answer in answers if isinstance(answer, Failure)} == {"timeout"}
    assert time.monotonic() - start < 3


@respx.mock
async def test_a_fast_server_is_asked_more_and_a_refusing_one_less() -> None:
    """From eight at once: one more for twenty good answers, half after a refusal."""
    route = respx.post(f"{URL}{PATH}").mock(return_value=OK)
    asked, _ = transport(concurrency=20)
    await posts(asked, 200)
    assert asked.pace.concurrency.limit == 18
    route.mock(side_effect=[busy(retry_after="1"), *([OK] * 400)])
    await posts(asked, 5, fresh=True)
    assert asked.pace.concurrency.limit == 9
    await posts(asked, 300, fresh=True)
    assert asked.pace.concurrency.limit == 20


@respx.mock
async def test_no_more_are_in_flight_than_allowed() -> None:
    """Whatever the number of callers."""
    running = most = 0

    async def answer(_: httpx.Request) -> httpx.Response:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.001)
        running -= 1
        return OK

    respx.post(f"{URL}{PATH}").mock(side_effect=answer)
    asked, _ = transport(concurrency=10)
    await posts(asked, 200)
    assert most == 10


def answer_of(body: bytes, *headers: str) -> bytes:
    """A whole HTTP response."""
    lines = ["HTTP/1.1 200 OK", "Content-Type: application/json", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


BOMB = json.dumps(completion("x" * 20_000_000)).encode()


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        pytest.param(answer_of(json.dumps(completion("x" * 2_000_000)).encode()), "bad_response", id="two megabytes"),
        pytest.param(
            answer_of(gzip.compress(gzip.compress(BOMB)), "Content-Encoding: gzip, gzip"), "bad_response", id="packed twice"
        ),
        pytest.param(answer_of(gzip.compress(json.dumps(GOOD).encode()), "Content-Encoding: gzip"), None, id="packed unasked"),
    ],
)
async def test_a_reply_that_is_too_long_is_not_read_to_its_end(
    serve_raw: Callable[[bytes], Awaitable[str]], response: bytes, reason: str | None
) -> None:
    """However small it was made on its way."""
    asked = Transport(Endpoint(name="m", url=await serve_raw(response), attempts=1))
    answer = await asked.post(PATH, BODY)
    await asked.aclose()
    assert getattr(answer, "reason", None) == reason
    if isinstance(answer, Failure):
        assert answer.detail == "the answer is longer than 1 MiB"


# -- asked once ------------------------------------------------------------------------------------


@respx.mock
async def test_the_same_request_in_a_batch_is_sent_once() -> None:
    """At the same time or later; only the first costs something. A sample is asked for anew."""
    route = respx.post(f"{URL}{PATH}").mock(return_value=OK)
    asked, _ = transport()
    shared: Shared[Reply | Failure] = Shared()
    replies = await asyncio.gather(*(asked.post(PATH, BODY, shared=shared) for _ in range(10)))
    replies.append(await asked.post(PATH, BODY, shared=shared))
    assert route.call_count == 1
    assert sorted(reply.attempts for reply in replies if isinstance(reply, Reply)) == [0] * 10 + [1]
    await asked.post(PATH, BODY, shared=shared, fresh=True)
    assert route.call_count == 2


@respx.mock
async def test_a_failure_is_not_remembered() -> None:
    """The server may be well again when the same ticket comes once more."""
    respx.post(f"{URL}{PATH}").mock(side_effect=[httpx.Response(400, json=refusal("content_filter")), OK])
    asked, _ = transport()
    shared: Shared[Reply | Failure] = Shared(keep=lambda answer: isinstance(answer, Reply))
    assert isinstance(await asked.post(PATH, BODY, shared=shared), Failure)
    assert isinstance(await asked.post(PATH, BODY, shared=shared), Reply)


@respx.mock
async def test_all_who_are_cancelled_leave() -> None:
    """None of them asks in place of the others."""
    asked_for = 0

    async def answer(_: httpx.Request) -> httpx.Response:
        nonlocal asked_for
        asked_for += 1
        await asyncio.sleep(10)
        return OK

    respx.post(f"{URL}{PATH}").mock(side_effect=answer)
    asked, _ = transport()
    shared: Shared[Reply | Failure] = Shared()
    tasks = [asyncio.create_task(asked.post(PATH, BODY, shared=shared)) for _ in range(5)]
    await asyncio.sleep(0.05)
    for task in tasks:
        task.cancel()
    results = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 2)
    assert [type(result) for result in results] == [asyncio.CancelledError] * 5
    assert asked_for == 1


@respx.mock
async def test_who_leaves_does_not_take_the_others_answer() -> None:
    """The one who asks is cancelled: another who waits asks instead."""
    release, asked_for = asyncio.Event(), 0

    async def answer(_: httpx.Request) -> httpx.Response:
        nonlocal asked_for
        asked_for += 1
        await release.wait()
        return OK

    respx.post(f"{URL}{PATH}").mock(side_effect=answer)
    asked, _ = transport()
    shared: Shared[Reply | Failure] = Shared()
    first, second = (asyncio.create_task(asked.post(PATH, BODY, shared=shared)) for _ in range(2))
    await asyncio.sleep(0.05)
    first.cancel()
    await asyncio.sleep(0.05)
    release.set()
    assert isinstance(await second, Reply)
    assert asked_for == 2


@respx.mock
def test_connections_of_closed_loops_are_let_go() -> None:
    """A script that calls asyncio.run many times does not gather clients."""
    respx.post(f"{URL}{PATH}").mock(return_value=OK)
    asked, _ = transport()
    for _ in range(5):
        assert isinstance(asyncio.run(asked.post(PATH, BODY)), Reply)
    assert len(asked._sessions) == 1


# -- money -----------------------------------------------------------------------------------------


@respx.mock
async def test_a_limit_of_tokens_is_never_passed() -> None:
    """Each request is reserved for before and settled after, also with many in flight."""
    respx.post(f"{URL}{PATH}").mock(
        return_value=httpx.Response(200, json=completion("{}", usage={"prompt_tokens": 30, "completion_tokens": 5}))
    )
    budget = Budget(tokens=1000)
    asked, _ = transport(budget=budget)
    with pytest.raises(StoppedError, match="the limit of 1000 tokens is reached") as caught:
        await posts(asked, 100)
    assert caught.value.exit_code == 5
    assert 900 <= budget.spent_tokens <= 1000


@respx.mock
async def test_a_limit_of_money_counts_cached_tokens_at_their_price() -> None:
    """As the server bills them."""
    usage = {"prompt_tokens": 1000, "completion_tokens": 10, "prompt_tokens_details": {"cached_tokens": 900}}
    respx.post(f"{URL}{PATH}").mock(return_value=httpx.Response(200, json=completion("{}", usage=usage)))
    price = Price(input=1.0, cached_input=0.1, output=10.0)
    budget = Budget(cost=0.0010, currency="USD")
    asked, _ = transport(budget=budget, price=price)
    await asked.post(PATH, BODY)
    assert budget.spent_cost == pytest.approx((100 * 1.0 + 900 * 0.1 + 10 * 10) / 1e6)
    with pytest.raises(StoppedError, match=r"the limit of 0\.001 USD is reached"):
        for seed in range(9):
            await asked.post(PATH, {**BODY, "seed": seed})
    assert budget.spent_cost <= 0.0013


@respx.mock
async def test_what_the_server_says_it_took_counts_also_where_it_broke_off() -> None:
    """It will be on the bill."""
    body = completion("{}", finish_reason="aborted", usage={"prompt_tokens": 30, "completion_tokens": 0})
    respx.post(f"{URL}{PATH}").respond(json=body)
    budget = Budget(tokens=1000)
    await transport(budget=budget)[0].post(PATH, BODY)
    assert budget.spent_tokens == 90


@respx.mock
async def test_what_a_timeout_may_have_cost_is_counted() -> None:
    """The server may have read the prompt, and may bill it."""
    respx.post(f"{URL}{PATH}").mock(side_effect=httpx.ReadTimeout("slow"))
    budget = Budget(tokens=1000)
    await transport(budget=budget)[0].post(PATH, BODY)
    assert 0 < budget.spent_tokens < 100


# -- what the server says besides ------------------------------------------------------------------


@respx.mock
async def test_a_page_beside_the_api_can_be_read() -> None:
    """Below the base URL, or anywhere on the host."""
    respx.get(f"{URL}/models").respond(json={"data": []})
    respx.get("http://llm.test/props").respond(json={"n_ctx": 4096})
    respx.get(f"{URL}/nothing").respond(500, json=refusal())
    asked, _ = transport()
    models, props, nothing = [await asked.get(path) for path in ("/models", "http://llm.test/props", "/nothing")]
    assert isinstance(models, Reply)
    assert isinstance(props, Reply)
    assert (models.body, props.body) == ({"data": []}, {"n_ctx": 4096})
    assert isinstance(nothing, Failure)
