"""A disk that is full or damaged gets a sentence a person can act on; recording stops rather than lies."""

import shutil
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event, insert, select, text
from sqlalchemy.exc import DatabaseError

from service.store import schema, tables
from service.store.database import StorageUnusable, open_postgresql, open_sqlite, storage_problem
from tests.actions.township import Township, hub_settings, open_town

CANARY = "13812345678"


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_sqlite(tmp_path / "station.sqlite3")
    schema.upgrade(engine)
    yield engine
    engine.dispose()


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"this is no database, but it is long enough to be taken for one" * 20,
        lambda data: data[: len(data) // 2],
        lambda data: data[:4096] + bytes(len(data) - 4096),
        lambda data: data[:100] + b"\xff" * 4000 + data[4100:],
    ],
    ids=["another file", "cut in half", "zeros behind the first page", "first page overwritten"],
)
def test_a_damaged_file_is_refused_by_name_at_start(town: Township, damage: object) -> None:
    assert callable(damage)
    for _ in range(20):
        town.register()
    town.node.engine.dispose()
    path = town.node.settings.sqlite_path
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(StorageUnusable) as refused:
        open_town(hub_settings(path.parent))
    assert refused.value.code == "database_malformed"
    assert str(path) in str(refused.value)


def test_a_sound_file_opens_again_with_everything_in_it(town: Township) -> None:
    key = town.register()
    town.node.engine.dispose()
    again = open_town(hub_settings(town.node.settings.data_dir))
    assert again.opinion(key).registered is not None
    again.node.engine.dispose()


def test_a_full_disk_stops_recording_with_a_sentence_and_loses_nothing(town: Township) -> None:
    kept = [town.register() for _ in range(3)]
    with town.node.engine.connect() as connection:
        pages = connection.execute(text("PRAGMA page_count")).scalar_one()
    town.node.engine.dispose()

    def small_disk(connection: sqlite3.Connection, _record: object) -> None:
        connection.execute(f"PRAGMA max_page_count={pages + 4}")

    event.listen(town.node.engine, "connect", small_disk)

    def register_until_it_fails() -> None:
        while True:
            kept.append(town.register(body="漫水" * 2000))

    with pytest.raises(DatabaseError) as refused:
        register_until_it_fails()
    problem = storage_problem(refused.value)
    assert problem is not None
    assert problem.code == "disk_full"
    event.remove(town.node.engine, "connect", small_disk)
    town.node.engine.dispose()
    with town.node.reading() as connection:
        assert sorted(connection.execute(select(tables.opinions.c.id)).scalars()) == sorted(kept)
        assert town.node.ledger.verify(connection) == []
    assert town.register() not in kept


def test_a_database_that_may_only_be_read_says_so(tmp_path: Path, engine: Engine) -> None:
    with engine.connect() as connection:
        connection.execute(text("PRAGMA query_only=ON"))
        with pytest.raises(DatabaseError) as refused:
            connection.execute(insert(tables.numbers).values(series="QD-2026", last=1))
    problem = storage_problem(refused.value)
    assert problem is not None
    assert problem.code == "disk_read_only"


@pytest.mark.parametrize("error", [ValueError("disk is full"), KeyError("malformed")])
def test_a_mistake_in_the_program_is_not_blamed_on_the_disk(error: Exception) -> None:
    assert storage_problem(error) is None


def test_a_broken_rule_is_not_blamed_on_the_disk(engine: Engine) -> None:
    twice = insert(tables.numbers).values([{"series": "QD-2026", "last": 1}] * 2)
    with engine.begin() as connection, pytest.raises(DatabaseError) as refused:
        connection.execute(twice)
    assert storage_problem(refused.value) is None


def test_an_acknowledged_commit_survives_a_power_cut(engine: Engine) -> None:
    """Write-ahead log with full synchronisation: NORMAL loses acknowledged commits when the power fails."""
    with engine.connect() as connection:
        found = {
            name: connection.execute(text(f"PRAGMA {name}")).scalar_one()
            for name in ("journal_mode", "synchronous", "foreign_keys", "secure_delete", "trusted_schema")
        }
    assert found == {
        "journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "secure_delete": 1, "trusted_schema": 0,
    }  # fmt: skip


def test_recording_waits_while_another_program_holds_the_database(town: Township) -> None:
    """A virus scanner or a backup: the clerk's form is saved a moment later."""
    with ThreadPoolExecutor(1) as clerk, closing(_another_program(town)) as scanner:
        scanner.execute("BEGIN IMMEDIATE")
        saved = clerk.submit(town.register)
        with pytest.raises(TimeoutError):
            saved.result(timeout=0.2)
        scanner.rollback()
        assert town.opinion(saved.result(timeout=10)).registered is not None


def _another_program(town: Township) -> Any:
    """By the product's own SQLite: within one process, two libraries do not see each other's locks."""
    dialect: Any = town.node.engine.dialect
    return dialect.dbapi.connect(town.node.settings.sqlite_path)


def test_recording_goes_on_while_the_database_is_backed_up(town: Township, tmp_path: Path) -> None:
    """As the documentation says: VACUUM INTO. The copy is one moment of the database, and sound."""
    before = town.register()
    with closing(_another_program(town)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM ledger_events").fetchone()
        during = town.register()
        reader.rollback()
        reader.execute("VACUUM INTO ?", [str(tmp_path / "copy.sqlite3")])
    with closing(open_sqlite(tmp_path / "copy.sqlite3").raw_connection()) as copy:
        found = {row[0] for row in copy.execute("SELECT id FROM opinions")}
    assert found == {before, during}


def test_a_database_in_a_folder_with_a_chinese_name_opens(town: Township, tmp_path: Path) -> None:
    key = town.register()
    town.node.engine.dispose()
    shutil.copytree(town.node.settings.data_dir, tmp_path / "联络站 数据" / "钱东村")
    again = open_town(hub_settings(tmp_path / "联络站 数据" / "钱东村"))
    assert again.opinion(key).registered is not None
    again.node.engine.dispose()


def test_a_copy_of_files_taken_after_closing_is_a_whole_database(town: Township, tmp_path: Path) -> None:
    key = town.register()
    town.node.engine.dispose()
    shutil.copytree(town.node.settings.data_dir, tmp_path / "copy")
    again = open_town(hub_settings(tmp_path / "copy"))
    assert again.opinion(key).registered is not None
    again.node.engine.dispose()


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_failed_statement_does_not_quote_what_a_citizen_said(
    request: pytest.FixtureRequest, tmp_path: Path, kind: str
) -> None:
    """The words of an error end in logs and in the reason of a quarantine."""
    if kind == "sqlite":
        engine = open_sqlite(tmp_path / "other.sqlite3")
    else:
        engine = open_postgresql(request.getfixturevalue("postgres_url"))
    with engine.connect() as connection, pytest.raises(DatabaseError) as refused:
        connection.execute(text("INSERT INTO nowhere VALUES (:phone)"), {"phone": CANARY})
    engine.dispose()
    assert CANARY not in str(refused.value)
