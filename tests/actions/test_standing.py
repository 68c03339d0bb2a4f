"""Clocks of one day share a plan; it says what computing each of them by itself would say."""

from datetime import UTC, date, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from service.domain import clocks
from service.domain import facts as f
from service.domain.calendar_years import CalendarDay, DayStatus
from service.domain.casework import standing
from service.domain.clocks import ClockKind
from service.domain.escalation import LadderFacts, ladder, next_step_at, track_of
from service.domain.opinion_fold import fold
from service.domain.opinions import Opinion
from service.domain.policy import Policy, Terms
from service.domain.record import Author, Recorded
from service.domain.town import Town
from service.domain.working_days import Term, WorkCalendar
from service.store.published_calendar import published_years

SOMEBODY = Author(role="clerk", account="k1", name="黄受理")
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
CALENDAR = WorkCalendar.of(published_years())
TOWN = Town(
    policies=((date(2019, 1, 1), Policy()), (date(2026, 7, 1), Policy(terms=Terms(screen=Term(4, "wd"))))),
    calendar=CALENDAR,
)  # fmt: skip

INSTANTS = st.datetimes(datetime(2019, 1, 1), datetime(2027, 6, 30), timezones=st.just(UTC))  # noqa: DTZ001
TERMS = st.sampled_from(["1wd", "3wd", "5wd", "10wd", "1mo", "3mo", "6mo"])


def told(*facts: f.Fact, at: datetime) -> Opinion:
    """The opinion after these facts, one each second."""
    return fold("a" * 32, [
        Recorded(event_id=f"{n:032x}", kind=fact.KIND, fact=fact, occurred_at=at + timedelta(seconds=n),
                 received_at=at, author=SOMEBODY, from_hub=True)
        for n, fact in enumerate(facts)
    ])  # fmt: skip


def registered() -> f.OpinionRegistered:
    return f.OpinionRegistered(reg_no="QD-2026-0001", tracking="x", station="qd", source="reception", title="t",
                               body="b")  # fmt: skip


def dispatched(route: str, term: str) -> f.Dispatched:
    return f.Dispatched(route=route, dispatch_no="JB-1", unit="water", requirement="r", duty_basis="d", term=term)


@settings(max_examples=300)
@given(
    at=INSTANTS, term=TERMS, route=st.sampled_from(["assign", "transfer"]), signed=st.sampled_from([None, False, True])
)
def test_a_shared_plan_says_what_the_single_clock_says(
    at: datetime, term: str, route: str, signed: bool | None
) -> None:
    """`signed`: not at all, deemed, or by the unit itself."""
    acts = [registered(), dispatched(route, term)]
    if signed is not None:
        acts.append(f.Signed(deemed=not signed))
    opinion = told(*acts, at=at)
    span = opinion.active()
    assert span is not None
    now = standing(opinion, TOWN)
    policy = TOWN.policy_on(span.started_at.astimezone(Policy().hours.zone).date())
    kind = ClockKind.STATUTORY if route == "transfer" else ClockKind.HANDLING
    alone = clocks.start(now.clock_id, kind, Term.parse(term), span.started_at, CALENDAR, policy.hours)
    steps = ladder(alone, track_of(kind, route), policy, CALENDAR, LadderFacts(signed=bool(signed)))
    assert now.clock == alone
    assert now.steps == steps
    first = next_step_at(steps, frozenset(), LONG_AGO)
    assert now.next_step_at == min(filter(None, [first, now.deem_at]), default=None)


@settings(max_examples=100)
@given(at=INSTANTS)
def test_a_desk_clock_takes_its_term_from_the_policy_of_its_day(at: datetime) -> None:
    now = standing(told(registered(), at=at), TOWN)
    policy = TOWN.policy_on(at.astimezone(Policy().hours.zone).date())
    alone = clocks.start(now.clock_id, ClockKind.SCREENING, policy.terms.screen, at, CALENDAR, policy.hours)
    assert now.clock == alone
    assert now.steps == ladder(alone, track_of(alone.kind, ""), policy, CALENDAR, LadderFacts())


def test_a_case_with_a_history_of_its_own_is_computed_by_itself() -> None:
    """Cards, a complaint, a reopening and the presidium's choice all change the ladder of one case alone."""
    at = datetime(2026, 11, 16, 2, tzinfo=UTC)
    plain = standing(told(registered(), dispatched("assign", "5wd"), at=at), TOWN)
    chosen = standing(told(registered(), dispatched("assign", "5wd"), f.KeySelected(reason="x"), at=at), TOWN)
    assert {step.reason_code for step in chosen.steps} - {step.reason_code for step in plain.steps} == {"key_item"}


def test_another_calendar_has_plans_of_its_own() -> None:
    at = datetime(2026, 11, 16, 2, tzinfo=UTC)
    opinion = told(registered(), dispatched("assign", "5wd"), at=at)
    assert standing(opinion, TOWN).due_on == date(2026, 11, 23)
    holiday = CALENDAR.of(published_years(), [day_off(date(2026, 11, 19))])
    assert standing(opinion, Town(policies=TOWN.policies, calendar=holiday)).due_on == date(2026, 11, 24)
    assert standing(opinion, TOWN).due_on == date(2026, 11, 23)


def day_off(day: date) -> CalendarDay:
    return CalendarDay(day, False, "台风", DayStatus.LOCAL, "台风")
