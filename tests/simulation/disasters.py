"""Disks that are put back or copied, at a station or at the hub, and computers that are replaced."""

from sync.enrolment import enrol, issue_code
from sync.errors import SyncError
from sync.testing import Crash
from tests.simulation.members import CONTENTS, Member
from tests.simulation.world import PUB, World

# As long as stations share a key with a copy, every exchange may open an epoch; few backups show as much as many.
_BACKUPS_MAX = 4
_TRIES = 8
_MACHINES = ("one and the same", "another one")


def back_up(world: World, member: Member) -> None:
    if len(member.backups) < _BACKUPS_MAX:
        world.journal.counts["backups"] += 1
        member.back_up()


def restore(world: World, member: Member) -> None:
    """The disk is put back to any earlier state, with its anchor or without; the process starts again."""
    if not member.backups:
        return
    backup, with_anchor = world.random.choice(member.backups), world.random.random() < 0.5
    member.put_back(backup, with_anchor=with_anchor, contents=world.random.choice(CONTENTS))
    world.start(member)
    world.doubt_levels(member)
    world.journal.counts["restored hub" if member in world.hubs else "restored station"] += 1


def clone_station(world: World, station: Member) -> None:
    """A second computer with a copy of the disk, both running from now on."""
    if station.name.endswith("c") or any(other.name == f"{station.name}c" for other in world.stations):
        return
    copy = station.clone(world.random.choice(_MACHINES))
    world.start(copy)
    world.stations.append(copy)
    world.uncertain.add(copy.name)
    world.journal.counts["cloned station"] += 1


def clone_hub(world: World) -> None:
    """The hub's disk runs in a second machine, and nobody switches the first one off. Stations reach either."""
    if len(world.hubs) > 1 or any(member.name == "hubc" for member in world.gone):
        return
    copy = world.hub.clone(world.random.choice(_MACHINES))
    world.start(copy)
    world.hubs.append(copy)
    world.doubt_levels(copy)
    world.journal.counts["cloned hub"] += 1


def leave_one_hub(world: World) -> None:
    """Somebody notices: one of both is switched off for good, and not always the one that knows less."""
    if len(world.hubs) < 2:
        return
    world.gone.append(world.hubs.pop(world.random.randrange(2)))
    world.gone[-1].stop()
    world.doubt_levels(world.hub)


def change_hubs(world: World) -> None:
    """The hub is copied, or one of two hubs is switched off."""
    if len(world.hubs) == 1:
        clone_hub(world)
    else:
        leave_one_hub(world)


def replace(world: World, old: Member) -> None:
    """A new computer in place of the old one, whose key is withdrawn; what was not sent lies on the old disk, and on
    every copy of it.
    """
    if old.revoked:
        return
    new = world.member(f"{old.name}n", old.scope)
    enrol_successor(world, new, old)
    world.stations.append(new)
    world.journal.counts["replaced"] += 1


def enrol_successor(world: World, new: Member, old: Member) -> None:
    """By a code that somebody reads out; the old computer's key is withdrawn with it."""
    with world.in_peace(), world.hub.replica.engine.begin() as conn:
        code = issue_code(
            conn, name=new.name, read_scopes=(PUB, old.scope), write_scopes=(old.scope,), now=world.hub.clock(),
            successor_of=old.node, random_bytes=world.random.randbytes,
        )  # fmt: skip
    if not any(_is_let_in(world, new, code) for _ in range(_TRIES)):
        with world.in_peace():
            enrol(new.replica, world.good_line(world.hub), code)
    for member in world.stations:
        member.revoked |= member.node == old.node


def _is_let_in(world: World, new: Member, code: str) -> bool:
    """One try over the bad line. Who types the code again after any failure is let in once."""
    try:
        enrol(new.replica, world.bad_line(world.hub, new), code)
    except SyncError as error:
        world.journal.line(f"    {new.name} is not let in: {error.code}")
        return False
    except Crash:
        world.revive(new)
        return False
    return True
