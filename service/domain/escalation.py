"""The ladder of supervision (督办): at which instant each level is reached, and which steps are due now.

The ladder is computed, firings are recorded: `ladder` says when each level will be due, a sweep asks `due_levels`
and records what it fired under `once_key`, so each (clock, level, mark) fires once however often one sweeps.
Nothing here is law; names, thresholds and addressees are policy (domain c.6).

A term ends at close of business of its last day, so a level is reached on the first working morning after: level 1
on the morning after the due day, "overdue 2 working days" on the morning after two full ones. Every instant lies in
working hours, and nothing fires outside them.

A date that rests on a year whose notice is not out (暂估) must not make a card come early. Such a level waits
`provisional_margin_wd` working days more, the most that any notice could move it, and falls into place as soon as
the notice is entered. Reminders do not wait: being reminded early hurts nobody.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import IntEnum

from service.domain.clocks import Clock, ClockKind, day_overdue, paused_days
from service.domain.office_hours import is_working_hours, local_date, next_working_moment, opening
from service.domain.policy import Ladder, Policy, Track
from service.domain.working_days import WorkCalendar


class Level(IntEnum):
    """Levels 0 to 4; what they are called is in `Policy.levels`."""

    REMINDER = 0
    URGING = 1
    YELLOW = 2
    RED = 3
    PRESIDIUM = 4


StepKey = tuple[Level, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class LadderStep:
    """A level becomes due at an instant (UTC, in working hours).

    `mark` tells the reminders of one clock apart ("half", "3wd", "0wd" = due day) and is "" on every other level.
    `provisional`: the instant rests on an unpublished year, and above level 0 includes the margin for it.
    """

    level: Level
    at: datetime
    reason_code: str
    mark: str = ""
    provisional: bool = False

    @property
    def key(self) -> StepKey:
        return (self.level, self.mark)


@dataclass(frozen=True, slots=True, kw_only=True)
class LadderFacts:
    """What the ladder must know besides the clock.

    `signed`: by the unit itself; being deemed signed (视为签收) is not an act of the unit. `urged_at`: level 1 of
    this clock fired. `feedback_at`: the unit's last answer, be it sign-off, progress or the form's reply.
    `yellow_at`: this clock's yellow card (not revoked). `unit_yellow_cards`: cards of the same unit within the
    policy's window up to then, this one included. `plans_missed`: missed reviews of a suspension plan.
    """

    signed: bool = False
    urged_at: datetime | None = None
    feedback_at: datetime | None = None
    yellow_at: datetime | None = None
    unit_yellow_cards: int = 0
    dissatisfied: int = 0
    reopened: int = 0
    plans_missed: int = 0
    key_item: bool = False


def track_of(kind: ClockKind, route: str) -> Track:
    """The ladder a clock climbs: a unit's clock by its route, our own desk's clocks the short one."""
    if kind not in (ClockKind.HANDLING, ClockKind.STATUTORY):
        return Track.DESK
    return Track.TRANSFER if route == "transfer" else Track.ASSIGN


def once_key(clock_id: str, key: StepKey) -> str:
    """The key under which a firing is recorded, unique for ever."""
    level, mark = key
    return f"{clock_id}:L{int(level)}:{mark}" if mark else f"{clock_id}:L{int(level)}"


def ladder(
    clock: Clock, track: Track, policy: Policy, calendar: WorkCalendar, facts: LadderFacts
) -> tuple[LadderStep, ...]:
    """All steps of a clock, earliest first, one per (level, mark). None once it stopped, nor for K0.

    While the clock stands still only what does not depend on its running remains: the presidium's own reasons.
    """
    if clock.is_stopped or clock.term is None:
        return ()
    climb = _Climb(clock, policy.ladders.of(track), policy, calendar, facts)
    steps = [*climb.presidium_reasons()]
    if clock.is_running:
        steps += [*climb.reminders(), *climb.urging(), *climb.yellow(), *climb.red(), *climb.presidium_overdue()]
    first: dict[StepKey, LadderStep] = {}
    for step in sorted(steps, key=lambda step: (step.at, step.level)):
        first.setdefault(step.key, step)
    return tuple(first.values())


@dataclass(frozen=True, slots=True)
class _Climb:
    """One clock on its ladder. Each method gives the steps of one rule, none where the policy switched it off."""

    clock: Clock
    rules: Ladder
    policy: Policy
    calendar: WorkCalendar
    facts: LadderFacts

    def reminders(self) -> Iterable[LadderStep]:
        """Mornings before the due day, the later one where two fall together; none before the clock began."""
        due = self.clock.due
        if due is None:
            return ()
        before = {f"{n}wd": n for n in self.rules.remind_before_wd}
        if self.rules.remind_half:
            before = {"half": self._half_term_wd(due), **before}
        marks = {n: mark for mark, n in before.items()}
        return [step for n, mark in marks.items() if (step := self._reminder(due, n, mark)).at > self.clock.started_at]

    def _half_term_wd(self, due: date) -> int:
        """Working days before the due day on whose morning half the term is about to have passed."""
        began = local_date(self.clock.started_at, self.policy.hours)
        whole = self.calendar.working_days_between(began, due).days
        return (whole - paused_days(self.clock, self.calendar, self.policy.hours)) // 2

    def _reminder(self, due: date, before_wd: int, mark: str) -> LadderStep:
        day = self.calendar.previous_workdays(due, before_wd)
        at = opening(day.day, self.policy.hours)
        reason = "half_term" if mark == "half" else "due_soon"
        return LadderStep(
            level=Level.REMINDER, at=at, reason_code=reason, mark=mark, provisional=self.clock.provisional
        )

    def urging(self) -> Iterable[LadderStep]:
        yield from self._overdue(Level.URGING, 0)
        if self.rules.urge_unsigned and not self.facts.signed:
            began = local_date(self.clock.started_at, self.policy.hours)
            due = self.calendar.due(began, self.policy.terms.sign)
            yield self._after(due.day, Level.URGING, "unsigned", due.provisional)

    def yellow(self) -> Iterable[LadderStep]:
        if self.rules.yellow_overdue_wd:
            yield from self._overdue(Level.YELLOW, self.rules.yellow_overdue_wd)
        urged_at, wd = self.facts.urged_at, self.rules.yellow_no_feedback_wd
        if urged_at and wd and not _answered(urged_at, self.facts.feedback_at):
            due = self.calendar.add_working_days(local_date(urged_at, self.policy.hours), wd)
            yield self._after(due.day, Level.YELLOW, "no_feedback", due.provisional)

    def red(self) -> Iterable[LadderStep]:
        if self.rules.red_overdue_wd:
            yield from self._overdue(Level.RED, self.rules.red_overdue_wd)
        if self.facts.yellow_at and _reached(self.facts.unit_yellow_cards, self.rules.red_yellow_cards):
            yield self._as_of(self.facts.yellow_at, Level.RED, "yellow_cards")
        if _reached(self.facts.dissatisfied, self.rules.red_dissatisfied):
            yield self._as_of(self.clock.started_at, Level.RED, "dissatisfied")

    def presidium_overdue(self) -> Iterable[LadderStep]:
        if self.rules.presidium_overdue_wd:
            yield from self._overdue(Level.PRESIDIUM, self.rules.presidium_overdue_wd)

    def presidium_reasons(self) -> Iterable[LadderStep]:
        """Reasons that need no passing of time: due since the clock began, hence at the next sweep."""
        limit = self.rules.presidium_reopened_over
        reasons = {
            "key_item": self.rules.presidium_key_items and self.facts.key_item,
            "reopened": limit > 0 and self.facts.reopened > limit,
            "plan_missed": _reached(self.facts.plans_missed, self.rules.presidium_plans_missed),
        }
        for reason, holds in reasons.items():
            if holds:
                yield self._as_of(self.clock.started_at, Level.PRESIDIUM, reason)

    def _overdue(self, level: Level, wd: int) -> Iterable[LadderStep]:
        """The working morning after `wd` full working days past the due day."""
        day = day_overdue(self.clock, wd, self.calendar, self.policy.hours)
        if day is not None:
            yield self._after(day, level, "overdue", self.clock.provisional)

    def _after(self, last: date, level: Level, reason: str, provisional: bool) -> LadderStep:
        """The step on the first working morning after `last`, put off by the margin when that is not certain."""
        morning = self.calendar.next_workday(last)
        counted = self.calendar.working_days_between(local_date(self.clock.started_at, self.policy.hours), last)
        uncertain = provisional or morning.provisional or counted.provisional
        if uncertain:
            morning = self.calendar.add_working_days(last, 1 + self.policy.limits.provisional_margin_wd)
        at = opening(morning.day, self.policy.hours)
        return LadderStep(level=level, at=at, reason_code=reason, provisional=uncertain)

    def _as_of(self, instant: datetime, level: Level, reason: str) -> LadderStep:
        at = next_working_moment(instant, self.calendar, self.policy.hours)
        return LadderStep(level=level, at=at, reason_code=reason)


def _answered(urged_at: datetime, feedback_at: datetime | None) -> bool:
    return feedback_at is not None and feedback_at >= urged_at


def _reached(count: int, threshold: int) -> bool:
    return threshold > 0 and count >= threshold


def due_levels(
    steps: Sequence[LadderStep],
    fired: frozenset[StepKey],
    now: datetime,
    calendar: WorkCalendar,
    policy: Policy,
) -> tuple[LadderStep, ...]:
    """Steps to fire now, lowest level first; none outside working hours."""
    if not is_working_hours(now, calendar, policy.hours):
        return ()
    due = [step for step in _waiting(steps, fired, now) if step.at <= now]
    return tuple(sorted(due, key=lambda step: (step.level, step.at)))


def next_step_at(steps: Sequence[LadderStep], fired: frozenset[StepKey], now: datetime) -> datetime | None:
    """When a sweep must look at this clock next; in the past when something is due already. For an index column."""
    return min((step.at for step in _waiting(steps, fired, now)), default=None)


def _waiting(steps: Sequence[LadderStep], fired: frozenset[StepKey], now: datetime) -> list[LadderStep]:
    """Steps not fired yet, without reminders that a later or higher step has overtaken: nothing left to say."""
    latest = max(((step.at, step.level) for step in steps if step.at <= now), default=None)
    return [
        step
        for step in steps
        if step.key not in fired
        and not (step.level is Level.REMINDER and latest is not None and (step.at, step.level) < latest)
    ]


def feedback_due(level: Level, fired_at: datetime, policy: Policy, calendar: WorkCalendar) -> date | None:
    """The day until which the addressee of a card must answer; None where the level asks for no answer."""
    wd = policy.levels[level].feedback_wd
    return calendar.add_working_days(local_date(fired_at, policy.hours), wd).day if wd else None
