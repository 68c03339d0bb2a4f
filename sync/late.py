"""What surfaces of withdrawn keys, and what a person at the hub decides about it.

A replaced or stolen computer may hold records that never went out. Whoever starts its disk once more, or brings its
stick, loses nothing: the segments are refused by name and kept. A person lets them count, or leaves them out.

What goes on where its stream ended is stored there. What does not fit any more, because the disk was copied or put back
and has gone another way, is handed to a computer of the same place, which takes it up under its own key: nobody else
may sign for that place, and the old key signs nothing any more.
"""

from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Connection

from sync import incidents, peers, reconciling
from sync.bundle import Segment
from sync.errors import ForkFound, OriginRevoked
from sync.events import Scope, within
from sync.incidents import Incident
from sync.ledger import Ledger
from sync.peers import Peer


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """How many events were stored; 0 where `taker`, a computer of the same place, will take them up."""

    stored: int = 0
    taker: Peer | None = None


def waiting(conn: Connection) -> list[Incident]:
    """Late segments that have not found their place, oldest first; those with a `taker` were decided about.

    A taker whose key was withdrawn as well is none any more.
    """
    withdrawn = {peer.node for peer in peers.all_peers(conn) if peer.revoked_after is not None}
    return [
        replace(one, taker=None) if one.taker in withdrawn else one
        for one in incidents.unresolved(conn)
        if one.evidence and (one.code == OriginRevoked.code or _is_fork_of(one, withdrawn))
    ]


def undecided(conn: Connection) -> list[Incident]:
    """Those that wait for a person."""
    return [one for one in waiting(conn) if one.taker is None]


def take(conn: Connection, ledger: Ledger, incident: Incident, now: datetime) -> Taken | None:
    """Let late segments count; None where no computer of the place is there to take up what does not fit any more.

    Raises the refusal of what may not be stored.
    """
    if incident.code == OriginRevoked.code:
        try:
            with conn.begin_nested():
                stored = sum(_where_it_ended(conn, ledger, part) for part in incidents.evidence_of(conn, incident))
                incidents.resolve(conn, incident, now)
            return Taken(stored=stored)
        except ForkFound:
            pass  # the stream has gone another way here
    taker = _computer_at(conn, incident.stream.scope)
    if taker is None:
        return None
    incidents.hand_to(conn, incident, taker.node)
    return Taken(taker=taker)


def leave(conn: Connection, incident: Incident, now: datetime) -> None:
    """Leave late segments out. They stay as evidence."""
    incidents.resolve(conn, incident, now)


def _is_fork_of(incident: Incident, withdrawn: set[str]) -> bool:
    return incident.code == ForkFound.code and incident.stream.origin.node in withdrawn


def _where_it_ended(conn: Connection, ledger: Ledger, segment: Segment) -> int:
    """Store a segment in its stream. Raises `ForkFound` when it does not go on there, or repeats what was taken up."""
    outcome = ledger.take_late(conn, segment)
    if outcome.refusals:
        raise outcome.refusals[0]
    if outcome.held or reconciling.is_partly_elsewhere(conn, segment):
        raise ForkFound(stream=str(segment.stream), seq=segment.first)
    return outcome.stored


def _computer_at(conn: Connection, scope: Scope) -> Peer | None:
    """The newest computer that records there."""
    running = (peer for peer in reversed(peers.all_peers(conn)) if peer.revoked_after is None and not peer.introduces)
    return next((peer for peer in running if within(scope, peer.write_scopes)), None)
