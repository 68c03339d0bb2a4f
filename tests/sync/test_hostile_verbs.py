"""Every verb and every file on a stick, as a rightly enrolled but hostile or broken peer would send it."""

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest

from sync import peers, wire
from sync.stick import export, import_
from sync.stick.folder import MANIFEST, MANIFEST_BYTES_MAX
from sync.testing import Lab, draft, sqlite_engine
from sync.testing.exchange_contract import HALL
from tests.sync.hostile import VERBS, Scene, named_refusals, places, repacked, scene, with_other

TIMES = int(os.environ.get("LIANXIN_HOSTILE", "12"))
AWKWARD = (
    -(2**63), 2**63 - 1, 2**63, 2**64 - 1, -1, 0, 1, float("nan"), 1.5, None, True, "", "\x00", "../../etc", "t/../s",
    "t/s/a", "0" * 16, "a" * 5000, b"", b"\xff" * 32, bytes(64), [], [[]], {}, {"stream": 1}, [None] * 300,
)  # fmt: skip


def tries(name: str) -> Iterator[Random]:
    """Dice for each try; the last line printed tells which one failed."""
    for number in range(TIMES):
        print(f"{name}, try {number}")
        yield Random(f"{name} {number}")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with scene(tmp_path_factory.mktemp("hostile")) as found:
        yield found
        found.check()


def changed(dice: Random, payload: bytes) -> bytes:
    """The payload with something else in one place."""
    return msgspec.msgpack.encode(changed_value(dice, msgspec.msgpack.decode(payload)))


def changed_value(dice: Random, message: Any) -> Any:
    other = dice.choice((*AWKWARD, dice.randbytes(dice.randrange(64))))
    return with_other(message, dice.choice(list(places(message))), other)


# --- the stick; first, while the hub still lacks what lies there ------------------------------------------------


@pytest.mark.parametrize("kind", [".age", MANIFEST, ".lxe", ".lxa"])
def test_a_file_on_a_stick_with_bytes_changed(made: Scene, kind: str) -> None:
    names = [name for name in made.stick_files() if name.endswith(kind)]
    if kind == ".age":
        names = [name for name in names if name.startswith(made.station.node)]
    for dice in tries(kind):
        name = dice.choice(names)
        content = (made.stick / "lianxin" / name).read_bytes()
        at, garbage = dice.randrange(len(content)), dice.choice((b"", b"\xff", bytes(40), dice.randbytes(40)))
        made.carry(name, content[:at] + garbage + content[at + dice.choice((0, 1, len(garbage), len(content))) :])


def test_a_signed_manifest_with_one_place_changed(made: Scene) -> None:
    names = [name for name in made.stick_files() if name.endswith(MANIFEST)]
    for dice in tries("manifest"):
        name = dice.choice(names)
        envelope = wire.open_envelope((made.stick / "lianxin" / name).read_bytes())
        sender = next(node for node in (made.hub, made.station) if node.node == envelope.head.sender)
        payload = changed(dice, envelope.payload)
        made.carry(name, wire.enclose(sender.replica.identity, "stick", envelope.head, payload))


# --- the line --------------------------------------------------------------------------------------------------


def test_every_verb_is_known_here(made: Scene) -> None:
    """A verb added later must be added to these tests."""
    assert {*made.hub.responder._answers, "enrol"} == set(VERBS) == set(made.payloads)


@pytest.mark.parametrize("verb", VERBS)
def test_a_request_with_one_place_changed(made: Scene, verb: str) -> None:
    sound, identity = made.payloads[verb], made.station.replica.identity
    for dice in tries(verb):
        if verb == "push":
            made.ask(verb, repacked(identity, sound, partial(changed_value, dice)))
        else:
            made.ask(verb, changed(dice, sound))


@pytest.mark.parametrize("verb", VERBS)
def test_a_request_whose_clock_no_calendar_can_show(made: Scene, verb: str) -> None:
    for clock_us in (-(2**63), 2**64 - 1, 2**62):
        made.ask(verb, made.payloads[verb], clock_us=clock_us)


@pytest.mark.parametrize("at", ["hello", "pull", "push", "blobs", "chunk-put"])
def test_an_answer_with_one_place_changed(made: Scene, at: str) -> None:
    """The station's side: its hub is broken, or in somebody else's hands."""
    made.recorded |= {event.event_id for event in made.hub.record(HALL, draft(f"note/of-the-hub-{at}"))}
    made.recorded |= {event.event_id for event in made.station.record(HALL, draft(f"note/of-the-station-{at}"))}
    made.refer_to_a_photo(at)
    for dice in tries(at):
        made.hear(lambda verb, payload, dice=dice: changed(dice, payload) if verb == at else payload)


@pytest.mark.parametrize("clock_us", [-(2**63), 2**64 - 1])
def test_a_first_contact_whose_clock_no_calendar_can_show(tmp_path: Path, clock_us: int) -> None:
    """What is stored of it is shown on the board of stations: it must be a time."""
    lab = Lab(lambda name: sqlite_engine(tmp_path / f"{name}.db", durable=False), tmp_path)
    hub, station = lab.pair()
    station.record(HALL, draft())
    (tmp_path / "stick").mkdir()
    export(station.replica, station.peer(hub), tmp_path / "stick")
    (path,) = (tmp_path / "stick").rglob(MANIFEST)
    envelope = wire.open_envelope(path.read_bytes())
    head = msgspec.structs.replace(envelope.head, clock_us=clock_us)
    path.write_bytes(wire.enclose(station.replica.identity, "stick", head, envelope.payload))
    with named_refusals():
        import_(hub.replica, tmp_path / "stick")
    with hub.engine.begin() as conn:
        assert peers.find_contact(conn, station.node).last_contact_at is None
    lab.close()


@pytest.mark.parametrize("at_us", [-(2**63), 2**64 - 1])
def test_a_receipt_from_a_time_that_no_calendar_can_show(made: Scene, at_us: int) -> None:
    def change(verb: str, payload: bytes) -> bytes:
        answer = wire.decode(payload, wire.PushAnswer)
        receipt = msgspec.structs.replace(wire.decode(answer.receipt.receipt, wire.Receipt), at_us=at_us)
        signed = wire.sign_receipt(made.hub.replica.identity, receipt)
        return wire.encode(msgspec.structs.replace(answer, receipt=signed))

    made.recorded |= {event.event_id for event in made.station.record(HALL, draft())}
    made.hear(lambda verb, payload: change(verb, payload) if verb == "push" else payload)
    made.check()


def test_a_manifest_too_large_is_not_read_into_memory(made: Scene) -> None:
    name = next(name for name in made.stick_files() if name.endswith(MANIFEST))
    with (made.stick / "lianxin" / name).open("rb") as file:
        start = file.read()
    made.carry(name, start + bytes(MANIFEST_BYTES_MAX))


def test_nothing_of_all_this_was_stored(made: Scene) -> None:
    """Last in this file: the ledgers hold what the two have written and their origins have signed, and can be read."""
    made.check()
