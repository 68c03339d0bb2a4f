"""Epochs in which peers have spoken to us, and what their order tells: one computer, or two with one key."""

from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection, select

from sync import bulk
from sync.events import to_us
from sync.tables import sync_epochs as t

# A restored node speaks once in an epoch it had left, and opens another one. Who comes back again and again is two.
RETURNS_OF_ONE: Final = 1
_WITHIN: Final = timedelta(days=7)


def note(conn: Connection, peer: str, epoch: str, now: datetime) -> None:
    """The peer speaks in another epoch than the last time; one it has used before counts as a return."""
    fresh = {
        "peer": peer, "epoch": epoch, "first_us": to_us(now), "last_us": to_us(now), "returns": 0, "returned_us": None,
    }  # fmt: skip
    again = {"last_us": to_us(now), "returns": t.c.returns + 1, "returned_us": to_us(now)}
    insert = bulk.upsert_into(conn, t).values(fresh)
    conn.execute(insert.on_conflict_do_update(index_elements=[t.c.peer, t.c.epoch], set_=again))


def is_known(conn: Connection, peer: str, epoch: str) -> bool:
    """Whether the peer has spoken to us in this epoch before."""
    return conn.execute(select(t.c.peer).where(t.c.peer == peer, t.c.epoch == epoch)).first() is not None


def shared_keys(conn: Connection, now: datetime) -> frozenset[str]:
    """Peers of which two computers seem to run at once with one key: a copied disk."""
    query = select(t.c.peer).where(t.c.returns > RETURNS_OF_ONE, t.c.returned_us > to_us(now - _WITHIN)).distinct()
    return frozenset(conn.execute(query).scalars())
