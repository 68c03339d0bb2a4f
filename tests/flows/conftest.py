"""A hub on PostgreSQL and stations on SQLite in one process, joined by real HTTP on loopback."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from flask import Flask
from pydantic import SecretStr

from config.settings import NodeRole, Settings
from service.actions import doubting, enrolling, founding, projecting, replacing, syncing
from service.demo.servers import PrivatePostgres
from service.domain import facts as f
from service.domain.people import Actor, Role
from service.jobs import NoJobs
from service.node import Node, build_node
from service.store import schema
from service.web import sync_api
from sync.limits import Limits
from tests.serving import Served

MONDAY = datetime(2026, 9, 14, 1, 0, tzinfo=UTC)
TOWN, VILLAGE = "445222113", "445222113201"
ADMIN = Actor(account="admin", name="管理员(虚构)", role=Role.ADMIN)
CLERK = Actor(account="clerk", name="受理员(虚构)", role=Role.CLERK)
CHAIR = Actor(account="chair", name="主席(虚构)", role=Role.CHAIR)
LIAISON = Actor(account="liaison", name="联络员(虚构)", role=Role.LIAISON, station="qd")
HEAD = Actor(account="head", name="负责人(虚构)", role=Role.UNIT_HEAD, unit="water")


class Clock:
    """The time of a whole town, moved by hand."""

    def __init__(self, start: datetime) -> None:
        self.now = start

    def __call__(self) -> datetime:
        return self.now

    def go_on(self, **span: float) -> None:
        self.now += timedelta(**span)


@dataclass
class Line:
    """The hub's address, served on loopback; `cut` and `mend` stand for the storm and the repair."""

    app: Flask
    _served: Served = field(init=False)

    def __post_init__(self) -> None:
        self._served = Served(app=self.app, threads=2)

    @property
    def port(self) -> int:
        return self._served.port

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def mend(self) -> None:
        self._served.open()

    def cut(self) -> None:
        self._served.close()


@dataclass
class Township:
    """Everything a story needs."""

    clock: Clock
    hub: Node
    line: Line
    folder: Path
    stations: dict[str, Node] = field(default_factory=dict)

    def station(self, code: str) -> Node:
        """The station's node, enrolled through its one-time code."""
        if code not in self.stations:
            settings = Settings(data_dir=self.folder / code, town=TOWN, hub_url=self.line.url)
            node = self.stations[code] = ready(settings, self.clock)
            with self.hub.unit(ADMIN) as unit:
                secret = enrolling.create_code(unit, code)
            enrolling.enrol(node, secret)
            syncing.announce_enrolled(self.hub)
        return self.stations[code]


def ready(settings: Settings, clock: Clock) -> Node:
    node = build_node(settings, jobs=NoJobs(), now=clock)
    schema.upgrade(node.engine)
    projecting.rebuild_if_outdated(node)
    doubting.examine(node)
    return node


def found_town(hub: Node) -> None:
    with hub.unit(ADMIN) as unit:
        founding.found(unit, TOWN, "钱坑镇")
        for code, name in (("qd", "钱东村联络站"), ("zx", "中心联络站")):
            tier = "central" if code == "zx" else "station"
            fact = f.StationStated(code=code, name=name, tier=tier, area=VILLAGE)
            unit.record(f"station/{code}", fact, scope=unit.public_scope)
        water = f.UnitStated(code="water", name="水务所", kind="institute")
        unit.record("unit/water", water, scope=unit.public_scope)


@pytest.fixture(scope="session")
def founded(postgres_server: PrivatePostgres, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a founded hub, closed; its database is called as the folder. Founded once, every test has a copy."""
    folder = tmp_path_factory.mktemp("founded")
    hub = ready(_hub_settings(folder, postgres_server.create_database(folder.name)), Clock(MONDAY))
    found_town(hub)
    hub.engine.dispose()
    return folder


def _hub_settings(folder: Path, database: str) -> Settings:
    return Settings(role=NodeRole.HUB, town=TOWN, data_dir=folder, database_url=SecretStr(database))


@pytest.fixture
def township(tmp_path: Path, postgres_server: PrivatePostgres, founded: Path) -> Iterator[Township]:
    """A founded town on a Monday morning, the line up, no station yet."""
    clock, database = Clock(MONDAY), f"town_{uuid4().hex}"
    shutil.copytree(founded, tmp_path / "hub")
    hub = ready(_hub_settings(tmp_path / "hub", postgres_server.create_database(database, founded.name)), clock)
    app = Flask("hub")
    app.register_blueprint(sync_api.blueprint(hub, replacing.responder(hub), Limits()))
    line = Line(app)
    line.mend()
    town = Township(clock=clock, hub=hub, line=line, folder=tmp_path)
    yield town
    line.cut()
    for node in (hub, *town.stations.values()):
        node.engine.dispose()
    postgres_server.drop_database(database)
