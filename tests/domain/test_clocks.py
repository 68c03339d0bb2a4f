"""Clocks: the rules c.5 one by one, on the calendar of 2026."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain import clocks
from service.domain.calendar_years import CalendarDay, CalendarYear, DayStatus
from service.domain.clocks import Clock, ClockKind, OnTime, Overdue
from service.domain.office_hours import due_instant
from service.domain.working_days import DayKind, Term, WorkCalendar

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
FIVE = Term(5, "wd")
D = date.fromisoformat


def at(text: str) -> datetime:
    """ "2026-03-02 10:00" in Shanghai."""
    return datetime.fromisoformat(f"{text}+08:00").astimezone(UTC)


def handling(started: str = "2026-03-02 10:00", term: Term = FIVE) -> Clock:
    """K2 from a Monday in a month without holidays; five working days end on Monday 03-09."""
    return clocks.start(clocks.clock_id("o1", ClockKind.HANDLING, 1), ClockKind.HANDLING, term, at(started), CALENDAR)


def paused(clock: Clock, since: str, until: str, at_least: int = 0) -> Clock:
    clock = clocks.pause(clock, at(since), "needs_info", CALENDAR)
    return clocks.resume(clock, at(until), CALENDAR, at_least=at_least)


def test_day_zero_never_counts_and_the_term_ends_at_close_of_business() -> None:
    clock = handling()
    assert clock.id == "o1:K2:1"
    assert clock.due == D("2026-03-09")
    assert clock.due_at == clock.original_due_at == at("2026-03-09 17:30")
    assert not clock.provisional


def test_clock_without_a_term_runs_and_is_never_due() -> None:
    clock = clocks.start("o1:K0:1", ClockKind.WHOLE, None, at("2026-03-02 10:00"), CALENDAR)
    assert clock.is_running
    assert clock.due is None
    assert clocks.remaining_working_days(clock, at("2026-03-09 10:00"), CALENDAR) is None
    assert clocks.result(clocks.stop(clock, at("2026-03-30 10:00"), CALENDAR), CALENDAR) is None
    assert clocks.explain(clock, CALENDAR) is None


def test_statutory_term_ends_on_the_next_workday() -> None:
    clock = clocks.start("o1:K5:1", ClockKind.STATUTORY, Term(3, "mo"), at("2026-07-01 10:00"), CALENDAR)
    assert clock.due == D("2026-10-08")


@pytest.mark.parametrize("kind", [ClockKind.WHOLE, ClockKind.DIRECT, ClockKind.FOLLOW_UP, ClockKind.STATUTORY])
def test_only_screening_and_handling_ever_stand_still(kind: ClockKind) -> None:
    clock = clocks.start("o1:x:1", kind, FIVE, at("2026-03-02 10:00"), CALENDAR)
    assert clocks.pause(clock, at("2026-03-03 10:00"), "needs_info", CALENDAR) == clock


def test_pause_gives_back_the_working_days_it_took() -> None:
    # Monday to Friday used 03-03; stands still 03-04 to 03-10 (five working days); four are left from 03-11.
    clock = paused(handling(), "2026-03-03 10:00", "2026-03-10 10:00")
    assert clock.due == D("2026-03-16")


def test_pause_over_a_weekend_costs_no_working_day() -> None:
    assert paused(handling(), "2026-03-06 16:00", "2026-03-08 09:00").due == D("2026-03-09")


def test_pause_within_one_day_changes_nothing() -> None:
    assert paused(handling(), "2026-03-04 09:00", "2026-03-04 16:00").due == D("2026-03-09")


def test_paused_clock_has_no_due_date_and_says_what_was_left() -> None:
    clock = clocks.pause(handling(), at("2026-03-04 10:00"), "needs_info", CALENDAR)
    assert clock.is_paused
    assert clock.due is clock.due_at is None
    assert clock.original_due_at == at("2026-03-09 17:30")
    left = clocks.remaining_working_days(clock, at("2026-03-20 10:00"), CALENDAR)
    assert left is not None
    assert left.days == 3
    assert clocks.overdue_days(clock, at("2026-03-20 10:00"), CALENDAR) == 0


def test_asking_for_information_after_the_due_day_does_not_undo_being_late() -> None:
    clock = paused(handling(), "2026-03-11 10:00", "2026-03-13 10:00")
    assert clock.due == D("2026-03-09")
    # 03-10 and 03-11 late, 03-12 and 03-13 stood still, 03-16 late again.
    assert clocks.overdue_days(clock, at("2026-03-16 10:00"), CALENDAR) == 3
    assert clocks.day_overdue(clock, 3, CALENDAR) == D("2026-03-16")


def test_suspension_leaves_at_least_three_working_days() -> None:
    assert paused(handling(), "2026-03-06 10:00", "2026-04-01 10:00").due == D("2026-04-02")
    assert paused(handling(), "2026-03-06 10:00", "2026-04-01 10:00", at_least=3).due == D("2026-04-07")


def test_extension_keeps_the_original_due_date_for_statistics() -> None:
    clock = clocks.extend(handling(), Term(10, "wd"), CALENDAR)
    assert clock.due == D("2026-03-23")
    assert clock.original_due_at == at("2026-03-09 17:30")
    done = clocks.stop(clock, at("2026-03-11 10:00"), CALENDAR)
    assert clocks.result(done, CALENDAR) == OnTime()
    assert clocks.result(done, CALENDAR, original=True) == Overdue(2)


def test_months_extended_by_months_count_from_the_start() -> None:
    start = clocks.start("o1:K5:1", ClockKind.STATUTORY, Term(1, "mo"), at("2026-05-31 10:00"), CALENDAR)
    assert clocks.extend(start, Term(1, "mo"), CALENDAR).due == D("2026-07-31")


def test_changed_urgency_recomputes_from_the_start_less_the_pauses() -> None:
    clock = paused(handling(), "2026-03-03 10:00", "2026-03-05 10:00")
    assert clocks.retime(clock, Term(3, "wd"), CALENDAR) == paused(
        handling(term=Term(3, "wd")), "2026-03-03 10:00", "2026-03-05 10:00"
    )


def test_rejected_reply_buys_no_time() -> None:
    submitted = clocks.stop(handling(), at("2026-03-06 10:00"), CALENDAR)
    assert submitted.is_stopped
    assert clocks.restart(submitted, CALENDAR) == handling()


@pytest.mark.parametrize(
    ("stopped", "expected"),
    [
        ("2026-03-09 17:30", OnTime()),
        ("2026-03-09 17:31", Overdue(1)),
        ("2026-03-10 09:00", Overdue(1)),
        ("2026-03-11 09:00", Overdue(2)),
        ("2026-03-14 09:00", Overdue(4)),  # a Saturday adds nothing to Friday
    ],
)
def test_result_counts_working_days_begun(stopped: str, expected: OnTime | Overdue) -> None:
    assert clocks.result(clocks.stop(handling(), at(stopped), CALENDAR), CALENDAR) == expected
    assert clocks.result(handling(), CALENDAR) is None


def test_countdown_goes_through_zero_on_the_due_day() -> None:
    days = [
        left.days
        for day in ("02", "06", "07", "09", "10", "11")
        if (left := clocks.remaining_working_days(handling(), at(f"2026-03-{day} 11:00"), CALENDAR))
    ]
    assert days == [5, 1, 1, 0, -1, -2]


def test_new_notice_moves_open_clocks_and_leaves_stopped_ones() -> None:
    typhoon = CalendarDay(D("2026-03-05"), False, "台风", DayStatus.LOCAL, "防汛办")
    after = WorkCalendar.of([YEAR_2026], [typhoon])
    stopped = clocks.stop(handling(), at("2026-03-06 10:00"), CALENDAR)
    assert clocks.recompute(handling(), after).due == D("2026-03-10")
    assert clocks.recompute(stopped, after) == stopped


def test_clock_into_an_unpublished_year_is_provisional() -> None:
    assert handling("2026-12-28 10:00").provisional
    assert not handling("2026-12-24 10:00").provisional
    # A working-day term counts every day on its way; of a month term only the end can move.
    assert not clocks.start("a", ClockKind.STATUTORY, Term(1, "mo"), at("2026-11-30 10:00"), CALENDAR).provisional
    assert clocks.start("a", ClockKind.STATUTORY, Term(1, "mo"), at("2026-12-02 10:00"), CALENDAR).provisional


def test_explanation_shows_days_on_which_the_clock_stood_still() -> None:
    clock = paused(handling(), "2026-03-03 10:00", "2026-03-05 10:00")
    shown = clocks.explain(clock, CALENDAR)
    assert shown is not None
    assert [f"{day.day:%m-%d}" for day in shown.counted] == ["03-03", "03-06", "03-09", "03-10", "03-11"]
    assert [f"{day.day:%m-%d}" for day in shown.skipped if day.kind is DayKind.PAUSED] == ["03-04", "03-05"]
    assert shown.due == clock.due


def test_two_nodes_clocks_that_disagree_break_nothing() -> None:
    clock = clocks.pause(handling(), at("2026-03-05 10:00"), "needs_info", CALENDAR)
    back = clocks.resume(clock, at("2026-03-04 10:00"), CALENDAR)  # resumed "before" it paused
    assert back.due == D("2026-03-09")
    assert clocks.stop(back, at("2026-03-01 10:00"), CALENDAR).due == D("2026-03-09")


instants = st.integers(0, 60 * 24 * 60).map(lambda minutes: at("2026-03-02 10:00") + timedelta(minutes=minutes))


@given(st.lists(instants, max_size=8), st.integers(1, 15))
def test_total_running_days_equal_the_term_whatever_the_pauses(moments: list[datetime], n: int) -> None:
    clock = handling(term=Term(n, "wd"))
    ordered = sorted(moments)[: len(moments) // 2 * 2]
    for since, until in zip(ordered[::2], ordered[1::2], strict=True):
        clock = clocks.resume(clocks.pause(clock, since, "needs_info", CALENDAR), until, CALENDAR)
    assert clock.due is not None
    assert CALENDAR.is_workday(clock.due)
    shown = clocks.explain(clock, CALENDAR)
    assert shown is not None
    whole = CALENDAR.working_days_between(D("2026-03-02"), clock.due).days
    assert whole - clocks.paused_days(clock, CALENDAR) == n
    assert clock.due >= handling(term=Term(n, "wd")).due  # type: ignore[operator]
    assert len(shown.counted) == n


@given(instants, st.integers(1, 15), st.integers(1, 15))
def test_extending_at_any_time_gives_the_same_date_as_a_longer_term(started: datetime, n: int, more: int) -> None:
    short = clocks.start("c", ClockKind.HANDLING, Term(n, "wd"), started, CALENDAR)
    whole = clocks.start("c", ClockKind.HANDLING, Term(n + more, "wd"), started, CALENDAR)
    assert clocks.extend(short, Term(more, "wd"), CALENDAR).due == whole.due
    assert whole.due is not None
    assert whole.due_at == due_instant(whole.due)
