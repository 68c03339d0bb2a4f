"""Attached content: what is known of photos and scans whose bytes lie in files beside the database."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "20261126_blobs"
down_revision = "20261127_quarantine"
branch_labels = None
depends_on = None

# Compared byte by byte on PostgreSQL, as SQLite does anyway.
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "blobs",
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("media_type", sa.Text(), nullable=False),
        sa.Column("state", TEXT, nullable=False),
        sa.Column("hashes", sa.LargeBinary(), nullable=True),
        sa.Column("added_us", sa.BigInteger(), nullable=False),
        sa.Column("completed_us", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("digest"),
    )
    op.create_index("blobs_state", "blobs", ["state"])
    op.create_index("blobs_completed", "blobs", ["completed_us"])
    op.create_table(
        "blob_scopes",
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("scope", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("digest", "scope"),
    )
    op.create_table(
        "blob_chunks",
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("digest", "number"),
    )
    op.create_table(
        "blob_holders",
        sa.Column("peer", TEXT, nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("state", TEXT, nullable=False),
        sa.Column("chunks", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("peer", "digest"),
    )
    op.create_table(
        "blob_lanes",
        sa.Column("peer", TEXT, nullable=False),
        sa.Column("settled", sa.LargeBinary(), nullable=True),
        sa.Column("settled_us", sa.BigInteger(), nullable=True),
        sa.Column("more", sa.Boolean(), nullable=False),
        sa.Column("error_code", sa.Text(), nullable=True),
        sa.Column("error_us", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("peer"),
    )
