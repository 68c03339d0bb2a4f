"""A township that can be visited: hub on PostgreSQL and stations on SQLite, each serving its pages on loopback."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

from pydantic import SecretStr

from config.settings import NodeRole, Settings
from service.actions import covering, enrolling, escalating, projecting, syncing
from service.demo import town
from service.jobs import NoJobs
from service.node import Node, build_node
from service.store import schema
from service.web.app import create_app
from service.web.limits import limiter
from sync.exchange import ExchangeReport
from tests.serving import Served

TOWN = "445222113"
HUB = "hub"
PUBLIC = "https://lianxin.example"  # what receipts print; nobody answers there
# 09:00 on a Monday; the make-up Sunday and the holiday of the next two weeks make the countdowns worth looking at.
MONDAY = datetime(2026, 9, 14, 1, 0, tzinfo=UTC)
PASSWORDS = {account.username: f"sample-{account.username}-9" for account in town.accounts()}


class Clock:
    """The time of the whole town, moved by hand."""

    def __init__(self, start: datetime = MONDAY) -> None:
        self._now = start
        self._lock = threading.Lock()

    def __call__(self) -> datetime:
        with self._lock:
            return self._now

    def go_on(self, **span: float) -> None:
        with self._lock:
            self._now += timedelta(**span)


@dataclass(slots=True)
class House:
    """One node with its pages: the hub or a station."""

    node: Node
    pages: Served

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.pages.port}"


@dataclass(slots=True)
class Stage:
    """Everything a visit needs. Nothing runs by itself: exchanges and sweeps are asked for."""

    clock: Clock
    hub: House
    stations: dict[str, House] = field(default_factory=dict)

    def house(self, home: str) -> House:
        return self.hub if home == HUB else self.stations[home]

    def exchange(self, code: str) -> ExchangeReport:
        """One exchange of the station with the hub, folded on both ends."""
        report = syncing.exchange_now(self.stations[code].node)
        projecting.sweep(self.hub.node)
        return report

    def sweep(self) -> int:
        """The hub's escalation sweep; gives the cards fired."""
        return escalating.sweep(self.hub.node).fired

    def days_pass(self, days: int) -> int:
        """Days with a sweep each morning; gives the cards fired."""
        fired = 0
        for _ in range(days):
            self.clock.go_on(days=1)
            fired += self.sweep()
        return fired

    def compile_coverage(self) -> None:
        covering.publish_if_changed(self.hub.node)


@contextmanager
def built(folder: Path, postgres_url: str, codes: tuple[str, ...] = ("qd",)) -> Iterator[Stage]:
    """The sample town with these stations enrolled, their receptions held and everybody's account made."""
    # Every test signs in from the same address; what the limit does is tested where it lives.
    limiter.enabled = False
    clock, ports = Clock(), _free_ports(1 + len(codes))
    stage = Stage(clock=clock, hub=_hub(folder, postgres_url, clock, ports[0]))
    try:
        for code, port in zip(codes, ports[1:], strict=True):
            stage.stations[code] = _station(folder, stage, code, port)
        stage.compile_coverage()
        yield stage
    finally:
        for house in (stage.hub, *stage.stations.values()):
            house.pages.close()
            house.node.engine.dispose()
        limiter.enabled = True


def _hub(folder: Path, postgres_url: str, clock: Clock, port: int) -> House:
    settings = Settings(
        role=NodeRole.HUB, town=TOWN, data_dir=folder / HUB, database_url=SecretStr(postgres_url),
        public_url=PUBLIC,
    )  # fmt: skip
    house = _house(settings, clock, port)
    town.found_sample(house.node)
    town.create_accounts(house.node, HUB, PASSWORDS)
    return house


def _station(folder: Path, stage: Stage, code: str, port: int) -> House:
    """Enrolled as at a real installation: by a one-time code, over HTTP."""
    settings = Settings(town=TOWN, data_dir=folder / code, hub_url=stage.hub.url, public_url=PUBLIC)
    house = _house(settings, stage.clock, port)
    with stage.hub.node.unit(town.FOUNDER) as unit:
        secret = enrolling.create_code(unit, code)
    enrolling.enrol(house.node, secret)
    syncing.announce_enrolled(stage.hub.node)
    town.create_accounts(house.node, code, PASSWORDS)
    town.hold_receptions(house.node, code)
    stage.stations[code] = house
    stage.exchange(code)
    return house


def _house(settings: Settings, now: Callable[[], datetime], port: int) -> House:
    node = build_node(settings, jobs=NoJobs(), now=now)
    schema.upgrade(node.engine)
    projecting.rebuild_if_outdated(node)
    house = House(node=node, pages=Served(app=create_app(node), port=port))
    house.pages.open()
    return house


def _free_ports(count: int) -> list[int]:
    """Ports that nobody uses right now, all held at once so that they differ."""
    with_each = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [probe.getsockname()[1] for probe in with_each]
    for probe in with_each:
        probe.close()
    return ports


@cache
def home_of(username: str) -> str:
    return next(account.home for account in town.accounts() if account.username == username)
