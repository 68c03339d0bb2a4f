"""The asking half of snapshots: part after part, each verified and stored in a transaction of its own.

What was taken in is in the ledger, and the ledger says what is lacking: whatever interrupts this, the next exchange
goes on with the next part. Nothing is believed: every part is traced like any bundle, and where it leads must be what
the holder has signed.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any, Final

from sqlalchemy import Connection, select, update

from sync import bulk, bundle, wire
from sync.accepting import Accepted
from sync.asking import Asker, ExchangeReport
from sync.errors import Malformed, PeerBusy, SnapshotDiffers, SyncError
from sync.events import Stream, from_us, to_us
from sync.peers import Peer
from sync.positions import Heads
from sync.replica import Replica
from sync.snapshots import end, place
from sync.tables import snapshot_loads as t
from sync.wire import SnapshotManifest, SnapshotPart

_REFUSED_FOR_US: Final = 24 * 3600 * 10**6


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """How far a snapshot is taken: `done` of `parts`. `reason`: the code of why one was needed."""

    reason: str
    parts: int
    done: int
    begun_at: datetime
    ended_at: datetime | None
    refused: str


def find(conn: Connection, peer: str) -> Load | None:
    """The snapshot that is being taken from this peer, or was last."""
    row = conn.execute(select(t).where(t.c.peer == peer)).one_or_none()
    if row is None:
        return None
    return Load(
        reason=row.reason, parts=row.parts, done=row.done, begun_at=from_us(row.begun_us),
        ended_at=None if row.ended_us is None else from_us(row.ended_us), refused=row.refused or "",
    )  # fmt: skip


def under_way(conn: Connection, peer: str) -> Load | None:
    """The snapshot of which parts are lacking that the next exchange could bring."""
    load = find(conn, peer)
    return load if load is not None and load.ended_at is None else None


def settle(conn: Connection, peer: str, now: datetime) -> None:
    """Both hold the same: nothing of a snapshot is lacking any more, whichever way it came."""
    ended = {"ended_us": to_us(now), "done": t.c.parts}
    conn.execute(update(t).where(t.c.peer == peer, t.c.ended_us.is_(None)).values(ended))


def count_again(conn: Connection, peer: str, ours: Heads, now: datetime) -> None:
    """Something of it may have come another way: on a stick, above all."""
    row = conn.execute(select(t).where(t.c.peer == peer, t.c.ended_us.is_(None))).one_or_none()
    if row is None:
        return
    parts = wire.decode(row.manifest, SnapshotManifest).parts
    here = row.parts - len(parts) + _taken(parts, ours)
    _note(conn, peer, here)
    if here == row.parts:
        settle(conn, peer, now)


class Loading:
    """The snapshot of one exchange. `stopped` tells which streams are left alone in it, `outcome` hears what became of
    each part."""

    def __init__(
        self,
        replica: Replica,
        peer: Peer,
        asker: Asker,
        report: ExchangeReport,
        stopped: Callable[[Stream], bool],
        outcome: Callable[[Accepted], object],
        monotonic: Callable[[], float],
    ) -> None:
        self._replica = replica
        self._peer = peer
        self._asker = asker
        self._report = report
        self._stopped = stopped
        self._outcome = outcome
        self._monotonic = monotonic
        self._began: float | None = None
        self._manifest: SnapshotManifest | None = None
        self._resumed = self._asked_anew = False
        self._before = 0  # parts of manifests that this one goes on from
        self.wanted = True  # whether another snapshot may be offered in this exchange

    @property
    def has_had_its_time(self) -> bool:
        """Whether what has come is to be folded and shown before the next parts."""
        if self._began is None or self._monotonic() - self._began <= self._replica.limits.snapshot_s:
            return False
        self._report.loading = True
        return True

    @property
    def streams(self) -> frozenset[Stream]:
        """Streams that come in parts just now."""
        return frozenset() if self._manifest is None else frozenset(place(part).stream for part in self._manifest.parts)

    def resume(self) -> None:
        """Go on with the snapshot of an earlier exchange; one that was refused is not offered again so soon."""
        if self._resumed:
            return
        self._resumed = True
        with self._replica.engine.begin() as conn:
            row = conn.execute(select(t).where(t.c.peer == self._peer.node)).one_or_none()
        if row is None:
            return
        if row.ended_us is None:
            self._go_on(row)
        elif row.refused is not None:
            self.wanted = abs(to_us(self._replica.now()) - row.ended_us) > _REFUSED_FOR_US

    def _go_on(self, row: Any) -> None:
        try:
            self._open(row.manifest, row.signature)
        except SyncError as error:  # the disk has changed it; the exchange must not stop for that
            self._give_up(error)
            return
        assert self._manifest is not None
        self._before = row.parts - len(self._manifest.parts)

    def begin(self, reason: str) -> bool:
        """Ask for a snapshot; whether it holds anything that is lacking here."""
        with self._replica.engine.begin() as conn:
            ours = self._replica.shared_heads(conn, self._peer)
        answer = self._asker.plainly("snapshot", wire.Snapshot(heads=wire.dump_heads(ours)), wire.SnapshotAnswer)
        if answer.wait_s:
            raise PeerBusy(wait_s=answer.wait_s)
        try:
            self._open(answer.manifest, answer.signature)
        except SyncError as error:
            with self._replica.engine.begin() as conn:
                _begin(conn, self._peer.node, reason, answer, self._before, 0, self._replica.now())
            self._give_up(error)
            raise
        assert self._manifest is not None
        if not self._lacking():
            self._manifest, self.wanted = None, False
            return False
        with self._replica.engine.begin() as conn:
            _begin(conn, self._peer.node, reason, answer, self._before, len(self._manifest.parts), self._replica.now())
        return True

    def take_part(self) -> bool:
        """Take in the next part that is lacking; False when there is none (any more)."""
        if self._manifest is None:
            return False
        self._began = self._monotonic() if self._began is None else self._began
        lacking = self._lacking()
        if not lacking:
            self._end()
            return False
        data = self._asker.plainly("part", wire.PartGet(digest=lacking[0].digest), wire.PartAnswer).data
        if data is None:
            return self._ask_anew()
        try:
            outcome = self._store(lacking[0], data)
        except SyncError as error:
            self._give_up(error)
            raise
        self._outcome(outcome)
        return True

    # --- the manifest --------------------------------------------------------------------------------------------

    def _open(self, manifest: bytes, signature: bytes) -> None:
        opened = wire.open_snapshot(manifest, signature, self._peer.public_key)
        if opened.holder != self._peer.node:
            raise SnapshotDiffers(holder=opened.holder)
        ends = wire.load_heads(opened.heads)
        for part in opened.parts:
            if place(part).stream not in ends:
                raise Malformed(what="snapshot")
        self._manifest = opened

    def _lacking(self) -> list[SnapshotPart]:
        """Parts that lead on from where we are, of streams that are not left alone, in the order of the manifest."""
        assert self._manifest is not None
        with self._replica.engine.begin() as conn:
            ours = self._replica.shared_heads(conn, self._peer)
        return [
            part
            for part in self._manifest.parts
            if part.first <= _reached(ours, place(part).stream) + 1 <= part.last
            and not self._stopped(place(part).stream)
        ]

    def _ask_anew(self) -> bool:
        """A part is gone: somebody was erased, or more was dropped. The hub makes it anew; once in an exchange."""
        with self._replica.engine.begin() as conn:
            load = find(conn, self._peer.node)
        if self._asked_anew or load is None:
            self._end()
            self.wanted = False
            return False
        self._asked_anew, self._before = True, load.done
        return self.begin(load.reason)

    # --- a part --------------------------------------------------------------------------------------------------

    def _store(self, part: SnapshotPart, data: bytes) -> Accepted:
        """Verify and store; raises `SnapshotDiffers`, then nothing of the part is stored."""
        replica, peer, at = self._replica, self._peer, place(part)
        if sha256(data).digest() != part.digest:
            raise SnapshotDiffers(stream=str(at.stream), seq=at.first)
        unpacked = bundle.unpack(data, peer.public_key, replica.limits)
        with replica.engine.begin() as conn:
            outcome = replica.ledger.accept(conn, unpacked, peer)
            if not outcome.refusals and not outcome.contested:
                self._compare(conn, part)
            _note(conn, peer.node, self._done(conn))
        self._report.parts += 1
        return outcome

    def _compare(self, conn: Connection, part: SnapshotPart) -> None:
        """What was derived here against what was signed there: of the part, and of its stream's head if this is it."""
        assert self._manifest is not None
        at = place(part)
        signed = [end(part)]
        head = wire.load_heads(self._manifest.heads)[at.stream]
        if head.seq <= at.last:
            signed.append(head)
        derived = self._replica.ledger.chains_at(conn, at.stream, [one.seq for one in signed])
        for one, chain in zip(signed, derived, strict=True):
            if chain != one.chain:
                raise SnapshotDiffers(stream=str(at.stream), seq=one.seq)

    def _done(self, conn: Connection) -> int:
        assert self._manifest is not None
        ours = self._replica.shared_heads(conn, self._peer)
        return self._before + _taken(self._manifest.parts, ours)

    # --- the end -------------------------------------------------------------------------------------------------

    def _end(self) -> None:
        now = self._replica.now()
        with self._replica.engine.begin() as conn:
            conn.execute(update(t).where(t.c.peer == self._peer.node).values(ended_us=to_us(now)))
        self._before += len(self._manifest.parts) if self._manifest else 0
        self._manifest = None

    def _give_up(self, error: SyncError) -> None:
        """This snapshot is not what it should be: from the next exchange on, what is lacking is pulled."""
        self._manifest, self.wanted = None, False
        ended = {"ended_us": to_us(self._replica.now()), "refused": error.code}
        with self._replica.engine.begin() as conn:
            conn.execute(update(t).where(t.c.peer == self._peer.node).values(ended))


def _begin(
    conn: Connection, peer: str, reason: str, answer: wire.SnapshotAnswer, before: int, parts: int, now: datetime
) -> None:
    fresh: dict[str, Any] = {
        "peer": peer, "reason": reason[:64], "manifest": answer.manifest, "signature": answer.signature,
        "parts": before + parts, "done": before, "begun_us": to_us(now), "ended_us": None, "refused": None,
    }  # fmt: skip
    renewed = {name: value for name, value in fresh.items() if name != "peer"}
    insert = bulk.upsert_into(conn, t).values(fresh)
    conn.execute(insert.on_conflict_do_update(index_elements=[t.c.peer], set_=renewed))


def _note(conn: Connection, peer: str, done: int) -> None:
    """Never back within one snapshot, whatever arrives beside it."""
    conn.execute(update(t).where(t.c.peer == peer, t.c.done < done).values(done=done))


def _taken(parts: Iterable[SnapshotPart], ours: Heads) -> int:
    """How many of the parts are in the ledger."""
    return sum(part.last <= _reached(ours, place(part).stream) for part in parts)


def _reached(heads: Heads, stream: Stream) -> int:
    head = heads.get(stream)
    return head.seq if head else 0
