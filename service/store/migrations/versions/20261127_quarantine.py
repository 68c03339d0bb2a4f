"""Marks of folds that have begun: one that is left behind tells that the program ended while working on its subjects."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "20261127_quarantine"
down_revision = "20261124_epochs"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "ledger_foldings",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("subjects", sa.Text(), nullable=False),
        sa.Column("begun_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
