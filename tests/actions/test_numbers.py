"""Numbers of 交办单, 督办单 and 答复: issued by the hub, never twice, whatever goes on beside."""

import time
from concurrent.futures import ThreadPoolExecutor

from sqlalchemy import select

from service.actions import projecting
from service.store import tables
from service.store.projectors import Folding, project
from service.store.upsert import upsert
from sync.events import Subject
from tests.actions.township import TOWN, Township


def test_dispatch_numbers_stay_unique_while_the_fold_sweep_runs(any_town: Township) -> None:
    """The sweep writes numbers it has read before; a clerk may have gone further in between."""
    keys = [any_town.register() for _ in range(24)]

    def fold_again(key: str) -> None:
        with any_town.node.engine.begin() as connection:
            any_town.node.ledger.mark_pending(connection, [Subject(f"opinion/{key}")])
        projecting.sweep(any_town.node)

    with ThreadPoolExecutor(6) as threads:
        folding = [threads.submit(fold_again, key) for key in keys]
        numbers = list(threads.map(any_town.dispatch, keys))
        for one in folding:
            one.result()
    assert sorted(numbers) == [f"JB-2026-{n:04d}" for n in range(1, 25)]


def test_folding_an_old_case_never_lowers_a_series(any_town: Township) -> None:
    old, new = any_town.register(), any_town.register()
    any_town.dispatch(old)
    any_town.dispatch(new)
    with any_town.acting("system") as unit:
        folding = Folding(town=unit.town, hub_nodes=any_town.node.hub_nodes, tree=TOWN)
        project(unit.connection, any_town.node.ledger, [Subject(f"opinion/{old}")], folding)
        last = unit.connection.execute(select(tables.numbers.c.last).where(tables.numbers.c.series == "JB-2026"))
        assert last.scalar_one() == 2


def test_a_fold_that_waited_for_a_clerk_does_not_lower_what_the_clerk_issued(pg_town: Township) -> None:
    """The fold looked before the clerk's commit and writes after it: the accident that issues a number twice."""
    old = pg_town.register()
    pg_town.dispatch(old)
    snapshot = pg_town.snapshot()

    def fold() -> None:
        with pg_town.node.engine.begin() as connection:
            folding = Folding(town=snapshot, hub_nodes=pg_town.node.hub_nodes, tree=TOWN)
            project(connection, pg_town.node.ledger, [Subject(f"opinion/{old}")], folding)

    with ThreadPoolExecutor(1) as threads:
        with pg_town.node.engine.begin() as clerk:
            upsert(clerk, tables.numbers, [{"series": "JB-2026", "last": 2}])
            folding = threads.submit(fold)
            time.sleep(1)  # the fold has read by now and waits for the clerk's row
        folding.result(20)
    assert pg_town.dispatch(pg_town.register()) == "JB-2026-0003"


def test_a_rebuild_remembers_every_number_that_was_used(any_town: Township) -> None:
    for _ in range(3):
        any_town.dispatch(any_town.register())
    projecting.rebuild(any_town.node)
    assert any_town.dispatch(any_town.register()) == "JB-2026-0004"


def test_a_reply_letter_is_numbered_at_delivery(any_town: Township) -> None:
    keys = [any_town.register() for _ in range(2)]
    for key in keys:
        any_town.dispatch(key)
        any_town.sign(key)
        any_town.reply(key)
    assert [any_town.deliver(key) for key in keys] == ["DF-2026-0001", "DF-2026-0002"]
