"""督办: the hub's sweep over what the clocks say is due.

The sweep finds its work by an index and does each case in a unit of its own, so one broken case cannot hold up the
others. It may run twice, late, or at two places: a card is recorded under a key that exists once.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from sqlalchemy import Select, func, select

from service.actions.routing import NotTheHub, load, needed, record, within_reach
from service.domain import facts as f
from service.domain.casework import Standing, standing
from service.domain.escalation import LadderStep, Level, feedback_due, once_key
from service.domain.office_hours import is_working_hours
from service.domain.opinion_fold import fits
from service.domain.opinions import Opinion
from service.domain.people import SYSTEM, Step
from service.domain.refusals import NotFound, Refused
from service.node import Node
from service.store.tables import cards, opinions
from service.store.unit import Unit
from sync.errors import AlreadyRecorded

log = structlog.get_logger(__name__)

CASES_MAX = 500  # of one sweep; the rest is found by the next, a few seconds later


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    """What a sweep did; `failed` cases stay due and are tried again by the next sweep."""

    looked_at: int = 0
    fired: int = 0
    failed: int = 0


def sweep(node: Node) -> Swept:
    """Fire what is due; nothing outside working hours."""
    with node.reading() as connection:
        town, now = node.town(connection), node.now()
        if not is_working_hours(now, town.calendar, town.policy_on(now.date()).hours):
            return Swept()
        due = [str(key) for key in connection.execute(_due(now)).scalars()]
    outcomes = [_try_one(node, opinion_id) for opinion_id in due]
    fired = [count for count in outcomes if count is not None]
    return Swept(looked_at=len(due), fired=sum(fired), failed=len(outcomes) - len(fired))


def _due(now: datetime) -> Select[tuple[str]]:
    at = opinions.c.next_step_at
    return select(opinions.c.id).where(at.is_not(None), at <= now).order_by(at).limit(CASES_MAX)


def _try_one(node: Node, opinion_id: str) -> int | None:
    """Cards fired for this case; None when it failed, with the reason in the log."""
    try:
        with node.unit(SYSTEM) as unit:
            return escalate(unit, opinion_id)
    except AlreadyRecorded:
        return 0  # another sweep was faster
    except Exception:
        log.exception("escalation.case_failed", opinion=opinion_id)
        return None


def escalate(unit: Unit, opinion_id: str) -> int:
    """Do what is due for one case: deem signed, grant a reopening, fire the ladder's steps. Gives the cards fired."""
    unit.actor.require(Step.FIRE_CARD)
    opinion = unit.opinion(opinion_id)
    now = standing(opinion, unit.town)
    if now.deem_at is not None and now.deem_at <= unit.now and fits(opinion, f.Signed):
        record(unit, opinion, f.Signed(deemed=True))
    if now.reopen_at is not None and now.reopen_at <= unit.now and opinion.reopen_asked is not None:
        record(unit, opinion, f.Reopened(reason=opinion.reopen_asked.reason, automatic=True))
        return 0
    steps = now.due_steps(unit.now, unit.town, unit.policy)
    for step in steps:
        _fire(unit, opinion, now, step)
    if any(step.level is Level.YELLOW for step in steps):
        return len(steps) + _red_by_count(unit, opinion, now, steps)
    return len(steps)


def _fire(unit: Unit, opinion: Opinion, now: Standing, step: LadderStep) -> None:
    assert now.clock is not None
    due = now.clock.due
    overdue = unit.town.calendar.overdue(due, unit.today).days if due is not None else 0
    fact = f.CardFired(
        clock=now.clock_id, level=int(step.level), mark=step.mark, reason=step.reason_code,
        doc_no=unit.next_number(f"DB-{unit.today.year}") if step.level >= Level.URGING else "",
        addressees=_addressees(unit, opinion, now, step), overdue_days=max(0, overdue),
        feedback_due=feedback_due(step.level, unit.now, unit.policy, unit.town.calendar),
    )  # fmt: skip
    record(unit, opinion, fact, once=once_key(now.clock_id, step.key))


def _addressees(unit: Unit, opinion: Opinion, now: Standing, step: LadderStep) -> tuple[str, ...]:
    """Roles by policy, bound to this case's unit and station: `unit_head:water`, `chief:qd`, `clerk`."""
    assert opinion.registered is not None
    handling = opinion.assignment.unit if opinion.assignment else ""
    places = {"handler": handling, "unit_head": handling, "chief": opinion.registered.station,
              "deputy": opinion.registered.proxy_deputy or ""}  # fmt: skip
    roles = unit.policy.addressees(now.track, int(step.level))
    return tuple(f"{role}:{places[role]}" if places.get(role) else role for role in roles)


def _red_by_count(unit: Unit, opinion: Opinion, now: Standing, steps: tuple[LadderStep, ...]) -> int:
    """A unit's second yellow card within the policy's window is a red card as well."""
    needed = unit.policy.ladders.of(now.track).red_yellow_cards
    red = LadderStep(level=Level.RED, at=unit.now, reason_code="yellow_cards")
    if not needed or red.key in now.fired or any(step.level is Level.RED for step in steps):
        return 0
    if _yellow_cards_before(unit, opinion) + 1 < needed:
        return 0
    _fire(unit, opinion, now, red)
    return 1


def _yellow_cards_before(unit: Unit, opinion: Opinion) -> int:
    since = unit.now - timedelta(days=unit.policy.limits.yellow_card_days)
    handling = opinion.assignment.unit if opinion.assignment else ""
    query = select(func.count()).where(
        cards.c.unit == handling, cards.c.level == int(Level.YELLOW), cards.c.fired_at >= since,
        cards.c.revoked.is_(False), cards.c.opinion != opinion.id,
    )  # fmt: skip
    return unit.connection.execute(query).scalar_one()


def answer_card(unit: Unit, opinion_id: str, clock: str, level: int, text: str) -> None:
    """督办反馈, by the unit."""
    unit.actor.require(Step.ANSWER_CARD)
    opinion = unit.opinion(opinion_id)
    within_reach(unit, opinion)
    _card(opinion, clock, level)
    record(unit, opinion, f.CardAnswered(clock=clock, level=level, text=needed("text", text)))


def revoke_card(unit: Unit, opinion_id: str, clock: str, level: int, reason: str) -> None:
    """撤销督办(说明原因), by the chair; the record stays."""
    if not unit.is_hub:
        raise NotTheHub
    unit.actor.require(Step.REVOKE_CARD)
    opinion = unit.opinion(opinion_id)
    _card(opinion, clock, level)
    record(unit, opinion, f.CardRevoked(clock=clock, level=level, reason=needed("reason", reason)))


def select_key_item(unit: Unit, opinion_id: str, reason: str) -> None:
    """选定重点督办: the presidium takes the case up itself."""
    if not unit.is_hub:
        raise NotTheHub
    opinion = load(unit, opinion_id, Step.SELECT_KEY, f.KeySelected)
    record(unit, opinion, f.KeySelected(reason=needed("reason", reason)))


def _card(opinion: Opinion, clock: str, level: int) -> None:
    if not any(card.clock == clock and card.level == level for card in opinion.cards):
        raise NotFound("card", f"{clock}:{level}")
    if any(card.clock == clock and card.level == level and card.revoked for card in opinion.cards):
        raise Refused("card_revoked")
