"""Seeds 101 to 150."""

from pathlib import Path

import pytest

from tests.simulation.seeds import play_one


@pytest.mark.parametrize("seed", range(101, 151))
def test_after_healing_every_invariant_holds(seed: int, shared: Path) -> None:
    play_one(seed, shared)
