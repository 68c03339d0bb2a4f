"""From villages, stations and receptions to the coverage of a town on a day.

Computed from scratch every time; the order of the input changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from typing import TypeVar

from service.domain.coverage import (
    Completeness,
    Coverage,
    CoverageSettings,
    Fault,
    FaultKind,
    FramesMixed,
    Mark,
    MarkKind,
    Measure,
    OddPoint,
    ReceptionHeld,
    Share,
    StationRow,
    StationSite,
    StationState,
    Village,
    VillageRow,
    VillageState,
)
from service.domain.geometry import Point, common_datum, distance_m, is_near, middle


def compile_coverage(
    villages: Iterable[Village],
    stations: Iterable[StationSite],
    receptions: Iterable[ReceptionHeld],
    settings: CoverageSettings,
    as_of: date,
) -> Coverage:
    """The town's coverage on `as_of`, whatever the order of the input.

    Raises FramesMixed where distances would be wrong (trying again helps once the named points are corrected), and
    ValueError when a code occurs twice.
    """
    ground = _survey(_by_code(villages), _by_code(stations), as_of)
    visits = _visits([reception for reception in receptions if reception.on <= as_of], ground)
    rows = tuple(_village_row(village, ground, visits, settings, as_of) for village in ground.villages)
    return Coverage(
        as_of=as_of,
        settings=settings,
        completeness=_completeness(rows, _countable(rows)),
        reach=_reach(rows, settings.radius_m),
        reach_near=_reach(rows, settings.near_radius_m),
        reach_far=_reach(rows, settings.far_radius_m),
        recency_completeness=_completeness(rows, _populated(rows)),
        recency=_recency(rows, as_of, settings.window_days),
        recency_strict=_recency(rows, as_of, settings.strict_window_days),
        villages=rows,
        stations=tuple(_station_row(site, ground, as_of) for site in ground.stations),
        faults=_faults(ground, visits),
    )


_Sited = TypeVar("_Sited", Village, StationSite)


def _by_code(items: Iterable[_Sited]) -> tuple[_Sited, ...]:
    """In the order of their codes. A code given twice would count its residents twice: ValueError."""
    ordered = tuple(sorted(items, key=lambda item: item.code))
    twice = sorted({a.code for a, b in pairwise(ordered) if a.code == b.code})
    if twice:
        raise ValueError(f"given more than once: {', '.join(twice)}")
    return ordered


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ground:
    """What lies where. The points are only the usable ones; `distances` are ascending, to stations ever open."""

    villages: tuple[Village, ...]
    stations: tuple[StationSite, ...]
    village_points: Mapping[str, Point]
    station_points: Mapping[str, Point]
    approximate: frozenset[str]
    far_off: tuple[str, ...]
    distances: Mapping[str, Sequence[tuple[int, StationSite]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Visits:
    """Latest day of a reception in each village and at each station, and the codes nobody knows."""

    in_village: Mapping[str, date]
    at_station: Mapping[str, date]
    unknown: frozenset[str]


def _survey(villages: tuple[Village, ...], stations: tuple[StationSite, ...], as_of: date) -> _Ground:
    """Places everything that has a usable point. Stations that never opened are placed, but measured to by nobody:
    a plan must neither change a figure nor stop the figures with a bad point."""
    opened = [site for site in stations if site.has_opened(as_of)]
    datum = _one_datum(villages, opened)
    centre = _centre(villages, opened)
    village_points = _usable(villages, datum, centre)
    own_points = _usable(stations, datum, centre)
    substitutes = {
        site.code: village_points[site.village_code]
        for site in stations
        if site.code not in own_points and site.village_code in village_points
    }
    station_points = own_points | substitutes
    return _Ground(
        villages=villages,
        stations=stations,
        village_points=village_points,
        station_points=station_points,
        approximate=frozenset(substitutes),
        far_off=(*_refused(villages, village_points), *_refused(opened, own_points)),
        distances={code: _distances(point, opened, station_points) for code, point in village_points.items()},
    )


def _one_datum(villages: Sequence[Village], opened: Sequence[StationSite]) -> str | None:
    """The datum of all points, None without points. Raises FramesMixed naming the points that differ from the most
    frequent one; all of them at a tie."""
    owned = [("village", item.code, item.name, item.point) for item in villages]
    owned += [("station", item.code, item.name, item.point) for item in opened]
    datum = common_datum(point for *_, point in owned if point is not None)
    odd = tuple(
        OddPoint(owner=owner, code=code, name=name, frame=point.frame)
        for owner, code, name, point in owned
        if point is not None and (point.datum is None or point.datum != datum)
    )
    if odd:
        raise FramesMixed(odd)
    return datum


def _centre(villages: Sequence[Village], opened: Sequence[StationSite]) -> Point | None:
    """The middle of the town by its villages, or by its stations while no village has a point."""
    points = [item.point for item in villages if item.point is not None and item.point.is_coordinate]
    return middle(points or [item.point for item in opened if item.point is not None and item.point.is_coordinate])


def _usable(items: Iterable[_Sited], datum: str | None, centre: Point | None) -> dict[str, Point]:
    return {
        item.code: item.point
        for item in items
        if item.point is not None and item.point.datum == datum and is_near(item.point, centre)
    }


def _refused(items: Iterable[_Sited], usable: Mapping[str, Point]) -> tuple[str, ...]:
    return tuple(item.code for item in items if item.point is not None and item.code not in usable)


def _distances(
    point: Point, opened: Iterable[StationSite], station_points: Mapping[str, Point]
) -> Sequence[tuple[int, StationSite]]:
    placed = [site for site in opened if site.code in station_points]
    measured = [(distance_m(point, station_points[site.code]), site) for site in placed]
    return sorted(measured, key=lambda pair: (pair[0], pair[1].code))


def _visits(receptions: Iterable[ReceptionHeld], ground: _Ground) -> _Visits:
    """Receptions at a station count only for days on which it was open: what the calendar says it held while it was
    shut, was held elsewhere or not at all."""
    sites = {site.code: site for site in ground.stations}
    villages = {village.code for village in ground.villages}
    in_village: dict[str, date] = {}
    at_station: dict[str, date] = {}
    unknown: set[str] = set()
    for held in receptions:
        site = sites.get(held.station_code or "")
        if held.village_code in villages:
            _keep_latest(in_village, held.village_code, held.on)
        elif held.village_code is not None:
            unknown.add(held.village_code)
        elif site is not None and site.state_on(held.on) is StationState.OPEN:
            _keep_latest(at_station, site.code, held.on)
        elif site is None and held.station_code is not None:
            unknown.add(held.station_code)
    return _Visits(in_village=in_village, at_station=at_station, unknown=frozenset(unknown))


def _keep_latest(latest: dict[str, date], code: str, day: date) -> None:
    latest[code] = max(day, latest.get(code, day))


def _village_row(
    village: Village, ground: _Ground, visits: _Visits, settings: CoverageSettings, as_of: date
) -> VillageRow:
    distances = ground.distances.get(village.code, ())
    within = [site for metres, site in distances if metres <= settings.radius_m]
    open_sites = [(metres, site) for metres, site in distances if site.state_on(as_of) is StationState.OPEN]
    nearest_m, nearest = open_sites[0] if open_sites else (None, None)
    last_on = _last_on(village, within, ground, visits)
    point = ground.village_points.get(village.code)
    reached = nearest_m is not None and nearest_m <= settings.radius_m
    recent = _is_recent(last_on, as_of, settings.window_days)
    return VillageRow(
        code=village.code,
        name=village.name,
        population=village.population,
        point=point,
        state=_state(located=point is not None, reached=reached, recent=recent),
        nearest=nearest.code if nearest else None,
        distance_m=nearest_m,
        stations_within=sum(metres <= settings.radius_m for metres, _ in open_sites),
        last_on=last_on,
        marks=_marks(village, () if reached else within, ground, as_of, reach_unknown=point is None and recent),
    )


def _state(*, located: bool, reached: bool, recent: bool) -> VillageState:
    """The order of the rule: unknown, served, idle, roving, gap."""
    if not located:
        return VillageState.ROVING if recent else VillageState.UNKNOWN
    if reached:
        return VillageState.SERVED if recent else VillageState.IDLE
    return VillageState.ROVING if recent else VillageState.GAP


def _last_on(village: Village, within: Sequence[StationSite], ground: _Ground, visits: _Visits) -> date | None:
    """Latest reception within R, or in the village. A station that stands in it is in it, mapped or not."""
    stations = {site.code for site in within}
    stations |= {site.code for site in ground.stations if site.village_code == village.code}
    days = [visits.at_station[code] for code in stations if code in visits.at_station]
    if village.code in visits.in_village:
        days.append(visits.in_village[village.code])
    return max(days, default=None)


def _is_recent(last_on: date | None, as_of: date, window_days: int) -> bool:
    return last_on is not None and (as_of - last_on).days <= window_days


def _marks(
    village: Village, missed: Sequence[StationSite], ground: _Ground, as_of: date, *, reach_unknown: bool
) -> tuple[Mark, ...]:
    """`missed`: the stations within R of a village that no open station reaches; their pause is why."""
    marks = [Mark(kind=MarkKind.REACH_UNKNOWN)] if reach_unknown else []
    if village.population is None:
        marks.append(Mark(kind=MarkKind.POPULATION_UNKNOWN))
    near = {site.code for site in missed}
    for site in ground.stations:
        state, here = site.state_on(as_of), site.village_code == village.code
        if state is StationState.PAUSED and (here or site.code in near):
            marks.append(Mark(kind=MarkKind.STATION_PAUSED, station=site.code))
        if state is StationState.PLANNED and here:
            marks.append(Mark(kind=MarkKind.STATION_PLANNED, station=site.code, on=_planned_on(site)))
    return tuple(marks)


def _planned_on(site: StationSite) -> date | None:
    """An opening day that is already fixed says more than the plan."""
    return site.opened_on or site.planned_on


def _station_row(site: StationSite, ground: _Ground, as_of: date) -> StationRow:
    state = site.state_on(as_of)
    return StationRow(
        code=site.code,
        name=site.name,
        village_code=site.village_code,
        tier=site.tier,
        state=state,
        point=ground.station_points.get(site.code),
        approximate=site.code in ground.approximate,
        planned_on=_planned_on(site) if state is StationState.PLANNED else None,
    )


def _populated(rows: Iterable[VillageRow]) -> list[VillageRow]:
    return [row for row in rows if row.population is not None]


def _countable(rows: Iterable[VillageRow]) -> list[VillageRow]:
    """U_known: villages with a usable point and a known population."""
    return [row for row in _populated(rows) if row.point is not None]


def _residents(rows: Iterable[VillageRow]) -> int:
    return sum(row.population or 0 for row in rows)


def _measure(part: Sequence[VillageRow], whole: Sequence[VillageRow]) -> Measure:
    return Measure(residents=Share(_residents(part), _residents(whole)), villages=Share(len(part), len(whole)))


def _reach(rows: Sequence[VillageRow], radius_m: int) -> Measure:
    """K1 at a radius; exactly R counts as reached."""
    whole = _countable(rows)
    return _measure([row for row in whole if row.distance_m is not None and row.distance_m <= radius_m], whole)


def _recency(rows: Sequence[VillageRow], as_of: date, window_days: int) -> Measure:
    """K3: a village without a point counts too, by receptions held in it."""
    whole = _populated(rows)
    return _measure([row for row in whole if _is_recent(row.last_on, as_of, window_days)], whole)


def _completeness(rows: Sequence[VillageRow], counted: Sequence[VillageRow]) -> Completeness:
    codes = {row.code for row in counted}
    return Completeness(
        residents=Share(_residents(counted), _residents(rows)),
        villages=Share(len(counted), len(rows)),
        missing=tuple(row.code for row in rows if row.code not in codes),
    )


def _faults(ground: _Ground, visits: _Visits) -> tuple[Fault, ...]:
    villages = {village.code for village in ground.villages}
    lost = tuple(site.code for site in ground.stations if site.code not in ground.station_points)
    unknown = visits.unknown | {site.village_code for site in ground.stations if site.village_code not in villages}
    faults = [Fault(kind=FaultKind.FAR_OFF, codes=ground.far_off)]
    faults += [Fault(kind=FaultKind.SAME_COORDINATE, codes=codes) for codes in _same_spot(ground.village_points)]
    faults.append(Fault(kind=FaultKind.STATION_WITHOUT_PLACE, codes=lost))
    faults.append(Fault(kind=FaultKind.UNKNOWN_CODE, codes=tuple(sorted(unknown))))
    return tuple(fault for fault in faults if fault.codes)


def _same_spot(points: Mapping[str, Point]) -> list[tuple[str, ...]]:
    """Codes that share a coordinate to a tenth of a metre, one group per spot."""
    spots: dict[tuple[float, float], list[str]] = {}
    for code, point in points.items():
        spots.setdefault((round(point.lat, 6), round(point.lng, 6)), []).append(code)
    return [tuple(codes) for codes in spots.values() if len(codes) > 1]
