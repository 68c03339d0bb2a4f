"""What a peer has stated to hold of our streams, and what it therefore still lacks.

A cache for the screen: the next statement of the peer decides anew. Statements carry the number of the request they
answered, so that an answer that comes late cannot put an older level in place of a newer one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, and_, bindparam, delete, func, or_, select

from sync import bulk
from sync.events import Origin, Scope, Stream, from_us, to_us, within
from sync.identity import Identity
from sync.peers import Peer
from sync.positions import Heads, Position
from sync.tables import ledger_events, ledger_streams, sync_acknowledged

_LEVEL: Final = func.coalesce(sync_acknowledged.c.seq, 0)
# Per own stream: how many events lie above the peer's level, and when the first of them was recorded.
_WAITING: Final = (
    select(ledger_streams.c.scope, (ledger_streams.c.seq - _LEVEL).label("lacking"), ledger_events.c.received_us)
    .select_from(ledger_streams)
    .outerjoin(
        sync_acknowledged,
        and_(sync_acknowledged.c.stream_id == ledger_streams.c.id, sync_acknowledged.c.peer == bindparam("peer")),
    )
    .join(
        ledger_events,
        and_(ledger_events.c.stream_id == ledger_streams.c.id, ledger_events.c.seq == _LEVEL + 1),
    )
    .where(ledger_streams.c.node == bindparam("own"), ledger_streams.c.seq > _LEVEL)
)
# Per stream of these nodes: what the peer stated last, nothing if it never did.
_STATED: Final = (
    select(ledger_streams.c.id, ledger_streams.c.node, ledger_streams.c.epoch, ledger_streams.c.scope,
           sync_acknowledged.c.seq, sync_acknowledged.c.chain)
    .select_from(ledger_streams)
    .outerjoin(
        sync_acknowledged,
        and_(sync_acknowledged.c.stream_id == ledger_streams.c.id, sync_acknowledged.c.peer == bindparam("peer")),
    )
    .where(ledger_streams.c.node.in_(bindparam("nodes", expanding=True)))
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Unsent:
    """Own events the peer has not confirmed; `oldest_at` is when the first of them was recorded here."""

    count: int
    oldest_at: datetime | None


def acknowledge(conn: Connection, peer: str, stated: Heads, counter: int, now: datetime) -> None:
    """Keep the peer's statement about streams that exist here."""
    a = sync_acknowledged
    rows = [
        {"peer": peer, "stream_id": stream_id, "seq": head.seq, "chain": head.chain, "counter": counter,
         "stated_us": to_us(now)}
        for stream_id, head in _news(conn, peer, stated)
    ]  # fmt: skip
    if not rows:
        return
    insert = bulk.upsert_into(conn, a)
    new = insert.excluded
    renewed = {name: new[name] for name in ("seq", "chain", "counter", "stated_us")}
    changed = and_(a.c.counter < new.counter, or_(a.c.seq != new.seq, a.c.chain != new.chain))
    conn.execute(
        insert.on_conflict_do_update(index_elements=[a.c.peer, a.c.stream_id], set_=renewed, where=changed), rows
    )


def levels(conn: Connection, peer: str) -> Heads:
    """What the peer last stated, by stream."""
    t, a = ledger_streams.c, sync_acknowledged.c
    query = select(t.node, t.epoch, t.scope, a.seq, a.chain).where(a.stream_id == t.id, a.peer == peer)
    return {
        Stream(Origin(row.node, row.epoch), Scope(row.scope)): Position(row.seq, row.chain)
        for row in conn.execute(query)
    }


def forget(conn: Connection, peer: str) -> None:
    """The peer begins anew: whatever it states next counts, and until then nothing does."""
    conn.execute(delete(sync_acknowledged).where(sync_acknowledged.c.peer == peer))


def unsent(conn: Connection, identity: Identity, peer: Peer) -> Unsent:
    """Own events above what the peer stated. Of what is meant for a hub (`introduces`) also those it does not let us
    send: they wait.
    """
    rows = [
        row for row in conn.execute(_WAITING, {"own": identity.node, "peer": peer.node})
        if within(row.scope, peer.read_scopes) or (peer.introduces and peer.is_meant_for(Scope(row.scope)))
    ]  # fmt: skip
    oldest = min((row.received_us for row in rows), default=None)
    return Unsent(sum(row.lacking for row in rows), None if oldest is None else from_us(oldest))


def outgoing(conn: Connection, identity: Identity, known: Sequence[Peer]) -> dict[str, int]:
    """By peer, how many own events it may read and has not stated to hold; two queries for any number of peers."""
    t, a = ledger_streams.c, sync_acknowledged.c
    own = conn.execute(select(t.id, t.scope, t.seq).where(t.node == identity.node, t.seq > 0)).all()
    stated = {
        (row.peer, row.stream_id): row.seq
        for row in conn.execute(select(a.peer, a.stream_id, a.seq).where(t.id == a.stream_id, t.node == identity.node))
    }
    below: dict[str, list[tuple[int, int]]] = {}
    for row in own:
        parts = row.scope.split("/")
        for length in range(1, len(parts) + 1):
            below.setdefault("/".join(parts[:length]), []).append((row.id, row.seq))
    return {
        peer.node: sum(
            max(0, seq - stated.get((peer.node, stream), 0))
            for stream, seq in {one for scope in peer.read_scopes for one in below.get(scope, ())}
        )
        for peer in known if peer.revoked_after is None
    }  # fmt: skip


def _news(conn: Connection, peer: str, stated: Heads) -> list[tuple[int, Position]]:
    """Ids and heads of the streams of which the peer states something else than it did: mostly none."""
    names = sorted({stream.origin.node for stream in stated})
    rows = [row for part in bulk.chunks(names) for row in conn.execute(_STATED, {"peer": peer, "nodes": part})]
    return [
        (row.id, head) for row in rows
        if (head := stated.get(Stream(Origin(row.node, row.epoch), Scope(row.scope)))) is not None
        and (row.seq, row.chain) != (head.seq, head.chain)
    ]  # fmt: skip
