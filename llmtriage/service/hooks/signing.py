"""Who sent a message: signatures over the bytes as they came. Pure; comparisons take the same time whatever differs."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from llmtriage.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

APART = 300.0
"""Seconds that the sender's clock may differ from ours; an older message may be one that somebody sends again."""

_PREFIX = "whsec_"
_SHORTEST = 24  # bytes of a secret, as Standard Webhooks wants it


class RefusedError(Exception):
    """A message that is not taken, with the reason: nothing of the message."""


class Verifier(Protocol):
    """Knows the messages of one sender."""

    def __call__(self, body: bytes, headers: Mapping[str, str], at: float) -> str:
        """The id of a message: what is sent again has it again.

        Args:
            body: As it came.
            headers: By their names, whose case does not matter.
            at: Now, in seconds since 1970.

        Raises:
            RefusedError: It was not signed with one of the secrets, or is too old.
        """
        ...


class Standard:
    """Standard Webhooks: `webhook-signature` over id, time and body."""

    def __init__(self, secrets: str, *, variable: str) -> None:
        """Know the secrets.

        Args:
            secrets: `whsec_...`; several of them with blanks between while one takes the place of another.
            variable: Where they stand, for errors.

        Raises:
            InputError: They are no such secrets.
        """
        self._keys = [_key(secret, variable) for secret in _several(secrets, variable)]

    def __call__(self, body: bytes, headers: Mapping[str, str], at: float) -> str:
        """The message's `webhook-id`. Raises RefusedError."""
        message, time = _header(headers, "webhook-id"), _header(headers, "webhook-timestamp")
        given = [one.partition(",")[2] for one in _header(headers, "webhook-signature").split() if one.startswith("v1,")]
        _check(given, [_signature(key, _signed(message, time, body)) for key in self._keys])
        try:
            sent = int(time)
        except ValueError:
            raise RefusedError("the message's time cannot be read") from None
        _check_time(sent, at)
        return message

    def sign(self, message: str, body: bytes, at: float) -> dict[str, str]:
        """The headers of a message that is sent now, signed with each of the secrets."""
        time = str(int(at))
        signatures = [f"v1,{_signature(key, _signed(message, time, body))}" for key in self._keys]
        return {"webhook-id": message, "webhook-timestamp": time, "webhook-signature": " ".join(signatures)}


class Zendesk:
    """Zendesk: base64(HMAC-SHA256(time + body)).

    The number of a call is not signed, so what makes a message the same is what was signed.
    """

    def __init__(self, secrets: str, *, variable: str) -> None:
        """Know the secrets, as Zendesk shows them; several with blanks between. Raises InputError."""
        self._keys = [secret.encode() for secret in _several(secrets, variable)]

    def __call__(self, body: bytes, headers: Mapping[str, str], at: float) -> str:
        """A hash of the message with its time. Raises RefusedError."""
        time = _header(headers, "x-zendesk-webhook-signature-timestamp")
        signed = time.encode() + body
        _check([_header(headers, "x-zendesk-webhook-signature")], [_signature(key, signed) for key in self._keys])
        try:
            sent = datetime.fromisoformat(time)
        except ValueError:
            raise RefusedError("the message's time cannot be read") from None
        if sent.tzinfo is None:
            raise RefusedError("the message's time names no time zone")
        _check_time(sent.timestamp(), at)
        return hashlib.sha256(signed).hexdigest()


def _several(secrets: str, variable: str) -> Sequence[str]:
    found = secrets.split()
    if not found:
        raise InputError("this environment variable is not set", field=variable, remedy="put the secret of the webhook there")
    return found


def _key(secret: str, variable: str) -> bytes:
    remedy = f"make one: {_PREFIX} and the base64 of 24 to 64 random bytes (docs/webhooks.md)"
    try:
        key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not secret.startswith(_PREFIX) or len(key) < _SHORTEST:
        raise InputError("no secret of Standard Webhooks stands there", field=variable, remedy=remedy)
    return key


def _signed(message: str, time: str, body: bytes) -> bytes:
    return f"{message}.{time}.".encode() + body


def _signature(key: bytes, signed: bytes) -> str:
    return base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()


def _header(headers: Mapping[str, str], name: str) -> str:
    found = headers.get(name, "")
    if not found:
        raise RefusedError(f"the header {name} is missing")
    return found


def _check(given: Sequence[str], wanted: Sequence[str]) -> None:
    """All pairs are compared, so that the time tells nothing about which of them is right."""
    fits = [hmac.compare_digest(one.encode(), other.encode()) for one in given[:10] for other in wanted]
    if not any(fits):
        raise RefusedError("the signature is not right")


def _check_time(sent: float, at: float) -> None:
    if abs(at - sent) > APART:
        raise RefusedError("the message is too old, or the clocks of the two machines differ")
