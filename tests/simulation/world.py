"""A township in one process: a hub, some stations, bad lines, sticks, crashes and disasters, decided by one seed.

Real SQLite files, the real library, a line that loses, doubles, delays, cuts and changes what passes, and a crash
before or after any commit. What a node acknowledged is remembered outside of it, so that forgetting shows. Nothing but
the seed decides: keys, salts and epochs are drawn from it, clocks stand until they are told to move.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from random import Random
from typing import Final

from sqlalchemy import Connection

from sync import acknowledged, peers, wire
from sync.errors import AlreadyRecorded, SyncError
from sync.events import Event, EventDraft, Origin, Scope, Subject
from sync.identity import Identity
from sync.peers import Peer
from sync.testing import Crash, DirectTransport, Faults, FaultyTransport, FixedClock, draft
from sync.transport import Transport
from tests.simulation import attaching, disks
from tests.simulation.attaching import ERASURE
from tests.simulation.journal import Journal
from tests.simulation.members import Member, Parts

PUB: Final = Scope("t/pub")
NEWS: Final = Scope("t/pub/news")
HUB_ONLY: Final = Scope("t/hub")
STATIONS: Final = Scope("t/s")

BEGINNING: Final = datetime(2026, 3, 2, 8, tzinfo=UTC)
# Any commit may be the last one of its process; at the points that a seed has picked, the first one is.
_CRASH_SHARE: Final = 0.002
_PICKED: Final = 8
_FOLD_FAILS: Final = 0.04


class Violation(AssertionError):
    """An invariant does not hold."""


@dataclass(frozen=True, slots=True)
class Bundled:
    """A bundle that somebody carries, and the events in it."""

    station: Member
    data: bytes
    names: frozenset[str]


class World:
    """Built from a seed; `playing.py` runs it. `disasters` is the share of chances taken to put back or copy a disk.

    `attaching`: events have photos and scans. `replacing`: computers are replaced. With disasters as well, the hub's
    own disk is spared: what its people would have to do once more after losing it (codes, withdrawals) is not played.
    """

    def __init__(
        self,
        seed: int,
        folder: Path,
        parts: Parts | None = None,
        *,
        stations: int = 3,
        disasters: float = 0.0,
        replacing: bool = True,
        attaching: bool = False,
    ) -> None:
        self.random = Random(seed)
        self.folder = folder
        self.parts = parts or Parts()
        self.faults = Faults()
        self.journal = Journal()
        self.disasters = disasters
        self.replacing = replacing
        self.attaching = attaching
        self.hub_suffers = disasters > 0 and not replacing
        self.calm = False  # from now on nothing goes wrong any more
        self.elapsed = timedelta()
        self.answered: set[bytes] = set()
        self.levels: dict[tuple[str, str], int] = {}
        self.late: dict[str, list[tuple[str, bytes]]] = {}
        self.uncertain: set[str] = set()
        self.wished: set[str] = set()  # events whose body somebody asked to be emptied, on whatever disk
        self.surviving: dict[str, bytes | None] = {}  # what lay on any disk when the lines began to work
        self.places_of_content: dict[bytes, set[Scope]] = {}
        self.carried: list[Bundled] = []
        self.turns = count()
        self.written: dict[Path, int] = {}  # files on sticks: whose turn it was
        self.gone: list[Member] = []  # switched off for good, disk and all
        self._serving = ""
        self._picked = self._pick()
        self.hubs = [self.member("hub", HUB_ONLY)]
        self.stations = [self.member(f"s{number}", Scope(f"t/s/s{number}")) for number in range(stations)]
        for station in self.stations:
            self._enrol(station)

    def _pick(self) -> set[str]:
        """Points at which this seed is sure to crash if it comes there; of attached content only where there is any."""
        points = sorted(crash_points())
        lanes = [point for point in points if point.startswith(_OF_CONTENT)]
        picked = self.random.sample([point for point in points if point not in lanes], _PICKED)
        return {*picked, *(self.random.sample(lanes, _PICKED) if self.attaching else ())}

    # --- building ----------------------------------------------------------------------------------------------

    def member(self, name: str, scope: Scope) -> Member:
        """A new computer with an empty disk."""
        file = self.folder / name / "node.db"
        file.parent.mkdir(exist_ok=True)
        disks.fresh(file)
        origin = Origin(self.random.randbytes(8).hex(), self.random.randbytes(8).hex())
        identity = Identity.from_private_key(origin, self.random.randbytes(32), self.random.randbytes)
        clock = FixedClock(BEGINNING + timedelta(days=self.random.randrange(-20_000, 3000)))
        member = Member(name, scope, file, identity, clock, self.parts, self._at_commit, self.attaching)
        self.start(member)
        return member

    def _enrol(self, station: Member) -> None:
        # The first station is the central one: it also reads what the others write.
        reads = (PUB, STATIONS) if station.name == "s0" else (PUB, station.scope)
        at_hub = Peer(node=station.node, public_key=station.identity.public_key, name=station.name,
                      read_scopes=reads, write_scopes=(station.scope,))  # fmt: skip
        at_station = Peer(node=self.hub.node, public_key=self.hub.identity.public_key, name="hub",
                          read_scopes=(station.scope,), write_scopes=reads, introduces=True)  # fmt: skip
        for member, peer in ((self.hub, at_hub), (station, at_station)):
            with member.replica.engine.begin() as conn:
                peers.add_peer(conn, peer, member.clock())

    def grant(self, station: Member) -> None:
        """The hub gives a station one more scope to read, or takes it back."""
        with self.hub.replica.engine.begin() as conn:
            peer = peers.get_peer(conn, station.node)
            read = [scope for scope in peer.read_scopes if scope != NEWS]
            if len(read) == len(peer.read_scopes):
                read.append(NEWS)
            peers.set_scopes(conn, station.node, read, peer.write_scopes)
        self.journal.counts["grants"] += 1

    @property
    def hub(self) -> Member:
        """The one hub; while a copy of it runs as well, the one that was there before."""
        return self.hubs[0]

    @property
    def members(self) -> list[Member]:
        return [*self.hubs, *self.stations]

    def close(self) -> None:
        for member in [*self.members, *self.gone]:
            member.stop()

    # --- crashes -----------------------------------------------------------------------------------------------

    def _at_commit(self, place: str, done: bool) -> None:
        place = self._named(place)
        self.journal.places.add(place)
        if self.calm:
            return
        name = _point(place, done)
        if name in self._picked or self.random.random() < _CRASH_SHARE:
            self._picked.discard(name)
            self.journal.crashes[name] += 1
            self.journal.line(f"    crash: {name}")
            raise Crash(name, done)

    def _named(self, place: str) -> str:
        """An answer is one transaction for every verb: what is asked tells which."""
        return f"answer {self._serving}" if place == _ANSWER else place

    def revive(self, member: Member) -> None:
        """The process is gone; what was committed is there. It starts again and looks at its past."""
        member.restart()
        self.start(member)

    def start(self, member: Member) -> None:
        """What a process does first. It may crash at that, too, but not for ever."""
        try:
            self._examine(member)
        except Crash:
            member.restart()
            with self.in_peace():
                self._examine(member)

    def _examine(self, member: Member) -> None:
        with member.replica.engine.begin() as conn:
            doubt = member.anchor.examine(conn, member.identity, member.clock())
        if doubt:
            self.journal.counts[f"doubts: {doubt}"] += 1

    @contextmanager
    def in_peace(self) -> Iterator[None]:
        """Nothing crashes meanwhile."""
        calm, self.calm = self.calm, True
        try:
            yield
        finally:
            self.calm = calm

    @contextmanager
    def living(self, member: Member) -> Iterator[None]:
        """What a process does; if it crashes, another one starts."""
        try:
            yield
        except Crash:
            self.revive(member)

    # --- time --------------------------------------------------------------------------------------------------

    def pass_time(self, span: timedelta) -> None:
        """The same for everybody, whatever their clocks say."""
        self.elapsed += span
        for member in self.members:
            member.clock.advance(span)

    # --- recording and folding -----------------------------------------------------------------------------------

    def record(self, member: Member) -> None:
        scope = self.scope_of(member)
        drafts = [self._draft() for _ in range(self.random.choice((1, 1, 1, 2, 3, 30)))]
        events: list[Event] = []
        try:
            with member.replica.engine.begin() as conn:
                events = member.ledger.append(conn, scope, drafts)
        except AlreadyRecorded:
            return
        except Crash as crash:
            self.revive(member)
            if not crash.args[1]:
                return
        self.remember(member, scope, events)

    def erase(self, member: Member) -> None:
        """A fact that asks every holder to empty the body of another one."""
        scope = self.scope_of(member)
        known = [event for event in member.everything() if event.stream.scope == scope and event.kind != ERASURE]
        if not known:
            return
        picked = self.random.choice(sorted(known, key=lambda event: event.event_id))
        target, content = picked.event_id, attaching.named_by(picked)
        body = {"of": target} | ({"content": content.hex()} if content else {})
        said = EventDraft(
            kind=ERASURE, version=1, subject=Subject(f"erasure/{target}"), body=json.dumps(body).encode(),
            occurred_at=BEGINNING, author="clerk",
        )  # fmt: skip
        events: list[Event] = []
        try:
            with member.replica.engine.begin() as conn:
                events = member.ledger.append(conn, scope, [said])
                member.ledger.erase(conn, [target])
                if content is not None:
                    attaching.empty(conn, member, content, scope)
        except Crash as crash:
            self.revive(member)
            if not crash.args[1]:
                return
        self.clear(member)
        self.wished.add(target)
        self.journal.counts["erasures"] += 1
        self.remember(member, scope, events)

    def remember(self, member: Member, scope: Scope, events: list[Event]) -> None:
        self.journal.counts["events"] += len(events)
        for event in events:
            assert event.body is not None
            member.memory.recorded[event.event_id] = event.body
            if event.once is not None:
                member.memory.keys.append((scope, event.once))

    def scope_of(self, member: Member) -> Scope:
        if member not in self.hubs:
            return member.scope
        return self.random.choice((PUB, HUB_ONLY, self.random.choice(self.stations).scope))

    def _draft(self) -> EventDraft:
        once = f"card:{self.random.randrange(25)}" if self.random.random() < 0.25 else None
        size = self.random.choice((5, 50, 400, 2000))
        return draft(f"note/{self.random.randrange(12)}", self.random.randbytes(size // 2).hex(), once)

    def fold(self, member: Member) -> None:
        """The sweep: what was marked is read again and noted as folded, or the process dies and nothing is."""
        done = False
        try:
            with member.replica.engine.begin() as conn:
                found = self._fold_some(conn, member)
        except Crash as crash:
            done = not crash.args[1]
            self.revive(member)
        self.clear(member)
        for subject, events in {} if done else found.items():
            member.memory.folded[subject] = {event.event_id for event in events}

    def clear(self, member: Member) -> None:
        """Files of what was erased go once that has committed."""
        if self.attaching:
            with self.living(member), member.replica.engine.begin() as conn:
                member.store.clear_erased(conn)

    def _fold_some(self, conn: Connection, member: Member) -> dict[Subject, list[Event]]:
        ledger = member.ledger
        subjects = ledger.take_pending(conn, self.random.randrange(1, 8))
        if subjects and not self.calm and self.random.random() < _FOLD_FAILS:
            ledger.quarantine(conn, subjects.pop(), "error", "drawn by lot")
            self.journal.counts["quarantined"] += 1
        found = ledger.read_subjects(conn, subjects)
        asked = [event for events in found.values() for event in events
                 if event.kind == ERASURE and event.body is not None]  # fmt: skip
        if asked:
            ledger.erase(conn, [json.loads(event.body or b"")["of"] for event in asked])
        if self.attaching:
            attaching.fold(conn, member, asked, ledger.read_subjects(conn, subjects))
        ledger.clear_pending(conn, subjects)
        return found

    # --- the line ------------------------------------------------------------------------------------------------

    def exchange(self, station: Member) -> None:
        """Over the bad line, often while another exchange of the same station is under way."""
        self.journal.counts["exchanges"] += 1
        hub = self.random.choice(self.hubs)
        try:
            self.exchange_with(hub, station, self.bad_line(hub, station), self._stopwatch())
        except SyncError as error:
            self.journal.line(f"    {station.name} stops: {error.code}")
            self.journal.counts[f"stopped: {error.code}"] += 1
        except Crash:
            self.revive(station)
        self.check_levels(station)

    def exchange_with(
        self, hub: Member, station: Member, line: Transport, monotonic: Callable[[], float] = lambda: 0.0
    ) -> object:
        with station.replica.engine.begin() as conn:
            peer = peers.get_peer(conn, hub.node)
        report = self.parts.exchange(station.replica, peer, line, monotonic)
        if getattr(report, "verified", False):
            self._check_verified(hub, station)
            self.journal.counts["verified"] += 1
            if len(self.hubs) == 1:
                self.uncertain.discard(station.name)
        with station.replica.engine.begin() as conn:
            station.anchor.write(conn, station.identity)
        return report

    def _check_verified(self, hub: Member, station: Member) -> None:
        with station.replica.engine.begin() as conn:
            scopes = peers.get_peer(conn, hub.node).shared_scopes
        ours, theirs = station.heads(*scopes), hub.heads(*scopes)
        if station.revoked:  # a withdrawn key is told nothing but what it wrote
            theirs = {stream: head for stream, head in theirs.items() if stream.origin.node == station.node}
        if ours != theirs:
            raise Violation(f"{station.name} says verified, and both differ")

    def good_line(self, hub: Member) -> Transport:
        return DirectTransport(self.parts.responder(hub.replica))

    def bad_line(self, hub: Member, station: Member) -> Transport:
        late = self.late.setdefault(station.name, [])
        line = FaultyTransport(
            _AtHub(self, hub), self.random, self.faults, late, lambda: self.revive(hub), self.journal.fault
        )
        return _Written(line, self.journal)

    def _stopwatch(self) -> Callable[[], float]:
        """A line may be slow: then batches shrink, and an exchange ends before everything is through."""
        slowness, now = self.random.choice((0.0, 0.5, 8.0, 40.0)), [0.0]

        def monotonic() -> float:
            now[0] += slowness * self.random.random()
            return now[0]

        return monotonic

    def answer(self, hub: Member, verb: str, body: bytes) -> bytes:
        """The hub's answer to a request, which acts once, however often it arrives."""
        self._serving = verb
        answer = self.good_line(hub).post(verb, body)
        if body in self.answered and verb != "enrol":  # which a new computer may have to ask twice
            raise Violation(f"the same {verb} was answered twice")
        if len(self.hubs) == 1:
            self.answered.add(body)
        if verb == "push":
            self._check_stored(hub, answer)
        return answer

    def _check_stored(self, hub: Member, answer: bytes) -> None:
        """What the hub says it holds, it holds by then: the station may delete its copy."""
        stated = wire.load_heads(wire.decode(wire.open_envelope(answer).payload, wire.PushAnswer).heads)
        held = hub.heads(Scope("t"))
        for stream, head in stated.items():
            if held.get(stream) != head:
                raise Violation(f"the hub has stated {stream} up to {head.seq} and does not hold it")

    def check_levels(self, station: Member) -> None:
        """No level that the hub stated goes back, and none is above what the hub holds."""
        if station.name in self.uncertain:
            return  # what was stated before a disaster holds again after the next verified exchange
        with station.replica.engine.begin() as conn:
            stated = acknowledged.levels(conn, self.hub.node)
        held = self.hub.heads(Scope("t"))
        for stream, head in stated.items():
            known = self.levels.get((station.name, str(stream)), 0)
            if head.seq < known:
                raise Violation(f"{station.name}: {stream} went back from {known} to {head.seq}")
            if stream not in held or held[stream].seq < head.seq:
                raise Violation(f"{station.name}: {stream} acknowledged up to {head.seq}, the hub lacks it")
            self.levels[station.name, str(stream)] = head.seq

    def doubt_levels(self, member: Member) -> None:
        """A restored hub holds less than it stated, a restored station has forgotten what was stated."""
        if member in self.hubs:
            self.answered.clear()
            self.levels.clear()
            self.uncertain = {station.name for station in self.stations}
            return
        self.uncertain.add(member.name)
        for key in [key for key in self.levels if key[0] == member.name]:
            del self.levels[key]


_ANSWER: Final = "responder._answer_peer (1)"
_VERBS: Final = ("hello", "push", "pull", "probe", "branch", "blobs", "chunk-put", "chunk-get")
_OF_CONTENT: Final = (
    "answer blobs", "answer chunk", "application attach", "application clear", "application tidy", "blob_lane.",
    "stick.contents.", "stick.reading._try_content",
)  # fmt: skip
# Enrolment by stick is not played here.
_NOT_PLAYED: Final = ("stick.enrolling.",)


def crash_places() -> list[str]:
    """Every commit of the library that is played, an answer by what was asked."""
    places = [place for place in disks.commit_places() if not place.startswith(_NOT_PLAYED) and place != _ANSWER]
    return sorted(
        [*places, *(f"answer {verb}" for verb in _VERBS), *(f"application {name}" for name in disks.APPLICATION)]
    )


def crash_points() -> set[str]:
    """Before and after each of these commits: the names under which a journal counts crashes."""
    return {_point(place, done) for place in crash_places() for done in (False, True)}


def _point(place: str, done: bool) -> str:
    return f"{place}, {'after' if done else 'before'} the commit"


class _AtHub:
    """The hub's end of a line."""

    def __init__(self, world: World, hub: Member) -> None:
        self._world = world
        self._hub = hub

    def post(self, verb: str, body: bytes) -> bytes:
        self._world.journal.message(f"{verb} arrives", body)
        answer = self._world.answer(self._hub, verb, body)
        self._world.journal.message(f"{verb} answered", answer)
        return answer


class _Written:
    """The station's end of a line."""

    def __init__(self, inner: Transport, journal: Journal) -> None:
        self._inner = inner
        self._journal = journal

    def post(self, verb: str, body: bytes) -> bytes:
        self._journal.message(f"{verb} sent", body)
        answer = self._inner.post(verb, body)
        self._journal.message(f"{verb} heard", answer)
        return answer
