"""The answering half of snapshots: parts that are packed once and given to everybody who lacks them.

A part is an ordinary bundle of a stretch of one stream, cut at the same numbers for all: living events as they are,
dropped and erased ones as their leaves. So whoever takes it derives every chain from what it holds, and a snapshot is
verified, not believed. The manifest names the parts and states how far they lead; the tail is pulled as on any day.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

from sqlalchemy import BigInteger, Connection, bindparam, delete, func, select, text, update

from sync import age, bulk, retention, streams, wire
from sync.errors import BelowHorizon, FirstLoad, Malformed, StickFileDamaged, StreamError
from sync.events import Origin, Scope, Stream, contains, to_us
from sync.limits import SNAPSHOT_PARTS_MAX
from sync.packing import Budget, chain_at
from sync.peers import Peer
from sync.positions import Heads, Position, Range, behind, merge
from sync.replica import Replica
from sync.streams import StreamRow
from sync.tables import snapshot_parts as t
from sync.wire import Envelope, SnapshotManifest, SnapshotPart

Answer = Callable[[Connection, Peer, Envelope], bytes]

_USED_EVERY_US: Final = 3600 * 10**6  # a note of use is a write: once an hour tells what is stale
_WAIT_S: Final = 5  # somebody else is packing; what a part takes is a fraction of it
_LISTED: Final = (t.c.digest, t.c.first, t.c.last, t.c.chain, t.c.bytes)
_TRY_LOCK: Final = text("SELECT pg_try_advisory_xact_lock(:key)").bindparams(bindparam("key", type_=BigInteger))


@dataclass(frozen=True, slots=True)
class Reseed:
    """Why a snapshot serves this asker better, and the horizons it stands below. `worthwhile`: there are parts to give.

    Without parts the ordinary way brings the same, dropped events as leaves.
    """

    why: StreamError
    horizons: Heads
    worthwhile: bool


class Snapshots:
    """Packs, keeps and gives parts. Holds no state of its own: what is ready lies in the database."""

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self._limits = replica.limits

    @property
    def verbs(self) -> dict[str, Answer]:
        return {"snapshot": self._snapshot, "part": self._part}

    # --- when ----------------------------------------------------------------------------------------------------

    def reseed(self, conn: Connection, lacking: Sequence[Range]) -> Reseed | None:
        """Whether who lacks this is to take a snapshot first; None when the ordinary way is right."""
        if not lacking:
            return None
        known = retention.horizons(conn)
        below = [part for part in lacking if part.stream in known and part.first <= known[part.stream].seq]
        away = [part for part in below if part.first > 1]
        events = sum(part.last - part.first + 1 for part in lacking)
        if not away and events < self._limits.snapshot_events_min:
            return None
        worst = max(away or lacking, key=lambda part: part.last - part.first)
        why: type[StreamError] = BelowHorizon if away else FirstLoad
        stated: dict[str, Any] = {"stream": str(worst.stream), "seq": worst.first - 1}
        if away:
            stated["horizon"] = known[worst.stream].seq
        parts = any(True for part in lacking for _ in self._blocks(part))
        return Reseed(why(**stated), {part.stream: known[part.stream] for part in below}, parts)

    # --- what ----------------------------------------------------------------------------------------------------

    def may_pack(self, conn: Connection) -> bool:
        """One packs at a time, until its transaction ends: of a crowd that asks the others get what is ready."""
        if not bulk.is_postgresql(conn):
            return True
        name = sha256(b"snapshot\0" + self._replica.identity.node.encode()).digest()
        return bool(conn.execute(_TRY_LOCK, {"key": int.from_bytes(name[:8], "big", signed=True)}).scalar_one())

    def manifest(self, conn: Connection, peer: Peer, theirs: Heads, *, packing: bool) -> SnapshotManifest:
        """What the peer may read above its heads: the parts that are ready and, if we may pack, more as far as one
        request may last."""
        replica = self._replica
        parts: list[SnapshotPart] = []
        left = self._limits.snapshot_blocks_at_once if packing else 0
        for part in self._in_order(peer, behind(theirs, replica.readable_heads(conn, peer))):
            found, left = self._parts_of(conn, part, left)
            parts += found
        parts = parts[:SNAPSHOT_PARTS_MAX]
        self._keep_bound(conn, parts)
        known, ends = retention.horizons(conn), merge(*({place(one).stream: end(one)} for one in parts))
        return SnapshotManifest(
            holder=replica.identity.node, holder_epoch=replica.epoch(conn), at_us=to_us(replica.now()),
            heads=wire.dump_heads(ends), parts=parts,
            horizons=wire.dump_heads({stream: known[stream] for stream in ends if stream in known}),
        )  # fmt: skip

    def read(self, conn: Connection, digest: bytes) -> tuple[Stream, bytes] | None:
        """A part's stream and bytes; None when it is not here, or not sound any more."""
        row = conn.execute(select(t).where(t.c.digest == digest)).one_or_none()
        if row is None:
            return None
        stream = streams.by_ids(conn, [row.stream_id])[row.stream_id]
        with suppress(StickFileDamaged):
            data = age.unseal(row.sealed, self._replica.identity)
            if sha256(data).digest() == digest:
                self._note_use(conn, row)
                return stream, data
        conn.execute(delete(t).where(t.c.digest == digest))
        return None

    # --- answers -------------------------------------------------------------------------------------------------

    def _snapshot(self, conn: Connection, peer: Peer, envelope: Envelope) -> bytes:
        asked = wire.decode(envelope.payload, wire.Snapshot)
        packing = self.may_pack(conn)
        manifest = self.manifest(conn, peer, wire.load_heads(asked.heads), packing=packing)
        wait_s = 0 if packing or manifest.parts else _WAIT_S
        return wire.encode(wire.sign_snapshot(self._replica.identity, manifest, wait_s))

    def _part(self, conn: Connection, peer: Peer, envelope: Envelope) -> bytes:
        asked = wire.decode(envelope.payload, wire.PartGet)
        found = self.read(conn, asked.digest)
        given = found is not None and peer.may_read(found[0])
        return wire.encode(wire.PartAnswer(data=found[1] if found and given else None))

    # --- packing -------------------------------------------------------------------------------------------------

    def _in_order(self, peer: Peer, lacking: Sequence[Range]) -> list[Range]:
        """As the scopes were granted: what everybody needs to work comes before one's own history."""

        def rank(part: Range) -> tuple[int, str]:
            scopes = [n for n, scope in enumerate(peer.read_scopes) if contains(scope, part.stream.scope)]
            return min(scopes, default=len(peer.read_scopes)), str(part.stream)

        return sorted(lacking, key=rank)

    def _blocks(self, part: Range) -> Iterator[Range]:
        """The whole blocks that hold what is lacking, each between two multiples; the last, unfinished one is tail."""
        size = self._limits.snapshot_block_events
        for number in range((part.first - 1) // size, part.last // size):
            yield Range(part.stream, number * size + 1, (number + 1) * size)

    def _parts_of(self, conn: Connection, lacking: Range, left: int) -> tuple[list[SnapshotPart], int]:
        """The parts of a stream from the first that is needed on, as far as they are or may be packed."""
        found: list[SnapshotPart] = []
        row = streams.find(conn, lacking.stream)
        for block in self._blocks(lacking) if row else ():
            assert row is not None
            ready = _ready(conn, row, block)
            if ready is None:
                if not left:
                    break
                left -= 1
                ready = self._pack(conn, row, block)
            if not ready:
                break
            found += [part for part in ready if part.last >= lacking.first]
        return found, left

    def _pack(self, conn: Connection, row: StreamRow, block: Range) -> list[SnapshotPart]:
        """The parts of one block, kept from now on; none when the stream cannot be cut there."""
        replica, first, made = self._replica, block.first, list[SnapshotPart]()
        retention.forget_parts(conn, row.id, block.first, block.last)
        budget = Budget(raw_bytes=self._limits.snapshot_part_raw_bytes, events=self._limits.snapshot_block_events)
        while first <= block.last:
            packed = replica.ledger.pack(conn, [Range(block.stream, first, block.last)], budget, "")
            if packed is None:
                return []
            (reach,) = packed.ranges
            made.append(_entry(row.stream, packed.data, first, reach.last, chain_at(conn, row, reach.last)))
            self._keep(conn, row, made[-1], packed.data)
            first = reach.last + 1
        return made

    def _keep(self, conn: Connection, row: StreamRow, part: SnapshotPart, data: bytes) -> None:
        identity = self._replica.identity
        fresh = (part.digest, row.id, part.first, part.last, part.chain, part.bytes,
                 age.seal(data, identity.public_key), to_us(self._replica.now()))  # fmt: skip
        bulk.insert_rows(conn, t, [fresh])

    # --- bounds --------------------------------------------------------------------------------------------------

    def _keep_bound(self, conn: Connection, listed: Sequence[SnapshotPart]) -> None:
        """Remove what was used longest ago, until the cache is within its bound; not what was just promised."""
        size = conn.execute(select(func.sum(t.c.bytes))).scalar() or 0
        promised = {part.digest for part in listed}
        for row in conn.execute(select(t.c.digest, t.c.bytes).order_by(t.c.used_us, t.c.first)).all():
            if size <= self._limits.snapshot_cache_bytes:
                return
            if bytes(row.digest) not in promised:
                conn.execute(delete(t).where(t.c.digest == row.digest))
                size -= row.bytes

    def _note_use(self, conn: Connection, row: Any) -> None:
        now_us = to_us(self._replica.now())
        if abs(now_us - row.used_us) > _USED_EVERY_US:
            conn.execute(update(t).where(t.c.digest == row.digest).values(used_us=now_us))


def place(part: SnapshotPart) -> Range:
    """The numbers in a part. Raises `Malformed` for a name that is no stream."""
    try:
        return Range(Stream(Origin(part.node, part.epoch), Scope(part.scope)), part.first, part.last)
    except ValueError:
        raise Malformed(what="part") from None


def end(part: SnapshotPart) -> Position:
    """How far a part leads."""
    return Position(part.last, part.chain)


def _ready(conn: Connection, row: StreamRow, block: Range) -> list[SnapshotPart] | None:
    """The parts that make up the whole block, None when one is lacking."""
    query = select(*_LISTED).where(t.c.stream_id == row.id, t.c.first >= block.first, t.c.last <= block.last)
    found: list[SnapshotPart] = []
    expected = block.first
    for one in conn.execute(query.order_by(t.c.first)):
        if one.first != expected:
            return None
        origin = row.stream.origin
        found.append(SnapshotPart(
            digest=bytes(one.digest), bytes=one.bytes, node=origin.node, epoch=origin.epoch, scope=row.stream.scope,
            first=one.first, last=one.last, chain=bytes(one.chain),
        ))  # fmt: skip
        expected = one.last + 1
    return found if expected == block.last + 1 else None


def _entry(stream: Stream, data: bytes, first: int, last: int, chain: bytes) -> SnapshotPart:
    return SnapshotPart(
        digest=sha256(data).digest(), bytes=len(data), node=stream.origin.node, epoch=stream.origin.epoch,
        scope=stream.scope, first=first, last=last, chain=chain,
    )  # fmt: skip
