"""A node that knows less than its peers keeps what it cannot read, counts it, and reads it after the upgrade."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from service.actions import projecting, upgrading
from service.domain import facts as f
from service.domain import upcasts
from service.domain.opinions import State
from service.store import codec, node_facts, projectors, unrecognised
from sync.events import Subject
from sync.ledger import Ledger
from tests.actions.arriving import arrive, draft, quarantined, registered, stations_ledger, unrecognised_count
from tests.actions.township import Township
from tests.domain.vocabulary import knowing, made, without

KEY = "a" * 32
OPINION = f"opinion/{KEY}"


@pytest.fixture
def station(any_town: Township, tmp_path: Path) -> Ledger:
    return stations_ledger(any_town, tmp_path)


def start(town: Township) -> int:
    """What a node does first, and then its sweep; the number of subjects that were folded."""
    projecting.rebuild_if_outdated(town.node)
    return projecting.sweep(town.node).subjects


def unmoved(town: Township) -> bool:
    return set(projecting.differences(town.node).values()) == {0}


def test_a_kind_of_a_newer_program_is_read_after_the_upgrade(any_town: Township, station: Ledger) -> None:
    with without("opinion.routed_direct"):
        start(any_town)
        routed = draft(any_town, OPINION, "opinion.routed_direct", codec.encode(f.RoutedDirect(basis="x")))
        arrive(any_town, station, draft(any_town, OPINION, "opinion.registered", registered()), routed)
        assert projecting.sweep(any_town.node).quarantined == 0
        assert (any_town.state(KEY), unrecognised_count(any_town)) == (State.REGISTERED, 1)
        with any_town.node.reading() as connection:
            assert unrecognised.by_node(connection) == {station.identity.node: 1}
        assert unmoved(any_town)
    assert start(any_town) > 0
    assert (any_town.state(KEY), unrecognised_count(any_town)) == (State.DIRECT, 0)
    assert unmoved(any_town)


def test_an_upgrade_in_the_middle_of_a_backlog_reads_what_came_before_and_what_comes_after(
    any_town: Township, station: Ledger
) -> None:
    newer = "opinion.routed_direct"
    routed = codec.encode(f.RoutedDirect(basis="x"))
    keys = [f"{n:032x}" for n in range(1, 7)]
    with without(newer):
        start(any_town)
        for key in keys[:3]:
            arrive(any_town, station, draft(any_town, f"opinion/{key}", "opinion.registered", registered(int(key, 16))))
            arrive(any_town, station, draft(any_town, f"opinion/{key}", newer, routed))
        projecting.sweep(any_town.node)
        arrive(any_town, station, draft(any_town, f"opinion/{keys[3]}", "opinion.registered", registered(4)))
    arrive(any_town, station, draft(any_town, f"opinion/{keys[3]}", newer, routed))
    start(any_town)
    for key in keys[4:]:
        arrive(any_town, station, draft(any_town, f"opinion/{key}", "opinion.registered", registered(int(key, 16))))
        arrive(any_town, station, draft(any_town, f"opinion/{key}", newer, routed))
    projecting.sweep(any_town.node)
    assert {any_town.state(key) for key in keys} == {State.DIRECT}
    assert unrecognised_count(any_town) == 0
    assert unmoved(any_town)


def test_a_version_of_a_newer_program_is_read_after_the_upgrade(any_town: Township, station: Ledger) -> None:
    newer = draft(any_town, OPINION, "opinion.routed_direct", b'{"ground":"x"}', version=2)
    start(any_town)
    arrive(any_town, station, draft(any_town, OPINION, "opinion.registered", registered()), newer)
    projecting.sweep(any_town.node)
    assert (any_town.state(KEY), unrecognised_count(any_town)) == (State.REGISTERED, 1)
    with knowing(made("opinion.routed_direct", 2, ("ground", "str")), steps={("opinion.routed_direct", 1): dict}):
        start(any_town)
        assert unrecognised_count(any_town) == 0


def test_a_subject_of_a_kind_nobody_here_has_heard_of_is_counted_and_survives_a_rebuild(
    any_town: Township, station: Ledger
) -> None:
    visit = draft(any_town, "activity/7", "activity.held", b'{"on":"2026-11-16"}')
    arrive(any_town, station, visit)
    projecting.sweep(any_town.node)
    assert unrecognised_count(any_town) == 1
    assert unmoved(any_town)
    projecting.rebuild(any_town.node)
    assert unrecognised_count(any_town) == 1
    assert unmoved(any_town)
    with knowing(made("activity.held", 1, ("on", "str"))):
        start(any_town)
        assert unrecognised_count(any_town) == 0


def test_a_start_of_the_same_program_looks_at_nothing_again(any_town: Township, station: Ledger) -> None:
    arrive(any_town, station, draft(any_town, "activity/7", "activity.held", b"{}"))
    start(any_town)
    assert upgrading.look_again(any_town.node) == 0
    assert start(any_town) == 0
    assert unrecognised_count(any_town) == 1


@contextmanager
def mistaken(key: str) -> Iterator[None]:
    """A release whose fold fails for one opinion."""
    make = projectors._MAKERS["opinion"]

    def fail(which: str, *rest: Any) -> None:
        if which == key:
            raise ZeroDivisionError
        make(which, *rest)

    projectors._MAKERS["opinion"] = fail
    try:
        yield
    finally:
        projectors._MAKERS["opinion"] = make


def another_release(town: Township) -> None:
    with town.node.engine.begin() as connection:
        node_facts.put(connection, "release", "0.0.1")


def test_a_new_release_tries_its_own_mistakes_again_and_broken_bytes_not(any_town: Township, station: Ledger) -> None:
    start(any_town)
    good, shapeless, broken = KEY, "b" * 32, "c" * 32
    arrive(
        any_town, station,
        draft(any_town, OPINION, "opinion.registered", registered()),
        draft(any_town, f"opinion/{shapeless}", "opinion.registered", b"{}"),
        draft(any_town, f"opinion/{broken}", "opinion.registered", registered(3)),
    )  # fmt: skip
    with any_town.node.engine.begin() as connection:
        connection.exec_driver_sql(f"UPDATE ledger_events SET body = '{{' WHERE subject = 'opinion/{broken}'")
    with mistaken(good):
        projecting.sweep(any_town.node)
        assert start(any_town) == 0
    assert quarantined(any_town) == {
        OPINION: ("handler", 1), f"opinion/{shapeless}": ("schema", 1), f"opinion/{broken}": ("undecodable", 1),
    }  # fmt: skip
    another_release(any_town)
    start(any_town)
    assert quarantined(any_town) == {f"opinion/{shapeless}": ("schema", 2), f"opinion/{broken}": ("undecodable", 1)}
    assert any_town.state(good) is State.REGISTERED


def throws(_fields: upcasts.Plain) -> upcasts.Plain:
    raise KeyError("王小明")


def test_an_upcast_that_throws_stops_its_subject_only(any_town: Township, station: Ledger) -> None:
    other = f"opinion/{'b' * 32}"
    routed = codec.encode(f.RoutedDirect(basis="x"))
    arrive(
        any_town, station,
        draft(any_town, OPINION, "opinion.registered", registered(1)),
        draft(any_town, OPINION, "opinion.routed_direct", routed),
        draft(any_town, other, "opinion.registered", registered(2)),
    )  # fmt: skip
    with knowing(made("opinion.routed_direct", 2, ("basis", "str")), steps={("opinion.routed_direct", 1): throws}):
        assert projecting.sweep(any_town.node).quarantined == 1
        with any_town.node.reading() as connection:
            (aside,) = any_town.node.ledger.quarantined(connection)
        assert (aside.subject, aside.category) == (OPINION, "schema")
        assert "王小明" not in aside.reason
        assert any_town.state("b" * 32) is State.REGISTERED
    another_release(any_town)
    start(any_town)
    assert quarantined(any_town) == {}
    assert any_town.state(KEY) is State.DIRECT


def test_an_upcast_of_master_data_that_throws_does_not_take_the_town_away(any_town: Township) -> None:
    parts = [(field.name, str(field.type)) for field in fields(f.UnitStated)]
    with knowing(made("unit.stated", 2, *parts), steps={("unit.stated", 1): throws}):
        any_town.node.forget_town()
        start(any_town)
        assert {category for category, _ in quarantined(any_town).values()} == {"schema"}
        assert {subject.partition("/")[0] for subject in quarantined(any_town)} == {"unit"}
        any_town.register()
    another_release(any_town)
    start(any_town)
    any_town.node.forget_town()
    assert quarantined(any_town) == {}
    assert "water" in any_town.snapshot().units


def test_a_version_of_master_data_that_only_others_know_leaves_what_stood(any_town: Township) -> None:
    with any_town.node.engine.begin() as connection:
        newer = draft(any_town, "unit/water", "unit.stated", b'{"code":"water"}', version=9)
        any_town.node.ledger.append(connection, any_town.node.public_scope, [newer])
        any_town.node.ledger.mark_pending(connection, [Subject("unit/water")])
    projecting.sweep(any_town.node)
    any_town.node.forget_town()
    assert any_town.snapshot().unit_name("water") == "水利所"
    assert unrecognised_count(any_town) == 1
    assert unmoved(any_town)
