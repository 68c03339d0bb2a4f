"""县级枢纽: what the county's office sees of its townships: counts, and how fresh they are. No case, no name."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask_babel import gettext as _
from werkzeug.wrappers import Response

from service.actions import gathering
from service.domain import facts as f
from service.domain.people import Actor, Step
from service.domain.summing import Month, total
from service.domain.town import Town
from service.store import aside_queries, sums_queries
from service.web import account_pages, computers, desk, hub, records_aside
from service.web.desk import Look
from service.web.forms import Form
from service.web.peer_lines import PeerLine, looked_up, standing
from service.web.words import N_
from sync import peers
from sync.peers import Contact, Peer

MONTHS_SHOWN = 13
NOTICES_SHOWN = 10

pages = Blueprint("county", __name__, url_prefix="/county")
desk.signed_in_only(pages)


def _may_see(actor: Actor) -> bool:
    return actor.may(Step.SEE_OPINIONS) or actor.may(Step.ENROL_NODE)


NAVIGATION = (desk.NavItem(endpoint="county.board", label=N_("各镇情况"), shown=_may_see), account_pages.NAVIGATION)
BLUEPRINTS = (pages, computers.pages, records_aside.pages, account_pages.pages)

sync_blueprint = hub.sync_blueprint

Page = str | Response | tuple[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class TownshipLine(PeerLine):
    """One computer of one township's hub, or a township without any."""

    township: f.AreaStated


def lines(town: Town, known: list[Peer], contacts: dict[str, Contact], now: datetime) -> list[TownshipLine]:
    """All townships, what alarms first; a computer that was replaced is left out. Pure."""
    found = []
    for code, township in gathering.townships(town).items():
        bare = TownshipLine(township=township)
        here = [peer for peer in known if peer.name == code and peer.revoked_after is None]
        found += [standing(bare, town, p, contacts.get(p.node, Contact(peer=p.node)), now) for p in here] or [bare]
    return sorted(found, key=lambda line: (*line.urgency, line.township.code))


@pages.get("")
def board() -> Page:
    return _board(Form.received())


@pages.post("/townships")
def add_township() -> Page:
    form = Form.received()
    with form.guard():
        with desk.node().unit(desk.actor()) as unit:
            gathering.state_township(unit, form.text("township"), form.text("township_name"))
        flash(_("已保存。请在“接入”栏为该镇生成接入码。"), "success")
        return redirect(url_for("county.board"))
    return _board(form)


@pages.post("/notices")
def publish() -> Page:
    form = Form.received()
    with form.guard():
        with desk.node().unit(desk.actor()) as unit:
            gathering.publish_notice(unit, form.text("notice_title"), form.text("notice_text"))
        flash(_("已发布,各镇枢纽下次联系时收到。"), "success")
        return redirect(url_for("county.board"))
    return _board(form)


def _board(form: Form) -> Page:
    actor = desk.actor()
    if not _may_see(actor):
        actor.require(Step.SEE_OPINIONS)
    with desk.looking() as look:
        month = Month.parse(request.args.get("month", "")) or Month.of(look.today)
        sums = sums_queries.sums_in(look.connection, str(month))
        known = sums_queries.months(look.connection, limit=MONTHS_SHOWN)
        page = render_template(
            "hub/county.html", form=form, lines=_lines(look), month=str(month), sums=sums,
            townships=gathering.townships(look.town),
            months=sorted({*known, str(month)}, reverse=True), total=total(row.sums for row in sums.values()),
            reported=len(sums), figures=_FIGURES,
            notices=sums_queries.last_notices(look.connection, limit=NOTICES_SHOWN),
            silent_wd=look.policy.limits.silent_wd, may_enrol=actor.may(Step.ENROL_NODE),
            may_edit=actor.may(Step.EDIT_MASTER_DATA), may_carry=actor.may(Step.CARRY_STICK),
            may_judge=actor.may(Step.JUDGE_RECORD), aside=aside_queries.count(look.connection, desk.node().ledger),
        )  # fmt: skip
    return page, form.status


# Shown as they are; rating and coverage have columns of their own, a part beside its whole.
_FIGURES = (
    "stations_open", "receptions_held", "reception_visitors", "opinions_received", "answered_on_time", "answered_late",
    "open_in_term", "open_overdue",
)  # fmt: skip


def _lines(look: Look) -> list[TownshipLine]:
    known, contacts = peers.all_peers(look.connection), peers.contacts(look.connection)
    return looked_up(look, lines(look.town, known, contacts, look.now))
