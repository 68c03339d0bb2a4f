"""Read tables are disposable: whatever was done, and in whatever order it arrived, a rebuild gives the same rows."""

import random
from collections.abc import Callable
from contextlib import suppress
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, select, update

from service.actions import covering, escalating, following_up, handling, master_data, projecting, receptions, routing
from service.actions.following_up import FollowUpForm
from service.actions.handling import ReplyForm
from service.domain import facts as f
from service.domain.coverage_mapping import coverage_to_mapping
from service.domain.people import Reporter
from service.domain.refusals import Refused
from service.store import codec, comparing, node_facts, schema, tables
from service.store.projectors import Folding
from service.store.unit import Unit
from sync.events import EventDraft, Subject
from sync.tables import ledger_events
from tests.actions.township import PEOPLE, QIANDONG, TOWN, Township, copy_folder, dispatch_form, hub_settings, open_town

# Everything a page can ask for, with a die for what its form says; most of it is refused most of the time.
Action = Callable[[Unit, str, random.Random], object]
ACTIONS: dict[str, Action] = {
    "route_direct": lambda unit, key, dice: routing.route_direct(unit, key, "依据"),
    "answer": lambda unit, key, dice: routing.answer(unit, key, text="好", outcome=dice.choice("ABCD"), way="face"),
    "dispatch": lambda unit, key, dice: routing.dispatch(
        unit, key, dispatch_form(unit=dice.choice(["water", "roads"]), is_complex=dice.random() < 0.3)),
    "transfer": lambda unit, key, dice: routing.transfer(
        unit, key, dispatch_form(important=True, letter_no="1号", hard=dice.random() < 0.5)),
    "explain": lambda unit, key, dice: routing.explain(
        unit, key, reason="N4", channel="县局", talk="已说明", confirmed=True, attempts=0),
    "sign": lambda unit, key, dice: handling.sign(unit, key),
    "progress": lambda unit, key, dice: handling.report_progress(unit, key, "在办"),
    "reply": lambda unit, key, dice: handling.submit_reply(unit, key, ReplyForm(text="好", outcome="A", evidence="照")),
    "reject": lambda unit, key, dice: handling.reject_reply(unit, key, "不清楚"),
    "deliver": lambda unit, key, dice: handling.deliver_reply(unit, key, way="phone", proof="记录"),
    "follow_up": lambda unit, key, dice: following_up.follow_up(unit, key, FollowUpForm(
        way="phone", reached=dice.random() < 0.7, solved=dice.random() < 0.7,
        rating=dice.choice(["satisfied", "dissatisfied", ""]), reason="还在漫水")),
    "close": lambda unit, key, dice: following_up.close(unit, key),
    "rate": lambda unit, key, dice: following_up.rate_by_code(
        unit, key, overall=dice.choice(["fair", "dissatisfied"]), reason="慢"),
    "ask_reopen": lambda unit, key, dice: following_up.ask_reopen(unit, key, "又堵了"),
    "reopen": lambda unit, key, dice: following_up.reopen(unit, key, "又堵了"),
    "escalate": lambda unit, key, dice: escalating.escalate(unit, key),
    "answer_card": lambda unit, key, dice: escalating.answer_card(unit, key, f"{key}:K2:1", dice.randrange(4), "在办"),
    "revoke_card": lambda unit, key, dice: escalating.revoke_card(unit, key, f"{key}:K2:1", dice.randrange(4), "误"),
    "select_key": lambda unit, key, dice: escalating.select_key_item(unit, key, "重要"),
    "hold": lambda unit, key, dice: receptions.hold(unit, receptions.HeldReception(
        form=f"r{dice.random()}", held_on=date(2026, 11, dice.randint(1, 15)), headcount=dice.randrange(9)), "qd"),
    "day_off": lambda unit, key, dice: master_data.set_calendar_day(
        unit, date(2026, 11, dice.randint(17, 30)), is_workday=dice.random() < 0.5, reason="台风"),
    "unit": lambda unit, key, dice: master_data.state_unit(
        unit, "roads", master_data.UnitForm(name="公路站", kind="institute", active=dice.random() < 0.8)),
    "area": lambda unit, key, dice: master_data.state_area(
        unit, QIANDONG, master_data.AreaForm(name="钱东村", confirmed=True, population=dice.randrange(9000))),
}  # fmt: skip

# Who takes the step as a rule; somebody else tries first, and is nearly always refused.
USUAL = {
    "transfer": "chair", "sign": "handler", "progress": "handler", "reply": "unit_head", "answer_card": "handler",
    "escalate": "system", "revoke_card": "chair", "select_key": "presidium", "ask_reopen": "deputy", "hold": "liaison",
}  # fmt: skip

# Each move: a step, the case, how many hours passed, and a seed for what the form says.
MOVES = st.lists(
    st.tuples(
        st.sampled_from(["register", *ACTIONS]), st.integers(0, 5), st.sampled_from([0, 1, 3, 20, 26, 75]),
        st.integers(0, 999),
    ),
    min_size=10,
    max_size=45,
)  # fmt: skip


def play(town: Township, moves: list[tuple[str, int, int, int]]) -> list[str]:
    """Each move by anybody, then by whom it is for; refusals are part of the game."""
    keys = [town.register(), town.register(who="chief", reporter=Reporter(name="王小明"), notice_read=True)]
    for name, place, hours, seed in moves:
        town.clock.forward(timedelta(hours=hours))
        if name == "register":
            keys.append(town.register(urgency=random.Random(seed).choice(["normal", "urgent", "critical"])))
            continue
        for who in (random.Random(seed).choice(sorted(PEOPLE)), USUAL.get(name, "clerk")):
            with suppress(Refused):
                town.do(who, ACTIONS[name], keys[place % len(keys)], random.Random(seed))
                break
    return keys


def rows(town: Township) -> dict[str, set[tuple[Any, ...]]]:
    with town.node.reading() as connection:
        return {
            table.name: {tuple(row) for row in connection.execute(select(table))} for table in tables.read.sorted_tables
        }


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(moves=MOVES)
def test_rebuilt_equals_live_after_any_sequence_of_actions(
    town_folder: Path, tmp_path_factory: pytest.TempPathFactory, moves: list[tuple[str, int, int, int]]
) -> None:
    town = open_town(hub_settings(copy_folder(town_folder, tmp_path_factory.mktemp("moves") / "hub")))
    play(town, moves)
    projecting.sweep(town.node)  # cases that a calendar day touched
    live = rows(town)
    projecting.rebuild(town.node)
    assert rows(town) == live
    town.node.engine.dispose()


@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(moves=MOVES)
def test_rebuilt_equals_live_on_postgresql(pg_town: Township, moves: list[tuple[str, int, int, int]]) -> None:
    """One database for all examples: each goes on where the last one ended."""
    play(pg_town, moves)
    projecting.sweep(pg_town.node)
    live = rows(pg_town)
    assert set(projecting.differences(pg_town.node).values()) == {0}
    assert rows(pg_town) == live
    projecting.rebuild(pg_town.node)
    assert rows(pg_town) == live


def test_folding_subjects_in_any_order_and_twice_gives_the_same_rows(any_town: Township) -> None:
    keys = play(any_town, [(name, n, 3, n) for n, name in enumerate([*ACTIONS, *ACTIONS])])
    projecting.sweep(any_town.node)
    live = rows(any_town)
    with any_town.node.reading() as connection:
        subjects = [
            subject
            for prefix in ("opinion/", "reception/", "unit/", "area/", "calendar/", "policy/")
            for subject in any_town.node.ledger.subjects(connection, prefix, None, 1000)
        ]
    assert len(subjects) > len(keys)
    shuffled = random.Random(7).sample(subjects, len(subjects))
    for part in (shuffled, [*shuffled[:20], *shuffled[10:]], shuffled[::-1]):
        with any_town.node.engine.begin() as connection:
            any_town.node.ledger.mark_pending(connection, part)
        projecting.sweep(any_town.node)
        assert rows(any_town) == live


PLANTED = {
    "a row lost": delete(tables.opinions),
    "a state changed": update(tables.opinions).values(state="closed"),
    "a due date moved": update(tables.opinions).values(due_on=date(2031, 1, 1)),
    "a number lowered": update(tables.numbers).values(last=0),
    "a reception withdrawn": update(tables.receptions).values(withdrawn=True),
    "master data changed": update(tables.masters).where(tables.masters.c.subject == "unit/water").values(kind="x"),
    "a card revoked": update(tables.cards).values(revoked=True),
}


@pytest.mark.parametrize("planted", PLANTED)
def test_the_check_finds_what_was_planted_and_changes_nothing(any_town: Township, planted: str) -> None:
    key = any_town.register()
    any_town.dispatch(key)
    any_town.clock.forward(timedelta(days=8))
    any_town.sweep()
    any_town.do("liaison", ACTIONS["hold"], key, random.Random(1))
    assert set(projecting.differences(any_town.node).values()) == {0}
    statement = PLANTED[planted]
    with any_town.node.engine.begin() as connection:
        connection.execute(statement)
    before = rows(any_town)
    found = projecting.differences(any_town.node)
    assert {name for name, count in found.items() if count} == {statement.table.name}
    assert rows(any_town) == before
    projecting.rebuild(any_town.node)
    assert set(projecting.differences(any_town.node).values()) == {0}


def test_a_row_that_no_fact_gives_is_found_and_gone_after_a_rebuild(any_town: Township) -> None:
    key = any_town.register()
    with any_town.node.engine.begin() as connection:
        row = dict(connection.execute(select(tables.opinions)).mappings().one())
        connection.execute(tables.opinions.insert().values(row | {"id": "f" * 32}))
    assert projecting.differences(any_town.node)["opinions"] == 1
    projecting.rebuild(any_town.node)
    with any_town.node.reading() as connection:
        assert list(connection.execute(select(tables.opinions.c.id)).scalars()) == [key]


def broken(town: Township) -> Subject:
    """A subject that was set aside, because nobody can read its body."""
    subject = Subject("opinion/" + "f" * 32)
    draft = EventDraft(kind="opinion.registered", version=1, subject=subject, body=b"{}", occurred_at=town.clock.at,
                       author="liaison|l1|林联络")  # fmt: skip
    with town.node.engine.begin() as connection:
        town.node.ledger.append(connection, town.node.station_scope("qd"), [draft])
        town.node.ledger.mark_pending(connection, [subject])
    assert projecting.sweep(town.node).quarantined == 1
    return subject


def test_one_bad_subject_stops_neither_the_check_nor_a_rebuild(any_town: Township) -> None:
    any_town.dispatch(any_town.register())
    broken(any_town)
    live = rows(any_town)
    assert set(projecting.differences(any_town.node).values()) == {0}
    projecting.rebuild(any_town.node)
    assert rows(any_town) == live
    with any_town.node.reading() as connection:
        assert len(any_town.node.ledger.quarantined(connection)) == 1


def test_a_rebuild_brings_back_what_the_new_program_can_fold(any_town: Township) -> None:
    subject = broken(any_town)
    body = codec.encode(f.OpinionRegistered(reg_no="QD-2026-0900", tracking="x", station="qd", source="visit",
                                            title="t", body="b"))  # fmt: skip
    with any_town.node.engine.begin() as connection:
        connection.execute(update(ledger_events).where(ledger_events.c.subject == subject).values(body=body))
    projecting.rebuild(any_town.node)
    projecting.sweep(any_town.node)
    with any_town.node.reading() as connection:
        assert any_town.node.ledger.quarantined(connection) == []
        assert list(connection.execute(select(tables.opinions.c.reg_no)).scalars()) == ["QD-2026-0900"]
    assert set(projecting.differences(any_town.node).values()) == {0}


def test_a_subject_that_waits_is_not_compared(any_town: Township) -> None:
    """Between the last fold and the look more may arrive; what will be folded in a moment is not wrong."""
    key = any_town.register()
    any_town.register()
    with any_town.node.engine.begin() as connection:
        any_town.node.ledger.mark_pending(connection, [Subject(f"opinion/{key}")])
        connection.execute(update(tables.opinions).where(tables.opinions.c.id == key).values(state="closed"))
    with comparing.snapshot(any_town.node.engine) as connection:
        folding = Folding(town=any_town.snapshot(), hub_nodes=any_town.node.hub_nodes, tree=TOWN)
        assert set(comparing.differences(connection, any_town.node.ledger, folding).values()) == {0}


def test_the_check_holds_up_nobody(pg_town: Township) -> None:
    """A hub is checked while its clerks work: the look takes no lock that a unit of work would wait for."""
    key = pg_town.register()
    with comparing.snapshot(pg_town.node.engine) as connection:
        folding = Folding(town=pg_town.snapshot(), hub_nodes=pg_town.node.hub_nodes, tree=TOWN)
        assert set(comparing.differences(connection, pg_town.node.ledger, folding).values()) == {0}
        pg_town.dispatch(key)
        projecting.rebuild(pg_town.node)
        assert set(comparing.differences(connection, pg_town.node.ledger, folding).values()) == {0}


def test_a_newer_version_of_the_tables_is_built_from_the_ledger_at_start(any_town: Township) -> None:
    any_town.dispatch(any_town.register())
    live = rows(any_town)
    with any_town.node.engine.begin() as connection:
        node_facts.put(connection, "read_version", "0")
    schema.upgrade(any_town.node.engine)
    assert rows(any_town)["opinions"] == set()
    assert projecting.rebuild_if_outdated(any_town.node)
    assert rows(any_town) == live
    assert not projecting.rebuild_if_outdated(any_town.node)


def test_a_rebuild_cut_short_leaves_the_old_rows(any_town: Township) -> None:
    any_town.dispatch(any_town.register())
    live = rows(any_town)
    with any_town.node.reading() as connection:
        coverage = covering.compile_now(connection, any_town.snapshot(), date(2026, 11, 16))
    assert coverage_to_mapping(coverage)

    class PowerCut(BaseException):
        pass

    def cut(*_: object) -> None:
        raise PowerCut

    original = any_town.node.ledger.read_subjects
    object.__setattr__(any_town.node.ledger, "read_subjects", cut)
    with pytest.raises(PowerCut):
        projecting.rebuild(any_town.node)
    object.__setattr__(any_town.node.ledger, "read_subjects", original)
    assert rows(any_town) == live


def test_marking_a_subject_that_has_no_facts_changes_nothing(any_town: Township) -> None:
    any_town.register()
    live = rows(any_town)
    with any_town.node.engine.begin() as connection:
        nobody = [Subject("opinion/" + "0" * 32), Subject("unit/nobody"), Subject("person/" + "0" * 32)]
        any_town.node.ledger.mark_pending(connection, nobody)
    assert projecting.sweep(any_town.node).quarantined == 0
    assert rows(any_town) == live
