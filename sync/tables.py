"""The library's tables, for SQLite and PostgreSQL alike. Their rows are truth: migrations here are careful ones.

Instants are whole microseconds since 1970 UTC (`…_us`): exact, and the same in both databases.
Text that is sorted or searched by prefix is compared byte by byte (collation "C"), as SQLite does anyway.
"""

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)

metadata: Final = MetaData()

_TEXT = Text().with_variant(Text(collation="C"), "postgresql")

# --- the ledger ------------------------------------------------------------------------------------------------

# This node's own epochs; the highest number is the current one. It lies here and not in a file, so that every process
# of the node reads it in the transaction that appends. The anchor file beside the database tells when this is old.
ledger_epochs = Table(
    "ledger_epochs",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("epoch", _TEXT, nullable=False),
    Column("parent", _TEXT),
    Column("reason", Text, nullable=False),
    Column("opened_us", BigInteger, nullable=False),
    UniqueConstraint("epoch", name="ledger_epochs_epoch"),
)

# One row per stream that is held here, with its head. Whoever appends or accepts locks this row first.
ledger_streams = Table(
    "ledger_streams",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("node", _TEXT, nullable=False),
    Column("epoch", _TEXT, nullable=False),
    Column("scope", _TEXT, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("chain", LargeBinary, nullable=False),
    Column("lamport", BigInteger, nullable=False),
    UniqueConstraint("node", "epoch", "scope", name="ledger_streams_name"),
    Index("ledger_streams_scope", "scope"),
)

# A body lies in one of three ways: open (salt and body), sealed (no salt: the vault holds both in body),
# erased (neither; body_digest keeps the chain verifiable). No foreign key to ledger_streams: checking it row by row
# would cost a quarter of the throughput, and only code that holds the stream's row writes here.
ledger_events = Table(
    "ledger_events",
    metadata,
    Column("stream_id", Integer, primary_key=True, autoincrement=False),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("event_id", LargeBinary, nullable=False),
    Column("subject", _TEXT, nullable=False),
    Column("lamport", BigInteger, nullable=False),
    Column("header", LargeBinary, nullable=False),
    Column("salt", LargeBinary),
    Column("body", LargeBinary),
    Column("body_digest", LargeBinary),
    Column("chain", LargeBinary, nullable=False),
    Column("received_us", BigInteger, nullable=False),
    CheckConstraint("body IS NOT NULL OR body_digest IS NOT NULL", name="ledger_events_body_or_digest"),
    Index("ledger_events_subject", "subject", "lamport"),
    Index("ledger_events_event_id", "event_id"),
)

ledger_once = Table(
    "ledger_once",
    metadata,
    Column("scope", _TEXT, primary_key=True),
    Column("key", _TEXT, primary_key=True),
    Column("stream_id", Integer, nullable=False),
    Column("seq", BigInteger, nullable=False),
)

# Subjects that received events and are not folded yet. `generation` grows when a subject is marked again.
ledger_pending = Table(
    "ledger_pending",
    metadata,
    Column("subject", _TEXT, primary_key=True),
    Column("generation", BigInteger, nullable=False),
    Column("marked_us", BigInteger, nullable=False),
    Index("ledger_pending_marked", "marked_us"),
)

ledger_quarantine = Table(
    "ledger_quarantine",
    metadata,
    Column("subject", _TEXT, primary_key=True),
    Column("category", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("since_us", BigInteger, nullable=False),
    Column("last_us", BigInteger, nullable=False),
)

# Folds that have begun, each committed before any work is done and removed with it. `subjects`: one a line. What is
# found here later belonged to a process that ended in the middle.
ledger_foldings = Table(
    "ledger_foldings",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("subjects", Text, nullable=False),
    Column("begun_us", BigInteger, nullable=False),
)

# The origin's signatures: every milestone of a stream and its newest signed head, so that any holder may pass
# the stream on. Bounded: a newer head replaces the older one.
ledger_signatures = Table(
    "ledger_signatures",
    metadata,
    Column("stream_id", Integer, primary_key=True, autoincrement=False),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("signature", LargeBinary, nullable=False),
)

# Authentic segments that arrived before what precedes them. They wait here, as sent, for the missing part.
ledger_held = Table(
    "ledger_held",
    metadata,
    Column("node", _TEXT, primary_key=True),
    Column("epoch", _TEXT, primary_key=True),
    Column("scope", _TEXT, primary_key=True),
    Column("first", BigInteger, primary_key=True, autoincrement=False),
    Column("last", BigInteger, primary_key=True, autoincrement=False),
    Column("segment", LargeBinary, nullable=False),
    Column("sender", _TEXT, nullable=False),
    Column("received_us", BigInteger, nullable=False),
)

# The hub's branch of a stream that forked, while it is fetched piece by piece; it takes the place of ours when whole.
ledger_branches = Table(
    "ledger_branches",
    metadata,
    Column("node", _TEXT, primary_key=True),
    Column("epoch", _TEXT, primary_key=True),
    Column("scope", _TEXT, primary_key=True),
    Column("first", BigInteger, primary_key=True, autoincrement=False),
    Column("segment", LargeBinary, nullable=False),
    Column("received_us", BigInteger, nullable=False),
)

# Streams that were refused, once per place: forks, foreign signatures, late work of a withdrawn key. `evidence` is
# the refused segment, zstd-compressed: both branches of a fork are kept, and a person decides. `taker` is the node that
# is to take the evidence up, in place of an origin whose key was withdrawn.
ledger_incidents = Table(
    "ledger_incidents",
    metadata,
    Column("code", _TEXT, primary_key=True),
    Column("node", _TEXT, primary_key=True),
    Column("epoch", _TEXT, primary_key=True),
    Column("scope", _TEXT, primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("sender", _TEXT, nullable=False),
    Column("evidence", LargeBinary),
    Column("times", Integer, nullable=False),
    Column("first_us", BigInteger, nullable=False),
    Column("last_us", BigInteger, nullable=False),
    Column("resolved_us", BigInteger),
    Column("taker", _TEXT),
)

# Ids of erased events. `number` grows by one per erasure: the highest is the version of the list.
ledger_erasures = Table(
    "ledger_erasures",
    metadata,
    Column("event_id", LargeBinary, primary_key=True),
    Column("number", BigInteger, nullable=False),
    Column("erased_us", BigInteger, nullable=False),
    Index("ledger_erasures_number", "number"),
)

# How far a stream was shortened here: at or below `seq` superseded events may lie as their leaves alone. `chain` is the
# chain there, so that whoever is told of the horizon can compare. Decision 0020.
ledger_horizons = Table(
    "ledger_horizons",
    metadata,
    Column("stream_id", Integer, primary_key=True, autoincrement=False),
    Column("seq", BigInteger, nullable=False),
    Column("chain", LargeBinary, nullable=False),
    Column("moved_us", BigInteger, nullable=False),
)

# Events that were dropped, in runs without gaps. `leaves` is what the chain covers of each (header and body digest), as
# `runs` packs it; `base` is the chain before the first. With them the stream's chain is still derived end to end.
ledger_runs = Table(
    "ledger_runs",
    metadata,
    Column("stream_id", Integer, primary_key=True, autoincrement=False),
    Column("first", BigInteger, primary_key=True, autoincrement=False),
    Column("last", BigInteger, nullable=False),
    Column("base", LargeBinary, nullable=False),
    Column("received_us", BigInteger, nullable=False),
    Column("leaves", LargeBinary, nullable=False),
    Index("ledger_runs_last", "stream_id", "last"),
)

# Keys of nodes whose streams pass through a third one; the hub introduces them.
ledger_keys = Table(
    "ledger_keys",
    metadata,
    Column("node", _TEXT, primary_key=True),
    Column("public_key", LargeBinary, nullable=False),
    Column("introduced_by", _TEXT, nullable=False),
    Column("learned_us", BigInteger, nullable=False),
)

# --- peers -----------------------------------------------------------------------------------------------------

# Scopes are JSON lists. `read_scopes`: what the peer may have from us; `write_scopes`: what it may write to us.
# `introduces`: we believe this peer about other nodes' keys and about our own grants (a station's hub).
sync_peers = Table(
    "sync_peers",
    metadata,
    Column("node", _TEXT, primary_key=True),
    Column("public_key", LargeBinary, nullable=False),
    Column("name", Text, nullable=False),
    Column("read_scopes", Text, nullable=False),
    Column("write_scopes", Text, nullable=False),
    Column("introduces", Boolean, nullable=False),
    Column("revoked_after", Text),
    Column("revoked_number", BigInteger),
    Column("successor_of", _TEXT),
    Column("epoch", _TEXT),
    Column("counter_sent", BigInteger, nullable=False),
    Column("counter_seen", BigInteger, nullable=False),
    Column("batch_bytes", BigInteger),
    Column("added_us", BigInteger, nullable=False),
)

# Epochs in which a peer has spoken to us. `returns`: how often it came back to this one after another; two computers
# that share one key do so again and again, a restored one at most once.
sync_epochs = Table(
    "sync_epochs",
    metadata,
    Column("peer", _TEXT, primary_key=True),
    Column("epoch", _TEXT, primary_key=True),
    Column("first_us", BigInteger, nullable=False),
    Column("last_us", BigInteger, nullable=False),
    Column("returns", Integer, nullable=False),
    Column("returned_us", BigInteger),
)

sync_contacts = Table(
    "sync_contacts",
    metadata,
    Column("peer", _TEXT, primary_key=True),
    Column("last_contact_us", BigInteger),
    Column("last_verified_us", BigInteger),
    Column("last_error_code", Text),
    Column("last_error_data", Text),
    Column("last_error_us", BigInteger),
    Column("unsent_count", BigInteger),
    Column("oldest_unsent_us", BigInteger),
    Column("offset_s", Float),
    Column("version", Text),
    Column("stick_written_us", BigInteger),
    Column("stick_read_us", BigInteger),
)

# How much of each stream a peer has stated to hold. A cache: what the peer states next decides.
sync_acknowledged = Table(
    "sync_acknowledged",
    metadata,
    Column("peer", _TEXT, primary_key=True),
    Column("stream_id", Integer, primary_key=True, autoincrement=False),
    Column("seq", BigInteger, nullable=False),
    Column("chain", LargeBinary, nullable=False),
    Column("counter", BigInteger, nullable=False),
    Column("stated_us", BigInteger, nullable=False),
)

# The newest signed statement of a peer about what it holds of our streams, per epoch of the peer.
sync_receipts = Table(
    "sync_receipts",
    metadata,
    Column("peer", _TEXT, primary_key=True),
    Column("peer_epoch", _TEXT, primary_key=True),
    Column("receipt", LargeBinary, nullable=False),
    Column("signature", LargeBinary, nullable=False),
    Column("stored_us", BigInteger, nullable=False),
)

# `code_id` and `code_key` are derived from the code, which is never stored; the key is dropped once it served.
sync_enrolment_codes = Table(
    "sync_enrolment_codes",
    metadata,
    Column("code_id", LargeBinary, primary_key=True),
    Column("code_key", LargeBinary),
    Column("name", Text, nullable=False),
    Column("read_scopes", Text, nullable=False),
    Column("write_scopes", Text, nullable=False),
    Column("successor_of", _TEXT),
    Column("issued_us", BigInteger, nullable=False),
    Column("expires_us", BigInteger, nullable=False),
    Column("used_us", BigInteger),
    Column("used_by", _TEXT),
)


# --- attached content ------------------------------------------------------------------------------------------

# Photos and scans by the SHA-256 of their content, which lies in files beside the database. `hashes` are the chunks'
# digests, one after the other; None until somebody has stated them. `state` as in `blobs.BlobState`.
blobs = Table(
    "blobs",
    metadata,
    Column("digest", LargeBinary, primary_key=True),
    Column("size", BigInteger, nullable=False),
    Column("media_type", Text, nullable=False),
    Column("state", _TEXT, nullable=False),
    Column("hashes", LargeBinary),
    Column("added_us", BigInteger, nullable=False),
    Column("completed_us", BigInteger),
    Index("blobs_state", "state"),
    Index("blobs_completed", "completed_us"),
)

# In which scopes an event refers to it: whoever may read the scope may have the content, whoever may write there may
# send it.
blob_scopes = Table(
    "blob_scopes",
    metadata,
    Column("digest", LargeBinary, primary_key=True),
    Column("scope", _TEXT, primary_key=True),
)

# Chunks that are here of content that is not complete; the rows go when it is.
blob_chunks = Table(
    "blob_chunks",
    metadata,
    Column("digest", LargeBinary, primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
)

# What a peer has stated to hold. A cache, as `sync_acknowledged` is; `chunks` counts what it has of it.
blob_holders = Table(
    "blob_holders",
    metadata,
    Column("peer", _TEXT, primary_key=True),
    Column("digest", LargeBinary, primary_key=True),
    Column("state", _TEXT, nullable=False),
    Column("chunks", Integer, nullable=False),
)

# Where the lane to a peer stands. `settled` is the digest of both sides' wishes when nothing more could be moved:
# while it stays the same, asking again is idle. `more`: the last exchange ended before everything was moved.
blob_lanes = Table(
    "blob_lanes",
    metadata,
    Column("peer", _TEXT, primary_key=True),
    Column("settled", LargeBinary),
    Column("settled_us", BigInteger),
    Column("more", Boolean, nullable=False),
    Column("error_code", Text),
    Column("error_us", BigInteger),
)


# --- snapshots -------------------------------------------------------------------------------------------------

# Parts of snapshots, ready to be sent: a cache, made anew when a part is lacking. Each is the bundle of one stream's
# events `first` to `last`, sealed to this node's own key, because citizens' words may be in it. They lie in the
# database so that all processes and machines of a hub share them, and so that a part goes in the transaction that
# erases or drops one of its events.
snapshot_parts = Table(
    "snapshot_parts",
    metadata,
    Column("digest", LargeBinary, primary_key=True),
    Column("stream_id", Integer, nullable=False),
    Column("first", BigInteger, nullable=False),
    Column("last", BigInteger, nullable=False),
    Column("chain", LargeBinary, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("used_us", BigInteger, nullable=False),
    UniqueConstraint("stream_id", "first", name="snapshot_parts_place"),
)

# The snapshot that is being taken from a peer, or was last: its signed manifest and why it was needed. `done` counts
# the parts that are in the ledger. `refused` names what was wrong with it; then streams are pulled event by event.
snapshot_loads = Table(
    "snapshot_loads",
    metadata,
    Column("peer", _TEXT, primary_key=True),
    Column("reason", _TEXT, nullable=False),
    Column("manifest", LargeBinary, nullable=False),
    Column("signature", LargeBinary, nullable=False),
    Column("parts", Integer, nullable=False),
    Column("done", Integer, nullable=False),
    Column("begun_us", BigInteger, nullable=False),
    Column("ended_us", BigInteger),
    Column("refused", _TEXT),
)
