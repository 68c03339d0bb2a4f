"""主数据: what every station reads about the town. Everybody may look, who edits master data may state it anew."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import date, timedelta
from typing import Any

from flask import Blueprint, flash, redirect, render_template, url_for
from flask_babel import gettext as _
from werkzeug.wrappers import Response

from service.actions import master_data
from service.actions.master_data import AreaForm, DeputyForm, Place, StationForm, UnitForm
from service.domain import facts as f
from service.domain.calendar_years import DayStatus
from service.domain.people import Step
from service.domain.policy_reading import policy_to_mapping
from service.domain.refusals import Invalid, NotFound
from service.domain.town import Town
from service.domain.working_days import Day, DayKind, WorkCalendar
from service.store.unit import Unit
from service.web import desk
from service.web.field_names import shown_as
from service.web.forms import Form
from service.web.words import N_

pages = Blueprint("town_data", __name__, url_prefix="/hub/town")
desk.signed_in_only(pages)

NAVIGATION = desk.NavItem(
    endpoint="town_data.areas", label=N_("主数据"), shown=lambda actor: actor.may(Step.EDIT_MASTER_DATA)
)
SECTIONS = (
    ("town_data.areas", N_("行政区")),
    ("town_data.stations", N_("联络站")),
    ("town_data.units", N_("承办单位")),
    ("town_data.deputies", N_("代表")),
    ("town_data.codes", N_("类别与原因代码")),
    ("town_data.calendar", N_("工作日历")),
    ("town_data.policy", N_("时限表")),
)
NEW = "new"  # the address of a form for something that has no code yet
# Places and offices have a 名称, people a 姓名.
_FIELD_NAMES = {section: {"name": "place_name"} for section in ("areas", "stations", "units")}

Page = str | Response | tuple[str, int]


def _listing(template: str, **values: Any) -> str:
    with desk.looking() as look:
        return render_template(
            template, town=look.town, today=look.today, sections=SECTIONS,
            may_edit=desk.actor().may(Step.EDIT_MASTER_DATA), **values,
        )  # fmt: skip


@pages.get("/areas")
def areas() -> str:
    return _listing("hub/town_areas.html")


@pages.get("/stations")
def stations() -> str:
    return _listing("hub/town_stations.html")


@pages.get("/units")
def units() -> str:
    return _listing("hub/town_units.html")


@pages.get("/deputies")
def deputies() -> str:
    return _listing("hub/town_deputies.html")


@pages.get("/codes")
def codes() -> str:
    return _listing("hub/town_codes.html")


@pages.get("/policy")
def policy() -> str:
    with desk.looking() as look:
        return render_template("hub/town_policy.html", town=look.town, policy=look.policy, sections=SECTIONS,
                               terms=list(policy_to_mapping(look.policy)["terms"].items()))  # fmt: skip


# --- forms -----------------------------------------------------------------------------------------------------


@pages.route("/areas/<code>", methods=["GET", "POST"])
def area(code: str) -> Page:
    return _edit("hub/town_area.html", code, "areas", _area_values, _state_area)


@pages.route("/units/<code>", methods=["GET", "POST"])
def unit(code: str) -> Page:
    return _edit("hub/town_unit.html", code, "units", _unit_values, _state_unit)


@pages.route("/stations/<code>", methods=["GET", "POST"])
def station(code: str) -> Page:
    return _edit("hub/town_station.html", code, "stations", _station_values, _state_station)


@pages.route("/stations/<code>/posts", methods=["GET", "POST"])
def post(code: str) -> Page:
    return _edit("hub/town_post.html", code, "stations", lambda town, key: {}, _post_person)


@pages.route("/deputies/<code>", methods=["GET", "POST"])
def deputy(code: str) -> Page:
    return _edit("hub/town_deputy.html", code, "deputies", _deputy_values, _state_deputy)


def _edit(
    template: str,
    code: str,
    back: str,
    values: Callable[[Town, str], Mapping[str, Any]],
    state: Callable[[Unit, str, Form], None],
) -> Page:
    """A form over one master subject: filled with what is stated now, or empty for a new one."""
    actor = desk.actor()
    actor.require(Step.EDIT_MASTER_DATA)
    with desk.looking() as look:
        form = _filled(values(look.town, code) if code != NEW else {})
        if form.sent:
            with form.guard():
                with desk.node().unit(actor) as unit, shown_as(code="master_code", **_FIELD_NAMES.get(back, {})):
                    state(unit, form.text("master_code").lower() if code == NEW else code, form)
                    form.settle()
                flash(_("已保存,将随下次同步发到各站。"), "success")
                return redirect(url_for(f"town_data.{back}"))
        page = render_template(template, form=form, code=code, is_new=code == NEW, town=look.town)
    return page, form.status


def _filled(values: Mapping[str, Any]) -> Form:
    """The form as sent, or with these values; sequences become several values of one name."""
    form = Form.received()
    if not form.sent:
        for name, value in values.items():
            form.typed.setlist(name, _texts(value))
    return form


def _texts(value: Any) -> list[str]:
    if value is None or value is False:
        return []
    if value is True:
        return ["1"]
    if isinstance(value, tuple):
        return [str(one) for one in value]
    return [value.isoformat() if isinstance(value, date) else str(value)]


def _known(table: Mapping[str, Any], kind: str, code: str) -> Any:
    if code not in table:
        raise NotFound(kind, code)
    return table[code]


def _area_values(town: Town, code: str) -> Mapping[str, Any]:
    stated: f.AreaStated = _known(town.areas, "area", code)
    return {"place_name": stated.name, "confirmed": stated.name_status == "confirmed", "population": stated.population,
            "lat": stated.lat, "lng": stated.lng, "frame": stated.frame}  # fmt: skip


def _state_area(unit: Unit, code: str, form: Form) -> None:
    population = form.number("population") if form.text("population") else None
    master_data.state_area(unit, code, AreaForm(
        name=form.text("place_name"), confirmed=form.flag("confirmed"), population=population, place=_place(form)
    ))  # fmt: skip


def _unit_values(town: Town, code: str) -> Mapping[str, Any]:
    stated: f.UnitStated = _known(town.units, "unit", code)
    return {"place_name": stated.name, "kind": stated.kind, "duties": "\n".join(stated.duties), "area": stated.area,
            "active": stated.active}  # fmt: skip


def _state_unit(unit: Unit, code: str, form: Form) -> None:
    master_data.state_unit(unit, code, UnitForm(
        name=form.text("place_name"), kind=form.text("kind"), duties=tuple(form.text("duties").splitlines()),
        area=form.text("area"), active=form.flag("active"),
    ))  # fmt: skip


def _station_values(town: Town, code: str) -> Mapping[str, Any]:
    stated: f.StationStated = _known(town.stations, "station", code).stated
    return {**asdict(stated), "place_name": stated.name}


def _state_station(unit: Unit, code: str, form: Form) -> None:
    master_data.state_station(unit, code, StationForm(
        name=form.text("place_name"), tier=form.text("tier"), area=form.text("area"), status=form.text("status"),
        host=form.text("host"), address=form.text("address"), phone=form.text("phone"), hours=form.text("hours"),
        opened_on=form.day("opened_on"), planned_on=form.day("planned_on"), paused_on=form.day("paused_on"),
        closed_on=form.day("closed_on"), place=_place(form),
    ))  # fmt: skip


def _post_person(unit: Unit, code: str, form: Form) -> None:
    from_on = form.day("from_on")
    if from_on is None:
        form.settle()
        raise Invalid("from_on")
    master_data.post_person(unit, code, person=form.text("person"), post=form.text("post"), from_on=from_on,
                            to_on=form.day("to_on"))  # fmt: skip


def _deputy_values(town: Town, code: str) -> Mapping[str, Any]:
    return asdict(_known(town.deputies, "deputy", code))


def _state_deputy(unit: Unit, code: str, form: Form) -> None:
    master_data.state_deputy(unit, code, DeputyForm(
        name=form.text("name"), levels=form.many("levels"), district=form.text("district"),
        station=form.text("station"), contact=form.text("contact"), in_office=form.flag("in_office"),
    ))  # fmt: skip


def _place(form: Form) -> Place:
    return Place(lat=_degrees(form, "lat"), lng=_degrees(form, "lng"), frame=form.text("frame"))


def _degrees(form: Form, name: str) -> float | None:
    plain = form.text(name)
    if not plain:
        return None
    try:
        return float(plain)
    except ValueError:
        raise Invalid(name, "not_a_coordinate") from None


# --- work calendar ---------------------------------------------------------------------------------------------


@pages.route("/calendar", methods=["GET", "POST"])
def calendar() -> Page:
    """The years with their notices, and the township's own days."""
    form = Form.received(is_workday="no")
    if form.sent:
        with form.guard():
            with desk.node().unit(desk.actor()) as unit:
                day = form.day("day")
                form.settle()
                master_data.set_calendar_day(
                    unit, day, is_workday=form.yes_no("is_workday") is True, reason=form.text("reason")
                )
            flash(_("已保存。未办结意见的期限正在重新计算。"), "success")
            return redirect(url_for("town_data.calendar"))
    with desk.looking() as look:
        known, year = look.town.calendar, look.today.year
        years = [(one, known.is_published(one)) for one in range(year - 2, year + 2)]
        days = _special_days(known, date(year, 1, 1), date(year + 1, 12, 31))
    return _listing("hub/town_calendar.html", form=form, years=years, days=days), form.status


def _special_days(known: WorkCalendar, first: date, last: date) -> list[Day]:
    """Days that are neither a plain weekday nor a plain weekend."""
    days = (known.describe(first + timedelta(days=n)) for n in range((last - first).days + 1))
    special = (DayKind.MAKE_UP, DayKind.HOLIDAY)
    return [day for day in days if day.kind in special or day.status is DayStatus.LOCAL]
