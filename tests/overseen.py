"""A calibration with promises, and probes that were drawn under it and decided."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date

import sqlalchemy as sa
from decided import accepted, decision, pending, record, ticket
from drawn import SHOP
from serving import Served

from llmtriage.calibration import Calibration, Labels, Promise
from llmtriage.remembering import Run
from llmtriage.store import SqlStore, schema


def promised(*promises: Promise, words: str = "a promise") -> Calibration:
    """A calibration with these promises; none: one of alpha 0.05 about all categories."""
    labels = Labels(file="labelled.csv", drawn="uniform", n=400, left_out=0, fitted=100, certified=300, outside=0)
    return Calibration(
        words=words,
        made=date(2026, 1, 1),
        by="0.1.0",
        answer="leaf",
        calibrator={},
        calibrated=True,
        promises=promises or (promise("refund", "parcel", "login"),),
        delta=0.1,
        labels=labels,
        contract={"taxonomy": SHOP.hash},
    )


def promise(*categories: str, alpha: float = 0.05) -> Promise:
    """A promise about these answers."""
    found = {"threshold": 0.8, "n": 300, "accepted": 100, "errors": 0, "wrong_at": (), "need": (79,), "crossing": 0.09}
    return Promise(categories=categories, alpha=alpha, delta=0.1, **found)


def run_under(calibration: Calibration, name: str = "run-c") -> Run:
    """A run under a calibration."""
    return Run(name, "toy", {"backend": "toy", "calibration": calibration.hash})


def accept_probes(store: SqlStore, run: Run, ids: Iterable[str], category: str = "refund") -> None:
    """Tickets that were drawn for a blind review, and that routing would have accepted."""
    record(store, *(decision(ticket(f"我要退款 {one}", one), accepted(category), run=run, probe=0.02) for one in ids))


def decide_probes(store: SqlStore, answers: Sequence[str]) -> None:
    """People answer the oldest probes that wait, blind, in one transaction."""
    entry = schema.queue_entry
    waiting = sa.select(entry).where(entry.c.lane == "probe", entry.c.state == "open").order_by(entry.c.id)
    same = ("ticket_id", "ticket_text_id", "lane", "inclusion_p", "round")
    given = {"reviewer": "王芳", "verdict": "correct", "suggestion_shown": False, "taxonomy": "t1"}
    with store.database.writing() as connection:
        found = connection.execute(waiting.limit(len(answers))).all()
        rows = [
            {**given, **{name: getattr(row, name) for name in same}, "queue_entry_id": row.id, "category": answer}
            for row, answer in zip(found, answers, strict=True)
        ]
        connection.execute(schema.review.insert(), [{**row, "created_at": found[-1].enqueued_at} for row in rows])
        connection.execute(entry.update().where(entry.c.id.in_([row.id for row in found])).values(state="done"))


def answer_twice(served: Served, pairs: Sequence[tuple[str, str]], *, start: int = 0) -> None:
    """Tickets P0, P1, ... wait and are answered by two people, the second one blind."""
    queue, taxonomy = served.store.queue, served.service.taxonomy
    for number, said in enumerate(pairs, start):
        record(served.store, decision(ticket(f"退款 {number} <b>", f"P{number}"), pending(said[0])))
        for reviewer, category in zip(("王芳", "李强"), said, strict=True):
            (item,) = queue.claim(reviewer)
            queue.answer(item, reviewer, category, taxonomy=taxonomy, shown=True)
