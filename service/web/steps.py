"""What a desk does with an opinion: answer, explain, follow up, ask to reopen, close. One view, one template each.

The form remembers when it was opened. Sent twice, the second finds that the same account has recorded that very step
meanwhile, and leads on instead of recording it again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from flask import Blueprint, abort, flash, redirect, render_template, url_for
from flask_babel import gettext as _
from werkzeug.wrappers import Response

from service.actions import following_up, routing
from service.domain import facts as f
from service.domain.opinion_fold import fits
from service.domain.opinions import Opinion, State
from service.domain.people import Actor, Role, Step
from service.domain.refusals import WrongState
from service.store.unit import Unit
from service.web import desk
from service.web.desk import NextStep
from service.web.forms import Form
from service.web.words import N_

pages = Blueprint("steps", __name__)
desk.signed_in_only(pages)

ENDPOINT = "steps.take"


@dataclass(frozen=True, slots=True, kw_only=True)
class StepPage:
    """`act` reads the form and calls one action; `kinds` are the facts by which a second sending is known."""

    name: str
    label: str
    step: Step
    act: Callable[[Unit, str, Form], object]
    offered: Callable[[Actor, Opinion], bool]
    kinds: tuple[type[f.Fact], ...]
    defaults: Mapping[str, str] = field(default_factory=dict)

    @property
    def template(self) -> str:
        return f"steps/{self.name}.html"

    def as_next_step(self) -> NextStep:
        return NextStep(
            endpoint=ENDPOINT, values={"name": self.name}, label=self.label, offered=self.offered, kinds=self.kinds
        )


@pages.route("/opinions/<opinion_id>/steps/<name>", methods=["GET", "POST"])
def take(opinion_id: str, name: str) -> Response | tuple[str, int]:
    step = PAGES.get(name) or abort(404)
    form = Form.received(**step.defaults)
    desk.actor().require(step.step)
    with desk.looking() as look:
        opinion = look.opinion(opinion_id, desk.actor())
    if not form.sent and not step.offered(desk.actor(), opinion):
        raise WrongState(step.name, opinion.state.value)
    if form.sent:
        with form.guard():
            flash(_take(step, opinion_id, form), "success")
            return redirect(url_for("opinions.show", opinion_id=opinion_id))
    opened = form.raw("opened") or str(look.now.timestamp())
    page = render_template(step.template, form=form, opinion=opinion, step=step, town=look.town, opened=opened)
    return page, form.status


def _take(step: StepPage, opinion_id: str, form: Form) -> str:
    """What to say afterwards."""
    with desk.node().unit(desk.actor()) as unit:
        if taken_before(unit.opinion(opinion_id), step.kinds, form.raw("opened"), unit.actor.account):
            return _("这一步已经保存过,没有重复记录。")
        step.act(unit, opinion_id, form)
        form.settle()
    return _("已保存: %(step)s", step=_(step.label))


def taken_before(opinion: Opinion, kinds: tuple[type[f.Fact], ...], opened: str, account: str) -> bool:
    """Whether this account has recorded one of these facts since the form was opened (seconds since 1970)."""
    try:
        since = float(opened)
    except ValueError:
        return False
    return any(
        isinstance(entry.record.fact, kinds) and entry.record.author.account == account
        and _seconds(entry.record.occurred_at) >= since
        for entry in opinion.timeline
    )  # fmt: skip


def _seconds(at: datetime) -> float:
    return at.timestamp()


# --- the steps ---------------------------------------------------------------------------------------------------


def _answer(unit: Unit, opinion_id: str, form: Form) -> None:
    routing.answer(unit, opinion_id, text=form.text("text"), outcome=form.raw("outcome"), way=form.raw("way"))


def _route_direct(unit: Unit, opinion_id: str, form: Form) -> None:
    routing.route_direct(unit, opinion_id, form.text("basis"))


def _explain(unit: Unit, opinion_id: str, form: Form) -> None:
    routing.explain(
        unit, opinion_id, reason=form.raw("reason"), channel=form.text("channel"), talk=form.text("talk"),
        confirmed=form.flag("confirmed"), attempts=form.number("attempts"),
    )  # fmt: skip


def _follow_up(unit: Unit, opinion_id: str, form: Form) -> None:
    reached = form.yes_no("reached")
    following_up.follow_up(unit, opinion_id, following_up.FollowUpForm(
        way=form.raw("way"), reached=bool(reached), solved=form.yes_no("solved"), rating=form.raw("rating"),
        reason=form.text("reason"), note=form.text("note"),
    ))  # fmt: skip


def _ask_reopen(unit: Unit, opinion_id: str, form: Form) -> None:
    following_up.ask_reopen(unit, opinion_id, form.text("reason"))


def _close(unit: Unit, opinion_id: str, form: Form) -> None:
    following_up.close(unit, opinion_id, form.text("note"))


# --- when they are offered ---------------------------------------------------------------------------------------


def _when(step: Step, kind: type[f.Fact]) -> Callable[[Actor, Opinion], bool]:
    return lambda actor, opinion: actor.may(step) and fits(opinion, kind)


def _may_answer(actor: Actor, opinion: Opinion) -> bool:
    """On the spot from 已登记 by who may route; from 待直接答复 by a deputy, too."""
    if opinion.state is State.DIRECT:
        return actor.may(Step.ANSWER)
    return opinion.state is State.REGISTERED and actor.may(Step.ANSWER) and actor.may(Step.ROUTE_DIRECT)


def _may_ask_reopen(actor: Actor, opinion: Opinion) -> bool:
    if actor.role not in (Role.DEPUTY, Role.LIAISON, Role.CHIEF):
        return False  # the hub decides such wishes, it does not utter them
    return actor.may(Step.ASK_REOPEN) and fits(opinion, f.ReopenRequested) and opinion.reopen_asked is None


PAGES = {
    page.name: page
    for page in (
        StepPage(
            name="follow-up", label=N_("回访"), step=Step.FOLLOW_UP, act=_follow_up, kinds=(f.FollowedUp,),
            offered=_when(Step.FOLLOW_UP, f.FollowedUp), defaults={"way": "phone", "reached": "yes"},
        ),
        StepPage(
            name="close", label=N_("办结"), step=Step.CLOSE, act=_close, kinds=(f.Closed,),
            offered=_when(Step.CLOSE, f.Closed),
        ),
        StepPage(
            name="answer", label=N_("直接答复"), step=Step.ANSWER, act=_answer, kinds=(f.Answered,),
            offered=_may_answer, defaults={"way": "face"},
        ),
        StepPage(
            name="route-direct", label=N_("列为直接答复"), step=Step.ROUTE_DIRECT, act=_route_direct,
            kinds=(f.RoutedDirect,), offered=_when(Step.ROUTE_DIRECT, f.RoutedDirect),
        ),
        StepPage(
            name="explain", label=N_("解释说明"), step=Step.EXPLAIN, act=_explain, kinds=(f.Explained,),
            offered=_when(Step.EXPLAIN, f.Explained), defaults={"attempts": "0"},
        ),
        StepPage(
            name="ask-reopen", label=N_("申请重新办理"), step=Step.ASK_REOPEN, act=_ask_reopen,
            kinds=(f.ReopenRequested,), offered=_may_ask_reopen,
        ),
    )
}  # fmt: skip
NEXT_STEPS = tuple(page.as_next_step() for page in PAGES.values())
