"""What a run counts besides."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llmtriage import Ticket, runner
from llmtriage.tickets import TicketRow

IDS = st.lists(st.one_of(st.integers(1, 12).map(str), st.sampled_from(["A", "B", "01", "工单"])), max_size=40)


@pytest.fixture(autouse=True)
def _few_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "_IDS", 4)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ids=IDS)
def test_repeated_ids_are_counted_however_far_apart_they_stand(ids: list[str]) -> None:
    """As by a set of all of them, with the first one's line."""
    found = runner.RepeatedIds()
    for line, ticket_id in enumerate(ids, 2):
        found.see(TicketRow(ticket=Ticket(id=ticket_id, content="x"), category=None, line=line))
    again = [(ticket_id, line) for line, ticket_id in enumerate(ids, 2) if ticket_id in ids[: line - 2]]
    assert found.count == len(again)
    assert found.first == (again[0] if again else ("", 0))
