"""A notice or a local day off moves the clocks that still run, and leaves alone what is over."""

from datetime import UTC, date, datetime, timedelta

import pytest
from sqlalchemy import select

from service.actions import master_data, projecting
from service.domain import facts as f
from service.domain.opinions import State
from service.domain.policy import Policy
from service.domain.policy_reading import policy_to_mapping
from service.store import tables
from tests.actions.township import Township

THURSDAY = date(2026, 11, 19)


def due_on(town: Township, key: str) -> date | None:
    with town.node.reading() as connection:
        return connection.execute(select(tables.opinions.c.due_on).where(tables.opinions.c.id == key)).scalar_one()


def day_off(town: Township, day: date = THURSDAY) -> None:
    town.do("clerk", master_data.set_calendar_day, day, is_workday=False, reason="台风停工")


def waiting(town: Township) -> set[str]:
    with town.node.engine.begin() as connection:
        return {subject.partition("/")[2] for subject in town.node.ledger.take_pending(connection, 100)}


def test_a_day_off_moves_every_open_clock_by_one_working_day(any_town: Township) -> None:
    screening, handling, follow_up = (
        any_town.case_in(state) for state in (State.REGISTERED, State.DISPATCHED, State.REPLIED)
    )
    before = [due_on(any_town, key) for key in (screening, handling, follow_up)]
    assert before == [date(2026, 11, 18), date(2026, 11, 23), date(2026, 11, 23)]
    day_off(any_town)
    any_town.fold()
    after = [due_on(any_town, key) for key in (screening, handling, follow_up)]
    assert after == [date(2026, 11, 18), date(2026, 11, 24), date(2026, 11, 24)]
    assert set(projecting.differences(any_town.node).values()) == {0}


def test_open_cases_wait_for_the_sweep_and_ended_ones_do_not(any_town: Township) -> None:
    open_cases = {any_town.case_in(state) for state in (State.REGISTERED, State.HANDLING, State.REOPENED)}
    for state in (State.CLOSED, State.EXPLAINED):
        any_town.case_in(state)
    day_off(any_town)
    assert waiting(any_town) == open_cases


def test_a_closed_case_keeps_its_row(any_town: Township) -> None:
    key = any_town.case_in(State.CLOSED)
    row = select(tables.opinions).where(tables.opinions.c.id == key)
    with any_town.node.reading() as connection:
        before = connection.execute(row).one()
    day_off(any_town)
    any_town.fold()
    with any_town.node.reading() as connection:
        assert connection.execute(row).one() == before


def test_a_card_that_fired_stays_when_the_day_is_taken_off_afterwards(any_town: Township) -> None:
    key = any_town.case_in(State.DISPATCHED)
    any_town.clock.at = datetime(2026, 11, 24, 2, tzinfo=UTC)
    any_town.sweep()
    fired = [(card.level, card.mark) for card in any_town.opinion(key).cards]
    assert fired
    day_off(any_town)
    any_town.fold()
    any_town.sweep()
    assert [(card.level, card.mark) for card in any_town.opinion(key).cards][: len(fired)] == fired


def test_a_card_comes_a_day_later_when_the_day_is_taken_off_before(any_town: Township) -> None:
    key = any_town.case_in(State.HANDLING)
    day_off(any_town)
    any_town.fold()
    any_town.clock.at = datetime(2026, 11, 24, 8, tzinfo=UTC)  # a working day late by the old calendar
    any_town.sweep()
    assert max(card.level for card in any_town.opinion(key).cards) == 0
    any_town.clock.forward(timedelta(days=1))
    any_town.sweep()
    assert max(card.level for card in any_town.opinion(key).cards) == 1


def test_a_day_worked_instead_gives_the_time_back(town: Township) -> None:
    key = town.case_in(State.DISPATCHED)
    town.do("clerk", master_data.set_calendar_day, date(2026, 11, 21), is_workday=True, reason="补班")  # a Saturday
    town.fold()
    assert due_on(town, key) == date(2026, 11, 20) + timedelta(days=1)


def test_a_new_policy_does_not_move_a_clock_that_runs(any_town: Township) -> None:
    before = any_town.case_in(State.REPLIED)
    terms = policy_to_mapping(Policy()) | {"effective_from": "2026-11-17"}
    terms["terms"] = terms["terms"] | {"follow_up": "9wd"}
    with any_town.acting("clerk") as unit:
        stated = f.PolicyStated(effective_from=date(2026, 11, 17), terms=terms)
        unit.record("policy/town", stated, scope=unit.public_scope)
    any_town.fold()
    any_town.clock.forward(timedelta(days=1))
    after = any_town.case_in(State.REPLIED)
    assert (due_on(any_town, before), due_on(any_town, after)) == (date(2026, 11, 23), date(2026, 11, 30))


@pytest.mark.parametrize("day", [date(2003, 12, 31), date(2101, 1, 1)])
def test_days_far_away_are_refused(town: Township, day: date) -> None:
    from service.domain.refusals import InvalidForm

    with pytest.raises(InvalidForm):
        day_off(town, day)
