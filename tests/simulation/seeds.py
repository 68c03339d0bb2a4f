"""What every file of seeds asks; several files, so that they can be played side by side."""

import json
from pathlib import Path
from typing import Final

from sync.testing import FAULT_NAMES
from tests.simulation.playing import Played, play
from tests.simulation.sticks import STICK_FAULTS
from tests.simulation.world import crash_points

FILES: Final = 4
SEEDS_PER_FILE: Final = 50
DISASTERS: Final = frozenset({
    "restored station", "restored hub", "cloned station", "cloned hub", "replaced", "erasures", "quarantined",
})  # fmt: skip
# Reached almost only while branches are made one in healing, when nothing crashes any more: too rare to be demanded.
_RARELY: Final = ("forks.", "answer branch", "application examine")


def play_fifty(first: int, shared: Path) -> None:
    """Fifty seeds in which every invariant holds; the last file to end looks at what all of them have come upon."""
    runs = [play(seed) for seed in range(first, first + SEEDS_PER_FILE)]
    failed = [_told(run) for run in runs if run.failure]
    assert not failed, "\n\n".join(failed)
    hit = {name for run in runs for name in (*run.crashes, *run.faults, *run.counts)}
    (shared / f"simulated-{first}.json").write_text(json.dumps(sorted(hit)), encoding="utf-8")
    told = [json.loads(file.read_text(encoding="utf-8")) for file in shared.glob("simulated-*.json")]
    if len(told) == FILES:
        points = {point for point in crash_points() if not point.startswith(_RARELY)}
        never = sorted((points | FAULT_NAMES | STICK_FAULTS | DISASTERS).difference(*told))
        assert not never, f"never happened in any seed: {never}"


def _told(run: Played) -> str:
    lines = "\n  ".join(run.lines)
    return f"seed {run.seed}: {run.failure}\n  {lines}\nplay it again: make simulate SEEDS=1 SEED={run.seed}"
