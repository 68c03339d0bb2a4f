"""Epochs: a node's own, so that every process of it appends in the same one, and those its peers have shown."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "20261124_epochs"
down_revision = "20261123_initial"
branch_labels = None
depends_on = None

# Compared byte by byte on PostgreSQL, as SQLite does anyway.
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "ledger_epochs",
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("epoch", TEXT, nullable=False),
        sa.Column("parent", TEXT, nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("opened_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("number"),
        sa.UniqueConstraint("epoch", name="ledger_epochs_epoch"),
    )
    op.create_table(
        "ledger_branches",
        sa.Column("node", TEXT, nullable=False),
        sa.Column("epoch", TEXT, nullable=False),
        sa.Column("scope", TEXT, nullable=False),
        sa.Column("first", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("segment", sa.LargeBinary(), nullable=False),
        sa.Column("received_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("node", "epoch", "scope", "first"),
    )
    op.create_table(
        "sync_epochs",
        sa.Column("peer", TEXT, nullable=False),
        sa.Column("epoch", TEXT, nullable=False),
        sa.Column("first_us", sa.BigInteger(), nullable=False),
        sa.Column("last_us", sa.BigInteger(), nullable=False),
        sa.Column("returns", sa.Integer(), nullable=False),
        sa.Column("returned_us", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("peer", "epoch"),
    )
