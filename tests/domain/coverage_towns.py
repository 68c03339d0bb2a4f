"""Towns to compile a coverage of: villages along one meridian, and any town at all."""

from dataclasses import replace
from datetime import date, timedelta
from math import pi

from hypothesis import strategies as st

from service.domain.coverage import (
    Coverage,
    CoverageSettings,
    ReceptionHeld,
    StationSite,
    Village,
    VillageRow,
)
from service.domain.coverage_compiling import compile_coverage
from service.domain.geometry import EARTH_RADIUS_M, Point

TODAY = date(2026, 11, 23)
OPENED = date(2025, 1, 1)
SETTINGS = CoverageSettings()
DEGREE_M = EARTH_RADIUS_M * pi / 180  # metres of one degree along a meridian


def at(north_m: float, *, frame: str = "wgs84") -> Point:
    """A point so many metres north of the middle of town; along one meridian distances are exact."""
    return Point(lat=23.5 + north_m / DEGREE_M, lng=116.1, frame=frame)


def village(code: str, point: Point | None, population: int | None = 1000) -> Village:
    return Village(code=code, name=f"{code}村", population=population, point=point)


def station(code: str, village_code: str, point: Point | None = None, **more: object) -> StationSite:
    site = StationSite(code=code, name=f"{code}站", village_code=village_code, point=point, opened_on=OPENED)
    return replace(site, **more)  # type: ignore[arg-type]


def compiled(
    villages: list[Village],
    stations: list[StationSite],
    receptions: list[ReceptionHeld] | None = None,
    *,
    settings: CoverageSettings = SETTINGS,
    as_of: date = TODAY,
) -> Coverage:
    return compile_coverage(villages, stations, receptions or [], settings, as_of)


def row(coverage: Coverage, code: str) -> VillageRow:
    return next(row for row in coverage.villages if row.code == code)


points = st.builds(
    lambda north, east: Point(lat=23.5 + north / 111_000, lng=116.1 + east / 102_000, frame="wgs84"),
    st.integers(-8000, 8000),
    st.integers(-8000, 8000),
)
populations = st.one_of(st.none(), st.integers(0, 9000))
days = st.integers(0, 200).map(lambda ago: TODAY - timedelta(days=ago))
codes = st.integers(0, 9).map("v{}".format)


@st.composite
def towns(draw: st.DrawFn) -> tuple[list[Village], list[StationSite], list[ReceptionHeld]]:
    """Up to ten villages, some without point or population, up to five stations, some shut, and receptions."""
    places = draw(st.lists(st.tuples(st.one_of(st.none(), points), populations), min_size=1, max_size=10))
    villages = [village(f"v{n}", point, population) for n, (point, population) in enumerate(places)]
    sites = draw(st.lists(st.tuples(st.one_of(st.none(), points), codes, st.booleans()), max_size=5))
    stations = [
        station(f"s{n}", home, point, closed_on=TODAY if shut else None) for n, (point, home, shut) in enumerate(sites)
    ]
    held = st.one_of(
        st.builds(ReceptionHeld, on=days, village_code=codes),
        st.builds(ReceptionHeld, on=days, station_code=st.integers(0, 4).map("s{}".format)),
    )
    return villages, stations, draw(st.lists(held, max_size=12))
