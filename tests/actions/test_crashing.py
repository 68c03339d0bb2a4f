"""A fold that ends its process: the case is found and set aside, and the others are not held up by it."""

import multiprocessing
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from config.settings import Settings
from service.actions import guarding, projecting
from service.domain.opinions import State
from service.store import node_facts, projectors
from sync.events import Subject
from tests.actions.arriving import arrive, draft, quarantined, registered, stations_ledger
from tests.actions.township import Township, hub_settings, open_town

# Children of a clean process that has the imports behind it: a dozen of them start while one would import.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["tests.actions.township"])
FATAL = "f" * 32
OTHERS = [f"{n:032x}" for n in range(1, 6)]


def killed() -> None:
    """As the kernel does when memory runs out: nothing is cleaned up."""
    os.kill(os.getpid(), signal.SIGKILL)


def gone() -> None:
    os._exit(9)


def _work(settings: Settings, end: Callable[[], None], job: Callable[[Any], Any]) -> None:
    """A worker of a release whose fold ends the process for one opinion."""
    make = projectors._MAKERS["opinion"]

    def fold(key: str, *rest: Any) -> None:
        if key == FATAL:
            end()
        make(key, *rest)

    projectors._MAKERS["opinion"] = fold
    town = open_town(settings)
    job(town.node)
    town.node.engine.dispose()


def worker(town: Township, job: Callable[[Any], Any] = projecting.sweep, end: Callable[[], None] = gone) -> int | None:
    """Let a process of its own do the job; how it ended, 0 when it lived."""
    url = town.node.settings.database_url
    settings = hub_settings(town.node.settings.data_dir, url.get_secret_value() if url else None)
    town.node.engine.dispose()
    process = PROCESSES.Process(target=_work, args=(settings, end, job))
    process.start()
    process.join(60)
    return process.exitcode


@pytest.fixture
def arrived(any_town: Township, tmp_path: Path) -> Township:
    """Six opinions wait; one of them ends whoever folds it."""
    fill(any_town, tmp_path)
    return any_town


@pytest.fixture
def waiting(town: Township, tmp_path: Path) -> Township:
    """The same, on SQLite."""
    fill(town, tmp_path)
    return town


def fill(town: Township, folder: Path) -> None:
    keys = [*OTHERS, FATAL]
    arrive(town, stations_ledger(town, folder), *(
        draft(town, f"opinion/{key}", "opinion.registered", registered(n)) for n, key in enumerate(keys, 1)
    ))  # fmt: skip


def marks(town: Township) -> int:
    with town.node.reading() as connection:
        return int(connection.exec_driver_sql("SELECT count(*) FROM ledger_foldings").scalar_one())


def is_shown(town: Township, key: str) -> bool:
    with town.node.reading() as connection:
        found = connection.exec_driver_sql(f"SELECT count(*) FROM opinions WHERE id = '{key}'")
        return bool(found.scalar_one())


def test_a_case_that_ends_its_worker_twice_is_set_aside_and_the_others_go_on(arrived: Township) -> None:
    end = killed if arrived.node.engine.dialect.name == "postgresql" else gone
    assert worker(arrived, end=end) != 0  # with all of them
    assert worker(arrived, end=end) != 0  # alone
    assert quarantined(arrived) == {}
    assert worker(arrived, end=end) == 0
    assert quarantined(arrived) == {f"opinion/{FATAL}": ("handler", 1)}
    with arrived.node.reading() as connection:
        (aside,) = arrived.node.ledger.quarantined(connection)
        assert aside.reason == "the program ended while working on it"
        assert arrived.node.ledger.pending_count(connection) == 0
    assert all(is_shown(arrived, key) for key in OTHERS)
    assert marks(arrived) == 0


def test_a_power_cut_in_the_middle_sets_nothing_aside(waiting: Township) -> None:
    assert worker(waiting) == 9
    projecting.sweep(waiting.node)  # the machine is on again, and the program sound
    assert quarantined(waiting) == {}
    assert waiting.state(FATAL) is State.REGISTERED
    assert marks(waiting) == 0


def test_more_facts_for_such_a_case_end_one_worker_and_no_more(waiting: Township, tmp_path: Path) -> None:
    for _ in range(3):
        worker(waiting)
    station = stations_ledger(waiting, tmp_path)
    arrive(waiting, station, draft(waiting, f"opinion/{FATAL}", "opinion.progressed", b'{"text":"x"}'))
    assert worker(waiting) == 9
    assert worker(waiting) == 0
    assert quarantined(waiting) == {f"opinion/{FATAL}": ("handler", 2)}


def test_a_rebuild_that_keeps_ending_its_process_is_finished_by_the_sweep(arrived: Township) -> None:
    """A release comes out whose fold is fatal for one case, and its read tables are new."""
    projecting.sweep(arrived.node)
    with arrived.node.engine.begin() as connection:
        node_facts.put(connection, "read_version", "0")
    start = projecting.rebuild_if_outdated
    assert [worker(arrived, start), worker(arrived, start)] == [9, 9]
    assert all(is_shown(arrived, key) for key in [*OTHERS, FATAL])  # the old rows, until a rebuild is whole
    assert worker(arrived, start) == 9  # by the sweep now: with all of them
    assert worker(arrived, start) == 0
    assert [worker(arrived), worker(arrived)] == [9, 0]
    assert quarantined(arrived) == {f"opinion/{FATAL}": ("handler", 1)}
    assert all(is_shown(arrived, key) for key in OTHERS)


def test_a_rebuild_leaves_such_a_case_to_the_sweep(waiting: Township) -> None:
    for _ in range(3):
        worker(waiting)
    assert worker(waiting, projecting.rebuild) == 0
    assert all(is_shown(waiting, key) for key in OTHERS)


def test_a_fold_that_fails_leaves_no_mark(arrived: Township) -> None:
    class Stopped(BaseException):
        """As a worker is told to stop."""

    def take(connection: Any) -> list[Subject]:
        return arrived.node.ledger.take_pending(connection, 400)

    for error in (ZeroDivisionError, Stopped):
        with suppress(error), guarding.marked(arrived.node, take):
            assert marks(arrived) == 1
            raise error
        assert marks(arrived) == 0
    projecting.sweep(arrived.node)
    assert quarantined(arrived) == {}


def test_two_sweeps_at_once_take_no_mark_for_one_left_behind(pg_town: Township, tmp_path: Path) -> None:
    """While one folds, another one that looks must not count the first as dead. SQLite has one writer anyway."""
    fill(pg_town, tmp_path)
    node = pg_town.node
    with guarding.marked(node, lambda connection: node.ledger.take_pending(connection, 3)) as (_, taken):
        for _turn in range(3):
            assert projecting.sweep(node).quarantined == 0
        with node.reading() as connection:
            assert node.ledger.pending_count(connection) == len(taken)
    projecting.sweep(node)
    assert quarantined(pg_town) == {}
