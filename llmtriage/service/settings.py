"""What the service needs to know besides what decides."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from llmtriage.errors import InputError, short
from llmtriage.settings import CallbackSettings, HookSettings

_Share = Annotated[float, Field(ge=0, le=1)]
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


class ServiceSettings(BaseModel):
    """How the service behaves towards others.

    Attributes:
        host: The address it listens on.
        port: The port.
        language: Of reasons and pages where nothing else is asked for.
        form_bytes: The longest form of a page; all that somebody may send of whom nothing is known.
        body_bytes: The longest request.
        batch_bytes: The longest request of a batch.
        bodies_bytes: All bodies together that arrive or are worked on; more are told to come again.
        body_seconds: How long a request may take to arrive.
        arriving: Requests whose body arrives at a time; more are told to come again.
        in_flight: Requests that are worked on at a time; more are told to come again.
        per_minute: Requests a minute of one caller.
        second: The share of answers of people that a second person gives independently.
        user_header: The header in which a reverse proxy names who has signed in; None: it is not read.
        trusted_proxies: The addresses, or networks, from which that header is believed.
        hosts: Names besides its own address under which it is called.
        hooks: Tickets that other systems send.
        callbacks: Where it tells what was decided.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8080
    language: Literal["en", "zh"] = "en"
    form_bytes: Annotated[int, Field(gt=0)] = 128 * 2**10
    body_bytes: Annotated[int, Field(gt=0)] = 2 * 2**20
    batch_bytes: Annotated[int, Field(gt=0)] = 20 * 2**20
    bodies_bytes: Annotated[int, Field(gt=0)] = 64 * 2**20
    body_seconds: Annotated[float, Field(gt=0)] = 20.0
    arriving: Annotated[int, Field(ge=1)] = 4096
    in_flight: Annotated[int, Field(ge=1)] = 512
    per_minute: Annotated[int, Field(ge=1)] = 60_000
    second: _Share = 0.1
    user_header: str | None = None
    trusted_proxies: tuple[str, ...] = ("127.0.0.1", "::1")
    hosts: tuple[str, ...] = ()
    hooks: dict[str, HookSettings] = {}
    callbacks: dict[str, CallbackSettings] = {}

    @property
    def is_local(self) -> bool:
        """Whether nobody beyond this machine can reach it."""
        return self.host in _LOOPBACK

    @property
    def is_alone(self) -> bool:
        """Whether it was also told of no proxy and of no other name: what calls it is on this machine."""
        return self.is_local and self.user_header is None and not self.hosts

    @property
    def unknown_bytes(self) -> int:
        """Of `bodies_bytes`, what those may take of whom nothing is known, forms and messages to hooks: a quarter, and as much as one needs."""
        return max(self.bodies_bytes // 4, self.form_bytes, self.body_bytes)

    @field_validator("trusted_proxies")
    @classmethod
    def _are_addresses(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        for one in given:
            try:
                ip_network(one, strict=False)
            except ValueError:
                remedy = "write it like 10.0.0.2 or 10.0.0.0/24"
                raise InputError(f"not an address: {short(one)!r}", field="--trusted-proxy", remedy=remedy) from None
        return given

    @model_validator(mode="after")
    def _has_room_for_one(self) -> Self:
        flag, longest = max(
            (("--batch-bytes", self.batch_bytes), ("--body-bytes", self.body_bytes), ("--form-bytes", self.form_bytes)),
            key=lambda limit: limit[1],
        )
        if self.bodies_bytes < longest:
            problem = f"all bodies together may have {self.bodies_bytes} bytes, and one alone {longest} ({flag})"
            raise InputError(problem, field="--bodies-bytes", remedy=f"raise it to {longest} or more, or lower {flag}")
        return self
