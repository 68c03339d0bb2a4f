"""The list of erased events: what it names has no body on any disk of this node, nor will any bundle bring it back."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, func, select

from sync import bulk
from sync.bundle import Segment
from sync.errors import MalformedEvent
from sync.events import to_us
from sync.tables import ledger_erasures as t
from sync.tracing import emptied, trace

# Version of the erasure list; empty while nothing was ever erased.
VERSION: Final = select(func.max(t.c.number))


def version(conn: Connection) -> int:
    """Version of the erasure list; 0 when nothing was ever erased."""
    return conn.execute(VERSION).scalar() or 0


def among(conn: Connection, event_ids: Sequence[bytes]) -> frozenset[bytes]:
    """Those of the ids that were erased. Costs one look at an index while nothing ever was."""
    if not version(conn):
        return frozenset()
    return frozenset(
        bytes(name)
        for part in bulk.chunks(event_ids)
        for name in conn.execute(select(t.c.event_id).where(t.c.event_id.in_(part))).scalars()
    )


def add(conn: Connection, names: Sequence[bytes], now: datetime) -> None:
    """Put these ids on the list, whether or not their events are here."""
    number = version(conn)
    rows = [
        {"event_id": name, "number": number + place, "erased_us": to_us(now)} for place, name in enumerate(names, 1)
    ]
    if rows:
        conn.execute(bulk.upsert_into(conn, t).on_conflict_do_nothing(), rows)


def without(segment: Segment, names: frozenset[bytes]) -> Segment:
    """A segment as it may lie outside the streams: the very same object where it holds none of these."""
    try:
        touched = not names.isdisjoint(trace(segment).names())
    except MalformedEvent:
        return segment  # evidence of events that no node stores: they were never facts
    return emptied(segment, names) if touched else segment


def as_kept(conn: Connection, segment: Segment) -> Segment:
    """The segment without what was erased before it came."""
    if not version(conn):
        return segment
    try:
        names = trace(segment).names()
    except MalformedEvent:
        return segment
    return without(segment, among(conn, names))
