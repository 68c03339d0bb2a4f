"""A county's hub, two townships' hubs and a station in one process, joined by real HTTP on loopback."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flask import Flask

from config.settings import NodeRole, Settings
from service.actions import enrolling, founding, gathering, projecting, summing, syncing
from service.domain import facts as f
from service.jobs import NoJobs
from service.node import Node, build_node
from service.store import sums_queries
from service.web import sync_api
from sync.asking import ExchangeReport
from sync.exchange import Responder
from sync.limits import Limits
from tests.flows.conftest import ADMIN, VILLAGE, Clock, Line, ready

COUNTY, QIANKENG, PINGSHANG = "445222", "445222113", "445222114"
NAMES = {QIANKENG: "钱坑镇", PINGSHANG: "坪上镇(虚构)"}
WSGI = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class Switchboard:
    """Puts a served address through to the hub of the test that runs: starting a server takes longer than a test."""

    def __init__(self) -> None:
        self.line = Line(self)  # type: ignore[arg-type]
        self._app: WSGI | None = None

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        assert self._app is not None
        return self._app(environ, start_response)

    @contextmanager
    def cut(self) -> Iterator[None]:
        """Nobody answers at the address meanwhile."""
        self.line.cut()
        try:
            yield
        finally:
            self.line.mend()

    def put_through(self, hub: Node) -> None:
        app = Flask(hub.settings.town)
        app.register_blueprint(sync_api.blueprint(hub, Responder(syncing.replica(hub)), Limits()))
        self._app = app.wsgi_app


@dataclass(frozen=True)
class Lines:
    """To the county's hub, and to the hub of 钱坑."""

    county: Switchboard
    qiankeng: Switchboard


def settings(folder: Path, home: str, lines: Lines) -> Settings:
    """A hub asks for PostgreSQL, which the contract suite covers; here three of them are to start in a moment."""
    if home == "qd":
        return Settings(data_dir=folder / home, town=QIANKENG, hub_url=lines.qiankeng.line.url)
    above = None if home == COUNTY else lines.county.line.url
    return Settings.model_construct(role=NodeRole.HUB, town=home, data_dir=folder / home, hub_url=above)


@dataclass
class County:
    """The county's office, its townships' hubs, and the station of one of them."""

    clock: Clock
    lines: Lines
    hub: Node
    towns: dict[str, Node]
    station: Node

    @property
    def nodes(self) -> tuple[Node, ...]:
        return (self.hub, *self.towns.values(), self.station)

    def sum_up(self, town: str) -> int:
        return summing.sum_up(self.towns[town])

    def exchange(self, *towns: str) -> list[ExchangeReport]:
        """The townships exchange with the county, which folds what came."""
        self.clock.go_on(minutes=1)
        reports = [syncing.exchange_now(self.towns[town]) for town in towns or self.towns]
        projecting.sweep(self.hub)
        return reports

    def hear_station(self) -> bool:
        """The station exchanges with its township; whether both were found equal."""
        report = syncing.exchange_now(self.station)
        projecting.sweep(self.towns[QIANKENG])
        return report.verified

    def sums(self, town: str, at: Node | None = None, month: str = "2026-09") -> f.TownshipSummed | None:
        with (at or self.hub).reading() as connection:
            row = sums_queries.sums_of(connection, town, month)
        return row.sums if row else None


def code_for(hub: Node, below: str) -> str:
    with hub.unit(ADMIN) as unit:
        return enrolling.create_code(unit, below)


def found_county(hub: Node) -> None:
    with hub.unit(ADMIN) as unit:
        founding.found(unit, COUNTY, "揭西县")
    with hub.unit(ADMIN) as unit:
        for code, name in NAMES.items():
            gathering.state_township(unit, code, name)


def found_township(hub: Node) -> None:
    town = hub.settings.town
    with hub.unit(ADMIN) as unit:
        founding.found(unit, town, NAMES[town])
        area = VILLAGE if town == QIANKENG else f"{town}201"
        opened_on = unit.today
        fact = f.StationStated(code="qd", name="钱东村联络站", tier="station", area=area, opened_on=opened_on)
        unit.record("station/qd", fact, scope=unit.public_scope)
        unit.record("unit/water", f.UnitStated(code="water", name="水务所", kind="institute"), scope=unit.public_scope)


def found_all(folder: Path, clock: Clock, lines: Lines) -> None:
    """Three hubs founded, all enrolled with the one above over HTTP by one-time codes, nothing counted yet."""
    county, *towns = hubs = [ready(settings(folder, home, lines), clock) for home in (COUNTY, *NAMES)]
    found_county(county)
    lines.county.put_through(county)
    for town in towns:
        found_township(town)
        assert enrolling.enrol(town, code_for(county, town.settings.town)) == town.settings.town
    syncing.announce_enrolled(county)
    lines.qiankeng.put_through(towns[0])
    station = ready(settings(folder, "qd", lines), clock)
    enrolling.enrol(station, code_for(towns[0], "qd"))
    syncing.announce_enrolled(towns[0])
    for node in (*hubs, station):
        node.engine.dispose()


def open_all(template: Path, folder: Path, clock: Clock, lines: Lines) -> County:
    """A copy of what was founded, its hubs behind the served addresses."""
    shutil.copytree(template, folder)

    def opened(home: str) -> Node:
        return build_node(settings(folder, home, lines), jobs=NoJobs(), now=clock)

    county = County(clock=clock, lines=lines, hub=opened(COUNTY), towns={town: opened(town) for town in NAMES},
                    station=opened("qd"))  # fmt: skip
    lines.county.put_through(county.hub)
    lines.qiankeng.put_through(county.towns[QIANKENG])
    return county
