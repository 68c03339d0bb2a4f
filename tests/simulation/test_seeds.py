"""Seeded runs. A failing seed prints itself; `LIANXIN_SIM_SEEDS=1000 pytest tests/simulation` searches longer."""

import os
from pathlib import Path

import pytest

from sync.replica import FAULT_POINTS
from tests.simulation import invariants
from tests.simulation.world import Violation, World

SEEDS = int(os.environ.get("LIANXIN_SIM_SEEDS", "20"))
FIRST_SEED = int(os.environ.get("LIANXIN_SIM_FIRST_SEED", "1"))
STEPS = 45


def play(seed: int, folder: Path) -> set[str]:
    """One run; the fault points it reached. The seed stands in whatever goes wrong. Every other seed has disasters."""
    world = World(seed, folder, disasters=0.0 if seed % 2 else 0.8)
    try:
        world.run(STEPS if seed % 2 else 2 * STEPS)
        world.heal()
        invariants.check(world)
    except Violation as violation:
        raise AssertionError(f"seed {seed}: {violation}") from violation
    finally:
        print(f"seed {seed}")
        world.close()
    return world.hits


@pytest.mark.parametrize("tenth", range(10))
def test_after_healing_every_invariant_holds(tenth: int, tmp_path: Path) -> None:
    for seed in range(FIRST_SEED + tenth, FIRST_SEED + SEEDS, 10):
        play(seed, tmp_path)


def test_every_named_fault_point_is_reached(tmp_path: Path) -> None:
    reached: set[str] = set()
    for seed in (1, 3, 16, 24, 2, 12):
        reached |= play(seed, tmp_path)
    assert reached == set(FAULT_POINTS)
