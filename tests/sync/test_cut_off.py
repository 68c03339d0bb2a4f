"""What arrives in part, empty, or exactly at a limit."""

from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import OperationalError

from sync import bundle, wire
from sync.bundle import BundleHeader
from sync.errors import AnswerCut, EventTooLarge, Malformed, SyncError, TimedOut, TooLarge, Unreachable
from sync.events import EVENT_BODY_BYTES_MAX, EventDraft
from sync.exchange import exchange
from sync.limits import BUNDLE_EVENTS_MAX, BUNDLE_SEGMENTS_MAX, Limits
from sync.tables import metadata
from sync.testing import Crash, Lab, LabNode, draft, refused
from sync.testing.exchange_contract import HALL, Tapped, direct, heads
from sync.testing.transports import DirectTransport
from sync.transport import Transport


class Cut:
    """A line that breaks once at a place of the first push, on the way there or back."""

    def __init__(self, inner: Transport, place: float, back: bool) -> None:
        self._inner, self._place, self._back, self._broken = inner, place, back, False

    def post(self, verb: str, body: bytes) -> bytes:
        if verb != "push" or self._broken:
            return self._inner.post(verb, body)
        self._broken = True
        if self._back:
            answer = self._inner.post(verb, body)
            return answer[: int(len(answer) * self._place)]
        try:
            self._inner.post(verb, body[: int(len(body) * self._place)])
        except SyncError:
            raise Unreachable from None  # a proxy that had half a request has lost its line, too
        raise AssertionError("half a request was answered")


# Nothing; inside the magic bytes; the head; the signature; the frame; before the trailer; all but one byte.
@pytest.mark.parametrize("place", [0.0, 0.002, 0.05, 0.2, 0.5, 0.97, 0.9999])
@pytest.mark.parametrize("back", [False, True], ids=["request", "answer"])
def test_a_push_cut_anywhere_is_stored_once_by_the_next_exchange(sqlite_lab: Lab, place: float, back: bool) -> None:
    hub, station = sqlite_lab.pair()
    station.record(HALL, *(draft(f"note/{n}", f"{n}" * 40) for n in range(40)))
    with refused(AnswerCut if back else Unreachable):
        station.exchange(hub, Cut(DirectTransport(hub.responder), place, back))
    assert len(hub.events("note/7")) == (1 if back else 0), "whole or not at all"
    assert station.exchange(hub).verified
    assert heads(hub, HALL) == heads(station, HALL)
    assert len(hub.events("note/7")) == 1


def test_a_bundle_of_nothing_is_answered_and_stores_nothing(sqlite_lab: Lab) -> None:
    hub, station = sqlite_lab.pair()
    identity = station.replica.identity
    header = BundleHeader(node=station.node, epoch=identity.epoch, recipient=hub.node, created_us=0, software="x",
                          segments=0, events=0, raw_bytes=0)  # fmt: skip
    line = Tapped(DirectTransport(hub.responder))
    head = station.replica.head("push", identity.epoch, hub.node, 50)
    body = wire.enclose(identity, "request", head, bundle.seal_bundle(identity, header, b""))
    answer = wire.decode(wire.open_envelope(line.post("push", body)).payload, wire.PushAnswer)
    assert (answer.stored, answer.known, answer.held, answer.refusals) == (0, 0, 0, [])
    with station.engine.begin() as conn:
        station.ledger.append(conn, HALL, [])
        assert not station.ledger.own_heads(conn)
    assert station.exchange(hub).verified


@pytest.mark.parametrize(
    ("field", "limit"), [("events", BUNDLE_EVENTS_MAX), ("segments", BUNDLE_SEGMENTS_MAX)], ids=["events", "segments"]
)
def test_a_bundles_counts_may_reach_their_limits_and_not_pass_them(sqlite_lab: Lab, field: str, limit: int) -> None:
    identity = sqlite_lab.node("a").replica.identity
    for stated, passes in ((limit - 1, True), (limit, True), (limit + 1, False)):
        fields = {"segments": 1, "events": 1, field: stated}
        header = BundleHeader(node=identity.node, epoch=identity.epoch, recipient="", created_us=0, software="x",
                              raw_bytes=0, **fields)  # fmt: skip
        data = bundle.seal_bundle(identity, header, b"")
        if passes:
            assert getattr(bundle.peek(data), field) == stated
        else:
            with refused(Malformed):
                bundle.peek(data)


def sized(size: int) -> EventDraft:
    """A draft whose body has exactly this many bytes."""
    return replace(draft(), body=b'"' + b"x" * (size - 2) + b'"')


def test_a_body_at_its_limit_travels_and_one_byte_more_is_refused_where_it_is_written(sqlite_lab: Lab) -> None:
    hub, station = sqlite_lab.pair()
    station.record(HALL, sized(EVENT_BODY_BYTES_MAX - 1), sized(EVENT_BODY_BYTES_MAX))
    assert station.exchange(hub).verified
    assert [len(event.body or b"") for event in hub.events()] == [EVENT_BODY_BYTES_MAX - 1, EVENT_BODY_BYTES_MAX]
    with refused(EventTooLarge):
        sized(EVENT_BODY_BYTES_MAX + 1)


def test_a_message_at_the_ceiling_is_read_and_one_byte_more_is_not(sqlite_lab: Lab) -> None:
    hub, station = sqlite_lab.pair()
    line = direct(hub)
    station.exchange(hub, line)
    (verb, body) = line.requests[-1]
    for ceiling, error in ((len(body), SyncError), (len(body) - 1, TooLarge)):
        node = sqlite_lab.node(f"hub-{ceiling}", limits=Limits(message_bytes_max=ceiling))
        with refused(error) as caught:
            node.responder.answer(verb, body)
        assert isinstance(caught[0], TooLarge) == (error is TooLarge)


# --- disks and computers that stop in the middle --------------------------------------------------------------------


def test_a_disk_that_is_full_while_records_come_in_holds_all_of_a_bundle_or_nothing(sqlite_lab: Lab) -> None:
    hub, station = sqlite_lab.pair()
    hub.record(HALL, *(draft(f"note/{n}", f"{n}" * 3000) for n in range(60)))
    with station.engine.begin() as conn:
        pages = conn.exec_driver_sql("PRAGMA page_count").scalar_one()
    with station.engine.connect() as conn:  # the pool has this one connection
        conn.exec_driver_sql(f"PRAGMA max_page_count={pages + 10}")
    with pytest.raises(OperationalError, match="full"):
        station.exchange(hub)
    with station.engine.begin() as conn:
        assert not station.ledger.verify(conn)
        assert len(station.ledger.subjects(conn, "note/", None, 100)) in (0, 60)
    with station.engine.connect() as conn:
        conn.exec_driver_sql("PRAGMA max_page_count=1000000")
    assert station.exchange(hub).verified
    assert heads(hub, HALL) == heads(station, HALL)


class SwitchedOff:
    """A line on which the computer is switched off after some requests; `asleep` lets time pass instead."""

    def __init__(self, inner: Transport, requests: int) -> None:
        self._inner, self._left = inner, requests

    def post(self, verb: str, body: bytes) -> bytes:
        answer = self._inner.post(verb, body)
        self._left -= 1
        if self._left < 0:
            raise Crash  # the hub has acted, and nobody is there to hear it
        return answer


def test_a_month_of_evenings_on_which_the_power_goes_off_in_the_middle(sqlite_lab: Lab) -> None:
    small = Limits(batch_raw_bytes=2000, batch_raw_bytes_start=2000, batch_raw_bytes_min=500)
    hub, station = sqlite_lab.node("hub", limits=small), sqlite_lab.node("station", limits=small)
    sqlite_lab.enrol(station, hub, [HALL], [HALL])
    for day in range(22):
        station.record(HALL, *(draft(f"note/{day}-{n}", "x" * 500) for n in range(5)))
        hub.record(HALL, draft(f"card/{day}"))
        with suppress(Crash):
            station.exchange(hub, SwitchedOff(DirectTransport(hub.responder), day % 5))
        station.engine.dispose()
        sqlite_lab.clock.advance(timedelta(days=1))
    assert station.exchange(hub).verified
    assert heads(hub, HALL) == heads(station, HALL)
    with hub.engine.begin() as conn:
        assert len(hub.ledger.subjects(conn, "note/", None, 1000)) == 110
        assert not hub.ledger.verify(conn)


def test_a_computer_that_sleeps_over_a_weekend_in_an_exchange_goes_on_on_monday(sqlite_lab: Lab) -> None:
    hub, station = sqlite_lab.pair()
    station.record(HALL, draft(text="friday"))
    seconds = [0.0]

    def sleep(verb: str, body: bytes) -> None:
        if verb == "push":
            hub.responder.answer(verb, body)  # it arrived; the answer found a lid that was shut
            sqlite_lab.clock.advance(timedelta(hours=62))
            seconds[0] += 62 * 3600
            raise TimedOut

    with refused(TimedOut):
        exchange(station.replica, station.peer(hub), direct(hub, sleep), lambda: seconds[0])
    station.record(HALL, draft(text="monday"))
    report = station.exchange(hub)
    assert (report.pushed, report.verified) == (1, True)
    assert len(hub.events()) == 2


# --- nothing to do ---------------------------------------------------------------------------------------------------


def test_a_day_of_asking_for_nothing_leaves_both_databases_as_they_were(sqlite_lab: Lab) -> None:
    """Bookkeeping does not grow with the number of exchanges: as many rows after a day as before it."""
    hub, station = sqlite_lab.pair()
    station.record(HALL, draft())
    station.exchange(hub)
    before = [rows(node) for node in (hub, station)]
    line = direct(hub)
    for _ in range(60):
        sqlite_lab.clock.advance(timedelta(minutes=5))
        assert station.exchange(hub, line).verified
    assert [rows(node) for node in (hub, station)] == before
    assert len(line.requests) == 60
    assert line.size / 60 < 1000


def rows(node: LabNode) -> dict[str, int]:
    with node.engine.begin() as conn:
        return {
            table.name: conn.execute(select(func.count()).select_from(table)).scalar_one()
            for table in metadata.sorted_tables
        }
