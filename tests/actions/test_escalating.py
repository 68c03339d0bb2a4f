"""督办: what is due fires, once, in working hours, whoever sweeps and however often."""

import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event, select, update

from service.actions import following_up, projecting
from service.actions.escalating import Swept
from service.actions.following_up import FollowUpForm
from service.domain import facts as f
from service.domain.office_hours import is_working_hours
from service.domain.opinions import Card, State
from service.domain.people import Actor, Role
from service.store import codec, tables
from sync.events import EventDraft, Subject
from sync.identity import Identity
from sync.ledger import Ledger
from sync.tables import ledger_events
from tests.actions.township import HOUR, MONDAY, Township, copy_folder, hub_settings, open_town

LOCAL = ZoneInfo("Asia/Shanghai")


def local(day: int, hour: int = 10, minute: int = 0, month: int = 11) -> datetime:
    return datetime(2026, month, day, hour, minute, tzinfo=LOCAL).astimezone(UTC)


def cards(town: Township, key: str) -> list[tuple[int, str]]:
    return [(card.level, card.mark) for card in town.opinion(key).cards]


def swept_at(town: Township, instant: datetime) -> Swept:
    town.clock.at = instant
    return town.sweep()


def every_card(town: Township, keys: list[str]) -> list[Card]:
    return [card for key in keys for card in town.opinion(key).cards]


def left_due(town: Township) -> list[str]:
    """Cases the index still calls due; a sweep that leaves one would look at it for ever."""
    at = tables.opinions.c.next_step_at
    with town.node.reading() as connection:
        return list(connection.execute(select(tables.opinions.c.id).where(at <= town.clock.at)).scalars())


# --- the ladder, climbed by a sweep ----------------------------------------------------------------------------


def test_an_unanswered_case_climbs_from_reminder_to_the_presidium(any_town: Township) -> None:
    """Dispatched on Monday the 16th with five working days: due on Monday the 23rd."""
    key = any_town.case_in(State.DISPATCHED)
    climbed = {}
    for days in range(1, 30):
        swept_at(any_town, MONDAY + timedelta(days=days))
        climbed[(MONDAY + timedelta(days=days)).day, (MONDAY + timedelta(days=days)).month] = cards(any_town, key)[:]
    first_seen: dict[tuple[int, str], tuple[int, int]] = {}
    for day, seen in climbed.items():
        for card in seen:
            first_seen.setdefault(card, day)
    assert first_seen == {
        (1, ""): (18, 11),  # unsigned: the working morning after the sign-off term
        (0, "half"): (19, 11),
        (0, "1wd"): (20, 11),
        (2, ""): (23, 11),  # two working days after the urging, without a word
        (3, ""): (1, 12),  # five full working days overdue
        (4, ""): (8, 12),
    }
    assert left_due(any_town) == []


def test_nothing_fires_outside_working_hours(any_town: Township) -> None:
    key = any_town.case_in(State.DISPATCHED)
    for closed in (local(24, 8, 29), local(24, 17, 30), local(24, 3), local(28, 10), local(29, 16)):
        assert swept_at(any_town, closed) == Swept()
    assert cards(any_town, key) == []
    assert swept_at(any_town, local(30, 8, 30)).fired > 0


def test_a_make_up_sunday_is_a_working_day_and_a_holiday_monday_is_none(town: Township) -> None:
    town.clock.at = local(15, 10, month=9)
    key = town.case_in(State.DISPATCHED)  # 2026-09-15
    assert swept_at(town, local(20, 9, month=9)).fired > 0  # Sunday, worked for Mid-Autumn and National Day
    fired = cards(town, key)
    assert swept_at(town, local(5, 10, month=10)) == Swept()  # Monday of the holiday week
    assert cards(town, key) == fired


def test_an_unsigned_dispatch_counts_as_signed_on_the_second_working_morning(any_town: Township) -> None:
    key = any_town.case_in(State.DISPATCHED)
    swept_at(any_town, local(17, 17, 29))
    assert any_town.state(key) is State.DISPATCHED
    swept_at(any_town, local(18, 8, 30))
    opinion = any_town.opinion(key)
    assert opinion.state is State.HANDLING
    assert opinion.assignment is not None
    assert opinion.assignment.deemed_signed
    assert cards(any_town, key) == [(1, "")]


def test_a_signed_case_with_progress_is_spared_the_yellow_card_for_silence(town: Township) -> None:
    key = town.case_in(State.DISPATCHED)
    swept_at(town, local(18, 9))
    town.progress(key)
    swept_at(town, local(23, 9))
    assert (2, "") not in cards(town, key)


def test_reply_stops_the_ladder_and_rejection_lets_it_go_on_as_if_it_had_not_stopped(town: Township) -> None:
    key = town.case_in(State.HANDLING)
    town.clock.at = local(20)
    town.reply(key)
    swept_at(town, local(30))
    assert all(level == 0 for level, _ in cards(town, key))
    town.reject(key)
    swept_at(town, local(30, 11))
    assert {1, 2} <= {level for level, _ in cards(town, key)}  # overdue since the 23rd all the same


def test_a_transfer_climbs_the_slow_ladder(town: Township) -> None:
    key = town.register()
    town.transfer(key)  # one month: due 2026-12-16
    town.sign(key)
    swept_at(town, local(14, month=12))
    assert {level for level, _ in cards(town, key)} == {0}
    swept_at(town, local(17, 9, month=12))
    assert {level for level, _ in cards(town, key)} == {0, 1}
    swept_at(town, local(24, 9, month=12))
    assert 2 in {level for level, _ in cards(town, key)}  # five full working days overdue


def test_our_own_desk_is_reminded_and_urged_and_gets_no_card(town: Township) -> None:
    key = town.register()
    for day in range(17, 31):
        swept_at(town, local(day))
    assert {level for level, _ in cards(town, key)} == {0, 1}


# --- red by count ----------------------------------------------------------------------------------------------


def late_case(town: Township, unit: str = "water") -> str:
    """A case that gets its yellow card at the second sweep from now, three working days later."""
    key = town.register()
    town.dispatch(key, unit=unit)
    return key


def yellow_on(town: Township, key: str, since: datetime) -> None:
    for days in range(1, 15):
        swept_at(town, since + timedelta(days=days))
        if (2, "") in cards(town, key):
            return
    raise AssertionError("no yellow card within a fortnight")


def test_a_units_second_yellow_card_within_ninety_days_is_red(any_town: Township) -> None:
    first = late_case(any_town)
    yellow_on(any_town, first, any_town.clock.at)
    assert (3, "") not in cards(any_town, first)
    any_town.progress(first)
    any_town.reply(first)  # off the ladder
    second = late_case(any_town)
    yellow_on(any_town, second, any_town.clock.at)
    assert (3, "") in cards(any_town, second)
    red = next(card for card in any_town.opinion(second).cards if card.level == 3)
    assert red.reason == "yellow_cards"


def test_the_yellow_cards_of_another_unit_do_not_count(town: Township) -> None:
    yellow_on(town, late_case(town, "roads"), town.clock.at)
    second = late_case(town)
    yellow_on(town, second, town.clock.at)
    assert (3, "") not in cards(town, second)


def test_a_yellow_card_of_ninety_one_days_ago_is_forgotten(town: Township) -> None:
    town.clock.at = local(10, month=8)
    first = late_case(town)
    yellow_on(town, first, town.clock.at)
    town.reply(first)
    fired_at = next(card.fired_at for card in town.opinion(first).cards if card.level == 2)
    town.clock.at = fired_at + timedelta(days=86)
    second = late_case(town)
    yellow_on(town, second, town.clock.at)
    assert town.clock.at > fired_at + timedelta(days=90)
    assert (3, "") not in cards(town, second)


def test_a_revoked_yellow_card_does_not_count(town: Township) -> None:
    from service.actions import escalating

    first = late_case(town)
    yellow_on(town, first, town.clock.at)
    clock = next(card.clock for card in town.opinion(first).cards if card.level == 2)
    town.do("chair", escalating.revoke_card, first, clock, 2, "系统误发")
    town.reply(first)
    second = late_case(town)
    yellow_on(town, second, town.clock.at)
    assert (3, "") not in cards(town, second)


def test_a_card_stays_with_the_unit_that_had_the_case_when_it_fired(town: Township) -> None:
    """Another unit that takes the case over does not inherit the first one's yellow card."""
    first = late_case(town, "roads")
    yellow_on(town, first, town.clock.at)
    town.progress(first, who="other_handler")
    town.reply(first, who="other_head")
    town.deliver(first)
    town.do("clerk", following_up.reopen, first, "没有解决")
    town.dispatch(first, unit="water")
    with town.node.reading() as connection:
        units = connection.execute(select(tables.cards.c.unit).where(tables.cards.c.level == 2)).scalars()
        assert list(units) == ["roads"]


# --- reopening without anybody's discretion --------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer", [{"rating": "dissatisfied", "reason": "还在漫水"}, {"solved": False, "rating": "", "note": "没清"}]
)
def test_dissatisfied_or_unsolved_opens_the_case_again_at_the_hub(any_town: Township, answer: dict[str, Any]) -> None:
    key = any_town.case_in(State.REPLIED)
    any_town.follow_up(key, who="clerk", **answer)
    opinion = any_town.opinion(key)
    assert opinion.state is State.REOPENED
    assert opinion.reopened == 1


@contextmanager
def station_of(town: Township, folder: Path) -> Iterator[Ledger]:
    """Another node's ledger writing into the hub's database, as if its bundle had just been accepted."""
    yield Ledger(Identity.load_or_create(folder), town.clock)


def arrives(town: Township, ledger: Ledger, key: str, *facts: f.Fact) -> None:
    liaison = Actor(account="l1", name="林联络", role=Role.LIAISON, station="qd")
    with town.node.engine.begin() as connection:
        for fact in facts:
            draft = EventDraft(
                kind=fact.KIND, version=fact.VERSION, subject=Subject(f"opinion/{key}"), body=codec.encode(fact),
                occurred_at=town.clock.at, author=f"{liaison.role}|{liaison.account}|{liaison.name}",
            )  # fmt: skip
            ledger.append(connection, town.node.station_scope("qd"), [draft])
        town.node.ledger.mark_pending(connection, [Subject(f"opinion/{key}")])
    projecting.sweep(town.node)


def test_what_a_citizen_told_the_station_is_granted_by_the_hubs_next_sweep(any_town: Township, tmp_path: Path) -> None:
    key = any_town.case_in(State.REPLIED)
    any_town.clock.forward(HOUR)
    with station_of(any_town, tmp_path / "station") as ledger:
        arrives(
            any_town, ledger, key,
            f.FollowedUp(way="phone", reached=True, solved=False), f.Rated(overall="dissatisfied", reason="还在漫水"),
            f.ReopenRequested(by="citizen", reason="还在漫水"),
        )  # fmt: skip
    assert any_town.state(key) is State.REPLIED
    any_town.sweep()
    opinion = any_town.opinion(key)
    assert opinion.state is State.REOPENED
    assert next(e.record.fact for e in opinion.timeline if isinstance(e.record.fact, f.Reopened)).automatic


def test_a_wish_without_a_complaint_waits_for_the_hubs_people(town: Township) -> None:
    key = town.case_in(State.REPLIED)
    town.follow_up(key)
    town.do("deputy", following_up.ask_reopen, key, "群众又有新要求")
    for _ in range(3):
        town.clock.forward(HOUR)
        town.sweep()
    assert town.state(key) is State.REPLIED


def test_only_the_hubs_facts_move_a_case_forward(any_town: Township, tmp_path: Path) -> None:
    """What a station claims in the hub's place is kept, shown as a note, and has no effect."""
    key = any_town.register()
    sent = f.Dispatched(route="assign", dispatch_no="JB-2026-0900", unit="water", requirement="x", duty_basis="y",
                        term="5wd")  # fmt: skip
    fired = f.CardFired(clock=f"{key}:K1:1", level=3)
    with station_of(any_town, tmp_path / "station") as ledger:
        arrives(any_town, ledger, key, sent, fired)
    opinion = any_town.opinion(key)
    assert opinion.state is State.REGISTERED
    assert opinion.cards == []
    assert [entry.fits for entry in opinion.timeline] == [True, False, False]


# --- once, whoever sweeps --------------------------------------------------------------------------------------


def test_two_sweepers_at_the_same_moment_fire_each_step_once(any_town: Township) -> None:
    keys = [any_town.case_in(State.DISPATCHED) for _ in range(15)]
    any_town.clock.at = local(24)
    ready = threading.Barrier(2)

    def sweep(_: int) -> Swept:
        ready.wait()
        return any_town.sweep()

    with ThreadPoolExecutor(2) as threads:
        both = list(threads.map(sweep, range(2)))
    assert sum(swept.failed for swept in both) == 0
    fired = Counter((card.clock, card.level, card.mark) for card in every_card(any_town, keys))
    assert sum(swept.fired for swept in both) == len(fired)
    assert set(fired.values()) == {1}
    assert any_town.sweep().fired == 0
    numbers = [card.doc_no for card in every_card(any_town, keys) if card.doc_no]
    assert len(set(numbers)) == len(numbers)


def test_one_broken_case_does_not_hold_up_the_others_and_is_tried_again(
    any_town: Township, log: list[dict[str, Any]]
) -> None:
    broken, *others = [any_town.case_in(State.DISPATCHED) for _ in range(4)]
    event_of = (ledger_events.c.subject == f"opinion/{broken}") & (ledger_events.c.lamport > 1)
    with any_town.node.engine.begin() as connection:
        kept = connection.execute(select(ledger_events.c.seq, ledger_events.c.body).where(event_of)).all()
        connection.execute(update(ledger_events).where(event_of).values(body=b'{"route": 7}'))
    swept = swept_at(any_town, local(18))
    assert swept.failed == 1
    assert [entry["opinion"] for entry in log if entry["event"] == "escalation.case_failed"] == [broken]
    assert all(cards(any_town, key) for key in others)
    with any_town.node.engine.begin() as connection:
        for seq, body in kept:
            connection.execute(update(ledger_events).where(event_of, ledger_events.c.seq == seq).values(body=body))
    assert any_town.sweep().failed == 0
    assert cards(any_town, broken)


class Killed(BaseException):
    """What a power cut looks like from inside: nothing after it runs."""


@contextmanager
def killed_after(town: Township, statements: int) -> Iterator[None]:
    """The process ends at its n-th statement, or goes through if there are fewer."""
    left = iter(range(statements))

    def count(*_: object) -> None:
        if next(left, None) is None:
            raise Killed

    event.listen(town.node.engine, "before_cursor_execute", count)
    try:
        yield
    except Killed:
        pass
    finally:
        event.remove(town.node.engine, "before_cursor_execute", count)


MOVES = st.lists(
    st.tuples(
        st.sampled_from(["sweep", "killed", "twice", "sign", "progress", "reply", "reject", "deliver", "reopen"]),
        st.integers(0, 5),
        st.integers(0, 60),
        st.sampled_from([0, 1, 5, 9, 14, 24, 31, 72, 168]),
    ),
    min_size=5,
    max_size=25,
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(moves=MOVES)
def test_whatever_happens_each_step_fires_once_and_in_working_hours(
    town_folder: Path, tmp_path_factory: pytest.TempPathFactory, moves: list[tuple[str, int, int, int]]
) -> None:
    folder = copy_folder(town_folder, tmp_path_factory.mktemp("moves") / "hub")
    town = open_town(hub_settings(folder))
    keys = [town.case_in(state) for state in (State.REGISTERED, State.DISPATCHED, State.HANDLING) for _ in range(2)]
    for name, place, minutes, hours in moves:
        town.clock.forward(timedelta(hours=hours, minutes=minutes))
        play(town, name, keys[place], minutes)
    town.sweep()
    fired = every_card(town, keys)
    assert set(Counter((card.clock, card.level, card.mark) for card in fired).values()) <= {1}
    calendar, hours_ = town.snapshot().calendar, town.snapshot().policy_on(MONDAY.date()).hours
    assert [card for card in fired if not is_working_hours(card.fired_at, calendar, hours_)] == []
    if is_working_hours(town.clock.at, calendar, hours_):
        assert left_due(town) == []
        assert town.sweep().fired == 0
    assert set(projecting.differences(town.node).values()) == {0}
    town.node.engine.dispose()


def play(town: Township, name: str, key: str, dice: int) -> None:
    """One move; what does not fit the case just then is refused, as it would be on the page."""
    from service.domain.refusals import Refused

    moves = {
        "sweep": lambda: town.sweep(),
        "twice": lambda: (town.sweep(), town.sweep()),
        "sign": lambda: town.sign(key),
        "progress": lambda: town.progress(key),
        "reply": lambda: town.reply(key),
        "reject": lambda: town.reject(key),
        "deliver": lambda: town.deliver(key),
        "reopen": lambda: town.do("clerk", following_up.follow_up, key, _COMPLAINT),
    }
    try:
        if name == "killed":
            with killed_after(town, dice):
                town.sweep()
        else:
            moves[name]()
    except Refused:
        pass


_COMPLAINT = FollowUpForm(way="phone", reached=True, solved=False, rating="dissatisfied", reason="还在漫水")
