"""回访与办结 (T22, T23): ask the citizen, take the rating, close, or open again."""

from __future__ import annotations

from dataclasses import dataclass

from service.actions.routing import NotTheHub, chosen, load, needed, record, within_reach
from service.domain import facts as f
from service.domain.office_hours import local_date
from service.domain.opinions import Opinion, State
from service.domain.people import Role, Step
from service.domain.refusals import Invalid, NotAllowed, NotFound, Refused
from service.store.unit import Unit

RATINGS = ("satisfied", "fair", "dissatisfied")
CONTACT_WAYS = ("phone", "face", "sms", "online")


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowUpForm:
    """回访: one attempt. Rating and `solved` only when somebody was reached."""

    way: str
    reached: bool
    solved: bool | None = None
    rating: str = ""
    reason: str = ""
    note: str = ""


def follow_up(unit: Unit, opinion_id: str, form: FollowUpForm) -> None:
    """Record an attempt and what the citizen said. 不满意 with a reason, or 未解决, opens the case again."""
    opinion = load(unit, opinion_id, Step.FOLLOW_UP, f.FollowedUp)
    _not_the_handler(unit, opinion)
    _check_follow_up(form)
    fact = f.FollowedUp(way=form.way, reached=form.reached, solved=form.solved, note=form.note.strip())
    record(unit, opinion, fact)
    if form.reached and form.rating:
        record(unit, opinion, f.Rated(overall=form.rating, reason=form.reason.strip()))
    if form.reached and (form.solved is False or form.rating == "dissatisfied"):
        _ask(unit, opinion, "citizen", form.reason.strip() or form.note.strip(), automatic=True)


def _check_follow_up(form: FollowUpForm) -> None:
    chosen("way", form.way, CONTACT_WAYS)
    if not form.reached:
        return
    if form.solved is None:
        raise Invalid("solved")
    if form.rating:
        chosen("rating", form.rating, RATINGS)
    if form.rating == "dissatisfied":
        needed("reason", form.reason)


def close(unit: Unit, opinion_id: str, note: str = "") -> None:
    """回访办结 (T22): after somebody was reached, or after two failed attempts on different days."""
    opinion = load(unit, opinion_id, Step.CLOSE, f.Closed)
    _not_the_handler(unit, opinion)
    reached = any(fact.reached for at, fact in opinion.follow_ups
                  if opinion.delivered_at is None or at >= opinion.delivered_at)  # fmt: skip
    if not reached and opinion.failed_attempt_days() < 2:
        raise Refused("follow_up_first")
    if opinion.reopen_asked is not None:
        raise Refused("reopen_pending")
    record(unit, opinion, f.Closed(note=note.strip()))


def rate_by_code(unit: Unit, opinion_id: str, *, overall: str, reason: str) -> None:
    """A citizen rates with the tracking code; the code is the authority, the actor is the node itself."""
    opinion = unit.opinion(opinion_id)
    if opinion.state not in (State.REPLIED, State.CLOSED, State.EXPLAINED):
        raise Refused("not_yet_replied")
    chosen("overall", overall, RATINGS)
    if overall == "dissatisfied":
        needed("reason", reason, 1000)
    record(unit, opinion, f.Rated(overall=overall, reason=reason.strip()))
    if overall == "dissatisfied" and opinion.state is State.REPLIED:
        _ask(unit, opinion, "citizen", reason.strip(), automatic=True)


def ask_reopen(unit: Unit, opinion_id: str, reason: str, *, by_code: bool = False) -> None:
    """申请重新办理 (T23): a citizen by code, or a deputy or liaison officer for them."""
    if not by_code:
        unit.actor.require(Step.ASK_REOPEN)
    opinion = unit.opinion(opinion_id)
    if not by_code:
        within_reach(unit, opinion)
    if opinion.state not in (State.REPLIED, State.CLOSED, State.EXPLAINED):
        raise Refused("not_yet_replied")
    _within_window(unit, opinion)
    by = "deputy" if unit.actor.role is Role.DEPUTY else "citizen"
    _ask(unit, opinion, by, needed("reason", reason, 1000), automatic=False)


def reopen(unit: Unit, opinion_id: str, reason: str) -> None:
    """重新办理 (T23): the hub grants it; a new clock opens, the old result stays."""
    if not unit.is_hub:
        raise NotTheHub
    opinion = load(unit, opinion_id, Step.REOPEN, f.Reopened)
    record(unit, opinion, f.Reopened(reason=needed("reason", reason)))


def _ask(unit: Unit, opinion: Opinion, by: str, reason: str, *, automatic: bool) -> None:
    record(unit, opinion, f.ReopenRequested(by=by, reason=reason))
    if automatic and unit.is_hub:
        record(unit, opinion, f.Reopened(reason=reason, automatic=True))


def _within_window(unit: Unit, opinion: Opinion) -> None:
    if opinion.delivered_at is None:
        raise NotFound("reply", opinion.id)
    delivered = local_date(opinion.delivered_at, unit.policy.hours)
    last = unit.town.calendar.due(delivered, unit.policy.terms.reopen_window).day
    if unit.today > last:
        raise Refused("reopen_window_over", None, last=last.isoformat())


def _not_the_handler(unit: Unit, opinion: Opinion) -> None:
    """Who handled the matter does not ask whether it was handled well."""
    if unit.actor.of_unit or (unit.actor.role is Role.CHIEF and opinion.route == "direct"
                              and opinion.reply is not None
                              and opinion.reply.by.account == unit.actor.account):  # fmt: skip
        raise NotAllowed("own_case", unit.actor.role.value)
