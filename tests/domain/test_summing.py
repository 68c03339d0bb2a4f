"""月度汇总: every figure equals the rows it counts, and every opinion is counted once."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain import facts as f
from service.domain.opinions import State
from service.domain.summing import (
    FIGURES,
    CountedOpinion,
    CountedReception,
    Month,
    last_months,
    same_figures,
    summed,
    total,
)

NOVEMBER = Month(2026, 11)
NOW = datetime(2026, 11, 20, 4, 0, tzinfo=UTC)
DAYS = st.dates(date(2026, 9, 25), date(2026, 12, 5))
OPINIONS = st.builds(
    CountedOpinion, registered_on=DAYS, state=st.sampled_from([s for s in State if s is not State.NEW]),
    ran_late=st.booleans(), rating=st.sampled_from(["", "satisfied", "fair", "dissatisfied"]),
    due_at=st.none() | st.integers(-40, 40).map(lambda days: NOW + timedelta(days=days)),
)  # fmt: skip
RECEPTIONS = st.builds(CountedReception, held_on=DAYS, headcount=st.integers(0, 50))


def sums(
    opinions: list[CountedOpinion], receptions: list[CountedReception] | None = None, **changes: Any
) -> f.TownshipSummed:
    given: dict[str, Any] = {"township": "445222113", "month": NOVEMBER, "now": NOW, "today": NOW.date(),
                             "stations_open": 3, "coverage": None}  # fmt: skip
    return summed(opinions=opinions, receptions=receptions or [], **(given | changes))


@given(st.lists(OPINIONS, max_size=40), st.lists(RECEPTIONS, max_size=20))
def test_each_figure_is_the_number_of_rows_it_names(
    opinions: list[CountedOpinion], receptions: list[CountedReception]
) -> None:
    found = sums(opinions, receptions)
    registered = [o for o in opinions if date(2026, 11, 1) <= o.registered_on <= date(2026, 11, 30)]
    mine = [o for o in registered if o.state.value not in ("merged", "withdrawn", "void")]
    done = [o for o in mine if o.state.value in ("replied", "closed", "explained")]
    assert found.opinions_received == len(mine)
    assert found.answered_late == len([o for o in done if o.ran_late])
    assert found.answered_on_time + found.answered_late == len(done)
    assert found.open_overdue == len([o for o in mine if o not in done and o.due_at is not None and o.due_at < NOW])
    assert found.open_in_term + found.open_overdue == len(mine) - len(done)
    assert found.rated == len([o for o in mine if o.rating])
    assert found.satisfied == len([o for o in mine if o.rating == "satisfied"])
    assert found.fairly_satisfied == len([o for o in mine if o.rating == "fair"])
    held = [r for r in receptions if r.held_on.month == 11]
    assert (found.receptions_held, found.reception_visitors) == (len(held), sum(r.headcount for r in held))


@given(st.lists(OPINIONS, max_size=30))
def test_months_share_no_opinion_and_lose_none(opinions: list[CountedOpinion]) -> None:
    months = last_months(date(2026, 12, 5), 4)
    counted = sum(sums(opinions, month=month).opinions_received for month in months)
    assert counted == len([o for o in opinions if o.state.value not in ("merged", "withdrawn", "void")])


@pytest.mark.parametrize(
    ("state", "ran_late", "due_in_days", "figure"),
    [
        ("replied", False, None, "answered_on_time"),
        ("closed", True, None, "answered_late"),
        ("explained", False, None, "answered_on_time"),
        ("handling", True, 2, "open_in_term"),  # an earlier term ran out, the present one has not
        ("dispatched", False, -1, "open_overdue"),
        ("suspended", False, None, "open_in_term"),  # no term runs
        ("reopened", False, None, "open_in_term"),
    ],
)
def test_an_opinion_counts_where_it_stands(state: str, ran_late: bool, due_in_days: int | None, figure: str) -> None:
    due_at = None if due_in_days is None else NOW + timedelta(days=due_in_days)
    found = sums([CountedOpinion(registered_on=NOW.date(), state=State(state), ran_late=ran_late, due_at=due_at)])
    four = ("answered_on_time", "answered_late", "open_in_term", "open_overdue")
    assert {name: getattr(found, name) for name in four} == {name: int(name == figure) for name in four}


def test_a_total_adds_up_and_what_was_not_computed_adds_nothing() -> None:
    one = sums(
        [CountedOpinion(registered_on=NOW.date(), state=State.CLOSED)],
        [CountedReception(held_on=NOW.date(), headcount=4)],
    )
    added = total([one, one, sums([])])
    assert (added["opinions_received"], added["reception_visitors"], added["stations_open"]) == (2, 8, 9)
    assert added["villages"] == 0


def test_the_day_of_counting_alone_is_no_news() -> None:
    one = sums([])
    assert same_figures(sums([], today=date(2026, 11, 21)), one)
    assert not same_figures(sums([], stations_open=4), one)
    assert not same_figures(one, None)
    assert "as_of" not in FIGURES


def test_months_are_read_and_counted_back_over_the_year() -> None:
    assert [str(month) for month in last_months(date(2026, 2, 28), 4)] == ["2026-02", "2026-01", "2025-12", "2025-11"]
    assert (Month(2028, 2).last, Month(2026, 12).last) == (date(2028, 2, 29), date(2026, 12, 31))
    assert Month.parse("2026-11") == NOVEMBER
    for nonsense in ("", "2026", "2026-13", "2026-00", "26-11", "2026-1", "x", "0000-01", "２０２６-11", "2026-11-01"):
        assert Month.parse(nonsense) is None, nonsense
