"""A township in one process: a hub, some stations, bad lines, crashes; all decided by one seed.

Real SQLite files, the real library, a line that loses, doubles, delays, cuts and changes what passes, and crashes at
every named fault point. What a node acknowledged is remembered outside of it, so that forgetting shows.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from shutil import copyfile
from typing import Any

from sync import acknowledged, peers
from sync.anchor import ANCHOR_FILE, Anchor
from sync.bundle import peek, unpack
from sync.errors import AlreadyRecorded, ForkFound, SyncError
from sync.events import Event, EventDraft, Origin, Scope, Subject
from sync.exchange import exchange
from sync.identity import Identity
from sync.ledger import Ledger
from sync.limits import Limits
from sync.packing import Budget
from sync.peers import Peer
from sync.positions import Heads, Range
from sync.replica import NodeInfo, Replica
from sync.responder import Responder
from sync.tables import metadata
from sync.testing import Crash, DirectTransport, Faults, FaultyTransport, FixedClock, draft, sqlite_engine
from sync.transport import Transport

PUB = Scope("t/pub")
HUB_ONLY = Scope("t/hub")
# Small on purpose: many bundles, many cuts, some events above the batch.
LIMITS = Limits(batch_raw_bytes=12_000, batch_raw_bytes_start=4000, batch_raw_bytes_min=800, batch_events=60)


class Violation(AssertionError):
    """An invariant does not hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What nodes are made of; a planted bug replaces one of them."""

    ledger: type[Ledger] = Ledger
    responder: type[Responder] = Responder
    exchange: Callable[..., object] = exchange


@dataclass(slots=True)
class Member:
    """A node of the township: its disk outlives its process."""

    name: str
    file: Path
    identity: Identity
    clock: FixedClock
    replica: Replica
    anchor: Anchor
    recorded: dict[str, bytes] = field(default_factory=dict)
    keys: list[tuple[str, str]] = field(default_factory=list)
    folded: dict[Subject, set[str]] = field(default_factory=dict)
    backups: list["Backup"] = field(default_factory=list)
    perhaps: set[str] = field(default_factory=set)  # committed once, on a disk that was put back since

    @property
    def ledger(self) -> Ledger:
        return self.replica.ledger

    def heads(self, *scopes: Scope) -> Heads:
        with self.replica.engine.begin() as conn:
            return self.ledger.heads(conn, scopes)


@dataclass(frozen=True, slots=True)
class Backup:
    """A member's disk as it was, and what its memory of itself was then."""

    folder: Path
    recorded: dict[str, bytes]
    keys: list[tuple[str, str]]
    folded: dict[Subject, set[str]]


class World:
    """Built from a seed; `run` plays, `heal` lets every line work until all are verified.

    `disasters` is the share of chances to put a disk back or to copy it that are taken; 0 for none.
    """

    def __init__(
        self, seed: int, folder: Path, parts: Parts | None = None, stations: int = 3, disasters: float = 0.0
    ) -> None:
        self.random = Random(seed)
        self.parts = parts or Parts()
        self.faults = Faults()
        self.hits: set[str] = set()
        self.answered: set[bytes] = set()
        self.levels: dict[tuple[str, str], int] = {}
        self.late: dict[str, list[tuple[str, bytes]]] = {}
        self.disasters = disasters
        self.restored = self.doubts = 0
        self.uncertain: set[str] = set()
        self.surviving: dict[str, bytes | None] = {}  # what lay on any disk when the lines began to work
        self.carried: list[tuple[Member, bytes]] = []
        self._crash_share = 0.02
        self._template = folder / "empty.db"
        self._prepare_template()
        self.hub = self._member("hub", folder)
        self.stations = [self._member(f"s{number}", folder) for number in range(stations)]
        for station in self.stations:
            self._enrol(station)

    # --- building ----------------------------------------------------------------------------------------------

    def _prepare_template(self) -> None:
        if not self._template.exists():
            engine = sqlite_engine(self._template, durable=False)
            metadata.create_all(engine)
            engine.dispose()

    def _member(self, name: str, folder: Path) -> Member:
        home = folder / name
        home.mkdir(exist_ok=True)
        file = home / "node.db"
        for old in home.iterdir():
            old.unlink()
        copyfile(self._template, file)
        origin = Origin(f"{self.random.getrandbits(64):016x}", f"{self.random.getrandbits(64):016x}")
        identity = Identity.from_private_key(origin, self.random.randbytes(32))
        clock = FixedClock(datetime(2026, 3, 2, 8, tzinfo=UTC) + timedelta(days=self.random.randrange(-20_000, 3000)))
        replica = self._open(name, file, identity, clock)
        return Member(name, file, identity, clock, replica, Anchor(home, lambda: "one and the same"))

    def _open(self, name: str, file: Path, identity: Identity, clock: FixedClock) -> Replica:
        ledger = self.parts.ledger(identity, clock, None, LIMITS)
        engine = sqlite_engine(file, durable=False)
        return Replica(engine, ledger, identity, clock, LIMITS, NodeInfo(name, "sim"), self._reached)

    def _reached(self, point: str) -> None:
        self.hits.add(point)
        if self.random.random() < self._crash_share:
            raise Crash(point)

    def _enrol(self, station: Member) -> None:
        own = own_scope(station)
        # The first station is the central one: it also reads what the others write.
        reads = (PUB, Scope("t/s")) if station is self.stations_first(station) else (PUB, own)
        at_hub = Peer(node=station.identity.node, public_key=station.identity.public_key, name=station.name,
                      read_scopes=reads, write_scopes=(own,))  # fmt: skip
        at_station = Peer(node=self.hub.identity.node, public_key=self.hub.identity.public_key, name="hub",
                          read_scopes=(own,), write_scopes=reads, introduces=True)  # fmt: skip
        for member, peer in ((self.hub, at_hub), (station, at_station)):
            with member.replica.engine.begin() as conn:
                peers.add_peer(conn, peer, member.clock())

    def stations_first(self, station: Member) -> Member:
        return station if station.name == "s0" else self.hub

    def revive(self, member: Member) -> None:
        """The process is gone; what was committed is there."""
        member.replica.engine.dispose()
        member.replica = self._open(member.name, member.file, member.identity, member.clock)

    # --- backups, restored and copied disks ----------------------------------------------------------------------

    def back_up(self, member: Member) -> None:
        """The disk as it is between two transactions."""
        number = len(list(member.file.parent.parent.glob(f"{member.name}.backup*")))
        folder = member.file.parent.parent / f"{member.name}.backup{number}"
        folder.mkdir(exist_ok=True)
        self._copy_disk(member, folder)
        memory = ({subject: set(ids) for subject, ids in member.folded.items()},)
        member.backups.append(Backup(folder, dict(member.recorded), list(member.keys), *memory))

    def _copy_disk(self, member: Member, folder: Path) -> None:
        with member.replica.engine.connect() as conn:
            conn.exec_driver_sql("ROLLBACK")  # the copy must not wait for a transaction of its own
            driver: Any = conn.connection.driver_connection
            target = type(driver)(str(folder / "node.db"))
            driver.backup(target)
            target.close()
        kept = member.file.parent / ANCHOR_FILE
        if kept.exists():
            copyfile(kept, folder / ANCHOR_FILE)

    def restore(self, member: Member) -> None:
        """The disk is put back to an earlier state, with its anchor or without; the process starts again."""
        if not member.backups:
            return
        backup = self.random.choice(member.backups)
        member.replica.engine.dispose()
        self._put_back(member, backup)
        member.perhaps |= set(member.recorded) - set(backup.recorded)
        member.recorded, member.keys = dict(backup.recorded), list(backup.keys)
        member.folded = {subject: set(ids) for subject, ids in backup.folded.items()}
        member.replica = self._open(member.name, member.file, member.identity, member.clock)
        self._start(member)
        self._forget_levels(member)
        self.restored += 1

    def _put_back(self, member: Member, backup: Backup) -> None:
        home = member.file.parent
        for name in ("node.db-wal", "node.db-shm"):
            (home / name).unlink(missing_ok=True)
        copyfile(backup.folder / "node.db", member.file)
        if self.random.random() < 0.5:
            return  # the database alone: the anchor knows better
        if (backup.folder / ANCHOR_FILE).exists():
            copyfile(backup.folder / ANCHOR_FILE, home / ANCHOR_FILE)

    def _start(self, member: Member) -> None:
        with member.replica.engine.begin() as conn:
            if member.anchor.examine(conn, member.identity, member.clock()):
                self.doubts += 1

    def _forget_levels(self, member: Member) -> None:
        """A restored hub holds less than it stated, a restored station has forgotten what was stated."""
        if member is self.hub:
            self.answered.clear()
            self.levels.clear()
            self.uncertain = {station.name for station in self.stations}
            return
        self.uncertain.add(member.name)
        for key in [key for key in self.levels if key[0] == member.name]:
            del self.levels[key]

    def clone(self, station: Member) -> None:
        """A second computer with a copy of the disk, both running from now on."""
        if any(other.name == f"{station.name}c" for other in self.stations):
            return
        home = station.file.parent.parent / f"{station.name}c"
        home.mkdir(exist_ok=True)
        for old in home.iterdir():
            old.unlink()
        self._copy_disk(station, home)
        file, clock = home / "node.db", FixedClock(station.clock())
        replica = self._open(f"{station.name}c", file, station.identity, clock)
        memory = ({subject: set(ids) for subject, ids in station.folded.items()},)
        self.stations.append(Member(f"{station.name}c", file, station.identity, clock, replica,
                                    Anchor(home, lambda: "one and the same"), {}, [], *memory))  # fmt: skip
        self.uncertain.add(f"{station.name}c")

    def close(self) -> None:
        for member in self.members:
            member.replica.engine.dispose()

    @property
    def members(self) -> list[Member]:
        return [self.hub, *self.stations]

    # --- playing -----------------------------------------------------------------------------------------------

    def run(self, steps: int) -> None:
        for _ in range(steps):
            self._step()

    def _step(self) -> None:
        member = self.random.choice(self.members)
        member.clock.advance(timedelta(seconds=self.random.randrange(1, 7200)))
        match self.random.randrange(15 if self.disasters else 12):
            case 0 | 1 | 2 | 3:
                self.record(member)
            case 4:
                self.fold(member)
            case 5:
                self.pack_stick(self.random.choice(self.stations))
            case 6:
                self.bring_stick()
            case 12:
                self.back_up(member)
            case 13 if self.random.random() < self.disasters:
                self.restore(member)
            case 14 if self.random.random() < self.disasters / 4:
                self.clone(self.random.choice(self.stations[:3]))
            case 7:
                member.clock.advance(timedelta(days=self.random.randrange(-400, 400)))
            case _:
                self.exchange(self.random.choice(self.stations))

    def record(self, member: Member) -> None:
        scope = self._scope_of(member)
        drafts = [self._draft(member) for _ in range(self.random.choice((1, 1, 1, 2, 3, 30)))]
        try:
            with member.replica.engine.begin() as conn:
                events = member.ledger.append(conn, scope, drafts)
                if self.random.random() < 0.05:
                    raise Crash("before the commit")
        except AlreadyRecorded:
            return
        except Crash:
            self.revive(member)
            return
        self._remember(member, scope, events)

    def _remember(self, member: Member, scope: Scope, events: list[Event]) -> None:
        for event in events:
            assert event.body is not None
            member.recorded[event.event_id] = event.body
            if event.once is not None:
                member.keys.append((scope, event.once))

    def _scope_of(self, member: Member) -> Scope:
        if member is not self.hub:
            return own_scope(member)
        station = self.random.choice(self.stations)
        return self.random.choice((PUB, HUB_ONLY, own_scope(station)))

    def _draft(self, member: Member) -> EventDraft:
        once = f"card:{self.random.randrange(25)}" if self.random.random() < 0.25 else None
        size = self.random.choice((5, 50, 400, 2000))
        return draft(f"note/{self.random.randrange(12)}", self.random.randbytes(size // 2).hex(), once)

    def exchange(self, station: Member) -> None:
        """Over the bad line, often while another exchange of the same station is under way."""
        line = self._line(station)
        try:
            self._exchange_by(station, line)
        except SyncError:
            pass
        except Crash:
            self.revive(station)
        self.check_levels(station)

    def _exchange_by(self, station: Member, line: Transport) -> None:
        with station.replica.engine.begin() as conn:
            hub = peers.get_peer(conn, self.hub.identity.node)
        report = self.parts.exchange(station.replica, hub, line, lambda: 0.0)
        if getattr(report, "verified", False):
            self._check_verified(station)
            self.uncertain.discard(station.name)
        with station.replica.engine.begin() as conn:
            station.anchor.write(conn, station.identity)

    def _check_verified(self, station: Member) -> None:
        scopes = self._shared(station)
        if station.heads(*scopes) != self.hub.heads(*scopes):
            raise Violation(f"{station.name} says verified, and both differ")

    def _shared(self, station: Member) -> tuple[Scope, ...]:
        with station.replica.engine.begin() as conn:
            return peers.get_peer(conn, self.hub.identity.node).shared_scopes

    def _line(self, station: Member) -> Transport:
        inner = _Counted(self)
        late = self.late.setdefault(station.name, [])
        return FaultyTransport(inner, self.random, self.faults, late, lambda: self.revive(self.hub))

    # --- memory sticks -----------------------------------------------------------------------------------------

    def pack_stick(self, station: Member) -> None:
        """Any range of a station's stream, also one the hub has, or one beyond a gap."""
        for stream, head in station.heads(own_scope(station)).items():
            if stream.origin.node != station.identity.node:
                continue
            first = self.random.randint(1, head.seq)
            part = Range(stream, first, self.random.randint(first, head.seq))
            with station.replica.engine.begin() as conn:
                made = station.ledger.pack(
                    conn,
                    [part],
                    Budget(raw_bytes=20_000, events=100),
                    "",
                )
            if made is not None:
                self.carried.append((station, made.data))

    def bring_stick(self) -> None:
        """One of the sticks, in any order; it stays in its drawer and may be brought again."""
        if not self.carried:
            return
        self._bring(*self.random.choice(self.carried))

    def _bring(self, station: Member, data: bytes) -> None:
        bundle = unpack(data, station.identity.public_key, LIMITS)
        assert peek(data) == bundle.header
        with self.hub.replica.engine.begin() as conn:
            peer = peers.get_peer(conn, station.identity.node)
            outcome = self.hub.ledger.accept(conn, bundle, peer)
        if outcome.refusals and not (self.disasters and isinstance(outcome.refusals[0], ForkFound)):
            raise Violation(f"an honest stick was refused: {outcome.refusals[0]!r}")

    # --- folding -----------------------------------------------------------------------------------------------

    def fold(self, member: Member) -> None:
        """The sweep: what was marked is read again and noted as folded, or the process dies and nothing is."""
        try:
            with member.replica.engine.begin() as conn:
                subjects = member.ledger.take_pending(conn, self.random.randrange(1, 8))
                found = member.ledger.read_subjects(conn, subjects)
                member.ledger.clear_pending(conn, subjects)
                if self.random.random() < 0.1:
                    raise Crash("before the commit")
        except Crash:
            self.revive(member)
            return
        for subject, events in found.items():
            member.folded[subject] = {event.event_id for event in events}

    # --- healing -----------------------------------------------------------------------------------------------

    def heal(self) -> None:
        """Every line works; twice around, so that what the central station reads has arrived at the hub before."""
        self._crash_share = 0.0
        self.surviving = {event.event_id: event.body for member in self.members for event in everything(member)}
        for round_ in range(6 if self.disasters else 2):
            for place in range(len(self.carried) if self.disasters and round_ < 2 else 0):
                self._bring(*self.carried[place])
            for station in self.stations:
                try:
                    self._exchange_by(station, DirectTransport(self.parts.responder(self.hub.replica)))
                except SyncError as error:
                    raise Violation(f"{station.name} cannot exchange over a good line: {error!r}") from error
                self.check_levels(station)
        for member in self.members:
            while self._pending(member):
                self.fold(member)

    def _pending(self, member: Member) -> int:
        with member.replica.engine.begin() as conn:
            return member.ledger.pending_count(conn)

    def check_levels(self, station: Member) -> None:
        """No level that the hub stated goes back, and none is above what the hub holds."""
        with station.replica.engine.begin() as conn:
            stated = acknowledged.levels(conn, self.hub.identity.node)
        if station.name in self.uncertain:
            return  # what was stated before a disaster holds again after the next verified exchange
        held = self.hub.heads(Scope("t"))
        for stream, head in stated.items():
            known = self.levels.get((station.name, str(stream)), 0)
            if head.seq < known:
                raise Violation(f"{station.name}: {stream} went back from {known} to {head.seq}")
            if stream not in held or held[stream].seq < head.seq:
                raise Violation(f"{station.name}: {stream} acknowledged up to {head.seq}, the hub lacks it")
            self.levels[station.name, str(stream)] = head.seq


def everything(member: Member) -> list[Event]:
    """All events on a member's disk, each once."""
    with member.replica.engine.begin() as conn:
        subjects = member.ledger.subjects(conn, "", None, 10_000)
        return [event for events in member.ledger.read_subjects(conn, subjects).values() for event in events]


def own_scope(station: Member) -> Scope:
    """A copy writes where its original does."""
    return Scope(f"t/s/{station.name.removesuffix('c')}")


class _Counted:
    """The hub's end of a line: a request that succeeds acts once, however often it arrives."""

    def __init__(self, world: World) -> None:
        self._world = world

    def post(self, verb: str, body: bytes) -> bytes:
        world = self._world
        answer = DirectTransport(world.parts.responder(world.hub.replica)).post(verb, body)
        if body in world.answered:
            raise Violation(f"the same {verb} was answered twice")
        world.answered.add(body)
        return answer
