"""Clocks order nothing and refuse nothing: whatever they say, everything arrives, and both times are kept."""

from datetime import UTC, datetime, timedelta

import pytest

from sync import peers
from sync.errors import TimedOut
from sync.events import LAMPORT_LEARNED_MAX, LAMPORT_MAX
from sync.testing import FixedClock, Lab, LabNode, draft, refused
from sync.testing.exchange_contract import HALL, PUB, direct, heads

TODAY = datetime(2026, 3, 2, 8, tzinfo=UTC)


def at(lab: Lab, name: str, now: datetime) -> LabNode:
    """A node with a clock of its own."""
    lab.clock = FixedClock(now)
    return lab.node(name)


def pair(lab: Lab, station_says: datetime) -> tuple[LabNode, LabNode]:
    hub, station = at(lab, "hub", TODAY), at(lab, "station", station_says)
    lab.clock = hub.clock  # which codes expire by
    lab.enrol(station, hub, [PUB, HALL], [HALL])
    return hub, station


def offset_at_hub(hub: LabNode, station: LabNode) -> float:
    with hub.engine.begin() as conn:
        offset = peers.find_contact(conn, station.node).offset_s
    assert offset is not None
    return offset


YEAR = timedelta(days=365)


@pytest.mark.parametrize("says", [datetime(1970, 1, 1, tzinfo=UTC), TODAY + YEAR, TODAY - timedelta(hours=3)])
def test_a_station_with_a_wrong_clock_is_served_and_its_offset_known(sqlite_lab: Lab, says: datetime) -> None:
    hub, station = pair(sqlite_lab, says)
    station.record(HALL, draft())
    hub.record(HALL, draft(text="answer"))
    report = station.exchange(hub)
    assert (report.pushed, report.pulled, report.verified) == (1, 1, True)
    assert offset_at_hub(hub, station) == (says - TODAY).total_seconds()
    assert report.clock_offset_s == pytest.approx((TODAY - says).total_seconds(), abs=5)
    (arrived, _) = hub.events()
    assert (arrived.occurred_at, arrived.received_at) == (draft().occurred_at, TODAY), "both times are kept"


def test_a_clock_a_year_ahead_that_is_put_right_leaves_order_and_numbers_alone(sqlite_lab: Lab) -> None:
    hub, station = pair(sqlite_lab, TODAY + YEAR)
    first = station.record(HALL, draft(text="in a year"))[0]
    station.exchange(hub)
    station.clock.advance(-YEAR)
    second = station.record(HALL, draft(text="today"))[0]
    assert (second.seq, second.lamport) == (first.seq + 1, first.lamport + 1)
    assert station.exchange(hub).verified
    assert [event.event_id for event in hub.events()] == [first.event_id, second.event_id]
    assert offset_at_hub(hub, station) == 0


def test_a_clock_that_jumps_back_in_the_middle_of_an_exchange_changes_nothing(sqlite_lab: Lab) -> None:
    hub, station = pair(sqlite_lab, TODAY)
    station.record(HALL, *(draft(f"note/{n}") for n in range(5)))

    def jump(verb: str, body: bytes) -> None:
        station.clock.advance(-timedelta(hours=7))

    assert station.exchange(hub, direct(hub, jump)).verified
    assert heads(hub, HALL) == heads(station, HALL)
    assert station.unsent(hub).count == 0


def test_a_clock_put_right_just_before_connecting_hides_nothing_of_the_records(sqlite_lab: Lab) -> None:
    """The exchange sees a right clock; what was recorded under the wrong one still says so, beside when it came."""
    hub, station = pair(sqlite_lab, TODAY - YEAR)
    recorded = station.record(HALL, draft())[0]
    assert recorded.received_at == TODAY - YEAR
    station.clock.advance(YEAR)
    station.exchange(hub)
    assert offset_at_hub(hub, station) == 0
    (event,) = hub.events()
    assert event.received_at == TODAY


def test_stations_that_are_all_skewed_differently_see_one_order(sqlite_lab: Lab) -> None:
    hub = at(sqlite_lab, "hub", TODAY)
    skews = (-20_000, -1, 0, 40, 3000)
    stations = [at(sqlite_lab, f"s{n}", TODAY + timedelta(days=skew)) for n, skew in enumerate(skews)]
    sqlite_lab.clock = hub.clock
    for station in stations:
        sqlite_lab.enrol(station, hub, [HALL], [HALL])
    for round_ in range(2):
        for station in stations:
            station.exchange(hub)
            station.record(HALL, draft(text=f"{station.name} {round_}"))
            station.exchange(hub)
    orders = []
    for node in (hub, *stations):
        if node is not hub:
            assert node.exchange(hub).verified
        orders.append([event.body for event in node.events()])
    assert len(orders[0]) == 2 * len(stations)
    assert all(order == orders[0] for order in orders)


@pytest.mark.parametrize("number", [LAMPORT_LEARNED_MAX + 5, LAMPORT_MAX])
def test_one_record_from_the_far_future_moves_no_other(sqlite_lab: Lab, number: int) -> None:
    """Neither by its time nor by its number: a number beyond reason is stored and not learned from."""
    hub, station = pair(sqlite_lab, TODAY)
    with station.engine.begin() as conn:
        station.ledger.append(conn, HALL, [draft()])
        conn.exec_driver_sql(f"UPDATE ledger_streams SET lamport = {number - 1}")
    far = station.record(HALL, draft(text="far"))[0]
    assert far.lamport == number
    assert station.exchange(hub).verified
    answer = hub.record(PUB, draft("policy/town"))[0]
    assert answer.lamport < LAMPORT_LEARNED_MAX
    assert station.exchange(hub).verified


def test_an_exchange_that_failed_moves_no_counter_of_events(sqlite_lab: Lab) -> None:
    hub, station = pair(sqlite_lab, TODAY)
    hub.record(HALL, *(draft(f"note/{n}") for n in range(50)))

    def lose(verb: str, body: bytes) -> None:
        if verb == "pull":
            raise TimedOut

    with refused(TimedOut):
        station.exchange(hub, direct(hub, lose))
    assert station.record(HALL, draft("note/own"))[0].lamport == 1, "nothing of it arrived, nothing was learned"
