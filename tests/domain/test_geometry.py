"""Points on the ground and on paper: distances, and the part of a sheet nearest to a place."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.geometry import EARTH_RADIUS_M, Point, Spot, distance_m, nearest_cells

DEGREE_M = EARTH_RADIUS_M * math.pi / 180  # metres of one degree along a meridian


def at(north_m: float) -> Point:
    return Point(lat=23.5 + north_m / DEGREE_M, lng=116.1, frame="wgs84")


def test_distance_is_whole_metres_along_a_known_line() -> None:
    assert distance_m(at(0), at(2500)) == 2500
    assert distance_m(at(0), at(0)) == 0
    quarter = distance_m(Point(lat=0, lng=0), Point(lat=0, lng=90))
    assert quarter == 10_007_557  # a quarter of the equator of the mean sphere


@pytest.mark.parametrize(("metres", "rounded"), [(2500.4, 2500), (2500.6, 2501), (0.4, 0), (0.6, 1)])
def test_distance_is_rounded_half_up(metres: float, rounded: int) -> None:
    assert distance_m(at(0), at(metres)) == rounded


spots = st.tuples(st.floats(0, 300, allow_nan=False), st.floats(0, 200, allow_nan=False))


def area(polygon: list[Spot]) -> float:
    pairs = zip(polygon, [*polygon[1:], *polygon[:1]], strict=True)
    return abs(sum(ax * by - bx * ay for (ax, ay), (bx, by) in pairs)) / 2


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 20)), min_size=1, max_size=25, unique=True))
def test_the_cells_fill_the_sheet_exactly(grid: list[tuple[int, int]]) -> None:
    cells = nearest_cells([(x * 10.0, y * 10.0) for x, y in grid], 300, 200)
    assert math.isclose(sum(area(cell) for cell in cells), 300 * 200, rel_tol=1e-9)


@given(st.lists(spots, min_size=2, max_size=12, unique=True), st.integers(0, 300), st.integers(0, 200))
def test_a_spot_lies_in_the_cell_of_the_site_nearest_to_it(sites: list[Spot], x: int, y: int) -> None:
    nearest = min(range(len(sites)), key=lambda n: math.dist(sites[n], (x, y)))
    gaps = sorted(math.dist(site, (x, y)) for site in sites)
    if gaps[1] - gaps[0] > 1e-6:  # on a border either cell will do
        cell = nearest_cells(sites, 300, 200)[nearest]
        around = area([(float(x), float(y)), *cell[:1]]) if len(cell) < 3 else _fan(cell, (float(x), float(y)))
        assert math.isclose(around, area(cell), rel_tol=1e-6, abs_tol=1e-3)


def _fan(cell: list[Spot], spot: Spot) -> float:
    """Triangles from the spot to every edge add up to the cell exactly when the spot is inside."""
    return sum(area([spot, a, b]) for a, b in zip(cell, [*cell[1:], *cell[:1]], strict=True))
