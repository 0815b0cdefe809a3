"""`Queue`: what waits for a person is given out, answered, and taken back. An answer, its event and its entry are one transaction."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from llmtriage.errors import InputError, OutdatedError, UnknownNameError, short
from llmtriage.reviewing import Counts, Filters, Page, reviewer_name
from llmtriage.store import schema
from llmtriage.store.answers import Answer, check, close, fill, locked, verdict_on, write
from llmtriage.store.reading import (
    LEASE,
    OPEN,
    asked_again,
    conditions,
    free,
    item_of,
    items,
    label_of,
    labels,
    moment,
    review_of,
    reviews,
    waits_as_probe,
)
from llmtriage.store.recording import now
from llmtriage.store.records import mark, name
from llmtriage.store.second import ask, first_reviewers, withdraw
from llmtriage.store.similar import Similar
from llmtriage.store.useful import Ranked, Useful, first_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from llmtriage.reviewing import Cursor, Filled, Item, Label, Order, Review
    from llmtriage.store.store import SqlStore
    from llmtriage.taxonomy import Taxonomy

_entry, _review = schema.queue_entry.c, schema.review.c
_ANYTHING = Filters()
_LARGEST = 2**63 - 1  # that a database takes as a number
_RANKED = 2.0  # no rank: marks a place in an order that was found out
_ROWS = 1_000  # read at a time where all are wanted


class Queue:
    """What waits for a person in a store. May be used from any thread and by several processes.

    An entry is lent to a person for ten minutes, under a token that changes with whoever gets it. Nothing runs in the background: whether a
    lease has ended is asked when somebody claims. One answer stands for an entry; another one is refused with `OutdatedError`, never kept
    in silence, and never put in its place.
    """

    def __init__(self, store: SqlStore) -> None:
        """Use the queue of `store`."""
        self._store = store
        self._database = store.database
        self._useful = Useful(store.database)
        self._similar = Similar(store.database)

    @property
    def mark(self) -> str:
        """Eight letters by which a file of entries is known to be of this store: another one has the same numbers."""
        return mark(self._store.key)

    # -- to look -------------------------------------------------------------------------------

    def counts(self, filters: Filters = _ANYTHING) -> Counts:
        """How many entries wait, by lane and by reason. Raises StoreError."""
        grouped = sa.select(_entry.lane, _entry.reasons, sa.func.count(), sa.func.min(_entry.enqueued_at))
        with self._database.reading() as connection:
            chosen = grouped.where(*conditions(filters, now())).group_by(_entry.lane, _entry.reasons)
            rows = connection.execute(chosen).all()
        lanes: dict[Any, int] = {}
        reasons: dict[Any, int] = {}
        for lane, codes, n, _ in rows:
            lanes[lane] = lanes.get(lane, 0) + n
            for code in codes.split():
                reasons[code] = reasons.get(code, 0) + n
        oldest = min((row[3] for row in rows), default=None)
        return Counts(entries=sum(lanes.values()), lanes=lanes, reasons=reasons, oldest=oldest and moment(oldest))

    def page(
        self, filters: Filters = _ANYTHING, order: Order = "oldest", *, after: Cursor | None = None, limit: int = 20
    ) -> Page:
        """Some of the entries that wait, whoever holds them. Nothing is lent. Raises StoreError."""
        if order == "useful" and (after is None or after[0] == _RANKED):
            return self._useful_page(filters, 0 if after is None else after[1], limit)
        keys = _keys(order)
        at = now()
        chosen = items().where(*conditions(filters, at)).order_by(*keys).limit(limit + 1)
        if after is not None:
            chosen = chosen.where(sa.tuple_(*keys) > sa.tuple_(*after[-len(keys) :]))
        with self._database.reading() as connection:
            rows = connection.execute(chosen).all()
        more, rows = len(rows) > limit, rows[:limit]
        return Page(items=tuple(item_of(row, at) for row in rows), after=(rows[-1].rank, rows[-1].id) if more else None)

    def _useful_page(self, filters: Filters, start: int, limit: int) -> Page:
        ranked, at = self._ranked(filters), now()
        wanted = ranked.entries[start : start + limit]
        with self._database.reading() as connection:
            rows = connection.execute(items().where(_entry.id.in_(wanted), *conditions(filters, at)))
            found = {row.id: item_of(row, at) for row in rows}
        after = (_RANKED, start + limit) if len(ranked.entries) > start + limit else ranked.rest
        return Page(items=tuple(found[one] for one in wanted if one in found), after=after)

    def _ranked(self, filters: Filters) -> Ranked:
        """One order for all people: who may not be lent an entry of it does not get it."""
        return self._useful.ranked(replace(filters, open_to=None))

    def each(self, filters: Filters = _ANYTHING, order: Order = "oldest") -> Iterator[Item]:
        """All entries that wait, read in pages. Raises StoreError."""
        page = self.page(filters, order, limit=_ROWS)
        yield from page.items
        while page.after is not None:
            page = self.page(filters, order, after=page.after, limit=_ROWS)
            yield from page.items

    def item(self, which: int | str, *, sees_all: bool = False) -> Item:
        """One entry, whatever its state. While its text waits to be decided blind, also once more, it is blind.

        Args:
            which: The number of an entry, or the id of a ticket as text: then its entry that waits, else its last one.
            sees_all: Whether it is for somebody who is never asked to decide blind, and sees what was suggested all the same.

        Raises:
            UnknownNameError: There is none.
            InputError: Several of them wait.
            StoreError: The store cannot be read.
        """
        with self._database.reading() as connection:
            return self._item(connection, which, sees_all=sees_all)

    def answers_to(self, item: Item, *, sees_all: bool = False) -> tuple[Review, ...]:
        """What people answered to an entry, the oldest first, also what was taken back; see `item`. Raises StoreError."""
        given = reviews().where(_review.queue_entry_id == item.entry, _review.verdict != "retract").order_by(_review.id)
        given = given if sees_all else given.where(asked_again(_review.ticket_text_id).is_(None))
        with self._database.reading() as connection:
            return tuple(review_of(row) for row in connection.execute(given))

    def history(self, reviewer: str, limit: int = 10) -> tuple[Review, ...]:
        """The last answers of a person, the latest first, also those taken back. Raises StoreError."""
        own = reviews().where(_review.reviewer == reviewer, _review.verdict != "retract").order_by(_review.id.desc())
        with self._database.reading() as connection:
            return tuple(review_of(row) for row in connection.execute(own.limit(limit)))

    def labels(self) -> Iterator[Label]:
        """The answers that stand, the oldest first, read in pages. Raises StoreError."""
        last = 0
        while True:
            with self._database.reading() as connection:
                rows = connection.execute(_page_of_labels(last)).all()
            yield from map(label_of, rows)
            if len(rows) < _ROWS:
                return
            last = rows[-1].id

    def similar(self, item: Item, limit: int = 3) -> tuple[Label, ...]:
        """Of the latest 2,000 answers that stand those whose tickets are most like this one; none for a blind entry. Raises StoreError."""
        return self._similar.to(item, limit)

    # -- to be given ---------------------------------------------------------------------------

    def claim(self, reviewer: str, filters: Filters = _ANYTHING, order: Order = "oldest", n: int = 1) -> list[Item]:
        """The first `n` entries that this person holds or that nobody holds, lent to the person for ten minutes from now.

        Asked again before an answer it gives the same ones, so that a screen may ask for the shown one and the next two each time. Entries the
        person skipped are left out.

        Raises:
            InputError: The name is none.
            StoreError: The store cannot be written.
        """
        reviewer, at = reviewer_name(reviewer), now()
        mine = _entry.lease_owner == reviewer
        may = sa.select(_entry.id).where(*conditions(replace(filters, open_to=reviewer), at), sa.or_(mine, free(at)))
        may = may.with_for_update(skip_locked=True)
        ranked = self._ranked(filters).entries if order == "useful" else ()
        with self._database.writing() as connection:
            ids = first_of(connection, ranked, may, n)
            if len(ids) < n:
                others = may.where(_entry.id.not_in(ids)) if ids else may
                ids += connection.scalars(others.order_by(*_keys(order)).limit(n - len(ids)))
            token = sa.case((mine, _entry.lease_token), else_=_entry.lease_token + 1)
            lent = {"lease_owner": reviewer, "lease_until": at + LEASE, "lease_token": token}
            connection.execute(schema.queue_entry.update().where(_entry.id.in_(ids)).values(lent))
            found = {row.id: item_of(row, at) for row in connection.execute(items().where(_entry.id.in_(ids)))}
        return [found[one] for one in ids]

    def extend(self, item: Item, reviewer: str) -> bool:
        """Lend an entry for ten more minutes. False where it is no longer what was shown to this person. Raises StoreError."""
        return self._change_lease(item, reviewer, now() + LEASE)

    def release(self, item: Item, reviewer: str) -> bool:
        """Give an entry back, for anybody. False where it is no longer what was shown to this person. Raises StoreError."""
        return self._change_lease(item, reviewer, None)

    def skip(self, item: Item, reviewer: str) -> None:
        """Give an entry back; this person does not get it again. It waits for somebody else. Raises StoreError."""
        with self._database.writing() as connection:
            row = {"queue_entry_id": item.entry, "reviewer": reviewer, "at": now()}
            connection.execute(self._database.insert(schema.skip).on_conflict_do_nothing(), row)
            connection.execute(_lease(item, reviewer, None))

    # -- to answer -----------------------------------------------------------------------------

    def answer(
        self,
        item: Item,
        reviewer: str,
        category: str,
        *,
        taxonomy: Taxonomy,
        shown: bool,
        note: str | None = None,
        active_ms: int | None = None,
    ) -> Review:
        """Keep what a person says of an entry.

        An answer after the end of the lease counts as long as nobody else has got the entry. The verdict is "confirm" where the person says
        what was suggested. Of a blind entry it is always "correct" and nothing is said of a suggestion, for a comparison would tell it.

        Args:
            item: The entry as it was shown.
            reviewer: Who answers.
            category: The leaf.
            taxonomy: What the category must be a leaf of.
            shown: Whether the person saw the suggestion; never of a blind entry.
            note: What the person wrote beside it.
            active_ms: How long the person had the ticket before them.

        Raises:
            InputError: The category is no leaf, or the name is none.
            OutdatedError: The entry was answered, withdrawn, changed, or given to somebody else, or the first answer was this person's.
            StoreError: The store cannot be written.
        """
        reviewer, leaf = reviewer_name(reviewer), taxonomy.leaf(category)
        with self._database.writing() as connection:
            answer = Answer(
                entry=check(connection, item, reviewer),
                reviewer=reviewer,
                verdict=verdict_on(item, leaf, taxonomy),
                category=leaf,
                suggested=item.suggestion,
                shown=shown and not item.blind,
                note=note,
                active_ms=active_ms,
                taxonomy=taxonomy.hash,
            )
            kept = write(connection, self._database, [answer])
            close(connection, [item.entry])
            ask(connection, self._store, [answer])
            return review_of(connection.execute(reviews().where(_review.id == kept[0])).one())

    def fill(self, filled: Sequence[Filled], taxonomy: Taxonomy) -> int:
        """Keep the answers of a file that are not there yet: all of them or none. They end the leases of their entries.

        Args:
            filled: The answers; their categories are leaves.
            taxonomy: What they were checked against.

        Returns:
            How many were new.

        Raises:
            InputError: A row is of no entry, or of another ticket; with its line.
            OutdatedError: An entry was answered otherwise, withdrawn or changed since the file was written.
            StoreError: The store cannot be written.
        """
        with self._database.writing() as connection:
            return fill(connection, self._store, filled, taxonomy)

    def undo(self, reviewer: str, entry: int | None = None) -> tuple[Review, Item]:
        """Take an own answer back: a new row says so, and the entry waits again, lent to the same person.

        It is withdrawn instead where it would not wait any more: where the ticket has been decided about with a newer text since, and a second
        opinion where no first answer stands. A second opinion on what is this person's own answer by now waits for others.

        Args:
            reviewer: Who takes back.
            entry: The entry; None: that of the last answer.

        Returns:
            The answer that was taken back, and its entry as it is then.

        Raises:
            InputError: There is no such answer, or the ticket was erased since.
            StoreError: The store cannot be written.
        """
        with self._database.writing() as connection:
            taken = self._last_answer(connection, reviewer, entry)
            assert taken.entry is not None  # noqa: S101 - asked for
            row = connection.execute(locked(taken.entry)).one()
            if row.state != "done":
                raise OutdatedError("this answer is being taken back elsewhere", remedy="look at llmtriage review list --mine")
            _refuse_erased(connection, row.ticket_id)
            back = Answer(
                entry=row,
                reviewer=reviewer,
                verdict="retract",
                category=taken.category,
                retracts=taken.id,
                taxonomy=taken.taxonomy,
            )
            write(connection, self._database, [back])
            if row.lane == "pending":
                withdraw(connection, row.ticket_text_id)
            again = schema.queue_entry.update().where(_entry.id == taken.entry)
            after = self._after(connection, row, reviewer)
            connection.execute(again.values(**after, lease_token=_entry.lease_token + 1, round=_entry.round + 1))
            return taken, self._item(connection, taken.entry)

    # -- inside a transaction ------------------------------------------------------------------

    def _after(self, connection: sa.Connection, row: Any, reviewer: str) -> dict[str, Any]:
        """What becomes of an entry whose answer was taken back."""
        lent = {"state": "open", "lease_owner": reviewer, "lease_until": now() + LEASE}
        given_back = {"lease_owner": None, "lease_until": None}
        if row.lane == "pending":
            drawn = sa.select(waits_as_probe(sa.literal(row.ticket_text_id)))
            waits_elsewhere = _is_outdated(connection, row) or connection.scalar(drawn)
            return {**given_back, "state": "withdrawn"} if waits_elsewhere else lent
        if row.lane == "second":
            firsts = first_reviewers(connection, row.ticket_text_id)
            if reviewer not in firsts and firsts:
                return lent
            return {**given_back, "state": "open" if firsts else "withdrawn"}
        return lent

    def _item(self, connection: sa.Connection, which: int | str, *, sees_all: bool = False) -> Item:
        if isinstance(which, int):
            row = connection.execute(items().where(_entry.id == min(which, _LARGEST))).one_or_none()
            if row is None:
                raise UnknownNameError(f"the queue has no entry {which}", remedy="see llmtriage review list")
            return item_of(row, now(), sees_all=sees_all)
        found = connection.execute(items().where(schema.ticket.c.external_id == name(which)).order_by(_entry.id)).all()
        if not found:
            raise UnknownNameError(f"no ticket {short(which)!r} is or was in the queue", remedy="see llmtriage review list")
        waiting = [row for row in found if row.state == "open"]
        if len(waiting) > 1:
            numbers = ", ".join(str(row.id) for row in waiting[:8])
            raise InputError(
                f"{len(waiting)} entries of ticket {short(which)!r} wait", remedy=f"name one by its number: {numbers}"
            )
        return item_of((waiting or found)[-1], now(), sees_all=sees_all)

    def _last_answer(self, connection: sa.Connection, reviewer: str, entry: int | None) -> Review:
        own = reviews().where(_review.reviewer == reviewer, _review.verdict != "retract", _review.queue_entry_id.is_not(None))
        if entry is not None:
            own = own.where(sa.or_(_review.queue_entry_id == entry, _review.queue_entry_id.in_(_first_of(entry))))
        last = own.order_by(_review.id.desc())
        retraction = schema.review.alias("taken")
        last = last.where(~sa.exists().where(retraction.c.retracts_id == _review.id)).limit(1)
        row = connection.execute(last).one_or_none()
        if row is None:
            of = "" if entry is None else f" to entry {entry}"
            raise InputError(
                f"{short(reviewer)} has given no answer{of} that stands", remedy="only own answers can be taken back"
            )
        return review_of(row)

    def _change_lease(self, item: Item, reviewer: str, until: int | None) -> bool:
        with self._database.writing() as connection:
            return connection.execute(_lease(item, reviewer, until)).rowcount == 1


def _refuse_erased(connection: sa.Connection, ticket: int) -> None:
    """Nobody can decide again about a ticket whose text is gone. Raises InputError."""
    if connection.scalar(sa.select(schema.ticket.c.erased_at).where(schema.ticket.c.id == ticket)) is not None:
        raise InputError("the ticket of this answer was erased", remedy="the answer stands as it is")


def _is_outdated(connection: sa.Connection, row: Any) -> bool:
    """Whether the ticket was decided about with another text since an entry was answered: had it waited, it would have given way."""
    outcome, answer = schema.outcome.c, sa.func.max(_review.created_at)
    last = sa.select(outcome.ticket_text_id, outcome.created_at).where(outcome.ticket_id == row.ticket_id)
    newest = connection.execute(last.order_by(outcome.id.desc()).limit(1)).first()
    if newest is None or newest.ticket_text_id == row.ticket_text_id:
        return False
    given = sa.select(answer).where(_review.queue_entry_id == row.id, _review.verdict != "retract")
    return bool(newest.created_at >= connection.scalar(given))


def _first_of(entry: int) -> sa.Select[tuple[int]]:
    """The entry that a second opinion is about: who answered it names the ticket, and means the own answer."""
    first, second = schema.queue_entry.alias("first").c, schema.queue_entry.alias("second_opinion").c
    asked = sa.select(first.id).where(first.ticket_text_id == second.ticket_text_id, first.lane == "pending")
    return asked.where(second.id == entry, second.lane == "second")


def _lease(item: Item, reviewer: str, until: int | None) -> sa.Update:
    held = schema.queue_entry.update().where(
        _entry.id == item.entry, OPEN, _entry.lease_owner == reviewer, _entry.lease_token == item.token
    )
    return held.values(lease_until=until) if until else held.values(lease_owner=None, lease_until=None)


def _keys(order: Order) -> Sequence[sa.Column[Any]]:
    """What entries are sorted by; ends with the number, which is unique."""
    return (_entry.id,) if order == "oldest" else (_entry.rank, _entry.id)


def _page_of_labels(last: int) -> sa.Select[Any]:
    return labels().where(sa.literal_column("standing.id") > last).limit(_ROWS)
