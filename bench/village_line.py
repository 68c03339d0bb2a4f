"""A day's work over a village's line: 64 kbit/s, 0.8 s one way, every twentieth packet lost, connections cut.

All day the line was dead. Thirty opinions and a photo were recorded, and at the hub ten cases of the day before were
dispatched, signed, answered and delivered. Then the line comes up, as bad as it is: how long until both ends are
verified equal, and until the photo is whole at the hub? Nobody presses a button.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image

from service.actions.attaching import attach
from service.actions.projecting import sweep
from service.actions.syncing import sync_state
from service.demo.history import Office
from service.demo.private_server import free_port
from service.demo.township import HUB, Township
from service.documents.uploads import Upload, cleaned
from service.domain.opinions import State
from service.domain.people import Actor, Role
from service.node import Node
from service.store import queries
from sync.blobs import BlobState
from tests.chaos.line import VILLAGE, Line

STATION = "qd"
OPINIONS, ANSWERS = 30, 10
PHOTO_BYTES = 200_000
PATIENCE_S = 1800.0
SEED = 1
LIAISON = Actor(account="bench", name="联络员(虚构)", role=Role.LIAISON, station=STATION)
BODY = "村口到小学那一段排水沟堵了半个多月,一下雨水就漫到路面上,老人和孩子走路都要绕开。请尽快派人疏通。(虚构)"


class _Village(Township):
    """One station whose way to the hub is the line."""

    line: Line

    def environment(self, home: str) -> dict[str, str]:
        given = super().environment(home)
        return given if home == HUB else given | {"LIANXIN_HUB_URL": self.line.address}


def run() -> dict[str, Any]:
    with _village() as (village, station, hub):
        office = Office(nodes={STATION: station, HUB: hub})
        for number in range(ANSWERS):
            office.register(STATION, f"earlier-{number}", f"昨日意见{number}")
        _until(lambda: _verified(station), "the day before has arrived")
        sweep(hub)
        village.line.set_dead(dead=True)
        photo = _a_day(office, station)
        village.line.shape = VILLAGE
        passed, cuts = village.line.bytes_passed, village.line.cuts
        village.line.set_dead(dead=False)
        began = time.monotonic()
        _until(lambda: _verified(station) and _replied(station) == ANSWERS, "both ends are equal")
        equal_s = time.monotonic() - began
        _until(lambda: _is_whole(hub, photo), "the photo is whole")
        return {
            "bits_per_s": VILLAGE.bits_per_s, "latency_s": VILLAGE.latency_s, "loss": VILLAGE.loss,
            "opinions": OPINIONS, "answers": ANSWERS, "photo_bytes": len(photo.content),
            "line_bytes": village.line.bytes_passed - passed, "cuts": village.line.cuts - cuts,
            "verified_after_s": round(equal_s, 1), "photo_whole_after_s": round(time.monotonic() - began, 1),
        }  # fmt: skip


@contextmanager
def _village() -> Iterator[tuple[_Village, Node, Node]]:
    with ExitStack() as opened:
        folder = opened.enter_context(tempfile.TemporaryDirectory(prefix="lianxin-bench-"))
        ports = [free_port(), free_port()]
        village = _Village(Path(folder), ports, lambda _: None, stations=(STATION,))
        village.line = opened.enter_context(Line(free_port(), ports[0], SEED))
        opened.callback(village.stop)
        village.start()
        yield village, opened.enter_context(village.node(STATION)), opened.enter_context(village.node(HUB))


def _a_day(office: Office, station: Node) -> Upload:
    """What the village records and what the town does meanwhile; the photo."""
    for number in range(OPINIONS):
        office.register(STATION, f"today-{number}", f"今日意见{number}", body=BODY)
    for name in (f"earlier-{n}" for n in range(ANSWERS)):
        office.dispatch(name, "water", "请疏通并答复群众。")
        office.sign(name, "water")
        office.reply(name, "water.head", "已疏通排水沟120米,清运淤泥两车。(虚构)")
        office.deliver(name)
    photo = _photo()
    with station.unit(LIAISON) as unit:
        attach(unit, office.opinions["today-0"], photo, "现场")
    return photo


def _photo() -> Upload:
    """A picture that cannot be made smaller, near the size a telephone's photo has after the station has shrunk it."""
    side = 100
    while True:
        buffer = BytesIO()
        Image.effect_noise((side, side), 80).convert("RGB").save(buffer, "JPEG")
        upload = cleaned("现场.jpg", buffer.getvalue())
        if len(upload.content) >= PHOTO_BYTES:
            return upload
        side += 20


def _verified(station: Node) -> bool:
    with station.reading() as connection:
        state = sync_state(station, connection)
    return state is not None and state.verified


def _replied(station: Node) -> int:
    wanted = queries.OpinionFilter(states=frozenset({State.REPLIED}))
    with station.reading() as connection:
        return len(queries.list_opinions(connection, wanted).rows)


def _is_whole(hub: Node, photo: Upload) -> bool:
    with hub.reading() as connection:
        blob = hub.blobs.find(connection, bytes.fromhex(photo.digest))
    return blob is not None and blob.state is BlobState.COMPLETE


def _until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {PATIENCE_S:.0f} s: {what}")
        time.sleep(0.2)
