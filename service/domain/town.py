"""The town as its master data describe it: places, stations, units, deputies, terms and the work calendar.

A `Town` is a snapshot that actions and folds read; it is built from the newest facts of every master subject.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date
from typing import TypeVar

from service.domain import facts as f
from service.domain.calendar_years import CalendarDay, CalendarYear, DayStatus
from service.domain.policy import Policy
from service.domain.policy_reading import policy_from_mapping
from service.domain.refusals import NotFound
from service.domain.working_days import WorkCalendar

_T = TypeVar("_T")
_F = TypeVar("_F", bound=f.Fact)


@dataclass(frozen=True, slots=True, kw_only=True)
class Station:
    """A station with the people who hold its posts."""

    stated: f.StationStated
    posts: tuple[f.StationPosted, ...] = ()

    @property
    def code(self) -> str:
        return self.stated.code

    @property
    def name(self) -> str:
        return self.stated.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Town:
    """Everything the hub has published about the town. Empty before the first exchange."""

    stated: f.TownStated | None = None
    areas: dict[str, f.AreaStated] = field(default_factory=dict)
    stations: dict[str, Station] = field(default_factory=dict)
    units: dict[str, f.UnitStated] = field(default_factory=dict)
    deputies: dict[str, f.DeputyStated] = field(default_factory=dict)
    categories: dict[str, f.CategoryStated] = field(default_factory=dict)
    reasons: dict[str, f.ReasonStated] = field(default_factory=dict)
    nodes: dict[str, f.NodeEnrolled] = field(default_factory=dict)
    policies: tuple[tuple[date, Policy], ...] = ()  # by effective_from, ascending
    calendar: WorkCalendar = field(default_factory=lambda: WorkCalendar.of(()))
    coverage: f.CoverageCompiled | None = None

    def policy_on(self, day: date) -> Policy:
        """The terms in force on a day; the earliest known ones for days before."""
        chosen = next((policy for start, policy in reversed(self.policies) if start <= day), None)
        if chosen is not None:
            return chosen
        return self.policies[0][1] if self.policies else Policy()

    def station(self, code: str) -> Station:
        """Raises NotFound."""
        return _known(self.stations, "station", code)

    def unit(self, code: str) -> f.UnitStated:
        """Raises NotFound."""
        return _known(self.units, "unit", code)

    def area_name(self, code: str) -> str:
        area = self.areas.get(code)
        return area.name if area else code

    def station_name(self, code: str) -> str:
        station = self.stations.get(code)
        return station.name if station else code

    def place_name(self, code: str) -> str:
        """Whoever was enrolled under this code: a station, or at a county's hub a township."""
        return self.station_name(code) if code in self.stations else self.area_name(code)

    def unit_name(self, code: str) -> str:
        unit = self.units.get(code)
        return unit.name if unit else code

    def category_name(self, code: str) -> str:
        category = self.categories.get(code)
        return category.name if category else code


def _known(table: dict[str, _T], kind: str, code: str) -> _T:
    if code not in table:
        raise NotFound(kind, code)
    return table[code]


def build_town(facts: Iterable[f.Fact]) -> Town:
    """The snapshot out of the newest facts of all master subjects, in any order."""
    by_kind: dict[type[f.Fact], list[f.Fact]] = {}
    for fact in facts:
        by_kind.setdefault(type(fact), []).append(fact)

    def of(kind: type[_F]) -> list[_F]:
        return [fact for fact in by_kind.get(kind, []) if isinstance(fact, kind)]

    return Town(
        stated=next(iter(of(f.TownStated)), None),
        areas={fact.code: fact for fact in sorted(of(f.AreaStated), key=lambda a: a.code)},
        stations=_stations(of(f.StationStated), of(f.StationPosted)),
        units={fact.code: fact for fact in sorted(of(f.UnitStated), key=lambda u: u.code)},
        deputies={fact.deputy: fact for fact in sorted(of(f.DeputyStated), key=lambda d: d.deputy)},
        categories={fact.code: fact for fact in sorted(of(f.CategoryStated), key=_category_place)},
        reasons={fact.code: fact for fact in sorted(of(f.ReasonStated), key=lambda r: (len(r.code), r.code))},
        nodes={fact.node: fact for fact in of(f.NodeEnrolled)},
        policies=_policies(of(f.PolicyStated)),
        calendar=_calendar(of(f.CalendarStated), of(f.CalendarDaySet)),
        coverage=max(of(f.CoverageCompiled), key=lambda c: c.as_of, default=None),
    )


def _category_place(category: f.CategoryStated) -> tuple[bool, int, str]:
    """The frequent ones first; what may not be dispatched last, where no slip of a key picks it."""
    return (category.locked, category.rank, category.code)


def _stations(stated: list[f.StationStated], posted: list[f.StationPosted]) -> dict[str, Station]:
    posts: dict[str, list[f.StationPosted]] = {}
    for post in posted:
        posts.setdefault(post.station, []).append(post)
    return {
        fact.code: Station(stated=fact, posts=tuple(sorted(posts.get(fact.code, []), key=lambda p: p.post)))
        for fact in sorted(stated, key=lambda s: (s.tier != "central", s.code))
    }


def _policies(stated: list[f.PolicyStated]) -> tuple[tuple[date, Policy], ...]:
    ordered = sorted(stated, key=lambda fact: fact.effective_from)
    return tuple((fact.effective_from, policy_from_mapping(fact.terms)) for fact in ordered)


def _calendar(stated: list[f.CalendarStated], days: list[f.CalendarDaySet]) -> WorkCalendar:
    years = [
        CalendarYear(
            year=fact.year, status=DayStatus(fact.status), source=fact.source, off=fact.off, work=fact.work,
            names=fact.names,
        )
        for fact in stated
    ]  # fmt: skip
    local = [CalendarDay(d.day, d.is_workday, d.reason, DayStatus.LOCAL, d.reason) for d in days]
    return WorkCalendar.of(years, local)
