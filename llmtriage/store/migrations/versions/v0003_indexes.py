"""Indexes hold what is looked for in them and no more: each place that is written for nothing makes a run slower."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_COSTLY = sa.text("costly")
_KNOWN = sa.text("customer IS NOT NULL")


def upgrade() -> None:
    """Of texts that are there nobody knows what deciding on them cost, so all of them are found as before."""
    op.add_column("ticket_text", sa.Column("costly", sa.Boolean(), server_default=sa.true(), nullable=False))
    op.drop_index("ix_ticket_text_hmac", "ticket_text")
    op.create_index("ix_ticket_text_costly", "ticket_text", ["hmac"], sqlite_where=_COSTLY, postgresql_where=_COSTLY)
    op.drop_index("ix_ticket_customer", "ticket")
    op.create_index("ix_ticket_customer", "ticket", ["customer"], sqlite_where=_KNOWN, postgresql_where=_KNOWN)
    op.drop_index("ix_ticket_received_at", "ticket")
