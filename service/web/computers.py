"""换电脑: the computers of one station, a code for a new one, and what surfaced from computers that were replaced."""

from __future__ import annotations

from flask import Blueprint, flash, redirect, render_template, url_for
from flask_babel import gettext as _
from werkzeug.wrappers import Response

from service.actions import enrolling, gathering, replacing
from service.domain import facts as f
from service.domain.people import Step
from service.domain.refusals import NotFound
from service.domain.town import Station, Town
from service.web import desk
from service.web.field_names import shown_as
from service.web.forms import Form
from sync import enrolment, peers

pages = Blueprint("computers", __name__, url_prefix="/hub/stations")
desk.signed_in_only(pages)

Page = str | Response | tuple[str, int]


@pages.get("/<station>/computers")
def listing(station: str) -> Page:
    return _listing(station, Form.received())


@pages.post("/<station>/code")
def new_code(station: str) -> str:
    """The code is on this page and nowhere else: whoever loses it makes another one."""
    form = Form.received()
    with desk.node().unit(desk.actor()) as unit:
        code = enrolling.create_code(unit, station, form.text("replaces"))
        expires_at = unit.now + enrolment.CODE_VALID_FOR
        name = unit.town.place_name(station)
    return render_template(
        "hub/enrolment_code.html", code=code, station=station, name=name, expires_at=expires_at,
        address=desk.node().settings.public_url or "", replaces=bool(form.text("replaces")), title=_("接入码"),
    )  # fmt: skip


@pages.post("/<station>/withdraw")
def withdraw(station: str) -> Page:
    form = Form.received()
    with form.guard():
        with desk.node().unit(desk.actor()) as unit, shown_as(reason="withdraw_reason"):
            replacing.withdraw(unit, form.text("node"), form.text("withdraw_reason"))
        flash(_("已停用这台电脑。它再送来的记录会单独存放,等待处理。"), "success")
        return redirect(url_for("computers.listing", station=station))
    return _listing(station, form)


@pages.post("/<station>/late")
def late(station: str) -> Page:
    """Take late records in, or leave them out with a reason."""
    form = Form.received()
    place = replacing.LatePlace(code=form.text("code"), node=form.text("node"), epoch=form.text("epoch"),
                                scope=form.text("scope"), seq=form.number("seq"))  # fmt: skip
    taker = None
    with form.guard():
        with desk.node().unit(desk.actor()) as unit, shown_as(reason="late_reason"):
            if form.text("decision") == "take":
                taker = replacing.take_late(unit, place)
            else:
                replacing.leave_late(unit, place, form.text("late_reason"))
        flash(_("已交给电脑 %(node)s,它下次同步时收下。", node=taker[:8]) if taker else _("已处理。"), "success")
        return redirect(url_for("computers.listing", station=station))
    return _listing(station, form)


def _listing(station: str, form: Form) -> Page:
    actor = desk.actor()
    actor.require(Step.ENROL_NODE)
    with desk.looking() as look:
        place = _place(look.town, station)
        known = [peer for peer in peers.all_peers(look.connection) if peer.name == station]
        contacts = peers.contacts(look.connection)
    waiting = _late(known) if actor.may(Step.JUDGE_RECORD) else []
    page = render_template(
        "hub/computers.html", station=place, computers=known, contacts=contacts, late=waiting, form=form
    )
    return page, form.status


def _place(town: Town, code: str) -> Station | f.AreaStated:
    """The station, or at a county's hub the township, whose computers these are. Raises NotFound."""
    if not desk.node().is_county:
        return town.station(code)
    place = gathering.townships(town).get(code)
    if place is None:
        raise NotFound("township", code)
    return place


def _late(known: list[peers.Peer]) -> list[replacing.LateRecord]:
    of_station = {peer.node for peer in known}
    with desk.node().unit(desk.actor()) as unit:
        return [one for one in replacing.late_records(unit) if one.place.node in of_station]
