"""The ledger: append-only streams in the node's own database.

Every method takes an open connection; the caller owns the transaction, so a fact and what shows it commit together.
"""

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from hashlib import sha256

from sqlalchemy import BigInteger, Connection, bindparam, select, text
from sqlalchemy.dialects.postgresql import ARRAY

from sync import acknowledged, bulk, checking, erasing, incidents, pending, positions, retention, stored, streams
from sync.accepting import Accepted, Accepter
from sync.acknowledged import Unsent
from sync.appending import Appender
from sync.bundle import Bundle, Segment
from sync.checking import Problem
from sync.events import Event, EventDraft, Scope, Stream, Subject
from sync.identity import Identity, Vault
from sync.incidents import Incident
from sync.limits import Limits
from sync.packing import Budget, Packed, Packer, chain_at
from sync.peers import Peer
from sync.pending import Quarantined
from sync.positions import Heads, Range
from sync.stored import Sealer
from sync.tables import ledger_events

_LOCK = text(
    "SELECT pg_advisory_xact_lock(key) FROM (SELECT unnest(:keys) AS key ORDER BY 1 OFFSET 0) AS ordered"
).bindparams(bindparam("keys", type_=ARRAY(BigInteger)))


class Ledger:
    """A node's streams, pending subjects and quarantine. Holds no state of its own; threads may share it."""

    def __init__(
        self, identity: Identity, now: Callable[[], datetime], vault: Vault | None = None, limits: Limits | None = None
    ) -> None:
        self.identity = identity
        self._now = now
        self._sealer = Sealer(vault)
        self._appender = Appender(identity, self._sealer)
        self._accepter = Accepter(identity, self._sealer, limits or Limits())
        self._packer = Packer(identity, self._sealer)

    # --- own facts -------------------------------------------------------------------------------------------

    def append(self, conn: Connection, scope: Scope, drafts: Sequence[EventDraft]) -> list[Event]:
        """Append facts to this node's stream in `scope`; they are not marked pending, the caller folds at once.

        Raises `AlreadyRecorded` when a draft's `once` key was used in the scope; then none of them is stored.
        """
        return self._appender.append(conn, scope, drafts, self._now())

    def erase(self, conn: Connection, event_ids: Sequence[str]) -> int:
        """Empty the bodies of these events wherever they stand here; the number emptied. The chains still verify."""
        return erasing.erase(conn, self._sealer, event_ids, self._now())

    def drop(self, conn: Connection, stream: Stream, seqs: Collection[int]) -> int:
        """Reduce events that count no more to what the chain covers of them; how many. The chain still verifies.

        Their subjects are read without them from now on, here and wherever the stream is passed on to.
        """
        return retention.drop(conn, self._sealer, stream, seqs, self._now())

    def horizons(self, conn: Connection) -> Heads:
        """Up to where streams were shortened here."""
        return retention.horizons(conn)

    # --- streams of others -------------------------------------------------------------------------------------

    def accept(self, conn: Connection, bundle: Bundle, peer: Peer) -> Accepted:
        """Verify and store what a peer sent, each event once; what it touches is marked pending."""
        return self._accepter.accept(conn, bundle, peer, self._now())

    def keep_piece(self, conn: Connection, segment: Segment, base: bytes) -> bytes:
        """Keep the next piece of the hub's branch of a forked stream, after chain `base`; the chain after it."""
        return self._accepter.keep_piece(conn, segment, base, self._now())

    def take_branch(self, conn: Connection, stream: Stream, common: int, peer: Peer) -> Accepted:
        """Put the kept pieces in the place of our branch above `common`. No event of either is lost."""
        return self._accepter.take_branch(conn, self._packer, stream, common, peer, self._now())

    def take_late(self, conn: Connection, segment: Segment) -> Accepted:
        """Take in a segment of a withdrawn key that a person has let count after all."""
        return self._accepter.take_late(conn, segment, self._now())

    def take_back(self, conn: Connection, segment: Segment, peer: Peer) -> int:
        """Take a branch of our own past that a peer had to refuse into the current epoch; how many events were new.

        From our hub also that of a withdrawn key, where we write. Raises `BadSignature` for any other.
        """
        return self._accepter.take_back(conn, segment, peer, self._now())

    def chains_at(self, conn: Connection, stream: Stream, seqs: Sequence[int]) -> list[bytes]:
        """The chain after each of these numbers, b"" beyond the head."""
        row = streams.find(conn, stream)
        return [chain_at(conn, row, seq) if row is not None and seq <= row.seq else b"" for seq in seqs]

    def pack(self, conn: Connection, ranges: Sequence[Range], budget: Budget, recipient: str) -> Packed | None:
        """A signed bundle with as many of the ranges as the budget holds; None when there is nothing to send."""
        return self._packer.pack(conn, ranges, budget, recipient, self._now())

    def pack_segment(self, conn: Connection, segment: Segment, recipient: str) -> Packed:
        """A signed bundle with a segment that waits here for what precedes it."""
        return self._packer.pack_segment(conn, segment, recipient, self._now())

    def unsent(self, conn: Connection, peer: Peer) -> Unsent:
        """Own events above what the peer has stated to hold."""
        return acknowledged.unsent(conn, self.identity, peer)

    def incidents(self, conn: Connection) -> list[Incident]:
        """Refused places in streams that nobody has dealt with yet."""
        return incidents.unresolved(conn)

    def own_heads(self, conn: Connection) -> Heads:
        """Heads of this node's own streams, of every epoch and scope."""
        return streams.heads_of(conn, self.identity.node)

    def contradicted(self, conn: Connection, theirs: Heads) -> list[Stream]:
        """Streams whose stated head lies within ours and has another chain: they can never become equal."""
        found = []
        for stream, head in theirs.items():
            row = streams.find(conn, stream)
            if row is not None and 0 < head.seq <= row.seq and chain_at(conn, row, head.seq) != head.chain:
                found.append(stream)
        return found

    def verify(self, conn: Connection) -> list[Problem]:
        """Everything in the ledger that does not fit; empty when all chains, ids and signatures hold."""
        return list(checking.check(conn, self.identity, self._sealer))

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

    def take_these(self, conn: Connection, subjects: Sequence[Subject]) -> list[Subject]:
        """Like `take_pending`, of these subjects only."""
        return pending.take_these(conn, subjects)

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

    def quarantined(self, conn: Connection, subjects: Sequence[Subject] | None = None) -> list[Quarantined]:
        """Subjects set aside, oldest first; of some hundred subjects only, when these are given."""
        return pending.quarantined(conn, subjects)

    # --- folds that ended with their process -------------------------------------------------------------------

    def begin_folding(self, conn: Connection, subjects: Sequence[Subject]) -> int:
        """A mark that these are about to be folded; commit it before folding."""
        return pending.begin(conn, subjects, self._now())

    def end_folding(self, conn: Connection, mark: int) -> None:
        pending.end(conn, mark)

    def unfinished_foldings(self, conn: Connection, subjects: Sequence[Subject]) -> Counter[Subject]:
        """How often a process ended while it folded these subjects, which the caller has taken."""
        return pending.unfinished(conn, subjects)

    def forget_foldings(self, conn: Connection) -> None:
        """Remove marks none of whose subjects waits any more."""
        pending.forget(conn)


def _lock_key(subject: str) -> int:
    return int.from_bytes(sha256(b"subject\0" + subject.encode()).digest()[:8], "big", signed=True)
