"""Master data: what is refused before every station reads it."""

from datetime import date
from typing import Any

import pytest

from service.actions import master_data
from service.actions.master_data import StationForm
from service.domain.refusals import InvalidForm
from tests.actions.township import QIANDONG, Township


def faults(town: Township, **changes: Any) -> dict[str | None, str]:
    """Field and code of everything that is wrong with a station's form."""
    given: dict[str, Any] = {"name": "钱东村站", "tier": "station", "area": QIANDONG, "status": "open",
                             "opened_on": date(2019, 1, 1)}  # fmt: skip
    try:
        town.do("clerk", master_data.state_station, "qd", StationForm(**(given | changes)))
    except InvalidForm as refused:
        return {problem.field: problem.code for problem in refused.problems}
    return {}


@pytest.mark.parametrize(("status", "since"), [("closed", "closed_on"), ("paused", "paused_on"), ("open", "opened_on")])
def test_a_status_is_stated_with_its_day(town: Township, status: str, since: str) -> None:
    assert faults(town, **{"status": status, since: None}) == {since: "required"}
    assert faults(town, **{"status": status, since: date(2026, 11, 2)}) == {}


def test_a_station_does_not_close_before_it_opened(town: Township) -> None:
    assert faults(town, status="closed", closed_on=date(2018, 12, 31)) == {"closed_on": "before_start"}
