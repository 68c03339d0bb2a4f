"""月度汇总: what a township counts for its county. Counts of rows, never a case, a name or a citizen's words.

The opinions of a month are those registered in it, without merged, withdrawn and void ones; each of them is counted in
exactly one of four figures, by how it stands at the moment of counting:

    answered_on_time  answered (replied, closed or explained), and no card says that a term of it had run out
    answered_late     answered after a card said so
    open_in_term      not answered, the term that runs now has not ended (or none runs)
    open_overdue      not answered, the term that runs now has ended

`rated` have a rating; `satisfied` and `fairly_satisfied` are those whose last one says so. Villages and residents are
the coverage view's own numerators and denominators (K0, K1 at R, K3), so that a county may add them up: `located` could
be measured, `reached` have an open station within R, `populated` have a known population, `visited` a recent reception.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from datetime import date, datetime, timedelta
from typing import Any

from service.domain import facts as f
from service.domain.coverage import Coverage
from service.domain.opinions import DROPPED, State

ANSWERED = frozenset({State.REPLIED, State.CLOSED, State.EXPLAINED})
FIGURES = tuple(one.name for one in fields(f.TownshipSummed) if one.name not in ("township", "month", "as_of"))
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True, order=True)
class Month:
    """A calendar month."""

    year: int
    number: int

    @classmethod
    def of(cls, day: date) -> Month:
        return cls(day.year, day.month)

    @classmethod
    def parse(cls, text: str) -> Month | None:
        """ "2026-11"; None for anything else, as the text may come from an address line."""
        year, dash, number = text.partition("-")
        if not (dash and len(year) == 4 and len(number) == 2 and (year + number).isdecimal() and text.isascii()):
            return None
        month = cls(int(year), int(number))
        return month if 1 <= month.number <= 12 and month.year else None

    def __str__(self) -> str:
        return f"{self.year:04d}-{self.number:02d}"

    @property
    def first(self) -> date:
        return date(self.year, self.number, 1)

    @property
    def last(self) -> date:
        return self.next.first - _DAY

    @property
    def next(self) -> Month:
        return Month(self.year + 1, 1) if self.number == 12 else Month(self.year, self.number + 1)

    @property
    def before(self) -> Month:
        return Month.of(self.first - _DAY)


def last_months(today: date, count: int) -> list[Month]:
    """The month of `today` and those before it, newest first."""
    months = [Month.of(today)]
    while len(months) < count:
        months.append(months[-1].before)
    return months


@dataclass(frozen=True, slots=True, kw_only=True)
class CountedOpinion:
    """What is asked of an opinion. `ran_late`: a card says that a term had run out; `rating` "" without one."""

    registered_on: date
    state: State
    ran_late: bool = False
    due_at: datetime | None = None
    rating: str = ""

    @property
    def is_answered(self) -> bool:
        return self.state in ANSWERED

    def is_overdue(self, now: datetime) -> bool:
        return self.due_at is not None and self.due_at < now


@dataclass(frozen=True, slots=True, kw_only=True)
class CountedReception:
    """A reception that was held; withdrawn ones are not handed in."""

    held_on: date
    headcount: int


def summed(
    *,
    township: str,
    month: Month,
    now: datetime,
    today: date,
    stations_open: int,
    opinions: Iterable[CountedOpinion],
    receptions: Iterable[CountedReception],
    coverage: Coverage | None,
) -> f.TownshipSummed:
    """The sums of a month as they stand at `now`; what belongs to other months is passed over."""
    mine = [one for one in opinions if Month.of(one.registered_on) == month and one.state not in DROPPED]
    held = [one for one in receptions if Month.of(one.held_on) == month]
    answered = [one for one in mine if one.is_answered]
    waiting = [one for one in mine if not one.is_answered]
    late, overdue = sum(one.ran_late for one in answered), sum(one.is_overdue(now) for one in waiting)
    return f.TownshipSummed(
        township=township, month=str(month), as_of=today, stations_open=stations_open,
        receptions_held=len(held), reception_visitors=sum(one.headcount for one in held),
        opinions_received=len(mine), answered_on_time=len(answered) - late, answered_late=late,
        open_in_term=len(waiting) - overdue, open_overdue=overdue, rated=sum(bool(one.rating) for one in mine),
        satisfied=_rated(mine, "satisfied"), fairly_satisfied=_rated(mine, "fair"), **_covered(coverage),
    )  # fmt: skip


def _rated(opinions: list[CountedOpinion], rating: str) -> int:
    return sum(one.rating == rating for one in opinions)


def _covered(coverage: Coverage | None) -> dict[str, Any]:
    if coverage is None:
        return {}
    reach, recency = coverage.reach, coverage.recency
    return {
        "villages": coverage.completeness.villages.whole, "villages_located": reach.villages.whole,
        "villages_reached": reach.villages.part, "villages_populated": recency.villages.whole,
        "villages_visited": recency.villages.part, "residents": coverage.completeness.residents.whole,
        "residents_located": reach.residents.whole, "residents_reached": reach.residents.part,
        "residents_visited": recency.residents.part,
    }  # fmt: skip


def same_figures(one: f.TownshipSummed, other: f.TownshipSummed | None) -> bool:
    """Whether a later count says nothing new; on which day it was made does not matter."""
    return other is not None and all(getattr(one, name) == getattr(other, name) for name in FIGURES)


def total(sums: Iterable[f.TownshipSummed]) -> dict[str, int]:
    """Each figure added up over townships; one that a township could not compute adds nothing."""
    known = list(sums)
    return {name: sum(getattr(one, name) or 0 for one in known) for name in FIGURES}
