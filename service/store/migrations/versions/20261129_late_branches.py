"""Who takes up the branch of a withdrawn key; and no more chains in place of pieces of a branch."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "20261129_late_branches"
down_revision = "20261128_snapshots"
branch_labels = None
depends_on = None

# Compared byte by byte on PostgreSQL, as SQLite does anyway.
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.add_column("ledger_incidents", sa.Column("taker", TEXT, nullable=True))
    # Noted by earlier versions so that the next piece of an adopted branch was known by it: 32 bytes, no segment.
    op.execute(sa.text("DELETE FROM ledger_branches WHERE length(segment) = 32"))
