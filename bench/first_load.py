"""A first load: what the hub spends on it when everything is packed afresh, and when parts of a snapshot are ready.

A hub on PostgreSQL answers in this process, stations on SQLite ask; the processor's time inside the answers is counted,
the database server's own is not. Each size is loaded three ways: pulled as on any day, as the first of a crowd (parts
are packed), and as any later one (parts are ready). Where the third costs less than the first by more than it asks more
often is where a snapshot begins to be right: `Limits.snapshot_events_min`.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine

from bench.sync_throughput import HALL, PUB, drafts, node
from service.demo.servers import PrivatePostgres
from sync.enrolment import enrol, issue_code
from sync.exchange import exchange
from sync.replica import Replica
from sync.responder import Responder
from sync.testing import sqlite_engine
from sync.testing.transports import DirectTransport

SIZES = (2048, 4096, 8192, 20480)
NEVER = 2**40


@dataclass
class Metered:
    """A line in this process that counts requests and the processor's time the hub takes to answer them."""

    hub: Replica
    requests: int = 0
    spent_s: float = 0.0

    def __post_init__(self) -> None:
        self._inner = DirectTransport(Responder(self.hub))

    def post(self, verb: str, body: bytes) -> bytes:
        began = time.thread_time()
        try:
            return self._inner.post(verb, body)
        finally:
            self.requests += 1
            self.spent_s += time.thread_time() - began


def run() -> dict[str, Any]:
    """Milliseconds of the hub's processor per load, requests, and the share of the ready parts at the largest size."""
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="lianxin-bench-") as folder:
        with PrivatePostgres(Path(folder) / "postgres") as postgres:
            for size in SIZES:
                place = Path(folder) / str(size)
                hub = node(place / "hub", create_engine(postgres.create_database(f"hub{size}")))
                with hub.engine.begin() as conn:
                    hub.ledger.append(conn, PUB, drafts(size, seed=1))
                for way, cost in _three_ways(hub, place).items():
                    found |= {f"{name}_{size}_{way}": value for name, value in cost.items()}
                hub.engine.dispose()
    share = round(found[f"hub_ms_{SIZES[-1]}_ready"] / found[f"hub_ms_{SIZES[-1]}_pulled"], 3)
    return {**found, "share_of_packing_afresh": share, "share_of_packing_afresh_budget": 0.5}


def _three_ways(hub: Replica, place: Path) -> dict[str, Any]:
    limits = {"pulled": NEVER, "packed": 1, "ready": 1}
    return {
        way: _load(replace(hub, limits=replace(hub.limits, snapshot_events_min=events)), place / way)
        for way, events in limits.items()
    }


def _load(hub: Replica, place: Path) -> dict[str, Any]:
    place.mkdir()
    station = node(place, sqlite_engine(place / "station.db"))
    with hub.engine.begin() as conn:
        code = issue_code(conn, name="qd", read_scopes=[PUB, HALL], write_scopes=[HALL], now=hub.now())
    peer = enrol(station, DirectTransport(Responder(hub)), code).hub
    line, began = Metered(hub), time.perf_counter()
    while not exchange(station, peer, line).verified:
        pass
    took_ms = (time.perf_counter() - began) * 1000
    station.engine.dispose()
    return {"hub_ms": round(line.spent_s * 1000, 1), "requests": line.requests, "took_ms": round(took_ms)}
