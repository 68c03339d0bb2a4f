"""A morning after a power cut: 500 stations wake at the same instant, each with 100 events that have to go out.

The hub runs as installed: gunicorn, a Celery worker, PostgreSQL, Redis. The stations are light: real keys, real SQLite
files, the real exchange over real HTTP, a thread for each, in processes of their own on the same processors, without
web pages and without the pause after a start that would spread them. A station that is asked to come back does so when
it was told; after any other trouble it waits as the product would. How much of the processors' time was the stations'
own is told apart, since a township has 500 computers for that.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import resource
import secrets
import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from bench import facts
from service.actions.scheduling import RETRY_MIN
from service.actions.syncing import announce_enrolled
from service.demo.private_server import free_port
from service.demo.township import HUB, Township
from service.node import Node
from sync import peers
from sync.enrolment import enrol, issue_code
from sync.errors import PeerBusy, PeerFailed, SyncError
from sync.events import Origin, Scope
from sync.exchange import exchange
from sync.identity import Identity
from sync.ledger import Ledger
from sync.peers import Peer
from sync.replica import NodeInfo, Replica
from sync.tables import metadata
from sync.testing.databases import sqlite_engine
from sync.transport import HttpTransport, Transport

STATIONS = 500
EVENTS_EACH = 100
CLIENT_PROCESSES = 2
VERIFIED_BUDGET_S = 60.0
GIVE_UP_S = 300.0
TEMPLATE = "template.sqlite3"
_TICKS = os.sysconf("SC_CLK_TCK")
_MB = 1024 * 1024


# --- one station -----------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Told:
    """What a station went through, in seconds from the common wake-up; `troubles` by the code of the error."""

    verified_s: float | None = None
    exchanges: int = 0
    requests: int = 0
    come_back: int = 0
    server_errors: int = 0
    pushed: int = 0
    troubles: Counter[str] = field(default_factory=Counter)


class Counted:
    """The line, with what passes counted: a 5xx is one whatever the exchange makes of it."""

    def __init__(self, inner: Transport, told: Told) -> None:
        self._inner, self._told = inner, told

    def post(self, verb: str, body: bytes) -> bytes:
        self._told.requests += 1
        try:
            return self._inner.post(verb, body)
        except SyncError as error:
            self._told.server_errors += isinstance(error, PeerBusy | PeerFailed)
            raise


class Light:
    """A station without pages: a copy of one that knows the hub and the town, with a key of its own."""

    def __init__(self, folder: Path, number: int) -> None:
        self.code = f"c{number:03d}"
        self.number = number
        self.identity = _new_identity()
        self._path = folder / f"{self.code}.sqlite3"
        self.scope = Scope(f"{facts.TOWN}/s/{self.code}")
        self.told = Told()
        self._wait_s = 0.0

    def record(self, template: Path) -> None:
        """What was written down before the power came back."""
        shutil.copy(template, self._path)
        opinions = range(self.number * EVENTS_EACH, self.number * EVENTS_EACH + EVENTS_EACH // facts.EVENTS_PER_OPINION)
        drafts = list(facts.drafts(facts.at_the_station, opinions, facts.LIAISON))
        engine = sqlite_engine(self._path)
        with engine.begin() as connection:
            (hub,) = peers.all_peers(connection)
            peers.set_scopes(connection, hub.node, [self.scope], [Scope(f"{facts.TOWN}/pub"), self.scope])
            Ledger(self.identity, now).append(connection, self.scope, drafts)
        engine.dispose()

    def live(self, address: str, began: float) -> None:
        """Exchange until both sides are found equal, with the product's own patience."""
        engine, dice = sqlite_engine(self._path), random.Random(self.number)
        try:
            with closing(HttpTransport(address)) as line:
                while time.monotonic() - began < GIVE_UP_S and not self._exchanged(engine, Counted(line, self.told)):
                    time.sleep(self._pause_s(dice))
            self.told.verified_s = self.told.verified_s and round(self.told.verified_s - began, 3)
        finally:
            engine.dispose()

    def _exchanged(self, engine: Engine, line: Transport) -> bool:
        replica = Replica(engine, Ledger(self.identity, now), self.identity, now, info=NodeInfo(name=self.code))
        with engine.begin() as connection:
            (hub,) = peers.all_peers(connection)
        self.told.exchanges += 1
        self._wait_s = 0.0
        try:
            report = exchange(replica, hub, line)
        except PeerBusy as busy:
            self.told.come_back += 1
            self._wait_s = float(busy.data.get("wait_s") or 0)
            return False
        except SyncError as error:
            self.told.troubles[error.code] += 1
            return False
        self.told.pushed += report.pushed
        self.told.verified_s = time.monotonic() if report.verified else None
        return report.verified

    def _pause_s(self, dice: random.Random) -> float:
        return self._wait_s or RETRY_MIN.total_seconds() * dice.uniform(0.5, 1)


def _new_identity() -> Identity:
    return Identity.from_private_key(Origin(secrets.token_hex(8), secrets.token_hex(8)), secrets.token_bytes(32))


def now() -> datetime:
    return datetime.now(UTC)


# --- a process full of them ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Cues:
    """What the processes tell each other: keys made, town known, everything written down, wake up, told."""

    keys: Any
    known: Any
    written: Any
    wake: Any
    told: Any


def stations(folder: str, numbers: range, address: str, cues: Cues) -> None:
    """Prepare these stations, wait for the wake-up, let them live, and tell."""
    crowd = [Light(Path(folder), number) for number in numbers]
    cues.keys.put([(one.code, one.identity.node, one.identity.public_key) for one in crowd])
    cues.known.wait()
    for one in crowd:
        one.record(Path(folder) / TEMPLATE)
    cues.written.release()
    before = _own_cpu_s()
    threads = [threading.Thread(target=_lived, args=(one, address, cues.wake), daemon=True) for one in crowd]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    cues.told.put((_own_cpu_s() - before, [one.told for one in crowd]))


def _lived(station: Light, address: str, wake: Any) -> None:
    wake.wait()
    station.live(address, time.monotonic())


def _own_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


# --- the hub ---------------------------------------------------------------------------------------------------------


def run(number: int = STATIONS) -> dict[str, Any]:
    """Seconds until verified, what the hub answered, and what it cost."""
    with tempfile.TemporaryDirectory(prefix="lianxin-bench-") as folder:
        town = Township(Path(folder), [free_port(), free_port()], lambda _: None, stations=(facts.STATION,))
        try:
            town.start()
            town.processes[facts.STATION].stop()
            with town.node(HUB) as hub:
                return _measured(town, hub, Path(folder), number)
        finally:
            town.stop()


def _measured(town: Township, hub: Node, folder: Path, number: int) -> dict[str, Any]:
    address, context = town.addresses[HUB], multiprocessing.get_context("spawn")
    cues = Cues(context.Queue(), context.Event(), context.Semaphore(0), context.Event(), context.Queue())
    parts = [range(part, number, CLIENT_PROCESSES) for part in range(CLIENT_PROCESSES)]
    processes = [context.Process(target=stations, args=(str(folder), part, address, cues)) for part in parts]
    for process in processes:
        process.start()
    try:
        _admit(hub, [one for _ in processes for one in cues.keys.get(timeout=GIVE_UP_S)])
        _write_template(hub, folder / TEMPLATE, address)
        cues.known.set()
        for _ in processes:
            assert cues.written.acquire(timeout=GIVE_UP_S)
        before = _hub_cpu_s(town)
        began = time.monotonic()
        cues.wake.set()
        told = [cues.told.get(timeout=GIVE_UP_S + 60) for _ in processes]
        verified_s = time.monotonic() - began
        after = _hub_cpu_s(town)
        applied_s = _applied_s(hub, began)
        return {
            **_times([one for _, part in told for one in part], number),
            **_costs(before, after, sum(cpu for cpu, _ in told), verified_s, told),
            "hub_web_peak_rss_mb": round(_peak_rss(town.processes["hub-web"].pid or 0) / _MB),
            "applied_s": round(applied_s, 1),
        }
    finally:
        for process in processes:
            process.terminate()


def _times(told: list[Told], number: int) -> dict[str, Any]:
    seconds = sorted(one.verified_s for one in told if one.verified_s is not None)
    cuts = statistics.quantiles(seconds, n=100) if len(seconds) > 1 else [0.0] * 99
    return {
        "stations": number, "events": sum(one.pushed for one in told),
        "verified_s_p50": round(cuts[49], 1), "verified_s_p95": round(cuts[94], 1),
        "verified_s_max": round(max(seconds, default=GIVE_UP_S), 1), "verified_s_budget": VERIFIED_BUDGET_S,
        "not_verified": number - len(seconds), "server_errors": sum(one.server_errors for one in told),
        "exchanges": sum(one.exchanges for one in told), "requests": sum(one.requests for one in told),
        "asked_to_come_back": sum(one.come_back for one in told),
        "asked_most_often": max(one.come_back for one in told),
        "troubles": dict(sum((one.troubles for one in told), Counter())),
    }  # fmt: skip


def _costs(
    before: dict[str, float], after: dict[str, float], clients_s: float, took_s: float, told: list[Any]
) -> dict[str, Any]:
    """CPU seconds of the hub's parts and of the stations, and their shares of what the machine had meanwhile."""
    used = {name: after[name] - before[name] for name in after}
    hub_s, requests = sum(used.values()), sum(one.requests for _, part in told for one in part)
    there = took_s * len(os.sched_getaffinity(0))
    return {
        "hub_cpu_s": round(hub_s, 1), "hub_cpu_s_by_part": {name: round(cpu, 1) for name, cpu in used.items()},
        "web_and_servers_cpu_ms_per_request": round(1000 * (used["web"] + used["servers"]) / requests, 1),
        "clients_cpu_s": round(clients_s, 1), "clients_share_of_machine": round(clients_s / there, 2),
        "hub_share_of_machine": round(hub_s / there, 2),
    }  # fmt: skip


def _write_template(hub: Node, path: Path, address: str) -> None:
    """A station's database that holds what every station reads."""
    engine = sqlite_engine(path, durable=False)
    metadata.create_all(engine)
    identity = _new_identity()
    replica = Replica(engine, Ledger(identity, now), identity, now, info=NodeInfo(name="template"))
    public = Scope(f"{facts.TOWN}/pub")
    with hub.engine.begin() as connection:
        code = issue_code(connection, name="template", now=now(), read_scopes=[public], write_scopes=[])
    with closing(HttpTransport(address)) as line:
        known = enrol(replica, line, code).hub
        announce_enrolled(hub)
        assert exchange(replica, known, line).verified
    engine.dispose()


def _admit(hub: Node, crowd: list[tuple[str, str, bytes]]) -> None:
    """Enrolled long ago: that they are is published before the others read it."""
    with hub.engine.begin() as connection:
        for code, node, key in crowd:
            own = Scope(f"{facts.TOWN}/s/{code}")
            read = (Scope(f"{facts.TOWN}/pub"), own)
            peer = Peer(node=node, public_key=key, name=code, read_scopes=read, write_scopes=(own,))
            peers.add_peer(connection, peer, now())


def _applied_s(hub: Node, began: float) -> float:
    """Seconds until the read tables hold everything."""
    while time.monotonic() - began < GIVE_UP_S:
        with hub.reading() as connection:
            if hub.ledger.pending_count(connection) == 0:
                return time.monotonic() - began
        time.sleep(0.2)
    raise TimeoutError(f"not applied within {GIVE_UP_S:.0f} s")


# --- processes -------------------------------------------------------------------------------------------------------


def _hub_cpu_s(town: Township) -> dict[str, float]:
    """CPU seconds so far of what this hub consists of; its servers are the children of this process that are left."""
    parts = {name: town.processes[f"hub-{name}"].pid or 0 for name in ("web", "worker", "beat")}
    others = {*parts.values(), *(process.pid for process in multiprocessing.active_children())}
    used = {name: _tree_cpu_s(root) for name, root in parts.items()}
    return used | {"servers": sum(_tree_cpu_s(child) for child in _children(os.getpid()) if child not in others)}


def _tree_cpu_s(root: int) -> float:
    return sum(_cpu_s(pid) for pid in _tree(root))


def _cpu_s(pid: int) -> float:
    try:
        told = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(int(ticks) for ticks in told[11:15]) / _TICKS  # its own and those of children that ended


def _peak_rss(root: int) -> int:
    """Bytes: the sum of what each process of the web servers ever held, which is above what they held together."""
    return sum(_high_water(pid) for pid in _tree(root))


def _high_water(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), 0)


def _tree(root: int) -> list[int]:
    return [root, *(pid for child in _children(root) for pid in _tree(child))]


def _children(pid: int) -> list[int]:
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        return [int(child) for task in tasks for child in (task / "children").read_text(encoding="ascii").split()]
    except OSError:
        return []


if __name__ == "__main__":
    print(json.dumps(run(int(sys.argv[1]) if len(sys.argv) > 1 else STATIONS), ensure_ascii=False, indent=1))
