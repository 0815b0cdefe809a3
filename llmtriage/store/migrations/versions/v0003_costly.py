"""Which texts are looked for again, so that what nobody looks for is in no index: it is the place of a hash in one that takes long to find."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_COSTLY = sa.text("costly")
_KNOWN = sa.text("customer IS NOT NULL")


def upgrade() -> None:
    """Of what is there nobody knows what it cost, so all of it is looked for as before."""
    op.add_column("ticket_text", sa.Column("costly", sa.Boolean(), server_default=sa.true(), nullable=False))
    op.drop_index("ix_ticket_text_hmac", "ticket_text")
    op.create_index("ix_ticket_text_costly", "ticket_text", ["hmac"], sqlite_where=_COSTLY, postgresql_where=_COSTLY)
    op.drop_index("ix_ticket_customer", "ticket")
    op.create_index("ix_ticket_customer", "ticket", ["customer"], sqlite_where=_KNOWN, postgresql_where=_KNOWN)
