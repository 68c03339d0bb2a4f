"""The row of a stream: its head, and the lock under which the stream grows."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, Final

from sqlalchemy import Connection, Select, and_, bindparam, func, or_, select, update

from sync import bulk
from sync.events import Origin, Scope, Stream, chain_start, from_us
from sync.positions import Heads, Position
from sync.tables import ledger_events
from sync.tables import ledger_streams as t

_ONE: Final = select(t).where(
    t.c.node == bindparam("of_node"), t.c.epoch == bindparam("of_epoch"), t.c.scope == bindparam("of_scope")
)
_OF_NODE: Final = select(t).where(t.c.node == bindparam("of_node"), t.c.seq > 0)
_ONE_LOCKED: Final = _ONE.with_for_update()
_SAVE: Final = (
    update(t)
    .where(t.c.id == bindparam("row_id"))
    .values(seq=bindparam("seq"), chain=bindparam("chain"), lamport=bindparam("lamport"))
)


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
    row = conn.execute(_ONE, _name(stream)).one_or_none()
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
    head = {"row_id": row.id, "seq": row.seq, "chain": row.chain, "lamport": row.lamport}
    conn.execute(_SAVE, head)


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


def heads_of(conn: Connection, node: str) -> Heads:
    """Heads of all non-empty streams of one node, of every epoch and scope."""
    rows = (_row(row) for row in conn.execute(_OF_NODE, {"of_node": node}))
    return {row.stream: Position(row.seq, row.chain) for row in rows}


def last_appended_at(conn: Connection, node: str) -> datetime | None:
    """When the newest event of any of the node's streams came in here; None while there is none."""
    at_head = (ledger_events.c.stream_id == t.c.id) & (ledger_events.c.seq == t.c.seq)
    query = select(func.max(ledger_events.c.received_us)).select_from(t).join(ledger_events, at_head)
    newest = conn.execute(query.where(t.c.node == node)).scalar()
    return None if newest is None else from_us(newest)


def heads(conn: Connection, scopes: Sequence[Scope]) -> Heads:
    """Heads of all non-empty streams within these scopes."""
    if not scopes:
        return {}
    names = {f"scope_{place}": scope for place, scope in enumerate(scopes)}
    # "/" is followed by "0" in ASCII, so what lies between is the whole subtree, and an index can serve it.
    below = {f"from_{place}": scope + "/" for place, scope in enumerate(scopes)}
    above = {f"to_{place}": scope + "0" for place, scope in enumerate(scopes)}
    rows = [_row(row) for row in conn.execute(_heads_query(len(scopes)), {**names, **below, **above})]
    return {row.stream: Position(row.seq, row.chain) for row in rows}


@cache
def _heads_query(scopes: int) -> Select[Any]:
    """Built once per number of scopes: every exchange asks for heads several times."""
    within = (
        or_(
            t.c.scope == bindparam(f"scope_{place}"),
            and_(t.c.scope > bindparam(f"from_{place}"), t.c.scope < bindparam(f"to_{place}")),
        )
        for place in range(scopes)
    )
    return select(t).where(t.c.seq > 0, or_(*within))


def _name(stream: Stream) -> dict[str, str]:
    return {"of_node": stream.origin.node, "of_epoch": stream.origin.epoch, "of_scope": stream.scope}


def _for_update(conn: Connection, stream: Stream) -> StreamRow | None:
    row = conn.execute(_ONE_LOCKED, _name(stream)).one_or_none()
    return _row(row) if row else None


def _row(row: Any) -> StreamRow:
    stream = Stream(Origin(row.node, row.epoch), Scope(row.scope))
    return StreamRow(row.id, stream, row.seq, row.chain, row.lamport)
