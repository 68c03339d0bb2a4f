"""Points on the ground: which of them may be compared, and how far apart they are.

A town keeps all its points in one coordinate frame. Phone maps shift theirs by half a kilometre, so a mixture gives
villages a wrong state without anybody noticing; nothing is converted here, a mixture is refused by name.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import asin, cos, floor, isfinite, radians, sin, sqrt
from statistics import median

EARTH_RADIUS_M = 6_371_008.8  # mean radius; against the ellipsoid a sphere is wrong by at most 0.4 %
FAR_OFF_M = 30_000  # a point farther than this from the town's median is a typing error, mostly lat/lng swapped

# Frames that name the same positions for our purpose share a value. Anything else counts as not stated.
_DATUMS = {"wgs84": "wgs84", "cgcs2000": "wgs84", "gcj02": "gcj02", "bd09": "bd09"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """Decimal degrees in `frame`: wgs84, cgcs2000, gcj02 or bd09; "" when nobody stated it."""

    lat: float
    lng: float
    frame: str = ""

    @property
    def datum(self) -> str | None:
        """What this point may be compared with; None when its frame is not stated or not known."""
        return _DATUMS.get(self.frame.strip().lower().replace("-", ""))

    @property
    def is_coordinate(self) -> bool:
        """Whether the two numbers are a place on earth at all."""
        return isfinite(self.lat) and isfinite(self.lng) and abs(self.lat) <= 90 and abs(self.lng) <= 180


def distance_m(a: Point, b: Point) -> int:
    """Great-circle distance in whole metres, half up. Both points must share a datum; the caller has checked it."""
    half_lat = sin(radians(b.lat - a.lat) / 2)
    half_lng = sin(radians(b.lng - a.lng) / 2)
    chord = half_lat**2 + cos(radians(a.lat)) * cos(radians(b.lat)) * half_lng**2
    return floor(2 * EARTH_RADIUS_M * asin(min(1.0, sqrt(chord))) + 0.5)


def middle(points: Sequence[Point]) -> Point | None:
    """The median point: one wild point among many does not move it. None for no points."""
    if not points:
        return None
    return Point(
        lat=median(point.lat for point in points),
        lng=median(point.lng for point in points),
        frame=points[0].frame,
    )


def is_near(point: Point, centre: Point | None) -> bool:
    """Whether `point` can belong to the town around `centre`; the first points of a town have no centre to fail."""
    return point.is_coordinate and (centre is None or distance_m(point, centre) <= FAR_OFF_M)


def common_datum(points: Iterable[Point]) -> str | None:
    """The datum most points state; None without one, or when two are equally frequent."""
    counts: dict[str, int] = {}
    for point in points:
        if point.datum is not None:
            counts[point.datum] = counts.get(point.datum, 0) + 1
    best = max(counts.values(), default=0)
    leaders = [datum for datum, count in counts.items() if count == best]
    return leaders[0] if len(leaders) == 1 else None


# --- on paper --------------------------------------------------------------------------------------------------

Spot = tuple[float, float]  # x to the right, y downwards


def nearest_cells(sites: Sequence[Spot], width: float, height: float) -> list[list[Spot]]:
    """For every site the part of the sheet that is nearer to it than to any other (Voronoi), as a closed polygon.

    Sites on one spot get the same cell. Cost grows with the square of the sites: made for a town, not a county.
    """
    sheet = [(0.0, 0.0), (width, 0.0), (width, height), (0.0, height)]
    return [_cell(site, sites, sheet) for site in sites]


def _cell(site: Spot, sites: Sequence[Spot], sheet: list[Spot]) -> list[Spot]:
    cell = sheet
    for other in sites:
        if other != site:
            cell = _nearer_half(cell, site, other)
    return cell


def _nearer_half(polygon: list[Spot], site: Spot, other: Spot) -> list[Spot]:
    """What remains of a convex polygon on `site`'s side of the line half-way to `other`."""
    kept: list[Spot] = []
    excess = [_excess(corner, site, other) for corner in polygon]
    for n, corner in enumerate(polygon):
        before = n - 1
        if (excess[n] > 0) != (excess[before] > 0):
            share = excess[before] / (excess[before] - excess[n])
            x, y = polygon[before]
            kept.append((x + (corner[0] - x) * share, y + (corner[1] - y) * share))
        if excess[n] <= 0:
            kept.append(corner)
    return kept


def _excess(corner: Spot, site: Spot, other: Spot) -> float:
    """Above zero where the corner is nearer to `other`; linear along any edge, so a crossing can be interpolated."""
    return (other[0] - site[0]) * (2 * corner[0] - site[0] - other[0]) + (other[1] - site[1]) * (
        2 * corner[1] - site[1] - other[1]
    )
