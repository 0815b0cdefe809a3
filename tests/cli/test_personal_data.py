"""`--keep`, `--redact` and `--without redact`, also from the settings file and the environment."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cli.conftest import chat

if TYPE_CHECKING:
    from cli.conftest import Cli, Serve

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


def test_model_cache_and_logs_see_placeholders_alone(
    cli: Cli, serve: Serve, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Of the tickets and of the examples, those of all tickets and those of one; also where the server fails."""
    caplog.set_level(logging.DEBUG)
    (tmp_path / "some.csv").write_text(f'id,title,content\n1,王芳的退款,"{TEXT}"\n2,,"{TEXT} again"\n', encoding="utf-8")
    learn = 'content,category\n我叫李雷，电话13900139000，mail li@example.org，退款,refund\n"I\'m Bob Smith, +44 20 7946 0958: where is it?",parcel\n'
    (tmp_path / "learn.csv").write_text(learn, encoding="utf-8")
    server = serve(lambda number: (200, chat('{"category": "refund"}') if number > 1 else b"no JSON"))
    flags = ["--examples", "learn.csv", "--selector", "nearest", "--reply-cache", "replies.db", "-o", "out.jsonl"]
    done = cli("classify", "some.csv", "--backend", server.backend, *flags)
    assert done.code == 0
    sent = json.dumps(server.bodies, ensure_ascii=False)
    assert all(f"[{kind}_1]" in sent for kind in ("NAME", "PHONE", "EMAIL"))
    seen = sent + done.out + done.err + caplog.text + (tmp_path / "replies.db").read_bytes().decode("utf-8", "replace")
    for value in ("王芳", "13800138000", "bob@", "李雷", "13900139000", "li@", "Bob Smith", "7946"):
        assert value not in seen
    assert "王芳" in (tmp_path / "out.jsonl").read_text(encoding="utf-8")


def test_a_store_of_redacted_texts_holds_placeholders_alone(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another holds the text as received, for reviewers."""
    monkeypatch.delenv("LLMTRIAGE_NO_STORE")
    (tmp_path / "some.csv").write_text(f'id,content\n1,"{TEXT}"\n', encoding="utf-8")
    for kept in ("redacted", "original"):
        flags = ["--store", f"{kept}.db", "--store-text", kept, "--quiet", "-o", f"{kept}.csv"]
        assert cli("classify", "some.csv", *flags).code == 0
    redacted, original = (
        b"".join(path.read_bytes() for path in sorted(tmp_path.glob(f"{kept}.db*"))).decode("utf-8", "replace")
        for kept in ("redacted", "original")
    )
    assert "[NAME_1]" in redacted
    for value in ("王芳", "13800138000", "bob@example.com"):
        assert value in original
        assert value not in redacted


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
