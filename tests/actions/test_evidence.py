"""What each step must be given before it counts (domain part c.4, column "evidence")."""

from datetime import date
from typing import Any

import pytest

from service.actions import escalating, following_up, handling, routing
from service.actions.following_up import FollowUpForm
from service.actions.handling import ReplyForm
from service.domain.opinions import State
from service.domain.refusals import Invalid, NotAllowed, Refused
from tests.actions.township import DAY, HOUR, Township, dispatch_form

TOO_LONG = "长" * 5001


@pytest.mark.parametrize(
    ("changes", "field", "code"),
    [
        ({"unit": ""}, "unit", "required"),
        ({"unit": "nobody"}, "unit", "unknown_choice"),
        ({"requirement": "  "}, "requirement", "required"),
        ({"requirement": TOO_LONG}, "requirement", "too_long"),
        ({"duty_basis": ""}, "duty_basis", "required"),
    ],
)
def test_a_dispatch_names_unit_requirement_and_duty(
    town: Township, changes: dict[str, str], field: str, code: str
) -> None:
    key = town.register()
    with pytest.raises(Invalid) as refused:
        town.dispatch(key, **changes)
    assert (refused.value.field, refused.value.code) == (field, code)
    assert town.state(key) is State.REGISTERED


def test_a_unit_that_ended_is_no_longer_dispatched_to(town: Township) -> None:
    from service.actions.master_data import UnitForm, state_unit

    key = town.register()
    town.do("clerk", state_unit, "roads", UnitForm(name="公路站", kind="institute", active=False))
    with pytest.raises(Invalid):
        town.dispatch(key, unit="roads")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"important": False, "widespread": False}, "important"),
        ({"letter_no": " "}, "letter_no"),
        ({"letter_no": "", "adopted_by": "nobody"}, "adopted_by"),
        ({"unit": "nobody"}, "unit"),
    ],
)
def test_a_transfer_needs_weight_and_a_deputy_or_a_letter(town: Township, changes: dict[str, Any], field: str) -> None:
    key = town.register()
    with pytest.raises(Invalid) as refused:
        town.transfer(key, **changes)
    assert refused.value.field == field


@pytest.mark.parametrize(
    ("changes", "term"),
    [
        ({}, "1mo"),
        ({"adopted_by": "qian", "letter_no": ""}, "3mo"),
        ({"adopted_by": "qian", "hard": True}, "6mo"),
        ({"hard": True}, "6mo"),
    ],
)
def test_a_transfer_runs_for_the_statutory_months(town: Township, changes: dict[str, Any], term: str) -> None:
    key = town.register()
    town.transfer(key, **changes)
    assignment = town.opinion(key).assignment
    assert assignment is not None
    assert assignment.term == term


@pytest.mark.parametrize(
    ("urgency", "is_complex", "term"),
    [("normal", False, "5wd"), ("normal", True, "10wd"), ("urgent", False, "3wd"), ("critical", True, "1wd")],
)
def test_an_assignment_runs_by_urgency_before_complexity(
    town: Township, urgency: str, is_complex: bool, term: str
) -> None:
    key = town.register(urgency=urgency)
    town.dispatch(key, is_complex=is_complex)
    assignment = town.opinion(key).assignment
    assert assignment is not None
    assert assignment.term == term


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"reason": ""}, "reason"),
        ({"reason": "R1"}, "reason"),  # a reason to return is none to explain
        ({"channel": ""}, "channel"),
        ({"talk": " "}, "talk"),
        ({"confirmed": False, "attempts": 1}, "attempts"),
    ],
)
def test_an_explanation_names_reason_channel_and_talk(town: Township, changes: dict[str, Any], field: str) -> None:
    key = town.register()
    with pytest.raises(Invalid) as refused:
        town.explain(key, **changes)
    assert refused.value.field == field


def test_an_explanation_stands_after_two_attempts_without_the_reporter(town: Township) -> None:
    key = town.register()
    town.explain(key, confirmed=False, attempts=2)
    assert town.state(key) is State.EXPLAINED


@pytest.mark.parametrize("reason", ["N3", "N10"])
def test_accusations_and_secrets_are_explained_by_the_chair_alone(town: Township, reason: str) -> None:
    key = town.register()
    for who in ("clerk", "chief"):
        with pytest.raises(Invalid) as refused:
            town.explain(key, who=who, reason=reason)
        assert refused.value.code == "chair_only"
    town.explain(key, who="chair", reason=reason)
    assert town.state(key) is State.EXPLAINED


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"text": ""}, "text"),
        ({"outcome": ""}, "outcome"),
        ({"outcome": "E"}, "outcome"),
        ({"outcome": "A", "evidence": " "}, "evidence"),
        ({"outcome": "B", "plan": "", "promised_on": date(2026, 12, 1)}, "plan"),
        ({"outcome": "C", "plan": "明年修", "promised_on": None}, "promised_on"),
        ({"outcome": "D", "policy_basis": ""}, "policy_basis"),
    ],
)
def test_a_reply_rests_on_proof_a_plan_with_a_date_or_a_policy(
    town: Township, changes: dict[str, Any], field: str
) -> None:
    key = town.case_in(State.HANDLING)
    with pytest.raises(Invalid) as refused:
        town.reply(key, **changes)
    assert refused.value.field == field
    assert town.state(key) is State.HANDLING


@pytest.mark.parametrize(
    "changes",
    [
        {"outcome": "A", "evidence": "照片"},
        {"outcome": "B", "evidence": "", "plan": "下周动工", "promised_on": date(2026, 12, 1)},
        {"outcome": "C", "evidence": "", "plan": "列入明年", "promised_on": date(2027, 6, 1)},
        {"outcome": "D", "evidence": "", "policy_basis": "县政府〔2024〕8号"},
    ],
)
def test_each_outcome_can_be_replied(town: Township, changes: dict[str, Any]) -> None:
    key = town.case_in(State.HANDLING)
    town.reply(key, **changes)
    town.deliver(key)
    assert town.opinion(key).outcome == changes["outcome"]


@pytest.mark.parametrize(("way", "proof", "field"), [("pigeon", "x", "way"), ("", "x", "way"), ("face", " ", "proof")])
def test_a_delivery_says_how_and_shows_proof(town: Township, way: str, proof: str, field: str) -> None:
    key = town.case_in(State.REPLY_REVIEW)
    with pytest.raises(Invalid) as refused:
        town.do("clerk", handling.deliver_reply, key, way=way, proof=proof)
    assert refused.value.field == field


def test_a_reply_is_sent_back_with_its_defects_and_the_clock_goes_on(town: Township) -> None:
    key = town.case_in(State.REPLY_REVIEW)
    with pytest.raises(Invalid):
        town.do("clerk", handling.reject_reply, key, "")
    due = town.opinion(key).spans[-1]
    town.reject(key)
    opinion = town.opinion(key)
    assert opinion.state is State.HANDLING
    assert opinion.active() is not None
    assert opinion.spans[-1].started_at == due.started_at


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"way": "pigeon"}, "way"),
        ({"solved": None}, "solved"),
        ({"rating": "superb"}, "rating"),
        ({"rating": "dissatisfied", "reason": ""}, "reason"),
    ],
)
def test_a_follow_up_says_what_the_citizen_said(town: Township, changes: dict[str, Any], field: str) -> None:
    key = town.case_in(State.REPLIED)
    with pytest.raises(Invalid) as refused:
        town.follow_up(key, **changes)
    assert refused.value.field == field
    assert town.opinion(key).follow_ups == []


def test_nobody_closes_before_somebody_asked(town: Township) -> None:
    key = town.case_in(State.REPLIED)
    with pytest.raises(Refused) as refused:
        town.close(key)
    assert refused.value.code == "follow_up_first"


def test_two_failed_attempts_close_on_different_days_only(town: Township) -> None:
    key = town.case_in(State.REPLIED)
    missed = FollowUpForm(way="phone", reached=False)
    for _ in range(2):
        town.do("liaison", following_up.follow_up, key, missed)
        town.clock.forward(HOUR)
    with pytest.raises(Refused):
        town.close(key)
    town.clock.forward(DAY)
    town.do("liaison", following_up.follow_up, key, missed)
    town.close(key)
    assert town.state(key) is State.CLOSED


def test_an_attempt_before_the_last_delivery_does_not_count(town: Township) -> None:
    """Whoever was called about the first answer has not been asked about the second."""
    key = town.case_in(State.REPLIED)
    town.follow_up(key)
    town.do("clerk", following_up.reopen, key, "又堵了")
    for step in (town.dispatch, town.sign, town.reply, town.deliver):
        town.clock.forward(HOUR)
        step(key)
    with pytest.raises(Refused) as refused:
        town.close(key)
    assert refused.value.code == "follow_up_first"


def test_a_case_that_somebody_wants_reopened_is_not_closed(town: Township) -> None:
    key = town.case_in(State.REPLIED)
    town.follow_up(key)
    town.do("deputy", following_up.ask_reopen, key, "还在漫水")
    with pytest.raises(Refused) as refused:
        town.close(key)
    assert refused.value.code == "reopen_pending"


def test_asking_to_reopen_ends_fifteen_working_days_after_delivery(town: Township) -> None:
    key = town.case_in(State.REPLIED)
    town.clock.at = town.clock.at.replace(month=12, day=7)  # the fifteenth working day after 2026-11-16
    town.do("deputy", following_up.ask_reopen, key, "还在漫水")
    town.clock.forward(DAY)
    with pytest.raises(Refused) as refused:
        town.do("deputy", following_up.ask_reopen, key, "还在漫水")
    assert refused.value.code == "reopen_window_over"


def test_the_second_redispatch_is_signed_by_the_chair(town: Township) -> None:
    once, twice = town.redispatched(1), town.redispatched(2)
    town.dispatch(once, who="clerk")
    with pytest.raises(NotAllowed):
        town.dispatch(twice, who="clerk")
    town.dispatch(twice, who="chair")
    assert town.state(twice) is State.DISPATCHED


def test_a_locked_category_is_never_dispatched(town: Township) -> None:
    locked = next(code for code, fact in town.snapshot().categories.items() if fact.locked)
    key = town.register(category=locked)
    for who, step in (("clerk", town.dispatch), ("chair", town.dispatch), ("chair", town.transfer)):
        with pytest.raises(Refused) as refused:
            step(key, who=who)
        assert refused.value.code == "locked_category"


def test_what_the_station_marked_sensitive_is_not_dispatched_either(town: Township) -> None:
    key = town.register(sensitive=True)
    with pytest.raises(Refused) as refused:
        town.dispatch(key)
    assert refused.value.code == "locked_category"


def test_cards_are_answered_and_revoked_with_words_once(town: Township) -> None:
    key = town.case_in(State.DISPATCHED)
    town.clock.at = town.clock.at.replace(day=18)  # unsigned after one working day: urging
    town.sweep()
    clock = town.opinion(key).cards[-1].clock
    for who, action in (("handler", escalating.answer_card), ("chair", escalating.revoke_card)):
        with pytest.raises(Invalid):
            town.do(who, action, key, clock, 1, " ")
    with pytest.raises(Refused) as unknown:
        town.do("handler", escalating.answer_card, key, clock, 3, "在办")
    assert unknown.value.code == "not_found"
    town.do("chair", escalating.revoke_card, key, clock, 1, "误发")
    with pytest.raises(Refused) as again:
        town.do("chair", escalating.revoke_card, key, clock, 1, "误发")
    assert again.value.code == "card_revoked"


def test_progress_answers_every_card_that_still_waits(town: Township) -> None:
    key = town.case_in(State.DISPATCHED)
    town.clock.at = town.clock.at.replace(day=18)
    town.sweep()
    town.progress(key)
    assert all(card.feedback_at is not None for card in town.opinion(key).cards if card.level >= 1)


def test_the_answer_at_the_desk_needs_text_outcome_and_way(town: Township) -> None:
    key = town.register()
    for text, outcome, way, field in (("", "A", "face", "text"), ("x", "F", "face", "outcome"), ("x", "A", "", "way")):
        with pytest.raises(Invalid) as refused:
            town.do("chief", routing.answer, key, text=text, outcome=outcome, way=way)
        assert refused.value.field == field
    assert town.state(key) is State.REGISTERED


def test_co_units_are_known_units_other_than_the_first(town: Township) -> None:
    key = town.register()
    town.do("clerk", routing.dispatch, key, dispatch_form(co_units=("roads", "water", "nobody")))
    assignment = town.opinion(key).assignment
    assert assignment is not None
    assert assignment.co_units == ("roads",)


def test_a_reply_form_is_the_heads_own_word(town: Township) -> None:
    key = town.case_in(State.HANDLING)
    with pytest.raises(NotAllowed):
        town.do("handler", handling.submit_reply, key, ReplyForm(text="好了", outcome="A", evidence="照片"))
