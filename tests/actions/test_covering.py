"""Coverage out of the hub's own data: what a station's stated status means for the figures."""

from datetime import date
from typing import Any

import pytest

from service.actions import covering, receptions
from service.actions.receptions import HeldReception
from service.domain import facts as f
from service.domain.coverage import Coverage, StationState
from tests.actions.township import QIANDONG, Township

HERE = {"lat": 23.5, "lng": 116.1, "frame": "cgcs2000"}
OPENED = date(2019, 1, 1)


def state(town: Township, **stated: Any) -> None:
    """The village with a point and its only station as a node of any release may have stated it."""
    with town.acting("system") as unit:
        for code in unit.town.stations:
            status: dict[str, Any] = {"status": "closed", "closed_on": OPENED} if code != "qd" else stated
            fact = f.StationStated(code=code, name=code, tier="station", area=QIANDONG, opened_on=OPENED, **status)
            unit.record(f"station/{code}", fact, scope=unit.public_scope)
        area = unit.town.areas[QIANDONG]
        fact_of_area = f.AreaStated(code=area.code, name=area.name, name_status="confirmed", level=area.level,
                                    parent=area.parent, population=1200, **HERE)  # fmt: skip
        unit.record(f"area/{area.code}", fact_of_area, scope=unit.public_scope)


def compiled(town: Township) -> Coverage:
    with town.acting("system") as unit:
        return covering.compile_now(unit.connection, unit.town, unit.today)


def state_of(coverage: Coverage, code: str) -> StationState:
    return next(row.state for row in coverage.stations if row.code == code)


def test_an_open_station_reaches_its_village(town: Township) -> None:
    state(town, status="open")
    assert compiled(town).reach.residents.part == 1200


@pytest.mark.parametrize(("status", "meant"), [("closed", StationState.CLOSED), ("paused", StationState.PAUSED)])
def test_a_station_shut_on_an_unknown_day_is_not_counted_as_open(
    town: Township, status: str, meant: StationState
) -> None:
    state(town, status=status)
    coverage = compiled(town)
    assert state_of(coverage, "qd") is meant
    assert coverage.reach.residents.part == 0


@pytest.mark.parametrize("status", ["closed", "paused"])
def test_what_a_station_held_before_it_was_shut_on_an_unknown_day_still_counts(town: Township, status: str) -> None:
    state(town, status="open")
    held = HeldReception(form="r1", held_on=date(2026, 11, 13), headcount=3)
    town.do("liaison", receptions.hold, held, "qd")
    state(town, status=status)
    assert compiled(town).recency.residents.part == 1200


@pytest.mark.parametrize(("status", "since"), [("closed", "closed_on"), ("paused", "paused_on")])
def test_a_day_that_is_stated_and_still_to_come_keeps_the_station_open(town: Township, status: str, since: str) -> None:
    state(town, status=status, **{since: date(2027, 1, 4)})
    assert state_of(compiled(town), "qd") is StationState.OPEN
