"""What must hold once every line works again."""

from collections import Counter

from sync.bundle import unpack
from sync.events import Event, Scope
from sync.tracing import trace
from tests.simulation.world import HUB_ONLY, LIMITS, Member, Violation, World, everything, own_scope


def check(world: World) -> None:
    """Raises `Violation` with the first invariant that does not hold."""
    at_hub = everything(world.hub)
    for member in world.members:
        _chains_verify(member)
        _nothing_lost_or_doubled(member, at_hub)
        _folded_all(member)
    _survivors_arrived(world, at_hub)
    _nothing_invented(world, at_hub)
    _sticks_arrived(world, at_hub)
    for station in world.stations:
        _equal(world, station)
        _nothing_foreign(station)
    _keys_once(world)


def _chains_verify(member: Member) -> None:
    with member.replica.engine.begin() as conn:
        problems = member.ledger.verify(conn)
    if problems:
        raise Violation(f"{member.name}: {problems[0]}")


def _nothing_lost_or_doubled(member: Member, at_hub: list[Event]) -> None:
    """What was committed on any disk that is still there is at the hub once, byte for byte."""
    there = {event.event_id: event for event in at_hub}
    times = Counter(event.event_id for event in at_hub)
    for name, body in member.recorded.items():
        event = there.get(name)
        if event is None or event.body != body or event.stream.origin.node != member.identity.node:
            raise Violation(f"{member.name}: {name} is not at the hub as it was recorded")
        if times[name] != 1:
            raise Violation(f"{member.name}: {name} is at the hub {times[name]} times")


def _survivors_arrived(world: World, at_hub: list[Event]) -> None:
    """What its own node has lost, but any other disk still held."""
    there = {event.event_id: event.body for event in at_hub}
    for name, body in world.surviving.items():
        if name not in there or there[name] != body:
            raise Violation(f"{name} was on a disk and is not at the hub")


def _nothing_invented(world: World, at_hub: list[Event]) -> None:
    """What the hub holds was committed by its origin once, be it on a disk that was put back since."""
    committed: dict[str, set[str]] = {}
    for member in world.members:
        committed.setdefault(member.identity.node, set()).update(member.recorded, member.perhaps)
    for event in at_hub:
        if event.event_id not in committed[event.stream.origin.node]:
            raise Violation(f"the hub holds {event.stream} {event.seq}, which was never committed")


def _sticks_arrived(world: World, at_hub: list[Event]) -> None:
    """Also what only a stick remembers."""
    there = {event.event_id for event in at_hub}
    for station, data in world.carried:
        for segment in unpack(data, station.identity.public_key, LIMITS).segments:
            missing = [name.hex() for name in trace(segment).names() if name.hex() not in there]
            if missing:
                raise Violation(f"{segment.stream}: {missing[0]} came on a stick and is not at the hub")


def _folded_all(member: Member) -> None:
    """Every subject that received events was folded with all of them."""
    own = member.identity.node
    for event in everything(member):
        if event.stream.origin.node != own and event.event_id not in member.folded.get(event.subject, ()):
            raise Violation(f"{member.name}: {event.subject} was not folded after {event.stream} {event.seq}")


def _equal(world: World, station: Member) -> None:
    scopes = (Scope("t/pub"), own_scope(station))
    if world.hub.ledger.digest(world.hub.heads(*scopes)) != station.ledger.digest(station.heads(*scopes)):
        raise Violation(f"{station.name}: digests differ after healing")


def _nothing_foreign(station: Member) -> None:
    for stream in station.heads(Scope("t")):
        readable = stream.scope in ("t/pub", own_scope(station)) or own_scope(station) == "t/s/s0"
        if stream.scope == HUB_ONLY or not readable:
            raise Violation(f"{station.name} holds {stream}")


def _keys_once(world: World) -> None:
    """A key was claimed once per node and scope; two nodes that could not know of each other may both have."""
    for member in world.members:
        doubled = [key for key, times in Counter(member.keys).items() if times > 1]
        if doubled:
            raise Violation(f"{member.name}: key {doubled[0]} was used twice")
