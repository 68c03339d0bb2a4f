"""Fills a bundle from the ledger: ranges in, one signed piece of bytes out, within a budget."""

from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, bindparam, select

from sync import epochs, peers, runs, streams
from sync.bundle import BundleHeader, Segment, encode_segment, frame_segment, seal_bundle
from sync.events import chain_start, to_us
from sync.identity import Identity, position_statement
from sync.limits import BUNDLE_EVENTS_MAX, BUNDLE_SEGMENTS_MAX
from sync.positions import Range
from sync.stored import Sealer
from sync.streams import StreamRow
from sync.tables import ledger_events, ledger_signatures

_PAGE_EVENTS: Final = 256
# Salt, and the lengths around it: what an event costs beside header and body.
_EVENT_OVERHEAD_BYTES: Final = 24

_E: Final = ledger_events.c
_S: Final = ledger_signatures.c
_PAGE: Final = (
    select(_E.seq, _E.event_id, _E.header, _E.salt, _E.body, _E.body_digest, _E.chain)
    .where(_E.stream_id == bindparam("of_stream"), _E.seq >= bindparam("first"), _E.seq <= bindparam("last"))
    .order_by(_E.seq)
)
_CHAIN: Final = select(_E.chain).where(_E.stream_id == bindparam("of_stream"), _E.seq == bindparam("at"))
_SIGNED: Final = select(_S.seq, _S.signature).where(
    _S.stream_id == bindparam("of_stream"), _S.seq >= bindparam("first"), _S.seq <= bindparam("last")
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """How much one bundle should hold. A single event, or an indivisible piece of a foreign stream, may pass it."""

    raw_bytes: int
    events: int


@dataclass(frozen=True, slots=True)
class Packed:
    """A finished bundle and the ranges that found room in it."""

    data: bytes
    ranges: tuple[Range, ...]
    raw_bytes: int

    @property
    def events(self) -> int:
        return sum(part.last - part.first + 1 for part in self.ranges)


@dataclass(frozen=True, slots=True)
class Packer:
    """Packs streams held here, own and foreign ones."""

    identity: Identity
    sealer: Sealer
    software: str = ""

    def pack(
        self, conn: Connection, ranges: Sequence[Range], budget: Budget, recipient: str, now: datetime
    ) -> Packed | None:
        """A bundle with as many of the ranges, in their order, as the budget holds; None when there are no events.

        The same range always gives the same segment bytes.
        """
        segments: list[Segment] = []
        raw = bytearray()
        left = min(budget.events, BUNDLE_EVENTS_MAX)
        for part in ranges:
            room = Budget(raw_bytes=budget.raw_bytes - len(raw), events=left)
            if len(segments) == BUNDLE_SEGMENTS_MAX or (segments and (room.raw_bytes <= 0 or room.events <= 0)):
                break
            segment = self._segment(conn, part, room, must=not segments)
            if segment is not None:
                segments.append(segment)
                raw += frame_segment(encode_segment(segment))
                left -= len(segment.headers)
        return self._sealed(conn, segments, bytes(raw), recipient, now) if segments else None

    def pack_segment(self, conn: Connection, segment: Segment, recipient: str, now: datetime) -> Packed:
        """A bundle with a segment that lies in no stream here, as it came."""
        return self._sealed(conn, [segment], frame_segment(encode_segment(segment)), recipient, now)

    def _sealed(
        self, conn: Connection, segments: Sequence[Segment], raw: bytes, recipient: str, now: datetime
    ) -> Packed:
        header = self._header(conn, segments, len(raw), recipient, now)
        packed = tuple(Range(segment.stream, segment.first, segment.last) for segment in segments)
        return Packed(seal_bundle(self.identity, header, raw), packed, len(raw))

    def segment(self, conn: Connection, part: Range) -> Segment | None:
        """The whole range as one segment, however large; None when there is nothing of it here."""
        return self._segment(conn, part, Budget(raw_bytes=2**62, events=BUNDLE_EVENTS_MAX), must=True)

    def _header(
        self, conn: Connection, segments: Sequence[Segment], raw_bytes: int, recipient: str, now: datetime
    ) -> BundleHeader:
        foreign = sorted({segment.node for segment in segments} - {self.identity.node, recipient})
        keys = [(node, peers.known_key(conn, self.identity, node)) for node in foreign]
        epoch = epochs.current(conn, self.identity).epoch
        return BundleHeader(
            node=self.identity.node, epoch=epoch, recipient=recipient, created_us=to_us(now),
            software=self.software, segments=len(segments), raw_bytes=raw_bytes,
            events=sum(len(segment.headers) for segment in segments),
            keys=[(node, key) for node, key in keys if key is not None],
        )  # fmt: skip

    def _segment(self, conn: Connection, part: Range, room: Budget, must: bool) -> Segment | None:
        row = streams.find(conn, part.stream)
        if row is None:
            return None
        own = part.stream.origin.node == self.identity.node
        signatures = _signatures(conn, row, part)
        taken = self._take(conn, row, part, room, None if own else signatures, must)
        if not taken:
            return None
        last = taken[-1]
        if own and last.seq not in signatures:
            signatures[last.seq] = self.identity.sign(position_statement(part.stream, last.seq, last.chain))
        kept = sorted((seq, signature) for seq, signature in signatures.items() if seq <= last.seq)
        return self._columns(part, chain_at(conn, row, part.first - 1), taken, kept)

    def _take(
        self, conn: Connection, row: StreamRow, part: Range, room: Budget, cuts: Container[int] | None, must: bool
    ) -> list[Any]:
        """Rows from the front of the range, up to the last place where the stream may be cut (None: anywhere)."""
        taken: list[Any] = []
        size = cut = 0
        for event in _rows(conn, row, part):
            size += len(event.header) + len(event.body or b"") + _EVENT_OVERHEAD_BYTES
            full = size > room.raw_bytes or len(taken) >= room.events
            if full and (cut or not must):
                break
            taken.append(event)
            if cuts is None or event.seq in cuts:
                cut = len(taken)
        return taken[:cut]

    def _columns(self, part: Range, base: bytes, taken: Sequence[Any], signatures: list[tuple[int, bytes]]) -> Segment:
        contents = [self.sealer.content(event) for event in taken if event.salt is None]
        closed = iter(contents)
        salts: list[bytes] = []
        bodies: list[bytes | None] = []
        digests: list[bytes] = []
        for event in taken:
            if event.salt is not None:
                salts.append(event.salt)
                bodies.append(event.body)
                continue
            content = next(closed)
            bodies.append(content.body)
            if content.salt is None:
                digests.append(content.digest)
            else:
                salts.append(content.salt)
        return Segment(
            node=part.stream.origin.node, epoch=part.stream.origin.epoch, scope=part.stream.scope,
            first=part.first, base=base, headers=[event.header for event in taken], salts=b"".join(salts),
            bodies=bodies, digests=digests, signatures=signatures,
        )  # fmt: skip


def chain_at(conn: Connection, row: StreamRow, seq: int) -> bytes:
    """The chain of a stream held here after `seq` events; `seq` is at most its head."""
    if seq == 0:
        return chain_start(row.stream)
    if seq == row.seq:
        return row.chain
    chain = conn.execute(_CHAIN, {"of_stream": row.id, "at": seq}).scalar()
    if chain is None:
        dropped = runs.find(conn, row.id, seq)
        assert dropped is not None, f"{row.stream} lacks number {seq}"
        chain = dropped.chain
    return bytes(chain)


def _rows(conn: Connection, row: StreamRow, part: Range) -> Iterator[Any]:
    first = part.first
    while first <= part.last:
        last = min(first + _PAGE_EVENTS - 1, part.last)
        page: Sequence[Any] = conn.execute(_PAGE, {"of_stream": row.id, "first": first, "last": last}).all()
        if len(page) < last - first + 1:
            page = list(runs.with_dropped(page, runs.between(conn, row.id, first, last)))
        yield from page
        if len(page) < last - first + 1:
            return
        first = last + 1


def _signatures(conn: Connection, row: StreamRow, part: Range) -> dict[int, bytes]:
    found = conn.execute(_SIGNED, {"of_stream": row.id, "first": part.first, "last": part.last})
    return {signed.seq: signed.signature for signed in found}
