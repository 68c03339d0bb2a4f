"""Rows written many at once: the same on both databases, by COPY and by INSERT."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, select

from service.store import node_facts, tables
from service.store.database import open_postgresql, open_sqlite
from service.store.upsert import COPY_ROWS_MIN, replace_rows, upsert

INSTANT = datetime(2026, 11, 16, 2, 0, 0, 123456, tzinfo=UTC)
FEW, MANY = COPY_ROWS_MIN - 1, 3 * COPY_ROWS_MIN


@pytest.fixture(params=["sqlite", "postgresql"])
def connection(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Connection]:
    if request.param == "sqlite":
        engine = open_sqlite(tmp_path / "rows.sqlite3")
    else:
        engine = open_postgresql(request.getfixturevalue("postgres_url"))
    with engine.begin() as connection:
        tables.read.create_all(connection)
        tables.kept.create_all(connection)
        yield connection
    engine.dispose()


def opinion(number: int, **changes: Any) -> dict[str, Any]:
    row = {
        "id": f"{number:032x}", "reg_no": f"QD-2026-{number:04d}", "tracking": f"{number:064x}", "station": "qd",
        "title": f"“沟”堵了\t{number}\n\\N ,;'\"", "source": "reception", "category": "", "area": "445222113201",
        "affected": 2**31 - 1, "urgency": "normal", "sensitive": bool(number % 2), "state": "registered", "route": "",
        "unit": "", "co_units": "", "dispatch_no": "", "outcome": "",
        "registered_at": INSTANT + timedelta(microseconds=number),
        "received_at": datetime(1970, 1, 1, tzinfo=UTC), "dispatched_at": None, "signed_at": None,
        "delivered_at": None, "closed_at": datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC), "reopened": 0,
        "reopen_asked": False, "ran_late": False,
        "rating": "", "clock": "", "clock_kind": "", "due_on": date(2026, 2, 28) if number % 3 else None,
        "due_at": datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC), "provisional": True, "level": -1,
        "next_step_at": None, "unknown": 0,
    }  # fmt: skip
    return row | changes


def stored(connection: Connection) -> list[dict[str, Any]]:
    return [dict(row) for row in connection.execute(select(tables.opinions).order_by(tables.opinions.c.id)).mappings()]


@pytest.mark.parametrize("count", [1, FEW, MANY])
def test_what_was_written_is_read_back_to_the_last_character(connection: Connection, count: int) -> None:
    rows = [opinion(number) for number in range(count)]
    replace_rows(connection, tables.opinions.c.id, [row["id"] for row in rows], rows)
    assert stored(connection) == rows


@pytest.mark.parametrize("count", [FEW, MANY])
def test_rows_that_are_no_longer_given_are_gone_and_others_stay(connection: Connection, count: int) -> None:
    rows = [opinion(number) for number in range(count)]
    replace_rows(connection, tables.opinions.c.id, [row["id"] for row in rows], rows)
    changed = [opinion(number, state="closed") for number in range(0, count // 2, 2)]
    replace_rows(connection, tables.opinions.c.id, [row["id"] for row in rows[: count // 2]], changed)
    assert stored(connection) == changed + rows[count // 2 :]


def test_the_order_of_a_rows_names_does_not_matter(connection: Connection) -> None:
    rows = [dict(reversed(opinion(number).items())) for number in range(MANY)]
    replace_rows(connection, tables.opinions.c.id, [row["id"] for row in rows], rows)
    assert stored(connection) == rows


@pytest.mark.parametrize("count", [0, 1, 499, 500, 501, 1203])
def test_any_number_of_keys_empties_exactly_these(connection: Connection, count: int) -> None:
    rows = [{"series": f"S{number:05d}", "last": number} for number in range(1300)]
    upsert(connection, tables.numbers, rows)
    replace_rows(connection, tables.numbers.c.series, [row["series"] for row in rows[:count]], [])
    left = connection.execute(select(tables.numbers.c.series).order_by(tables.numbers.c.series)).scalars()
    assert list(left) == [row["series"] for row in rows[count:]]


def test_writing_again_by_primary_key_overwrites(connection: Connection) -> None:
    node_facts.put(connection, "station", "qd")
    node_facts.put(connection, "station", "zx")
    assert node_facts.get(connection, "station") == "zx"
    upsert(connection, tables.node_facts, [])
    assert node_facts.get(connection, "hub_node") is None


def test_every_read_table_can_be_filled_by_copy(connection: Connection) -> None:
    """A column of a new type that COPY is not told about would fail here, not at the first large upload."""
    sample = {"VARCHAR": "x", "TEXT": "x", "INTEGER": 7, "SMALLINT": 7, "BOOLEAN": True, "DATE": date(2026, 1, 1),
              "BIGINT": INSTANT, "BLOB": b"x", "BYTEA": b"x"}  # fmt: skip
    for table in tables.read.sorted_tables:
        key = next(iter(table.primary_key))
        kinds = {c.name: str(c.type.compile(connection.dialect)).partition("(")[0] for c in table.columns}
        rows = [{name: sample[kind] for name, kind in kinds.items()} for _ in range(MANY)]
        for number, row in enumerate(rows):
            row[key.name] = f"{number}"
        replace_rows(connection, key, [row[key.name] for row in rows], rows)
        assert len(connection.execute(select(table)).all()) == MANY
