"""Working-day arithmetic against the State Council's published schedules, and its laws for any calendar."""

from datetime import date, timedelta

import chinese_calendar
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from service.domain.calendar_years import CalendarDay, CalendarYear, DayStatus
from service.domain.working_days import BadTerm, DayKind, Term, WorkCalendar
from tests.domain.published_years import published, years

D = date.fromisoformat


# --- golden vectors (State Council schedules) ------------------------------------------------------------------

GOLDEN = [
    ("2019-09-27", "5wd", "2019-10-10"),  # Sunday 09-29 is worked, the week of 10-01 is off
    ("2019-09-30", "2wd", "2019-10-09"),
    ("2020-01-22", "5wd", "2020-02-06"),  # the holiday was extended by decree after the clock had started
    ("2025-01-24", "5wd", "2025-02-07"),  # Sunday 01-26 is worked
    ("2025-09-26", "5wd", "2025-10-10"),  # Sunday 09-28 is worked
    ("2026-02-13", "5wd", "2026-02-27"),  # Saturday 02-14 is worked
    ("2026-09-18", "5wd", "2026-09-24"),  # Sunday 09-20 is worked
    ("2019-08-31", "3mo", "2019-12-02"),  # 11-30 is a Saturday
    ("2019-08-31", "6mo", "2020-03-02"),  # month's end in a leap year, a Saturday
    ("2025-11-15", "3mo", "2026-02-24"),  # ends within Spring Festival
    ("2025-08-31", "6mo", "2026-02-28"),  # a Saturday that is worked does not roll
]


@pytest.mark.parametrize(("start", "term", "due"), GOLDEN)
def test_golden_vector(start: str, term: str, due: str) -> None:
    computation = published().explain(D(start), Term.parse(term))
    assert computation.due == D(due)
    assert not computation.provisional
    assert published().due(D(start), Term.parse(term)).day == D(due)


def test_term_that_needs_the_unpublished_notice_is_provisional() -> None:
    due = published().due(D("2026-12-28"), Term(5, "wd"))
    assert due.provisional
    assert not published().due(D("2026-12-28"), Term(3, "wd")).provisional


def test_notice_for_next_year_turns_a_provisional_date_into_a_firm_one() -> None:
    notice = CalendarYear(
        year=2027, status=DayStatus.PUBLISHED, source="notice", off=("01-01", "01-04"), names={"01-04": "元旦"}
    )
    due = WorkCalendar.of([*years([2026]), notice]).due(D("2026-12-28"), Term(5, "wd"))
    assert (due.day, due.provisional) == (D("2027-01-06"), False)


@pytest.mark.parametrize(
    ("year", "workdays"), [(2019, 250), (2020, 249), (2021, 250), (2022, 249), (2023, 249), (2024, 251), (2025, 248)]
)
def test_working_days_of_a_year_match_the_notice(year: int, workdays: int) -> None:
    count = published().working_days_between(date(year - 1, 12, 31), date(year, 12, 31))
    assert (count.days, count.provisional) == (workdays, False)


def test_seeded_calendar_agrees_with_its_source_on_every_day() -> None:
    days = (D("2004-01-01") + timedelta(days=n) for n in range(23 * 365 + 6))
    wrong = [day for day in days if published().is_workday(day) != chinese_calendar.is_workday(day)]
    assert wrong == []


# --- published, drafted and local days -------------------------------------------------------------------------


def test_published_year_without_exceptions_is_still_published() -> None:
    calendar = WorkCalendar.of([CalendarYear(year=2030, status=DayStatus.PUBLISHED, source="notice")])
    assert not calendar.is_provisional(D("2030-05-01"))
    assert calendar.is_workday(D("2030-05-01"))  # the notice is the last word, even over the law


def test_year_without_notice_knows_weekends_and_the_dates_fixed_by_law() -> None:
    off = [
        day for day in ("2027-01-01", "2027-05-03", "2027-10-01", "2027-10-04") if not published().is_workday(D(day))
    ]
    assert off == ["2027-01-01", "2027-10-01"]
    assert published().is_provisional(D("2027-01-01"))


def test_later_record_of_a_year_replaces_the_earlier_one() -> None:
    first = CalendarYear(year=2020, status=DayStatus.PUBLISHED, source="notice", off=("01-30",))
    decree = CalendarYear(year=2020, status=DayStatus.PUBLISHED, source="decree", off=("01-30", "01-31"))
    assert WorkCalendar.of([first]).is_workday(D("2020-01-31"))
    assert not WorkCalendar.of([first, decree]).is_workday(D("2020-01-31"))


def test_local_day_off_wins_and_is_certain_even_in_an_unpublished_year() -> None:
    typhoon = CalendarDay(D("2027-08-11"), False, "台风", DayStatus.LOCAL, "防汛办通知")
    calendar = WorkCalendar.of([], [typhoon])
    assert not calendar.is_workday(D("2027-08-11"))
    assert not calendar.is_provisional(D("2027-08-11"))
    assert calendar.describe(D("2027-08-11")).status is DayStatus.LOCAL


def test_draft_notice_is_used_but_stays_provisional() -> None:
    draft = CalendarYear(year=2027, status=DayStatus.PROVISIONAL, source="draft", off=("02-08",))
    calendar = WorkCalendar.of([draft])
    due = calendar.add_working_days(D("2027-02-05"), 1)
    assert (due.day, due.provisional) == (D("2027-02-09"), True)


# --- how was this date computed --------------------------------------------------------------------------------


def test_explanation_shows_days_counted_and_days_skipped_with_their_reason() -> None:
    shown = published().explain(D("2019-09-27"), Term(5, "wd"))
    assert [f"{day.day:%m-%d}" for day in shown.counted] == ["09-29", "09-30", "10-08", "10-09", "10-10"]
    assert [day.kind for day in shown.counted][:2] == [DayKind.MAKE_UP, DayKind.WORKDAY]
    skipped = {f"{day.day:%m-%d}": day.kind for day in shown.skipped}
    assert skipped["09-28"] is DayKind.WEEKEND
    assert skipped["10-01"] is DayKind.HOLIDAY
    assert skipped["10-05"] is DayKind.WEEKEND


def test_explanation_of_a_month_term_shows_what_it_rolled_over() -> None:
    shown = published().explain(D("2019-08-31"), Term(3, "mo"))
    assert shown.rolled_from == D("2019-11-30")
    assert [day.day for day in shown.skipped] == [D("2019-11-30"), D("2019-12-01")]
    assert [day.day for day in shown.counted] == [D("2019-12-02")]


@pytest.mark.parametrize("text", ["5wd", "3mo", "60d"])
def test_term_reads_what_it_writes(text: str) -> None:
    assert str(Term.parse(text)) == text


@pytest.mark.parametrize("text", ["", "5", "wd", "0wd", "-1wd", "5 wd", "5w", "1.5mo", "12345wd", "٥wd"])
def test_term_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(BadTerm):
        Term.parse(text)


def test_months_and_days_cannot_be_added_up() -> None:
    with pytest.raises(BadTerm):
        Term(3, "mo").plus(Term(5, "wd"))
    assert Term(3, "mo").plus(Term(3, "mo")) == Term(6, "mo")


# --- laws that hold for any calendar ---------------------------------------------------------------------------

dates = st.dates(D("2024-01-01"), D("2028-12-31"))
counts = st.integers(0, 60)


@st.composite
def calendars(draw: st.DrawFn) -> WorkCalendar:
    """Some years published, with arbitrary exceptions, others not."""
    days = draw(st.lists(st.tuples(dates, st.booleans()), max_size=40))
    rows = [CalendarDay(day, is_workday, "", DayStatus.LOCAL, "") for day, is_workday in days]
    return WorkCalendar(rows, draw(st.frozensets(st.integers(2023, 2030))))


@given(calendars(), dates, st.integers(1, 60))
def test_adding_then_counting_gives_the_number_back(calendar: WorkCalendar, start: date, n: int) -> None:
    due = calendar.add_working_days(start, n)
    assert calendar.is_workday(due.day)
    assert calendar.working_days_between(start, due.day).days == n
    assert calendar.working_days_between(due.day, start).days == -n


@given(calendars(), dates, dates, counts, counts)
def test_more_days_or_a_later_start_never_end_earlier(calendar: WorkCalendar, a: date, b: date, n: int, m: int) -> None:
    early, late = sorted((a, b))
    few, many = sorted((n, m))
    assert calendar.add_working_days(early, few).day <= calendar.add_working_days(late, few).day
    assert calendar.add_working_days(early, few).day <= calendar.add_working_days(early, many).day


@given(calendars(), dates, st.integers(1, 30))
def test_going_back_undoes_going_forward_from_a_workday(calendar: WorkCalendar, day: date, n: int) -> None:
    start = calendar.roll(day).day
    assert calendar.previous_workdays(calendar.add_working_days(start, n).day, n).day == start


@given(calendars(), dates, dates)
def test_counting_agrees_with_walking_day_by_day(calendar: WorkCalendar, a: date, b: date) -> None:
    first, last = sorted((a, b))
    walked = [first + timedelta(days=n + 1) for n in range((last - first).days)]
    count = calendar.working_days_between(first, last)
    assert count.days == sum(calendar.is_workday(day) for day in walked)
    assert count.provisional == any(calendar.is_provisional(day) for day in walked)
    assert calendar.overdue(first, last).days == count.days
    assert calendar.overdue(last, first).days == 0


@given(calendars(), dates, st.integers(1, 40), st.sampled_from(["wd", "mo", "d"]))
def test_explanation_agrees_with_the_due_date(calendar: WorkCalendar, start: date, n: int, unit: str) -> None:
    term = Term.parse(f"{n}{unit}")
    due, shown = calendar.due(start, term), calendar.explain(start, term)
    assert (shown.due, shown.provisional, shown.rolled_from) == (due.day, due.provisional, due.rolled_from)
    assert shown.counted[-1].day == due.day
    assert all(calendar.is_workday(day.day) for day in shown.counted)
    assert not any(calendar.is_workday(day.day) for day in shown.skipped)
    assert len(shown.counted) == (n if unit == "wd" else 1)
    touched = (*shown.counted, *shown.skipped)
    assert due.provisional == any(day.status is DayStatus.PROVISIONAL for day in touched)


@given(calendars(), dates, st.integers(1, 24))
@example(published(), D("2025-08-31"), 6)
def test_month_term_never_ends_on_a_day_off(calendar: WorkCalendar, start: date, months: int) -> None:
    due = calendar.add_months(start, months)
    assert calendar.is_workday(due.day)
    end = due.rolled_from or due.day
    assert (end.year * 12 + end.month) - (start.year * 12 + start.month) == months
    assert end.day == start.day or (end + timedelta(days=1)).day == 1


def test_counting_backwards_has_its_own_function() -> None:
    with pytest.raises(ValueError):
        published().add_working_days(D("2026-03-02"), -1)
    with pytest.raises(ValueError):
        published().previous_workdays(D("2026-03-02"), -1)
    assert published().previous_workdays(D("2026-10-08"), 1).day == D("2026-09-30")
    assert published().previous_workdays(D("2026-10-07"), 0).day == D("2026-09-30")
