"""The story: a photo from a village whose line breaks again and again, and records that never wait for it."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from random import Random
from uuid import uuid4

from flask import Response, request

from config import jobs
from service.actions import housekeeping, projecting, registering, routing, syncing
from service.actions.attaching import attach
from service.documents.uploads import Upload
from service.node import Node
from service.store import queries
from sync.blobs import Blob, BlobState
from sync.errors import PeerFailed
from sync.limits import CHUNK_BYTES
from tests.flows.conftest import CLERK, HEAD, LIAISON, VILLAGE, Township
from workers import exchange as exchange_job

PHOTO = Upload(content=Random(7).randbytes(5 * CHUNK_BYTES - 9), media_type="image/jpeg", name="水沟.jpg")
DIGEST = sha256(PHOTO.content).digest()


def register(node: Node, title: str) -> str:
    form = registering.NewOpinion(
        form=uuid4().hex, title=title, body="门口的水沟堵了。", area=VILLAGE, category="water"
    )
    with node.unit(LIAISON) as unit:
        return registering.register(unit, form, "qd").opinion


def take_photo(node: Node, opinion: str) -> None:
    with node.unit(LIAISON) as unit:
        attach(unit, opinion, PHOTO, "清淤前")


def blob(node: Node) -> Blob | None:
    with node.reading() as connection:
        return node.blobs.find(connection, DIGEST)


def content(node: Node) -> bytes | None:
    with node.reading() as connection:
        return node.blobs.read(connection, DIGEST)


def titles(node: Node) -> set[str]:
    with node.reading() as connection:
        return {row.title for row in queries.list_opinions(connection, queries.OpinionFilter()).rows}


def on_chunks(town: Township, happens: Callable[[int], Response | None]) -> None:
    """Let something happen at the n-th chunk that arrives at the hub. To be said before the first request."""
    seen: list[int] = []

    @town.line.app.before_request
    def look() -> Response | None:
        if not request.path.endswith("/chunk-put"):
            return None
        seen.append(1)
        return happens(len(seen))


def test_a_photo_arrives_in_pieces_over_days_and_records_overtake_it(township: Township) -> None:
    # Every third chunk is lost together with the line.
    on_chunks(township, lambda n: Response("<h1>502</h1>", 502) if n % 3 == 0 else None)
    station, hub = township.station("qd"), township.hub
    opinion = register(station, "水沟堵塞")
    take_photo(station, opinion)
    report = syncing.exchange_now(station)
    assert report.verified, "the record does not wait for the photo"
    projecting.sweep(hub)
    known = blob(hub)
    assert known is not None
    assert known.state is BlobState.REFERENCED

    percents = []
    for day, title in enumerate(("路灯不亮", "桥栏松动", "井盖破损")):
        register(station, title)
        township.clock.go_on(days=1)
        report = syncing.exchange_now(station)
        projecting.sweep(hub)
        assert report.verified
        assert title in titles(hub)
        assert report.blobs is not None
        assert isinstance(report.blobs.error, PeerFailed) == (day < 2)
        known = blob(hub)
        assert known is not None
        percents.append(known.percent)
    assert percents == [40, 80, 100]
    assert content(hub) == PHOTO.content

    with station.reading() as connection:
        state = syncing.sync_state(station, connection)
    assert state is not None
    assert (state.verified, state.reason) == (True, ""), "a photo's trouble is not shown as the exchange's"
    quiet = syncing.exchange_now(station)
    assert (quiet.requests, quiet.blobs) == (1, None)
    assert quiet.bytes_sent + quiet.bytes_received < 1000


def test_what_is_recorded_while_a_photo_is_sent_goes_first_and_at_once(township: Township) -> None:
    def record_at_the_second(n: int) -> None:
        if n == 2:
            register(township.stations["qd"], "急事")

    on_chunks(township, record_at_the_second)
    station, hub = township.station("qd"), township.hub
    take_photo(station, register(station, "水沟堵塞"))
    syncing.exchange_now(station)
    projecting.sweep(hub)
    worked = exchange_job.JOB.sweep(station)
    assert worked.rings == (jobs.EXCHANGE,)
    known = blob(hub)
    assert known is not None
    assert (known.percent, "急事" in titles(hub)) == (40, False)
    exchange_job.JOB.sweep(station)
    projecting.sweep(hub)
    assert "急事" in titles(hub)
    assert content(hub) == PHOTO.content


def test_a_photo_of_the_repair_comes_back_to_the_village(township: Township) -> None:
    station, hub = township.station("qd"), township.hub
    opinion = register(station, "水沟堵塞")
    syncing.exchange_now(station)
    projecting.sweep(hub)
    with hub.unit(CLERK) as unit:
        routing.dispatch(unit, opinion, routing.Dispatch(unit="water", requirement="疏通", duty_basis="职责清单"))
    with hub.unit(HEAD) as unit:
        attach(unit, opinion, PHOTO, "已修好")
    syncing.exchange_now(station)
    township.clock.go_on(minutes=2)
    syncing.exchange_now(station)
    assert content(station) == PHOTO.content


def test_a_station_that_lost_its_pictures_gets_them_back_after_the_hourly_look(township: Township) -> None:
    station, hub = township.station("qd"), township.hub
    take_photo(station, register(station, "水沟堵塞"))
    syncing.exchange_now(station)
    projecting.sweep(hub)
    syncing.exchange_now(station)
    station.blobs.files.whole(DIGEST).unlink()
    assert content(station) is None
    housekeeping.sweep(station)
    syncing.exchange_now(station)
    assert content(station) == PHOTO.content
