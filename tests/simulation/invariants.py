"""What must hold once every line works again."""

from collections import Counter

from sync.events import Event, Scope
from tests.simulation.world import HUB_ONLY, Member, Violation, World


def check(world: World) -> None:
    """Raises `Violation` with the first invariant that does not hold."""
    at_hub = _events(world.hub)
    for member in world.members:
        _chains_verify(member)
        _nothing_lost_or_doubled(member, at_hub)
        _folded_all(member)
    for station in world.stations:
        _equal(world, station)
        _nothing_foreign(station)
    _keys_once(world)


def _chains_verify(member: Member) -> None:
    with member.replica.engine.begin() as conn:
        problems = member.ledger.verify(conn)
    if problems:
        raise Violation(f"{member.name}: {problems[0]}")


def _events(member: Member) -> list[Event]:
    with member.replica.engine.begin() as conn:
        subjects = member.ledger.subjects(conn, "", None, 10_000)
        return [event for events in member.ledger.read_subjects(conn, subjects).values() for event in events]


def _nothing_lost_or_doubled(member: Member, at_hub: list[Event]) -> None:
    """What was committed anywhere is at the hub once, at its number, byte for byte."""
    there = {(str(event.stream), event.seq): event for event in at_hub}
    times = Counter(event.event_id for event in at_hub)
    for name, (stream, seq, body) in member.recorded.items():
        event = there.get((stream, seq))
        if event is None or event.event_id != name or event.body != body:
            raise Violation(f"{member.name}: {stream} {seq} is not at the hub as it was recorded")
        if times[name] != 1:
            raise Violation(f"{member.name}: {stream} {seq} is at the hub {times[name]} times")
    ours = {event.event_id for event in at_hub if event.stream.origin == member.identity.origin}
    if ours - member.recorded.keys():
        raise Violation(f"{member.name}: the hub holds events that were never committed")


def _folded_all(member: Member) -> None:
    """Every subject that received events was folded with all of them."""
    own = member.identity.origin
    for event in _events(member):
        if event.stream.origin != own and event.event_id not in member.folded.get(event.subject, ()):
            raise Violation(f"{member.name}: {event.subject} was not folded after {event.stream} {event.seq}")


def _equal(world: World, station: Member) -> None:
    scopes = (Scope("t/pub"), Scope(f"t/s/{station.name}"))
    if world.hub.ledger.digest(world.hub.heads(*scopes)) != station.ledger.digest(station.heads(*scopes)):
        raise Violation(f"{station.name}: digests differ after healing")


def _nothing_foreign(station: Member) -> None:
    for stream in station.heads(Scope("t")):
        readable = stream.scope in ("t/pub", f"t/s/{station.name}") or station.name == "s0"
        if stream.scope == HUB_ONLY or not readable:
            raise Violation(f"{station.name} holds {stream}")


def _keys_once(world: World) -> None:
    """A key was claimed once per node and scope; two nodes that could not know of each other may both have."""
    for member in world.members:
        doubled = [key for key, times in Counter(member.keys).items() if times > 1]
        if doubled:
            raise Violation(f"{member.name}: key {doubled[0]} was used twice")
