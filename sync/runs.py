"""Events that were dropped: what the chain covers of each stays, in compact runs, and nothing else.

A leaf is an event's header and the digest of its body. From a run's leaves and the chain before it every number, id and
chain is computed again, so a stream with dropped events is verified end to end like any other, and is packed and sent
as if their bodies had been erased. Whoever reads a stream's rows by number asks here for those that are lacking.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from heapq import merge
from typing import Annotated, Any, Final

import msgspec
import zstandard
from msgspec import Meta
from sqlalchemy import Connection, bindparam, delete, select

from sync import bulk
from sync.errors import MalformedEvent
from sync.events import DIGEST_BYTES, Header, chain_next, check_header, event_id
from sync.tables import ledger_runs as t

# Below this many events a run grows; what is larger costs too much to unpack for one of them.
RUN_EVENTS_MAX: Final = 512
_RAW_BYTES_MAX: Final = 4 * 1024 * 1024

_BETWEEN: Final = (
    select(t)
    .where(t.c.stream_id == bindparam("of_stream"), t.c.last >= bindparam("low"), t.c.first <= bindparam("high"))
    .order_by(t.c.first)
)

Leaf = tuple[bytes, bytes]


@dataclass(frozen=True)
class Dropped:
    """A dropped event under the names that a row of `ledger_events` has; the body is gone and its digest is left."""

    stream_id: int
    seq: int
    header: bytes
    body_digest: bytes
    chain: bytes
    received_us: int
    salt: None = None
    body: None = None

    @cached_property
    def event_id(self) -> bytes:
        return event_id(self.header, self.body_digest)

    @cached_property
    def _read(self) -> Header:
        return check_header(self.header)

    @property
    def subject(self) -> str:
        return self._read.subject

    @property
    def lamport(self) -> int:
        return self._read.lamport


class _Leaves(msgspec.Struct, frozen=True, array_like=True):
    headers: Annotated[list[bytes], Meta(min_length=1, max_length=RUN_EVENTS_MAX)]
    digests: bytes


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Leaves).decode


# --- reading -----------------------------------------------------------------------------------------------------


def between(conn: Connection, stream_id: int, low: int, high: int) -> Iterator[Dropped]:
    """Dropped events of a stream with numbers `low` to `high`, in order."""
    for row in conn.execute(_BETWEEN, {"of_stream": stream_id, "low": low, "high": high}):
        yield from (event for event in _opened(row) if low <= event.seq <= high)


def everything(conn: Connection, stream_id: int) -> Iterator[Dropped]:
    """All dropped events of a stream, in order, one run at a time."""
    return between(conn, stream_id, 1, 2**63 - 1)


def with_dropped(living: Iterable[Any], dropped: Iterable[Dropped]) -> Iterator[Any]:
    """Rows and dropped events of one stream together, by their numbers."""
    return merge(living, dropped, key=lambda event: event.seq)


def find(conn: Connection, stream_id: int, seq: int) -> Dropped | None:
    """The dropped event with this number."""
    return next(between(conn, stream_id, seq, seq), None)


def ids_among(conn: Connection, names: frozenset[bytes]) -> frozenset[bytes]:
    """Those of the ids that belong to dropped events. Opens every run: for the rare cases that ask by id."""
    if not names:
        return names
    rows = conn.execute(select(t).order_by(t.c.stream_id, t.c.first))
    return names.intersection(event.event_id for row in rows for event in _opened(row))


# --- writing -----------------------------------------------------------------------------------------------------


def add(conn: Connection, stream_id: int, first: int, base: bytes, received_us: int, leaves: Sequence[Leaf]) -> None:
    """Keep consecutive dropped events; a neighbouring run that has room is made one with them."""
    place = t.c.stream_id == stream_id
    for row in conn.execute(select(t).where(place, t.c.last == first - 1)).all():
        if row.last - row.first + 1 + len(leaves) <= RUN_EVENTS_MAX:
            leaves = [*_leaves(row), *leaves]
            first, base, received_us = row.first, bytes(row.base), row.received_us
            conn.execute(delete(t).where(place, t.c.first == row.first))
    for row in conn.execute(select(t).where(place, t.c.first == first + len(leaves))).all():
        if row.last - row.first + 1 + len(leaves) <= RUN_EVENTS_MAX:
            leaves = [*leaves, *_leaves(row)]
            conn.execute(delete(t).where(place, t.c.first == row.first))
    for start in range(0, len(leaves), RUN_EVENTS_MAX):
        part = leaves[start : start + RUN_EVENTS_MAX]
        _insert(conn, stream_id, first + start, base, received_us, part)
        for header, digest in part:
            base = chain_next(base, header, digest)


def cut(conn: Connection, stream_id: int, above: int) -> None:
    """Forget dropped events above a number; the run that reaches over it keeps its beginning."""
    reaching = conn.execute(_BETWEEN, {"of_stream": stream_id, "low": above + 1, "high": 2**63 - 1}).all()
    conn.execute(delete(t).where(t.c.stream_id == stream_id, t.c.last > above))
    for row in reaching:
        if row.first <= above:
            kept = _leaves(row)[: above - row.first + 1]
            _insert(conn, stream_id, row.first, bytes(row.base), row.received_us, kept)


def _insert(
    conn: Connection, stream_id: int, first: int, base: bytes, received_us: int, leaves: Sequence[Leaf]
) -> None:
    packed = _encode(_Leaves([header for header, _ in leaves], b"".join(digest for _, digest in leaves)))
    row = (stream_id, first, first + len(leaves) - 1, base, received_us, zstandard.ZstdCompressor().compress(packed))
    bulk.insert_rows(conn, t, [row])


def _opened(row: Any) -> Iterator[Dropped]:
    chain = bytes(row.base)
    for seq, (header, digest) in enumerate(_leaves(row), start=row.first):
        chain = chain_next(chain, header, digest)
        yield Dropped(row.stream_id, seq, header, digest, chain, row.received_us)


def _leaves(row: Any) -> list[Leaf]:
    """What lies in a run. Raises `MalformedEvent` when the disk has changed it."""
    try:
        found = _decode(zstandard.ZstdDecompressor().decompress(row.leaves, max_output_size=_RAW_BYTES_MAX))
    except (zstandard.ZstdError, msgspec.MsgspecError):
        raise MalformedEvent(seq=row.first, fault="run") from None
    count = row.last - row.first + 1
    if len(found.headers) != count or len(found.digests) != count * DIGEST_BYTES:
        raise MalformedEvent(seq=row.first, fault="run")
    digests = (found.digests[at : at + DIGEST_BYTES] for at in range(0, len(found.digests), DIGEST_BYTES))
    return list(zip(found.headers, digests, strict=True))
