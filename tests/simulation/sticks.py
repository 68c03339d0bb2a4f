"""Memory sticks: whole exchanges by hand in both directions, and single bundles of any range, in any order, again."""

from pathlib import Path
from typing import Final

from sync import peers
from sync.bundle import peek, unpack
from sync.errors import ForkFound, OriginRevoked, SyncError
from sync.packing import Budget
from sync.positions import Range
from sync.stick import export, import_
from sync.stick.folder import Write, write_whole
from sync.testing import Crash
from sync.tracing import trace
from tests.simulation.members import LIMITS, Member
from tests.simulation.world import Bundled, Violation, World

STICK_FAULTS: Final = frozenset({
    "stick pulled out", "stick file cut", "stick file changed", "stick file deleted",
})  # fmt: skip
_BUNDLE: Final = Budget(raw_bytes=20_000, events=100)


def pack(world: World, station: Member) -> None:
    """A bundle of any range of a station's streams, also one the hub has, or one beyond a gap."""
    for stream, head in sorted(station.heads(station.scope).items(), key=str):
        if stream.origin.node == station.node:
            first = world.random.randint(1, head.seq)
            part = Range(stream, first, world.random.randint(first, head.seq))
            with station.replica.engine.begin() as conn:
                made = station.ledger.pack(conn, [part], _BUNDLE, "")
            if made is not None:
                segments = unpack(made.data, station.identity.public_key, LIMITS).segments
                names = frozenset(name.hex() for segment in segments for name in trace(segment).names())
                world.carried.append(Bundled(station, made.data, names))
                world.journal.message(f"packed by {station.name}", made.data)


def bring(world: World, hub: Member, carried: Bundled) -> None:
    """The bundle stays in its drawer and may be brought again."""
    world.journal.counts["bundles brought"] += 1
    station = carried.station
    bundle = unpack(carried.data, station.identity.public_key, LIMITS)
    if peek(carried.data) != bundle.header:
        raise Violation("a bundle says two things about itself")
    with hub.replica.engine.begin() as conn:
        peer = peers.get_peer(conn, station.node)
        outcome = hub.ledger.accept(conn, bundle, peer)
    for refusal in outcome.refusals:
        expected = (world.disasters and isinstance(refusal, ForkFound)) or isinstance(refusal, OriginRevoked)
        if not expected:
            raise Violation(f"an honest bundle was refused: {refusal!r}")


def carry(world: World, station: Member) -> None:
    """There and back with one stick, which is kept: what lies on it from another time lies there again."""
    stick = world.folder / f"stick-{station.name}"
    stick.mkdir(exist_ok=True)
    hub = world.random.choice(world.hubs)
    world.journal.counts["sticks carried"] += 1
    for member, work in ((station, _write), (hub, _read), (station, _read)):
        try:
            work(world, member, hub, stick)
        except SyncError as error:
            world.journal.line(f"    stick at {member.name}: {error.code}")
        except Crash:
            world.revive(member)
        _harm(world, stick)


def _write(world: World, station: Member, hub: Member, stick: Path) -> None:
    with station.replica.engine.begin() as conn:
        peer = peers.get_peer(conn, hub.node)
    made = export(station.replica, peer, stick, write=_pulled_out(world))
    world.journal.line(f"    {station.name} writes {made.new_files} files, {made.new_events} events")


def _read(world: World, member: Member, _hub: Member, stick: Path) -> None:
    read = import_(member.replica, stick, write=_pulled_out(world))
    said = [problem.code for problem in read.problems]
    world.journal.line(f"    {member.name} reads {read.taken} of {read.files} files, {read.stored} events, {said}")


def _pulled_out(world: World) -> Write:
    def write(path: Path, data: bytes) -> None:
        if not world.calm and world.random.random() < 0.03:
            world.journal.fault("stick pulled out")
            raise OSError(5, "the stick is gone")
        world.written[path] = next(world.turns)
        write_whole(path, data)

    return write


def _harm(world: World, stick: Path) -> None:
    """What happens to sticks in pockets: files cut, changed, deleted."""
    if world.random.random() > 0.2:
        return
    # In the order of writing, since an encrypted file never has the same name twice.
    files = sorted((path for path in stick.rglob("*") if path.is_file()), key=lambda path: world.written.get(path, -1))
    if not files:
        return
    path = world.random.choice(files)
    data = path.read_bytes()
    # As a share, since an encrypted file is never of the same length twice: one draw, whatever the length.
    fault, place = world.random.choice(("cut", "changed", "deleted")), int(world.random.random() * len(data))
    world.journal.fault(f"stick file {fault}")
    match fault:
        case "cut":
            path.write_bytes(data[:place])
        case "changed" if data:
            path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        case _:
            path.unlink()
