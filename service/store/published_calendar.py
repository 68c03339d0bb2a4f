"""The work calendar as the State Council published it, 2004 to 2026, from the `chinesecalendar` library.

The library is a seed only: what counts is the calendar in the ledger, which the township amends. It is asked for
published years alone; for a year without a notice it raises, and so do we not ask.
"""

from __future__ import annotations

from datetime import date
from functools import cache

from service.domain.calendar_years import CalendarYear, DayStatus, days_of_year

FIRST, LAST = 2004, 2026


@cache
def published_years() -> tuple[CalendarYear, ...]:
    """Every published year, its exceptions named in Chinese."""
    import chinese_calendar  # lazy: only founding a town and the `due` command need it

    def name_of(day: date) -> str:
        holiday = chinese_calendar.get_holiday_detail(day)[1]
        return chinese_calendar.Holiday(holiday).chinese if holiday else ""

    return tuple(
        CalendarYear.of(
            year,
            days_of_year(year, chinese_calendar.is_workday, name_of, source=_source(year)),
            status=DayStatus.PUBLISHED,
            source=_source(year),
        )
        for year in range(FIRST, LAST + 1)
    )


def _source(year: int) -> str:
    return f"国务院办公厅关于{year}年部分节假日安排的通知"
