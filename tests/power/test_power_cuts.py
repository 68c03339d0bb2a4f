"""The power fails after any step of the disk: what was acknowledged is there, and the database opens by itself.

A hub and a station, both on files opened as the product opens them, record, exchange and acknowledge while every write
and flush of SQLite is noted. Then each state that a power cut could have left behind is laid out and opened again.
`LIANXIN_POWER_CUTS` plays it with more seeds; a failure names step, variant and seed.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, event, text
from sqlalchemy.exc import DatabaseError

from service.store.database import StorageUnusable, open_sqlite, sqlite_module
from sync import acknowledged
from sync.events import Scope
from sync.exchange import exchange
from sync.ledger import Ledger
from sync.positions import Heads
from sync.responder import Responder
from sync.testing import DirectTransport, Lab, LabNode, draft
from tests.power.crashes import Image, Platter
from tests.power.disk import Disk, Step, library, recorded

EVERYWHERE = (Scope("t"),)
HALL, PUB = "t/s/a", "t/pub"
SEEDS = int(os.environ.get("LIANXIN_POWER_CUTS", "1"))
ROUNDS = 1 if SEEDS == 1 else 2
SHARED_MEMORY = Path("/dev/shm")
# Checkpoints and restarts of the WAL happen during the test, not after a day's work.
CHECKPOINT_PAGES = 20

sqlite = library(sqlite_module())
pytestmark = pytest.mark.skipif(sqlite is None, reason="this SQLite does not show its file functions")


@dataclass(frozen=True, slots=True)
class Promise:
    """A node has said that it holds this; or that its peer does."""

    node: str
    heads: Heads


@dataclass(slots=True)
class Story:
    """What happened on the disk, and whose databases they are."""

    disk: Disk
    nodes: dict[str, LabNode] = field(default_factory=dict)
    spare: bytes = b""


class Lost(AssertionError):
    """A power cut took what was promised."""


def setting(engine: Engine, *pragmas: str) -> Engine:
    """An engine of the product's whose connections the test has changed."""

    @event.listens_for(engine, "connect")
    def change(connection: Any, _record: object) -> None:
        for pragma in (f"wal_autocheckpoint={CHECKPOINT_PAGES}", *pragmas):
            connection.execute(f"PRAGMA {pragma}")

    engine.dispose()  # the connection that opening has made
    return engine


def heads_of(node: LabNode) -> Heads:
    with node.engine.begin() as conn:
        return node.ledger.heads(conn, EVERYWHERE)


class Promising(DirectTransport):
    """A line on which the disk's record learns what the hub has answered for."""

    def __init__(self, responder: Responder, hub: LabNode, disk: Disk) -> None:
        super().__init__(responder)
        self._hub, self._disk = hub, disk

    def post(self, verb: str, body: bytes) -> bytes:
        answer = super().post(verb, body)
        if verb == "push":
            self._disk.mark(Promise("hub", heads_of(self._hub)))
        return answer


def play(
    folder: Path,
    *pragmas: str,
    record: Callable[[Story, LabNode, str], None] | None = None,
) -> Story:
    """A morning at a station and its hub: records, exchanges both ways, a restart."""
    assert sqlite is not None
    with recorded(sqlite, folder / "db") as disk:
        lab = Lab(lambda name: setting(open_sqlite(folder / "db" / f"{name}.db"), *pragmas), folder / "keys")
        hub, station = lab.pair()
        story = Story(disk, {"hub": hub, "station": station})
        disk.mark("begin")
        write = record or recording
        for _ in range(ROUNDS):
            write(story, station, HALL)
            write(story, hub, PUB)
            exchange(station.replica, station.peer(hub), Promising(hub.responder, hub, disk))
            disk.mark(Promise("station", heads_of(station)))
        story.spare = (folder / "db" / "station.db-shm").read_bytes()
        lab.close()
    return story


def recording(story: Story, node: LabNode, scope: str) -> None:
    node.record(scope, *(draft(f"note/{n}", "水管坏了" * 30) for n in range(3)))
    story.disk.mark(Promise(node.name, heads_of(node)))


# --- laying out what a power cut left --------------------------------------------------------------------------


def cuts(story: Story, seed: int) -> Iterator[tuple[str, str, Image, dict[str, Heads]]]:
    """(description, node, its files, what every node has promised): after each step of the node's disk."""
    platter, promised, begun, random = Platter(), {name: Heads() for name in story.nodes}, False, Random(seed)
    for number, step in enumerate(story.disk.steps):
        platter.take(step)
        if step.mark == "begin":
            begun = True
        elif isinstance(step.mark, Promise):
            promised[step.mark.node] = step.mark.heads
        elif begun:
            node = step.file.partition(".")[0]
            for name, image in variants(platter, f"{node}.db", random, step.kind == "sync"):
                yield f"step {number} ({step.kind} {step.file}), {name}, seed {seed}", node, image, promised


def variants(platter: Platter, of: str, random: Random, flushed: bool) -> Iterator[tuple[str, Image]]:
    yield "all of it written", platter.everything(of)
    if flushed:
        yield "only what was flushed", platter.certain(of)
        return
    yield "some of it written", platter.something(of, random)


def check(story: Story, folder: Path, seed: int = 1) -> int:
    """Opens every state; raises `Lost` for the first that is not as promised. The number of states."""
    seen: set[tuple[str, int]] = set()
    path = folder / "cut.db"
    reader = open_sqlite(path)  # one for all states: what its statements compile to is kept
    for number, (what, node, image, promised) in enumerate(cuts(story, seed)):
        key = (node, hash(tuple(sorted(image.items()))))
        if key in seen:
            continue
        seen.add(key)
        reader.dispose()
        lay_out(folder, image, (None, story.spare, bytes(len(story.spare)))[number % 3])
        try:
            reopened(story.nodes[node], path, reader, promised)
        except (Lost, StorageUnusable, DatabaseError) as lost:
            raise Lost(f"{what}: {lost}") from lost
    return len(seen)


def lay_out(folder: Path, image: Image, index: bytes | None) -> None:
    """The files, and the index of the WAL, of which a power cut leaves anything or nothing."""
    for file in folder.iterdir():
        file.unlink()
    for name, content in image.items():
        (folder / ("cut" + name[name.index(".db") :])).write_bytes(content)
    if index is not None:
        (folder / "cut.db-shm").write_bytes(index)


def reopened(node: LabNode, path: Path, reader: Engine, promised: dict[str, Heads]) -> None:
    """Opens the database as the product does and compares it with what was promised."""
    engine = open_sqlite(path)
    try:
        with reader.begin() as conn:
            examine(conn, node, promised)
    finally:
        engine.dispose()


def examine(conn: Connection, node: LabNode, promised: dict[str, Heads]) -> None:
    ledger = Ledger(node.replica.identity, node.clock)
    answer = conn.execute(text("PRAGMA integrity_check")).scalar_one()
    if answer != "ok":
        raise Lost(f"not sound: {answer}")
    for stream, head in promised[node.name].items():
        if ledger.chains_at(conn, stream, [head.seq]) != [head.chain]:
            raise Lost(f"{stream} does not reach {head.seq}")
    if problems := ledger.verify(conn):
        raise Lost(f"half an event: {problems[0]}")
    if node.name == "station":
        for stream, level in acknowledged.levels(conn, next(iter(acknowledged_peers(conn)), "")).items():
            if level.seq > promised["hub"][stream].seq:
                raise Lost(f"{stream} counts as received up to {level.seq}")
    held = ledger.read_subjects(conn, ledger.subjects(conn, "", None, 1000))
    foreign = {name for name, events in held.items() if any(e.stream.origin.node != node.node for e in events)}
    if missing := foreign - set(ledger.take_pending(conn, 1000)):
        raise Lost(f"{missing} came in and will never be shown")
    ledger.append(conn, Scope(HALL if node.name == "station" else PUB), [draft(text="after the cut")])
    if problems := ledger.verify(conn):
        raise Lost(f"does not go on: {problems[0]}")


def acknowledged_peers(conn: Connection) -> list[str]:
    return list(conn.execute(text("SELECT DISTINCT peer FROM sync_acknowledged")).scalars())


@pytest.fixture
def memory() -> Iterator[Path]:
    """A folder on which flushing costs nothing, where there is one: no power fails while states are looked at."""
    with TemporaryDirectory(dir=SHARED_MEMORY if SHARED_MEMORY.is_dir() else None) as folder:
        yield Path(folder)


def test_a_power_cut_after_any_write_loses_nothing_that_was_acknowledged(tmp_path: Path, memory: Path) -> None:
    story = play(tmp_path)
    assert {"write", "sync", "delete", "mark"} <= {step.kind for step in story.disk.steps}
    assert any(step.kind == "write" and step.file == "hub.db" for step in after_begin(story)), "no checkpoint happened"
    for seed in range(SEEDS):
        assert check(story, memory, seed) > 200


def after_begin(story: Story) -> list[Step]:
    begin = next(number for number, step in enumerate(story.disk.steps) if step.mark == "begin")
    return story.disk.steps[begin:]


# --- the test proves itself ------------------------------------------------------------------------------------


def test_a_flush_at_checkpoints_only_is_caught(tmp_path: Path, memory: Path) -> None:
    """synchronous=NORMAL, which is what SQLite's documentation recommends for WAL, loses acknowledged commits."""
    with pytest.raises(Lost, match="does not reach"):
        check(play(tmp_path, "synchronous=NORMAL"), memory)


def test_a_promise_before_the_commit_is_caught(tmp_path: Path, memory: Path) -> None:
    def hasty(story: Story, node: LabNode, scope: str) -> None:
        with node.engine.begin() as conn:
            node.ledger.append(conn, Scope(scope), [draft()])
            story.disk.mark(Promise(node.name, node.ledger.heads(conn, EVERYWHERE)))

    with pytest.raises(Lost, match="does not reach"):
        check(play(tmp_path, record=hasty), memory)


def test_a_flush_that_the_disk_ignores_is_caught(tmp_path: Path, memory: Path) -> None:
    """What no software can repair: a disk that says it has written and has not. The test must see the difference."""
    with pytest.raises(Lost):
        check(play(tmp_path, "synchronous=OFF"), memory)
