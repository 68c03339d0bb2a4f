"""A key that is withdrawn: what it signed until then stands, and what surfaces later waits for a person (`late`)."""

from datetime import datetime

from sqlalchemy import Connection

from sync import incidents, peers, reconciling, streams
from sync.bundle import Segment
from sync.errors import OriginRevoked


def withdraw(conn: Connection, node: str, now: datetime) -> bool:
    """Withdraw a node's key from where each of its epochs stands here; False when it was withdrawn before.

    What waited for something that the node had yet to send waits for a person from now on.
    """
    peer = peers.get_peer(conn, node)
    if peer.revoked_after is not None:
        return False
    reached: dict[str, int] = {}
    for stream, head in streams.heads_of(conn, node).items():
        reached[stream.origin.epoch] = max(head.seq, reached.get(stream.origin.epoch, 0))
    peers.revoke(conn, node, reached)
    for segment in reconciling.early_of(conn, node):
        refusal = OriginRevoked(node=node, seq=segment.first - 1)
        if incidents.record(conn, refusal, segment, node, now):
            reconciling.part_with(conn, segment)
    return True


def widen(conn: Connection, segment: Segment) -> None:
    """Let this late segment count after all."""
    peer = peers.get_peer(conn, segment.node)
    after = dict(peer.revoked_after or {})
    after[segment.epoch] = max(segment.last, after.get(segment.epoch, 0))
    peers.revoke(conn, segment.node, after)
