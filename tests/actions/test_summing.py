"""What the sums rest on: whether a term ran out before the answer, and the last rating, stand in the opinion's row."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import select

from service.actions import escalating, summing
from service.domain.opinions import State
from service.store.tables import opinions
from tests.actions.township import DAY, Township


def row(town: Township, key: str) -> tuple[bool, str]:
    with town.node.reading() as connection:
        found = connection.execute(select(opinions).where(opinions.c.id == key)).one()
    return found.ran_late, found.rating


def wait(town: Township, days: int) -> None:
    for _ in range(days):
        town.clock.forward(DAY)
        town.sweep()


def answer(town: Township, key: str) -> None:
    town.reply(key)
    town.deliver(key)


def test_an_opinion_ran_late_once_a_card_says_that_its_term_is_over(town: Township) -> None:
    late, punctual = town.register(), town.register()
    for key in (late, punctual):
        town.dispatch(key)
        town.sign(key)
    wait(town, 1)
    answer(town, punctual)
    wait(town, 13)
    assert (row(town, late)[0], row(town, punctual)[0]) == (True, False)
    answer(town, late)
    assert row(town, late)[0], "answered at last, and late all the same"


def test_being_urged_to_sign_is_not_yet_late_and_a_revoked_card_counts_no_more(town: Township) -> None:
    key = town.register()
    town.dispatch(key)
    wait(town, 3)
    cards = town.opinion(key).cards
    assert cards, "the unit did not sign and was urged"
    assert all(card.overdue_days == 0 for card in cards)
    assert not row(town, key)[0]
    wait(town, 12)
    assert row(town, key)[0]
    for card in [one for one in town.opinion(key).cards if one.overdue_days]:
        with town.acting("chair") as unit:
            escalating.revoke_card(unit, key, clock=card.clock, level=card.level, reason="核实后撤销")
    assert not row(town, key)[0]


def test_a_call_back_that_waits_too_long_does_not_make_the_answer_late(town: Township) -> None:
    key = town.case_in(State.REPLIED)
    wait(town, 16)
    assert any(":K4:" in card.clock and card.overdue_days for card in town.opinion(key).cards)
    assert row(town, key) == (False, "")
    town.follow_up(key)
    assert row(town, key) == (False, "satisfied")


def test_a_township_without_a_county_counts_nothing(town: Township) -> None:
    town.register()
    town.clock.forward(timedelta(hours=1))
    assert summing.sum_up(town.node) == 0
