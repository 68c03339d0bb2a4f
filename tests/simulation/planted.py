"""Bugs that others have shipped, each in a few lines. The simulation must catch every one of them."""

from collections.abc import Sequence
from datetime import datetime
from random import Random
from typing import Any, ClassVar

import msgspec
from sqlalchemy import Connection, delete, update

from sync import bulk, exchange, peers, pending, reconciling, streams, wire
from sync.accepting import Accepted, Accepter
from sync.blobs import BlobState, BlobStore
from sync.bundle import Bundle, Segment
from sync.errors import SyncError
from sync.events import Event, EventDraft, Scope, Stream
from sync.ledger import Ledger
from sync.packing import Packer
from sync.peers import Peer
from sync.positions import Position
from sync.replica import Replica
from sync.responder import Responder
from sync.tables import ledger_once, sync_peers
from sync.tracing import Traced, trace
from sync.transport import Transport
from sync.wire import Envelope
from tests.simulation.members import Parts


def changed(struct: Any, **fields: Any) -> Any:
    return msgspec.structs.replace(struct, **fields)


# --- the answering half ----------------------------------------------------------------------------------------


class AcknowledgesBeforeCommit(Responder):
    """Answers, and loses the transaction now and then: a receipt for what was never stored."""

    chance: ClassVar[Random] = Random(5)

    def _answer_peer(self, envelope: Envelope) -> bytes:
        replica, head = self._replica, envelope.head
        with replica.engine.connect() as conn, conn.begin() as transaction:
            peer = peers.admit(conn, head.sender, head.epoch, head.counter, replica.now())
            payload = self._answers[head.verb](conn, peer, envelope)
            epoch = replica.epoch(conn)
            if head.verb == "push" and self.chance.random() < 0.5:
                transaction.rollback()
        return wire.enclose(replica.identity, "answer", self._head(envelope, epoch), payload)


class SaysEqualUnseen(Responder):
    """Believes that what the station holds is what the hub holds."""

    def _hello(self, conn: Connection, peer: Peer, envelope: Envelope) -> bytes:
        answer = wire.decode(super()._hello(conn, peer, envelope), wire.HelloAnswer)
        return wire.encode(changed(answer, equal=True, heads=[], held=[]))


class IgnoresCounters(Responder):
    """Lets a request act as often as it arrives."""

    def _answer_peer(self, envelope: Envelope) -> bytes:
        with self._replica.engine.begin() as conn:
            conn.execute(update(sync_peers).values(counter_seen=0))
        return super()._answer_peer(envelope)


# --- the accepting half ----------------------------------------------------------------------------------------


class KnowsNothing(Accepter):
    """No deduplication: whatever arrives is appended behind what is there."""

    def _take(self, conn: Connection, segment: Segment, peer: Peer, outcome: Accepted, now: datetime) -> None:
        row = streams.lock(conn, segment.stream)
        signature = segment.signatures[-1][1]
        first, last = row.seq + 1, row.seq + len(segment.headers)
        moved = changed(segment, first=first, base=row.chain, signatures=[(last, signature)])
        row.lamport = 0
        self._store(conn, trace(moved), row, outcome, now)
        outcome.heads[row.stream] = Position(row.seq, row.chain)


class SkipsGaps(Accepter):
    """Takes what comes too early for what comes next."""

    def _take(self, conn: Connection, segment: Segment, peer: Peer, outcome: Accepted, now: datetime) -> None:
        row = streams.lock(conn, segment.stream)
        if segment.first > row.seq + 1:
            row.seq, row.chain = segment.first - 1, segment.base
        self._store(conn, trace(segment), row, outcome, now)
        outcome.heads[row.stream] = Position(row.seq, row.chain)


class MovesCursorBeforeStoring(Accepter):
    """The head is moved first; what was to be stored under it does not always arrive."""

    def _rows(self, *args: Any) -> list[bulk.Row]:
        rows = super()._rows(*args)
        return rows[:-1] if len(rows) > 2 else rows


class TrustsEverybody(Accepter):
    """Leaves signatures unchecked, while somebody on the way changes what passes."""

    def accept(self, conn: Connection, bundle: Bundle, peer: Peer, now: datetime) -> Accepted:
        swapped = tuple(
            changed(part, bodies=[body and body.replace(b"a", b"b") for body in part.bodies])
            for part in bundle.segments
        )
        return super().accept(conn, Bundle(bundle.header, swapped), peer, now)

    def _verify(self, traced: Traced, key: bytes, above: int) -> None:
        return


class MarksNothing(Accepter):
    """Stores, and forgets to say which subjects are to be folded."""

    def accept(self, conn: Connection, bundle: Bundle, peer: Peer, now: datetime) -> Accepted:
        before = set(pending.take(conn, 10_000))
        outcome = super().accept(conn, bundle, peer, now)
        pending.clear(conn, sorted(outcome.subjects - before))
        return outcome


class RefusesItsOwnPast(Accepter):
    """Takes every fork for somebody else's fault, as logs without epochs do: a restored author is mute for ever."""

    def _settle(self, *args: Any) -> None:
        raise args[2]


class ThrowsItsBranchAway(Accepter):
    """Yields to the hub and forgets what it recorded after it was restored."""

    def take_branch(
        self, conn: Connection, packer: Packer, stream: Stream, common: int, peer: Peer, now: datetime
    ) -> Accepted:
        row = streams.lock(conn, stream)
        reconciling._cut(conn, row, common)
        return super().take_branch(conn, packer, stream, common, peer, now)


def with_accepter(accepter: type[Accepter]) -> type[Ledger]:
    """A ledger whose accepting half has the bug."""

    class Flawed(Ledger):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            sound = self._accepter
            self._accepter = accepter(sound.identity, sound.sealer, sound.limits)

    return Flawed


# --- attached content --------------------------------------------------------------------------------------------


class BelievesItHasArrived(BlobStore):
    """What was sent counts as received: the rest of it is never sent."""

    def note_holder(self, conn: Connection, peer: str, digest: bytes, state: str, chunks: int) -> None:
        super().note_holder(conn, peer, digest, BlobState.COMPLETE.value, chunks)


class LeavesTheFile(BlobStore):
    """Erased in the database, and still on the disk."""

    def clear_erased(self, conn: Connection) -> int:
        return 0

    def _remove_stray(self, *args: Any) -> bool:
        return False


# --- the recording half ----------------------------------------------------------------------------------------


class ForgetsKeys(Ledger):
    """Lets a fact be recorded a second time: the unique index is missing."""

    def append(self, conn: Connection, scope: Scope, drafts: Sequence[EventDraft]) -> list[Event]:
        conn.execute(delete(ledger_once))
        return super().append(conn, scope, drafts)


class ClearsWhatItDidNotFold(Ledger):
    """The sweep empties the whole list instead of what it took."""

    def clear_pending(self, conn: Connection, subjects: Sequence[Any]) -> None:
        super().clear_pending(conn, pending.take(conn, 10_000))


# --- the asking half -------------------------------------------------------------------------------------------


def verified_without_looking(replica: Replica, peer: Peer, line: Transport, monotonic: Any) -> Any:
    """Reports success whatever happened."""
    try:
        return exchange.exchange(replica, peer, line, monotonic)
    except SyncError:
        return exchange.ExchangeReport(verified=True)


PLANTED: dict[str, Parts] = {
    "acknowledge before commit": Parts(responder=AcknowledgesBeforeCommit),
    "equal without comparing": Parts(responder=SaysEqualUnseen),
    "counter ignored": Parts(responder=IgnoresCounters),
    "no deduplication": Parts(ledger=with_accepter(KnowsNothing)),
    "gap skipped": Parts(ledger=with_accepter(SkipsGaps)),
    "cursor before store": Parts(ledger=with_accepter(MovesCursorBeforeStoring)),
    "signatures unchecked": Parts(ledger=with_accepter(TrustsEverybody)),
    "own past refused": Parts(ledger=with_accepter(RefusesItsOwnPast)),
    "own branch thrown away": Parts(ledger=with_accepter(ThrowsItsBranchAway)),
    "pending not marked": Parts(ledger=with_accepter(MarksNothing)),
    "unique key missing": Parts(ledger=ForgetsKeys),
    "content believed to have arrived": Parts(store=BelievesItHasArrived),
    "erased file left on the disk": Parts(store=LeavesTheFile),
    "sweep clears too much": Parts(ledger=ClearsWhatItDidNotFold),
    "verified without looking": Parts(exchange=verified_without_looking),
}
