"""`python -m bench [name …]`: measures what was promised, one module after the other, and writes it down.

Every measurement brings its own peer, measured in the same run, because this machine may be busy with other things:
ratios hold where milliseconds do not. The results go to bench/results.json and into docs/measurements.md.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import sys
import time
import traceback
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from service.demo.programs import major_version, postgres_programs
from service.store.database import sqlite_version

HERE = Path(__file__).parent
RESULTS = HERE / "results.json"
PAGE = HERE.parent / "docs" / "measurements.md"
BEGIN, END = "<!-- written by python -m bench -->", "<!-- end of what python -m bench wrote -->"


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """One promise: where its figure stands in a module's results, and on which side of the limit it must be."""

    what: str
    module: str
    key: str
    limit: float
    unit: str = ""
    at_least: bool = False

    def is_met(self, measured: float) -> bool:
        return measured >= self.limit if self.at_least else measured <= self.limit

    def shown_limit(self) -> str:
        return f"{'≥' if self.at_least else '≤'} {self.limit:,g} {self.unit}".strip()


BUDGETS = (
    Budget(what="20,000 events stored and verified equal, the library by itself", module="sync_throughput",
           key="stored_verified_per_s", limit=20_000, unit="events/s", at_least=True),
    Budget(what="the same through the hub as installed", module="end_to_end", key="stored_per_s",
           limit=20_000, unit="events/s", at_least=True),
    Budget(what="the same until applied in the read tables", module="end_to_end", key="both_per_s",
           limit=15_000, unit="events/s", at_least=True),
    Budget(what="the same against a plain COPY of the rows", module="end_to_end", key="share_of_copy",
           limit=0.10, at_least=True),
    Budget(what="time for twice the events, 10³ to 10⁶", module="growth", key="time_per_doubling",
           limit=2.2, unit="×"),
    Budget(what="PouchDB replicating the same 100,000 to its own server: its seconds to ours", module="growth",
           key="times_pouchdb", limit=1, unit="×", at_least=True),
    Budget(what="bytes on the wire beyond the compressed payload", module="wire", key="overhead_bytes_per_event",
           limit=64, unit="B/event"),
    Budget(what="idle exchange: requests", module="wire", key="idle_requests", limit=1),
    Budget(what="idle exchange: bytes, HTTP headers included", module="wire", key="idle_bytes", limit=1000, unit="B"),
    Budget(what="idle exchange: time on loopback", module="wire", key="idle_ms", limit=20, unit="ms"),
    Budget(what="a day's work over 64 kbit/s, 0.8 s, 5 % loss: verified equal", module="village_line",
           key="verified_after_s", limit=300, unit="s"),
    Budget(what="the same until its photo of 200 kB is whole", module="village_line", key="photo_whole_after_s",
           limit=600, unit="s"),
    Budget(what="registering, against an empty request and a synced commit", module="registering",
           key="times_its_peers", limit=4, unit="×"),
    Budget(what="station at rest: resident memory", module="station_memory", key="resident_mb", limit=150, unit="MB"),
    Budget(what="station at rest: processor", module="station_memory", key="idle_cpu_percent",
           limit=1, unit="% of a core"),
    Budget(what="station: first page after start", module="station_memory", key="first_page_s", limit=2, unit="s"),
    Budget(what="sweep of 1,000 due among 1,000,000 open, against 10,000 open", module="escalation_sweep",
           key="ratio", limit=2, unit="×"),
    Budget(what="500 stations waking at once, 100 events each: the last one verified", module="crowd",
           key="verified_s_max", limit=60, unit="s"),
    Budget(what="the same: stations not verified", module="crowd", key="not_verified", limit=0),
    Budget(what="the same: answers 5xx", module="crowd", key="server_errors", limit=0),
    Budget(what="coverage of a town, recomputed", module="coverage", key="recompute_ms_median", limit=5, unit="ms"),
)  # fmt: skip
MODULES = tuple(dict.fromkeys(budget.module for budget in BUDGETS))

Results = dict[str, dict[str, Any]]


def main(arguments: list[str] | None = None) -> int:
    """Exit code 0 when everything asked for could be measured, whether it met its budget or not."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure what was promised.")
    parser.add_argument("names", nargs="*", metavar="name", help=f"some of: {', '.join(MODULES)}; all by default")
    names = parser.parse_args(arguments).names or [name for name in MODULES if _exists(name)]
    results: Results = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    failed = [name for name in names if not _measure(name, results)]
    RESULTS.write_text(json.dumps(results, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    _write_page(results)
    print("\n".join(_table(results)))
    return 1 if failed else 0


def _exists(name: str) -> bool:
    return (HERE / f"{name}.py").exists()


def _measure(name: str, results: Results) -> bool:
    """Run one module and keep what it found with the conditions it found it under; False when it failed."""
    print(f"{name} …", file=sys.stderr, flush=True)
    conditions, began = _conditions(), time.monotonic()
    try:
        found = importlib.import_module(f"bench.{name}").run()
    except Exception:  # noqa: BLE001 - one measurement that fails must not hide the others
        traceback.print_exc()
        return False
    took = round(time.monotonic() - began, 1)
    results[name] = {"found": found, "took_s": took, "conditions": conditions}
    print(json.dumps(found, ensure_ascii=False), file=sys.stderr, flush=True)
    return True


def _conditions() -> dict[str, Any]:
    return {
        "at": datetime.now(UTC).isoformat(timespec="minutes"),
        "load": round(os.getloadavg()[0], 1),
        "cores": len(os.sched_getaffinity(0)),
        "processor": _processor(),
        "python": platform.python_version(),
        "sqlite": ".".join(map(str, sqlite_version())),
        "postgresql": major_version(postgres_programs()),
        "sqlalchemy": version("sqlalchemy"),
    }


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines() if Path("/proc/cpuinfo").exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


# --- what it says ----------------------------------------------------------------------------------------------


def _table(results: Results) -> list[str]:
    """The budgets as a table in Markdown, those not measured yet included."""
    lines = ["| what | budget | measured | of the budget | |", "|---|---|---|---|---|"]
    for budget in BUDGETS:
        measured = results.get(budget.module, {}).get("found", {}).get(budget.key)
        lines.append(f"| {budget.what} | {budget.shown_limit()} | {_outcome(budget, measured)} |")
    return lines


def _outcome(budget: Budget, measured: float | None) -> str:
    if measured is None:
        return "not measured | |"
    share = f"{measured / budget.limit:.0%}" if budget.limit else ""
    return f"{measured:,g} {budget.unit} | {share} | {'met' if budget.is_met(measured) else '**missed**'}"


def _write_page(results: Results) -> None:
    """Replace the generated part of the page; what people wrote around it stays."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN) if PAGE.exists() else (_INTRODUCTION, "", "")
    after = rest.partition(END)[2]
    generated = "\n".join([BEGIN, "", *_table(results), "", *_circumstances(results), "", *_details(results), END])
    PAGE.write_text(before + generated + after.rstrip() + "\n", encoding="utf-8")


def _circumstances(results: Results) -> list[str]:
    """When and where each module was run; load is that of the whole machine just before."""
    lines = ["| module | when (UTC) | took | load before | cores | Python | SQLite | PostgreSQL |",
             "|---|---|---|---|---|---|---|---|"]  # fmt: skip
    for name, result in results.items():
        c = result["conditions"]
        lines.append(
            f"| {name} | {c['at'][:16]} | {result['took_s']:g} s | {c['load']} | {c['cores']} ({c['processor']}) "
            f"| {c['python']} | {c['sqlite']} | {c['postgresql']} |"
        )
    return lines


def _details(results: Results) -> list[str]:
    """Every figure a module gave."""
    lines: list[str] = []
    for name, result in results.items():
        lines += [f"### {name}", ""]
        lines += [f"- {key}: {value}" for key, value in result["found"].items() if not key.endswith("_budget")]
        lines.append("")
    return lines


_INTRODUCTION = """# Measurements

What was promised, and what `make bench` found. Absolute figures depend on the machine and on what else it was doing
(see the load); each module therefore measures a peer in the same run, and the ratios are what counts.

"""

if __name__ == "__main__":
    sys.exit(main())
