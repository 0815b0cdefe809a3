"""The tables. History is rows: outcomes, reviews and events are never changed; what is current follows from them.

Times are microseconds since 1970, UTC. What is stored of a ticket's text stands in `ticket_text` and `review.note` alone, so that it can be erased.
"""

from __future__ import annotations

from functools import cache

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ColumnElement,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Select,
    Table,
    Text,
    UniqueConstraint,
    and_,
    exists,
    literal_column,
    select,
    text,
    true,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)
# SQLite numbers rows by itself only where the type is INTEGER.
_Id = BigInteger().with_variant(Integer, "sqlite")


def _id() -> Column[int]:
    return Column("id", _Id, primary_key=True)


def _of(table: str, *, optional: bool = False) -> Column[int]:
    return Column(f"{table}_id", _Id, ForeignKey(f"{table}.id"), nullable=optional)


meta = Table(
    "meta",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),
)

ticket = Table(
    "ticket",
    metadata,
    _id(),
    Column("source", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("external_id", Text),
    Column("channel", Text),
    Column("language", Text),
    Column("customer", Text),
    Column("metadata", JSON, nullable=False),
    Column("received_at", BigInteger, nullable=False),
    Column("erased_at", BigInteger),
    UniqueConstraint("source", "key"),
    Index(None, "external_id"),
)
_known = ticket.c.customer.is_not(None)
Index("ix_ticket_customer", ticket.c.customer, sqlite_where=_known, postgresql_where=_known)

ticket_text = Table(
    "ticket_text",
    metadata,
    _id(),
    _of("ticket"),
    Column("title", Text),
    Column("content", Text),
    Column("hmac", LargeBinary),
    Column("kept", Text, nullable=False),
    Column("received_at", BigInteger, nullable=False),
    Column("costly", Boolean, nullable=False, server_default=true()),
    UniqueConstraint("ticket_id", "hmac"),
    CheckConstraint("kept in ('original', 'redacted', 'none')", name="kept"),
)
COSTLY: ColumnElement[bool] = literal_column("ticket_text.costly")
"""Of a text: deciding on it cost something, so that it is worth finding out whether another ticket has the same."""
Index(
    "ix_ticket_text_costly",
    ticket_text.c.hmac,
    sqlite_where=ticket_text.c.costly,
    postgresql_where=ticket_text.c.costly,
)

run = Table(
    "run",
    metadata,
    Column("id", Text, primary_key=True),
    Column("backend", Text, nullable=False),
    Column("fingerprint", JSON, nullable=False),
    Column("version", Text, nullable=False),
    Column("started_at", BigInteger, nullable=False),
)

outcome = Table(
    "outcome",
    metadata,
    _id(),
    _of("ticket"),
    _of("ticket_text"),
    Column("run_id", Text, ForeignKey("run.id"), nullable=False),
    Column("run_key", Text, nullable=False),
    Column("final", Boolean, nullable=False),
    Column("kind", Text, nullable=False),
    Column("category", Text),
    Column("team", Text),
    Column("confidence", Float),
    Column("score", Float),
    Column("calibrated", Boolean, nullable=False),
    Column("reasons", JSON, nullable=False),
    Column("candidates", JSON, nullable=False),
    Column("probe", Float),
    Column("usage", JSON, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    CheckConstraint("kind in ('accepted', 'pending')", name="kind"),
    CheckConstraint("kind = 'pending' or category is not null", name="accepted_has_category"),
    CheckConstraint("probe is null or (probe > 0 and probe <= 1)", name="probe"),
    Index(None, "ticket_id", "id"),
)
FINAL: ColumnElement[bool] = literal_column(
    "outcome.final"
)  # written out: of "final = 1" SQLite does not see that the index below fits
# What was decided is decided once; an answer that failed for a reason that passes may be followed by another.
Index(
    "uq_outcome_ticket_text_id_run_key",
    outcome.c.ticket_text_id,
    outcome.c.run_key,
    unique=True,
    sqlite_where=outcome.c.final,
    postgresql_where=outcome.c.final,
)

queue_entry = Table(
    "queue_entry",
    metadata,
    _id(),
    _of("outcome", optional=True),
    _of("ticket"),
    _of("ticket_text"),
    Column("lane", Text, nullable=False),
    Column("sample", Text),
    Column("blind", Boolean, nullable=False),
    Column("inclusion_p", Float),
    Column("state", Text, nullable=False),
    Column("reasons", Text, nullable=False),
    Column("category", Text),
    Column("language", Text),
    Column("rank", Float, nullable=False),
    Column("round", Integer, nullable=False),
    Column("enqueued_at", BigInteger, nullable=False),
    Column("lease_owner", Text),
    Column("lease_until", BigInteger),
    Column("lease_token", Integer, nullable=False),
    UniqueConstraint("outcome_id", "lane"),
    UniqueConstraint("ticket_text_id", "sample"),
    CheckConstraint("lane in ('pending', 'probe', 'sample', 'second')", name="lane"),
    CheckConstraint("state in ('open', 'done', 'withdrawn')", name="state"),
    CheckConstraint("inclusion_p is null or (inclusion_p > 0 and inclusion_p <= 1)", name="inclusion_p"),
    Index(None, "ticket_id"),
)
_OPEN = queue_entry.c.state == "open"
for _name, _columns in {
    "ix_queue_entry_open": (queue_entry.c.id,),
    "ix_queue_entry_open_lane": (queue_entry.c.lane, queue_entry.c.id),
    "ix_queue_entry_open_rank": (queue_entry.c.rank, queue_entry.c.id),
    "ix_queue_entry_open_category": (queue_entry.c.category, queue_entry.c.id),
}.items():
    Index(_name, *_columns, sqlite_where=_OPEN, postgresql_where=_OPEN)

review = Table(
    "review",
    metadata,
    _id(),
    _of("queue_entry", optional=True),
    _of("ticket"),
    _of("ticket_text"),
    Column("reviewer", Text, nullable=False),
    Column("verdict", Text, nullable=False),
    Column("category", Text),
    Column("suggested", Text),
    Column("suggestion_shown", Boolean, nullable=False),
    Column("lane", Text, nullable=False),
    Column("inclusion_p", Float),
    Column("round", Integer, nullable=False),
    Column("note", Text),
    Column("active_ms", Integer),
    Column("taxonomy", Text, nullable=False),
    Column("retracts_id", _Id, ForeignKey("review.id")),
    Column("created_at", BigInteger, nullable=False),
    UniqueConstraint("queue_entry_id", "reviewer", "round", "verdict"),
    UniqueConstraint("retracts_id"),
    CheckConstraint("verdict in ('confirm', 'correct', 'retract')", name="verdict"),
    CheckConstraint("verdict = 'retract' or category is not null", name="answer_has_category"),
    Index(None, "ticket_id"),
    Index(None, "ticket_text_id"),
    Index(None, "reviewer", "id"),
)

skip = Table(
    "skip",
    metadata,
    Column("queue_entry_id", _Id, ForeignKey("queue_entry.id"), primary_key=True),
    Column("reviewer", Text, primary_key=True),
    Column("at", BigInteger, nullable=False),
)

event = Table(
    "event",
    metadata,
    _id(),
    Column("at", BigInteger, nullable=False),
    Column("actor", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("subject_id", _Id),
    Column("data", JSON, nullable=False),
)

daily_count = Table(
    "daily_count",
    metadata,
    Column("day", Integer, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("category", Text, primary_key=True),
    Column("n", BigInteger, nullable=False),
)

example_set = Table(
    "example_set",
    metadata,
    Column("name", Text, primary_key=True),
    Column("hash", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
)

example_member = Table(
    "example_member",
    metadata,
    Column("set_name", Text, ForeignKey("example_set.name"), primary_key=True),
    Column("position", Integer, primary_key=True),
    _of("ticket_text"),
    Column("category", Text, nullable=False),
)

look = Table(
    "look",
    metadata,
    _id(),
    Column("sample", Text, nullable=False),
    Column("labels", Integer, nullable=False),
    Column("alphas", JSON, nullable=False),
    Column("delta", Float, nullable=False),
    Column("at", BigInteger, nullable=False),
    Index(None, "sample"),
)

# -- what the service needs ------------------------------------------------------------------------

erasure = Table(
    "erasure",
    metadata,
    _id(),
    Column("subject", LargeBinary, nullable=False),
    Column("event", BigInteger, nullable=False),
    Column("at", BigInteger, nullable=False),
    Index(None, "event"),
)

api_key = Table(
    "api_key",
    metadata,
    Column("prefix", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    Column("scopes", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger),
    Column("revoked_at", BigInteger),
    Column("used_day", Integer),
)

account = Table(
    "account",
    metadata,
    Column("name", Text, primary_key=True),
    Column("password", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("disabled_at", BigInteger),
    CheckConstraint("role in ('reviewer', 'lead')", name="role"),
)

session = Table(
    "session",
    metadata,
    Column("hash", LargeBinary, primary_key=True),
    Column("reviewer", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("seen_at", BigInteger, nullable=False),
    Index(None, "reviewer"),
)

idempotency = Table(
    "idempotency",
    metadata,
    Column("caller", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("request", LargeBinary, nullable=False),
    Column("status", Integer),
    Column("reply", JSON(none_as_null=True)),
    Column("created_at", BigInteger, nullable=False),
    Index(None, "created_at"),
)

inbox = Table(
    "inbox",
    metadata,
    _id(),
    Column("hook", Text, nullable=False),
    Column("message", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("ticket_key", Text),
    Column("ticket", JSON(none_as_null=True)),
    Column("received_at", BigInteger, nullable=False),
    Column("next_at", BigInteger),
    Column("done_at", BigInteger),
    UniqueConstraint("hook", "message"),
    Index(None, "done_at"),
)
_UNDONE = inbox.c.next_at.is_not(None)
for _name, _columns in {
    "ix_inbox_due": (inbox.c.source, inbox.c.next_at, inbox.c.id),
    "ix_inbox_ticket": (inbox.c.ticket_key, inbox.c.id),
}.items():
    Index(_name, *_columns, sqlite_where=_UNDONE, postgresql_where=_UNDONE)

callback = Table(
    "callback",
    metadata,
    Column("name", Text, primary_key=True),
    Column("last_event", BigInteger, nullable=False),
)

delivery = Table(
    "delivery",
    metadata,
    _id(),
    Column("callback", Text, ForeignKey("callback.name"), nullable=False),
    _of("event"),
    _of("ticket"),
    Column("body", JSON, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("next_at", BigInteger),
    Column("held_until", BigInteger),
    Column("status", Integer),
    Column("delivered_at", BigInteger),
    UniqueConstraint("callback", "event_id"),
    Index(None, "ticket_id"),
    Index(None, "delivered_at"),
)
_DUE = delivery.c.next_at.is_not(None)
Index("ix_delivery_due", delivery.c.callback, delivery.c.next_at, delivery.c.id, sqlite_where=_DUE, postgresql_where=_DUE)


@cache
def standing() -> Select[tuple[object, ...]]:
    """The answers that stand: the latest of each text that was not taken back. A second opinion says how far people agree, and stands for nothing."""
    retraction, later = review.alias("retraction"), review.alias("later")
    withdrawn = exists().where(retraction.c.retracts_id == review.c.id)
    later_withdrawn = exists().where(retraction.c.retracts_id == later.c.id)
    newer = exists().where(
        and_(later.c.ticket_text_id == review.c.ticket_text_id, later.c.id > review.c.id, later.c.verdict != "retract"),
        later.c.lane != "second",
        ~later_withdrawn,
    )
    return select(review).where(review.c.verdict != "retract", review.c.lane != "second", ~withdrawn, ~newer)


APPEND_ONLY = "the event log only grows"
SQLITE_TRIGGERS = tuple(
    f"create trigger event_no_{change} before {change} on event begin select raise(abort, '{APPEND_ONLY}'); end"
    for change in ("update", "delete")
)
POSTGRESQL_TRIGGERS = (
    f"create function event_only_grows() returns trigger language plpgsql as $$ begin raise exception '{APPEND_ONLY}'; end $$",
    "create trigger event_no_change before update or delete on event for each row execute function event_only_grows()",
)

__all__ = [
    "COSTLY", "FINAL", "account", "api_key", "callback", "daily_count", "delivery", "erasure", "event", "example_member", "example_set",
    "idempotency", "inbox", "look", "meta", "metadata", "outcome", "queue_entry", "review", "run", "session", "skip", "standing", "text", "ticket",
    "ticket_text",
]  # fmt: skip
