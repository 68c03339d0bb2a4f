"""Seeds 151 to 200."""

from pathlib import Path

from tests.simulation.seeds import play_fifty


def test_after_healing_every_invariant_holds(shared: Path) -> None:
    play_fifty(151, shared)
