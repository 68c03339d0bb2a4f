"""The years whose notices are out, as the holiday library knows them."""

from collections.abc import Iterable
from datetime import date
from functools import cache

import chinese_calendar

from service.domain.calendar_years import CalendarYear, DayStatus, days_of_year
from service.domain.working_days import WorkCalendar


def _holiday_name(day: date) -> str:
    return chinese_calendar.get_holiday_detail(day)[1] or ""


def years(wanted: Iterable[int]) -> list[CalendarYear]:
    return [
        CalendarYear.of(
            year,
            days_of_year(year, chinese_calendar.is_workday, _holiday_name),
            status=DayStatus.PUBLISHED,
            source="chinesecalendar",
        )
        for year in wanted
    ]


@cache
def published() -> WorkCalendar:
    """2004 to 2026 as published; everything after is provisional."""
    return WorkCalendar.of(years(range(2004, 2027)))
