"""A township in two folders: a hub and the station qd, real nodes on real SQLite, talking without a network."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from jinja2.bccache import Bucket, BytecodeCache
from sqlalchemy import select
from werkzeug.test import TestResponse as Page

from config.settings import NodeRole, Settings
from service.actions import accounts, projecting, replacing
from service.actions.enrolling import create_code
from service.actions.syncing import announce_enrolled, replica
from service.demo.town import FOUNDER, found_sample
from service.domain.people import Role
from service.jobs import NoJobs
from service.node import Node, build_node
from service.store import node_facts, schema, tables
from service.web.app import create_app
from sync import peers
from sync.exchange import enrol, exchange
from tests.web.form_reader import main_form

MONDAY = datetime(2026, 11, 16, 2, 0, tzinfo=UTC)  # ten in the morning, Asia/Shanghai
PASSWORD = "a long enough word"


class Clock:
    """Stands still until told otherwise."""

    def __init__(self, at: datetime) -> None:
        self.at = at

    def __call__(self) -> datetime:
        return self.at

    def pass_by(self, **time: float) -> None:
        self.at += timedelta(**time)


class Line:
    """A transport without a network: straight to the hub's responder."""

    def __init__(self, hub: Node) -> None:
        self._responder = replacing.responder(hub)

    def post(self, verb: str, body: bytes) -> bytes:
        return self._responder.answer(verb, body)

    def close(self) -> None:
        return


class Browser:
    """A client that fills forms as a person does: opens the page, keeps the hidden fields, types, sends."""

    def __init__(self, app: Flask) -> None:
        self.client: FlaskClient = app.test_client()

    def get(self, path: str) -> Page:
        return self.client.get(path)

    def form(self, path: str, having: str = "csrf_token") -> dict[str, object]:
        """What the page's form would send if nothing were typed."""
        return dict(main_form(self.client.get(path).text, having).values)

    def send(self, path: str, follow: bool = False, at: str = "", having: str = "csrf_token", **typed: object) -> Page:
        """Open `path`, type, and post to `at` or the same place."""
        return self.client.post(at or path, data={**self.form(path, having), **typed}, follow_redirects=follow)

    def sign_in(self, username: str, password: str = PASSWORD) -> Page:
        return self.send("/login", username=username, password=password)

    def sit_down(self, node: Node, username: str) -> None:
        """Signed in already; the slow hash of a password is tested elsewhere."""
        with node.reading() as connection:
            row = connection.execute(select(tables.accounts).where(tables.accounts.c.username == username)).one()
        with self.client.session_transaction() as session:
            session["_user_id"] = f"{row.id}:{row.session_stamp}"

    def speak(self, language: str) -> None:
        self.client.get(f"/language/{language}")


@dataclass(slots=True)
class Township:
    """Both nodes, one clock; `exchange` is the line coming back for a moment."""

    hub: Node
    station: Node
    clock: Clock

    def exchange(self) -> None:
        with self.station.reading() as connection:
            hub = next(peer for peer in peers.all_peers(connection) if peer.introduces)
        exchange(replica(self.station), hub, Line(self.hub))
        projecting.sweep(self.hub)
        projecting.sweep(self.station)


def _settings(role: NodeRole, folder: Path) -> Settings:
    """A hub asks for PostgreSQL; here both are SQLite, since pages are what is tested."""
    return Settings.model_construct(
        role=role, town="445222113", data_dir=folder, public_url="https://hub.example", hub_url="https://hub.example"
    )


def _open(role: NodeRole, folder: Path, clock: Clock) -> Node:
    return build_node(_settings(role, folder), jobs=NoJobs(), now=clock)


STATION_PEOPLE = (("liaison", Role.LIAISON, ""), ("chief", Role.CHIEF, ""), ("deputy", Role.DEPUTY, "d01"))
HUB_PEOPLE = (("clerk", Role.CLERK, ""), ("chair", Role.CHAIR, ""), ("handler", Role.HANDLER, "water"),
              ("head", Role.UNIT_HEAD, "water"), ("admin", Role.ADMIN, ""), ("auditor", Role.AUDITOR, ""),
              ("presidium", Role.PRESIDIUM, ""))  # fmt: skip


@pytest.fixture(scope="session")
def founded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The township on its first morning; every test works on a copy."""
    folder, clock = tmp_path_factory.mktemp("township"), Clock(MONDAY - timedelta(days=1))
    hub, station = _open(NodeRole.HUB, folder / "hub", clock), _open(NodeRole.STATION, folder / "qd", clock)
    for node in (hub, station):
        schema.upgrade(node.engine)
        projecting.rebuild_if_outdated(node)
    found_sample(hub)
    with hub.unit(FOUNDER) as unit:
        code = create_code(unit, "qd")
    enrolled = enrol(replica(station), Line(hub), code)
    with station.engine.begin() as connection:
        node_facts.put(connection, "station", enrolled.name)
        node_facts.put(connection, "hub_node", enrolled.hub.node)
    announce_enrolled(hub)
    Township(hub, station, clock).exchange()
    _create_accounts(hub, station)
    for node in (hub, station):
        node.engine.dispose()
    return folder


def _create_accounts(hub: Node, station: Node) -> None:
    # One slow hash serves all: what is tested is not Argon2.
    with station.unit(FOUNDER) as unit:
        for username, role, deputy in STATION_PEOPLE:
            accounts.create_account(unit, accounts.NewAccount(
                username=username, name=f"{username}(测试)", role=role.value, password=PASSWORD, station="qd",
                deputy=deputy,
            ))  # fmt: skip
    with hub.unit(FOUNDER) as unit:
        for username, role, at_unit in HUB_PEOPLE:
            accounts.create_account(unit, accounts.NewAccount(
                username=username, name=f"{username}(测试)", role=role.value, password=PASSWORD, unit=at_unit,
            ))  # fmt: skip


@pytest.fixture
def township(founded: Path, tmp_path: Path) -> Iterator[Township]:
    shutil.copytree(founded, tmp_path / "township")
    clock = Clock(MONDAY)
    hub = _open(NodeRole.HUB, tmp_path / "township" / "hub", clock)
    station = _open(NodeRole.STATION, tmp_path / "township" / "qd", clock)
    yield Township(hub, station, clock)
    hub.engine.dispose()
    station.engine.dispose()


class CompiledTemplates(BytecodeCache):
    """Every test has an application of its own; their templates are compiled once."""

    def __init__(self) -> None:
        self._kept: dict[str, bytes] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        if bucket.key in self._kept:
            bucket.bytecode_from_string(self._kept[bucket.key])

    def dump_bytecode(self, bucket: Bucket) -> None:
        self._kept[bucket.key] = bucket.bytecode_to_string()


COMPILED = CompiledTemplates()


def _app(node: Node) -> Flask:
    app = create_app(node)
    app.jinja_env.bytecode_cache = COMPILED
    return app


@pytest.fixture
def station_app(township: Township) -> Flask:
    return _app(township.station)


@pytest.fixture
def hub_app(township: Township) -> Flask:
    return _app(township.hub)


@pytest.fixture
def at_station(station_app: Flask, township: Township) -> Callable[[str], Browser]:
    """A browser in which somebody of the station is signed in."""

    def sit_down(username: str) -> Browser:
        browser = Browser(station_app)
        browser.sit_down(township.station, username)
        return browser

    return sit_down


@pytest.fixture
def at_hub(hub_app: Flask, township: Township) -> Callable[[str], Browser]:
    """A browser in which somebody of the hub is signed in."""

    def sit_down(username: str) -> Browser:
        browser = Browser(hub_app)
        browser.sit_down(township.hub, username)
        return browser

    return sit_down
