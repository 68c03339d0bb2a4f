"""A key that is withdrawn: what it signed until then stands, and what surfaces later waits for a person.

A replaced or stolen computer may hold records that never went out. Whoever starts its disk once more, or brings its
stick, loses nothing: the segments are refused by name, kept, and taken in when a person at the hub says so.
"""

from datetime import datetime

from sqlalchemy import Connection

from sync import incidents, peers, streams
from sync.bundle import Segment
from sync.errors import OriginRevoked
from sync.events import Stream
from sync.incidents import Incident


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


def waiting(conn: Connection) -> list[Incident]:
    """Late segments that nobody has decided about, oldest first."""
    return [one for one in incidents.unresolved(conn) if one.code == OriginRevoked.code and one.evidence]


def settle(conn: Connection, stream: Stream, seq: int, now: datetime) -> None:
    """A person has decided; the segment stays as evidence."""
    incidents.resolve_place(conn, OriginRevoked.code, stream, seq, now)
