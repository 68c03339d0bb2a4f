"""主数据: what every station reads about the town. One fact per action, written by the hub, read by all.

Nothing is ever deleted: a unit or deputy that ended is stated as inactive, so that old cases keep their names.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from datetime import date

from service.actions.routing import NotTheHub
from service.domain import facts as f
from service.domain.geometry import Point, is_near
from service.domain.people import Step
from service.domain.refusals import Invalid, InvalidForm, NotFound
from service.store.unit import Unit

TIERS = ("central", "station", "point")
STATION_STATUSES = ("planned", "building", "open", "paused", "closed")
UNIT_KINDS = ("town_office", "institute", "village", "county", "company")
LEVELS = ("city", "county", "town")
POSTS = ("chief", "deputy_chief", "liaison")
FRAMES = ("wgs84", "cgcs2000", "gcj02", "bd09")
NAME_MAX, TEXT_MAX = 60, 200
POPULATION_MAX = 1_000_000
FIRST_YEAR, LAST_YEAR = 2004, 2100

_STATION_CODE = re.compile(r"[a-z]{2,4}")
_CODE = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A position as typed; a point counts only with the frame it was taken in."""

    lat: float | None = None
    lng: float | None = None
    frame: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AreaForm:
    """行政区: `confirmed` = 已核实 by the clerk against the official list."""

    name: str
    confirmed: bool
    population: int | None = None
    place: Place = Place()


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitForm:
    """承办单位. `area` is the village's code when the unit is a village."""

    name: str
    kind: str
    duties: tuple[str, ...] = ()
    area: str = ""
    active: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class StationForm:
    """联络站. Days belong to the status: an open station has opened, a paused one says since when."""

    name: str
    tier: str
    area: str
    status: str
    host: str = ""
    address: str = ""
    phone: str = ""
    hours: str = ""
    opened_on: date | None = None
    planned_on: date | None = None
    paused_on: date | None = None
    closed_on: date | None = None
    place: Place = Place()


@dataclass(frozen=True, slots=True, kw_only=True)
class DeputyForm:
    """代表. `contact` is the public channel, never the private phone by default."""

    name: str
    levels: tuple[str, ...]
    district: str
    station: str
    contact: str = ""
    in_office: bool = True


def state_area(unit: Unit, code: str, form: AreaForm) -> None:
    """Confirm or correct a village's name, residents and position. Raises InvalidForm, NotFound."""
    _may_edit(unit)
    known = unit.town.areas.get(code)
    if known is None:
        raise NotFound("area", code)
    _check(_named(form.name), _counted(form.population), _placed(form.place))
    fact = f.AreaStated(
        code=code, name=form.name.strip(), name_status="confirmed" if form.confirmed else "unconfirmed",
        level=known.level, parent=known.parent, population=form.population, lat=form.place.lat,
        lng=form.place.lng, frame=form.place.frame,
    )  # fmt: skip
    unit.record(f"area/{code}", fact, scope=unit.public_scope)


def state_unit(unit: Unit, code: str, form: UnitForm) -> None:
    """Add a unit, or state it anew. The code stays for ever; old dispatches are found by it."""
    _may_edit(unit)
    _check(_coded(code, _CODE), _named(form.name), _one_of("kind", form.kind, UNIT_KINDS), _villages_unit(unit, form))
    duties = tuple(duty.strip()[:TEXT_MAX] for duty in form.duties if duty.strip())
    fact = f.UnitStated(code=code, name=form.name.strip(), kind=form.kind, duties=duties, area=form.area,
                        active=form.active)  # fmt: skip
    unit.record(f"unit/{code}", fact, scope=unit.public_scope)


def state_station(unit: Unit, code: str, form: StationForm) -> None:
    """Add a station, or state it anew. Its code begins every number it issues, so it never changes."""
    _may_edit(unit)
    _check(
        _coded(code, _STATION_CODE), _named(form.name), _one_of("tier", form.tier, TIERS),
        _one_of("status", form.status, STATION_STATUSES), _known_area(unit, form.area), _station_days(form),
        _short(form, "host", "address", "phone", "hours"), _placed(form.place),
    )  # fmt: skip
    shared = {field.name: getattr(form, field.name) for field in fields(form) if field.name not in ("name", "place")}
    fact = f.StationStated(code=code, name=form.name.strip(), lat=form.place.lat, lng=form.place.lng,
                           frame=form.place.frame, **shared)  # fmt: skip
    unit.record(f"station/{code}", fact, scope=unit.public_scope)


def post_person(unit: Unit, station: str, *, person: str, post: str, from_on: date, to_on: date | None = None) -> None:
    """任职: who holds a post at a station, and until when."""
    _may_edit(unit)
    known = unit.town.station(station)
    ended = [Invalid("to_on", "before_start")] if to_on is not None and to_on < from_on else []
    _check(_named(person, "person"), _one_of("post", post, POSTS), ended)
    fact = f.StationPosted(station=known.code, person_name=person.strip(), post=post, from_on=from_on, to_on=to_on)
    unit.record(f"station/{known.code}", fact, scope=unit.public_scope)


def state_deputy(unit: Unit, deputy: str, form: DeputyForm) -> None:
    """Add a deputy, or state them anew."""
    _may_edit(unit)
    levels = [Invalid("levels", "required" if not form.levels else "unknown_choice")]
    _check(
        _coded(deputy, _CODE), _named(form.name), [] if form.levels and set(form.levels) <= set(LEVELS) else levels,
        _one_of("station", form.station, tuple(unit.town.stations)), _short(form, "district", "contact"),
    )  # fmt: skip
    fact = f.DeputyStated(deputy=deputy, name=form.name.strip(), levels=form.levels, district=form.district.strip(),
                          station=form.station, contact=form.contact.strip(), in_office=form.in_office)  # fmt: skip
    unit.record(f"deputy/{deputy}", fact, scope=unit.public_scope)


def set_calendar_day(unit: Unit, day: date | None, *, is_workday: bool, reason: str) -> None:
    """本地: a day off or a day worked by the township's own decision. Open clocks are computed anew."""
    _may_edit(unit)
    if day is None:
        raise Invalid("day")
    _check(_within_calendar(day), _named(reason, "reason"))
    fact = f.CalendarDaySet(day=day, is_workday=is_workday, reason=reason.strip())
    unit.record(f"calendar/{day.year}", fact, scope=unit.public_scope)


# --- checks: each gives what is wrong with one field -----------------------------------------------------------

_Found = list[Invalid] | Iterator[Invalid]


def _may_edit(unit: Unit) -> None:
    unit.actor.require(Step.EDIT_MASTER_DATA)
    if not unit.is_hub:
        raise NotTheHub


def _check(*found: _Found) -> None:
    problems = tuple(problem for group in found for problem in group)
    if problems:
        raise InvalidForm(problems)


def _coded(code: str, shape: re.Pattern[str]) -> Iterator[Invalid]:
    if not shape.fullmatch(code):
        yield Invalid("code", "required" if not code else "bad_code")


def _named(name: str, field: str = "name") -> Iterator[Invalid]:
    if not name.strip():
        yield Invalid(field)
    if len(name) > NAME_MAX:
        yield Invalid(field, "too_long", limit=NAME_MAX)


def _one_of(field: str, value: str, allowed: tuple[str, ...]) -> Iterator[Invalid]:
    if value not in allowed:
        yield Invalid(field, "required" if not value else "unknown_choice")


def _short(form: object, *names: str) -> Iterator[Invalid]:
    for name in names:
        if len(getattr(form, name)) > TEXT_MAX:
            yield Invalid(name, "too_long", limit=TEXT_MAX)


def _counted(population: int | None) -> Iterator[Invalid]:
    if population is not None and not 0 <= population <= POPULATION_MAX:
        yield Invalid("population", "out_of_range", low=0, high=POPULATION_MAX)


def _within_calendar(day: date) -> Iterator[Invalid]:
    if not FIRST_YEAR <= day.year <= LAST_YEAR:
        yield Invalid("day", "out_of_range", low=FIRST_YEAR, high=LAST_YEAR)


def _known_area(unit: Unit, area: str) -> Iterator[Invalid]:
    return _one_of("area", area, tuple(unit.town.areas))


def _villages_unit(unit: Unit, form: UnitForm) -> Iterator[Invalid]:
    if form.kind == "village" or form.area:
        yield from _known_area(unit, form.area)


def _placed(place: Place) -> Iterator[Invalid]:
    """Both numbers or neither, in a stated frame: a point that cannot be compared would spoil the coverage."""
    if (place.lat is None) != (place.lng is None):
        yield Invalid("lat" if place.lat is None else "lng")
        return
    if place.lat is None or place.lng is None:
        return
    if not is_near(Point(lat=place.lat, lng=place.lng), None):
        yield Invalid("lat", "not_a_coordinate")
    if place.frame not in FRAMES:
        yield Invalid("frame", "required" if not place.frame else "unknown_choice")


def _station_days(form: StationForm) -> Iterator[Invalid]:
    needed: dict[str, tuple[str, Callable[[StationForm], date | None]]] = {
        "open": ("opened_on", lambda it: it.opened_on),
        "paused": ("paused_on", lambda it: it.paused_on),
        "closed": ("closed_on", lambda it: it.closed_on),
    }
    if form.status in needed and needed[form.status][1](form) is None:
        yield Invalid(needed[form.status][0])
    if form.opened_on is not None and form.closed_on is not None and form.closed_on < form.opened_on:
        yield Invalid("closed_on", "before_start")
