"""The command line in this process: quick, with the exit code and both streams."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from llmtriage.cli import run

TAXONOMY = """\
categories:
  - id: sales
    team: sales
    children:
      - {id: refund, name: {en: Refund, zh: 退款}, description: money back after a return, examples: [I want my money back, 退款什么时候到账]}
      - {id: parcel, name: {en: Parcel, zh: 物流}, description: where is my delivery, examples: [the parcel never arrived, 快递到哪里了]}
  - {id: login, team: tech, description: cannot sign in, examples: [password reset does not work, 忘记密码登录不了]}
  - {id: other, catch_all: true, description: anything else}
"""
TICKETS = """\
id,title,content,channel
T1,Refund,I want my money back,mail
T2,,快递到哪里了,chat
T3,Hello,,mail
T4,,x,chat
T5,Password,"reset
does not work",mail
"""


@dataclass(frozen=True)
class Done:
    """What a command left."""

    code: int
    out: str
    err: str


Cli = Callable[..., Done]


@pytest.fixture
def cli(capsysbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Cli:
    """Run a command in `tmp_path`, which holds `taxonomy.yaml` and `tickets.csv`."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taxonomy.yaml").write_text(TAXONOMY, encoding="utf-8")
    (tmp_path / "tickets.csv").write_text(TICKETS, encoding="utf-8")

    def call(*arguments: object) -> Done:
        code = run([str(argument) for argument in arguments])
        out, err = capsysbinary.readouterr()
        return Done(code, out.decode("utf-8"), err.decode("utf-8"))

    return call
