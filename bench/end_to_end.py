"""From a station's first request until its opinions stand in the hub's read tables, on the processes of a real town.

The hub runs as installed: gunicorn, a Celery worker that is rung after every push, PostgreSQL, Redis. The station's
half runs in this process, so its work counts as well. A plain COPY of the same rows in the same run is the peer that
tells a slow machine from slow code.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, func, select

from bench import copy_peer, facts
from service.actions.syncing import hub_transport, replica
from service.demo.private_server import free_port
from service.demo.township import Township
from service.node import Node
from service.store import tables
from sync import peers
from sync.events import Scope
from sync.exchange import exchange
from sync.peers import Peer
from sync.tables import ledger_pending

EVENTS = 20_000
STORED_PER_S_BUDGET, BOTH_PER_S_BUDGET = 20_000, 15_000
COPY_SHARE_BUDGET = 0.10
GIVE_UP_S = 600.0
_LOOK_S = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Took:
    """Seconds from the first request: until everything was stored and verified equal, and until it was applied."""

    events: int
    stored_s: float
    applied_s: float


def run() -> dict[str, Any]:
    """Events per second through storing and through both steps."""
    with town() as (station, hub):
        return _measured(station, hub)


@contextmanager
def town() -> Iterator[tuple[Node, Node]]:
    """A station (opened in this process) and the hub of a running town, warm: what the start recorded is exchanged."""
    with tempfile.TemporaryDirectory(prefix="lianxin-bench-") as folder:
        township = Township(Path(folder), [free_port(), free_port()], lambda _: None, stations=(facts.STATION,))
        try:
            township.start()
            township.processes[facts.STATION].stop()
            with township.node(facts.STATION) as station, township.node("hub") as hub:
                transport = hub_transport(station)
                exchange(replica(station), _hub(station), transport)
                transport.close()
                yield station, hub
        finally:
            township.stop()


def _measured(station: Node, hub: Node) -> dict[str, Any]:
    numbers = Numbers()
    send(station, hub, numbers.next(1_000))  # connections open, statements prepared, calendars indexed
    took = min((send(station, hub, numbers.next(EVENTS)) for _ in range(3)), key=lambda one: one.applied_s)
    copy_per_s = copy_peer.rows_per_s(hub.engine, EVENTS)
    both = took.events / took.applied_s
    return {
        "events": took.events,
        "stored_per_s": round(took.events / took.stored_s), "stored_per_s_budget": STORED_PER_S_BUDGET,
        "both_per_s": round(both), "both_per_s_budget": BOTH_PER_S_BUDGET,
        "copy_per_s": round(copy_per_s), "share_of_copy": round(both / copy_per_s, 3),
        "share_of_copy_budget": COPY_SHARE_BUDGET,
    }  # fmt: skip


class Numbers:
    """Hands out opinions that nobody has sent yet."""

    def __init__(self) -> None:
        self._next = 1

    def next(self, events: int) -> range:
        """The numbers of the opinions that make so many events."""
        opinions = events // facts.EVENTS_PER_OPINION
        self._next += opinions
        return range(self._next - opinions, self._next)


def send(station: Node, hub: Node, opinions: range) -> Took:
    """Record these opinions at the station, then exchange, and wait until the hub has folded all of them."""
    events = len(opinions) * facts.EVENTS_PER_OPINION
    facts.append(station, _scope(station), facts.drafts(facts.at_the_station, opinions, facts.LIAISON))
    with hub.reading() as connection:
        before = _shown(connection)
    peer, transport = _hub(station), hub_transport(station)
    began = time.perf_counter()
    report = exchange(replica(station), peer, transport)
    stored_s = time.perf_counter() - began
    transport.close()
    assert report.verified, report
    assert report.pushed == events, report
    applied_s = _applied_s(hub, began)
    with hub.reading() as connection:
        assert _shown(connection) == before + len(opinions)
    return Took(events=events, stored_s=stored_s, applied_s=applied_s)


def _hub(station: Node) -> Peer:
    with station.reading() as connection:
        (peer,) = peers.all_peers(connection)
    return peer


def _scope(station: Node) -> Scope:
    return station.station_scope(facts.STATION)


def _shown(connection: Connection) -> int:
    return int(connection.execute(select(func.count()).select_from(tables.opinions)).scalar_one())


def _applied_s(hub: Node, began: float) -> float:
    """Seconds from `began` until nothing waits to be folded any more. Looks for one, as counting all would cost."""
    one = select(ledger_pending.c.subject).limit(1)
    while time.perf_counter() - began < GIVE_UP_S:
        with hub.reading() as connection:
            if connection.execute(one).first() is None:
                return time.perf_counter() - began
        time.sleep(_LOOK_S)
    raise TimeoutError(f"not applied within {GIVE_UP_S:.0f} s")


if __name__ == "__main__":
    print(run())
