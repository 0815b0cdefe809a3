"""What the page on webhooks shows is so."""

from __future__ import annotations

import json
import re
import time
import tomllib
from collections.abc import Callable
from typing import Any

import pytest
from hooked import NEXT, SECRET, standard
from serving import Served
from support import ROOT

from llmtriage.service.api.models import OutcomeOut
from llmtriage.service.hooks import telling
from llmtriage.service.hooks.fields import paths, ticket_in
from llmtriage.service.hooks.receiving import hooks_of
from llmtriage.settings import load_settings
from llmtriage.store import inbox

Serve = Callable[..., Served]
PAGE = (ROOT / "docs" / "webhooks.md").read_text(encoding="utf-8")


def _block(language: str, number: int = 0) -> str:
    found: list[str] = re.findall(rf"^```{language}\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)
    return found[number]


def test_the_settings_of_the_page_start_a_service(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the three variables it names."""
    settings = load_settings(tomllib.loads(_block("toml")))
    for variable in ("ZENDESK_SECRET", "SHOP_SECRET", "CRM_SECRET"):
        monkeypatch.setenv(variable, SECRET)
    served = serve(hooks=settings.hooks, callbacks=settings.callbacks)
    body = json.dumps({"message": {"number": 7, "text": "我的包裹没到"}, "account": {"plan": "gold"}}).encode()
    assert served.client.post("/hooks/shop", content=body, headers=standard("m1", body)).status_code == 202
    ticket = ticket_in(body, hooks_of(settings.hooks)["shop"].where)
    assert (ticket.id, ticket.content, ticket.metadata) == ("7", "我的包裹没到", {"plan": "gold"})


def test_the_trigger_of_the_page_is_understood() -> None:
    """Each of its placeholders arrives in a field of its own."""
    ticket = ticket_in(_block("json").encode(), paths("zendesk", {}, hook="zendesk"))
    assert (ticket.id, ticket.title, ticket.content) == ("{{ticket.id}}", "{{ticket.title}}", "{{ticket.description}}")
    assert (ticket.channel, ticket.language, ticket.customer) == (
        "{{ticket.via}}",
        "{{ticket.requester.locale}}",
        "{{ticket.requester.id}}",
    )


def test_the_receiver_of_the_page_knows_our_messages() -> None:
    """Signed with either of two secrets; and no others."""
    names: dict[str, Any] = {}
    exec(_block("python"), names)  # noqa: S102 - the page's own
    body = _block("json", 1).encode()
    headers = standard("msg_1", body, secret=f"{SECRET} {NEXT}")
    assert names["is_ours"](SECRET, headers, body)
    assert names["is_ours"](NEXT, headers, body)
    assert not names["is_ours"](SECRET, headers, body + b" ")
    assert not names["is_ours"](SECRET, {**headers, "webhook-timestamp": str(int(time.time()) + 1)}, body)


def test_the_numbers_of_the_page_are_those_of_the_program() -> None:
    """Waits, time-outs, and how long what is kept."""
    assert telling.WAITS == (5, 30, 2 * 60, 10 * 60, 3600, 6 * 3600, 86_400, 86_400, 86_400)
    assert telling.TIMEOUT == 10
    assert inbox.HELD == 2 * 60 * 1_000_000
    assert inbox.KNOWN == 30 * 86_400 * 1_000_000


def test_the_message_of_the_page_has_the_fields_of_an_outcome() -> None:
    """Named as the API names them."""
    data = json.loads(_block("json", 1))["data"]
    assert set(data) - {"source", "reviewer"} <= set(OutcomeOut.model_fields)
