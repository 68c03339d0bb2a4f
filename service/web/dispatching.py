"""交办单: the paper that goes with every dispatch. A4, with room for the stamp and for the unit's sign-off."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from flask import Blueprint, render_template
from flask_babel import gettext as _

from service.domain.casework import clock_of
from service.domain.clocks import Clock
from service.domain.opinions import Assignment, Opinion
from service.domain.people import Actor, Secrecy, Step, masked_name, masked_phone, may_see_reporter
from service.domain.refusals import NotFound
from service.store import station_queries
from service.web import desk
from service.web.desk import Look
from service.web.words import N_

pages = Blueprint("dispatching", __name__, url_prefix="/hub")
desk.signed_in_only(pages)


NEXT_STEP = desk.NextStep(
    endpoint="dispatching.latest_note", label=N_("交办单"),
    offered=lambda actor, opinion: any(_may_see(given, actor) for given in opinion.assignments),
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class DispatchNote:
    """What stands on the paper. `answer_to` is what the unit may know of the reporter, and never more."""

    number: str
    reg_no: str
    title: str
    body: str
    wish: str
    area: str
    unit: str
    co_units: tuple[str, ...]
    requirement: str
    duty_basis: str
    route: str
    term: str
    due_on: date | None
    due_at: datetime | None
    provisional: bool
    answer_to: str
    dispatched_at: datetime
    issued_by: str
    letter_no: str
    adopted_by: str
    signed_at: datetime | None
    deemed_signed: bool


@pages.get("/opinions/<opinion_id>/dispatch-note")
def latest_note(opinion_id: str) -> str:
    return _page(opinion_id, None)


@pages.get("/opinions/<opinion_id>/dispatch-note/<int:ordinal>")
def note(opinion_id: str, ordinal: int) -> str:
    return _page(opinion_id, ordinal)


def _page(opinion_id: str, ordinal: int | None) -> str:
    actor = desk.actor()
    actor.require(Step.SEE_OPINIONS)
    with desk.looking() as look:
        opinion = look.opinion(opinion_id, actor)
        assignment = _assignment(opinion, actor, ordinal)
        return render_template(
            "hub/dispatch_note.html", note=_note(look, opinion, assignment, actor), opinion=opinion,
            policy=look.policy,
            others=[one.ordinal for one in opinion.assignments if one is not assignment and _may_see(one, actor)],
        )  # fmt: skip


def _assignment(opinion: Opinion, actor: Actor, ordinal: int | None) -> Assignment:
    """The dispatch asked for, or the newest; a unit finds its own only. Raises NotFound."""
    seen = [one for one in opinion.assignments if _may_see(one, actor) and ordinal in (None, one.ordinal)]
    if not seen:
        raise NotFound("dispatch", str(ordinal or ""))
    return seen[-1]


def _may_see(assignment: Assignment, actor: Actor) -> bool:
    return not actor.of_unit or assignment.unit == actor.unit


def _note(look: Look, opinion: Opinion, given: Assignment, actor: Actor) -> DispatchNote:
    reg, town = opinion.registered, look.town
    assert reg is not None
    clock = clock_of_assignment(look, opinion, given)
    adopted = town.deputies.get(given.adopted_by or "")
    return DispatchNote(
        number=given.dispatch_no, reg_no=reg.reg_no, title=reg.title, body=reg.body, wish=reg.wish,
        area=town.area_name(reg.area), unit=town.unit_name(given.unit),
        co_units=tuple(town.unit_name(code) for code in given.co_units), requirement=given.requirement,
        duty_basis=given.duty_basis, route=given.route, term=given.term,
        due_on=clock.due if clock else None, due_at=clock.due_at if clock else None,
        provisional=bool(clock and clock.provisional), answer_to=answer_to(look, opinion, actor),
        dispatched_at=given.dispatched_at, issued_by=given.by.name, letter_no=given.letter_no,
        adopted_by=adopted.name if adopted else "", signed_at=given.signed_at, deemed_signed=given.deemed_signed,
    )  # fmt: skip


def clock_of_assignment(look: Look, opinion: Opinion, given: Assignment) -> Clock | None:
    """The unit's clock that began with this dispatch."""
    spans = (span for span in opinion.spans if span.kind in ("K2", "K5") and span.started_at == given.dispatched_at)
    span = next(spans, None)
    return clock_of(opinion, span, look.town) if span else None


def answer_to(look: Look, opinion: Opinion, actor: Actor) -> str:
    """答复对象, as far as the unit may know it. Open names are masked on paper: paper is left lying about."""
    reg = opinion.registered
    assert reg is not None
    if reg.secrecy == Secrecy.UNIT.value:
        return _("对承办单位保密。答复交乡镇受理员审核后,由联络站转达来访群众。")
    if reg.secrecy == Secrecy.ANONYMOUS.value or reg.reporter is None:
        return _("未公开姓名。答复交乡镇受理员审核后,群众凭查询码查看。")
    if not may_see_reporter(actor, Secrecy.OPEN, reg.station):
        return _("来访群众(姓名不显示)")
    known = station_queries.reporter(look.connection, desk.node().ledger, desk.node().seal, reg.reporter)
    if not known.readable:
        return _("来访群众(信息已按规定清除)") if known.erased else _("来访群众(姓名不显示)")
    who = f"{masked_name(known.who.name)} {masked_phone(known.who.phone)}".strip()
    return _("%(who)s(全名和电话请在系统内查看,查看留痕)", who=who)
