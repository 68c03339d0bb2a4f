"""The simulation proves itself: a known bug in any part must make some early seed fail."""

import pytest

from tests.simulation.planted import PLANTED
from tests.simulation.playing import play

# Bugs that need a disaster show in even seeds alone, those of attached content in every third; others only take time.
SEEDS = {
    "own past refused": range(30, 60, 2), "own branch thrown away": range(2, 26, 2),
    "content believed to have arrived": range(3, 60, 3), "erased file left on the disk": range(3, 60, 3),
}  # fmt: skip
ANY = range(1, 26)


@pytest.mark.parametrize("bug", PLANTED)
def test_a_planted_bug_is_caught(bug: str) -> None:
    seeds = SEEDS.get(bug, ANY)
    assert any(play(seed, PLANTED[bug]).failure for seed in seeds), f"{bug} was not noticed"
