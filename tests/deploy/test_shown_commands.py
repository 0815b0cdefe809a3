"""What docs/access.md and docs/webhooks.md show is run, and no page of the service shows a command that nothing runs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from deploy.shown import ADDRESS, Shell, sections
from support import ROOT

from llmtriage.service.hooks.signing import Standard

ACCESS = sections("docs/access.md")
TYPED = "correct horse 1\n"


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    """In an empty folder."""
    shell = Shell(tmp_path)
    yield shell
    shell.stop()


@pytest.mark.slow
def test_a_key_is_made_used_and_revoked(shell: Shell) -> None:
    """The one that was shown works; afterwards it is known as revoked."""
    shell.run("llmtriage serve --threshold 0.3")
    [block] = ACCESS["Keys"]
    said = shell.run(f'{block}echo; curl -sS -H "Authorization: Bearer $KEY" {ADDRESS}/categories')
    assert said.count('"categories":[') == 1
    assert json.loads(said.splitlines()[-1])["status"] == 401
    assert "crm: key" in said


@pytest.mark.slow
def test_a_person_is_let_in_gets_another_password_and_is_removed(shell: Shell) -> None:
    """Each command by itself, as somebody types it."""
    [block] = ACCESS["People"]
    said = "".join(shell.run(line, typed=TYPED) for line in block.splitlines())
    assert said.count("王芳") >= 3


@pytest.mark.slow
def test_a_service_behind_a_proxy_starts(shell: Shell) -> None:
    """And answers to its other name."""
    [block] = ACCESS["Behind a proxy that signs people in"]
    shell.run(block)
    ask = f"curl -sS -o answer -w '%{{http_code}}' -H 'Host: triage.example' {ADDRESS}"
    assert [shell.run(ask + path) for path in ("/health", "/queue")] == ["200", "401"]


def test_the_secret_of_a_webhook_is_made_as_the_page_says(shell: Shell) -> None:
    """It can be signed with."""
    page = (ROOT / "docs" / "webhooks.md").read_text(encoding="utf-8")
    [block] = re.findall(r"^```bash\n(.*?)^```$", page, flags=re.MULTILINE | re.DOTALL)
    secret = shell.run(block).strip()
    assert Standard(secret, variable="X").sign("m1", b"{}", 0)["webhook-signature"].startswith("v1,")


def test_no_command_is_left_untested() -> None:
    """What stands in `bash` blocks is run here and in the tests beside; `console` is left to what wants root or Docker."""
    assert {title: len(found) for title, found in ACCESS.items() if found} == {
        "Keys": 1,
        "People": 1,
        "Behind a proxy that signs people in": 1,
    }
    for page in ("service", "access", "webhooks"):
        assert "```console" not in (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")
