"""What every file of seeds asks; several files, so that they can be played side by side."""

import json
from pathlib import Path
from typing import Final

from sync.testing import FAULT_NAMES
from tests.simulation.playing import Played, play
from tests.simulation.sticks import STICK_FAULTS
from tests.simulation.world import crash_points

SEEDS: Final = 200
DISASTERS: Final = frozenset({
    "restored station", "restored hub", "cloned station", "cloned hub", "replaced", "erasures", "quarantined",
})  # fmt: skip
# Reached almost only in healing, when nothing crashes any more: while branches are made one, and while history comes in
# parts; or hit in one or two of a hundred seeds. Of the two hundred here they are not demanded: the contracts of epochs
# and snapshots end exchanges at these commits, and ten thousand seeds hit most of them (docs/measurements.md).
_RARELY: Final = (
    "forks.", "answer branch", "answer chunk", "answer probe", "application examine", "blob_lane._",
    "exchange._first_refusal", "farewell.", "greeting.say", "loading.", "stick.contents.", "stick.reading._try",
    "stick.writing._kept", "stick.writing._part", "stick.writing._put_part",
)  # fmt: skip


def play_one(seed: int, shared: Path) -> None:
    """A seed in which every invariant holds; the last one to end looks at what all of them have come upon."""
    run = play(seed)
    assert not run.failure, _told(run)
    hit = sorted({*run.crashes, *run.faults, *run.counts})
    unfinished = shared / f"simulated-{seed}.tmp"
    unfinished.write_text(json.dumps(hit), encoding="utf-8")
    unfinished.rename(shared / f"simulated-{seed}.json")  # others read it as soon as it is there
    told = [json.loads(file.read_text(encoding="utf-8")) for file in shared.glob("simulated-*.json")]
    if len(told) == SEEDS:
        points = {point for point in crash_points() if not point.startswith(_RARELY)}
        never = sorted((points | FAULT_NAMES | STICK_FAULTS | DISASTERS).difference(*told))
        assert not never, f"never happened in any seed: {never}"


def _told(run: Played) -> str:
    lines = "\n  ".join(run.lines)
    return f"seed {run.seed}: {run.failure}\n  {lines}\nplay it again: make simulate SEEDS=1 SEED={run.seed}"
