"""A station and a hub put back from a backup, with everything around the ledger: numbers, tables, entries to read."""

from __future__ import annotations

import shutil
from pathlib import Path

from sqlalchemy import select

from service.actions import checking, doubting, projecting, registering, routing, syncing
from service.node import Node
from service.store import station_queries
from service.store.database import open_sqlite
from service.store.tables import opinions
from sync import epochs
from sync.anchor import ANCHOR_FILE
from tests.flows.conftest import CLERK, LIAISON, VILLAGE, Township, ready


def registered(node: Node, title: str) -> str:
    """The registration number of a new opinion."""
    form = registering.NewOpinion(form=node.new_id(), title=title, body=f"{title}。", area=VILLAGE)
    with node.unit(LIAISON) as unit:
        opinion = registering.register(unit, form, "qd").opinion
    return numbers(node)[opinion]


def numbers(node: Node) -> dict[str, str]:
    with node.reading() as connection:
        return {row.id: row.reg_no for row in connection.execute(select(opinions.c.id, opinions.c.reg_no))}


def exchanged(township: Township, station: Node) -> bool:
    """Both ends exchange and fold; whether they were found equal."""
    township.clock.go_on(minutes=1)
    report = syncing.exchange_now(station)
    projecting.sweep(township.hub)
    return report.verified


def backup(node: Node, to: Path) -> Path:
    """As the documentation says: the keys, and the database by VACUUM INTO."""
    to.mkdir()
    for file in node.settings.data_dir.glob("*.key"):
        shutil.copy(file, to)
    shutil.copy(node.settings.data_dir / "node.epoch", to)
    with node.engine.connect() as connection:
        raw = connection.connection.driver_connection
        assert raw is not None
        raw.execute(f"VACUUM INTO '{to / 'station.sqlite3'}'")
    return to


def put_back(township: Township, kept: Path) -> Node:
    """The old PC is gone; its backup runs on another disk."""
    township.stations["qd"].engine.dispose()
    settings = township.stations["qd"].settings.model_copy(update={"data_dir": kept})
    node = township.stations["qd"] = ready(settings, township.clock)
    return node


def doubts(node: Node) -> list[tuple[str, str]]:
    with node.reading() as connection:
        return [(one.station, one.reason) for one in station_queries.doubts(connection, node.ledger)]


def test_a_restored_station_works_at_once_and_gives_no_number_out_twice(township: Township, tmp_path: Path) -> None:
    station = township.station("qd")
    assert registered(station, "路灯不亮") == "QD-2026-0001"
    exchanged(township, station)
    kept = backup(station, tmp_path / "backup")
    assert registered(station, "水沟堵塞") == "QD-2026-0002"
    exchanged(township, station)

    restored = put_back(township, kept)
    township.line.cut()
    assert registered(restored, "断网时登记") == "QD1-2026-0001", "0002 may be on somebody's receipt"
    township.line.mend()
    exchanged(township, restored)
    assert sorted(numbers(restored).values()) == ["QD-2026-0001", "QD-2026-0002", "QD1-2026-0001"]
    assert exchanged(township, restored)
    assert registered(restored, "核对一致以后") == "QD-2026-0003"
    exchanged(township, restored)
    assert numbers(restored) == numbers(township.hub)
    assert checking.check(restored) == checking.check(township.hub) == []
    assert doubts(restored) == doubts(township.hub) == [("qd", "anchor_missing")]


def test_a_station_whose_anchor_is_ahead_says_so(township: Township) -> None:
    station = township.station("qd")
    registered(station, "路灯不亮")
    doubting.remember(station)
    station.engine.dispose()
    for file in station.settings.data_dir.glob("station.sqlite3*"):
        file.unlink()
    assert open_sqlite(station.settings.sqlite_path) is not None
    assert (station.settings.data_dir / ANCHOR_FILE).exists()
    again = ready(station.settings, township.clock)
    with again.reading() as connection:
        assert [one.reason for one in epochs.opened(connection)] == ["database_older"]


def test_a_restored_hub_gets_back_what_it_dispatched_beside_what_it_dispatched_since(township: Township) -> None:
    hub, station = township.hub, township.station("qd")
    registered(station, "水沟堵塞")
    registered(station, "路灯不亮")
    exchanged(township, station)
    before = hub_tables(hub)
    first, second = sorted(numbers(hub))
    assert dispatched(hub, first) == "JB-2026-0001"
    exchanged(township, station)

    hub_put_back(hub, before)
    assert dispatched(hub, second) == "JB-2026-0001", "nobody has told it yet"
    exchanged(township, station)
    doubting.announce(hub)
    assert doubts(hub) == [("", "fork")]
    exchanged(township, station)
    assert checking.check(hub) == checking.check(station) == []
    with hub.reading() as connection:
        states = set(connection.execute(select(opinions.c.state)).scalars())
    assert states == {"dispatched"}, "both dispatches stand"


def dispatched(hub: Node, opinion: str) -> str:
    with hub.unit(CLERK) as unit:
        return routing.dispatch(unit, opinion, routing.Dispatch(unit="water", requirement="疏通", duty_basis="职责"))


def hub_tables(hub: Node) -> dict[str, list[dict[str, object]]]:
    """Every row of the hub, as a dump holds it."""
    from service.store import tables
    from sync.tables import metadata

    found = {}
    with hub.engine.connect() as connection:
        for table in (*metadata.sorted_tables, *tables.kept.sorted_tables, *tables.read.sorted_tables):
            found[table.name] = [dict(row) for row in connection.execute(select(table)).mappings()]
    return found


def hub_put_back(hub: Node, rows: dict[str, list[dict[str, object]]]) -> None:
    from service.store import tables
    from sync.tables import metadata

    every = (*metadata.sorted_tables, *tables.kept.sorted_tables, *tables.read.sorted_tables)
    with hub.engine.begin() as connection:
        for table in reversed(every):
            connection.execute(table.delete())
        for table in every:
            if rows[table.name]:
                connection.execute(table.insert(), rows[table.name])
    hub._town = None
