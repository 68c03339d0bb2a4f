"""A calendar year holds only what differs from Monday to Friday."""

from datetime import date

import pytest

from service.domain.calendar_years import CalendarYear, DayStatus
from service.domain.working_days import WorkCalendar
from tests.domain.published_years import years

D = date.fromisoformat


def test_year_holds_only_exceptions_and_survives_its_own_rows() -> None:
    (year,) = years([2026])
    assert year.work == ("01-04", "02-14", "02-28", "05-09", "09-20", "10-10")
    assert len(year.off) == 19
    again = CalendarYear.of(2026, year.days(), status=DayStatus.PUBLISHED, source="chinesecalendar")
    assert again == year


def test_day_the_year_does_not_have_is_refused() -> None:
    with pytest.raises(ValueError):
        WorkCalendar.of([CalendarYear(year=2027, status=DayStatus.PUBLISHED, source="slip", off=("02-29",))])
