"""Coverage: the shares, the five states, and every odd town that must not break or flatter them."""

import random
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.coverage import (
    Coverage,
    FaultKind,
    FramesMixed,
    Mark,
    MarkKind,
    Pause,
    ReceptionHeld,
    Share,
    StationSite,
    StationState,
    Village,
    VillageState,
)
from service.domain.geometry import Point, common_datum
from tests.domain.coverage_towns import OPENED, SETTINGS, TODAY, at, compiled, points, row, station, towns, village

# --- reach, recency, completeness ------------------------------------------------------------------------------


def test_a_village_exactly_at_the_radius_is_reached_and_one_metre_farther_is_not() -> None:
    coverage = compiled([village("a", at(2500)), village("b", at(2501))], [station("s", "x", at(0))])
    assert [item.distance_m for item in coverage.villages] == [2500, 2501]
    assert [item.state for item in coverage.villages] == [VillageState.IDLE, VillageState.GAP]
    assert coverage.reach.residents == Share(1000, 2000)


def test_reach_is_shown_at_nine_tenths_and_eleven_tenths_of_the_radius() -> None:
    villages = [village(str(metres), at(metres), metres) for metres in (2250, 2251, 2500, 2750, 2751)]
    coverage = compiled(villages, [station("s", "x", at(0))])
    assert (SETTINGS.near_radius_m, SETTINGS.far_radius_m) == (2250, 2750)
    assert coverage.reach_near.villages == Share(1, 5)
    assert coverage.reach.villages == Share(3, 5)
    assert coverage.reach_far.villages == Share(4, 5)
    assert coverage.reach_far.residents == Share(2250 + 2251 + 2500 + 2750, 12502)


def test_recency_counts_the_last_day_of_the_window_and_not_the_day_after() -> None:
    villages, stations = [village("a", at(0))], [station("s", "a")]
    inside = compiled(villages, stations, [ReceptionHeld(on=TODAY - timedelta(days=92), station_code="s")])
    outside = compiled(villages, stations, [ReceptionHeld(on=TODAY - timedelta(days=93), station_code="s")])
    assert inside.recency.residents.percent == Decimal("100.0")
    assert inside.recency_strict.residents.percent == Decimal("0.0")
    assert outside.recency.residents.percent == Decimal("0.0")
    assert row(outside, "a").last_on == TODAY - timedelta(days=93)


def test_a_reception_of_tomorrow_does_not_count_today() -> None:
    coverage = compiled([village("a", at(0))], [], [ReceptionHeld(on=TODAY + timedelta(days=1), village_code="a")])
    assert row(coverage, "a").last_on is None


def test_a_reception_at_a_station_serves_the_villages_within_the_radius_only() -> None:
    held = [ReceptionHeld(on=TODAY, station_code="s")]
    coverage = compiled([village("a", at(2500)), village("b", at(2501))], [station("s", "x", at(0))], held)
    assert row(coverage, "a").state is VillageState.SERVED
    assert row(coverage, "b").state is VillageState.GAP


def test_a_reception_held_in_a_village_serves_that_village_not_the_neighbours_of_the_holding_station() -> None:
    held = [ReceptionHeld(on=TODAY, station_code="s", village_code="far")]
    villages = [village("near", at(100)), village("far", at(9000))]
    coverage = compiled(villages, [station("s", "near")], held)
    assert row(coverage, "far").state is VillageState.ROVING
    assert row(coverage, "near").state is VillageState.IDLE


def test_a_station_that_stands_in_a_village_serves_it_even_from_beyond_the_radius() -> None:
    held = [ReceptionHeld(on=TODAY, station_code="s")]
    coverage = compiled([village("a", at(0))], [station("s", "a", at(4000))], held)
    assert row(coverage, "a").state is VillageState.ROVING


def test_residents_not_villages_weigh_in_the_shares() -> None:
    villages = [village("a", at(0), 9000), village("b", at(5000), 1000)]
    reach = compiled(villages, [station("s", "a")]).reach
    assert (reach.residents.percent, reach.villages) == (Decimal("90.0"), Share(1, 2))


def test_the_nearest_station_is_the_nearest_open_one_and_the_lower_code_at_a_tie() -> None:
    stations = [station("c", "x", at(100)), station("b", "x", at(-100)), station("shut", "x", at(1), closed_on=OPENED)]
    found = row(compiled([village("a", at(0))], stations), "a")
    assert (found.nearest, found.distance_m, found.stations_within) == ("b", 100, 2)


def test_the_farthest_village_is_named() -> None:
    coverage = compiled([village("a", at(100)), village("b", at(-7000))], [station("s", "x", at(0))])
    assert coverage.farthest == row(coverage, "b")


# --- odd populations -------------------------------------------------------------------------------------------


def test_a_village_without_residents_counts_as_a_village_and_adds_nothing() -> None:
    coverage = compiled([village("a", at(0), 0), village("b", at(9000), 10)], [station("s", "a")])
    assert coverage.reach.residents == Share(0, 10)
    assert coverage.reach.villages == Share(1, 2)


def test_a_village_of_unknown_population_is_stated_but_not_counted() -> None:
    coverage = compiled([village("a", at(0), None), village("b", at(9000), 10)], [station("s", "a")])
    assert row(coverage, "a").state is VillageState.IDLE
    assert row(coverage, "a").marks == (Mark(kind=MarkKind.POPULATION_UNKNOWN),)
    assert coverage.reach.villages == Share(0, 1)
    assert coverage.completeness.villages == Share(1, 2)
    assert coverage.completeness.missing == ("a",)
    assert coverage.recency_completeness.missing == ("a",)


@pytest.mark.parametrize("population", [0, None])
def test_with_nobody_known_to_live_there_a_share_is_neither_0_nor_100_percent(population: int | None) -> None:
    coverage = compiled([village("a", at(0), population)], [station("s", "a")])
    assert coverage.reach.residents.percent is None
    assert coverage.recency.residents.percent is None
    assert coverage.states[VillageState.IDLE] == 1


def test_an_empty_town_is_computed() -> None:
    coverage = compiled([], [])
    assert coverage.reach.residents == Share(0, 0)
    assert coverage.farthest is None
    assert set(coverage.states.values()) == {0}


def test_a_village_given_twice_is_refused_before_its_residents_count_twice() -> None:
    with pytest.raises(ValueError, match="a, b"):
        compiled([village("b", at(0)), village("a", at(0)), village("b", at(1)), village("a", at(1))], [])


# --- odd points ------------------------------------------------------------------------------------------------


def test_a_village_without_a_point_is_unknown_until_a_reception_is_held_in_it() -> None:
    villages = [village("a", None), village("b", at(0))]
    quiet = compiled(villages, [station("s", "b")])
    held = compiled(villages, [station("s", "b")], [ReceptionHeld(on=TODAY, village_code="a")])
    assert row(quiet, "a").state is VillageState.UNKNOWN
    assert row(held, "a").state is VillageState.ROVING
    assert row(held, "a").marks == (Mark(kind=MarkKind.REACH_UNKNOWN),)
    assert held.reach.villages == Share(1, 1)
    assert held.completeness.missing == ("a",)
    assert held.recency.villages == Share(1, 2)


def test_mixed_frames_are_refused_and_the_odd_points_named() -> None:
    villages = [village("a", at(0)), village("b", at(10)), village("c", at(20, frame="gcj02"))]
    stations = [station("s", "a", at(5, frame=""))]
    with pytest.raises(FramesMixed) as refusal:
        compiled(villages, stations)
    assert [(odd.owner, odd.code) for odd in refusal.value.points] == [("village", "c"), ("station", "s")]
    assert refusal.value.code == "frames_mixed"
    assert refusal.value.data["points"] == "c村(gcj02)、s站(?)"


def test_at_a_tie_between_frames_every_point_is_named() -> None:
    with pytest.raises(FramesMixed) as refusal:
        compiled([village("a", at(0)), village("b", at(10, frame="bd09"))], [])
    assert [odd.code for odd in refusal.value.points] == ["a", "b"]


def test_an_unstated_frame_is_refused_even_if_all_points_share_it() -> None:
    with pytest.raises(FramesMixed):
        compiled([village("a", at(0, frame="")), village("b", at(1, frame="amap"))], [])


def test_cgcs2000_and_wgs84_are_one_frame_however_they_are_written() -> None:
    villages = [village("a", at(0, frame="CGCS2000")), village("b", at(100, frame="WGS-84"))]
    assert common_datum(item.point for item in villages if item.point) == "wgs84"
    assert compiled(villages, [station("s", "a")]).reach.villages == Share(2, 2)


def test_a_point_of_another_town_is_refused_and_listed_but_the_village_stays() -> None:
    villages = [village("a", at(0)), village("b", at(100)), village("c", at(30_200))]
    coverage = compiled(villages, [station("s", "a")])
    assert row(coverage, "c").point is None
    assert row(coverage, "c").state is VillageState.UNKNOWN
    assert [(fault.kind, fault.codes) for fault in coverage.faults] == [(FaultKind.FAR_OFF, ("c",))]


def test_swapped_latitude_and_longitude_is_refused_without_moving_the_middle_of_town() -> None:
    swapped = Point(lat=116.1, lng=23.5, frame="wgs84")
    coverage = compiled([village("a", swapped), village("b", at(0)), village("c", at(10))], [station("s", "b")])
    assert coverage.faults[0].codes == ("a",)
    assert row(coverage, "c").state is VillageState.IDLE


def test_a_number_that_is_none_is_no_coordinate() -> None:
    broken = Point(lat=float("nan"), lng=116.1, frame="wgs84")
    coverage = compiled([village("a", broken), village("b", at(0))], [])
    assert coverage.faults[0].codes == ("a",)


def test_two_villages_on_one_coordinate_are_computed_and_reported() -> None:
    coverage = compiled([village("a", at(0)), village("b", at(0)), village("c", at(9))], [station("s", "c")])
    assert [(fault.kind, fault.codes) for fault in coverage.faults] == [(FaultKind.SAME_COORDINATE, ("a", "b"))]
    assert coverage.reach.villages == Share(3, 3)


# --- states of stations ----------------------------------------------------------------------------------------


def test_a_station_without_a_point_stands_at_its_village_and_says_so() -> None:
    coverage = compiled([village("a", at(0)), village("b", at(2000))], [station("s", "a")])
    assert coverage.stations[0].approximate
    assert coverage.stations[0].point == at(0)
    assert row(coverage, "b").distance_m == 2000


def test_a_station_whose_own_point_was_refused_stands_at_its_village_too() -> None:
    coverage = compiled([village("a", at(0)), village("b", at(10))], [station("s", "a", at(90_000))])
    assert coverage.stations[0].approximate
    assert coverage.faults[0].codes == ("s",)


def test_a_station_with_no_place_at_all_is_reported_and_reaches_nobody() -> None:
    held = [ReceptionHeld(on=TODAY, station_code="s")]
    coverage = compiled([village("a", None), village("b", at(0))], [station("s", "a")], held)
    assert coverage.reach.villages == Share(0, 1)
    assert row(coverage, "a").state is VillageState.ROVING
    assert [(fault.kind, fault.codes) for fault in coverage.faults] == [(FaultKind.STATION_WITHOUT_PLACE, ("s",))]


def test_without_an_open_station_reach_is_zero_and_no_village_is_farthest() -> None:
    coverage = compiled([village("a", at(0))], [station("s", "a", closed_on=TODAY)])
    assert coverage.reach.residents.percent == Decimal("0.0")
    assert coverage.farthest is None


def test_a_station_drops_out_on_its_closing_day_and_keeps_its_receptions() -> None:
    villages, site = [village("a", at(0))], station("s", "a", closed_on=TODAY)
    held = [ReceptionHeld(on=TODAY - timedelta(days=5), station_code="s")]
    assert row(compiled(villages, [site], held, as_of=TODAY - timedelta(days=1)), "a").state is VillageState.SERVED
    assert row(compiled(villages, [site], held), "a").state is VillageState.ROVING


def test_a_paused_station_is_not_open_but_what_it_held_before_counts() -> None:
    paused = station("s", "a", pauses=(Pause(from_on=TODAY - timedelta(days=2)),))
    before, during = (ReceptionHeld(on=TODAY - timedelta(days=ago), station_code="s") for ago in (3, 1))
    counted = row(compiled([village("a", at(0))], [paused], [before]), "a")
    assert counted.state is VillageState.ROVING
    assert counted.marks == (Mark(kind=MarkKind.STATION_PAUSED, station="s"),)
    assert row(compiled([village("a", at(0))], [paused], [during]), "a").state is VillageState.GAP


def test_a_pause_ends_on_the_day_of_resuming() -> None:
    site = station("s", "a", pauses=(Pause(from_on=OPENED, resumed_on=TODAY),))
    assert site.state_on(TODAY - timedelta(days=1)) is StationState.PAUSED
    assert site.state_on(TODAY) is StationState.OPEN


def test_a_planned_station_is_a_mark_with_its_quarter_and_nothing_else() -> None:
    planned = station("p", "a", opened_on=None, planned_on=date(2027, 4, 1))
    found = row(compiled([village("a", at(0))], [planned]), "a")
    assert found.state is VillageState.GAP
    assert [(mark.kind, mark.station, mark.quarter) for mark in found.marks] == [
        (MarkKind.STATION_PLANNED, "p", (2027, 2))
    ]


def test_a_planned_station_in_another_frame_does_not_stop_the_figures() -> None:
    planned = station("p", "a", at(0, frame="gcj02"), opened_on=None)
    coverage = compiled([village("a", at(0))], [planned])
    assert coverage.stations[0].approximate


def test_a_reception_naming_nobody_known_is_reported() -> None:
    held = [ReceptionHeld(on=TODAY, station_code="zz"), ReceptionHeld(on=TODAY, village_code="yy")]
    coverage = compiled([village("a", at(0))], [], held)
    assert [(fault.kind, fault.codes) for fault in coverage.faults] == [(FaultKind.UNKNOWN_CODE, ("yy", "zz"))]


# --- properties ------------------------------------------------------------------------------------------------


def figures(coverage: Coverage) -> tuple[object, ...]:
    """Everything a station that must change nothing may not change."""
    return (
        coverage.completeness,
        coverage.reach,
        coverage.reach_near,
        coverage.reach_far,
        coverage.recency,
        coverage.recency_strict,
        coverage.states,
        [(item.nearest, item.distance_m, item.last_on) for item in coverage.villages],
    )


@given(towns(), points)
def test_opening_a_station_never_lowers_reach(
    town: tuple[list[Village], list[StationSite], list[ReceptionHeld]], point: Point
) -> None:
    villages, stations, receptions = town
    before = compiled(villages, stations, receptions)
    after = compiled(villages, [*stations, station("new", "v0", point)], receptions)
    assert after.completeness == before.completeness
    assert after.reach.residents.part >= before.reach.residents.part
    assert after.reach.villages.part >= before.reach.villages.part


@given(towns())
def test_pausing_and_resuming_restores_every_figure(
    town: tuple[list[Village], list[StationSite], list[ReceptionHeld]],
) -> None:
    villages, stations, receptions = town
    shut_for_no_day = [replace(site, pauses=(Pause(from_on=TODAY, resumed_on=TODAY),)) for site in stations]
    assert figures(compiled(villages, shut_for_no_day, receptions)) == figures(compiled(villages, stations, receptions))
    quiet = [held for held in receptions if held.on < TODAY - timedelta(days=40)]
    shut_a_month = Pause(from_on=TODAY - timedelta(days=40), resumed_on=TODAY - timedelta(days=9))
    paused = [replace(site, pauses=(shut_a_month,)) for site in stations]
    assert figures(compiled(villages, paused, quiet)) == figures(compiled(villages, stations, quiet))


@given(towns(), st.one_of(st.none(), points))
def test_a_planned_station_changes_no_figure(
    town: tuple[list[Village], list[StationSite], list[ReceptionHeld]], point: Point | None
) -> None:
    villages, stations, receptions = town
    planned = station("plan", "v0", point, opened_on=None, planned_on=TODAY + timedelta(days=100))
    assert figures(compiled(villages, [*stations, planned], receptions)) == figures(
        compiled(villages, stations, receptions)
    )


@given(towns(), st.randoms(use_true_random=False))
def test_the_order_of_the_input_changes_nothing(
    town: tuple[list[Village], list[StationSite], list[ReceptionHeld]], shuffler: random.Random
) -> None:
    expected = compiled(*town)
    for items in town:
        shuffler.shuffle(items)
    assert compiled(*town) == expected


@given(towns())
def test_every_village_has_one_state_and_the_states_agree_with_the_shares(
    town: tuple[list[Village], list[StationSite], list[ReceptionHeld]],
) -> None:
    coverage = compiled(*town)
    assert sum(coverage.states.values()) == len(town[0])
    counted = [item for item in coverage.villages if item.code not in coverage.completeness.missing]
    served = sum(item.state in (VillageState.SERVED, VillageState.IDLE) for item in counted)
    assert coverage.reach.villages == Share(served, len(counted))
    assert coverage.reach_near.residents.part <= coverage.reach.residents.part <= coverage.reach_far.residents.part
