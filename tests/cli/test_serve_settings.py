"""Every setting of the service is a flag, a variable of the environment and a key of the settings file."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from llmtriage import Triage
from llmtriage.service import running
from llmtriage.service.settings import ServiceSettings

if TYPE_CHECKING:
    from pathlib import Path

    from cli.conftest import Cli

OTHER: dict[str, tuple[str, Any]] = {
    "host": ("--host", "127.0.0.2"),
    "port": ("--port", 8081),
    "language": ("--language", "zh"),
    "form_bytes": ("--form-bytes", 1001),
    "body_bytes": ("--body-bytes", 1002),
    "batch_bytes": ("--batch-bytes", 1003),
    "bodies_bytes": ("--bodies-bytes", 1004),
    "body_seconds": ("--body-seconds", 1.5),
    "arriving": ("--arriving", 11),
    "in_flight": ("--in-flight", 12),
    "per_minute": ("--per-minute", 13),
    "second": ("--second", 0.25),
    "user_header": ("--user-header", "X-Who"),
    "trusted_proxies": ("--trusted-proxy", ["10.0.0.1", "10.1.0.0/16"]),
    "hosts": ("--allow-host", ["工单.example", "tickets.example"]),
}
TABLES = {"hooks", "callbacks"}


def _values(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _by_flag(*_: Any) -> list[str]:
    return [part for flag, value in OTHER.values() for one in _values(value) for part in (flag, str(one))]


def _by_environment(_: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    for flag, value in OTHER.values():
        monkeypatch.setenv(f"LLMTRIAGE_{flag[2:].replace('-', '_').upper()}", " ".join(map(str, _values(value))))
    return []


def _by_file(folder: Path, _: pytest.MonkeyPatch) -> list[str]:
    lines = [f"{flag[2:].replace('-', '_')} = {json.dumps(value, ensure_ascii=False)}" for flag, value in OTHER.values()]
    (folder / "llmtriage.toml").write_text("\n".join(lines), encoding="utf-8")
    return []


@pytest.mark.parametrize("given", [_by_flag, _by_environment, _by_file])
def test_every_setting_can_be_set(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: Any) -> None:
    """In each way; what is not told is as usual."""
    seen: list[ServiceSettings] = []
    monkeypatch.setattr(running, "serve", lambda settings, *_, **__: seen.append(settings))
    assert cli("serve").code == 0
    assert cli("serve", *given(tmp_path, monkeypatch)).code == 0
    assert OTHER.keys() | TABLES == ServiceSettings.model_fields.keys()
    usual, other = seen
    assert usual == ServiceSettings()
    wanted = {name: tuple(value) if isinstance(value, list) else value for name, (_, value) in OTHER.items()}
    assert {name: getattr(other, name) for name in OTHER} == wanted


def test_a_limit_is_a_number_above_nothing(cli: Cli) -> None:
    """Else one line says so."""
    for flag in ("--in-flight", "--bodies-bytes", "--body-seconds"):
        done = cli("serve", flag, "0")
        assert done.code == 2
        assert flag in done.err


@pytest.mark.parametrize("flag", ["--batch-bytes", "--body-bytes", "--form-bytes"])
def test_all_bodies_have_room_for_the_longest(cli: Cli, flag: str) -> None:
    """Else no such request would ever be taken: one line says so, and how to mend it."""
    done = cli("serve", flag, 70_000_000)
    assert done.code == 2
    assert done.err.count("\n") == 1
    assert "--bodies-bytes" in done.err
    assert f"raise it to 70000000 or more, or lower {flag}" in done.err


def test_what_a_service_builds_is_not_kept_by_the_command(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """The service closes it when nobody uses it any more: with each reload there is one more."""
    built, closed = list[Triage](), list[Triage]()

    def close(triage: Triage) -> None:
        closed.append(triage)

    monkeypatch.setattr(Triage, "close", close)
    monkeypatch.setattr(running, "serve", lambda _settings, _store, build, **_: built.extend(build() for _ in range(3)))
    assert cli("serve").code == 0
    assert (len(built), closed) == (3, [])
