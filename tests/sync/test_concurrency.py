"""Several workers of one hub at once, on PostgreSQL with real transactions. No sleeping: events order the threads."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import TypeVar

from sync import bundle, peers
from sync.enrolment import enrol, issue_code
from sync.errors import AlreadyRecorded, CodeRefused, CounterTooLow, SyncError
from sync.events import Scope, Subject
from sync.testing import DirectTransport, Lab, LabNode, draft
from sync.testing.exchange_contract import direct
from sync.testing.ledger_contract import packed

HALL = Scope("t/s/a")
NOTE = Subject("note/1")


T = TypeVar("T")


def together(*jobs: Callable[[], T]) -> list[T]:
    """Run the jobs in threads that start as one."""
    gate = threading.Barrier(len(jobs))

    def started(job: Callable[[], T]) -> T:
        gate.wait(10)
        return job()

    with ThreadPoolExecutor(len(jobs)) as pool:
        return list(pool.map(started, jobs))


def test_concurrent_appends_are_numbered_densely(postgres_lab: Lab) -> None:
    node = postgres_lab.node("hub")

    def record() -> list[int]:
        return [node.record(HALL, draft())[0].seq for _ in range(10)]

    numbers = together(record, record, record)
    assert sorted(n for part in numbers for n in part) == list(range(1, 31))
    with node.engine.begin() as conn:
        assert not node.ledger.verify(conn)


def test_a_long_transaction_holds_up_no_other_stream_and_is_not_skipped(postgres_lab: Lab) -> None:
    """Numbers are given per stream under its row's lock: nothing that commits late lies below what was read."""
    hub, station = postgres_lab.pair()
    with hub.engine.connect() as conn, conn.begin() as transaction:
        hub.ledger.append(conn, HALL, [draft(text="slow")])
        hub.record("t/pub", draft("policy/town"))
        assert station.exchange(hub).verified
        assert station.events("policy/town")
        assert not station.events()
        transaction.commit()
    assert station.exchange(hub).pulled == 1
    assert station.events()


def test_a_once_key_is_claimed_by_one_of_two_at_once(postgres_lab: Lab) -> None:
    node = postgres_lab.node("hub")

    def fire() -> bool:
        try:
            node.record(HALL, draft(once="card:1"))
        except AlreadyRecorded:
            return False
        return True

    assert sorted(together(fire, fire, fire)) == [False, False, True]
    assert len(node.events()) == 1


def test_the_same_bundle_by_two_ways_at_once_is_stored_once(postgres_lab: Lab) -> None:
    hub, station = postgres_lab.pair()
    stream = station.record(HALL, *(draft(f"note/{n}") for n in range(200)))[0].stream
    pieces = [packed(station, stream, 1, 200), packed(station, stream, 50, 200)]

    def store(piece: bundle.Bundle) -> int:
        with hub.engine.begin() as conn:
            return hub.ledger.accept(conn, piece, peers.get_peer(conn, station.node)).stored

    stored = together(*(partial(store, piece) for piece in pieces * 2))
    assert sum(stored) == 200
    with hub.engine.begin() as conn:
        assert not hub.ledger.verify(conn)


def test_one_request_delivered_twice_at_once_acts_once(postgres_lab: Lab) -> None:
    hub, station = postgres_lab.pair()
    station.record(HALL, draft())
    caught: list[bytes] = []

    def keep(verb: str, body: bytes) -> None:
        if verb == "push" and not caught:
            caught.append(body)
            raise SyncError

    with suppress(SyncError):
        station.exchange(hub, direct(hub, keep))

    def deliver() -> bool:
        try:
            hub.responder.answer("push", caught[0])
        except CounterTooLow:
            return False
        return True

    assert sorted(together(deliver, deliver)) == [False, True]


def test_an_event_that_arrives_during_a_fold_is_folded_again(postgres_lab: Lab) -> None:
    """The accident: the fold reads, the event arrives and marks, the fold clears the mark it never saw."""
    hub, station = postgres_lab.pair()
    stream = station.record(HALL, draft(), draft())[0].stream
    first, second = packed(station, stream, 1, 1), packed(station, stream, 2, 2)
    accept(hub, station, first)
    arriving = threading.Event()

    def arrive() -> None:
        with hub.engine.begin() as conn:
            arriving.set()
            hub.ledger.accept(conn, second, peers.get_peer(conn, station.node))

    thread = threading.Thread(target=arrive)
    with hub.engine.begin() as conn:
        assert hub.ledger.take_pending(conn, 10) == [NOTE]
        assert len(hub.ledger.read_subjects(conn, [NOTE])[NOTE]) == 1
        thread.start()
        arriving.wait(10)
        thread.join(0.3)  # it waits for our row
        assert thread.is_alive()
        hub.ledger.clear_pending(conn, [NOTE])
    thread.join(10)
    with hub.engine.begin() as conn:
        assert hub.ledger.take_pending(conn, 10) == [NOTE]
        assert len(hub.ledger.read_subjects(conn, [NOTE])[NOTE]) == 2


def accept(hub: LabNode, station: LabNode, piece: bundle.Bundle) -> None:
    with hub.engine.begin() as conn:
        hub.ledger.accept(conn, piece, peers.get_peer(conn, station.node))


def test_sweeps_share_the_work(postgres_lab: Lab) -> None:
    hub = postgres_lab.node("hub")
    names = [Subject(f"note/{n:03d}") for n in range(100)]
    with hub.engine.begin() as conn:
        hub.ledger.mark_pending(conn, names)
    with hub.engine.begin() as one, hub.engine.begin() as other:
        taken = hub.ledger.take_pending(one, 60), hub.ledger.take_pending(other, 60)
    assert not set(taken[0]) & set(taken[1])
    assert len(taken[0]) + len(taken[1]) == 100


def test_locked_subjects_wait_for_each_other_in_one_order(postgres_lab: Lab) -> None:
    hub = postgres_lab.node("hub")
    names = [Subject(f"note/{n}") for n in range(50)]
    inside: list[str] = []

    def decide(order: list[Subject]) -> None:
        for _ in range(5):
            with hub.engine.begin() as conn:
                hub.ledger.lock_subjects(conn, order)
                inside.append("in")
                inside.append("out")

    together(lambda: decide(names), lambda: decide(names[::-1]))
    assert inside == ["in", "out"] * 10


def test_markers_in_any_order_do_not_deadlock(postgres_lab: Lab) -> None:
    hub = postgres_lab.node("hub")
    names = [Subject(f"note/{n}") for n in range(300)]

    def mark(order: list[Subject]) -> None:
        for _ in range(5):
            with hub.engine.begin() as conn:
                hub.ledger.mark_pending(conn, order)

    together(lambda: mark(names), lambda: mark(names[::-1]), lambda: mark(names[150:] + names[:150]))
    with hub.engine.begin() as conn:
        assert hub.ledger.pending_count(conn) == 300


def test_enrolling_two_nodes_with_one_code_at_once_takes_one(postgres_lab: Lab) -> None:
    hub = postgres_lab.node("hub")
    stations = [postgres_lab.node("one"), postgres_lab.node("two")]
    with hub.engine.begin() as conn:
        code = issue_code(conn, name="desk", read_scopes=[HALL], write_scopes=[HALL], now=postgres_lab.clock())

    def use(station: LabNode) -> bool:
        try:
            enrol(station.replica, DirectTransport(hub.responder), code)
        except CodeRefused:
            return False
        return True

    assert sorted(together(*(partial(use, station) for station in stations))) == [False, True]
