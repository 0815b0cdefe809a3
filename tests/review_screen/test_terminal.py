"""The screen on a real pseudo-terminal, the queue in a real store."""

from __future__ import annotations

import io
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest
import sqlalchemy as sa
from support import ROOT

from llmtriage import Ticket
from llmtriage.outcomes import Candidate, Pending, Reason
from llmtriage.remembering import Decision, Run
from llmtriage.reviewing import Label
from llmtriage.store import SqlStore, schema

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:.*forkpty:DeprecationWarning")]

READ = 0.8  # seconds a person looks at a ticket
HOSTILE = "\x1b]0;pwned\x07\x1b[2J\u202emoc.live \x9b31m 已付款"


class Desk:
    """A store with tickets that wait, and terminals to review them in."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.children: list[pexpect.spawn] = []

    def put(self, *ids: str, probes: tuple[str, ...] = (), content: str = "Where is my refund? 退款呢？") -> None:
        """Let tickets wait, whose suggestion is order_tracking."""
        suggested = [Candidate(category=name, score=0.4) for name in ("order_tracking", "refund_status", "device_fault")]
        decisions = [
            Decision(
                Ticket(id=one, title=f"Title of {one}", content=f"{content} {one}"),
                Pending(suggestion="order_tracking", reasons=(Reason(code="below_threshold"),), candidates=tuple(suggested)),
                Run("r", "fake", {}),
                "k",
                probe=0.02 if one in probes else None,
            )
            for one in ids
        ]
        with SqlStore(self.path) as store:
            store.record(decisions).result()

    def open(self, language: str = "en", columns: int = 80) -> pexpect.spawn:
        """Begin to review; the first ticket is on the screen."""
        options = {"--store": self.path, "--taxonomy": ROOT / "taxonomy.yaml", "--reviewer": "li", "--language": language}
        command = ["-m", "llmtriage", "review", *(str(word) for pair in options.items() for word in pair)]
        env = {**os.environ, "TERM": "xterm-256color"}
        child = pexpect.spawn(sys.executable, command, dimensions=(24, columns), env=env, encoding="utf-8", timeout=60)
        child.logfile_read = io.StringIO()
        self.children.append(child)
        child.expect("q quit|q 退出")
        time.sleep(READ)
        return child

    def labels(self) -> list[Label]:
        """The answers that stand."""
        with SqlStore(self.path) as store:
            return list(store.queue.labels())

    def wait(self, reviews: int) -> None:
        """Until so many answers and retractions are in the store, and the next ticket could be read."""
        end = time.monotonic() + 30
        while time.monotonic() < end:
            with SqlStore(self.path) as store, store.database.reading() as connection:
                if connection.execute(sa.select(sa.func.count()).select_from(schema.review)).scalar_one() >= reviews:
                    time.sleep(READ)
                    return
            time.sleep(0.05)
        pytest.fail(f"no {reviews} answers came")


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """An empty store; every terminal is closed at the end."""
    desk = Desk(tmp_path / "s.db")
    yield desk
    for child in desk.children:
        child.close(force=True)


def ended(child: pexpect.spawn) -> str:
    """What is printed once the screen is left: the terminal's own one is back, and the cursor."""
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0
    screen, left, printed = str(child.before).rpartition("\x1b[?1049l\x1b[?2004l")
    assert left
    assert screen.endswith("\x1b[?25h")
    return printed.strip()


def test_ten_tickets_one_undone_and_a_second_sitting(desk: Desk) -> None:
    """By digit and by search; every answer is in the store when it is given."""
    ids = [f"T-{number}" for number in range(11)]
    desk.put(*ids)
    child = desk.open()
    for count in range(1, 7):
        child.send("12"[count % 2])
        desk.wait(count)
    child.send("u")
    desk.wait(7)
    assert [label.ticket.id for label in desk.labels()] == ids[:5]
    child.send("q")
    assert ended(child) == "5 answered, 6 wait"
    child = desk.open()
    for count in range(8, 13):
        child.send("/")
        child.send("退款进度")
        time.sleep(0.3)
        child.send("\r")
        desk.wait(count)
    child.send("q")
    assert ended(child) == "5 answered, 1 wait"
    labels = desk.labels()
    assert [label.ticket.id for label in labels] == ids[:10]
    assert [label.category for label in labels] == ["refund_status", "order_tracking"] * 2 + ["refund_status"] * 6
    assert all(label.shown and label.reviewer == "li" for label in labels)


def test_a_probe_shows_no_suggestion(desk: Desk) -> None:
    """Nothing of what the model said reaches the terminal; of a ticket beside it, it does."""
    desk.put("T-1", probes=("T-1",))
    child = desk.open()
    child.send("v")
    child.send("o")
    child.expect("your own")
    child.send("\x03")
    assert ended(child) == "0 answered, 1 wait"
    written = _written(child)
    assert "Where is my refund?" in written
    assert not [name for name in ("order_tracking", "refund_status", "device_fault", "uggestion", "0.4") if name in written]


def test_a_pending_ticket_shows_one(desk: Desk) -> None:
    """So that the test above could fail."""
    desk.put("T-1")
    child = desk.open()
    child.send("q")
    ended(child)
    for name in ("order_tracking", "refund_status", "device_fault", "suggestion"):
        assert name in _written(child)
    assert "0.4" not in _written(child)


def test_hostile_text(desk: Desk) -> None:
    """No escape code of a ticket reaches the terminal, nor a mark that turns the writing round."""
    desk.put("T-1", content=HOSTILE)
    child = desk.open("zh", columns=20)
    child.setwinsize(10, 120)
    child.expect("moc.live")
    child.send("q")
    ended(child)
    written = _written(child)
    assert not [mark for mark in ("\x1b]0;pwned", "\x07", "\u202e", "\x9b") if mark in written]
    assert "已付款" in written


def test_a_terminal_that_is_closed(desk: Desk) -> None:
    """What was answered is kept, and the ticket on the screen is free for others."""
    desk.put("T-1", "T-2")
    child = desk.open()
    child.send("1")
    desk.wait(1)
    child.close()
    _free(desk, "T-2")
    assert [label.ticket.id for label in desk.labels()] == ["T-1"]


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM])
def test_a_program_that_is_told_to_end(desk: Desk, number: int) -> None:
    """As if the person had quit, but nobody is told."""
    desk.put("T-1")
    child = desk.open()
    child.kill(number)
    assert ended(child) == ""
    _free(desk, "T-1")


def _written(child: pexpect.spawn) -> str:
    """All that reached the terminal."""
    return str(child.logfile_read.getvalue())


def _free(desk: Desk, name: str) -> None:
    """Wait until nobody has a ticket."""
    end = time.monotonic() + 30
    with SqlStore(desk.path) as store:
        while store.queue.item(name).held_by is not None:
            assert time.monotonic() < end, "it is still lent"
            time.sleep(0.05)
