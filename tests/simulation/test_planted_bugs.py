"""The simulation proves itself: a known bug in any part must make some early seed fail."""

from pathlib import Path

import pytest
from sqlalchemy.exc import IntegrityError

from tests.simulation import invariants
from tests.simulation.planted import PLANTED
from tests.simulation.world import Parts, Violation, World

SEEDS_MAX = 26
# The first seed that can show a bug which needs a rare disaster: earlier ones only take time.
FIRST_SEED = {"own past refused": 16}
STEPS = 45


def fails(seed: int, folder: Path, parts: Parts) -> bool:
    world = World(seed, folder, parts, disasters=0.0 if seed % 2 else 0.8)
    try:
        world.run(STEPS if seed % 2 else 2 * STEPS)
        world.heal()
        invariants.check(world)
    except (Violation, IntegrityError):
        return True
    finally:
        world.close()
    return False


@pytest.mark.parametrize("bug", PLANTED)
def test_a_planted_bug_is_caught(bug: str, tmp_path: Path) -> None:
    assert any(fails(seed, tmp_path, PLANTED[bug]) for seed in range(FIRST_SEED.get(bug, 1), SEEDS_MAX)), (
        f"{bug} was not noticed"
    )
