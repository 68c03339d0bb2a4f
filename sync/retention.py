"""The horizon of a stream: events at or below it may have been dropped, those that still count are there in full.

What counts is the application's to know; it names events, and here their bodies go and their leaves stay. A stream is
never cut off: whoever stands below its horizon gets it all the same, dropped events as leaves. Decision 0020.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, bindparam, delete, select

from sync import bulk, runs, streams
from sync.events import Origin, Scope, Stream, to_us
from sync.packing import chain_at
from sync.positions import Heads, Position
from sync.stored import Sealer
from sync.streams import StreamRow
from sync.tables import ledger_events, ledger_streams, snapshot_parts
from sync.tables import ledger_horizons as t

_E: Final = ledger_events.c
_ONE: Final = select(t.c.seq, t.c.chain).where(t.c.stream_id == bindparam("of_stream"))
_COLUMNS: Final = (_E.seq, _E.event_id, _E.header, _E.salt, _E.body, _E.body_digest, _E.received_us)


@dataclass(frozen=True, slots=True)
class _Going:
    """An event that is about to be dropped."""

    seq: int
    received_us: int
    leaf: runs.Leaf


def horizon(conn: Connection, stream_id: int) -> Position | None:
    """Up to where a stream was shortened here; None when nothing of it was dropped."""
    row = conn.execute(_ONE, {"of_stream": stream_id}).one_or_none()
    return None if row is None else Position(row.seq, bytes(row.chain))


def horizons(conn: Connection) -> Heads:
    """Every horizon of this node, by stream."""
    s = ledger_streams.c
    query = select(s.node, s.epoch, s.scope, t.c.seq, t.c.chain).where(s.id == t.c.stream_id)
    return {
        Stream(Origin(row.node, row.epoch), Scope(row.scope)): Position(row.seq, bytes(row.chain))
        for row in conn.execute(query)
    }


def stands(conn: Connection, row: StreamRow, at: Position) -> bool:
    """Whether the stream as it lies here has this chain there."""
    return at.seq <= row.seq and chain_at(conn, row, at.seq) == at.chain


def drop(conn: Connection, sealer: Sealer, stream: Stream, seqs: Collection[int], now: datetime) -> int:
    """Reduce these events to their leaves and move the horizon; how many there were. The chain still verifies.

    The stream's row is locked. Parts of snapshots that hold one of them go with it.
    """
    row = streams.lock(conn, stream)
    going = _going(conn, sealer, row, seqs)
    for group in _consecutive(going):
        first, last = group[0].seq, group[-1].seq
        base = chain_at(conn, row, first - 1)
        conn.execute(delete(ledger_events).where(_E.stream_id == row.id, _E.seq >= first, _E.seq <= last))
        runs.add(conn, row.id, first, base, group[0].received_us, [event.leaf for event in group])
        forget_parts(conn, row.id, first, last)
    if going:
        _move_horizon(conn, row, going[-1].seq, now)
    return len(going)


def cut(conn: Connection, row: StreamRow, above: int) -> None:
    """The stream ends at this number now: what was known of more is forgotten."""
    runs.cut(conn, row.id, above)
    forget_parts(conn, row.id, above + 1, 2**63 - 1)
    known = horizon(conn, row.id)
    if known is None or known.seq <= above:
        return
    conn.execute(delete(t).where(t.c.stream_id == row.id))
    if above:
        _set_horizon(conn, row.id, Position(above, chain_at(conn, row, above)), 0)


def forget_parts(conn: Connection, stream_id: int, first: int, last: int) -> None:
    """Remove prepared parts of snapshots that hold any of these numbers."""
    p = snapshot_parts.c
    conn.execute(delete(snapshot_parts).where(p.stream_id == stream_id, p.first <= last, p.last >= first))


def _going(conn: Connection, sealer: Sealer, row: StreamRow, seqs: Collection[int]) -> list[_Going]:
    found: list[_Going] = []
    for part in bulk.chunks(sorted(set(seqs))):
        query = select(*_COLUMNS).where(_E.stream_id == row.id, _E.seq.in_(part)).order_by(_E.seq)
        found += [_leaf(event, sealer) for event in conn.execute(query)]
    return found


def _leaf(event: Any, sealer: Sealer) -> _Going:
    return _Going(event.seq, event.received_us, (bytes(event.header), sealer.content(event).digest))


def _consecutive(going: Sequence[_Going]) -> Iterator[list[_Going]]:
    group: list[_Going] = []
    for event in going:
        if group and event.seq != group[-1].seq + 1:
            yield group
            group = []
        group.append(event)
    if group:
        yield group


def _move_horizon(conn: Connection, row: StreamRow, seq: int, now: datetime) -> None:
    """Forward only: what was stated once holds."""
    known = horizon(conn, row.id)
    if known is None or known.seq < seq:
        _set_horizon(conn, row.id, Position(seq, chain_at(conn, row, seq)), to_us(now))


def _set_horizon(conn: Connection, stream_id: int, at: Position, moved_us: int) -> None:
    fresh = {"stream_id": stream_id, "seq": at.seq, "chain": at.chain, "moved_us": moved_us}
    renewed = {name: fresh[name] for name in ("seq", "chain", "moved_us")}
    insert = bulk.upsert_into(conn, t).values(fresh)
    conn.execute(insert.on_conflict_do_update(index_elements=[t.c.stream_id], set_=renewed))
