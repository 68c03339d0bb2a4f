"""意见列表 and 意见详情: what is known of the opinions this actor may see, and what may be done next."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from flask import Blueprint, flash, redirect, render_template, url_for
from flask_babel import gettext as _
from werkzeug.wrappers import Response

from service.actions import erasing
from service.actions.attaching import may_attach
from service.actions.unmasking import masked, may_unmask, unmask
from service.domain import clocks
from service.domain.casework import Standing, all_clocks, standing
from service.domain.clocks import Clock
from service.domain.opinions import OPEN, Opinion, State
from service.domain.people import Actor, Reporter, Step
from service.domain.refusals import Invalid
from service.domain.town import Town
from service.domain.working_days import Computation
from service.store import erased, queries, station_queries
from service.store.queries import OpinionFilter, OpinionRow, Order
from service.store.station_queries import KnownReporter
from service.web import attached, desk, timeline
from service.web.desk import Look, NextStep
from service.web.field_names import shown_as
from service.web.forms import Form
from service.web.words import N_

SIMILAR_WITHIN = timedelta(days=90)

pages = Blueprint("opinions", __name__)
desk.signed_in_only(pages)

NAVIGATION = desk.NavItem(
    endpoint="opinions.index", label=N_("意见列表"), key="l",
    shown=lambda actor: actor.may(Step.SEE_OPINIONS) and not actor.of_unit,
)  # fmt: skip


# --- the list --------------------------------------------------------------------------------------------------

FILTERS = ("text", "state", "category", "area", "station", "urgency", "due", "order", "after")


@pages.get("/opinions")
def index() -> str:
    """Newest first, or by what is due; filters stand in the address, so a filtered list can be kept as a bookmark."""
    desk.actor().require(Step.SEE_OPINIONS)
    form = Form.received(**dict.fromkeys(FILTERS, ""))
    order = Order.DUE if form.raw("order") == Order.DUE or form.raw("due") else Order.NEWEST
    with desk.looking() as look:
        wanted = _wanted(form, look.now)
        found = queries.list_opinions(look.connection, wanted, order=order, after=form.raw("after") or None)
        count = queries.count_opinions(look.connection, wanted)
        given = {name: form.raw(name) for name in FILTERS if form.raw(name) and name != "after"}
        return render_template(
            "station/opinions.html", form=form, rows=found.rows, count=count, town=look.town,
            next_url=url_for("opinions.index", **given, after=found.after), after=found.after,
            first_url=url_for("opinions.index", **given), at_first=not form.raw("after"), states=_state_choices(),
        )  # fmt: skip


def _wanted(form: Form, now: datetime) -> OpinionFilter:
    wanted = OpinionFilter.within(desk.actor()).narrowed(
        text=form.text("text")[:80], category=form.raw("category"), area=form.raw("area"),
        urgency=form.raw("urgency"), states=_states(form.raw("state")), station=form.raw("station") or None,
    )  # fmt: skip
    if form.raw("due") == "overdue":
        return wanted.narrowed(overdue_at=now)
    if form.raw("due") == "soon":
        return wanted.narrowed(due_until=now + timedelta(days=3))
    return wanted


def _states(chosen: str) -> frozenset[State]:
    if chosen == "open":
        return OPEN
    return frozenset({State(chosen)}) if chosen in set(State) else frozenset()


def _state_choices() -> list[str]:
    return [state.value for state in State if state is not State.NEW]


# --- one opinion -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class ReporterBox:
    """What the page says about who reported: `who` is masked unless it was asked for with a reason."""

    secrecy: str
    given: bool
    may_ask: bool
    who: Reporter | None = None
    erased: bool = False
    looks: tuple[station_queries.Look, ...] = ()


@pages.get("/opinions/<opinion_id>")
def show(opinion_id: str) -> str:
    return page(opinion_id, Form.received(caption=""))


def page(opinion_id: str, form: Form) -> str:
    """The page of an opinion. `form` is the one for its attachments, as it came back or empty."""
    actor = desk.actor()
    with desk.looking() as look:
        opinion = look.opinion(opinion_id, actor)
        files = attached.shown(look.connection, opinion)
        gone = erased.cases(look.connection, [opinion.id])
        return render_template("station/opinion.html", form=form, files=files,
                               may_attach=may_attach(actor, opinion) and not gone, attachments_erased=bool(gone),
                               **_known(look, opinion, actor))  # fmt: skip


def _known(look: Look, opinion: Opinion, actor: Actor) -> dict[str, object]:
    assert opinion.registered is not None
    now = standing(opinion, look.town)
    row = queries.opinion(look.connection, opinion.id)
    return {
        "opinion": opinion, "reg": opinion.registered, "town": look.town, "now": look.now, "clock": now.clock,
        "warning": warning(now, look.now), "steps": next_steps(actor, opinion),
        "lines": timeline.lines(opinion, look.town), "reporter": _reporter(look, opinion, actor),
        "similar": _similar(look, row, actor) if row else (),
        "deputy": look.town.deputies.get(opinion.registered.proxy_deputy or ""),
    }  # fmt: skip


def next_steps(actor: Actor, opinion: Opinion) -> list[NextStep]:
    return [step for step in desk.desk().next_steps if step.offered(actor, opinion)]


def warning(now: Standing, at: datetime) -> int | None:
    """The level the rules have reached without the hub's card being here yet; the station warns its own desk."""
    level = now.reached(at)
    fired = max((level for level, _mark in now.fired), default=-1)
    return int(level) if level is not None and level > fired else None


def _similar(look: Look, row: OpinionRow, actor: Actor) -> tuple[OpinionRow, ...]:
    if not row.category:
        return ()
    found = queries.similar_opinions(look.connection, row, since=row.registered_at - SIMILAR_WITHIN)
    return tuple(other for other in found if actor.station in (None, other.station) and not actor.of_unit)


# --- who reported it -------------------------------------------------------------------------------------------


def _reporter(look: Look, opinion: Opinion, actor: Actor) -> ReporterBox:
    registered = opinion.registered
    assert registered is not None
    box = ReporterBox(secrecy=registered.secrecy, given=registered.reporter is not None, may_ask=False)
    if registered.reporter is None or not may_unmask(actor, opinion):
        return box
    node = desk.node()
    known: KnownReporter = station_queries.reporter(look.connection, node.ledger, node.seal, registered.reporter)
    looks = station_queries.looks_at(look.connection, node.ledger, registered.reporter)
    return ReporterBox(
        secrecy=registered.secrecy, given=True, may_ask=known.readable, erased=known.erased, looks=looks,
        who=masked(known.who) if known.readable else None,
    )  # fmt: skip


@pages.route("/opinions/<opinion_id>/reporter", methods=["GET", "POST"])
def reporter(opinion_id: str) -> str | tuple[str, int]:
    """来访人信息: shown once a reason is given, and the look is on record."""
    form, who = Form.received(reason=""), None
    with desk.looking() as look:
        opinion = look.opinion(opinion_id, desk.actor())
    if form.sent:
        with form.guard(), desk.node().unit(desk.actor()) as unit:
            who = unmask(unit, opinion_id, form.text("reason"))
    return render_template("station/reporter.html", opinion=opinion, form=form, who=who), form.status


@pages.post("/opinions/<opinion_id>/reporter/erase")
def erase(opinion_id: str) -> Response | tuple[str, int]:
    """删除个人信息, at the person's own wish; cannot be taken back."""
    form = Form.received()
    with form.guard():
        if not form.flag("sure"):
            raise Invalid("sure")
        with desk.node().unit(desk.actor()) as unit, shown_as(reason="erase_reason"):
            erasing.erase_reporter(unit, opinion_id, form.text("erase_reason"))
        flash(_("个人信息和附件已删除。其他电脑收到后也会删除,并逐一确认。"), "success")
        return redirect(url_for("opinions.show", opinion_id=opinion_id))
    with desk.looking() as look:
        opinion = look.opinion(opinion_id, desk.actor())
    page = render_template("station/reporter.html", opinion=opinion, form=form, who=None)
    return page, form.status


# --- how the dates were computed ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockPage:
    """A clock with its days; `computation` is None without a due date."""

    clock: Clock
    computation: Computation | None
    result: clocks.OnTime | clocks.Overdue | None


@pages.get("/opinions/<opinion_id>/clocks")
def computation(opinion_id: str) -> str:
    """计算过程: every clock the case has had, and the days that were counted and skipped."""
    with desk.looking() as look:
        opinion = look.opinion(opinion_id, desk.actor())
        found = [_clock_page(clock, look.town) for clock in all_clocks(opinion, look.town)]
    return render_template("station/clocks.html", opinion=opinion, clocks=found, town=look.town, now=look.now)


def _clock_page(clock: Clock, town: Town) -> ClockPage:
    hours = town.policy_on(clock.started_at.date()).hours
    return ClockPage(
        clock=clock, computation=clocks.explain(clock, town.calendar, hours),
        result=clocks.result(clock, town.calendar, hours),
    )  # fmt: skip
