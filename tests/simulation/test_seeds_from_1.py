"""Seeds 1 to 50."""

from pathlib import Path

from tests.simulation.seeds import play_fifty


def test_after_healing_every_invariant_holds(shared: Path) -> None:
    play_fifty(1, shared)
