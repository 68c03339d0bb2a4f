"""Signed statements of what a peer holds of ours, kept as they came: the newest per epoch of the peer."""

from datetime import datetime
from typing import Final

from sqlalchemy import Connection, bindparam, select

from sync import bulk, wire
from sync.errors import BadSignature, Malformed
from sync.events import from_us, to_us
from sync.peers import Peer
from sync.positions import Heads
from sync.tables import sync_receipts as t

_NEWEST: Final = (
    select(t.c.receipt, t.c.signature).where(t.c.peer == bindparam("of_peer")).order_by(t.c.stored_us.desc()).limit(1)
)


def keep(conn: Connection, peer: Peer, node: str, signed: wire.SignedReceipt, now: datetime) -> None:
    """Store a receipt about `node`'s streams. Raises `BadSignature` or `Malformed` for one that proves nothing."""
    receipt = wire.open_receipt(signed, peer.public_key)
    if (receipt.holder, receipt.node) != (peer.node, node):
        raise BadSignature(whose="receipt")
    fresh = {
        "peer": peer.node, "peer_epoch": receipt.holder_epoch, "receipt": signed.receipt,
        "signature": signed.signature, "stored_us": to_us(now),
    }  # fmt: skip
    renewed = {name: fresh[name] for name in ("receipt", "signature", "stored_us")}
    insert = bulk.upsert_into(conn, t).values(fresh)
    conn.execute(insert.on_conflict_do_update(index_elements=[t.c.peer, t.c.peer_epoch], set_=renewed))


def keep_newer(conn: Connection, peer: Peer, node: str, signed: wire.SignedReceipt, now: datetime) -> None:
    """`keep` for a receipt that was long on the way: one that its holder has made later stands."""
    came = wire.open_receipt(signed, peer.public_key)
    query = select(t.c.receipt).where(t.c.peer == peer.node, t.c.peer_epoch == came.holder_epoch)
    known = conn.execute(query).scalar()
    if known is None or wire.decode(known, wire.Receipt).at_us <= came.at_us:
        keep(conn, peer, node, signed, now)


def newest(conn: Connection, peer: str) -> wire.SignedReceipt | None:
    """The receipt that was stored last."""
    row = conn.execute(_NEWEST, {"of_peer": peer}).one_or_none()
    return None if row is None else wire.SignedReceipt(receipt=row.receipt, signature=row.signature)


def stated(conn: Connection, peer: str) -> tuple[Heads, datetime] | None:
    """What the newest receipt says the peer holds of ours, and when it said so by its own clock; None without one."""
    signed = newest(conn, peer)
    if signed is None:
        return None
    receipt = wire.decode(signed.receipt, wire.Receipt)
    return wire.load_heads(receipt.heads), from_us(receipt.at_us)


def covers(conn: Connection, peer: str, node: str, heads: Heads) -> bool:
    """Whether the newest receipt speaks of exactly what we hold of our own streams, so that none need be asked for."""
    signed = newest(conn, peer)
    if signed is None:
        return False
    try:
        receipt = wire.decode(signed.receipt, wire.Receipt)
        stated = wire.load_heads(receipt.heads)
    except Malformed:
        return False
    return stated == {stream: head for stream, head in heads.items() if stream.origin.node == node}
