"""The asking half of the lane of attached content: last in an exchange, within a budget, and never in its way.

It begins when both sides have verified that they hold the same events, and ends when everything is moved, when the
budget is spent or when something new was recorded here: one chunk is the longest that a record ever waits. The
receiver states which chunks it has, so it goes on where it stood, however long ago that was. Whatever goes wrong is
kept in the lane's own row and report.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from typing import Any, Final, Protocol, TypeVar

from sqlalchemy import Connection, Row, select
from sqlalchemy.exc import SQLAlchemyError

from sync import acknowledged, bulk, wire
from sync.blob_answers import offer_of
from sync.blobs import LACKING, Blob, BlobState, BlobStore
from sync.errors import BlobErased, BlobNotReferred, NoProgress, NoSpace, SyncError, TooLarge, decode_refusal
from sync.events import to_us
from sync.peers import Peer
from sync.replica import Replica
from sync.tables import blob_lanes

CAPABILITY: Final = "blobs"
# Content that neither side has, or that a full disk keeps away, is asked for this often though nothing has changed.
ASK_AGAIN: Final = timedelta(hours=1)
_STATES: Final = frozenset(state.value for state in BlobState)
# Refusals that are for good: the peer's state is known and nothing is offered again.
_FOR_GOOD: Final = {BlobErased.code: BlobState.ERASED.value, TooLarge.code: BlobState.REFUSED.value}

_TROUBLE: Final = (SyncError, OSError, SQLAlchemyError)

_M = TypeVar("_M", bound=wire._Message)


class Ask(Protocol):
    """Sends a message to the peer and gives its verified answer; raises SyncError."""

    def __call__(self, verb: str, message: wire._Message, kind: type[_M], /) -> _M: ...


@dataclass(slots=True, kw_only=True)
class LaneReport:
    """What the lane did: chunks sent and received, how much content was completed on either side.

    `more`: the budget ended first, go on soon. `waiting`: the peer has not read the event that refers to it yet.
    """

    sent: int = 0
    received: int = 0
    completed: int = 0
    more: bool = False
    waiting: bool = False
    error: Exception | None = None


def carry(
    replica: Replica, peer: Peer, stated: wire.HelloAnswer, ask: Ask, monotonic: Callable[[], float]
) -> LaneReport | None:
    """Move attached content in both directions. None when the peer knows no such lane or nothing is outstanding.

    Raises nothing that content or line can cause: the error stands in the report.
    """
    store = replica.blobs
    if store is None or CAPABILITY not in stated.versions.capabilities:
        return None
    lane = _Lane(replica, store, peer, stated, ask, monotonic)
    try:
        spoken = lane.run()
    except _TROUBLE as error:
        lane.report.error, spoken = error, True
    lane.close()  # not where anything else ended it: what was cut short is not settled
    return lane.report if spoken else None


def leave_behind(replica: Replica, hub: Peer, ask: Ask, monotonic: Callable[[], float]) -> None:
    """Hand over what lies here and the hub lacks, as a computer whose key was withdrawn: it is given nothing any more.

    The hub takes what its records refer to, so what belongs to late records goes once a person has let them count.
    Raises nothing, like `carry`: what did not go is offered again at the next exchange.
    """
    if replica.blobs is not None:
        with suppress(*_TROUBLE):
            _Lane(replica, replica.blobs, hub, None, ask, monotonic).hand_over()


def is_due(conn: Connection, peer: str) -> bool:
    """Whether the last exchange left something that the next one could move."""
    row = _row(conn, peer)
    return row is not None and bool(row.more) and row.error_code is None


class _Lane:
    """`stated`: what the peer said when both were found equal; None where it says no such thing to us any more."""

    def __init__(
        self,
        replica: Replica,
        store: BlobStore,
        peer: Peer,
        stated: wire.HelloAnswer | None,
        ask: Ask,
        monotonic: Callable[[], float],
    ) -> None:
        self.report = LaneReport()
        self._replica, self._store, self._peer, self._stated, self._ask = replica, store, peer, stated, ask
        self._monotonic = monotonic
        self._ends_at = monotonic() + replica.limits.blob_lane_s
        self._bytes_left = replica.limits.blob_lane_bytes
        self._tried: set[bytes] = set()
        self._looked = False

    def run(self) -> bool:
        """Whether there was anything to talk about."""
        asked_for = self._stated is not None and bool(self._stated.blobs_wanted)
        with self._replica.engine.begin() as conn:
            lacking, at_hand = self._wishes(conn)
            if not (lacking or at_hand or asked_for) or self._is_settled(conn):
                self._looked = _is_open(conn, self._peer.node)
                return False
        self._looked = True
        while self._round(asked_for):
            asked_for = False
        return True

    def hand_over(self) -> None:
        """Send only, and remember nothing: such an exchange is rare, and a question each time is not too much."""
        while self._round(peer_wants=False):
            pass

    def close(self) -> None:
        """Remember where the lane stands. Losing this costs one request."""
        if not self._looked:
            return
        report = self.report
        # Settled is only what moved nothing, since the peer's wishes were stated before. Room on a disk is not made
        # between two exchanges; other trouble is tried again at the next one.
        trouble = report.error is not None and not isinstance(report.error, NoSpace)
        passing = trouble or report.more or report.sent + report.received > 0
        try:
            with self._replica.engine.begin() as conn:
                self._remember(conn, None if passing else self._wishes_digest(conn))
        except SQLAlchemyError as error:
            report.error = report.error or error

    # --- what there is to do -------------------------------------------------------------------------------------

    def _wishes(self, conn: Connection) -> tuple[list[bytes], list[bytes]]:
        """Digests that we lack and the peer may have, and those at hand that the peer may lack."""
        store, peer = self._store, self._peer
        if self._stated is None:
            # Nor are we told when what was emptied there is wanted after all, because another record refers to it.
            return [], store.at_hand(conn, peer.shared_scopes, peer.node, (BlobState.COMPLETE.value,))
        return store.lacking(conn, peer.write_scopes), store.at_hand(conn, peer.shared_scopes, peer.node)

    def _wishes_digest(self, conn: Connection) -> bytes:
        assert self._stated is not None  # who only hands over has no wishes to compare
        lacking, at_hand = self._wishes(conn)
        parts = (b"".join(sorted(lacking)), b"".join(sorted(at_hand)), self._stated.blobs_wanted)
        mark = self._stated.blobs_mark.to_bytes(8, "big")
        return sha256(mark + b"".join(sha256(part).digest() for part in parts)).digest()

    def _is_settled(self, conn: Connection) -> bool:
        """Whether the last lane found nothing more to move and no wish has changed since."""
        row, now_us = _row(conn, self._peer.node), to_us(self._replica.now())
        if row is None or row.settled is None or row.settled_us is None:
            return False
        fresh = abs(now_us - row.settled_us) < ASK_AGAIN / timedelta(microseconds=1)
        return fresh and bytes(row.settled) == self._wishes_digest(conn)

    def _round(self, peer_wants: bool) -> bool:
        """Compare one page of wishes and move what it allows; whether another round could do more."""
        with self._replica.engine.begin() as conn:
            lacking, at_hand = (self._page(digests) for digests in self._wishes(conn))
            offers = [offer_of(blob) for blob in self._store.find_all(conn, at_hand) if blob.hashes]
        if not (lacking or offers or peer_wants):
            return False
        answer = self._ask("blobs", wire.Blobs(offers=offers, wants=lacking), wire.BlobsAnswer)
        self._tried.update(lacking, at_hand)
        before = self.report.sent + self.report.received
        # Only what was offered and asked for: a peer's answer opens nothing else.
        for standing in (one for one in answer.standings if one.digest in at_hand):
            self._send(standing)
        for offer in (one for one in answer.offers if one.digest in lacking):
            self._fetch(offer)
        if self.report.more:
            return False
        moved = self.report.sent + self.report.received > before
        return self._forget_held(answer.wants) or moved or bool(lacking or offers)

    def _page(self, digests: list[bytes]) -> list[bytes]:
        return [digest for digest in digests if digest not in self._tried][: wire.BLOBS_AT_ONCE]

    def _forget_held(self, wanted: list[bytes]) -> bool:
        """A peer that lost what it had says so by wanting it; whether we may be able to help."""
        fresh = [digest for digest in wanted if digest not in self._tried]
        with self._replica.engine.begin() as conn:
            held = self._store.held_by(conn, self._peer.node, fresh)
            self._store.forget_holder(conn, self._peer.node, list(held))
        return bool(held)

    # --- sending -------------------------------------------------------------------------------------------------

    def _send(self, standing: wire.BlobStanding) -> None:
        """What the peer lacks of one piece of content, as far as it lies here; its last word is kept."""
        with self._replica.engine.begin() as conn:
            blob = self._store.find(conn, standing.digest)
        latest = standing
        try:
            for latest in self._put_lacking(blob, standing) if blob else ():
                self.report.sent += latest.state in _STATES
                self.report.completed += latest.state == BlobState.COMPLETE
        finally:
            self._note(latest)

    def _put_lacking(self, blob: Blob, standing: wire.BlobStanding) -> Iterator[wire.BlobStanding]:
        """How the content stands at the peer after each chunk, until nothing more is to be sent."""
        for number in sorted(blob.chunks - wire.load_chunks(standing.chunks)):
            if standing.state not in LACKING:
                return
            with self._replica.engine.begin() as conn:
                data = None if self._stops(conn) else self._store.read_chunk(conn, blob.digest, number)
            if self.report.more:
                return
            if data is None:
                continue  # damaged on our own disk: we lack it now, too
            self._bytes_left -= len(data)
            put = wire.ChunkPut(digest=blob.digest, number=number, data=data)
            standing = self._ask("chunk-put", put, wire.ChunkPutAnswer).standing
            yield standing
            if standing.state in LACKING and number not in wire.load_chunks(standing.chunks):
                self._failed(NoProgress(digest=blob.digest.hex(), chunk=number))
                return

    def _note(self, standing: wire.BlobStanding) -> None:
        """Keep what the peer states: how far it is, or why it does not take the content."""
        state = _FOR_GOOD.get(standing.state, standing.state)
        if state in _STATES:
            chunks = len(wire.load_chunks(standing.chunks))
            with self._replica.engine.begin() as conn:
                self._store.note_holder(conn, self._peer.node, standing.digest, state, chunks)
        elif state == BlobNotReferred.code:
            self.report.waiting = True
        else:
            self._failed(decode_refusal(state, {"digest": standing.digest.hex()}))

    # --- fetching ------------------------------------------------------------------------------------------------

    def _fetch(self, offer: wire.BlobOffer) -> None:
        """What we lack of one piece of content, as far as it lies there."""
        blob = self._learned(offer)
        theirs = wire.load_chunks(offer.chunks)
        if blob is not None and len(theirs) == blob.chunk_count:
            self._note(wire.BlobStanding(digest=offer.digest, state=BlobState.COMPLETE.value, chunks=offer.chunks))
        for number in [n for n in blob.missing if n in theirs] if blob else ():
            with self._replica.engine.begin() as conn:
                if self._stops(conn):
                    return
            get = wire.ChunkGet(digest=offer.digest, number=number)
            data = self._ask("chunk-get", get, wire.ChunkGetAnswer).data
            if data is None:
                return  # offered and not given: it is gone there, or not ours to have
            self._bytes_left -= len(data)
            self.report.received += self._stored(offer.digest, number, data)

    def _learned(self, offer: wire.BlobOffer) -> Blob | None:
        try:
            with self._replica.engine.begin() as conn:
                return self._store.learn(conn, offer.digest, offer.size, offer.hashes)
        except SyncError as error:
            self._failed(error)
            return None

    def _stored(self, digest: bytes, number: int, data: bytes) -> bool:
        try:
            with self._replica.engine.begin() as conn:
                blob = self._store.put_chunk(conn, digest, number, data)
        except SyncError as error:
            self._failed(error)
            return False
        self.report.completed += blob.state is BlobState.COMPLETE
        return True

    # --- ending --------------------------------------------------------------------------------------------------

    def _stops(self, conn: Connection) -> bool:
        """Whether it is time to leave: the budget is spent, or a record waits to be sent."""
        if not self.report.more:
            spent = self._bytes_left <= 0 or self._monotonic() >= self._ends_at
            self.report.more = spent or self._has_record_to_send(conn)
        return self.report.more

    def _has_record_to_send(self, conn: Connection) -> bool:
        # What a withdrawn key signed was handed over before, and is never stated as received.
        return self._stated is not None and acknowledged.unsent(conn, self._replica.identity, self._peer).count > 0

    def _failed(self, error: SyncError) -> None:
        """One piece of content stops, the others go on."""
        self.report.error = self.report.error or error

    def _remember(self, conn: Connection, settled: bytes | None) -> None:
        now_us, error = to_us(self._replica.now()), self.report.error
        row = {
            "peer": self._peer.node, "settled": settled, "settled_us": now_us,
            "more": self.report.more or self.report.waiting, "error_code": _code(error),
            "error_us": None if error is None else now_us,
        }  # fmt: skip
        insert = bulk.upsert_into(conn, blob_lanes)
        values = {name: insert.excluded[name] for name in row if name != "peer"}
        conn.execute(insert.on_conflict_do_update(index_elements=["peer"], set_=values), row)


def _row(conn: Connection, peer: str) -> Row[Any] | None:
    return conn.execute(select(blob_lanes).where(blob_lanes.c.peer == peer)).one_or_none()


def _is_open(conn: Connection, peer: str) -> bool:
    """Whether the row says that there is more to do."""
    row = _row(conn, peer)
    return row is not None and bool(row.more)


def _code(error: Exception | None) -> str | None:
    if error is None:
        return None
    return error.code if isinstance(error, SyncError) else type(error).__name__
