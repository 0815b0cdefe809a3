"""`--keep`, `--redact` and `--without redact`, also from the settings file and the environment."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from cli.conftest import Cli

TEXT = "我叫王芳，电话13800138000，mail bob@example.com, SO-123456"


def shown(cli: Cli, *flags: str) -> str:
    """The ticket as a model would read it."""
    return str(json.loads(cli("prompt", TEXT, "--json", *flags).out)["messages"][1]["content"]).splitlines()[1]


def test_personal_data_are_hidden_by_default(cli: Cli) -> None:
    """And the command says that it was done."""
    assert shown(cli) == "我叫[NAME_1]，电话[PHONE_1]，mail [EMAIL_1], SO-123456"
    assert cli("prompt", TEXT).out.splitlines()[-1].endswith("preparation: redact")


def test_kinds_can_be_kept(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By flag, by settings file, by environment."""
    kept = "我叫[NAME_1]，电话13800138000，mail bob@example.com, SO-123456"
    assert shown(cli, "--keep", "phone", "--keep", "email") == kept
    (tmp_path / "llmtriage.toml").write_text('keep = ["phone", "email"]\n', encoding="utf-8")
    assert shown(cli) == kept
    monkeypatch.setenv("LLMTRIAGE_KEEP", "name")
    assert shown(cli).startswith("我叫王芳，电话[PHONE_1]")
    assert shown(cli, "--without", "redact") == TEXT


def test_more_can_be_hidden(cli: Cli) -> None:
    """Under a name of one's own."""
    pytest.importorskip("re2")
    assert shown(cli, "--redact", r"order=\bSO-[0-9]{6}").endswith("mail [EMAIL_1], [ORDER_1]")


@pytest.mark.parametrize(
    ("flags", "problem"),
    [
        pytest.param(("--keep", "phne"), "keep: unknown kind of personal data 'phne'; did you mean 'phone'?", id="kind"),
        pytest.param(("--redact", "order"), "redact: not KIND=PATTERN; write it like order=SO-[0-9]{6}", id="no pattern"),
        pytest.param(("--redact", "phone=1"), "redact: 'phone' cannot name a kind of personal data; ", id="taken"),
    ],
)
def test_what_cannot_be_used_is_one_line(cli: Cli, flags: tuple[str, ...], problem: str) -> None:
    """With exit code 2."""
    done = cli("prompt", TEXT, *flags)
    assert done.code == 2
    assert problem in done.err
    assert done.err.count("\n") == 1


def test_outputs_hold_the_text_as_received_and_another_run(cli: Cli, tmp_path: Path) -> None:
    """What is hidden is a part of what outcomes depend on."""
    (tmp_path / "some.csv").write_text(f'id,content\n1,"{TEXT}"\n', encoding="utf-8")
    runs = set()
    for number, flags in enumerate(([], ["--keep", "phone"], ["--without", "redact"])):
        assert cli("classify", "some.csv", "-o", f"{number}.jsonl", "--quiet", *flags).code == 0
        row = json.loads((tmp_path / f"{number}.jsonl").read_text(encoding="utf-8"))
        assert row["content"] == TEXT
        runs.add(row["run"])
    assert len(runs) == 3
