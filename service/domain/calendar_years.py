"""Calendar years as they are recorded: what differs from "Monday to Friday are workdays", and what the law fixes.

A year travels in one event, out of the State Council's notice or a draft of it; a day may also be set by the township.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from enum import StrEnum
from typing import Self

_SATURDAY = 5


class DayStatus(StrEnum):
    """How sure we are of a day."""

    PUBLISHED = "published"
    PROVISIONAL = "provisional"
    LOCAL = "local"

    @property
    def label(self) -> str:
        return {"published": "公布", "provisional": "暂估", "local": "本地"}[self.value]


@dataclass(frozen=True, slots=True)
class CalendarDay:
    """One exception to "Monday to Friday are workdays"; `source` is the notice or the township's reason."""

    day: date
    is_workday: bool
    name: str
    status: DayStatus
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CalendarYear:
    """One year as it travels in one event: only what differs from "Monday to Friday", days written "MM-DD".

    A published year without any exception is still published; that is what `status` is for.
    """

    year: int
    status: DayStatus
    source: str
    off: tuple[str, ...] = ()
    work: tuple[str, ...] = ()
    names: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, year: int, days: Iterable[CalendarDay], *, status: DayStatus, source: str) -> Self:
        """The year that holds exactly these exceptions."""
        rows = sorted(days, key=lambda row: row.day)
        return cls(
            year=year,
            status=status,
            source=source,
            off=tuple(f"{row.day:%m-%d}" for row in rows if not row.is_workday),
            work=tuple(f"{row.day:%m-%d}" for row in rows if row.is_workday),
            names={f"{row.day:%m-%d}": row.name for row in rows if row.name},
        )

    def days(self) -> tuple[CalendarDay, ...]:
        """Rows for the exceptions in date order; raises ValueError for a day the year does not have."""
        marked = [(text, False) for text in self.off] + [(text, True) for text in self.work]
        rows = [self._row(text, is_workday) for text, is_workday in marked]
        return tuple(sorted(rows, key=lambda row: row.day))

    def _row(self, text: str, is_workday: bool) -> CalendarDay:
        day = date.fromisoformat(f"{self.year:04d}-{text}")
        return CalendarDay(day, is_workday, self.names.get(text, ""), self.status, self.source)


def days_of_year(
    year: int,
    is_workday: Callable[[date], bool],
    name_of: Callable[[date], str],
    *,
    status: DayStatus = DayStatus.PUBLISHED,
    source: str = "",
) -> tuple[CalendarDay, ...]:
    """The exceptions of a year that some other calendar knows: weekdays off and weekend days worked."""
    first = date(year, 1, 1)
    days = (first + timedelta(days=n) for n in range((date(year, 12, 31) - first).days + 1))
    return tuple(
        CalendarDay(day, is_workday(day), name_of(day), status, source)
        for day in days
        if is_workday(day) == is_weekend(day)
    )


def is_weekend(day: date) -> bool:
    return day.weekday() >= _SATURDAY


def fixed_holiday(day: date) -> str:
    """Name of the holiday that the law ties to this date, or "".

    Spring Festival, Qingming, Dragon Boat and Mid-Autumn follow sun or moon and are left to the yearly notice.
    The second day of Labour Day is law since 2025 (全国年节及纪念日放假办法, amended in November 2024).
    """
    match day.month, day.day:
        case 1, 1:
            return "元旦"
        case 5, 1:
            return "劳动节"
        case 5, 2 if day.year >= 2025:
            return "劳动节"
        case 10, 1 | 2 | 3:
            return "国庆节"
    return ""
