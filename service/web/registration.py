"""意见登记: one page for the citizen's own words, and the receipt they take home."""

from __future__ import annotations

from datetime import datetime, timedelta

import segno
from flask import Blueprint, flash, redirect, render_template, session, url_for
from flask_babel import gettext as _
from werkzeug.wrappers import Response

from service.actions.hub_address import hub_url
from service.actions.registering import (
    NewOpinion,
    Receipt,
    RegisteredBefore,
    register,
    tracking_code,
    tracking_hash,
)
from service.domain.casework import standing
from service.domain.people import Reporter, Step
from service.domain.town import Town
from service.store import station_queries
from service.web import desk
from service.web.forms import Form
from service.web.words import N_

RECEIPT_SHOWN = timedelta(minutes=30)  # the code lies in this browser's session no longer than that

pages = Blueprint("registration", __name__)
desk.signed_in_only(pages)

NAVIGATION = desk.NavItem(
    endpoint="registration.new", label=N_("登记意见"), key="n", shown=lambda actor: actor.may(Step.REGISTER)
)


@pages.route("/opinions/new", methods=["GET", "POST"])
def new() -> Response | tuple[str, int]:
    desk.actor().require(Step.REGISTER)
    with desk.looking() as look:
        town, station = look.town, desk.desk_station(look.town)
    form = Form.received(source="reception", urgency="normal", secrecy="open", affected="1",
                         area=town.station(station).stated.area)  # fmt: skip
    if form.sent:
        with form.guard():
            return redirect(url_for("registration.receipt", opinion_id=_register(form, station)))
    return render_template("station/register.html", form=form, town=town, station=town.station(station)), form.status


def _register(form: Form, station: str) -> str:
    """The opinion's id; the receipt's code goes into the session, never into an address."""
    try:
        with desk.node().unit(desk.actor()) as unit:
            made = register(unit, _read(form), station)
            form.settle()
    except RegisteredBefore:
        return _first_answer(form, station)
    _keep(made, unit.now)
    return made.opinion


def _read(form: Form) -> NewOpinion:
    who = Reporter(name=form.text("name"), phone=form.text("phone"), address=form.text("address"))
    return NewOpinion(
        form=_form_number(form), title=form.text("title"), body=form.text("body"), source=form.raw("source"),
        wish=form.text("wish"), category=form.raw("category"), area=form.raw("area"), grid=form.text("grid")[:40],
        affected=form.number("affected", 1), urgency=form.raw("urgency"), secrecy=form.raw("secrecy"), reporter=who,
        proxy_deputy=form.raw("proxy_deputy") or None, notice_read=form.flag("notice_read"),
    )  # fmt: skip


def _form_number(form: Form) -> str:
    """The hidden number of the form; one that is missing or made up only loses the protection against a double."""
    given = form.raw("form")
    return given if len(given) == 32 and given.isalnum() and given.isascii() else desk.node().new_id()


def _first_answer(form: Form, station: str) -> str:
    node = desk.node()
    with node.reading() as connection:
        found = station_queries.opinion_of_form(connection, node.station_scope(station), _form_number(form))
    if found is None:
        raise RegisteredBefore
    _keep_again(found, _form_number(form))
    flash(_("这份意见已经登记过,没有重复登记。"), "info")
    return found


# --- the receipt -----------------------------------------------------------------------------------------------


def _keep(made: Receipt, now: datetime) -> None:
    until = (now + RECEIPT_SHOWN).timestamp()
    session["receipt"] = {"opinion": made.opinion, "code": made.tracking_code, "until": until}


def _keep_again(opinion_id: str, form_number: str) -> None:
    """The first answer was lost with its receipt: the same form tells the same code, if it is this opinion's."""
    code = tracking_code(desk.node().secret_key, form_number)
    with desk.looking() as look:
        registered = look.opinion(opinion_id, desk.actor()).registered
    if registered is not None and registered.tracking == tracking_hash(code):
        _keep(Receipt(opinion=opinion_id, reg_no=registered.reg_no, tracking_code=code), look.now)


def _kept_code(opinion_id: str, now: datetime) -> str:
    """The tracking code, while it may still be shown; the node itself knows only its hash."""
    kept = session.get("receipt") or {}
    fits = kept.get("opinion") == opinion_id and now.timestamp() < kept.get("until", 0)
    return str(kept["code"]) if fits else ""


@pages.get("/opinions/<opinion_id>/receipt")
def receipt(opinion_id: str) -> str:
    with desk.looking() as look:
        opinion = look.opinion(opinion_id, desk.actor())
        code = _kept_code(opinion_id, look.now)
        address = _public_address(code)
        return render_template(
            "station/receipt.html", opinion=opinion, town=look.town, code=code, address=address, now=look.now,
            standing=standing(opinion, look.town), qr=_qr(address or code), site=_public_site(),
            issuer=_issuer(look.town, opinion.registered.station if opinion.registered else ""),
        )  # fmt: skip


@pages.post("/opinions/<opinion_id>/receipt")
def handed_over(opinion_id: str) -> Response:
    """The citizen has the receipt: forget the code."""
    session.pop("receipt", None)
    flash(_("登记完成,查询码已从本机清除。"), "success")
    return redirect(url_for("opinions.show", opinion_id=opinion_id))


def _issuer(town: Town, station: str) -> str:
    phone = town.stations[station].stated.phone if station in town.stations else ""
    return f"{town.station_name(station)} {phone}".strip()


def _public_site() -> str:
    """Where citizens ask: a station's own address is of no use outside its room, so the hub's is printed."""
    node = desk.node()
    site = node.settings.public_url or hub_url(node) or ""
    return site.rstrip("/")


def _public_address(code: str) -> str:
    site = _public_site()
    return f"{site}{url_for('public.by_link', code=code)}" if site and code else ""


def _qr(content: str) -> str:
    """A data: URI; empty without content."""
    return segno.make(content, error="m", micro=False).svg_data_uri(scale=4, border=2) if content else ""
