"""Tickets that were drawn by chance, and people who decide them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import sqlalchemy as sa
from decided import accepted, decision, record, ticket

from llmtriage import Category, Taxonomy, Ticket
from llmtriage.reviewing import Filters, Lane
from llmtriage.store import SqlStore, erasing, schema

SHOP = Taxonomy(categories=tuple(Category(id=leaf) for leaf in ("refund", "parcel", "login")))
LIKE = "我要退款，第 {} 张"


def draw(store: SqlStore, numbers: Iterable[int], probe: float | None = 0.02) -> None:
    """Record tickets as drawn with this probability; None: as not drawn."""
    record(store, *(decision(ticket(LIKE.format(n), f"T{n}"), accepted(), probe=probe) for n in numbers))


def decide(store: SqlStore, ticket_id: str, category: str, *, by: str = "王芳", lane: Lane | None = None) -> None:
    """Answer the entry of a ticket that waits."""
    for item in store.queue.claim(by, Filters(lane=lane), n=10_000):
        if item.ticket.id == ticket_id:
            store.queue.answer(item, by, category, taxonomy=SHOP, shown=False)
        else:
            store.queue.release(item, by)


def decide_all(store: SqlStore, category: str = "refund", *, lane: Lane | None = None, by: str = "王芳") -> None:
    """Answer everything that waits."""
    for item in store.queue.claim(by, Filters(lane=lane), n=10_000):
        store.queue.answer(item, by, category, taxonomy=SHOP, shown=False)


def erase(store: SqlStore, ticket_id: str) -> None:
    """Take a ticket's text out of the store."""
    erasing.erase(store, erasing.tickets_named(store, [ticket_id])[ticket_id])


def tickets(n: int) -> list[tuple[Ticket, str]]:
    """So many tickets with their prepared texts."""
    return [(ticket(LIKE.format(number), f"S{number}"), LIKE.format(number)) for number in range(n)]


def decide_as_told(store: SqlStore, gold: Mapping[str, str], *, lane: Lane, most: int = 10_000) -> int:
    """People answer the oldest entries of a lane as `gold` says of each id, in one transaction; how many they are."""
    entry, ticket_ = schema.queue_entry, schema.ticket
    waiting = sa.select(entry, ticket_.c.external_id).join(ticket_, entry.c.ticket_id == ticket_.c.id).order_by(entry.c.id)
    same = ("ticket_id", "ticket_text_id", "lane", "inclusion_p", "round")
    given = {"reviewer": "王芳", "verdict": "correct", "suggestion_shown": lane == "pending", "taxonomy": "t1", "created_at": 1}
    with store.database.writing() as connection:
        found = connection.execute(waiting.where(entry.c.lane == lane, entry.c.state == "open").limit(most)).all()
        answers = [{name: getattr(row, name) for name in same} for row in found]
        rows = [
            {**answer, **given, "queue_entry_id": row.id, "category": gold[row.external_id]}
            for row, answer in zip(found, answers, strict=True)
        ]
        if rows:
            connection.execute(schema.review.insert(), rows)
            connection.execute(entry.update().where(entry.c.id.in_([row.id for row in found])).values(state="done"))
    return len(found)
