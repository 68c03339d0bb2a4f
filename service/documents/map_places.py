"""Where villages and stations stand on the map: degrees turned into pixels, north up."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import cos, radians

from service.domain.coverage import StationRow, VillageRow, VillageState
from service.domain.geometry import EARTH_RADIUS_M, Point, Spot

# On one spot the state that needs somebody is shown.
_WORST_FIRST = (
    VillageState.GAP,
    VillageState.ROVING,
    VillageState.IDLE,
    VillageState.SERVED,
    VillageState.UNKNOWN,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A spot on the map with the villages on it, mostly one; it shows the state that needs somebody most."""

    x: float
    y: float
    rows: tuple[VillageRow, ...]
    state: VillageState


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A station on the map."""

    x: float
    y: float
    row: StationRow


Project = Callable[[Point], Spot]


def projection(points: Sequence[Point], radius_m: int, width: float, height: float) -> tuple[Project, float]:
    """Degrees to pixels, north up, and pixels per metre (0 without points). A plane is 13 m off over 20 km."""
    if not points:
        return (lambda point: (0.0, 0.0)), 0.0
    south, north = min(p.lat for p in points), max(p.lat for p in points)
    west, east = min(p.lng for p in points), max(p.lng for p in points)
    degree_m = EARTH_RADIUS_M * radians(1)
    shrink = cos(radians((south + north) / 2))
    # Room for names at the edge; and a town of one village still shows the circle around its station.
    wide = max((east - west) * degree_m * shrink, 1.7 * radius_m) + 0.5 * radius_m
    high = max((north - south) * degree_m, 1.7 * radius_m) + 0.5 * radius_m
    scale = min(width / wide, height / high)

    def project(point: Point) -> Spot:
        right = (point.lng - (west + east) / 2) * degree_m * shrink
        up = (point.lat - (south + north) / 2) * degree_m
        return round(width / 2 + right * scale, 1), round(height / 2 - up * scale, 1)

    return project, scale


def places_of(rows: Iterable[VillageRow], project: Project) -> tuple[Place, ...]:
    spots: dict[Spot, list[VillageRow]] = {}
    for row in rows:
        if row.point is not None:
            spots.setdefault(project(row.point), []).append(row)
    return tuple(
        Place(x=x, y=y, rows=tuple(here), state=min((row.state for row in here), key=_WORST_FIRST.index))
        for (x, y), here in spots.items()
    )


def site_of(station: StationRow, point: Point, project: Project) -> Site:
    x, y = project(point)
    return Site(x=x, y=y, row=station)
