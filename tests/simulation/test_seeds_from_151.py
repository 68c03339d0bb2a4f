"""Seeds 151 to 200."""

from pathlib import Path

import pytest

from tests.simulation.seeds import play_one


@pytest.mark.parametrize("seed", range(151, 201))
def test_after_healing_every_invariant_holds(seed: int, shared: Path) -> None:
    play_one(seed, shared)
