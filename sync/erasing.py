"""Erasing bodies from an append-only log: body and salt go, the digest stays and the chain still verifies."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, Executable, bindparam, delete, func, select, update

from sync import bulk, incidents, retention
from sync.bundle import Segment, decode_segment
from sync.errors import MalformedEvent
from sync.events import to_us
from sync.stored import Sealer
from sync.tables import ledger_erasures as listed
from sync.tables import ledger_events as t
from sync.tables import ledger_held, ledger_incidents
from sync.tracing import trace

# Version of the erasure list; empty while nothing was ever erased.
VERSION: Final = select(func.max(listed.c.number))


def erase(conn: Connection, sealer: Sealer, event_ids: Sequence[str], now: datetime) -> int:
    """Empty these events' bodies wherever they stand here; the number of rows emptied.

    The ids are remembered, also of events that are not here: a later bundle or an old stick cannot bring them back.
    """
    names = [bytes.fromhex(name) for name in dict.fromkeys(event_ids)]
    _list(conn, names, now)
    rows = [row for part in bulk.chunks(names) for row in conn.execute(_holding(part))]
    emptied = [{"at_stream": row.stream_id, "at_seq": row.seq, "left": sealer.content(row).digest} for row in rows]
    if emptied:
        place = (t.c.stream_id == bindparam("at_stream"), t.c.seq == bindparam("at_seq"))
        statement = update(t).where(*place).values(salt=None, body=None, body_digest=bindparam("left"))
        conn.execute(statement, emptied)
        for row in rows:
            retention.forget_parts(conn, row.stream_id, row.seq, row.seq)
    _purge_waiting(conn, frozenset(names))
    return len(emptied)


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
        for name in conn.execute(select(listed.c.event_id).where(listed.c.event_id.in_(part))).scalars()
    )


def _purge_waiting(conn: Connection, names: frozenset[bytes]) -> None:
    """Segments outside the streams lose the bodies as well: held ones are sent again, evidence keeps its incident."""
    h, i = ledger_held, ledger_incidents
    for row in conn.execute(select(h)).all():
        if not names.isdisjoint(_names_in(decode_segment(row.segment))):
            conn.execute(delete(h).where(*(column == row._mapping[column.name] for column in h.primary_key)))
    for row in conn.execute(select(i).where(i.c.evidence.is_not(None))).all():
        if not names.isdisjoint(_names_in(incidents.open_evidence(row.evidence))):
            place = (column == row._mapping[column.name] for column in i.primary_key)
            conn.execute(update(i).where(*place).values(evidence=None))


def _names_in(segment: Segment) -> list[bytes]:
    try:
        return trace(segment).names()
    except MalformedEvent:
        return []  # evidence of events that no node stores: they were never facts


def _list(conn: Connection, names: Sequence[bytes], now: datetime) -> None:
    number = version(conn)
    rows = [
        {"event_id": name, "number": number + place, "erased_us": to_us(now)} for place, name in enumerate(names, 1)
    ]
    if rows:
        conn.execute(bulk.upsert_into(conn, listed).on_conflict_do_nothing(), rows)


def _holding(names: Sequence[bytes]) -> Executable:
    columns = (t.c.stream_id, t.c.seq, t.c.event_id, t.c.salt, t.c.body, t.c.body_digest)
    return select(*columns).where(t.c.event_id.in_(names), t.c.body.is_not(None))
