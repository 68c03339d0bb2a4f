"""One seed from its first step to its last check, and what came of it."""

import gc
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from tests.simulation import contents, disasters, disks, invariants, sticks
from tests.simulation.healing import heal
from tests.simulation.members import Parts
from tests.simulation.world import World

STEPS: Final = 45
STEPS_WITH_DISASTERS: Final = 90
DISASTERS: Final = 0.8


@dataclass(frozen=True, slots=True)
class Played:
    """A run. `failure` says which invariant did not hold; `digest` is equal exactly for equal courses."""

    seed: int
    failure: str | None
    digest: str
    steps: int
    station_days: float
    counts: Counter[str] = field(default_factory=Counter)
    crashes: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    places: frozenset[str] = frozenset()
    lines: tuple[str, ...] = ()


def play(seed: int, parts: Parts | None = None) -> Played:
    """Every other seed has disasters, every fourth of these together with computers that are replaced; every third has
    attached content.

    What is not an invariant but an error of the program counts as a failure, too.
    """
    with TemporaryDirectory(prefix="lianxin-sim-", dir=disks.scratch()) as folder:
        with_disasters = seed % 2 == 0
        replacing = not with_disasters or seed % 8 == 6
        world = World(
            seed, Path(folder), parts, disasters=DISASTERS if with_disasters else 0.0, replacing=replacing,
            attaching=seed % 3 == 0,
        )  # fmt: skip
        failure = None
        steps = STEPS_WITH_DISASTERS if with_disasters else STEPS
        try:
            for number in range(1, steps + 1):
                step(world, number)
            heal(world)
            invariants.check(world)
            if world.attaching:
                contents.check(world)
        except Exception as error:  # noqa: BLE001 - a broken library fails in every way there is
            failure = f"{type(error).__name__}: {error}"
        finally:
            world.close()
        return _played(world, seed, steps, failure)


def _played(world: World, seed: int, steps: int, failure: str | None) -> Played:
    journal = world.journal
    days = world.elapsed / timedelta(days=1) * len(world.stations)
    return Played(
        seed, failure, journal.digest, steps, days, journal.counts, journal.crashes, journal.faults,
        frozenset(journal.places), tuple(journal.lines),
    )  # fmt: skip


def step(world: World, number: int) -> None:
    """One thing happens somewhere."""
    random = world.random
    member = random.choice(world.members)
    world.pass_time(timedelta(seconds=random.randrange(1, 7200)))
    chance = random.randrange(18 if world.disasters else 14)
    world.journal.line(f"{number} {member.name} {chance}")
    match chance:
        case 0 | 1 if world.attaching:
            contents.attach(world, member)
        case 2 if world.attaching and random.random() < 0.3:
            contents.tidy(world, member)
        case 0 | 1 | 2 | 3:
            world.record(member)
        case 4:
            world.fold(member)
        case 5:
            sticks.pack(world, random.choice(world.stations))
        case 6 if world.carried:
            with world.living(world.hub):
                sticks.bring(world, world.hub, random.choice(world.carried))
        case 7:
            member.clock.advance(timedelta(days=random.randrange(-400, 400)))
        case 8 if random.random() < 0.3:
            world.pass_time(timedelta(days=random.randrange(1, 40)))
        case 9 if random.random() < 0.4:
            sticks.carry(world, random.choice(world.stations))
        case 10 if random.random() < 0.3:
            world.erase(member)
        case 12 if random.random() < 0.3:
            world.grant(random.choice(world.stations))
        case 13 if world.replacing and random.random() < 0.3:
            disasters.replace(world, random.choice(world.stations[1:3]))
        case 14:
            disasters.back_up(world, member)
        case 15 if random.random() < world.disasters and (world.hub_suffers or member not in world.hubs):
            disasters.restore(world, member)
        case 16 if random.random() < world.disasters / 4:
            disasters.clone_station(world, random.choice(world.stations[:3]))
        case 17 if world.hub_suffers and random.random() < world.disasters / 2:
            disasters.change_hubs(world)
        case 11 | 12 | 13 | 14 | 15 | 16 | 17:
            world.exchange(random.choice(world.stations))


def collect_less() -> None:
    """Building statements makes much garbage without circles; looking for these less often saves a tenth."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
