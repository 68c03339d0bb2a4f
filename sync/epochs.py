"""Epochs of this node: the stretches of its life in which its numbering is trusted.

The first epoch is minted with the key. A new one is opened whenever the node has reason to suspect its own past: the
anchor is ahead of the database, the machine is another one, or a peer shows more of our current epoch than we hold.
Opening costs nothing and needs nobody: the node goes on recording at once, in streams of the new epoch, and what the
old one lost comes back under its own name. The current epoch is read in the transaction that appends, because a node
may consist of several processes.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection, func, select

from sync import bulk
from sync.errors import EpochsExhausted
from sync.events import Origin, from_us, to_us
from sync.identity import Identity
from sync.tables import ledger_epochs as t
from sync.tables import ledger_streams

EPOCH_BYTES: Final = 8
# A node that opens more is not restored but broken: somebody must look before it goes on exchanging.
EPOCHS_PER_DAY_MAX: Final = 8
_DAY: Final = timedelta(days=1)

_NEWEST: Final = select(t.c.epoch).order_by(t.c.number.desc()).limit(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnEpoch:
    """An epoch that this node opened, after `parent` and because of `reason` (a code)."""

    number: int
    epoch: str
    parent: str
    reason: str
    opened_at: datetime


def current(conn: Connection, identity: Identity) -> Origin:
    """The origin under which this node appends now."""
    epoch = conn.execute(_NEWEST).scalar()
    return identity.origin if epoch is None else Origin(identity.node, epoch)


def opened(conn: Connection) -> list[OwnEpoch]:
    """Epochs opened after the first one, oldest first."""
    return [
        OwnEpoch(number=row.number, epoch=row.epoch, parent=row.parent, reason=row.reason,
                 opened_at=from_us(row.opened_us))
        for row in conn.execute(select(t).where(t.c.number > 0).order_by(t.c.number))
    ]  # fmt: skip


def is_registered(conn: Connection) -> bool:
    """Whether the epoch of the installation was noted: from then on there is an anchor to miss."""
    return conn.execute(select(t.c.number).where(t.c.number == 0)).first() is not None


def register(conn: Connection, identity: Identity, now: datetime) -> None:
    """Note the epoch of the installation as number 0; once."""
    fresh = {"number": 0, "epoch": identity.epoch, "parent": None, "reason": "installed", "opened_us": to_us(now)}
    conn.execute(bulk.upsert_into(conn, t).values(fresh).on_conflict_do_nothing())


def is_known(conn: Connection, identity: Identity, epoch: str) -> bool:
    """Whether an epoch of this node is one we remember, or hold events of."""
    if epoch == identity.epoch or conn.execute(select(t.c.number).where(t.c.epoch == epoch)).first():
        return True
    s = ledger_streams.c
    held = select(s.id).where(s.node == identity.node, s.epoch == epoch, s.seq > 0)
    return conn.execute(held.limit(1)).first() is not None


def open_new(conn: Connection, identity: Identity, reason: str, now: datetime) -> Origin:
    """Open an epoch and append in it from now on. When another process was faster, its epoch serves.

    Raises `EpochsExhausted` when so many were opened within a day that it cannot be right.
    """
    recent = select(func.count()).where(t.c.number > 0, t.c.opened_us > to_us(now - _DAY), t.c.opened_us <= to_us(now))
    if conn.execute(recent).scalar_one() >= EPOCHS_PER_DAY_MAX:
        raise EpochsExhausted(epochs=EPOCHS_PER_DAY_MAX, reason=reason)
    parent = current(conn, identity)
    number = (conn.execute(select(func.max(t.c.number))).scalar() or 0) + 1
    epoch = identity.random_bytes(EPOCH_BYTES).hex()
    fresh = {
        "number": number, "epoch": epoch, "parent": parent.epoch, "reason": reason, "opened_us": to_us(now),
    }  # fmt: skip
    conn.execute(bulk.upsert_into(conn, t).values(fresh).on_conflict_do_nothing())
    return current(conn, identity)
