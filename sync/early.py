"""Early segments for which nothing will come: what precedes them was lost with somebody's disk.

A segment that arrives before what precedes it waits. At a node whose hub holds the same as it does, and no more, it
would wait for ever: the hub was restored, or never heard of what is missing. What was recorded there may lie nowhere
else, so it goes where it can count: our own into our current epoch, any other to the hub, which takes up what it wrote
itself and keeps the rest for its origin.
"""

from typing import Final

from sqlalchemy import Connection, exists, select

from sync import peers, reconciling
from sync.bundle import Segment, decode_segment
from sync.errors import ForkFound, OriginRevoked
from sync.events import Scope, within
from sync.peers import Peer
from sync.replica import Replica
from sync.tables import ledger_held
from sync.wire import PushAnswer

_H: Final = ledger_held.c
# Asked at the end of every exchange, and almost always answered with no.
_ANYTHING: Final = select(exists().select_from(ledger_held))
_AT_ONCE: Final = 16
# A refusal with which the hub keeps what it refuses.
KEPT: Final = frozenset({ForkFound.code, OriginRevoked.code})


def settle(conn: Connection, replica: Replica, hub: Peer) -> tuple[int, list[Segment]]:
    """How many events of our own were taken up again, and what has to go to the hub, some at a time.

    To be asked when the hub holds what we hold. What has arrived in another stream meanwhile is dropped here.
    """
    taken, found = 0, list[Segment]()
    if not conn.execute(_ANYTHING).scalar():
        return taken, found
    below = {peer.node for peer in peers.all_peers(conn) if not peer.introduces}  # they have more for us
    for row in conn.execute(select(ledger_held).order_by(_H.received_us, _H.first)).all():
        segment = decode_segment(row.segment)
        if row.node in below or not within(Scope(row.scope), hub.shared_scopes):
            continue
        if reconciling.is_elsewhere(conn, segment):
            reconciling.part_with(conn, segment)
        elif row.node == replica.identity.node:
            taken += replica.ledger.take_back(conn, segment, hub)
            reconciling.part_with(conn, segment)
        elif len(found) < _AT_ONCE:
            found.append(segment)
    return taken, found


def is_kept(segment: Segment, hub: Peer, answer: PushAnswer) -> bool:
    """Whether the hub holds this segment now in one way or another, so that we need not."""
    if answer.refusals:
        return all(code in KEPT and data.get("kept", True) for code, data in answer.refusals)
    return segment.node == hub.node or bool(answer.stored or answer.known or answer.held)
