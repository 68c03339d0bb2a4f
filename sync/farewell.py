"""The last thing a computer does whose key was withdrawn: it leaves at the hub what only its disk holds.

It is served nothing any more, so the hub's branch of its streams does not come to it. It compares its own streams with
the hub's number by number (`probe`) and pushes what lies beyond the last common one. The hub refuses that and keeps it,
and a person decides (`late`). Photos and scans follow their records: the hub takes what those refer to that it holds.
"""

from collections.abc import Callable

from sync import acknowledged, blob_lane
from sync.asking import Asker
from sync.errors import LinkError, SyncError
from sync.events import Stream
from sync.forks import Forks
from sync.peers import Peer
from sync.replica import Replica


def leave_behind(replica: Replica, hub: Peer, forks: Forks, asker: Asker, monotonic: Callable[[], float]) -> None:
    """Hand over what the hub may lack of our own streams, and of what is attached to records.

    Raises `LinkError`; what the hub refuses to keep stays here.
    """
    for stream in _unknown(replica, hub):
        try:
            forks.hand_over(stream, forks.fork_point(stream))
        except LinkError:
            raise
        except SyncError:
            continue
    blob_lane.leave_behind(replica, hub, asker.plainly, monotonic)


def _unknown(replica: Replica, hub: Peer) -> list[Stream]:
    """Own streams whose head is another one than the hub stated last, if it ever did."""
    with replica.engine.begin() as conn:
        stated = acknowledged.levels(conn, hub.node)
        own = replica.ledger.own_heads(conn)
    return [stream for stream, head in own.items() if hub.is_meant_for(stream.scope) and stated.get(stream) != head]
