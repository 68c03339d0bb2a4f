"""接待登记: receptions that took place, and the form that writes one down."""

from __future__ import annotations

from datetime import timedelta

from flask import Blueprint, flash, redirect, render_template, url_for
from flask_babel import gettext as _
from werkzeug.wrappers import Response

from service.actions.receptions import HeldReception, hold
from service.domain.people import Step
from service.store import queries
from service.web import desk
from service.web.forms import Form
from service.web.words import N_
from sync.errors import AlreadyRecorded

SHOWN = timedelta(days=366)

pages = Blueprint("reception", __name__)
desk.signed_in_only(pages)

NAVIGATION = desk.NavItem(
    endpoint="reception.index", label=N_("接待登记"), key="j", shown=lambda actor: actor.may(Step.HOLD_RECEPTION)
)


@pages.route("/receptions", methods=["GET", "POST"])
def index() -> Response | tuple[str, int]:
    """The form on top, what was held within a year below."""
    actor = desk.actor()
    actor.require(Step.HOLD_RECEPTION)
    with desk.looking() as look:
        station = desk.desk_station(look.town)
        held = queries.list_receptions(
            look.connection, station=station, since=look.today - SHOWN, until=look.today, limit=60
        )
    form = Form.received(held_on=look.today.isoformat(), headcount="", area="", note="")
    if form.sent:
        with form.guard():
            _hold(form, station)
            flash(_("接待已登记。"), "success")
            return redirect(url_for("reception.index"))
    page = render_template("station/receptions.html", form=form, held=held, town=look.town, station=station)
    return page, form.status


def _hold(form: Form, station: str) -> None:
    new = HeldReception(
        form=form.raw("form")[:40] or desk.node().new_id(), held_on=form.day("held_on"),
        headcount=form.number("headcount") if form.text("headcount") else None,
        area=form.raw("area"), deputies=form.many("deputies"), note=form.text("note"),
    )  # fmt: skip
    try:
        with desk.node().unit(desk.actor()) as unit:
            hold(unit, new, station)
            form.settle()
    except AlreadyRecorded:
        return  # the same form again: it is there
