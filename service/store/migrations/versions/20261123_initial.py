"""Ledger, keys, accounts: the tables whose rows are truth."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "20261123_initial"
down_revision = None
branch_labels = None
depends_on = None

# Compared byte by byte on PostgreSQL, as SQLite does anyway.
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "ledger_erasures",
        sa.Column("event_id", sa.LargeBinary(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("erased_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("event_id"),
    )
    op.create_index("ledger_erasures_number", "ledger_erasures", ["number"], unique=False)
    op.create_table(
        "ledger_events",
        sa.Column("stream_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("event_id", sa.LargeBinary(), nullable=False),
        sa.Column("subject", TEXT, nullable=False),
        sa.Column("lamport", sa.BigInteger(), nullable=False),
        sa.Column("header", sa.LargeBinary(), nullable=False),
        sa.Column("salt", sa.LargeBinary(), nullable=True),
        sa.Column("body", sa.LargeBinary(), nullable=True),
        sa.Column("body_digest", sa.LargeBinary(), nullable=True),
        sa.Column("chain", sa.LargeBinary(), nullable=False),
        sa.Column("received_us", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("body IS NOT NULL OR body_digest IS NOT NULL", name="ledger_events_body_or_digest"),
        sa.PrimaryKeyConstraint("stream_id", "seq"),
    )
    op.create_index("ledger_events_event_id", "ledger_events", ["event_id"], unique=False)
    op.create_index("ledger_events_subject", "ledger_events", ["subject", "lamport"], unique=False)
    op.create_table(
        "ledger_held",
        sa.Column("node", TEXT, nullable=False),
        sa.Column("epoch", TEXT, nullable=False),
        sa.Column("scope", TEXT, nullable=False),
        sa.Column("first", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("last", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("segment", sa.LargeBinary(), nullable=False),
        sa.Column("sender", TEXT, nullable=False),
        sa.Column("received_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("node", "epoch", "scope", "first", "last"),
    )
    op.create_table(
        "ledger_incidents",
        sa.Column("code", TEXT, nullable=False),
        sa.Column("node", TEXT, nullable=False),
        sa.Column("epoch", TEXT, nullable=False),
        sa.Column("scope", TEXT, nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("sender", TEXT, nullable=False),
        sa.Column("evidence", sa.LargeBinary(), nullable=True),
        sa.Column("times", sa.Integer(), nullable=False),
        sa.Column("first_us", sa.BigInteger(), nullable=False),
        sa.Column("last_us", sa.BigInteger(), nullable=False),
        sa.Column("resolved_us", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("code", "node", "epoch", "scope", "seq"),
    )
    op.create_table(
        "ledger_keys",
        sa.Column("node", TEXT, nullable=False),
        sa.Column("public_key", sa.LargeBinary(), nullable=False),
        sa.Column("introduced_by", TEXT, nullable=False),
        sa.Column("learned_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("node"),
    )
    op.create_table(
        "ledger_once",
        sa.Column("scope", TEXT, nullable=False),
        sa.Column("key", TEXT, nullable=False),
        sa.Column("stream_id", sa.Integer(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("scope", "key"),
    )
    op.create_table(
        "ledger_pending",
        sa.Column("subject", TEXT, nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("marked_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("subject"),
    )
    op.create_index("ledger_pending_marked", "ledger_pending", ["marked_us"], unique=False)
    op.create_table(
        "ledger_quarantine",
        sa.Column("subject", TEXT, nullable=False),
        sa.Column("category", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("since_us", sa.BigInteger(), nullable=False),
        sa.Column("last_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("subject"),
    )
    op.create_table(
        "ledger_signatures",
        sa.Column("stream_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("signature", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("stream_id", "seq"),
    )
    op.create_table(
        "ledger_streams",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("node", TEXT, nullable=False),
        sa.Column("epoch", TEXT, nullable=False),
        sa.Column("scope", TEXT, nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("chain", sa.LargeBinary(), nullable=False),
        sa.Column("lamport", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("node", "epoch", "scope", name="ledger_streams_name"),
    )
    op.create_index("ledger_streams_scope", "ledger_streams", ["scope"], unique=False)
    op.create_table(
        "sync_acknowledged",
        sa.Column("peer", TEXT, nullable=False),
        sa.Column("stream_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("chain", sa.LargeBinary(), nullable=False),
        sa.Column("counter", sa.BigInteger(), nullable=False),
        sa.Column("stated_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("peer", "stream_id"),
    )
    op.create_table(
        "sync_contacts",
        sa.Column("peer", TEXT, nullable=False),
        sa.Column("last_contact_us", sa.BigInteger(), nullable=True),
        sa.Column("last_verified_us", sa.BigInteger(), nullable=True),
        sa.Column("last_error_code", sa.Text(), nullable=True),
        sa.Column("last_error_data", sa.Text(), nullable=True),
        sa.Column("last_error_us", sa.BigInteger(), nullable=True),
        sa.Column("unsent_count", sa.BigInteger(), nullable=True),
        sa.Column("oldest_unsent_us", sa.BigInteger(), nullable=True),
        sa.Column("offset_s", sa.Float(), nullable=True),
        sa.Column("version", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("peer"),
    )
    op.create_table(
        "sync_enrolment_codes",
        sa.Column("code_id", sa.LargeBinary(), nullable=False),
        sa.Column("code_key", sa.LargeBinary(), nullable=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("read_scopes", sa.Text(), nullable=False),
        sa.Column("write_scopes", sa.Text(), nullable=False),
        sa.Column("successor_of", TEXT, nullable=True),
        sa.Column("issued_us", sa.BigInteger(), nullable=False),
        sa.Column("expires_us", sa.BigInteger(), nullable=False),
        sa.Column("used_us", sa.BigInteger(), nullable=True),
        sa.Column("used_by", TEXT, nullable=True),
        sa.PrimaryKeyConstraint("code_id"),
    )
    op.create_table(
        "sync_peers",
        sa.Column("node", TEXT, nullable=False),
        sa.Column("public_key", sa.LargeBinary(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("read_scopes", sa.Text(), nullable=False),
        sa.Column("write_scopes", sa.Text(), nullable=False),
        sa.Column("introduces", sa.Boolean(), nullable=False),
        sa.Column("revoked_after", sa.Text(), nullable=True),
        sa.Column("revoked_number", sa.BigInteger(), nullable=True),
        sa.Column("successor_of", TEXT, nullable=True),
        sa.Column("epoch", TEXT, nullable=True),
        sa.Column("counter_sent", sa.BigInteger(), nullable=False),
        sa.Column("counter_seen", sa.BigInteger(), nullable=False),
        sa.Column("batch_bytes", sa.BigInteger(), nullable=True),
        sa.Column("added_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("node"),
    )
    op.create_table(
        "sync_receipts",
        sa.Column("peer", TEXT, nullable=False),
        sa.Column("peer_epoch", TEXT, nullable=False),
        sa.Column("receipt", sa.LargeBinary(), nullable=False),
        sa.Column("signature", sa.LargeBinary(), nullable=False),
        sa.Column("stored_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("peer", "peer_epoch"),
    )
    op.create_table(
        "accounts",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("username", sa.String(length=60), nullable=False),
        sa.Column("name", sa.String(length=60), nullable=False),
        sa.Column("role", sa.String(length=20), nullable=False),
        sa.Column("station", sa.String(length=8), nullable=True),
        sa.Column("unit", sa.String(length=40), nullable=True),
        sa.Column("deputy", sa.String(length=40), nullable=True),
        sa.Column("password_hash", sa.Text(), nullable=False),
        sa.Column("session_stamp", sa.String(length=32), nullable=False),
        sa.Column("failed_logins", sa.Integer(), server_default="0", nullable=False),
        sa.Column("locked_until", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("disabled_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("username"),
    )
    op.create_table(
        "job_runs",
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=True),
        sa.Column("finished_at", sa.BigInteger(), nullable=True),
        sa.Column("outcome", sa.String(length=60), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "node_facts",
        sa.Column("key", sa.String(length=40), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("key"),
    )
