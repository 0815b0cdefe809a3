"""Outcomes as rows and back: pure."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from dataclasses import fields
from functools import lru_cache
from json.encoder import encode_basestring_ascii
from typing import TYPE_CHECKING, Any, Literal

from pydantic_core import to_json

from llmtriage.outcomes import Accepted, Candidate, Pending, Reason
from llmtriage.predictions import PASSING, Usage

if TYPE_CHECKING:
    from llmtriage.outcomes import Outcome
    from llmtriage.tickets import Ticket

Kept = Literal["original", "redacted", "none"]
"""What is stored of a ticket's text: as received, as the model saw it, or nothing."""

DESCRIBING = ("channel", "language", "customer", "metadata")
_BYTES = 16
_USAGE = tuple(field.name for field in fields(Usage))
_LONGEST = 200  # characters of a name: PostgreSQL's indexes hold up to 2,700 bytes
_JSON = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


def text_hmac(key: bytes, ticket: Ticket) -> bytes:
    """Identity of a text for who has the store's key: a bare hash of a short text could be guessed."""
    parts = f"[{encode_basestring_ascii(ticket.title)}, {encode_basestring_ascii(ticket.content)}]"  # a list, in half the time
    keyed = _keyed(key).copy()  # in half the time too
    keyed.update(parts.encode())
    return keyed.digest()[:_BYTES]


@lru_cache(maxsize=8)
def _keyed(key: bytes) -> hmac.HMAC:
    return hmac.new(key, digestmod=hashlib.sha256)


def ticket_key(ticket: Ticket, digest: bytes) -> str:
    """What makes a ticket the same as an earlier one: its id; without one its text."""
    return f"text:{digest.hex()}" if ticket.id is None or ticket.numbered else f"id:{name(ticket.id)}"


def erased_subject(key: bytes, source: str | None, what: str) -> bytes:
    """A ticket (its key) or a customer from one source, or (None) from anywhere, as it is known for a day that all of it was erased."""
    return hmac.digest(key, json.dumps(["erased", source, what]).encode(), hashlib.sha256)[:_BYTES]


def of_customer(customer: str) -> str:
    """A customer as a subject of an erasure."""
    return f"customer:{name(customer)}"


def secret_hash(secret: str) -> bytes:
    """What is stored of a secret that was drawn at random: too long to be guessed, so a plain hash is enough."""
    return hashlib.sha256(secret.encode(errors="surrogatepass")).digest()


def name(text: str) -> str:
    """An id or a name as it is stored and looked for: of a very long one the beginning, with a hash of all of it."""
    text = storable(text)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST // 2]}…{hashlib.sha256(text.encode()).hexdigest()}"


def storable(text: str) -> str:
    """A text that every database takes: no NUL, no half of a surrogate pair."""
    return text if text.isascii() and "\0" not in text else _UNSTORABLE.sub("\ufffd", text)


def json_text(value: object) -> str:
    """Plain data as they are stored. Raises ValueError for a number that is none."""
    try:
        text = to_json(value).decode()  # a quarter of the time
    except ValueError:  # half of a surrogate pair
        return storable(_JSON.encode(value))
    return storable(_JSON.encode(value)) if "NaN" in text or "Infinity" in text else text


def ticket_row(ticket: Ticket, *, source: str, key: str, kept: Kept, at: int) -> dict[str, Any]:
    """The columns of table `ticket`."""
    return {
        "source": source,
        "key": key,
        "external_id": None if ticket.numbered or ticket.id is None else name(ticket.id),
        **described(ticket, kept),
        "received_at": at,
    }


def described(ticket: Ticket, kept: Kept) -> dict[str, Any]:
    """What is stored of what a ticket says of itself, the columns `DESCRIBING`.

    Nobody looks for personal data in metadata, so these are kept only where the text is kept as received.
    """
    metadata = ticket.metadata if kept == "original" else {}
    return {
        "channel": _storable(ticket.channel),
        "language": _storable(ticket.language),
        "customer": None if ticket.customer is None else name(ticket.customer),
        "metadata": {storable(key): storable(value) for key, value in metadata.items()},
    }


def text_columns(ticket: Ticket, prepared: str, kept: Kept) -> dict[str, str | None]:
    """The columns of table `ticket_text` that hold text."""
    if kept == "none":
        return {"title": None, "content": None}
    if kept == "redacted":
        return {"title": "", "content": storable(prepared)}
    return {"title": storable(ticket.title), "content": storable(ticket.content)}


def _storable(text: str | None) -> str | None:
    return None if text is None else storable(text)


def draw(key: bytes, name: str, ticket_key: str) -> float:
    """A number in [0, 1) that nobody outside can foresee, and that is the same whenever it is asked for."""
    found = hmac.digest(key, f"{name}\0{ticket_key}".encode(errors="surrogatepass"), hashlib.sha256)
    return int.from_bytes(found[:7], "big") / 2**56


def mark(key: bytes) -> str:
    """Eight letters that belong to a store, and to no other: no spreadsheet makes a number of them."""
    return "".join(chr(ord("a") + byte % 26) for byte in hmac.digest(key, b"mark", hashlib.sha256)[:8])


def outcome_row(outcome: Outcome) -> dict[str, Any]:
    """The columns of table `outcome` that say what was decided."""
    answer = outcome.prediction or getattr(outcome, "failure", None)
    row = {
        "final": True,
        "team": None,
        "confidence": outcome.confidence,
        "score": outcome.score,
        "calibrated": outcome.calibrated,
        "candidates": [[one.category, one.score] for one in outcome.candidates],
        "usage": {} if answer is None else {name: v for name in _USAGE if (v := getattr(answer.usage, name)) is not None},
    }
    kind, category = decided(outcome)
    if isinstance(outcome, Accepted):
        return {**row, "kind": kind, "category": category, "team": outcome.team, "reasons": []}
    final = not any(reason.code in PASSING for reason in outcome.reasons)
    reasons = [[reason.code, reason.detail] for reason in outcome.reasons]
    return {**row, "kind": kind, "category": category, "reasons": reasons, "final": final}


def cost_something(outcome: Outcome) -> bool:
    """Whether it is worth finding for the next ticket with the same text: not where the embedded engine answered, which is quicker than that.

    Tokens do not tell: some servers say 0 of whatever they read.
    """
    return outcome.prediction is None or outcome.prediction.source != "lexical"


def decided(outcome: Outcome) -> tuple[str, str | None]:
    """Which of the two outcomes it is, and the category it names."""
    return ("accepted", outcome.category) if isinstance(outcome, Accepted) else ("pending", outcome.suggestion)


def outcome_of(row: Any, *, ticket_id: str | None, text: str) -> Outcome:
    """The outcome of a row of table `outcome`, for a ticket with this prepared text."""
    common: dict[str, Any] = {
        "confidence": row.confidence,
        "score": row.score,
        "calibrated": row.calibrated,
        "candidates": tuple(Candidate(category=category, score=score) for category, score in row.candidates),
        "ticket_id": ticket_id,
        "text": text,
        "recalled": True,
    }
    if row.kind == "accepted":
        return Accepted(category=row.category, team=row.team, **common)
    reasons = tuple(Reason(code=code, detail=detail) for code, detail in row.reasons)
    return Pending(suggestion=row.category, reasons=reasons, **common)


def uncertainty(outcome: Outcome) -> float:
    """How unsure the suggestion is, in [0, 1]; 1 where there is none.

    In hundredths, so that the entries of a commit stand side by side in the index: else each of them changes a page of its own.
    """
    number = outcome.confidence if outcome.confidence is not None else outcome.score
    return 1.0 if number is None else round(1.0 - min(max(number, 0.0), 1.0), 2)
