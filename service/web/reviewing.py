"""答复审核与重新办理: the hub reads what the unit answered, sends it back or delivers it, and grants reopenings."""

from __future__ import annotations

from flask import Blueprint, flash, redirect, render_template, url_for
from flask_babel import gettext as _
from werkzeug.wrappers import Response

from service.actions import following_up, handling
from service.domain import facts as f
from service.domain.opinion_fold import fits
from service.domain.opinions import Opinion, State
from service.domain.people import Actor, Step
from service.domain.refusals import NotFound
from service.store import queries
from service.store.queries import OpinionFilter, Order
from service.web import desk
from service.web.dispatching import answer_to
from service.web.forms import Form
from service.web.sent_twice import sent_before
from service.web.words import N_

pages = Blueprint("reviewing", __name__, url_prefix="/hub")
desk.signed_in_only(pages)

NAVIGATION = desk.NavItem(
    endpoint="reviewing.waiting", label=N_("答复审核"),
    shown=lambda actor: actor.may(Step.REVIEW_REPLY) or actor.may(Step.REOPEN),
)  # fmt: skip
ROWS_MAX = 100

Page = str | Response | tuple[str, int]


def may_review(actor: Actor, opinion: Opinion) -> bool:
    return actor.may(Step.REVIEW_REPLY) and fits(opinion, f.ReplyDelivered)


def may_reopen(actor: Actor, opinion: Opinion) -> bool:
    return actor.may(Step.REOPEN) and fits(opinion, f.Reopened)


NEXT_STEPS = (
    desk.NextStep(endpoint="reviewing.review", label=N_("答复审核"), offered=may_review, main=True,
                  kinds=(f.ReplyRejected, f.ReplyDelivered)),
    desk.NextStep(endpoint="reviewing.reopen", label=N_("重新办理"), offered=may_reopen, kinds=(f.Reopened,)),
    desk.NextStep(endpoint="reviewing.letter", label=N_("答复函"),
                  offered=lambda actor, opinion: any(reply.reply_no for reply in opinion.replies)),
)  # fmt: skip


@pages.get("/reviews")
def waiting() -> str:
    actor = desk.actor()
    if not actor.may(Step.REOPEN):
        actor.require(Step.REVIEW_REPLY)
    with desk.looking() as look:
        within = OpinionFilter.within(actor)
        replies = within.narrowed(states=frozenset({State.REPLY_REVIEW}))
        asked = within.narrowed(reopen_asked=True)
        return render_template(
            "hub/reviews.html",
            replies=queries.list_opinions(look.connection, replies, order=Order.DUE, limit=ROWS_MAX).rows,
            asked=queries.list_opinions(look.connection, asked, order=Order.DUE, limit=ROWS_MAX).rows,
            may_review=actor.may(Step.REVIEW_REPLY), may_reopen=actor.may(Step.REOPEN),
        )  # fmt: skip


# --- the unit's reply ------------------------------------------------------------------------------------------


@pages.get("/reviews/<opinion_id>")
def review(opinion_id: str) -> Page:
    return _page("hub/review.html", opinion_id, Form.received(), Step.REVIEW_REPLY)


@pages.post("/reviews/<opinion_id>/reject")
def reject(opinion_id: str) -> Page:
    form = Form.received()
    with form.guard():
        with desk.node().unit(desk.actor()) as unit:
            if not sent_before(unit, opinion_id, form, f.ReplyRejected):
                handling.reject_reply(unit, opinion_id, form.text("defects"))
        flash(_("已退回修改,办理时限照常计算。"), "success")
        return redirect(url_for("reviewing.waiting"))
    return _page("hub/review.html", opinion_id, form, Step.REVIEW_REPLY)


@pages.post("/reviews/<opinion_id>/deliver")
def deliver(opinion_id: str) -> Page:
    form = Form.received()
    with form.guard():
        with desk.node().unit(desk.actor()) as unit:
            if not sent_before(unit, opinion_id, form, f.ReplyDelivered):
                handling.deliver_reply(unit, opinion_id, way=form.text("way"), proof=form.text("proof"))
        flash(_("审核通过并已送达。"), "success")
        return redirect(url_for("reviewing.letter", opinion_id=opinion_id))
    return _page("hub/review.html", opinion_id, form, Step.REVIEW_REPLY)


# --- reopening -------------------------------------------------------------------------------------------------


@pages.route("/reopenings/<opinion_id>", methods=["GET", "POST"])
def reopen(opinion_id: str) -> Page:
    form = Form.received()
    if form.sent:
        with form.guard():
            with desk.node().unit(desk.actor()) as unit:
                if not sent_before(unit, opinion_id, form, f.Reopened):
                    following_up.reopen(unit, opinion_id, form.text("reason"))
            flash(_("已重新办理,请尽快再次交办。"), "success")
            return redirect(url_for("opinions.show", opinion_id=opinion_id))
    return _page("hub/reopen.html", opinion_id, form, Step.REOPEN)


def _page(template: str, opinion_id: str, form: Form, step: Step) -> Page:
    actor = desk.actor()
    actor.require(step)
    with desk.looking() as look:
        opinion = look.opinion(opinion_id, actor)
        page = render_template(
            template, opinion=opinion, reg=opinion.registered, form=form, town=look.town,
            answer_to=answer_to(look, opinion, actor),
        )  # fmt: skip
    return page, form.status


# --- 答复函 ----------------------------------------------------------------------------------------------------


@pages.get("/opinions/<opinion_id>/reply-letter")
def letter(opinion_id: str) -> str:
    """The letter of the newest delivered reply, for print."""
    actor = desk.actor()
    actor.require(Step.SEE_OPINIONS)
    with desk.looking() as look:
        opinion = look.opinion(opinion_id, actor)
        delivered = [reply for reply in opinion.replies if reply.reply_no]
        if not delivered:
            raise NotFound("reply", opinion_id)
        return render_template(
            "hub/reply_letter.html", opinion=opinion, reg=opinion.registered, reply=delivered[-1], town=look.town,
            policy=look.policy,
        )  # fmt: skip
