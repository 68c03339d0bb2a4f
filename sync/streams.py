"""The row of a stream: its head, and the lock under which the stream grows."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, or_, select, update

from sync import bulk
from sync.events import Origin, Scope, Stream, chain_start
from sync.positions import Heads, Position
from sync.tables import ledger_streams as t


@dataclass(slots=True)
class StreamRow:
    """A stream as this node holds it; `seq` 0 means nothing yet. Mutable while its row is locked."""

    id: int
    stream: Stream
    seq: int
    chain: bytes
    lamport: int


def find(conn: Connection, stream: Stream) -> StreamRow | None:
    """The stream's row without locking it."""
    row = conn.execute(select(t).where(_is(stream))).one_or_none()
    return _row(row) if row else None


def lock(conn: Connection, stream: Stream) -> StreamRow:
    """The stream's row, created when missing, locked until the transaction ends."""
    row = _for_update(conn, stream)
    if row is None:
        fresh = {
            "node": stream.origin.node, "epoch": stream.origin.epoch, "scope": stream.scope,
            "seq": 0, "chain": chain_start(stream), "lamport": 0,
        }  # fmt: skip
        conn.execute(bulk.upsert_into(conn, t).values(fresh).on_conflict_do_nothing())
        row = _for_update(conn, stream)
    assert row is not None
    return row


def save(conn: Connection, row: StreamRow) -> None:
    """Write the head back."""
    conn.execute(update(t).where(t.c.id == row.id).values(seq=row.seq, chain=row.chain, lamport=row.lamport))


def by_ids(conn: Connection, ids: Iterable[int]) -> dict[int, Stream]:
    """Streams by their row number."""
    found: dict[int, Stream] = {}
    for part in bulk.chunks(sorted(set(ids))):
        query = select(t.c.id, t.c.node, t.c.epoch, t.c.scope).where(t.c.id.in_(part))
        found.update({row.id: Stream(Origin(row.node, row.epoch), Scope(row.scope)) for row in conn.execute(query)})
    return found


def everything(conn: Connection) -> list[StreamRow]:
    """All streams held here, in the order of their creation."""
    return [_row(row) for row in conn.execute(select(t).order_by(t.c.id))]


def heads(conn: Connection, scopes: Sequence[Scope]) -> Heads:
    """Heads of all non-empty streams within these scopes."""
    if not scopes:
        return {}
    query = select(t).where(t.c.seq > 0, or_(*(_within(scope) for scope in scopes)))
    rows = [_row(row) for row in conn.execute(query)]
    return {row.stream: Position(row.seq, row.chain) for row in rows}


def _within(scope: Scope) -> ColumnElement[bool]:
    # "/" is followed by "0" in ASCII, so this is the whole subtree, and an index can serve it.
    return or_(t.c.scope == scope, and_(t.c.scope > scope + "/", t.c.scope < scope + "0"))


def _is(stream: Stream) -> ColumnElement[bool]:
    return and_(t.c.node == stream.origin.node, t.c.epoch == stream.origin.epoch, t.c.scope == stream.scope)


def _for_update(conn: Connection, stream: Stream) -> StreamRow | None:
    row = conn.execute(select(t).where(_is(stream)).with_for_update()).one_or_none()
    return _row(row) if row else None


def _row(row: Any) -> StreamRow:
    stream = Stream(Origin(row.node, row.epoch), Scope(row.scope))
    return StreamRow(row.id, stream, row.seq, row.chain, row.lamport)
