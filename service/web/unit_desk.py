"""承办单位工作台: what a unit has to sign, handle and answer. Its head answers; who reported in secret never shows."""

from __future__ import annotations

from flask import Blueprint, flash, redirect, render_template, url_for
from flask_babel import gettext as _
from werkzeug.wrappers import Response

from service.actions import handling
from service.domain import facts as f
from service.domain.casework import standing
from service.domain.opinion_fold import fits
from service.domain.opinions import WITH_UNIT, Opinion, State
from service.domain.people import Actor, Step
from service.store import queries
from service.store.queries import OpinionFilter, OpinionRow, Order
from service.web import desk, presenting
from service.web.desk import Look
from service.web.field_names import shown_as
from service.web.forms import Form
from service.web.sent_twice import sent_before
from service.web.supervision import BoardLine, board_line
from service.web.words import N_

pages = Blueprint("unit_desk", __name__, url_prefix="/hub/desk")
desk.signed_in_only(pages)

NAVIGATION = desk.NavItem(endpoint="unit_desk.start", label=N_("承办单位工作台"), shown=lambda actor: actor.of_unit)
ROWS_MAX = 100

Page = str | Response | tuple[str, int]


def _own(actor: Actor, opinion: Opinion) -> bool:
    return opinion.assignment is not None and (not actor.of_unit or opinion.assignment.unit == actor.unit)


def may_sign(actor: Actor, opinion: Opinion) -> bool:
    return actor.may(Step.SIGN) and _own(actor, opinion) and fits(opinion, f.Signed)


def may_report(actor: Actor, opinion: Opinion) -> bool:
    return actor.may(Step.REPORT_PROGRESS) and _own(actor, opinion) and fits(opinion, f.Progressed)


def may_reply(actor: Actor, opinion: Opinion) -> bool:
    return actor.may(Step.SUBMIT_REPLY) and _own(actor, opinion) and fits(opinion, f.ReplySubmitted)


NEXT_STEPS = (
    desk.NextStep(endpoint="unit_desk.confirm", label=N_("签收"), offered=may_sign, main=True, kinds=(f.Signed,)),
    desk.NextStep(endpoint="unit_desk.reply", label=N_("填写答复"), offered=may_reply, main=True,
                  kinds=(f.ReplySubmitted,)),
    desk.NextStep(endpoint="unit_desk.progress", label=N_("阶段反馈"), offered=may_report, kinds=(f.Progressed,)),
)  # fmt: skip


@pages.get("")
def start() -> str:
    actor = desk.actor()
    actor.require(Step.SIGN)
    with desk.looking() as look:
        return render_template(
            "hub/unit_desk.html", unit=look.town.unit_name(actor.unit or ""),
            cards=_cards(look, actor.unit or "-"),
            to_sign=_queue(look, State.DISPATCHED), handling=_queue(look, State.HANDLING),
            in_review=_queue(look, State.REPLY_REVIEW), answered=_queue(look, State.REPLIED),
            helping=_helping(look, actor.unit or "-"),
            is_head=actor.may(Step.SUBMIT_REPLY), policy=look.policy,
        )  # fmt: skip


def _cards(look: Look, unit: str) -> list[list[BoardLine]]:
    """What the ladder asks of this unit, one list per case, the highest level first."""
    cases: dict[str, list[BoardLine]] = {}
    for card in queries.cards_awaiting_feedback(look.connection, unit):
        cases.setdefault(card.opinion, []).append(board_line(look, card))
    return list(cases.values())


def _queue(look: Look, state: State) -> tuple[OpinionRow, ...]:
    actor = desk.actor()
    wanted = OpinionFilter.within(actor).narrowed(states=frozenset({state}), unit=actor.unit or "-")
    return queries.list_opinions(look.connection, wanted, order=Order.DUE, limit=ROWS_MAX).rows


def _helping(look: Look, unit: str) -> tuple[OpinionRow, ...]:
    """Open cases another unit handles and this one helps with: to read, the other one answers."""
    wanted = OpinionFilter.within(desk.actor()).narrowed(states=frozenset(WITH_UNIT), co_unit=unit)
    return queries.list_opinions(look.connection, wanted, order=Order.DUE, limit=ROWS_MAX).rows


# --- sign-off --------------------------------------------------------------------------------------------------


@pages.get("/<opinion_id>/sign")
def confirm(opinion_id: str) -> Page:
    return _page("hub/sign.html", opinion_id, Form.received(), Step.SIGN)


@pages.post("/<opinion_id>/sign")
def sign(opinion_id: str) -> Page:
    form = Form.received()
    with form.guard():
        with desk.node().unit(desk.actor()) as unit:
            if not sent_before(unit, opinion_id, form, f.Signed):
                handling.sign(unit, opinion_id)
        flash(_("已签收。"), "success")
        return redirect(url_for("opinions.show", opinion_id=opinion_id))
    return _page("hub/sign.html", opinion_id, form, Step.SIGN)


# --- progress --------------------------------------------------------------------------------------------------


@pages.route("/<opinion_id>/progress", methods=["GET", "POST"])
def progress(opinion_id: str) -> Page:
    form = Form.received()
    if form.sent:
        with form.guard():
            with desk.node().unit(desk.actor()) as unit, shown_as(text="progress"):
                if not sent_before(unit, opinion_id, form, f.Progressed):
                    handling.report_progress(unit, opinion_id, form.text("progress"))
            flash(_("已反馈。"), "success")
            return redirect(url_for("opinions.show", opinion_id=opinion_id))
    return _page("hub/progress.html", opinion_id, form, Step.REPORT_PROGRESS)


# --- reply -----------------------------------------------------------------------------------------------------


@pages.route("/<opinion_id>/reply", methods=["GET", "POST"])
def reply(opinion_id: str) -> Page:
    form = Form.received()
    if form.sent:
        with form.guard():
            with desk.node().unit(desk.actor()) as unit:
                if not sent_before(unit, opinion_id, form, f.ReplySubmitted):
                    handling.submit_reply(unit, opinion_id, _reply_form(form))
                form.settle()
            flash(_("答复已提交,等待乡镇审核。"), "success")
            return redirect(url_for("opinions.show", opinion_id=opinion_id))
    return _page("hub/reply.html", opinion_id, form, Step.SUBMIT_REPLY)


def _reply_form(form: Form) -> handling.ReplyForm:
    return handling.ReplyForm(
        text=form.text("text"), outcome=form.text("outcome"), evidence=form.text("evidence"),
        plan=form.text("plan"), promised_on=form.day("promised_on"), policy_basis=form.text("policy_basis"),
    )  # fmt: skip


def _page(template: str, opinion_id: str, form: Form, step: Step) -> Page:
    actor = desk.actor()
    actor.require(step)
    with desk.looking() as look:
        opinion = look.opinion(opinion_id, actor)
        count = presenting.countdown(standing(opinion, look.town).clock, look.town.calendar, look.now)
        page = render_template(
            template, opinion=opinion, reg=opinion.registered, form=form, town=look.town, count=count,
            said=[entry for entry in opinion.timeline if entry.fits and isinstance(entry.record.fact, f.Progressed)],
        )  # fmt: skip
    return page, form.status
