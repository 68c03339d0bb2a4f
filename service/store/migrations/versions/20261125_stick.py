"""When a memory stick was last written for a peer, and when one of its own was last read."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "20261125_stick"
down_revision = "20261124_epochs"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("sync_contacts", sa.Column("stick_written_us", sa.BigInteger(), nullable=True))
    op.add_column("sync_contacts", sa.Column("stick_read_us", sa.BigInteger(), nullable=True))
