"""Bookkeeping stays bounded, leavings go when nobody needs them, and a damaged database is noticed."""

from datetime import datetime, timedelta

import pytest
from sqlalchemy import func, insert, select

from config import jobs
from service.actions import housekeeping
from service.actions.housekeeping import RECEIPTS_PER_PEER, health, note_run, sweep
from service.node import Node
from service.store import node_facts
from service.store.tables import job_runs
from sync.events import to_us
from sync.tables import sync_enrolment_codes, sync_receipts
from tests.workers.conftest import Clock


@pytest.fixture
def kept(node: Node, clock: Clock) -> Node:
    node.now = clock
    return node


def count(node: Node, table: object) -> int:
    with node.reading() as connection:
        return connection.execute(select(func.count()).select_from(table)).scalar_one()  # type: ignore[arg-type]


def enrolment_code(node: Node, name: str, expires_at: datetime) -> None:
    row = {
        "code_id": name.encode(), "code_key": b"key", "name": name, "read_scopes": "[]", "write_scopes": "[]",
        "issued_us": 0, "expires_us": to_us(expires_at),
    }  # fmt: skip
    with node.engine.begin() as connection:
        connection.execute(insert(sync_enrolment_codes).values(row))


def test_an_expired_code_loses_its_key_at_once_and_its_row_after_a_month(kept: Node, clock: Clock) -> None:
    enrolment_code(kept, "valid", clock() + timedelta(days=1))
    enrolment_code(kept, "expired", clock() - timedelta(days=1))
    enrolment_code(kept, "old", clock() - timedelta(days=31))
    assert sweep(kept).removed == 1
    with kept.reading() as connection:
        keys = dict(connection.execute(select(sync_enrolment_codes.c.name, sync_enrolment_codes.c.code_key)).all())
    assert keys == {"valid": b"key", "expired": None}


def test_receipts_are_kept_for_the_newest_epochs_of_each_peer(kept: Node) -> None:
    rows = [
        {"peer": peer, "peer_epoch": f"{n:016x}", "receipt": b"r", "signature": b"s", "stored_us": n}
        for peer in ("a" * 16, "b" * 16) for n in range(RECEIPTS_PER_PEER + 3)
    ]  # fmt: skip
    with kept.engine.begin() as connection:
        connection.execute(insert(sync_receipts), rows)
    assert sweep(kept).removed == 6
    with kept.reading() as connection:
        oldest = connection.execute(select(func.min(sync_receipts.c.stored_us))).scalar_one()
    assert (count(kept, sync_receipts), oldest) == (2 * RECEIPTS_PER_PEER, 3)


def test_the_database_is_looked_at_daily(kept: Node, clock: Clock) -> None:
    sweep(kept)
    first = health(kept).integrity_at
    assert (health(kept).integrity, first) == ("ok", clock())
    clock.now += timedelta(hours=2)
    sweep(kept)
    assert health(kept).integrity_at == first
    clock.now += timedelta(hours=22)
    sweep(kept)
    assert health(kept).integrity_at == clock()


def test_a_damaged_database_and_a_full_disk_are_warned_of(kept: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    with kept.engine.begin() as connection:
        node_facts.put(connection, "integrity", "*** in database main *** row 3 missing from index")
    monkeypatch.setattr(housekeeping, "FREE_DISK_MIN", 2**63)
    assert health(kept).warnings == ("disk_low", "database_damaged")


def test_a_job_that_ran_and_then_stays_away_is_late(kept: Node, clock: Clock) -> None:
    note_run(kept, jobs.EXCHANGE, clock(), "", quiet=False)
    clock.now += timedelta(seconds=170)
    assert health(kept).late_jobs == ()
    clock.now += timedelta(seconds=20)
    assert health(kept).late_jobs == (jobs.EXCHANGE,)
    clock.now -= timedelta(days=400)  # the PC's clock was wrong and has been set back
    assert health(kept).late_jobs == ()


def test_runs_of_jobs_that_no_longer_exist_are_forgotten(kept: Node, clock: Clock) -> None:
    note_run(kept, "lianxin.abolished", clock(), "", quiet=False)
    sweep(kept)
    assert count(kept, job_runs) == 0
