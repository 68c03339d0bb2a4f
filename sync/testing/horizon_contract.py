"""What dropping events and starting from a snapshot must do on any database."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import count

from sqlalchemy import event, func, select, update

from sync import bundle, epochs, loading, peers, wire
from sync.errors import TimedOut
from sync.events import Stream
from sync.limits import Limits
from sync.loading import Load
from sync.snapshots import Snapshots
from sync.tables import ledger_events, ledger_horizons, ledger_runs, snapshot_loads, snapshot_parts
from sync.testing.exchange_contract import HALL, PUB, direct, heads
from sync.testing.expecting import refused
from sync.testing.ledger_contract import faults, packed
from sync.testing.nodes import Lab, LabNode, draft
from sync.testing.transports import Crash
from sync.tracing import trace

# Blocks so small only suit a hub's own streams: it may cut them anywhere.
SMALL = Limits(snapshot_block_events=32, snapshot_events_min=80, snapshot_part_raw_bytes=8 * 1024)


def drop(node: LabNode, stream: Stream, seqs: Iterable[int]) -> int:
    with node.engine.begin() as conn:
        return node.ledger.drop(conn, stream, list(seqs))


def horizons(node: LabNode) -> list[int]:
    with node.engine.begin() as conn:
        return [at.seq for at in node.ledger.horizons(conn).values()]


def load_of(station: LabNode, hub: LabNode) -> Load:
    with station.engine.begin() as conn:
        found = loading.find(conn, hub.node)
    assert found is not None
    return found


def kept(node: LabNode) -> int:
    with node.engine.begin() as conn:
        return conn.execute(select(func.count()).select_from(snapshot_parts)).scalar_one()


def sound(*nodes: LabNode) -> bool:
    found = []
    for node in nodes:
        with node.engine.begin() as conn:
            found += faults(conn, node)
    return found == []


def statements(hub: LabNode, number: int, text: str = "") -> Stream:
    """Master data that are stated again and again: ten subjects in turn."""
    drafts = [draft(f"policy/{n % 10}", f"{text}{n} 排水沟") for n in range(number)]
    return hub.record(PUB, *drafts)[0].stream


@contextmanager
def ending_at(place: int, *nodes: LabNode) -> Iterator[Callable[[], bool]]:
    """A crash instead of the commit with this number, counted over all nodes; whether it came to that."""
    commits = count(1)
    over: list[bool] = []

    def end(_conn: object) -> None:
        if next(commits) == place:
            over.append(True)
            raise Crash("commit")

    for node in nodes:
        event.listen(node.engine, "commit", end)
    try:
        yield lambda: bool(over)
    finally:
        for node in nodes:
            event.remove(node.engine, "commit", end)


def pair(lab: Lab, limits: Limits = SMALL) -> tuple[LabNode, LabNode]:
    hub, station = lab.node("hub", limits=limits), lab.node("station", limits=limits)
    lab.enrol(station, hub, [PUB, HALL], [HALL])
    return hub, station


class HorizonContract:
    """What rests on the database: dropping, the horizon, who is told to take a snapshot, epochs."""

    # --- dropping ----------------------------------------------------------------------------------------------

    def test_dropped_events_are_gone_and_the_chain_is_derived_all_the_same(self, lab: Lab) -> None:
        hub = lab.node("hub")
        stream = statements(hub, 40)
        before = _chains(packed(hub, stream, 1, 40))
        assert drop(hub, stream, [*range(1, 8), 9, 30]) == 9
        assert horizons(hub) == [30]
        assert [event.seq for event in hub.events("policy/0")] == [11, 21, 31], "1 is gone"
        assert [event.seq for event in hub.events("policy/7")] == [8, 18, 28, 38], "8 is kept in full"
        assert sound(hub)
        with hub.engine.begin() as conn:
            assert conn.execute(select(func.count()).select_from(ledger_events)).scalar_one() == 31
            assert hub.ledger.chains_at(conn, stream, range(1, 41)) == before
        assert _chains(packed(hub, stream, 1, 40)) == before

    def test_dropping_little_by_little_makes_few_runs(self, lab: Lab) -> None:
        hub = lab.node("hub")
        stream = statements(hub, 60)
        for seqs in ([5], [7], [6], [1, 2], [3], [9], [4], [8], range(10, 50)):
            drop(hub, stream, seqs)
        with hub.engine.begin() as conn:
            runs = conn.execute(select(ledger_runs.c.first, ledger_runs.c.last)).all()
        assert [tuple(run) for run in runs] == [(1, 49)]
        assert drop(hub, stream, range(1, 50)) == 0, "again changes nothing"
        assert sound(hub)

    def test_a_damaged_run_and_a_false_horizon_are_found(self, lab: Lab) -> None:
        hub = lab.node("hub")
        stream = statements(hub, 20)
        drop(hub, stream, range(1, 10))
        with hub.engine.begin() as conn:
            conn.execute(update(ledger_horizons).values(chain=bytes(32)))
            assert faults(conn, hub) == ["horizon"]
            conn.execute(update(ledger_runs).values(leaves=b"dust"))
            assert "missing" in faults(conn, hub)

    def test_what_was_dropped_travels_as_leaves_and_everybody_ends_equal(self, lab: Lab) -> None:
        hub, station = lab.pair()
        stream = statements(hub, 30)
        drop(hub, stream, range(1, 21))
        assert station.exchange(hub).verified
        assert heads(hub, PUB) == heads(station, PUB)
        assert [event.body is None for event in station.events("policy/3")] == [True, True, False]
        assert sound(hub, station)

    def test_a_horizon_only_goes_forward(self, lab: Lab) -> None:
        hub = lab.node("hub")
        stream = statements(hub, 20)
        drop(hub, stream, [10])
        drop(hub, stream, [3])
        assert horizons(hub) == [10]

    def test_what_waits_for_a_peer_is_counted_also_below_the_horizon(self, lab: Lab) -> None:
        hub, station = lab.pair()
        stream = statements(hub, 20)
        drop(hub, stream, range(1, 11))
        unsent = hub.unsent(station)
        assert (unsent.count, unsent.oldest_at) == (20, lab.clock())

    # --- when a snapshot is taken --------------------------------------------------------------------------------

    def test_a_first_load_of_much_comes_in_parts_and_the_tail_by_the_line(self, lab: Lab) -> None:
        hub, station = pair(lab)
        statements(hub, 120)
        line = direct(hub)
        assert station.exchange(hub, line).verified
        assert line.verbs.count("snapshot") == 1
        assert line.verbs.count("part") == load_of(station, hub).parts >= 3
        assert line.verbs[-2:] == ["pull", "hello"], "what lies beyond the last whole block"
        assert heads(hub, PUB) == heads(station, PUB)
        assert len(station.events("policy/3")) == 12
        load = load_of(station, hub)
        assert (load.reason, load.done, load.ended_at is not None) == ("first_load", load.parts, True)
        assert sound(station)

    def test_who_lacks_little_is_served_as_on_any_day(self, lab: Lab) -> None:
        hub, station = pair(lab)
        statements(hub, 60)
        line = direct(hub)
        assert station.exchange(hub, line).verified
        assert line.verbs == ["hello", "pull", "hello"]
        assert kept(hub) == 0

    def test_who_stands_below_the_horizon_is_reseeded_and_what_it_recorded_arrives(self, lab: Lab) -> None:
        hub, station = pair(lab)
        stream = statements(hub, 40)
        assert station.exchange(hub).verified
        statements(hub, 100)
        drop(hub, stream, range(1, 111))
        station.record(HALL, draft("note/1", "断网时登记"))
        seen: list[str | None] = []

        def look(verb: str, _: bytes) -> None:
            if verb == "part":
                with hub.engine.begin() as conn:
                    seen.append(peers.find_contact(conn, station.node).last_error_code)

        report = station.exchange(hub, direct(hub, look))
        assert (report.verified, report.pushed) == (True, 1)
        assert set(seen) == {"below_horizon"}
        assert load_of(station, hub).reason == "below_horizon"
        assert hub.events("note/1")[0].body == draft("note/1", "断网时登记").body
        assert [event.body is None for event in station.events("policy/0")][:5] == [False] * 4 + [True]
        assert heads(hub, PUB) == heads(station, PUB)
        assert sound(hub, station)
        with hub.engine.begin() as conn:
            assert peers.find_contact(conn, station.node).last_error_code is None, "settled"

    def test_a_node_below_the_horizon_that_knows_no_snapshots_is_served_all_the_same(self, lab: Lab) -> None:
        """Its request ends where this field begins."""
        hub, station = pair(lab)
        stream = statements(hub, 150)
        drop(hub, stream, range(1, 131))
        asked = wire.decode(wire.encode(wire.Pull(heads=[], raw_bytes=10**6, events=1000)), wire.Pull)
        assert not asked.snapshots
        with station.engine.begin() as conn:
            conn.execute(snapshot_loads.insert().values(
                peer=hub.node, reason="", manifest=b"", signature=b"", parts=0, done=0, begun_us=0,
                ended_us=int(lab.clock().timestamp() * 1e6), refused="by this test",
            ))  # fmt: skip
        line = direct(hub)
        assert station.exchange(hub, line).verified
        assert "snapshot" not in line.verbs
        assert sound(station)

    def test_the_idle_exchange_knows_nothing_of_it(self, lab: Lab) -> None:
        hub, station = pair(lab)
        stream = statements(hub, 100)
        drop(hub, stream, range(1, 80))
        station.exchange(hub)
        line = direct(hub)
        assert station.exchange(hub, line).verified
        assert line.verbs == ["hello"]
        assert line.size < 1000

    # --- erasing and dropping meanwhile --------------------------------------------------------------------------

    def test_parts_with_an_erased_or_dropped_event_go_at_once_and_none_is_made_with_it(self, lab: Lab) -> None:
        hub, station = pair(lab)
        stream = statements(hub, 120, text="阿婆住在桥头")
        cut = direct(hub, cut_after(2))
        with refused(TimedOut):
            station.exchange(hub, cut)
        before, (dropped, erased) = kept(hub), hub.events("policy/9")[7:9]
        with hub.engine.begin() as conn:
            hub.ledger.erase(conn, [erased.event_id])
        assert kept(hub) < before
        drop(hub, stream, [dropped.seq])
        line = direct(hub)
        assert station.exchange(hub, line).verified
        assert line.verbs.count("snapshot") == 1, "the old manifest no longer serves; a new one was asked for"
        assert [event.body for event in station.events("policy/9")[7:9]] == [None, None]
        with hub.engine.begin() as conn:
            digests = list(conn.execute(select(snapshot_parts.c.digest)).scalars())
            parts = [Snapshots(hub.replica).read(conn, digest) for digest in digests]
        for part in filter(None, parts):
            (segment,) = bundle.unpack(part[1], hub.replica.identity.public_key, SMALL).segments
            assert {erased.body, dropped.body}.isdisjoint(segment.bodies)
        assert sound(hub, station)

    # --- epochs --------------------------------------------------------------------------------------------------

    def test_a_hub_restored_to_before_its_horizon_gets_its_lost_facts_back(self, lab: Lab) -> None:
        hub, station = pair(lab)
        stream = statements(hub, 100)
        station.exchange(hub)
        restored = lab.copy(hub, "hub_restored")
        drop(hub, stream, range(1, 81))
        statements(hub, 30, text="新的")
        station.exchange(hub)
        _limit(restored)
        assert station.exchange(restored).verified
        assert station.exchange(restored).verified
        assert heads(restored, PUB) == heads(station, PUB)
        assert restored.events("policy/1")[-1].body == station.events("policy/1")[-1].body
        assert sound(restored, station)

    def test_a_hub_that_forked_below_its_horizon_and_a_station_that_yields_stay_sound(self, lab: Lab) -> None:
        """The station had shortened the hub's stream itself, up to beyond where the two branches part."""
        hub, station = pair(lab)
        stream = statements(hub, 60)
        station.exchange(hub)
        restored = lab.copy(hub, "hub_restored")
        _limit(restored)
        statements(hub, 20)
        station.exchange(hub)
        drop(station, stream, range(45, 76))
        restored.record(PUB, draft("policy/x", "另一支"))
        for _ in range(3):
            station.exchange(restored)
        assert station.exchange(restored).verified
        assert heads(restored, PUB) == heads(station, PUB)
        assert all(at <= 60 for at in horizons(station))
        assert sound(restored, station)

    def test_a_station_restored_to_below_the_horizon_is_reseeded_with_its_own_past(self, lab: Lab) -> None:
        hub, station = pair(lab)
        stream = statements(hub, 20)
        station.record(HALL, draft("note/1", "恢复前"))
        station.exchange(hub)
        copy = lab.copy(station, "station_restored")
        _limit(copy)
        station.record(HALL, draft("note/2", "备份之后"))
        statements(hub, 100)
        station.exchange(hub)
        drop(hub, stream, range(1, 101))
        copy.record(HALL, draft("note/3", "恢复后"))
        for _ in range(3):
            report = copy.exchange(hub)
        assert report.verified
        assert load_of(copy, hub).reason == "below_horizon"
        assert all(hub.events(f"note/{n}") and copy.events(f"note/{n}") for n in (1, 2, 3))
        with copy.engine.begin() as conn:
            assert epochs.opened(conn)
        assert sound(hub, copy)


def _chains(made: bundle.Bundle) -> list[bytes]:
    (segment,) = made.segments
    return trace(segment).chains


def cut_after(parts: int) -> Callable[[str, bytes], bytes | None]:
    left = [parts]

    def meddle(verb: str, body: bytes) -> None:
        left[0] -= verb == "part"
        if left[0] < 0:
            raise TimedOut(after_s=1)

    return meddle


def _limit(node: LabNode) -> None:
    node.replica = replace(node.replica, limits=SMALL)
