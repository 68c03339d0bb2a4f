"""Working days of a Chinese township: count them, add them, explain them.

A day is one of three things: published by the State Council's yearly notice (公布), assumed because that
notice is not out yet (暂估), or set by the township itself (本地: a typhoon day, say). Every answer that rests
on an assumed day says so: a date that may still move must be shown as such and not be held against anybody.

Counting follows the Civil Code: the day of the event does not count (Art. 201), a month ends on the same day
number or at the month's end (Art. 202), and a term ending on a day off ends on the next workday (Art. 203).
"""

import re
from bisect import bisect_left, bisect_right
from calendar import monthrange
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from typing import Literal, Self, TypeVar, cast

from service.domain.calendar_years import CalendarDay, CalendarYear, DayStatus, fixed_holiday, is_weekend

ONE_DAY = timedelta(days=1)

REMEMBERED_MAX = 20_000  # answers of each sort, some 5 MB in all

_K = TypeVar("_K")
_V = TypeVar("_V")

Unit = Literal["wd", "mo", "d"]


class DayKind(StrEnum):
    """Why a day is counted or skipped."""

    WORKDAY = "workday"
    MAKE_UP = "make_up"
    WEEKEND = "weekend"
    HOLIDAY = "holiday"
    PAUSED = "paused"  # a workday on which the clock stood still

    @property
    def label(self) -> str:
        return _KIND_LABELS[self.value]

    @property
    def counts(self) -> bool:
        return self in (DayKind.WORKDAY, DayKind.MAKE_UP)


_KIND_LABELS = {
    "workday": "工作日",
    "make_up": "调休上班",
    "weekend": "周末",
    "holiday": "放假",
    "paused": "暂停计时",
}


@dataclass(frozen=True, slots=True)
class Day:
    """One day as a computation shows it; `name` is the holiday's name, or empty."""

    day: date
    kind: DayKind
    name: str
    status: DayStatus


@dataclass(frozen=True, slots=True)
class Due:
    """A computed day; `rolled_from` is the day off on which a month or day term really ended (Art. 203)."""

    day: date
    provisional: bool
    rolled_from: date | None = None


@dataclass(frozen=True, slots=True)
class DayCount:
    """A number of working days, negative when the second day lies before the first."""

    days: int
    provisional: bool


class BadTerm(ValueError):
    """A term is a whole number above zero and a unit: 5wd (working days), 3mo (months), 60d (days)."""


@dataclass(frozen=True, slots=True)
class Term:
    """A length of time as the rules state it: `5wd`, `3mo`, `60d`."""

    amount: int
    unit: Unit

    @classmethod
    def parse(cls, text: str) -> Self:
        """Term written as `5wd`, `3mo` or `60d`; raises BadTerm."""
        found = re.fullmatch(r"([1-9][0-9]{0,3})(wd|mo|d)", text.strip(), re.ASCII)
        if found is None:
            raise BadTerm(f"{text!r} is not a term such as 5wd, 3mo or 60d")
        return cls(int(found[1]), cast(Unit, found[2]))

    def plus(self, other: "Term") -> "Term":
        """Both terms in a row; raises BadTerm when the units differ, as months have no length in days."""
        if self.unit != other.unit:
            raise BadTerm(f"{other} cannot be added to {self}")
        return Term(self.amount + other.amount, self.unit)

    def __str__(self) -> str:
        return f"{self.amount}{self.unit}"


@dataclass(frozen=True, slots=True)
class Computation:
    """How a date was computed.

    For working-day terms `counted` has exactly `term.amount` days, the last being `due`, and `skipped` every
    other day in between. Month and day terms count no single days: `counted` is the due day alone and `skipped`
    holds the days off it rolled over, beginning with `rolled_from`.
    """

    start: date
    term: Term
    counted: tuple[Day, ...]
    skipped: tuple[Day, ...]
    due: date
    provisional: bool
    rolled_from: date | None


@dataclass(frozen=True, slots=True)
class _YearIndex:
    """Ordinals of a year's workdays and of its provisional days, both ascending."""

    workdays: tuple[int, ...]
    provisional: tuple[int, ...]


class WorkCalendar:
    """Answers about working days, for any date, also beyond the last published year.

    Immutable in what it says. Years are indexed when first asked for, so a due date costs a few binary searches,
    and answers are remembered: the opinions of one week ask the same few questions thousands of times.
    """

    def __init__(self, days: Iterable[CalendarDay], published_years: Iterable[int] = ()) -> None:
        """Later rows for the same day win, so local rows belong after the published ones."""
        self._rows = {row.day: row for row in days}
        self._published = frozenset(published_years)
        self._indexes: dict[int, _YearIndex] = {}
        self._sums: dict[tuple[date, int], Due] = {}
        self._counts: dict[tuple[date, date], DayCount] = {}

    @classmethod
    def of(cls, years: Iterable[CalendarYear], local_days: Iterable[CalendarDay] = ()) -> Self:
        """Calendar of these years; a later record of a year replaces the earlier one (a decree amends it)."""
        latest = {year.year: year for year in years}
        rows = [row for year in latest.values() for row in year.days()]
        published = {year.year for year in latest.values() if year.status is DayStatus.PUBLISHED}
        return cls([*rows, *local_days], published)

    def is_published(self, year: int) -> bool:
        return year in self._published

    def is_workday(self, day: date) -> bool:
        row = self._rows.get(day)
        if row is not None:
            return row.is_workday
        if is_weekend(day):
            return False
        return day.year in self._published or not fixed_holiday(day)

    def is_provisional(self, day: date) -> bool:
        """Whether this day may still turn out otherwise."""
        row = self._rows.get(day)
        if row is not None:
            return row.status is DayStatus.PROVISIONAL
        return day.year not in self._published

    def describe(self, day: date) -> Day:
        """The day with the reason why it counts or does not."""
        row = self._rows.get(day)
        assumed = DayStatus.PROVISIONAL if self.is_provisional(day) else DayStatus.PUBLISHED
        status = row.status if row else assumed
        if self.is_workday(day):
            kind = DayKind.MAKE_UP if is_weekend(day) else DayKind.WORKDAY
            return Day(day, kind, row.name if row else "", status)
        if row is None and is_weekend(day):
            return Day(day, DayKind.WEEKEND, "", status)
        return Day(day, DayKind.HOLIDAY, row.name if row else fixed_holiday(day), status)

    def add_working_days(self, start: date, n: int) -> Due:
        """The n-th workday after `start`; for n = 0 the first workday on or after it."""
        known = self._sums.get((start, n))
        return known if known is not None else self._remember(self._sums, (start, n), self._add(start, n))

    def _add(self, start: date, n: int) -> Due:
        if n < 0:
            raise ValueError(f"cannot add {n} working days; previous_workdays counts backwards")
        year, workdays = start.year, self._index(start.year).workdays
        ordinal = start.toordinal()
        position = bisect_right(workdays, ordinal) + n - 1 if n else bisect_left(workdays, ordinal)
        while position >= len(workdays):
            position -= len(workdays)
            year += 1
            workdays = self._index(year).workdays
        due = date.fromordinal(workdays[position])
        return Due(due, self._touches_provisional(start if n else start - ONE_DAY, due))

    def previous_workdays(self, due: date, n: int) -> Due:
        """The n-th workday before `due`; for n = 0 the last workday on or before it."""
        if n < 0:
            raise ValueError(f"cannot go back {n} working days")
        year, workdays = due.year, self._index(due.year).workdays
        ordinal = due.toordinal()
        position = bisect_left(workdays, ordinal) - n if n else bisect_right(workdays, ordinal) - 1
        while position < 0:
            year -= 1
            workdays = self._index(year).workdays
            position += len(workdays)
        day = date.fromordinal(workdays[position])
        return Due(day, self._touches_provisional(day - ONE_DAY, due - ONE_DAY if n else due))

    def next_workday(self, day: date) -> Due:
        """The first workday after `day`."""
        return self.add_working_days(day, 1)

    def roll(self, day: date) -> Due:
        """`day` itself, or the next workday when it is a day off (Civil Code Art. 203)."""
        rolled = self.add_working_days(day, 0)
        return Due(rolled.day, rolled.provisional, day if rolled.day != day else None)

    def add_months(self, start: date, n: int) -> Due:
        """The same day number n months on, or that month's end (Art. 202), rolled to a workday (Art. 203)."""
        return self.roll(months_later(start, n))

    def due(self, start: date, term: Term) -> Due:
        """The last day of a term that begins with something happening on `start`."""
        if term.unit == "wd":
            return self.add_working_days(start, term.amount)
        return self.roll(natural_end(start, term))

    def working_days_between(self, a: date, b: date) -> DayCount:
        """Workdays after `a` up to and including `b`; negative when b < a."""
        known = self._counts.get((a, b))
        return known if known is not None else self._remember(self._counts, (a, b), self._count(a, b))

    def _count(self, a: date, b: date) -> DayCount:
        if b < a:
            back = self._count(b, a)
            return DayCount(-back.days, back.provisional)
        whole = sum(len(self._index(year).workdays) for year in range(a.year, b.year))
        upto_b = bisect_right(self._index(b.year).workdays, b.toordinal())
        upto_a = bisect_right(self._index(a.year).workdays, a.toordinal())
        return DayCount(whole + upto_b - upto_a, self._touches_provisional(a, b))

    def overdue(self, due: date, on: date) -> DayCount:
        """Working days by which `on` lies after `due`; zero up to the due day."""
        if on <= due:
            return DayCount(0, provisional=False)
        return self.working_days_between(due, on)

    def explain(self, start: date, term: Term) -> Computation:
        """How the due date of `term` from `start` comes about, day by day ("计算过程")."""
        due = self.due(start, term)
        first = start + ONE_DAY if term.unit == "wd" else due.rolled_from or due.day
        days = [self.describe(first + timedelta(days=n)) for n in range((due.day - first).days + 1)]
        return Computation(
            start=start,
            term=term,
            counted=tuple(day for day in days if day.kind.counts),
            skipped=tuple(day for day in days if not day.kind.counts),
            due=due.day,
            provisional=due.provisional,
            rolled_from=due.rolled_from,
        )

    def _remember(self, answers: dict[_K, _V], question: _K, answer: _V) -> _V:
        if len(answers) >= REMEMBERED_MAX:
            answers.clear()
        answers[question] = answer
        return answer

    def _index(self, year: int) -> _YearIndex:
        index = self._indexes.get(year)
        if index is None:
            index = self._indexes[year] = self._index_of(year)
        return index

    def _index_of(self, year: int) -> _YearIndex:
        days = range(date(year, 1, 1).toordinal(), date(year, 12, 31).toordinal() + 1)
        return _YearIndex(
            workdays=tuple(n for n in days if self.is_workday(date.fromordinal(n))),
            provisional=tuple(n for n in days if self.is_provisional(date.fromordinal(n))),
        )

    def _touches_provisional(self, after: date, upto: date) -> bool:
        """Whether any day after `after` up to and including `upto` is provisional."""
        low, high = after.toordinal(), upto.toordinal()
        for year in range(after.year, upto.year + 1):
            days = self._index(year).provisional
            if bisect_right(days, low) < bisect_right(days, high):
                return True
        return False


def months_later(start: date, n: int) -> date:
    """The same day number n months on, or that month's last day if it has no such day (Art. 202)."""
    year, month = divmod(start.year * 12 + start.month - 1 + n, 12)
    last = monthrange(year, month + 1)[1]
    return date(year, month + 1, min(start.day, last))


def natural_end(start: date, term: Term) -> date:
    """The day on which a month or day term ends before any roll-over."""
    if term.unit == "mo":
        return months_later(start, term.amount)
    return start + timedelta(days=term.amount)
