"""Erasing bodies from an append-only log: body and salt go, the digest stays and the chain still verifies."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Column, Connection, Executable, Row, bindparam, select, update

from sync import bulk, erased, incidents, retention
from sync.bundle import decode_segment, encode_segment
from sync.stored import Sealer
from sync.tables import ledger_branches, ledger_held, ledger_incidents
from sync.tables import ledger_events as t


def erase(conn: Connection, sealer: Sealer, event_ids: Sequence[str], now: datetime) -> int:
    """Empty these events' bodies wherever they stand here; the number of rows emptied.

    The ids are remembered, also of events that are not here: a later bundle or an old stick cannot bring them back.
    """
    names = [bytes.fromhex(name) for name in dict.fromkeys(event_ids)]
    erased.add(conn, names, now)
    rows = [row for part in bulk.chunks(names) for row in conn.execute(_holding(part))]
    emptied = [{"at_stream": row.stream_id, "at_seq": row.seq, "left": sealer.content(row).digest} for row in rows]
    if emptied:
        place = (t.c.stream_id == bindparam("at_stream"), t.c.seq == bindparam("at_seq"))
        statement = update(t).where(*place).values(salt=None, body=None, body_digest=bindparam("left"))
        conn.execute(statement, emptied)
        for row in rows:
            retention.forget_parts(conn, row.stream_id, row.seq, row.seq)
    _empty_what_waits(conn, frozenset(names))
    return len(emptied)


def _empty_what_waits(conn: Connection, names: frozenset[bytes]) -> None:
    """Segments outside the streams lose the bodies as well, and keep what else they hold: it may be nowhere else."""
    for table, column in ((ledger_held, ledger_held.c.segment), (ledger_branches, ledger_branches.c.segment)):
        for row in conn.execute(select(table)).all():
            segment = decode_segment(row.segment)
            left = erased.without(segment, names)
            if left is not segment:
                _replace(conn, row, column, encode_segment(left))
    for row in conn.execute(select(ledger_incidents).where(ledger_incidents.c.evidence.is_not(None))).all():
        kept = incidents.open_evidence(row.evidence)
        emptied = [erased.without(segment, names) for segment in kept]
        if any(left is not segment for left, segment in zip(emptied, kept, strict=True)):
            _replace(conn, row, ledger_incidents.c.evidence, incidents.keep_evidence(emptied))


def _replace(conn: Connection, row: Row[Any], column: Column[bytes], after: bytes) -> None:
    table: Any = column.table
    place = (key == row._mapping[key.name] for key in table.primary_key)
    conn.execute(update(table).where(*place).values({column.name: after}))


def _holding(names: Sequence[bytes]) -> Executable:
    columns = (t.c.stream_id, t.c.seq, t.c.event_id, t.c.salt, t.c.body, t.c.body_digest)
    return select(*columns).where(t.c.event_id.in_(names), t.c.body.is_not(None))
