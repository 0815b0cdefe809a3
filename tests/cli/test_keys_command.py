"""`llmtriage keys` and `llmtriage reviewers`: secrets are shown once, asked for without being shown, and never an argument."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pexpect
import pytest
from cli.conftest import Cli

from llmtriage.service import running
from llmtriage.service.settings import ServiceSettings
from llmtriage.store import SqlStore, accounts, keys

RUN = (sys.executable, "-m", "llmtriage")
PASSWORD = "正确的马电池订书钉!"  # noqa: S105


def say(monkeypatch: pytest.MonkeyPatch, line: str | bytes) -> None:
    """What comes on standard input."""
    data = line if isinstance(line, bytes) else line.encode()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


def test_a_key_is_shown_once_and_alone(cli: Cli, tmp_path: Path) -> None:
    """On standard output, so that a script can keep it; what it is stands beside it on stderr."""
    made = cli("keys", "create", "--name", "客服系统", "--scope", "review", "--scope", "classify", "--days", "30")
    assert made.code == 0
    assert re.fullmatch(r"lt_[0-9a-f]{12}_[\w-]{43}\n", made.out)
    secret = made.out.strip()
    prefix = secret.split("_")[1]
    assert re.fullmatch(
        rf"客服系统: key {prefix}, for classify, review, until \d{{4}}-\d\d-\d\d; it is shown this once\n", made.err
    )
    assert secret not in made.err
    with SqlStore(tmp_path / "llmtriage.db") as store:
        assert keys.find(store.database, secret)
    for listed in (cli("keys", "list"), cli("keys", "list", "--json")):
        assert prefix in listed.out
        assert secret[17:] not in listed.out


def test_a_key_as_json(cli: Cli) -> None:
    """All that is known of it; later without itself."""
    made = json.loads(cli("keys", "create", "--name", "crm", "--scope", "admin", "--json").out)
    listed = json.loads(cli("keys", "list", "--json").out)
    assert made.pop("key").startswith(f"lt_{made['prefix']}_")
    assert listed == [made]
    assert (made["name"], made["scopes"], made["expires"], made["revoked"], made["used"]) == ("crm", ["admin"], None, None, None)


def test_a_key_is_revoked_by_its_beginning(cli: Cli, tmp_path: Path) -> None:
    """The list says when, in both languages."""
    secret = cli("keys", "create", "--name", "crm", "--scope", "classify").out.strip()
    prefix = secret.split("_")[1]
    assert cli("keys", "list").out == f"{prefix}  crm  classify  for good, never used\n"
    assert cli("keys", "list", "--language", "zh").out == f"{prefix}  crm  classify  长期有效，从未使用\n"
    assert cli("keys", "revoke", prefix).out == f"crm: key {prefix} is revoked\n"
    assert cli("keys", "revoke", prefix, "--language", "zh").out == f"crm：密钥 {prefix} 已吊销\n"
    assert re.search(r"  revoked \d{4}-\d\d-\d\d, never used\n$", cli("keys", "list").out)
    with SqlStore(tmp_path / "llmtriage.db") as store:
        assert keys.find(store.database, secret) is None


def test_what_is_no_key_is_told_in_one_line(cli: Cli) -> None:
    """Without what was given: it may be most of a key."""
    assert cli("keys", "list").code == 2
    secret = cli("keys", "create", "--name", "crm", "--scope", "classify").out.strip()
    refused = cli("keys", "revoke", secret[:-3])
    assert (refused.code, refused.out) == (2, "")
    assert refused.err.startswith("llmtriage: llmtriage.db: PREFIX: no key begins so; ")
    assert secret[17:40] not in refused.err
    assert cli("keys", "revoke", secret).code == 0
    assert cli("keys", "create", "--name", "a\nb", "--scope", "classify").code == 2
    assert cli("keys", "create", "--name", "crm").code == 2
    assert cli("keys", "create", "--name", "crm", "--scope", "everything").code == 2
    assert cli("keys", "create", "--name", "crm", "--scope", "classify", "--days", "0").code == 2


def test_a_list_without_keys(cli: Cli, tmp_path: Path) -> None:
    """Says how to make one."""
    SqlStore(tmp_path / "llmtriage.db").close()
    assert cli("keys", "list").out.startswith("there is no key: llmtriage keys create")
    assert cli("keys", "list", "--language", "zh").out.startswith("还没有密钥")
    assert cli("reviewers", "list").out.startswith("nobody has a password")
    assert cli("keys", "list", "--json").out == cli("reviewers", "list", "--json").out == "[]\n"


@pytest.mark.slow
def test_somebody_gets_a_password_by_a_line(cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Which is stored as a slow hash; a new one, and a removal."""
    say(monkeypatch, PASSWORD + "\r\nsomething else\n")
    assert cli("reviewers", "add", "王芳", "--role", "lead").out == "王芳 may sign in as lead\n"
    with SqlStore(tmp_path / "llmtriage.db") as store:
        account = accounts.verify(store.database, "王芳", PASSWORD)
        assert account
        assert account.password.startswith("scrypt$n=32768,r=8,p=1$")
    say(monkeypatch, "\ufeff另一个很长的密码很长的")
    assert cli("reviewers", "password", "王芳", "--language", "zh").out == "王芳 的密码已更改；所有登录已退出\n"
    assert cli("reviewers", "list", "--language", "zh").out == "王芳  负责人\n"
    assert cli("reviewers", "remove", "王芳").out == "王芳 may sign in no more; signed out everywhere, answers stay\n"
    assert re.fullmatch(r"王芳  lead  removed \d{4}-\d\d-\d\d\n", cli("reviewers", "list").out)
    [listed] = json.loads(cli("reviewers", "list", "--json").out)
    assert listed.keys() == {"name", "role", "created", "removed"}
    with SqlStore(tmp_path / "llmtriage.db") as store:
        assert accounts.verify(store.database, "王芳", "另一个很长的密码很长的") is None


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("short\n", "a password has 10 to 200 characters, this one 5; choose another one"),
        ("", "a password has 10 to 200 characters, this one 0; choose another one"),
        (b"\xff\xfe" * 10, "the password on standard input is not UTF-8; convert it"),
    ],
)
def test_what_is_no_password(cli: Cli, monkeypatch: pytest.MonkeyPatch, line: str | bytes, problem: str) -> None:
    """Is told without itself, and nobody is added."""
    say(monkeypatch, line)
    refused = cli("reviewers", "add", "ann")
    assert (refused.code, refused.err) == (2, f"llmtriage: {problem}\n")
    assert cli("reviewers", "list", "--json").out == "[]\n"


@pytest.mark.slow
def test_who_is_not_there(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the nearest name."""
    say(monkeypatch, PASSWORD)
    cli("reviewers", "add", "Annemarie")
    assert cli("reviewers", "remove", "annmarie").err.endswith("unknown reviewer 'annmarie'; did you mean 'Annemarie'?\n")
    say(monkeypatch, PASSWORD)
    assert "there is a reviewer 'Annemarie' already" in cli("reviewers", "add", "Annemarie").err


def test_no_secret_is_an_argument(cli: Cli) -> None:
    """For everybody on a machine can see them, and a shell keeps them."""
    for command in (("keys", "create"), ("keys", "revoke"), ("reviewers", "add"), ("reviewers", "password")):
        shown = cli(*command, "--help").out
        assert not re.search(r"--(password|secret|key|token)\b", shown)


@pytest.mark.slow
def test_a_password_is_asked_for_twice_and_not_shown(tmp_path: Path) -> None:
    """In a terminal; two that differ are asked for again."""
    child = pexpect.spawn(
        RUN[0], [*RUN[1:], "reviewers", "add", "ann", "--language", "zh"], cwd=tmp_path, encoding="utf-8", timeout=60
    )
    try:
        for question, answer in (
            ("密码", PASSWORD),
            ("再输入一次", "something else"),
            ("密码", PASSWORD),
            ("再输入一次", PASSWORD),
        ):
            child.expect(question)
            child.sendline(answer)
        child.expect("ann 可以以审核员身份登录")
        child.expect(pexpect.EOF)
        assert PASSWORD not in str(child.before)
    finally:
        child.close()
    assert child.exitstatus == 0
    with SqlStore(tmp_path / "llmtriage.db") as store:
        assert accounts.verify(store.database, "ann", PASSWORD)


@pytest.mark.slow
def test_the_service_does_not_start_for_others_without_a_key(tmp_path: Path) -> None:
    """One line, before anything is read."""
    command = [*RUN, "serve", "--host", "0.0.0.0", "--port", "0"]  # noqa: S104
    environment = {name: value for name, value in os.environ.items() if name != "LLMTRIAGE_NO_STORE"}
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60, env=environment)
    assert done.returncode == 2
    problem = "0.0.0.0 is not this machine alone, and there is no key; make one with: llmtriage keys create"
    assert done.stderr == f"llmtriage: --host: {problem}\n"


def test_what_the_service_is_told_of_proxies_and_names(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """By default no header is read, and this machine alone is a proxy; an address that is none stops the start."""
    told: list[ServiceSettings] = []
    monkeypatch.setattr(running, "serve", lambda settings, *_, **__: told.append(settings))
    assert cli("serve").code == 0
    flags = (
        "--user-header",
        "X-User",
        "--trusted-proxy",
        "10.0.0.0/24",
        "--trusted-proxy",
        "::1",
        "--allow-host",
        "triage.example",
    )
    assert cli("serve", *flags).code == 0
    by_default, by_flags = told
    assert (by_default.user_header, by_default.trusted_proxies, by_default.hosts) == (None, ("127.0.0.1", "::1"), ())
    assert by_default.is_alone
    assert by_flags.user_header == "X-User"
    assert by_flags.trusted_proxies == ("10.0.0.0/24", "::1")
    assert by_flags.hosts == ("triage.example",)
    assert not by_flags.is_alone
    refused = cli("serve", "--trusted-proxy", "proxy.example")
    remedy = "write it like 10.0.0.2 or 10.0.0.0/24"
    assert (refused.code, refused.err) == (2, f"llmtriage: --trusted-proxy: not an address: 'proxy.example'; {remedy}\n")
