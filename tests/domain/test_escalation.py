"""The ladder: when each level is reached, what a sweep fires, and what must never happen."""

import random
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain import clocks
from service.domain.calendar_years import CalendarYear, DayStatus, fixed_holiday
from service.domain.clocks import Clock, ClockKind
from service.domain.escalation import (
    LadderFacts,
    LadderStep,
    Level,
    StepKey,
    due_levels,
    feedback_due,
    ladder,
    next_step_at,
    once_key,
    track_of,
)
from service.domain.office_hours import is_working_hours, local_date
from service.domain.policy import Policy, Track
from service.domain.working_days import Term, WorkCalendar

YEAR_2026 = CalendarYear(
    year=2026,
    status=DayStatus.PUBLISHED,
    source="国务院办公厅关于2026年部分节假日安排的通知",
    off=(
        *("01-01", "01-02", "02-16", "02-17", "02-18", "02-19", "02-20", "02-23", "04-06", "05-01", "05-04"),
        *("05-05", "06-19", "09-25", "10-01", "10-02", "10-05", "10-06", "10-07"),
    ),
    work=("01-04", "02-14", "02-28", "05-09", "09-20", "10-10"),
)
CALENDAR = WorkCalendar.of([YEAR_2026])
POLICY = Policy()
SIGNED = LadderFacts(signed=True)
NOTHING: frozenset[StepKey] = frozenset()


def at(text: str) -> datetime:
    """ "2026-03-02 10:00" in Shanghai."""
    return datetime.fromisoformat(f"{text}+08:00").astimezone(UTC)


def clock(started: str = "2026-03-02 10:00", term: str = "5wd", kind: ClockKind = ClockKind.HANDLING) -> Clock:
    """From a Monday in a month without holidays: five working days end on Monday 03-09."""
    return clocks.start(f"o1:{kind}:1", kind, Term.parse(term), at(started), CALENDAR)


def shown(steps: tuple[LadderStep, ...]) -> list[str]:
    """Level, mark and Shanghai time of each step."""
    return [f"{int(s.level)}{s.mark and '/' + s.mark} {s.at.astimezone(POLICY.hours.zone):%m-%d %H:%M}" for s in steps]


def levels(steps: tuple[LadderStep, ...]) -> list[int]:
    return [int(step.level) for step in steps]


# --- when each level is reached --------------------------------------------------------------------------------


def test_assigned_and_signed_climbs_by_working_mornings_after_the_due_day() -> None:
    assert shown(ladder(clock(), Track.ASSIGN, POLICY, CALENDAR, SIGNED)) == [
        "0/half 03-05 08:30",
        "0/1wd 03-06 08:30",
        "1 03-10 08:30",  # first working morning after Monday 03-09
        "2 03-12 08:30",  # two working days later
        "3 03-17 08:30",
        "4 03-24 08:30",
    ]


def test_transferred_climbs_more_slowly_and_is_reminded_three_times() -> None:
    statutory = clock("2026-03-02 10:00", "3mo", ClockKind.STATUTORY)
    assert statutory.due == date(2026, 6, 2)
    assert shown(ladder(statutory, Track.TRANSFER, POLICY, CALENDAR, SIGNED)) == [
        "0/30wd 04-17 08:30",
        "0/10wd 05-19 08:30",
        "0/3wd 05-28 08:30",
        "1 06-03 08:30",
        "2 06-10 08:30",
        "3 06-17 08:30",
        "4 07-02 08:30",  # 06-19 is off
    ]


def test_our_own_desk_is_reminded_and_urged_but_gets_no_card() -> None:
    screening = clock(term="2wd", kind=ClockKind.SCREENING)
    steps = ladder(screening, Track.DESK, POLICY, CALENDAR, LadderFacts(key_item=True, reopened=9, dissatisfied=9))
    assert shown(steps) == ["0/half 03-03 08:30", "0/0wd 03-04 08:30", "1 03-05 08:30"]


def test_unsigned_dispatch_is_urged_on_the_morning_after_the_sign_off_term() -> None:
    urging = next(s for s in ladder(clock(), Track.ASSIGN, POLICY, CALENDAR, LadderFacts()) if s.level == 1)
    assert (urging.at, urging.reason_code) == (at("2026-03-04 08:30"), "unsigned")


def test_urging_without_an_answer_becomes_a_yellow_card() -> None:
    urged = LadderFacts(urged_at=at("2026-03-04 08:30"))
    yellow = next(s for s in ladder(clock(), Track.ASSIGN, POLICY, CALENDAR, urged) if s.level == 2)
    # The urging asks for an answer within 2 wd, until close of business on 03-06; 03-07 is a Saturday.
    assert (yellow.at, yellow.reason_code) == (at("2026-03-09 08:30"), "no_feedback")
    assert feedback_due(Level.URGING, at("2026-03-04 08:30"), POLICY, CALENDAR) == date(2026, 3, 6)
    answered = replace(urged, signed=True, feedback_at=at("2026-03-05 09:00"))
    yellow = next(s for s in ladder(clock(), Track.ASSIGN, POLICY, CALENDAR, answered) if s.level == 2)
    assert yellow.reason_code == "overdue"


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (LadderFacts(yellow_at=at("2026-03-04 09:00"), unit_yellow_cards=2), (3, "yellow_cards", "2026-03-04 09:00")),
        (LadderFacts(dissatisfied=2), (3, "dissatisfied", "2026-03-02 10:00")),
        (LadderFacts(reopened=3), (4, "reopened", "2026-03-02 10:00")),
        (LadderFacts(plans_missed=2), (4, "plan_missed", "2026-03-02 10:00")),
        (LadderFacts(key_item=True), (4, "key_item", "2026-03-02 10:00")),
    ],
)
def test_reasons_that_need_no_passing_of_time(facts: LadderFacts, expected: tuple[int, str, str]) -> None:
    level, reason, instant = expected
    step = next(s for s in ladder(clock(), Track.ASSIGN, POLICY, CALENDAR, facts) if s.level == level)
    assert (step.reason_code, step.at) == (reason, at(instant))


@pytest.mark.parametrize(
    "facts",
    [
        LadderFacts(unit_yellow_cards=5),  # of other clocks: this one carries no card
        LadderFacts(yellow_at=at("2026-03-04 09:00"), unit_yellow_cards=1),
        LadderFacts(dissatisfied=1, reopened=2, plans_missed=1),
    ],
)
def test_one_occurrence_less_leaves_it_to_the_clock(facts: LadderFacts) -> None:
    steps = ladder(clock(), Track.ASSIGN, POLICY, CALENDAR, facts)
    assert {s.reason_code for s in steps if s.level >= 3} == {"overdue"}


def test_reason_that_holds_on_a_holiday_waits_for_the_next_working_morning() -> None:
    started = clock("2026-10-01 12:00")
    step = next(s for s in ladder(started, Track.ASSIGN, POLICY, CALENDAR, LadderFacts(key_item=True)) if s.level == 4)
    assert step.at == at("2026-10-08 08:30")


def test_stopped_clock_and_clock_without_term_have_no_ladder() -> None:
    done = clocks.stop(clock(), at("2026-03-20 10:00"), CALENDAR)
    whole = clocks.start("o1:K0:1", ClockKind.WHOLE, None, at("2026-03-02 10:00"), CALENDAR)
    for ended in (done, whole):
        assert ladder(ended, Track.ASSIGN, POLICY, CALENDAR, LadderFacts(key_item=True)) == ()


def test_standing_still_leaves_only_the_presidiums_own_reasons() -> None:
    suspended = clocks.pause(clock(), at("2026-03-04 10:00"), "suspended", CALENDAR)
    facts = LadderFacts(urged_at=at("2026-03-04 08:30"), dissatisfied=5, plans_missed=2)
    steps = ladder(suspended, Track.ASSIGN, POLICY, CALENDAR, facts)
    assert [(s.level, s.reason_code) for s in steps] == [(Level.PRESIDIUM, "plan_missed")]


def test_pause_after_the_due_day_puts_the_cards_off() -> None:
    late = clocks.resume(
        clocks.pause(clock(), at("2026-03-10 10:00"), "needs_info", CALENDAR), at("2026-03-13 10:00"), CALENDAR
    )
    yellow = next(s for s in ladder(late, Track.ASSIGN, POLICY, CALENDAR, SIGNED) if s.level == 2)
    assert yellow.at == at("2026-03-17 08:30")  # 03-10 and 03-16 ran past the due day


def test_half_term_is_half_of_the_days_on_which_the_clock_ran() -> None:
    waited = clocks.pause(clock(term="6wd"), at("2026-03-02 16:00"), "needs_info", CALENDAR)
    waited = clocks.resume(waited, at("2026-03-06 10:00"), CALENDAR)
    assert waited.due == date(2026, 3, 16)
    half = next(s for s in ladder(waited, Track.ASSIGN, POLICY, CALENDAR, SIGNED) if s.mark == "half")
    assert half.at == at("2026-03-11 08:30")


def test_short_terms_send_one_reminder_per_morning_and_none_before_the_start() -> None:
    assert shown(ladder(clock(term="1wd"), Track.ASSIGN, POLICY, CALENDAR, SIGNED))[0] == "0/half 03-03 08:30"
    assert shown(ladder(clock(term="2wd"), Track.ASSIGN, POLICY, CALENDAR, SIGNED))[:2] == [
        "0/1wd 03-03 08:30",
        "1 03-05 08:30",
    ]


@pytest.mark.parametrize(
    ("kind", "route", "track"),
    [
        ("K1", "", Track.DESK),
        ("K2", "assign", Track.ASSIGN),
        ("K2", "transfer", Track.TRANSFER),
        ("K3", "direct", Track.DESK),
        ("K4", "transfer", Track.DESK),
        ("K5", "transfer", Track.TRANSFER),
    ],
)
def test_each_clock_climbs_its_ladder(kind: str, route: str, track: Track) -> None:
    assert track_of(ClockKind(kind), route) is track


# --- what a sweep fires ----------------------------------------------------------------------------------------


def test_sweep_fires_what_is_due_only_in_working_hours() -> None:
    steps = ladder(clock(), Track.ASSIGN, POLICY, CALENDAR, SIGNED)
    fired = frozenset({(Level.REMINDER, "half"), (Level.REMINDER, "1wd")})
    for closed in ("2026-03-09 17:30", "2026-03-10 08:29", "2026-03-10 17:30", "2026-03-14 10:00"):
        assert due_levels(steps, fired, at(closed), CALENDAR, POLICY) == ()
    assert levels(due_levels(steps, fired, at("2026-03-10 08:30"), CALENDAR, POLICY)) == [1]


def test_hub_that_was_off_for_a_month_fires_every_level_but_no_stale_reminder() -> None:
    steps = ladder(clock(), Track.ASSIGN, POLICY, CALENDAR, SIGNED)
    assert levels(due_levels(steps, NOTHING, at("2026-04-20 10:00"), CALENDAR, POLICY)) == [1, 2, 3, 4]


def test_of_two_missed_reminders_only_the_later_one_is_sent() -> None:
    steps = ladder(clock(), Track.ASSIGN, POLICY, CALENDAR, SIGNED)
    (reminder,) = due_levels(steps, NOTHING, at("2026-03-06 10:00"), CALENDAR, POLICY)
    assert reminder.mark == "1wd"
    assert next_step_at(steps, frozenset({reminder.key}), at("2026-03-06 10:00")) == at("2026-03-10 08:30")


def test_reminder_after_an_early_urging_is_still_sent() -> None:
    steps = ladder(clock(), Track.ASSIGN, POLICY, CALENDAR, LadderFacts())
    urged = frozenset({(Level.URGING, "")})
    (reminder,) = due_levels(steps, urged, at("2026-03-06 08:30"), CALENDAR, POLICY)
    assert reminder.key == (Level.REMINDER, "1wd")


def test_reminder_gives_way_to_an_urging_of_the_same_morning() -> None:
    steps = ladder(clock(term="2wd"), Track.ASSIGN, POLICY, CALENDAR, LadderFacts())
    moved = tuple(replace(s, at=at("2026-03-04 08:30")) if s.level == 0 else s for s in steps)
    assert levels(due_levels(moved, NOTHING, at("2026-03-04 09:00"), CALENDAR, POLICY)) == [1]


def test_index_column_names_the_next_look_and_nothing_once_all_fired() -> None:
    steps = ladder(clock(), Track.ASSIGN, POLICY, CALENDAR, SIGNED)
    assert next_step_at(steps, NOTHING, at("2026-03-02 10:00")) == at("2026-03-05 08:30")
    assert next_step_at(steps, frozenset(s.key for s in steps), at("2026-03-02 10:00")) is None
    fired = frozenset({(Level.URGING, "")})
    assert next_step_at(steps, fired, at("2026-03-30 10:00")) == at("2026-03-12 08:30")  # due already


def test_once_keys_differ_per_clock_level_and_mark() -> None:
    assert once_key("o1:K2:1", (Level.REMINDER, "half")) == "o1:K2:1:L0:half"
    assert once_key("o1:K2:1", (Level.RED, "")) == "o1:K2:1:L3"
    assert feedback_due(Level.PRESIDIUM, at("2026-03-04 08:30"), POLICY, CALENDAR) is None


# --- laws ------------------------------------------------------------------------------------------------------

minutes = st.integers(0, 120 * 24 * 60)
facts_strategy = st.builds(
    LadderFacts,
    signed=st.booleans(),
    urged_at=st.none() | minutes.map(lambda m: at("2026-03-02 10:00") + timedelta(minutes=m)),
    dissatisfied=st.integers(0, 3),
    reopened=st.integers(0, 4),
    key_item=st.booleans(),
)


@st.composite
def some_clock(draw: st.DrawFn) -> tuple[Clock, Track]:
    """A unit's or desk's clock of 2026, possibly paused once or still standing still."""
    track = draw(st.sampled_from(Track))
    kind, unit = (ClockKind.STATUTORY, "mo") if track is Track.TRANSFER else (ClockKind.HANDLING, "wd")
    started = at("2026-01-05 00:00") + timedelta(minutes=draw(minutes))
    made = clocks.start("c", kind, Term.parse(f"{draw(st.integers(1, 6))}{unit}"), started, CALENDAR)
    if draw(st.booleans()):
        paused_at = started + timedelta(minutes=draw(minutes))
        made = clocks.pause(made, paused_at, "needs_info", CALENDAR)
        if draw(st.booleans()):
            made = clocks.resume(made, paused_at + timedelta(minutes=draw(minutes)), CALENDAR)
    return made, track


@given(some_clock(), facts_strategy)
def test_every_step_lies_in_working_hours_and_levels_never_overtake_each_other(
    made: tuple[Clock, Track], facts: LadderFacts
) -> None:
    if facts.urged_at is not None:
        facts = replace(facts, urged_at=max(facts.urged_at, made[0].started_at))
    steps = ladder(made[0], made[1], POLICY, CALENDAR, facts)
    assert all(is_working_hours(step.at, CALENDAR, POLICY.hours) for step in steps)
    assert all(step.at >= made[0].started_at for step in steps)
    assert len({step.key for step in steps}) == len(steps)
    overdue = [step for step in steps if step.reason_code == "overdue"]
    assert [step.level for step in overdue] == sorted(step.level for step in overdue)
    assert all(made[0].due_at is not None and step.at > made[0].due_at for step in overdue)


@given(some_clock(), facts_strategy, st.lists(minutes, max_size=60), st.randoms(use_true_random=False))
def test_shuffled_and_repeated_sweeps_fire_each_key_once_and_only_in_working_hours(
    made: tuple[Clock, Track], facts: LadderFacts, moments: list[int], order: random.Random
) -> None:
    steps = ladder(made[0], made[1], POLICY, CALENDAR, facts)
    sweeps = [at("2026-01-05 00:00") + timedelta(minutes=3 * m) for m in [*moments, *moments]]
    order.shuffle(sweeps)
    fired: list[StepKey] = []
    for now in sweeps:
        due = due_levels(steps, frozenset(fired), now, CALENDAR, POLICY)
        assert not due or is_working_hours(now, CALENDAR, POLICY.hours)
        assert all(step.at <= now for step in due)
        fired += [step.key for step in due]
    assert len(fired) == len(set(fired))


@given(some_clock(), facts_strategy, minutes)
def test_index_column_never_hides_a_due_step(made: tuple[Clock, Track], facts: LadderFacts, later: int) -> None:
    steps = ladder(made[0], made[1], POLICY, CALENDAR, facts)
    now = at("2026-01-05 00:00") + timedelta(minutes=3 * later)
    fired: frozenset[StepKey] = frozenset()
    while due := due_levels(steps, fired, now, CALENDAR, POLICY):
        following = next_step_at(steps, fired, now)
        assert following is not None
        assert following <= now
        fired |= {step.key for step in due}
    following = next_step_at(steps, fired, now)
    assert following is None or following > now or not is_working_hours(now, CALENDAR, POLICY.hours)


WEEKDAYS_2027 = [
    day
    for day in (date(2027, 1, 1) + timedelta(days=n) for n in range(365))
    if day.weekday() < 5 and not fixed_holiday(day)
]
WEEKENDS_2027 = [day for day in (date(2027, 1, 1) + timedelta(days=n) for n in range(365)) if day.weekday() >= 5]


@st.composite
def notices_for_2027(draw: st.DrawFn) -> WorkCalendar:
    """Any notice the State Council might issue: up to 20 weekdays off, in one block or scattered, some days worked."""
    block = draw(st.integers(0, 80))
    off = WEEKDAYS_2027[block : block + draw(st.integers(0, 12))]
    off += draw(st.lists(st.sampled_from(WEEKDAYS_2027[:120]), max_size=8))
    work = draw(st.lists(st.sampled_from(WEEKENDS_2027[:40]), max_size=7, unique=True))
    fixed = [day for day in (date(2027, 1, 1), date(2027, 10, 1)) if day not in work]
    return WorkCalendar.of(
        [
            YEAR_2026,
            CalendarYear(
                year=2027,
                status=DayStatus.PUBLISHED,
                source="notice",
                off=tuple(f"{day:%m-%d}" for day in {*off, *fixed}),
                work=tuple(f"{day:%m-%d}" for day in work if not fixed_holiday(day)),
            ),
        ]
    )


@given(
    notices_for_2027(),
    st.sampled_from([("5wd", Track.ASSIGN), ("10wd", Track.ASSIGN), ("1mo", Track.TRANSFER), ("3mo", Track.TRANSFER)]),
    st.integers(0, 70),
    st.booleans(),
)
def test_provisional_date_never_escalates_earlier_than_the_notice_would(
    published: WorkCalendar, term: tuple[str, Track], days: int, signed: bool
) -> None:
    text, track = term
    started = at("2026-11-25 10:00") + timedelta(days=days)
    facts = LadderFacts(signed=signed)

    def reached(calendar: WorkCalendar) -> dict[StepKey, LadderStep]:
        made = clocks.start("c", ClockKind.HANDLING, Term.parse(text), started, calendar)
        return {step.key: step for step in ladder(made, track, POLICY, calendar, facts) if step.level > 0}

    assumed, firm = reached(CALENDAR), reached(published)
    assert assumed.keys() == firm.keys()
    for key, step in assumed.items():
        assert step.at >= firm[key].at
        assert step.provisional or step.at == firm[key].at
        assert not firm[key].provisional


def test_level_waits_for_the_notice_but_not_for_ever() -> None:
    steps = ladder(clock("2026-12-28 10:00"), Track.ASSIGN, POLICY, CALENDAR, SIGNED)
    urging = next(step for step in steps if step.level == 1)
    assert urging.provisional
    waited = CALENDAR.working_days_between(date(2027, 1, 5), local_date(urging.at)).days
    assert waited == 1 + POLICY.limits.provisional_margin_wd
