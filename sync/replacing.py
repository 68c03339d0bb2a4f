"""A key that is withdrawn: what it signed until then stands, and what surfaces later waits for a person (`late`)."""

from sqlalchemy import Connection

from sync import peers, streams
from sync.bundle import Segment


def withdraw(conn: Connection, node: str) -> bool:
    """Withdraw a node's key from where each of its epochs stands here; False when it was withdrawn before."""
    peer = peers.get_peer(conn, node)
    if peer.revoked_after is not None:
        return False
    reached: dict[str, int] = {}
    for stream, head in streams.heads_of(conn, node).items():
        reached[stream.origin.epoch] = max(head.seq, reached.get(stream.origin.epoch, 0))
    peers.revoke(conn, node, reached)
    return True


def widen(conn: Connection, segment: Segment) -> None:
    """Let this late segment count after all."""
    peer = peers.get_peer(conn, segment.node)
    after = dict(peer.revoked_after or {})
    after[segment.epoch] = max(segment.last, after.get(segment.epoch, 0))
    peers.revoke(conn, segment.node, after)
