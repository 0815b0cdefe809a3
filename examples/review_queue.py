"""Keep what is decided, let a person answer what waits, and learn from the answer: the queue in Python.

python examples/review_queue.py
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from llmtriage import Pending, Taxonomy, Ticket, Triage
from llmtriage.store import SqlStore

TICKETS = [
    Ticket(id="A-1", content="I was charged twice for one order, please send one of the two amounts back."),
    Ticket(id="A-2", content="The thing in the hallway blinks and does not do what it did before the weekend."),
    Ticket(id="A-3", content="我想退货，怎么寄回去？"),
]


def main() -> None:
    """Decide, let somebody answer, and see that nothing is asked twice."""
    taxonomy = Taxonomy.sample()
    with tempfile.TemporaryDirectory() as folder, SqlStore(Path(folder) / "desk.db") as store:
        triage = Triage(taxonomy=taxonomy, examples=Path(__file__).parent / "tickets.csv", threshold=0.8, store=store)
        outcomes = list(triage.classify_many(TICKETS))
        print(f"{sum(isinstance(one, Pending) for one in outcomes)} of {len(outcomes)} tickets wait")

        for item in store.queue.claim("li", n=10):  # lent for ten minutes: nobody else gets them meanwhile
            print(f"{item.ticket.id}: perhaps {item.suggestion}, because: {item.reasons[0].sentence()}")
            store.queue.answer(item, "li", item.suggestion or "other", taxonomy=taxonomy, shown=True, note="asked the customer")

        for label in store.queue.labels():
            print(f"{label.ticket.id} is {label.category}, said {label.reviewer}")
        print(f"known without asking: {all(one.recalled for one in triage.classify_many(TICKETS))}")


if __name__ == "__main__":
    main()
