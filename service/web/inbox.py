"""待筛选: what came in and waits for a way, and the page on which one decides which way it goes.

The page offers what this actor may do here and no more; whoever sends a form all the same is refused by the action.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, timedelta

from flask import Blueprint, flash, redirect, render_template, url_for
from flask_babel import gettext as _
from werkzeug.wrappers import Response

from service.actions import routing
from service.domain import facts as f
from service.domain.casework import standing
from service.domain.opinion_fold import fits
from service.domain.opinions import Opinion, State
from service.domain.people import Actor, Role, Step
from service.domain.refusals import NotFound
from service.domain.town import Town
from service.domain.working_days import Term
from service.store import queries
from service.store.queries import OpinionFilter, OpinionRow, Order
from service.store.unit import Unit
from service.web import desk, presenting
from service.web.desk import Look
from service.web.forms import Form
from service.web.sent_twice import sent_before
from service.web.words import N_

pages = Blueprint("inbox", __name__, url_prefix="/hub")
desk.signed_in_only(pages)

NAVIGATION = desk.NavItem(endpoint="inbox.waiting", label=N_("待筛选"), shown=lambda actor: actor.may(Step.DISPATCH))
SIMILAR_DAYS = 60
ROWS_MAX = 100

Page = str | Response | tuple[str, int]


# --- the ways an opinion can go ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One of the four routes. `act` runs inside a unit of work; `kind` is the fact that must fit the state."""

    code: str
    label: str
    step: Step
    kind: type[f.Fact]
    act: Callable[[Unit, str, Form], None]

    @property
    def kinds(self) -> tuple[type[f.Fact], ...]:
        """Facts by which a form that was sent twice is known."""
        return (f.RoutedDirect, f.Answered) if self.kind is f.RoutedDirect else (self.kind,)

    def open_to(self, actor: Actor, opinion: Opinion) -> bool:
        if not actor.may(self.step) or not fits(opinion, self.kind):
            return False
        if self.kind is not f.Dispatched:
            return True
        assert opinion.registered is not None
        return not opinion.registered.sensitive and (opinion.reopened < 2 or actor.role is Role.CHAIR)


def _answer(unit: Unit, opinion_id: str, form: Form) -> None:
    if form.raw("when") == "later":
        routing.route_direct(unit, opinion_id, form.text("basis"))
        return
    routing.answer(unit, opinion_id, text=form.text("text"), outcome=form.text("outcome"), way=form.text("way"))


def _dispatch(unit: Unit, opinion_id: str, form: Form) -> None:
    routing.dispatch(unit, opinion_id, _dispatch_form(form))


def _transfer(unit: Unit, opinion_id: str, form: Form) -> None:
    routing.transfer(unit, opinion_id, _dispatch_form(form))


def _dispatch_form(form: Form) -> routing.Dispatch:
    return routing.Dispatch(
        unit=form.text("unit"), requirement=form.text("requirement"), duty_basis=form.text("duty_basis"),
        co_units=form.many("co_units"), is_complex=form.flag("is_complex"), important=form.flag("important"),
        widespread=form.flag("widespread"), hard=form.flag("hard"), adopted_by=form.text("adopted_by"),
        letter_no=form.text("letter_no"),
    )  # fmt: skip


def _explain(unit: Unit, opinion_id: str, form: Form) -> None:
    routing.explain(
        unit, opinion_id, reason=form.text("reason"), channel=form.text("channel"), talk=form.text("talk"),
        confirmed=form.flag("confirmed"), attempts=form.number("attempts"),
    )  # fmt: skip


WAYS = (
    Way(code="assign", label=N_("交办办理"), step=Step.DISPATCH, kind=f.Dispatched, act=_dispatch),
    Way(code="transfer", label=N_("依法转交"), step=Step.TRANSFER, kind=f.Dispatched, act=_transfer),
    Way(code="direct", label=N_("直接答复"), step=Step.ROUTE_DIRECT, kind=f.RoutedDirect, act=_answer),
    Way(code="explain", label=N_("解释说明"), step=Step.EXPLAIN, kind=f.Explained, act=_explain),
)


def may_screen(actor: Actor, opinion: Opinion) -> bool:
    """Whether the screening page has anything to offer this actor now."""
    return actor.may(Step.DISPATCH) and any(way.open_to(actor, opinion) for way in WAYS)


NEXT_STEP = desk.NextStep(
    endpoint="inbox.screen", label=N_("筛选分流"), offered=may_screen, main=True,
    kinds=(f.Dispatched, f.RoutedDirect, f.Answered, f.Explained),
)  # fmt: skip


# --- pages -----------------------------------------------------------------------------------------------------


@pages.get("/inbox")
def waiting() -> Page:
    desk.actor().require(Step.DISPATCH)
    with desk.looking() as look:
        return render_template(
            "hub/inbox.html",
            registered=_queue(look, State.REGISTERED), reopened=_queue(look, State.REOPENED),
            direct=_queue(look, State.DIRECT), rows_max=ROWS_MAX,
        )  # fmt: skip


def _queue(look: Look, state: State) -> tuple[OpinionRow, ...]:
    wanted = OpinionFilter.within(desk.actor()).narrowed(states=frozenset({state}))
    return queries.list_opinions(look.connection, wanted, order=Order.DUE, limit=ROWS_MAX).rows


@pages.get("/screening/<opinion_id>")
@pages.get("/screening/<opinion_id>/<way_code>")
def screen(opinion_id: str, way_code: str = "") -> Page:
    return _page(opinion_id, way_code, Form.received(attempts="2", when="now"))


@pages.post("/screening/<opinion_id>/<way_code>")
def decide(opinion_id: str, way_code: str) -> Page:
    way = _way(way_code)
    form = Form.received()
    with form.guard():
        with desk.node().unit(desk.actor()) as unit:
            if not sent_before(unit, opinion_id, form, *way.kinds):
                way.act(unit, opinion_id, form)
            form.settle()
        flash(_("已办理:%(way)s。", way=_(way.label)), "success")
        return redirect(_after(opinion_id, way))
    return _page(opinion_id, way_code, form)


def _after(opinion_id: str, way: Way) -> str:
    """A dispatch leads to its paper form, anything else back to what still waits."""
    if way.kind is f.Dispatched:
        return url_for("dispatching.latest_note", opinion_id=opinion_id)
    return url_for("inbox.waiting")


def _way(code: str) -> Way:
    found = next((way for way in WAYS if way.code == code), None)
    if found is None:
        raise NotFound("route", code)
    return found


def _page(opinion_id: str, way_code: str, form: Form) -> Page:
    actor = desk.actor()
    actor.require(Step.DISPATCH)
    with desk.looking() as look:
        opinion = look.opinion(opinion_id, actor)
        ways = [way for way in WAYS if way.open_to(actor, opinion)]
        hints = _hints(look, opinion)
        if not form.sent:
            form.typed.setdefault("unit", hints.unit)
        chosen = next((way for way in ways if way.code == (way_code or hints.route)), ways[0] if ways else None)
        page = render_template(
            "hub/screening.html", opinion=opinion, reg=opinion.registered, ways=ways, chosen=chosen, form=form,
            hints=hints, town=look.town, reasons=_reasons(look.town, actor), terms=_terms(look, opinion),
            similar_days=SIMILAR_DAYS,
            count=presenting.countdown(standing(opinion, look.town).clock, look.town.calendar, look.now),
        )  # fmt: skip
    return page, form.status


def _reasons(town: Town, actor: Actor) -> list[tuple[str, str]]:
    """不宜转交 reasons this actor may give, with the channel that goes with each."""
    return [
        (reason.code, f"{reason.code} {reason.name}")
        for reason in town.reasons.values()
        if reason.kind == "not_passed_on"
        and (actor.role is Role.CHAIR or reason.code not in routing.CHAIR_ONLY_REASONS)
    ]


# --- hints -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Hints:
    """What speaks for which route, in the order of the route test. Advice only: a person decides."""

    similar: tuple[OpinionRow, ...]
    locked: bool
    many_people: bool
    many_reports: bool
    unit: str

    @property
    def route(self) -> str:
        if self.locked:
            return "explain"
        return "transfer" if self.many_people or self.many_reports else "assign"


def _hints(look: Look, opinion: Opinion) -> Hints:
    reg = opinion.registered
    row = queries.opinion(look.connection, opinion.id)
    assert reg is not None
    assert row is not None
    since = look.now - timedelta(days=SIMILAR_DAYS)
    similar = queries.similar_opinions(look.connection, row, since=since) if reg.category else ()
    limits, category = look.policy.limits, look.town.categories.get(reg.category)
    return Hints(
        similar=similar, locked=reg.sensitive, many_people=reg.affected >= limits.transfer_people,
        many_reports=len(similar) + 1 >= limits.transfer_reports, unit=category.unit_hint if category else "",
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class TermHint:
    """What a choice on the form means: the term, and the day it would end if dispatched today."""

    term: str
    due_on: date
    provisional: bool


def _terms(look: Look, opinion: Opinion) -> dict[str, TermHint]:
    """The term of every choice, so that nobody has to count on fingers."""
    policy = look.policy
    plain = routing.Dispatch(unit="", requirement="", duty_basis="")
    terms = {
        "assign": routing.assign_term(policy, opinion, is_complex=False),
        "complex": routing.assign_term(policy, opinion, is_complex=True),
        "transfer": routing.transfer_term(policy, opinion, plain),
        "adopted": routing.transfer_term(policy, opinion, replace(plain, adopted_by="-")),
        "hard": routing.transfer_term(policy, opinion, replace(plain, hard=True)),
    }
    return {code: _term_hint(look, term) for code, term in terms.items()}


def _term_hint(look: Look, term: Term) -> TermHint:
    due = look.town.calendar.due(look.today, term)
    return TermHint(term=str(term), due_on=due.day, provisional=due.provisional)
