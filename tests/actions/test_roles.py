"""Who may take which step, and where: the rules of domain part c.2 and c.4, tried for every person and state."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

import pytest

from service.actions import escalating, following_up, handling, master_data, receptions, registering, routing
from service.actions.following_up import FollowUpForm
from service.actions.handling import ReplyForm
from service.domain.opinions import State
from service.domain.refusals import NotAllowed, Refused, WrongState
from service.store.unit import Unit
from tests.actions.township import HOUR, PEOPLE, REACHABLE, Township, dispatch_form

REPLIED_ONCE = frozenset({State.REPLIED, State.CLOSED, State.EXPLAINED})
UNSENT = frozenset({State.REGISTERED, State.REOPENED})
DESK = {"clerk", "chair", "presidium"}  # who reaches every case, so that only its state can refuse them


@dataclass(frozen=True, kw_only=True)
class Tried:
    """A step on a case: by whom and in which states it may be taken, and how one tries it."""

    take: Callable[[Unit, str], object]
    who: set[str]
    states: frozenset[State]
    by: str = ""  # whom the test of states takes; the first of `who` where it makes no difference

    @property
    def somebody(self) -> str:
        return self.by or min(self.who)


def one(state: State) -> frozenset[State]:
    return frozenset({state})


STEPS = {
    "route_direct": Tried(
        take=lambda unit, key: routing.route_direct(unit, key, "政策依据"),
        who={"chief", "clerk"}, states=one(State.REGISTERED),
    ),
    "answer": Tried(
        take=lambda unit, key: routing.answer(unit, key, text="明天清通", outcome="A", way="face"),
        who={"deputy", "chief", "clerk"}, states=one(State.DIRECT), by="deputy",
    ),
    "answer on the spot": Tried(
        take=lambda unit, key: routing.answer(unit, key, text="明天清通", outcome="A", way="face"),
        who={"chief", "clerk"}, states=frozenset({State.REGISTERED, State.DIRECT}),
    ),
    "explain": Tried(
        take=lambda unit, key: routing.explain(
            unit, key, reason="N1", channel="法院", talk="已说明", confirmed=True, attempts=0),
        who={"chief", "clerk", "chair"}, states=one(State.REGISTERED),
    ),
    "dispatch": Tried(
        take=lambda unit, key: routing.dispatch(unit, key, dispatch_form()),
        who={"clerk", "chair"}, states=UNSENT,
    ),
    "transfer": Tried(
        take=lambda unit, key: routing.transfer(unit, key, dispatch_form(important=True, letter_no="1号")),
        who={"chair"}, states=UNSENT,
    ),
    "sign": Tried(
        take=handling.sign, who={"handler", "unit_head", "system"}, states=one(State.DISPATCHED),
    ),
    "report_progress": Tried(
        take=lambda unit, key: handling.report_progress(unit, key, "已派人"),
        who={"handler", "unit_head"}, states=one(State.HANDLING),
    ),
    "submit_reply": Tried(
        take=lambda unit, key: handling.submit_reply(unit, key, ReplyForm(text="好了", outcome="A", evidence="照片")),
        who={"unit_head"}, states=one(State.HANDLING),
    ),
    "reject_reply": Tried(
        take=lambda unit, key: handling.reject_reply(unit, key, "不清楚"),
        who={"clerk"}, states=one(State.REPLY_REVIEW),
    ),
    "deliver_reply": Tried(
        take=lambda unit, key: handling.deliver_reply(unit, key, way="phone", proof="通话记录"),
        who={"clerk"}, states=one(State.REPLY_REVIEW),
    ),
    "follow_up": Tried(
        take=lambda unit, key: following_up.follow_up(unit, key, FollowUpForm(way="phone", reached=False)),
        who={"liaison", "chief", "clerk"}, states=one(State.REPLIED),
    ),
    "ask_reopen": Tried(
        take=lambda unit, key: following_up.ask_reopen(unit, key, "还在漫水"),
        who={"deputy", "liaison", "chief", "clerk"}, states=REPLIED_ONCE,
    ),
    "reopen": Tried(
        take=lambda unit, key: following_up.reopen(unit, key, "还在漫水"),
        who={"clerk", "chair"}, states=REPLIED_ONCE,
    ),
    "select_key_item": Tried(
        take=lambda unit, key: escalating.select_key_item(unit, key, "群众反映强烈"),
        who={"presidium", "chair"}, states=frozenset(REACHABLE) - {State.CLOSED, State.EXPLAINED},
    ),
}  # fmt: skip


class Undone(Exception):
    """Ends a unit of work that was only tried."""


def refusal(town: Township, who: str, take: Callable[[Unit], object]) -> Refused | None:
    """What a step was refused with, None when it was allowed; nothing is recorded either way."""
    try:
        with town.acting(who) as unit:
            take(unit)
            raise Undone
    except Refused as refused:
        return refused
    except Undone:
        return None


def who_may(town: Township, take: Callable[[Unit], object]) -> set[str]:
    """Everybody whom the step is open to."""
    return {who for who in PEOPLE if refusal(town, who, take) is None}


@pytest.mark.parametrize("name", STEPS)
def test_a_step_is_open_to_its_people_and_closed_to_everybody_else(town: Township, name: str) -> None:
    step = STEPS[name]
    key = town.case_in(min(step.states, key=list(REACHABLE).index))
    assert who_may(town, lambda unit: step.take(unit, key)) == step.who


@pytest.mark.parametrize("name", STEPS)
def test_a_step_is_refused_in_every_state_it_does_not_fit(town: Township, name: str) -> None:
    step, allowed = STEPS[name], set()
    for state in REACHABLE:
        key = town.case_in(state)
        why = refusal(town, step.somebody, lambda unit, key=key: step.take(unit, key))
        if why is None:
            allowed.add(state)
        elif step.somebody in DESK:
            assert isinstance(why, WrongState) or why.code == "not_yet_replied", (state, why)
    assert allowed == step.states


def test_closing_is_for_who_did_not_handle_the_matter(town: Township) -> None:
    key = town.case_in(State.REPLIED)
    town.follow_up(key)
    assert who_may(town, lambda unit: following_up.close(unit, key)) == {"liaison", "chief", "clerk"}


def test_a_chief_who_answered_does_not_ask_whether_the_answer_was_good(town: Township) -> None:
    key = town.register()
    town.answer(key, who="chief")
    attempt = FollowUpForm(way="phone", reached=False)
    asks = refusal(town, "chief", lambda unit: following_up.follow_up(unit, key, attempt))
    assert isinstance(asks, NotAllowed)
    town.follow_up(key, who="liaison")
    closes = refusal(town, "chief", lambda unit: following_up.close(unit, key))
    assert isinstance(closes, NotAllowed)


@pytest.mark.parametrize("step", ["dispatch", "transfer", "reopen", "reject_reply", "deliver_reply"])
@pytest.mark.parametrize("state", REACHABLE)
def test_a_deputy_neither_dispatches_nor_decides_in_any_state(town: Township, step: str, state: State) -> None:
    key = town.case_in(state)
    why = refusal(town, "deputy", lambda unit: STEPS[step].take(unit, key))
    assert isinstance(why, NotAllowed)


@pytest.mark.parametrize("state", REACHABLE)
def test_a_deputy_closes_nothing(town: Township, state: State) -> None:
    key = town.case_in(state)
    why = refusal(town, "deputy", lambda unit: following_up.close(unit, key))
    assert isinstance(why, NotAllowed)


def test_opinions_are_registered_by_those_who_receive_people(town: Township) -> None:
    form = town.form()
    allowed = who_may(town, lambda unit: registering.register(unit, form, "qd"))
    assert allowed - {"other_liaison", "other_chief"} == {"deputy", "liaison", "chief", "clerk", "chair"}


def test_a_reception_is_written_down_by_the_station(town: Township) -> None:
    held = receptions.HeldReception(form="r1", held_on=date(2026, 11, 13), headcount=4)
    allowed = who_may(town, lambda unit: receptions.hold(unit, held, "qd"))
    assert allowed - {"other_liaison", "other_chief"} == {"liaison", "chief"}


@pytest.mark.parametrize("action", ["register", "hold"])
def test_a_station_writes_in_its_own_book_only(town: Township, action: str) -> None:
    form, held = town.form(), receptions.HeldReception(form="r1", held_on=date(2026, 11, 13), headcount=4)
    take = {"register": lambda unit: registering.register(unit, form, "qd"),
            "hold": lambda unit: receptions.hold(unit, held, "qd")}[action]  # fmt: skip
    assert isinstance(refusal(town, "other_liaison", take), NotAllowed)


def test_master_data_belong_to_the_clerk_and_the_administrator(town: Township) -> None:
    form = master_data.UnitForm(name="环卫站", kind="institute")
    assert who_may(town, lambda unit: master_data.state_unit(unit, "clean", form)) == {"clerk", "admin", "system"}


def test_cards_are_answered_by_the_unit_and_revoked_by_the_chair(town: Township) -> None:
    key = town.case_in(State.DISPATCHED)
    town.clock.at = town.clock.at.replace(day=26)  # past the term: urging and yellow card
    town.sweep()
    clock = town.opinion(key).cards[0].clock
    assert who_may(town, lambda unit: escalating.answer_card(unit, key, clock, 1, "在办")) == {"handler", "unit_head"}
    assert who_may(town, lambda unit: escalating.revoke_card(unit, key, clock, 1, "误发")) == {"chair"}


def test_the_ladder_is_climbed_by_the_system_or_the_chair_alone(town: Township) -> None:
    key = town.case_in(State.DISPATCHED)
    town.clock.forward(HOUR)
    assert who_may(town, lambda unit: escalating.escalate(unit, key)) == {"system", "chair"}


def test_a_unit_sees_and_touches_only_what_was_dispatched_to_it(town: Township) -> None:
    key = town.case_in(State.HANDLING)
    for who, take in (("other_handler", STEPS["report_progress"].take), ("other_head", STEPS["submit_reply"].take)):
        why = refusal(town, who, lambda unit, take=take: take(unit, key))
        assert isinstance(why, NotAllowed), who


def test_consequential_steps_are_taken_at_the_hub_only(town: Township) -> None:
    """At a station the very same people are told to go to the hub: one writer for every consequential fact."""
    hub_steps = {"dispatch", "transfer", "reject_reply", "deliver_reply", "reopen", "select_key_item"}
    cases = {name: town.case_in(min(STEPS[name].states, key=list(REACHABLE).index)) for name in hub_steps}
    station = town.as_station()
    for name, key in cases.items():
        why = refusal(station, STEPS[name].somebody, lambda unit, name=name, key=key: STEPS[name].take(unit, key))
        assert isinstance(why, routing.NotTheHub), name
