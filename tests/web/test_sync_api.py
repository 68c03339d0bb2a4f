"""The hub's half of the exchange over HTTP: whatever a peer sends gets bytes or a named refusal, never a fault."""

from __future__ import annotations

import io
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.exc import OperationalError

from config import jobs
from service.actions import projecting, registering
from service.actions.enrolling import create_code
from service.actions.syncing import replica
from service.domain.people import Actor, Role
from service.node import Node, build_node
from service.store import schema
from service.web import sync_api
from service.web.app import create_app
from sync import peers
from sync.errors import SyncError, decode_error
from sync.exchange import enrol, exchange
from sync.limits import Limits
from sync.tables import sync_peers
from sync.wire import CONTENT_TYPE
from tests.web.conftest import NodeRole, NoJobs, Township, _settings
from tests.web.hub_cases import Cases, new_opinion

ADMIN = Actor(account="a", name="管理员(测试)", role=Role.ADMIN)
PORTAL = b"<!doctype html><html><body><h1>\xe8\xaf\xb7\xe7\x99\xbb\xe5\xbd\x95</h1></body></html>"


@dataclass
class Bell:
    """Writes down which jobs were asked for."""

    rung: list[str] = field(default_factory=list)

    def request(self, name: str) -> None:
        self.rung.append(name)


@dataclass
class ClientLine:
    """A transport that goes through the web application; keeps what was said for later."""

    client: FlaskClient
    said: list[tuple[str, bytes]] = field(default_factory=list)

    def post(self, verb: str, body: bytes) -> bytes:
        self.said.append((verb, body))
        answer = self.client.post(f"/sync/v1/{verb}", data=body, content_type=CONTENT_TYPE)
        if answer.status_code != 200:
            raise decode_error(answer.data)
        return answer.data


@pytest.fixture
def line(hub_app: Flask) -> ClientLine:
    return ClientLine(hub_app.test_client())


def hub_peer(station: Node) -> peers.Peer:
    with station.reading() as connection:
        return next(peer for peer in peers.all_peers(connection) if peer.introduces)


def refused(client: FlaskClient, body: bytes, verb: str = "hello", **request: Any) -> SyncError:
    """The named refusal; fails the test when the answer is anything else."""
    answer = client.post(f"/sync/v1/{verb}", data=body, **{"content_type": CONTENT_TYPE, **request})
    assert 400 <= answer.status_code < 500, answer.status_code
    assert answer.content_type == CONTENT_TYPE
    assert "Set-Cookie" not in answer.headers
    error = decode_error(answer.data)
    assert error.status == answer.status_code
    assert error.hint
    return error


# --- what goes well --------------------------------------------------------------------------------------------


def test_a_station_exchanges_over_it_and_the_projection_is_rung(township: Township, line: ClientLine) -> None:
    township.hub.jobs = bell = Bell()
    with township.station.unit(Actor(account="l", name="联络员", role=Role.LIAISON, station="qd")) as unit:
        made = registering.register(unit, new_opinion(), "qd")
    report = exchange(replica(township.station), hub_peer(township.station), line)
    assert report.verified
    assert jobs.PROJECTION in bell.rung
    projecting.sweep(township.hub)
    assert Cases(township).state(made.opinion) == "registered"


def test_an_idle_exchange_is_one_small_request_and_rings_nothing(township: Township, line: ClientLine) -> None:
    exchange(replica(township.station), hub_peer(township.station), line)
    township.hub.jobs = bell = Bell()
    line.said.clear()
    report = exchange(replica(township.station), hub_peer(township.station), line)
    assert (report.verified, [verb for verb, _ in line.said], bell.rung) == (True, ["hello"], [])
    assert report.bytes_sent + report.bytes_received < 1024


def test_enrolling_publishes_the_new_node_at_once(township: Township, line: ClientLine, tmp_path: Any) -> None:
    with township.hub.unit(ADMIN) as unit:
        code = create_code(unit, "qn")
    newcomer = build_node(_settings(NodeRole.STATION, tmp_path / "qn"), jobs=NoJobs(), now=township.clock)
    schema.upgrade(newcomer.engine)
    assert enrol(replica(newcomer), line, code).name == "qn"
    with township.hub.reading() as connection:
        assert newcomer.identity.node in township.hub.town(connection).nodes
    newcomer.engine.dispose()


# --- what is refused -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["hello", "push", "pull", "enrol"])
@pytest.mark.parametrize(
    "body", [b"", b"\x00", PORTAL, b"LXM1", b"LXM1\xff\xff" + b"x" * 100, random.Random(7).randbytes(999)]
)
def test_bodies_that_are_no_request_are_malformed(hub_app: Flask, verb: str, body: bytes) -> None:
    assert refused(hub_app.test_client(), body, verb).code == "malformed"


@pytest.mark.parametrize("kind", ["text/html", "application/json", "application/x-www-form-urlencoded", None])
def test_another_content_type_is_refused_unread(hub_app: Flask, kind: str | None) -> None:
    error = refused(hub_app.test_client(), PORTAL, content_type=kind)
    assert (error.code, error.data) == ("malformed", {"what": "content_type"})


@pytest.mark.parametrize("verb", ["nonsense", "HELLO", "..", "x" * 300])
def test_an_unknown_verb_is_named(hub_app: Flask, verb: str) -> None:
    assert refused(hub_app.test_client(), b"x", verb).code == "unknown_verb"


def test_a_body_announced_too_large_is_refused_before_it_is_read(hub_app: Flask) -> None:
    class Unread(io.RawIOBase):
        def readinto(self, buffer: Any) -> int:
            raise AssertionError("the body was read")

    announced = {"wsgi.input": Unread(), "CONTENT_LENGTH": str(10**12)}
    assert refused(hub_app.test_client(), b"", "push", environ_overrides=announced).code == "too_large"


@pytest.mark.parametrize(
    ("verb", "ceiling"), [("hello", Limits().message_bytes_max), ("push", Limits().bundle_bytes_max)]
)
def test_a_body_that_does_not_end_is_cut_off_at_the_ceiling(hub_app: Flask, verb: str, ceiling: int) -> None:
    class Endless(io.RawIOBase):
        given = 0

        def readinto(self, buffer: Any) -> int:
            self.given += len(buffer)
            return len(buffer)

    stream = Endless()
    chunked = {"wsgi.input": stream, "wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked",
               "CONTENT_LENGTH": ""}  # fmt: skip
    assert refused(hub_app.test_client(), b"", verb, environ_overrides=chunked).code == "too_large"
    assert stream.given < ceiling + 2**20


def test_the_ceiling_of_forms_does_not_hold_for_bundles(hub_app: Flask) -> None:
    """Seen: every bundle above the forms' 1 MiB was answered with an HTML page, and the station could never send it."""
    assert refused(hub_app.test_client(), b"x" * (2 * 2**20), "push").code == "malformed"


def test_a_line_that_breaks_inside_the_body_is_malformed(hub_app: Flask) -> None:
    class Breaks(io.RawIOBase):
        def readinto(self, buffer: Any) -> int:
            raise ConnectionResetError("peer went away")

    broken = {"wsgi.input": Breaks(), "CONTENT_LENGTH": "100"}
    assert refused(hub_app.test_client(), b"", environ_overrides=broken).code == "malformed"


def test_a_request_said_again_is_answered_once(township: Township, line: ClientLine, hub_app: Flask) -> None:
    exchange(replica(township.station), hub_peer(township.station), line)
    for verb, body in line.said:
        assert refused(hub_app.test_client(), body, verb).code == "counter_too_low"


def test_a_request_sent_under_another_verb_is_refused(township: Township, line: ClientLine, hub_app: Flask) -> None:
    exchange(replica(township.station), hub_peer(township.station), line)
    assert refused(hub_app.test_client(), line.said[0][1], "pull").code == "malformed"


def test_a_strangers_request_is_refused_by_name(township: Township, hub_app: Flask, line: ClientLine) -> None:
    with township.hub.engine.begin() as connection:
        connection.execute(sync_peers.delete())
    with pytest.raises(SyncError) as refusal:
        exchange(replica(township.station), hub_peer(township.station), line)
    assert refusal.value.code == "unknown_peer"


def mutations(body: bytes, seed: int, count: int) -> Iterator[bytes]:
    """The body with bytes changed, cut off, repeated or inserted; printed seed repeats the run."""
    dice = random.Random(seed)
    for _ in range(count):
        at, other = dice.randrange(len(body)), dice.randrange(len(body))
        yield dice.choice((
            body[:at] + bytes([dice.randrange(256)]) + body[at + 1 :], body[:at], body[:at] + body[other:],
            body[:at] + dice.randbytes(dice.randrange(1, 40)) + body[at:], body + body[other:],
        ))  # fmt: skip


def test_a_thousand_damaged_requests_get_a_thousand_named_refusals(
    township: Township, line: ClientLine, hub_app: Flask
) -> None:
    with township.station.unit(Actor(account="l", name="联络员", role=Role.LIAISON, station="qd")) as unit:
        registering.register(unit, new_opinion(), "qd")
    exchange(replica(township.station), hub_peer(township.station), line)
    client, codes = hub_app.test_client(), set()
    for number, (verb, body) in enumerate(line.said):
        for damaged in mutations(body, seed=number, count=1000 // len(line.said)):
            if damaged != body:
                codes.add(refused(client, damaged, verb).code)
    assert codes <= {"malformed", "bad_signature", "unknown_peer", "wrong_recipient", "counter_too_low",
                     "format_unsupported"}, codes  # fmt: skip


# --- our own faults --------------------------------------------------------------------------------------------


def test_a_database_that_is_away_says_come_back_later(township: Township) -> None:
    class Away:
        def answer(self, verb: str, body: object) -> bytes:
            raise OperationalError("SELECT 1", {}, Exception("connection refused"))

    app = Flask("hub")
    app.register_blueprint(sync_api.blueprint(township.hub, Away(), Limits()))  # type: ignore[arg-type]
    answer = app.test_client().post("/sync/v1/hello", data=b"x", content_type=CONTENT_TYPE)
    assert (answer.status_code, decode_error(answer.data).code) == (503, "peer_busy")


def test_a_station_has_no_such_door(township: Township) -> None:
    client = create_app(township.station).test_client()
    assert client.post("/sync/v1/hello", data=b"x", content_type=CONTENT_TYPE).status_code in (400, 404)


def test_a_browser_that_strays_here_gets_a_page(hub_app: Flask) -> None:
    assert hub_app.test_client().get("/sync/v1/hello").status_code == 405
