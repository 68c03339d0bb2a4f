"""The simulation proves itself: a known bug in any part must make some early seed fail."""

import pytest

from tests.simulation.planted import PLANTED
from tests.simulation.playing import play

SEEDS_MAX = 26
# Bugs that need a disaster show in even seeds alone: the others only take time.
DISASTERS_NEEDED = frozenset({"own past refused", "own branch thrown away"})


@pytest.mark.parametrize("bug", PLANTED)
def test_a_planted_bug_is_caught(bug: str) -> None:
    seeds = range(2, SEEDS_MAX, 2) if bug in DISASTERS_NEEDED else range(1, SEEDS_MAX)
    assert any(play(seed, PLANTED[bug]).failure for seed in seeds), f"{bug} was not noticed"
