"""The first version of the schema.

Later versions are files beside this one; this one is never changed.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

from llmtriage.store.schema import POSTGRESQL_TRIGGERS, SQLITE_TRIGGERS

revision = "0001"
down_revision = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _where(condition: str) -> dict[str, Any]:
    return {f"{dialect}_where": sa.text(condition) for dialect in ("sqlite", "postgresql")}


def upgrade() -> None:
    """Make all tables."""
    op.create_table(
        "daily_count",
        sa.Column("day", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("category", sa.Text(), nullable=False),
        sa.Column("n", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("day", "kind", "category", name=op.f("pk_daily_count")),
    )
    op.create_table(
        "event",
        sa.Column("id", _ID, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("subject_id", _ID, nullable=True),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_event")),
    )
    op.create_table(
        "example_set",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_example_set")),
    )
    op.create_table(
        "look",
        sa.Column("id", _ID, nullable=False),
        sa.Column("sample", sa.Text(), nullable=False),
        sa.Column("labels", sa.Integer(), nullable=False),
        sa.Column("alphas", sa.JSON(), nullable=False),
        sa.Column("delta", sa.Float(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_look")),
    )
    op.create_index(op.f("ix_look_sample"), "look", ["sample"], unique=False)
    op.create_table(
        "meta",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_meta")),
    )
    op.create_table(
        "run",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("backend", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.JSON(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_run")),
    )
    op.create_table(
        "ticket",
        sa.Column("id", _ID, nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("external_id", sa.Text(), nullable=True),
        sa.Column("channel", sa.Text(), nullable=True),
        sa.Column("language", sa.Text(), nullable=True),
        sa.Column("customer", sa.Text(), nullable=True),
        sa.Column("metadata", sa.JSON(), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.Column("erased_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ticket")),
        sa.UniqueConstraint("source", "key", name=op.f("uq_ticket_source_key")),
    )
    op.create_index(op.f("ix_ticket_customer"), "ticket", ["customer"], unique=False)
    op.create_index(op.f("ix_ticket_external_id"), "ticket", ["external_id"], unique=False)
    op.create_index(op.f("ix_ticket_received_at"), "ticket", ["received_at"], unique=False)
    op.create_table(
        "ticket_text",
        sa.Column("id", _ID, nullable=False),
        sa.Column("ticket_id", _ID, nullable=False),
        sa.Column("title", sa.Text(), nullable=True),
        sa.Column("content", sa.Text(), nullable=True),
        sa.Column("hmac", sa.LargeBinary(), nullable=True),
        sa.Column("kept", sa.Text(), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("kept in ('original', 'redacted', 'none')", name=op.f("ck_ticket_text_kept")),
        sa.ForeignKeyConstraint(["ticket_id"], ["ticket.id"], name=op.f("fk_ticket_text_ticket_id_ticket")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ticket_text")),
        sa.UniqueConstraint("ticket_id", "hmac", name=op.f("uq_ticket_text_ticket_id_hmac")),
    )
    op.create_index(op.f("ix_ticket_text_hmac"), "ticket_text", ["hmac"], unique=False)
    op.create_table(
        "example_member",
        sa.Column("set_name", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("ticket_text_id", _ID, nullable=False),
        sa.Column("category", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["set_name"], ["example_set.name"], name=op.f("fk_example_member_set_name_example_set")),
        sa.ForeignKeyConstraint(
            ["ticket_text_id"], ["ticket_text.id"], name=op.f("fk_example_member_ticket_text_id_ticket_text")
        ),
        sa.PrimaryKeyConstraint("set_name", "position", name=op.f("pk_example_member")),
    )
    op.create_table(
        "outcome",
        sa.Column("id", _ID, nullable=False),
        sa.Column("ticket_id", _ID, nullable=False),
        sa.Column("ticket_text_id", _ID, nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("run_key", sa.Text(), nullable=False),
        sa.Column("final", sa.Boolean(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("category", sa.Text(), nullable=True),
        sa.Column("team", sa.Text(), nullable=True),
        sa.Column("confidence", sa.Float(), nullable=True),
        sa.Column("score", sa.Float(), nullable=True),
        sa.Column("calibrated", sa.Boolean(), nullable=False),
        sa.Column("reasons", sa.JSON(), nullable=False),
        sa.Column("candidates", sa.JSON(), nullable=False),
        sa.Column("probe", sa.Float(), nullable=True),
        sa.Column("usage", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("kind = 'pending' or category is not null", name=op.f("ck_outcome_accepted_has_category")),
        sa.CheckConstraint("kind in ('accepted', 'pending')", name=op.f("ck_outcome_kind")),
        sa.CheckConstraint("probe is null or (probe > 0 and probe <= 1)", name=op.f("ck_outcome_probe")),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_outcome_run_id_run")),
        sa.ForeignKeyConstraint(["ticket_id"], ["ticket.id"], name=op.f("fk_outcome_ticket_id_ticket")),
        sa.ForeignKeyConstraint(["ticket_text_id"], ["ticket_text.id"], name=op.f("fk_outcome_ticket_text_id_ticket_text")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outcome")),
    )
    op.create_index(op.f("ix_outcome_ticket_id_id"), "outcome", ["ticket_id", "id"], unique=False)
    op.create_index("uq_outcome_ticket_text_id_run_key", "outcome", ["ticket_text_id", "run_key"], unique=True, **_where("final"))
    op.create_table(
        "queue_entry",
        sa.Column("id", _ID, nullable=False),
        sa.Column("outcome_id", _ID, nullable=True),
        sa.Column("ticket_id", _ID, nullable=False),
        sa.Column("ticket_text_id", _ID, nullable=False),
        sa.Column("lane", sa.Text(), nullable=False),
        sa.Column("sample", sa.Text(), nullable=True),
        sa.Column("blind", sa.Boolean(), nullable=False),
        sa.Column("inclusion_p", sa.Float(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reasons", sa.Text(), nullable=False),
        sa.Column("category", sa.Text(), nullable=True),
        sa.Column("language", sa.Text(), nullable=True),
        sa.Column("rank", sa.Float(), nullable=False),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("enqueued_at", sa.BigInteger(), nullable=False),
        sa.Column("lease_owner", sa.Text(), nullable=True),
        sa.Column("lease_until", sa.BigInteger(), nullable=True),
        sa.Column("lease_token", sa.Integer(), nullable=False),
        sa.CheckConstraint("lane in ('pending', 'probe', 'sample')", name=op.f("ck_queue_entry_lane")),
        sa.CheckConstraint("state in ('open', 'done', 'withdrawn')", name=op.f("ck_queue_entry_state")),
        sa.CheckConstraint(
            "inclusion_p is null or (inclusion_p > 0 and inclusion_p <= 1)", name=op.f("ck_queue_entry_inclusion_p")
        ),
        sa.ForeignKeyConstraint(["outcome_id"], ["outcome.id"], name=op.f("fk_queue_entry_outcome_id_outcome")),
        sa.ForeignKeyConstraint(["ticket_id"], ["ticket.id"], name=op.f("fk_queue_entry_ticket_id_ticket")),
        sa.ForeignKeyConstraint(["ticket_text_id"], ["ticket_text.id"], name=op.f("fk_queue_entry_ticket_text_id_ticket_text")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_queue_entry")),
        sa.UniqueConstraint("outcome_id", "lane", name=op.f("uq_queue_entry_outcome_id_lane")),
        sa.UniqueConstraint("ticket_text_id", "sample", name=op.f("uq_queue_entry_ticket_text_id_sample")),
    )
    op.create_index("ix_queue_entry_open", "queue_entry", ["id"], unique=False, **_where("state = 'open'"))
    op.create_index("ix_queue_entry_open_category", "queue_entry", ["category", "id"], unique=False, **_where("state = 'open'"))
    op.create_index("ix_queue_entry_open_lane", "queue_entry", ["lane", "id"], unique=False, **_where("state = 'open'"))
    op.create_index("ix_queue_entry_open_rank", "queue_entry", ["rank", "id"], unique=False, **_where("state = 'open'"))
    op.create_index(op.f("ix_queue_entry_ticket_id"), "queue_entry", ["ticket_id"], unique=False)
    op.create_table(
        "review",
        sa.Column("id", _ID, nullable=False),
        sa.Column("queue_entry_id", _ID, nullable=True),
        sa.Column("ticket_id", _ID, nullable=False),
        sa.Column("ticket_text_id", _ID, nullable=False),
        sa.Column("reviewer", sa.Text(), nullable=False),
        sa.Column("verdict", sa.Text(), nullable=False),
        sa.Column("category", sa.Text(), nullable=True),
        sa.Column("suggested", sa.Text(), nullable=True),
        sa.Column("suggestion_shown", sa.Boolean(), nullable=False),
        sa.Column("lane", sa.Text(), nullable=False),
        sa.Column("inclusion_p", sa.Float(), nullable=True),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("active_ms", sa.Integer(), nullable=True),
        sa.Column("taxonomy", sa.Text(), nullable=False),
        sa.Column("retracts_id", _ID, nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("verdict = 'retract' or category is not null", name=op.f("ck_review_answer_has_category")),
        sa.CheckConstraint("verdict in ('confirm', 'correct', 'retract')", name=op.f("ck_review_verdict")),
        sa.ForeignKeyConstraint(["queue_entry_id"], ["queue_entry.id"], name=op.f("fk_review_queue_entry_id_queue_entry")),
        sa.ForeignKeyConstraint(["retracts_id"], ["review.id"], name=op.f("fk_review_retracts_id_review")),
        sa.ForeignKeyConstraint(["ticket_id"], ["ticket.id"], name=op.f("fk_review_ticket_id_ticket")),
        sa.ForeignKeyConstraint(["ticket_text_id"], ["ticket_text.id"], name=op.f("fk_review_ticket_text_id_ticket_text")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_review")),
        sa.UniqueConstraint(
            "queue_entry_id", "reviewer", "round", "verdict", name=op.f("uq_review_queue_entry_id_reviewer_round_verdict")
        ),
        sa.UniqueConstraint("retracts_id", name=op.f("uq_review_retracts_id")),
    )
    op.create_index(op.f("ix_review_reviewer_id"), "review", ["reviewer", "id"], unique=False)
    op.create_index(op.f("ix_review_ticket_id"), "review", ["ticket_id"], unique=False)
    op.create_index(op.f("ix_review_ticket_text_id"), "review", ["ticket_text_id"], unique=False)
    op.create_table(
        "skip",
        sa.Column("queue_entry_id", _ID, nullable=False),
        sa.Column("reviewer", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["queue_entry_id"], ["queue_entry.id"], name=op.f("fk_skip_queue_entry_id_queue_entry")),
        sa.PrimaryKeyConstraint("queue_entry_id", "reviewer", name=op.f("pk_skip")),
    )
    on_postgresql = op.get_bind().dialect.name == "postgresql"
    for trigger in POSTGRESQL_TRIGGERS if on_postgresql else SQLITE_TRIGGERS:
        op.execute(trigger)
