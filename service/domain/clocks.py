"""Clocks of an opinion: when each began, stood still, is due and stopped.

A clock is a value computed from what happened to it: its start, term, extensions and segments, read against a
calendar. Nothing is added up over time, so a calendar notice, a changed urgency or a late fact just computes it
anew from the original start (clock rules c.5, 4 to 7). Every function returns a new clock.

Only waiting for information and suspension stand a clock still, and only K1 and K2: K0 is the citizen's own view
and K5 is law. Return and review do not. A pause is measured in the term's own unit: a working-day term gets back
the working days after the day it paused up to the day it went on, the same counting as for terms.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from enum import StrEnum

from service.domain.office_hours import OFFICE_HOURS, Hours, due_instant, local_date
from service.domain.working_days import ONE_DAY, Computation, Day, DayCount, DayKind, Term, WorkCalendar, natural_end


class ClockKind(StrEnum):
    """The six clocks (domain c.3)."""

    WHOLE = "K0"
    SCREENING = "K1"
    HANDLING = "K2"
    DIRECT = "K3"
    FOLLOW_UP = "K4"
    STATUTORY = "K5"

    @property
    def label(self) -> str:
        return _LABELS[self.value]

    @property
    def can_pause(self) -> bool:
        return self in (ClockKind.SCREENING, ClockKind.HANDLING)


_LABELS = {"K0": "全程", "K1": "筛选", "K2": "办理", "K3": "直接答复", "K4": "回访", "K5": "法定"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A stretch of time in which the clock ran or stood still; `ended_at` None = it still does.

    `at_least` working days are left when a running segment begins, however few there were (T18: three).
    """

    started_at: datetime
    ended_at: datetime | None = None
    running: bool = True
    reason: str = ""
    at_least: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """One clock. `due` is None without a term, and while a pause leaves open how long the term still is.

    `original_due_at` ignores extensions: statistics show "按期" against both (rule 6). `provisional` (暂估): the due
    date rests on a year whose notice is not out.
    """

    id: str
    kind: ClockKind
    term: Term | None
    started_at: datetime
    segments: tuple[Segment, ...]
    extensions: tuple[Term, ...] = ()
    due: date | None = None
    due_at: datetime | None = None
    original_due_at: datetime | None = None
    provisional: bool = False
    stopped_at: datetime | None = None

    @property
    def is_stopped(self) -> bool:
        return self.stopped_at is not None

    @property
    def is_paused(self) -> bool:
        return not self.is_stopped and not self.segments[-1].running

    @property
    def is_running(self) -> bool:
        return not self.is_stopped and self.segments[-1].running


@dataclass(frozen=True, slots=True)
class OnTime:
    """Stopped no later than the due instant."""


@dataclass(frozen=True, slots=True)
class Overdue:
    """Stopped `days` working days late; a day begun counts, so it is at least 1."""

    days: int


def clock_id(opinion_id: str, kind: ClockKind, ordinal: int) -> str:
    """The same id on every node: it is half of the key that makes a card fire once."""
    return f"{opinion_id}:{kind}:{ordinal}"


def start(
    id: str,
    kind: ClockKind,
    term: Term | None,
    at: datetime,
    calendar: WorkCalendar,
    hours: Hours = OFFICE_HOURS,
) -> Clock:
    """A clock that begins at `at`; the day itself does not count (rule 1). No term, no due date (K0)."""
    clock = Clock(id=id, kind=kind, term=term, started_at=at, segments=(Segment(started_at=at),))
    return timed(clock, calendar, hours)


def pause(clock: Clock, at: datetime, reason: str, calendar: WorkCalendar, hours: Hours = OFFICE_HOURS) -> Clock:
    """The clock standing still from `at`; unchanged when it is not running or its kind never pauses (rule 3)."""
    if not clock.is_running or not clock.kind.can_pause:
        return clock
    segments = (*_ended(clock.segments, at), Segment(started_at=at, running=False, reason=reason))
    return timed(replace(clock, segments=segments), calendar, hours)


def resume(
    clock: Clock, at: datetime, calendar: WorkCalendar, hours: Hours = OFFICE_HOURS, *, at_least: int = 0
) -> Clock:
    """The clock going on from `at` with the rest of its term, and no less than `at_least` working days."""
    if not clock.is_paused:
        return clock
    segments = (*_ended(clock.segments, at), Segment(started_at=at, at_least=at_least))
    return timed(replace(clock, segments=segments), calendar, hours)


def stop(clock: Clock, at: datetime, calendar: WorkCalendar, hours: Hours = OFFICE_HOURS) -> Clock:
    """The clock at rest. Its due date is what it was at `at`; later notices leave it alone (rule 7)."""
    if clock.is_stopped:
        return clock
    still = replace(clock, segments=_ended(clock.segments, at), stopped_at=at)
    return timed(still, calendar, hours)


def restart(clock: Clock, calendar: WorkCalendar, hours: Hours = OFFICE_HOURS) -> Clock:
    """The clock as if it had never stopped: a reply that is sent back buys no time (rule 3)."""
    last = replace(clock.segments[-1], ended_at=None)
    return timed(replace(clock, segments=(*clock.segments[:-1], last), stopped_at=None), calendar, hours)


def extend(clock: Clock, by: Term, calendar: WorkCalendar, hours: Hours = OFFICE_HOURS) -> Clock:
    """The clock with more time; what was due originally stays on record (rule 6)."""
    return timed(replace(clock, extensions=(*clock.extensions, by)), calendar, hours)


def retime(clock: Clock, term: Term, calendar: WorkCalendar, hours: Hours = OFFICE_HOURS) -> Clock:
    """The clock under another term, from the original start and less the same pauses (rule 5)."""
    return timed(replace(clock, term=term), calendar, hours)


def recompute(clock: Clock, calendar: WorkCalendar, hours: Hours = OFFICE_HOURS) -> Clock:
    """An open clock under a new calendar; a stopped one is left as it was (rule 7)."""
    return clock if clock.is_stopped else timed(clock, calendar, hours)


def timed(clock: Clock, calendar: WorkCalendar, hours: Hours = OFFICE_HOURS) -> Clock:
    """The clock with everything that follows from its start, term, extensions and segments."""
    if clock.term is None:
        return clock
    due = _due(clock, clock.extensions, clock.segments, calendar, hours)
    original = _due(clock, (), _closed(clock.segments), calendar, hours)
    return replace(
        clock,
        due=due,
        due_at=due_instant(due, hours) if due else None,
        original_due_at=due_instant(original, hours) if original else None,
        provisional=_is_provisional(clock, clock.term, due, calendar, hours),
    )


def _ended(segments: tuple[Segment, ...], at: datetime) -> tuple[Segment, ...]:
    """The segments with the last one ended; never before it began, as two nodes' clocks may disagree."""
    last = segments[-1]
    return (*segments[:-1], replace(last, ended_at=max(at, last.started_at)))


def _closed(segments: tuple[Segment, ...]) -> tuple[Segment, ...]:
    """The segments without a pause that is still open."""
    return segments if segments[-1].running or segments[-1].ended_at else segments[:-1]


def _due(
    clock: Clock, extensions: tuple[Term, ...], segments: Sequence[Segment], calendar: WorkCalendar, hours: Hours
) -> date | None:
    """The last day of the term, moved on by the pauses that began before it ended; None in an open pause."""
    assert clock.term is not None
    term, others = _joined(clock.term, extensions)
    day = _term_end(local_date(clock.started_at, hours), term, calendar)
    for more in others:
        base = calendar.roll(day).day if more.unit == "wd" else day
        day = _term_end(base, more, calendar)
    for segment in segments:
        if segment.running and segment.at_least:
            day = max(day, calendar.add_working_days(local_date(segment.started_at, hours), segment.at_least).day)
        elif not segment.running and segment.started_at < due_instant(calendar.roll(day).day, hours):
            if segment.ended_at is None:
                return None
            day = _moved(day, segment, clock.term, calendar, hours)
    return calendar.roll(day).day


def _joined(term: Term, extensions: tuple[Term, ...]) -> tuple[Term, list[Term]]:
    """The term with all extensions of its own unit, and the others: 3 and 3 months are 6 from the start (T16).

    Month by month they might end earlier: 31 May, 30 June, 30 July.
    """
    for more in extensions:
        term = term.plus(more) if more.unit == term.unit else term
    return term, [more for more in extensions if more.unit != term.unit]


def _term_end(start: date, term: Term, calendar: WorkCalendar) -> date:
    """Where a term ends before any roll-over, so that what is added to it starts from the right day."""
    if term.unit == "wd":
        return calendar.add_working_days(start, term.amount).day
    return natural_end(start, term)


def _moved(day: date, pause: Segment, term: Term, calendar: WorkCalendar, hours: Hours) -> date:
    """`day` moved on by a finished pause, measured in the term's unit (rule 4)."""
    assert pause.ended_at is not None
    began, ended = local_date(pause.started_at, hours), local_date(pause.ended_at, hours)
    if term.unit == "wd":
        return calendar.add_working_days(day, calendar.working_days_between(began, ended).days).day
    return day + (ended - began)


def _is_provisional(clock: Clock, term: Term, due: date | None, calendar: WorkCalendar, hours: Hours) -> bool:
    """Whether a day that was counted, or rolled over, may still turn out otherwise."""
    if due is None:
        return False
    start = local_date(clock.started_at, hours)
    first = start if term.unit == "wd" else min(due, natural_end(start, term)) - ONE_DAY
    return calendar.working_days_between(first, due).provisional


def remaining_working_days(
    clock: Clock, now: datetime, calendar: WorkCalendar, hours: Hours = OFFICE_HOURS
) -> DayCount | None:
    """Working days left after today; 0 on the due day, negative when overdue, None without a term.

    While the clock stands still, what was left when it paused.
    """
    if clock.term is None:
        return None
    late = overdue_days(clock, now, calendar, hours)
    if late:
        return DayCount(-late, clock.provisional)
    if clock.due is not None:
        return calendar.working_days_between(local_date(now, hours), clock.due)
    due = _due(clock, clock.extensions, _closed(clock.segments), calendar, hours)
    assert due is not None
    return calendar.working_days_between(local_date(clock.segments[-1].started_at, hours), due)


def overdue_days(clock: Clock, now: datetime, calendar: WorkCalendar, hours: Hours = OFFICE_HOURS) -> int:
    """Working days overdue at `now` (or when it stopped, if that was earlier); a day begun counts."""
    return _days_past(clock, clock.due_at, now, calendar, hours)


def result(
    clock: Clock, calendar: WorkCalendar, hours: Hours = OFFICE_HOURS, *, original: bool = False
) -> OnTime | Overdue | None:
    """How a stopped clock did, against its due instant or the one before extensions; None if open or termless."""
    due_at = clock.original_due_at if original else clock.due_at
    if clock.stopped_at is None or due_at is None:
        return None
    days = _days_past(clock, due_at, clock.stopped_at, calendar, hours)
    return Overdue(days) if days else OnTime()


def _days_past(clock: Clock, due_at: datetime | None, now: datetime, calendar: WorkCalendar, hours: Hours) -> int:
    until = min(now, clock.stopped_at) if clock.stopped_at else now
    if due_at is None or until <= due_at:
        return 0
    late = calendar.working_days_between(local_date(due_at, hours), local_date(until, hours)).days
    return max(1, late - sum(_lost(pause, until, calendar, hours) for pause in _pauses_after(clock, due_at)))


def _pauses_after(clock: Clock, instant: datetime) -> list[Segment]:
    return [segment for segment in clock.segments if not segment.running and segment.started_at >= instant]


def _lost(pause: Segment, until: datetime, calendar: WorkCalendar, hours: Hours) -> int:
    """Working days of a pause that had gone by at `until`."""
    ended = min(pause.ended_at or until, until)
    return max(0, calendar.working_days_between(local_date(pause.started_at, hours), local_date(ended, hours)).days)


def paused_days(clock: Clock, calendar: WorkCalendar, hours: Hours = OFFICE_HOURS) -> int:
    """Working days on which the clock stood still before its term ended, in pauses that are over."""
    pauses = [pause for pause in clock.segments if not pause.running and pause.ended_at is not None]
    before = [pause for pause in pauses if clock.due_at is None or pause.started_at < clock.due_at]
    return sum(_lost(pause, pause.ended_at or pause.started_at, calendar, hours) for pause in before)


def day_overdue(clock: Clock, n: int, calendar: WorkCalendar, hours: Hours = OFFICE_HOURS) -> date | None:
    """The n-th working day after the due day on which the clock ran (0 = the due day); None until it is known."""
    if clock.due is None or clock.due_at is None:
        return None
    day = calendar.add_working_days(clock.due, n).day
    for pause in _pauses_after(clock, clock.due_at):
        if pause.started_at < due_instant(day, hours):
            if pause.ended_at is None:
                return None
            day = calendar.add_working_days(day, _lost(pause, pause.ended_at, calendar, hours)).day
    return day


def explain(clock: Clock, calendar: WorkCalendar, hours: Hours = OFFICE_HOURS) -> Computation | None:
    """How the clock's due date came about, pauses and extensions included; None while there is none.

    Same shape as `WorkCalendar.explain`; workdays on which the clock stood still are among the skipped.
    """
    if clock.term is None or clock.due is None:
        return None
    start = local_date(clock.started_at, hours)
    plain = calendar.explain(start, clock.term)
    first = start + ONE_DAY if clock.term.unit == "wd" else plain.rolled_from or plain.due
    paused = [segment for segment in clock.segments if not segment.running]
    days = [calendar.describe(first + timedelta(days=n)) for n in range((clock.due - first).days + 1)]
    shown = [replace(day, kind=DayKind.PAUSED) if _stood_still(day, paused, hours) else day for day in days]
    return replace(
        plain,
        counted=tuple(day for day in shown if day.kind.counts),
        skipped=tuple(day for day in shown if not day.kind.counts),
        due=clock.due,
        provisional=clock.provisional,
    )


def _stood_still(day: Day, pauses: Sequence[Segment], hours: Hours) -> bool:
    return day.kind.counts and any(
        local_date(pause.started_at, hours) < day.day <= local_date(pause.ended_at, hours)
        for pause in pauses
        if pause.ended_at is not None
    )
