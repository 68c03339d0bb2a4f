"""Where a case stands against its clocks: the facts' spans read with the town's calendar and policy.

`standing` is what the read tables, the pages and the sweep ask. It depends on the facts and the master data alone,
never on the present moment, so that a rebuilt table equals the live one.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time
from weakref import WeakKeyDictionary

from service.domain import clocks
from service.domain import facts as f
from service.domain.clocks import Clock, ClockKind, Segment
from service.domain.escalation import (
    LadderFacts,
    LadderStep,
    Level,
    StepKey,
    due_levels,
    ladder,
    next_step_at,
    track_of,
)
from service.domain.office_hours import local_date, opening
from service.domain.opinions import Opinion, Span, State
from service.domain.policy import Policy, Track
from service.domain.town import Town
from service.domain.working_days import REMEMBERED_MAX, Term, WorkCalendar

_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """The clock that urges somebody now (None when only K0 runs, or nothing does) and its ladder.

    `next_step_at` is when the hub's sweep must look again; `deem_at` when an unsigned dispatch counts as signed;
    `reopen_at` when a dissatisfied citizen's wish to reopen is to be granted.
    """

    clock: Clock | None = None
    track: Track = Track.DESK
    steps: tuple[LadderStep, ...] = ()
    fired: frozenset[StepKey] = frozenset()
    deem_at: datetime | None = None
    reopen_at: datetime | None = None

    @property
    def clock_id(self) -> str:
        return self.clock.id if self.clock else ""

    @property
    def kind(self) -> str:
        return self.clock.kind.value if self.clock else ""

    @property
    def due_on(self) -> date | None:
        return self.clock.due if self.clock else None

    @property
    def due_at(self) -> datetime | None:
        return self.clock.due_at if self.clock else None

    @property
    def provisional(self) -> bool:
        return self.clock.provisional if self.clock else False

    @property
    def next_step_at(self) -> datetime | None:
        """Earliest of all that waits. A reminder is out of date once a later step of the clock has fired."""
        waiting = (self._next_rung_at(), self.deem_at, self.reopen_at)
        return min((at for at in waiting if at is not None), default=None)

    def _next_rung_at(self) -> datetime | None:
        if not self.fired:  # nearly every case: all steps wait, and they are in order
            return self.steps[0].at if self.steps else None
        seen = max((step.at for step in self.steps if step.key in self.fired), default=_LONG_AGO)
        return next_step_at(self.steps, self.fired, seen)

    def due_steps(self, now: datetime, town: Town, policy: Policy) -> tuple[LadderStep, ...]:
        """Steps to fire at `now`; none outside working hours."""
        return due_levels(self.steps, self.fired, now, town.calendar, policy)

    def reached(self, now: datetime) -> Level | None:
        """The highest level whose time has come, fired or not: what a station warns its own desk of, offline."""
        return max((step.level for step in self.steps if step.at <= now), default=None)


def standing(opinion: Opinion, town: Town) -> Standing:
    """Where the case stands; see the module's first lines."""
    span = opinion.active()
    if span is None:
        return Standing(reopen_at=_reopen_at(opinion))
    plan = _plan(span, town)
    clock = _clock(opinion, span, plan, town.calendar)
    track = track_of(clock.kind, opinion.route)
    return Standing(
        clock=clock, track=track, steps=_steps(opinion, span, clock, track, plan, town.calendar),
        fired=fired_keys(opinion, clock.id) if opinion.cards else frozenset(),
        deem_at=_deem_at(opinion, town, plan.policy), reopen_at=_reopen_at(opinion),
    )  # fmt: skip


def policy_of(span: Span, town: Town) -> Policy:
    """The policy in force when the clock began: a later one does not move a running clock."""
    first_guess = town.policy_on(span.started_at.date())
    return town.policy_on(local_date(span.started_at, first_guess.hours))


def clock_of(opinion: Opinion, span: Span, town: Town) -> Clock:
    """The span with its due date."""
    return _clock(opinion, span, _plan(span, town), town.calendar)


def all_clocks(opinion: Opinion, town: Town) -> list[Clock]:
    """Every clock the case has had, in the order they began."""
    return [clock_of(opinion, span, town) for span in opinion.spans]


# --- what all clocks of one day have in common -----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Plan:
    """A clock begun at the first moment of a day, with its ladders as far as they were asked for: (track, signed).

    Whoever begins the same clock later that day shares its dates, since terms count days; a thousand opinions of a
    season need a few dozen plans.
    """

    policy: Policy  # kept alive here, because its id() is part of the key
    clock: Clock
    ladders: dict[tuple[Track, bool], tuple[LadderStep, ...]] = field(default_factory=dict)


_PlanKey = tuple[int, str, str | None, str, date]
_PLANS: WeakKeyDictionary[WorkCalendar, dict[_PlanKey, _Plan]] = WeakKeyDictionary()


def _plan(span: Span, town: Town) -> _Plan:
    """The plan of a span's first segment; made once for each calendar, policy, kind, term and day."""
    policy = policy_of(span, town)
    plans = _PLANS.setdefault(town.calendar, {})
    day = local_date(span.started_at, policy.hours)
    key = (id(policy), span.kind, span.term, span.rule, day)
    plan = plans.get(key)
    if plan is None:
        if len(plans) >= REMEMBERED_MAX:
            plans.clear()
        plan = plans[key] = _planned(span, day, policy, town.calendar)
    return plan


def _planned(span: Span, day: date, policy: Policy, calendar: WorkCalendar) -> _Plan:
    term = Term.parse(span.term) if span.term else (policy.term(span.rule) if span.rule else None)
    midnight = datetime.combine(day, time.min, policy.hours.zone).astimezone(UTC)
    return _Plan(policy, clocks.start("", ClockKind(span.kind), term, midnight, calendar, policy.hours))


def _clock(opinion: Opinion, span: Span, plan: _Plan, calendar: WorkCalendar) -> Clock:
    """The plan's clock as this case began it, with what happened to it since."""
    policy, hours = plan.policy, plan.policy.hours
    clock = replace(
        plan.clock, id=opinion.clock_id(span), started_at=span.started_at,
        segments=(Segment(started_at=span.started_at),),
    )  # fmt: skip
    for began, ended in span.pauses:
        clock = clocks.pause(clock, began, "", calendar, hours)
        if ended is not None:
            least = policy.terms.resume_at_least.amount if span.resume_at_least else 0
            clock = clocks.resume(clock, ended, calendar, hours, at_least=least)
    for extra in span.extensions:
        clock = clocks.extend(clock, Term.parse(extra), calendar, hours)
    return clocks.stop(clock, span.stopped_at, calendar, hours) if span.stopped_at else clock


def _steps(
    opinion: Opinion, span: Span, clock: Clock, track: Track, plan: _Plan, calendar: WorkCalendar
) -> tuple[LadderStep, ...]:
    """The ladder of a clock: the day's plan where nothing happened that is this case's alone, else computed."""
    if not _is_ordinary(opinion, span):
        return ladder(clock, track, plan.policy, calendar, _ladder_facts(opinion, clock.id))
    signed = _signed_by_unit(opinion)
    steps = plan.ladders.get((track, signed))
    if steps is None:
        steps = ladder(plan.clock, track, plan.policy, calendar, LadderFacts(signed=signed))
        plan.ladders[(track, signed)] = steps
    if not steps or steps[0].at > clock.started_at:
        return steps
    return tuple(step for step in steps if step.level is not Level.REMINDER or step.at > clock.started_at)


def _is_ordinary(opinion: Opinion, span: Span) -> bool:
    """Whether the ladder follows from the clock's first day and the sign-off alone."""
    own = span.pauses or span.extensions or span.stopped_at or opinion.cards or opinion.key_item or opinion.reopened
    return not own and not opinion.ratings


# --- what a ladder must know of a case -------------------------------------------------------------------------


def fired_keys(opinion: Opinion, clock_id: str) -> frozenset[StepKey]:
    return frozenset((Level(card.level), card.mark) for card in opinion.cards if card.clock == clock_id)


def _ladder_facts(opinion: Opinion, clock_id: str) -> LadderFacts:
    cards = [card for card in opinion.cards if card.clock == clock_id]
    urged = next((card.fired_at for card in cards if card.level == Level.URGING), None)
    yellow = next((card.fired_at for card in cards if card.level == Level.YELLOW and not card.revoked), None)
    return LadderFacts(
        signed=_signed_by_unit(opinion), urged_at=urged, feedback_at=_last_feedback(opinion), yellow_at=yellow,
        dissatisfied=opinion.dissatisfied(), reopened=opinion.reopened, key_item=bool(opinion.key_item),
    )  # fmt: skip


def _signed_by_unit(opinion: Opinion) -> bool:
    """Being deemed signed is not an act of the unit."""
    now = opinion.assignment
    return now is not None and now.signed_at is not None and not now.deemed_signed


def _last_feedback(opinion: Opinion) -> datetime | None:
    """The unit's last sign of life: its own sign-off, progress, answer to a card, reply."""
    said = [
        entry.record.occurred_at
        for entry in opinion.timeline
        if entry.fits and isinstance(entry.record.fact, f.Progressed | f.CardAnswered | f.ReplySubmitted)
    ]
    if _signed_by_unit(opinion) and opinion.assignment and opinion.assignment.signed_at:
        said.append(opinion.assignment.signed_at)
    return max(said, default=None)


def _deem_at(opinion: Opinion, town: Town, policy: Policy) -> datetime | None:
    """First working morning after the sign-off term (T11): 视为签收."""
    now = opinion.assignment
    if opinion.state is not State.DISPATCHED or now is None:
        return None
    due = town.calendar.due(local_date(now.dispatched_at, policy.hours), policy.terms.sign)
    return opening(town.calendar.next_workday(due.day).day, policy.hours)


def _reopen_at(opinion: Opinion) -> datetime | None:
    """When the citizen said "不满意" or "未解决" after the last delivery: granted at nobody's discretion (T23)."""
    if opinion.reopen_asked is None or opinion.state is not State.REPLIED:
        return None
    since = opinion.delivered_at or _LONG_AGO
    unsolved = [at for at, fact in opinion.follow_ups if at >= since and fact.solved is False]
    unhappy = [at for at, fact in opinion.ratings if at >= since and fact.overall == "dissatisfied"]
    return max(unsolved + unhappy, default=None)
