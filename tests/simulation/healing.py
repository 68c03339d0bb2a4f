"""Every line works again; one hub is left; people have done what they were asked to do."""

from datetime import timedelta

from sqlalchemy import func, select

from sync import incidents, late, peers
from sync.errors import PeerRevoked, SyncError
from sync.tables import ledger_held
from tests.simulation import contents, disasters, sticks
from tests.simulation.members import Member
from tests.simulation.world import Violation, World

# A round is every station once. What still moves after so many will never end.
ROUNDS_MAX = 20


def heal(world: World) -> None:
    """Until every station is found equal and nothing moves any more. Raises `Violation` where that does not come."""
    world.journal.line("healing")
    disasters.leave_one_hub(world)
    world.calm = True
    for member in world.members:
        world.surviving |= {event.event_id: event.body for event in member.everything()}
    at_rest: dict[str, object] = {}
    for number in range(ROUNDS_MAX):
        moved = _bring_what_lacks(world)
        for member in world.members if world.attaching else ():
            _read_and_tidy(world, member, always=number == 0)
        for station in world.stations:
            moved |= _moves(world, station, at_rest)
        moved |= _decide_late_work(world)
        world.pass_time(timedelta(hours=1))
        if not moved:
            break
    else:
        raise Violation(f"no rest after {ROUNDS_MAX} rounds over good lines")
    for member in world.members:
        _fold_everything(world, member)


def _moves(world: World, station: Member, at_rest: dict[str, object]) -> bool:
    """Exchanges, unless that could only repeat the last time; whether it had to."""
    if station.name in at_rest and at_rest[station.name] == _standing(world, station):
        return False
    at_rest.pop(station.name, None)
    before = _standing(world, station) if station.revoked else None
    if _found_equal(world, station):
        after = _standing(world, station)
        if before is None or before == after:  # an old computer does not hear whether all of its photos have gone
            at_rest[station.name] = after
    return True


def _standing(world: World, station: Member) -> object:
    """What the hub has to say to a station: another exchange is needed when it changes."""
    hub = world.hub
    with hub.replica.engine.begin() as conn:
        heads = hub.replica.shared_heads(conn, peers.get_peer(conn, station.node))
        forks = len(incidents.forks_of(conn, station.node, 100)), len(incidents.handed_to(conn, station.node, 100))
        early = conn.execute(select(func.count()).where(ledger_held.c.node == station.node)).scalar()
        room = len(late.waiting(conn)) if station.revoked else 0  # an old computer tries again and again
    attached = contents.outstanding(world, station) if world.attaching else None
    return hub.ledger.digest(heads), forks, early, room, attached


def _found_equal(world: World, station: Member) -> bool:
    """Whether an exchange over a good line ended with both equal."""
    world.journal.counts["exchanges"] += 1
    try:
        report = world.exchange_with(world.hub, station, world.good_line(world.hub))
    except PeerRevoked:
        if station.revoked:
            return not _late_work_waits(world)  # what it brings is first decided about
        raise Violation(f"{station.name} is turned away without a reason") from None
    except SyncError as error:
        raise Violation(f"{station.name} cannot exchange over a good line: {error!r}") from error
    world.check_levels(station)
    lane = getattr(report, "blobs", None)
    if lane is not None and lane.error is not None:
        raise Violation(f"{station.name} cannot carry content over a good line: {lane.error!r}")
    return bool(getattr(report, "verified", False)) and not (lane and lane.more)


def _bring_what_lacks(world: World) -> bool:
    """Every bundle in the drawers, as long as the hub lacks some of it."""
    there = {event.event_id for event in world.hub.everything()}
    lacking = [bundle for bundle in world.carried if not bundle.names <= there]
    for bundle in lacking:
        sticks.bring(world, world.hub, bundle)
    return bool(lacking)


def _decide_late_work(world: World) -> bool:
    """What a withdrawn key signed later is looked at by a person and let in."""
    hub = world.hub
    with hub.replica.engine.begin() as conn:
        undecided = late.undecided(conn)
        for one in undecided:
            late.take(conn, hub.ledger, one, hub.clock())
    return bool(undecided)


def _late_work_waits(world: World) -> bool:
    with world.hub.replica.engine.begin() as conn:
        return bool(late.undecided(conn))


def _read_and_tidy(world: World, member: Member, *, always: bool) -> None:
    """What came is folded, so that what it refers to is wanted."""
    if always or _pending(member):
        _fold_everything(world, member)
        contents.tidy(world, member)
        _fold_everything(world, member)


def _fold_everything(world: World, member: Member) -> None:
    with member.replica.engine.begin() as conn:
        for aside in member.ledger.quarantined(conn):
            member.ledger.release(conn, aside.subject)
    while _pending(member):
        world.fold(member)


def _pending(member: Member) -> int:
    with member.replica.engine.begin() as conn:
        return member.ledger.pending_count(conn)
