"""How long a town's coverage takes to recompute: 25 villages, 6 stations, a quarter of receptions. Budget 5 ms."""

from __future__ import annotations

import json
import random
from datetime import date, timedelta
from statistics import median
from time import perf_counter

from service.documents.coverage_map import draw
from service.domain.coverage import Coverage, CoverageSettings, ReceptionHeld, StationSite, Village
from service.domain.coverage_compiling import compile_coverage
from service.domain.coverage_mapping import coverage_from_mapping, coverage_to_mapping
from service.domain.geometry import Point

TODAY = date(2026, 11, 23)
VILLAGES, STATIONS, RECEPTIONS = 25, 6, 200
BUDGET_MS = 5.0
REPEATS = 200


def run() -> dict[str, float | int | bool]:
    """Median and 95th percentile in milliseconds of one recompute from scratch, of its JSON and of its map."""
    town = _town(random.Random(1))
    took = sorted(_took_ms(lambda: compile_coverage(*town, CoverageSettings(), TODAY)) for _ in range(REPEATS))
    coverage = compile_coverage(*town, CoverageSettings(), TODAY)
    return {
        "villages": VILLAGES,
        "stations": STATIONS,
        "receptions": RECEPTIONS,
        "recompute_ms_median": round(median(took), 3),
        "recompute_ms_p95": round(took[REPEATS * 95 // 100], 3),
        "recompute_ms_budget": BUDGET_MS,
        "within_budget": median(took) <= BUDGET_MS,
        "to_and_from_json_ms": round(median(_took_ms(lambda: _travel(coverage)) for _ in range(20)), 3),
        "body_bytes": len(json.dumps(coverage_to_mapping(coverage), ensure_ascii=False).encode()),
        "map_ms": round(median(_took_ms(lambda: draw(coverage)) for _ in range(20)), 3),
        "map_bytes": len(draw(coverage).encode()),
    }


def _took_ms(work: object) -> float:
    assert callable(work)
    started = perf_counter()
    work()
    return (perf_counter() - started) * 1000


def _travel(coverage: Coverage) -> Coverage:
    return coverage_from_mapping(json.loads(json.dumps(coverage_to_mapping(coverage))))


def _town(dice: random.Random) -> tuple[list[Village], list[StationSite], list[ReceptionHeld]]:
    villages = [
        Village(code=f"4452221132{n:02}", name=f"第{n}村", population=dice.randint(300, 5000), point=_point(dice))
        for n in range(VILLAGES)
    ]
    stations = [
        StationSite(code=f"s{n}", name=f"第{n}站", village_code=villages[n].code, opened_on=date(2025, 1, 1))
        for n in range(STATIONS)
    ]
    receptions = [
        ReceptionHeld(on=TODAY - timedelta(days=dice.randint(0, 91)), station_code=f"s{dice.randrange(STATIONS)}")
        for _ in range(RECEPTIONS)
    ]
    return villages, stations, receptions


def _point(dice: random.Random) -> Point:
    return Point(lat=23.5 + dice.uniform(-0.05, 0.05), lng=116.1 + dice.uniform(-0.05, 0.05), frame="cgcs2000")


if __name__ == "__main__":
    print(json.dumps(run(), ensure_ascii=False, indent=2))
