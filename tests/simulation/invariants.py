"""What must hold once every line works again."""

import json
from collections import Counter

from sqlalchemy import Connection, select

from sync import incidents
from sync.bundle import decode_segment
from sync.erased import version as erasures
from sync.events import Event, Scope
from sync.tables import ledger_branches, ledger_held, ledger_incidents
from sync.tracing import trace
from tests.simulation.members import Member
from tests.simulation.world import ERASURE, HUB_ONLY, PUB, STATIONS, Violation, World


def check(world: World) -> None:
    """Raises `Violation` with the first invariant that does not hold. Numbers are those of the design's list."""
    at_hub = world.hub.everything()
    # What is to be gone: a wish that went with its disk binds nobody, but who heard of it before may have followed it.
    erased = {json.loads(event.body)["of"] for event in at_hub if event.kind == ERASURE and event.body is not None}
    for member in world.members:
        held = at_hub if member is world.hub else member.everything()
        _chains_verify(member)  # 2
        _nothing_lost_or_doubled(world, member, at_hub, erased)  # 1, 2
        _folded_all(member, held)  # 5: what is shown was made from everything that is here
        if not member.revoked:  # who has withdrawn a key, has no say on that disk any more
            _erased_everywhere(member, held, erased)  # 8
        world.journal.line(f"{member.name} ends at {member.ledger.digest(member.heads(Scope('t'))).hex()}")
    _survivors_arrived(world, at_hub, erased)  # 1
    _nothing_invented(world, at_hub)  # 1
    _bundles_arrived(world, at_hub)  # 1
    for station in world.stations:
        if not station.revoked:
            _equal(world, station)  # 3
        _nothing_foreign(station)  # 6
    _nothing_waits(world)  # 7
    _keys_once(world)  # 10


def _chains_verify(member: Member) -> None:
    with member.replica.engine.begin() as conn:
        problems = member.ledger.verify(conn)
    if problems:
        raise Violation(f"{member.name}: {problems[0]}")


def _is_right(world: World, erased: set[str], name: str, found: bytes | None, body: bytes | None) -> bool:
    """Whether this is what must be left of a body."""
    if found is None:
        return name in erased or name in world.wished or body is None
    return name not in erased and found == body


def _nothing_lost_or_doubled(world: World, member: Member, at_hub: list[Event], erased: set[str]) -> None:
    """What was committed on any disk that is still there is at the hub once, byte for byte."""
    there = {event.event_id: event for event in at_hub}
    times = Counter(event.event_id for event in at_hub)
    for name, body in member.memory.recorded.items():
        event = there.get(name)
        if event is None or event.stream.origin.node not in _spoken_for_by(world, member):
            raise Violation(f"{member.name}: {name} is not at the hub as it was recorded")
        if not _is_right(world, erased, name, event.body, body):
            raise Violation(f"{member.name}: {name} is at the hub with another body")
        if times[name] != 1:
            raise Violation(f"{member.name}: {name} is at the hub {times[name]} times")


def _spoken_for_by(world: World, member: Member) -> set[str]:
    """Under whose key a member's events may be: its own, and once that was withdrawn its successor's."""
    return {member.node} | {other.node for other in world.stations if member.revoked and other.scope == member.scope}


def _survivors_arrived(world: World, at_hub: list[Event], erased: set[str]) -> None:
    """What its own node has lost, but any other disk still held."""
    there = {event.event_id: event.body for event in at_hub}
    for name, body in world.surviving.items():
        if name not in there:
            raise Violation(f"{name} was on a disk and is not at the hub")
        if body is not None and not _is_right(world, erased, name, there[name], body):
            raise Violation(f"{name} is at the hub with another body")


def _nothing_invented(world: World, at_hub: list[Event]) -> None:
    """What the hub holds was committed by its origin once, be it on a disk that was put back or switched off since."""
    committed: dict[str, set[str]] = {}
    for member in [*world.members, *world.gone]:
        for node in _spoken_for_by(world, member):
            committed.setdefault(node, set()).update(member.memory.recorded, member.perhaps)
    for event in at_hub:
        if event.event_id not in committed[event.stream.origin.node]:
            raise Violation(f"the hub holds {event.stream} {event.seq}, which was never committed")


def _bundles_arrived(world: World, at_hub: list[Event]) -> None:
    """Also what only a bundle in a drawer remembers."""
    there = {event.event_id for event in at_hub}
    for bundle in world.carried:
        for name in sorted(bundle.names - there):
            raise Violation(f"{name} came in a bundle of {bundle.station.name} and is not at the hub")


def _folded_all(member: Member, held: list[Event]) -> None:
    """Every subject that received events was folded with all of them."""
    for event in held:
        if event.stream.origin.node != member.node and event.event_id not in member.memory.folded.get(
            event.subject, ()
        ):
            raise Violation(f"{member.name}: {event.subject} was not folded after {event.stream} {event.seq}")


def _erased_everywhere(member: Member, held: list[Event], erased: set[str]) -> None:
    """An erased body lies on no disk: not in the ledger, not among what waits, not in what is kept as evidence."""
    for event in held:
        if event.event_id in erased and event.body is not None:
            raise Violation(f"{member.name}: {event.event_id} was erased and is still there")
    with member.replica.engine.begin() as conn:
        if not erasures(conn):
            return
        kept = frozenset(bytes.fromhex(name) for name in erased)
        for name in _bodies_aside(conn):
            if name in kept:
                raise Violation(f"{member.name}: {name.hex()} was erased and lies among what waits")


def _bodies_aside(conn: Connection) -> list[bytes]:
    segments = [decode_segment(row) for row in conn.execute(select(ledger_held.c.segment)).scalars()]
    evidence = select(ledger_incidents.c.evidence).where(ledger_incidents.c.evidence.is_not(None))
    segments += [one for row in conn.execute(evidence).scalars() for one in incidents.open_evidence(row)]
    pieces = conn.execute(select(ledger_branches.c.segment)).scalars()
    segments += [decode_segment(piece) for piece in pieces]
    return [
        name for segment in segments
        for name, body in zip(trace(segment).names(), segment.bodies, strict=True) if body is not None
    ]  # fmt: skip


def _equal(world: World, station: Member) -> None:
    scopes = (PUB, station.scope)
    if world.hub.ledger.digest(world.hub.heads(*scopes)) != station.ledger.digest(station.heads(*scopes)):
        raise Violation(f"{station.name}: digests differ after healing")


def _nothing_foreign(station: Member) -> None:
    central = station.scope == "t/s/s0"
    for stream in station.heads(Scope("t")):
        readable = stream.scope in (PUB, station.scope) or (central and stream.scope.startswith(STATIONS))
        if stream.scope == HUB_ONLY or not readable:
            raise Violation(f"{station.name} holds {stream}")


def _nothing_waits(world: World) -> None:
    """No early segment, no quarantined subject, no event that is said to be unsent."""
    for member in world.members:
        with member.replica.engine.begin() as conn:
            aside, waiting = member.ledger.quarantined(conn), member.ledger.pending_count(conn)
            held = conn.execute(select(ledger_held.c.node)).all()
        if aside or waiting:
            raise Violation(f"{member.name}: {len(aside)} subjects are set aside and {waiting} wait")
        if held and not member.revoked:  # to a withdrawn key nobody sends what would precede
            raise Violation(f"{member.name}: {len(held)} early segments wait for ever")


def _keys_once(world: World) -> None:
    """A key was claimed once per node and scope; two nodes that could not know of each other may both have."""
    for member in world.members:
        doubled = [key for key, times in Counter(member.memory.keys).items() if times > 1]
        if doubled:
            raise Violation(f"{member.name}: key {doubled[0]} was used twice")
