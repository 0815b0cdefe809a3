"""Single calls that come at the same time share the work of an engine, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest

from llmtriage import Ticket
from llmtriage.backends.lexical import LexicalBackend
from llmtriage.backends.votes import VotesBackend
from llmtriage.errors import StoreError
from llmtriage.service.serving import Service
from llmtriage.service.together import Together


class Desk:
    """Decides on groups, and notes them; the first is held until somebody says so."""

    def __init__(self, bad: str = "", *, is_away: bool = False) -> None:
        """Fail where the ticket `bad` is among them; `is_away`: as a store does that nobody reaches."""
        self.groups: list[list[str]] = []
        self.begun, self.go = asyncio.Event(), asyncio.Event()
        self._bad, self._is_away = bad, is_away

    async def decide(self, tickets: Sequence[Ticket]) -> Any:
        """What became of them: their own texts."""
        self.groups.append([one.content for one in tickets])
        self.begun.set()
        await self.go.wait()
        if self._bad in self.groups[-1]:
            raise StoreError("cannot be kept", store="here", is_away=self._is_away)
        return "v1", [one.content for one in tickets]


def calls(together: Together, texts: Sequence[str]) -> list[asyncio.Task[Any]]:
    """One call for each text."""
    return [asyncio.create_task(cast("Any", together.decide(Ticket(content=text)))) for text in texts]


async def test_what_comes_meanwhile_is_decided_together() -> None:
    """The first goes at once; each caller gets the own outcome."""
    desk = Desk()
    together = Together(desk)
    first = calls(together, ["退款"])
    await desk.begun.wait()
    others = calls(together, [f"T{n}" for n in range(100)])
    await asyncio.sleep(0)
    desk.go.set()
    assert await asyncio.gather(*first, *others) == [("v1", "退款"), *(("v1", f"T{n}") for n in range(100))]
    assert [len(group) for group in desk.groups] == [1, 64, 36]


async def test_a_ticket_that_fails_fails_alone() -> None:
    """Its caller is told, the others get their outcomes."""
    desk = Desk(bad="bad")
    together = Together(desk)
    first = calls(together, ["a"])
    await desk.begun.wait()
    others = calls(together, ["b", "bad", "c"])
    await asyncio.sleep(0)
    desk.go.set()
    found: list[Any] = await asyncio.gather(*first, *others, return_exceptions=True)
    assert [one if isinstance(one, StoreError) else one[1] for one in found] == ["a", "b", found[2], "c"]
    assert isinstance(found[2], StoreError)


async def test_a_store_that_is_away_is_waited_for_once() -> None:
    """Not by each of those who came together, one after another."""
    desk = Desk(bad="退款", is_away=True)
    together = Together(desk)
    first = calls(together, ["a"])
    await desk.begun.wait()
    others = calls(together, ["b", "退款", "c"])
    await asyncio.sleep(0)
    desk.go.set()
    found = await asyncio.gather(*first, *others, return_exceptions=True)
    assert [isinstance(one, StoreError) for one in found] == [False, True, True, True]
    assert desk.groups == [["a"], ["b", "退款", "c"]]


async def test_who_waits_no_longer_is_left_out() -> None:
    """And keeps nobody waiting."""
    desk = Desk()
    together = Together(desk)
    first = calls(together, ["a"])
    await desk.begun.wait()
    gone, there = calls(together, ["gone", "there"])
    await asyncio.sleep(0)
    gone.cancel()
    first[0].cancel()
    await asyncio.sleep(0)
    desk.go.set()
    assert await there == ("v1", "there")
    assert desk.groups == [["a"], ["there"]]


@pytest.mark.parametrize(("backend", "groups"), [(LexicalBackend, [["a"], ["b", "c"]]), (VotesBackend, [["a"], ["b"], ["c"]])])
async def test_only_engines_that_like_it_are_asked_for_several_callers(
    backend: type[Any], groups: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A chat model's answers take their own time each."""
    desk = Desk()
    versions = SimpleNamespace(current=SimpleNamespace(triage=SimpleNamespace(backend=object.__new__(backend))))
    monkeypatch.setattr(Service, "decide", lambda _, tickets: desk.decide(tickets))
    service = Service(cast("Any", None), cast("Any", None), cast("Any", versions))

    def make(text: str) -> asyncio.Task[Any]:
        return asyncio.create_task(cast("Any", service.decide_one(Ticket(content=text))))

    first = make("a")
    await desk.begun.wait()
    others = [make("b"), make("c")]
    for _ in range(3):
        await asyncio.sleep(0)
    desk.go.set()
    assert [outcome for _, outcome in await asyncio.gather(first, *others)] == ["a", "b", "c"]
    assert desk.groups == groups
