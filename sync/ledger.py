"""The ledger: append-only streams in the node's own database.

Every method takes an open connection; the caller owns the transaction, so a fact and what shows it commit together.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from hashlib import sha256

from sqlalchemy import BigInteger, Connection, bindparam, select, text
from sqlalchemy.dialects.postgresql import ARRAY

from sync import bulk, pending, positions, stored, streams
from sync.appending import Appender
from sync.events import Event, EventDraft, Scope, Subject
from sync.identity import Identity, Vault
from sync.pending import Quarantined
from sync.positions import Heads
from sync.stored import Sealer
from sync.tables import ledger_events

_LOCK = text(
    "SELECT pg_advisory_xact_lock(key) FROM (SELECT unnest(:keys) AS key ORDER BY 1 OFFSET 0) AS ordered"
).bindparams(bindparam("keys", type_=ARRAY(BigInteger)))


class Ledger:
    """A node's streams, pending subjects and quarantine. Holds no state of its own; threads may share it."""

    def __init__(self, identity: Identity, now: Callable[[], datetime], vault: Vault | None = None) -> None:
        self.identity = identity
        self._now = now
        self._sealer = Sealer(vault)
        self._appender = Appender(identity, self._sealer)

    # --- own facts -------------------------------------------------------------------------------------------

    def append(self, conn: Connection, scope: Scope, drafts: Sequence[EventDraft]) -> list[Event]:
        """Append facts to this node's stream in `scope`; they are not marked pending, the caller folds at once.

        Raises `AlreadyRecorded` when a draft's `once` key was used in the scope; then none of them is stored.
        """
        return self._appender.append(conn, scope, drafts, self._now())

    # --- reading ---------------------------------------------------------------------------------------------

    def lock_subjects(self, conn: Connection, subjects: Sequence[Subject]) -> None:
        """Nobody else folds or decides on these until the transaction ends; keep to some hundreds at once.

        PostgreSQL only: SQLite has one writer anyway.
        """
        if subjects and bulk.is_postgresql(conn):
            conn.execute(_LOCK, {"keys": sorted({_lock_key(subject) for subject in subjects})})

    def read_subjects(self, conn: Connection, subjects: Sequence[Subject]) -> dict[Subject, list[Event]]:
        """Events of each subject that has any, in the order (lamport, origin, seq), bodies opened."""
        return stored.read_subjects(conn, self._sealer, subjects)

    def subjects(self, conn: Connection, prefix: str, after: str | None, limit: int) -> list[Subject]:
        """Distinct subjects that begin with `prefix`, in order, beyond `after`: for rebuilding page by page."""
        subject = ledger_events.c.subject
        query = select(subject).where(subject >= prefix, subject < prefix + "\x7f").distinct()
        if after is not None:
            query = query.where(subject > after)
        return [Subject(name) for name in conn.execute(query.order_by(subject).limit(limit)).scalars()]

    def heads(self, conn: Connection, scopes: Sequence[Scope]) -> Heads:
        """How far each stream within the scopes is held."""
        return streams.heads(conn, scopes)

    @staticmethod
    def digest(heads: Heads) -> bytes:
        """32 bytes that equal the peer's exactly when both hold the same."""
        return positions.digest(heads)

    # --- waiting and quarantined subjects ----------------------------------------------------------------------

    def mark_pending(self, conn: Connection, subjects: Sequence[Subject]) -> None:
        """These subjects are to be folded by the sweep."""
        pending.mark(conn, subjects, self._now())

    def take_pending(self, conn: Connection, limit: int) -> list[Subject]:
        """Subjects to fold in this transaction; other sweeps skip them meanwhile."""
        return pending.take(conn, limit)

    def clear_pending(self, conn: Connection, subjects: Sequence[Subject]) -> None:
        """These subjects were folded in this transaction; they also leave quarantine."""
        pending.clear(conn, subjects)
        pending.settled(conn, subjects)

    def pending_count(self, conn: Connection) -> int:
        return pending.count(conn)

    def quarantine(self, conn: Connection, subject: Subject, category: str, reason: str) -> None:
        """Set a subject aside whose fold failed; others go on, and new events for it try again."""
        pending.quarantine(conn, subject, category, reason, self._now())

    def release(self, conn: Connection, subject: Subject) -> None:
        """Let a quarantined subject be folded again."""
        pending.release(conn, subject, self._now())

    def quarantined(self, conn: Connection) -> list[Quarantined]:
        """Subjects set aside, oldest first."""
        return pending.quarantined(conn)


def _lock_key(subject: str) -> int:
    return int.from_bytes(sha256(b"subject\0" + subject.encode()).digest()[:8], "big", signed=True)
