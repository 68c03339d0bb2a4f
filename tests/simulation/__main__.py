"""`python -m tests.simulation --seeds n --seed s`: plays seeds s to s+n-1 and says what came of them.

A seed that fails is played again, always with the same course: the command that does so is printed with it.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from tests.simulation.playing import Played, collect_less, play
from tests.simulation.world import crash_points

PAGE: Final = Path(__file__).parents[2] / "docs" / "measurements.md"
BEGIN: Final = "<!-- written by python -m tests.simulation -->"
END: Final = "<!-- end of what python -m tests.simulation wrote -->"
_PROGRESS_EVERY: Final = 100
_SHOWN_FAILURES: Final = 5
_DAYS_OF_A_YEAR: Final = 365.25


class Summary:
    """What many runs did together."""

    def __init__(self) -> None:
        self.seeds = self.steps = 0
        self.station_days = 0.0
        self.counts: Counter[str] = Counter()
        self.crashes: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self.failures: list[Played] = []

    def add(self, run: Played) -> None:
        self.seeds += 1
        self.steps += run.steps
        self.station_days += run.station_days
        self.counts += run.counts
        self.crashes += run.crashes
        self.faults += run.faults
        if run.failure is not None:
            self.failures.append(run)

    def figures(self) -> dict[str, Any]:
        """Everything that is shown, by name. What is lost, doubled or stuck makes its seed fail."""
        points = crash_points()
        return {
            "seeds": self.seeds,
            "seeds that failed": len(self.failures),
            "steps": self.steps,
            "simulated station-years": round(self.station_days / _DAYS_OF_A_YEAR, 1),
            "contents attached": self.counts["contents"],
            **{name: self.counts[name] for name in ("events", "exchanges", "verified", "sticks carried")},
            "bundles brought by hand": self.counts["bundles brought"],
            "crashes": self.crashes.total(),
            "crash points hit": f"{len(self.crashes.keys() & points)} of {len(points)}",
            **{name: self.counts[name] for name in _DISASTERS},
            "faults of lines and sticks": self.faults.total(),
        }


_DISASTERS: Final = (
    "restored station", "restored hub", "cloned station", "cloned hub", "replaced", "erasures", "quarantined",
)  # fmt: skip


def main(arguments: list[str] | None = None) -> int:
    """Exit code 0 when every invariant held in every seed, 1 when one did not."""
    asked = _parser().parse_args(arguments)
    summary, began = Summary(), time.monotonic()
    for run in _runs(range(asked.seed, asked.seed + asked.seeds), asked.jobs):
        summary.add(run)
        if run.failure is not None:
            _show_failure(run, summary)
        if asked.verbose:
            print(f"seed {run.seed}: {run.failure or 'all invariants hold'}, course {run.digest[:16]}")
        elif summary.seeds % _PROGRESS_EVERY == 0:
            print(f"{summary.seeds} of {asked.seeds} seeds, {len(summary.failures)} failed", flush=True)
        if asked.minutes and time.monotonic() - began > asked.minutes * 60:
            break
    took = time.monotonic() - began
    _show(summary, took)
    if asked.record:
        _record(summary, took, asked)
    return 1 if summary.failures else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description="Play seeds and check what holds.")
    parser.add_argument("--seeds", type=int, default=100, help="how many (100)")
    parser.add_argument("--seed", type=int, default=1, help="the first one (1)")
    parser.add_argument("--jobs", type=int, default=1, help="processes (1)")
    parser.add_argument("--minutes", type=float, default=0, help="end after so many, with what was played until then")
    parser.add_argument("--record", action="store_true", help=f"write what came of it into {PAGE.name}")
    parser.add_argument("--verbose", action="store_true", help="one line per seed")
    return parser


def _runs(seeds: Iterable[int], jobs: int) -> Iterator[Played]:
    if jobs < 2:
        collect_less()
        yield from map(play, seeds)
        return
    with multiprocessing.get_context("spawn").Pool(jobs, initializer=collect_less) as pool:
        yield from pool.imap_unordered(play, seeds, chunksize=4)


def _show_failure(run: Played, summary: Summary) -> None:
    print(f"\nseed {run.seed} FAILED: {run.failure}", flush=True)
    if len(summary.failures) <= _SHOWN_FAILURES:
        print("the last steps:")
        print("\n".join(f"  {line}" for line in run.lines))
        print(f"course {run.digest}")
    print(f"play it again: make simulate SEEDS=1 SEED={run.seed}\n", flush=True)


def _show(summary: Summary, took_s: float) -> None:
    figures = summary.figures() | {"seconds": round(took_s, 1), "seconds per seed": round(took_s / summary.seeds, 2)}
    for name, figure in figures.items():
        print(f"{name:>28}: {figure:,}" if not isinstance(figure, str) else f"{name:>28}: {figure}")
    for title, counted in (("faults", summary.faults), ("exchanges that stopped", _stops(summary))):
        print(f"{title}: " + ", ".join(f"{name} {times:,}" for name, times in counted.most_common()))
    missed = sorted(crash_points() - summary.crashes.keys())
    if missed:
        print(f"crash points that were not hit ({len(missed)}): " + "; ".join(missed))


def _stops(summary: Summary) -> Counter[str]:
    start = "stopped: "
    return Counter({name.removeprefix(start): n for name, n in summary.counts.items() if name.startswith(start)})


# --- on the page -----------------------------------------------------------------------------------------------


def _record(summary: Summary, took_s: float, asked: argparse.Namespace) -> None:
    """Replace the generated part of the page; what people wrote around it stays."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    if not rest:
        before = before.rstrip() + "\n\n## The simulation\n\n"
    generated = "\n".join([BEGIN, "", *_lines(summary, took_s, asked), "", END])
    PAGE.write_text(before + generated + "\n" + after.lstrip("\n"), encoding="utf-8")


def _lines(summary: Summary, took_s: float, asked: argparse.Namespace) -> list[str]:
    at = datetime.now(UTC).isoformat(timespec="minutes")[:16]
    command = f"make simulate SEEDS={summary.seeds} SEED={asked.seed}"
    lines = [
        f"`{command}`, {at} UTC, {took_s / 60:,.0f} minutes on {asked.jobs} process{'es' if asked.jobs > 1 else ''}:",
        "",
        "| what | |",
        "|---|---|",
    ]
    for name, figure in summary.figures().items():
        lines.append(f"| {name} | {figure if isinstance(figure, str) else f'{figure:,}'} |")
    crashes = json.dumps(dict(sorted(summary.crashes.items())), ensure_ascii=False)
    faults = json.dumps(dict(summary.faults.most_common()), ensure_ascii=False)
    failed = ", ".join(str(run.seed) for run in summary.failures[:20]) or "none"
    return [*lines, "", f"- failed seeds: {failed}", f"- faults: `{faults}`", f"- crashes: `{crashes}`"]


if __name__ == "__main__":
    sys.exit(main())
