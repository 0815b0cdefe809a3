"""What can go wrong between us and a server, translated at one place: into a failure of one ticket or an error of the run."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import openai

from llmtriage.backends.http import MOST_BYTES, ReplyTooLongError
from llmtriage.backends.stated_wait import stated_wait
from llmtriage.errors import (
    BackendError,
    BackendRefusedError,
    BackendUnavailableError,
    RefusedFieldError,
    StoppedError,
    UnknownModelError,
    UnknownRouteError,
    short,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from llmtriage.backends.transport import Endpoint
    from llmtriage.predictions import EngineReason

# Names, because openai 3 speaks httpx2 and a caller may hand in a client of httpx.
_NO_CONNECTION = frozenset({"ConnectError", "ConnectTimeout", "ProxyError", "UnsupportedProtocol"})
_NO_MODEL = frozenset({"model", "model_not_found"})
_TOO_LONG = frozenset({"context_length_exceeded", "input_tokens", "input_text", "string_above_max_length"})
_FILTERED = frozenset(
    {
        "content_filter",
        "DataInspectionFailed",
        "data_inspection_failed",
        "InputTextRiskDetection",
        "content_policy_violation",
        "invalid_prompt",
        "1301",
    }
)
_FILTERED_WORDS = ("Content Exists Risk", "violates usage guidelines")  # DeepSeek and xAI have no code for it
_WAIT_IN_WORDS = re.compile(
    r"(?:again|retry|wait)\D{0,24}?(\d+(?:\.\d+)?)\s*(ms|milliseconds?|s|sec|seconds?|m|min|minutes?)\b", re.IGNORECASE
)
_SEE_THAT_IT_RUNS = "check that the server runs and the URL is right"
_MINUTES_AND_SECONDS = re.compile(r"(?:again|retry|wait)\D{0,24}?(\d+)\s*m(?:in)?\s*(\d+(?:\.\d+)?)\s*s", re.IGNORECASE)
_TICKET_FIELDS = ("messages", "input", "state")
_NO_MONEY = frozenset({"insufficient_quota", "billing_not_active", "Arrearage", "AccountOverdueError"})


@dataclass
class Fault(Exception):  # noqa: N818 - it is caught in the transport and never leaves it
    """One failed attempt: `error` for the whole run, else `reason` and `detail` for this ticket.

    Attributes:
        reason: The code for this ticket.
        detail: In words, without keys or ticket text.
        retryable: Whether asking again can help.
        error: What to raise when the run cannot go on.
        gone: What to raise if this server has never answered.
        unsent: The request did not reach the server, so it cannot be the cause.
        wait: Seconds the server asked us to wait.
        crowded: Whether it is a sign of too many requests at once.
        unusable: Whether the answer is none of an API's: a few in a row stop the run.
        outage: Whether the server could not answer, rather than not this request.
        gateway: A refusal without a word of an API: of the key, unless others were answered; then of this text.
    """

    reason: EngineReason
    detail: str
    retryable: bool = False
    error: BackendError | None = None
    gone: BackendError | None = None
    unsent: bool = False
    wait: float | None = None
    crowded: bool = False
    unusable: bool = False
    outage: bool = False
    gateway: bool = False


def unreadable(detail: str) -> Fault:
    """An answer that came but cannot be read. Asking again may help: a gateway's page comes and goes."""
    return Fault("bad_response", detail, retryable=True, unusable=True)


def fault_of(error: Exception, endpoint: Endpoint, *, limit: float, naming: Collection[str] = ()) -> Fault:
    """Translate what the client raised.

    Args:
        error: What it raised.
        endpoint: Who was asked.
        limit: Seconds the attempt had.
        naming: Fields of the request; a message that names one of them refuses it.
    """
    if isinstance(error, (openai.APIConnectionError, TimeoutError)) and _cause(error) in _NO_CONNECTION:
        return _no_connection(endpoint, error)
    if isinstance(error, (openai.APITimeoutError, TimeoutError)):
        return Fault("timeout", f"no answer within {limit:g} s", retryable=True, crowded=True, outage=True)
    if isinstance(error, openai.APIConnectionError):
        problem = f"the connection broke ({_cause(error)})"
        gone = BackendUnavailableError(f"{endpoint.url}: {problem}", remedy=_SEE_THAT_IT_RUNS, backend=endpoint.name)
        return Fault("backend_unavailable", problem, retryable=True, gone=gone, outage=True)
    if isinstance(error, openai.APIStatusError):
        return _of_status(error, endpoint, naming)
    if isinstance(error, ReplyTooLongError):
        return unreadable(f"the answer is longer than {MOST_BYTES // 2**20} MiB")
    return Fault("bad_response", f"the client could not read the answer ({type(error).__name__})", unusable=True)


def _of_status(error: openai.APIStatusError, endpoint: Endpoint, naming: Collection[str]) -> Fault:
    body = _inner(error.body)
    wait = stated_wait(error.response.headers)
    if wait is None and error.status_code in (429, 503):
        wait = _wait_in_words(str(body.get("message") or ""))
    fault = of_body(error.status_code, body, endpoint, wait=wait, naming=naming)
    said = error.response.headers.get("x-should-retry")
    if said in ("true", "false") and fault.error is None:
        fault.retryable = said == "true"
    return fault


def of_body(
    status: int, body: Mapping[str, Any], endpoint: Endpoint, *, wait: float | None = None, naming: Collection[str] = ()
) -> Fault:
    """What an error object means: for this text, else for the run, else something that may pass by itself."""
    codes = {str(body.get(key)) for key in ("code", "type", "param")}
    return (
        _of_text(status, codes, body)
        or _of_run(status, codes, body, endpoint)
        or _passing(status, wait)
        or _bad_request(status, body, endpoint, naming)
    )


def _of_run(status: int, codes: set[str], body: Mapping[str, Any], endpoint: Endpoint) -> Fault | None:
    if 300 <= status < 400:
        problem = f"{endpoint.url} redirects to another place"
        return _stop(BackendRefusedError(problem, remedy="name that place in the URL", backend=endpoint.name))
    if status in (401, 402, 403) or codes & _NO_MONEY:
        fault = _refused(status, codes, endpoint)
        fault.gateway = status == 403 and str(body.get("message") or "").lstrip().startswith("<")
        return fault
    if status == 404 or codes & _NO_MODEL:
        return _not_found(codes, str(body.get("message") or ""), endpoint)
    if status == 501:
        problem = "the server does not offer this with this model (501)"
        return _stop(BackendRefusedError(problem, remedy="choose another model or engine", backend=endpoint.name))
    return None


def _of_text(status: int, codes: set[str], body: Mapping[str, Any]) -> Fault | None:
    if codes & _TOO_LONG or status == 413:
        return Fault("too_long", "the prompt is longer than the model's context")
    metadata = body.get("metadata")
    moderated = status == 403 and isinstance(metadata, dict) and bool(metadata.get("reasons"))
    said = str(body.get("message") or "")
    if codes & _FILTERED or moderated or any(words in said for words in _FILTERED_WORDS):
        return Fault("refused", "the server's content filter refused the text")
    return None


def _passing(status: int, wait: float | None) -> Fault | None:
    crowded = status in (429, 503, 529)
    if status == 429:
        return Fault("rate_limited", "the server answered 429", retryable=True, wait=wait, crowded=crowded, outage=True)
    if status in (408, 409) or status >= 500:
        detail = f"the server answered {status}"
        return Fault("backend_unavailable", detail, retryable=True, wait=wait, crowded=crowded, outage=True)
    return None


def _bad_request(status: int, body: Mapping[str, Any], endpoint: Endpoint, naming: Collection[str]) -> Fault:
    field = _field(body, naming)
    if field is None:
        return Fault("bad_response", f"the server answered {status}", unusable=True)
    # What the server said may quote the ticket, so only the field's name is passed on.
    problem = f"the server does not take the field {short(field)!r} ({status})"
    remedy = "leave it out with omit = [...] under [backends.NAME] in llmtriage.toml"
    return _stop(RefusedFieldError(field, problem, remedy=remedy, backend=endpoint.name))


def _field(body: Mapping[str, Any], naming: Collection[str]) -> str | None:
    """The field of the request that an error object is about."""
    field = body.get("param")
    if isinstance(field, str) and field and not field.startswith(_TICKET_FIELDS):
        return field
    details = body.get("detail")
    first = details[0] if isinstance(details, list) and details else None
    place = first.get("loc") if isinstance(first, dict) else None
    if isinstance(place, list) and len(place) > 1 and place[0] == "body" and place[1] not in _TICKET_FIELDS:
        return str(place[1])
    said = str(body.get("message") or "")
    return next((name for name in naming if name in said), None)


def _refused(status: int, codes: set[str], endpoint: Endpoint) -> Fault:
    if status == 402 or codes & _NO_MONEY:
        problem = f"the account has no credit or quota left ({status})"
        return _stop(StoppedError(problem, remedy="top it up, then go on", backend=endpoint.name))
    problem = f"the server refused the key ({status})" if endpoint.key else f"the server wants a key ({status})"
    remedy = f"set {endpoint.key_hint}"
    return _stop(BackendRefusedError(problem, remedy=remedy, backend=endpoint.name))


def _not_found(codes: set[str], said: str, endpoint: Endpoint) -> Fault:
    if codes & _NO_MODEL or "model" in said.lower():
        problem, remedy = "the server does not know this model", "check its name"
        return _stop(UnknownModelError(problem, remedy=remedy, backend=endpoint.name))
    problem, remedy = f"nothing answers at {endpoint.url}", "check the URL; most servers want it to end in /v1"
    return _stop(UnknownRouteError(problem, remedy=remedy, backend=endpoint.name))


def _no_connection(endpoint: Endpoint, cause: Exception) -> Fault:
    problem, remedy = f"no connection to {endpoint.url}", _SEE_THAT_IT_RUNS
    if endpoint.proxy:
        problem, remedy = f"{problem} through the proxy", "check that both run, and the proxy's URL"
    if "CERTIFICATE" in str(cause.__cause__):
        problem = f"the certificate of {endpoint.url} is not trusted"
        remedy = "name your authority's certificates as ca_file under [backends.NAME] in llmtriage.toml"
    error = BackendUnavailableError(problem, remedy=remedy, backend=endpoint.name)
    return Fault("backend_unavailable", problem, retryable=True, gone=error, unsent=True, outage=True)


def _stop(error: BackendError) -> Fault:
    return Fault("backend_unavailable", error.problem, error=error)


def _inner(body: object) -> Mapping[str, Any]:
    """The error object of a body in any of the shapes servers use."""
    if isinstance(body, list) and body:
        body = body[0]
    if isinstance(body, dict):
        inner = body.get("error", body)
        return inner if isinstance(inner, dict) else {"message": inner}
    return {"message": body} if isinstance(body, str) else {}


def _cause(error: BaseException) -> str:
    return type(error.__cause__ or error).__name__


def _wait_in_words(message: str) -> float | None:
    """Seconds from a sentence like "try again in 1.5 s"; LiteLLM and some hosts write no header."""
    found = _WAIT_IN_WORDS.search(message[:1000])
    if found is None:
        both = _MINUTES_AND_SECONDS.search(message[:1000])
        return 60 * float(both[1]) + float(both[2]) if both else None
    unit = found[2].lower()
    return float(found[1]) * (0.001 if unit.startswith(("ms", "mil")) else 60.0 if unit.startswith("m") else 1.0)
