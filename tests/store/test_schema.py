"""The migrations say what the metadata say, on both databases, survive being cut short, and are never undone by an
older program."""

import multiprocessing
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, MetaData, event, inspect, select, text

from service.demo.servers import PrivatePostgres
from service.store import node_facts, schema, tables
from service.store.database import StorageUnusable, open_postgresql, open_sqlite
from sync.tables import metadata as ledger

KEPT = (ledger, tables.kept)


@pytest.fixture(params=["sqlite", "postgresql"])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """An empty database."""
    if request.param == "sqlite":
        engine = open_sqlite(tmp_path / "station.sqlite3")
    else:
        engine = open_postgresql(request.getfixturevalue("postgres_url"))
    yield engine
    engine.dispose()


@dataclass(frozen=True, slots=True)
class Described:
    """What a database says about its tables."""

    tables: dict[str, Any]
    collations: set[tuple[str, ...]]


@pytest.fixture
def fresh(empty: Engine, request: pytest.FixtureRequest) -> Described:
    """A second database of the same kind, made straight from the metadata."""
    made: Described = request.getfixturevalue(f"fresh_{empty.dialect.name}")
    return made


@pytest.fixture(scope="module")
def fresh_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Described:
    return from_the_metadata(open_sqlite(tmp_path_factory.mktemp("fresh") / "fresh.sqlite3"))


@pytest.fixture(scope="module")
def fresh_postgresql(postgres_server: PrivatePostgres) -> Iterator[Described]:
    yield from_the_metadata(open_postgresql(postgres_server.create_database("fresh")))
    postgres_server.drop_database("fresh")


def from_the_metadata(engine: Engine) -> Described:
    with engine.begin() as connection:
        for metadata in (*KEPT, tables.read):
            metadata.create_all(connection)
    made = Described(described(engine), collations(engine))
    engine.dispose()
    return made


def described(engine: Engine) -> dict[str, Any]:
    """Everything the database itself can say about its tables, in an order that does not matter."""
    found = inspect(engine)
    keys, unique, checks, indexes = (
        dict(each()) for each in (
            found.get_multi_pk_constraint, found.get_multi_unique_constraints, found.get_multi_check_constraints,
            found.get_multi_indexes,
        )
    )  # fmt: skip
    return {
        place[1]: {
            "columns": sorted(
                (c["name"], str(c["type"]), c["nullable"], _plain(c.get("default")), c.get("autoincrement"))
                for c in columns
            ),
            "primary key": keys[place]["constrained_columns"],
            "unique": sorted((u["name"] or "", *u["column_names"]) for u in unique[place]),
            "checks": sorted((c["name"] or "", _plain(c["sqltext"])) for c in checks[place]),
            "indexes": sorted(repr(_index(i)) for i in indexes[place]),
        }
        for place, columns in found.get_multi_columns().items()
        if place[1] != "alembic_version"
    }  # fmt: skip


def _plain(text_: object) -> str:
    return "" if text_ is None else str(text_).strip("'() ").lower()


def _index(index: Any) -> tuple[object, ...]:
    options = {name: str(value) for name, value in index.get("dialect_options", {}).items()}
    return index["name"], tuple(index["column_names"]), bool(index["unique"]), options


def collations(engine: Engine) -> set[tuple[str, ...]]:
    """PostgreSQL: which columns compare byte by byte."""
    if engine.dialect.name != "postgresql":
        return set()
    query = "SELECT table_name, column_name, collation_name FROM information_schema.columns WHERE table_schema='public'"
    with engine.connect() as connection:
        return {tuple(row) for row in connection.execute(text(query)) if row[0] != "alembic_version"}


def test_migrated_from_zero_equals_created_from_the_metadata(empty: Engine, fresh: Described) -> None:
    schema.upgrade(empty)
    assert described(empty) == fresh.tables
    assert collations(empty) == fresh.collations


@pytest.mark.parametrize("metadata", KEPT, ids=["ledger", "kept"])
def test_alembic_finds_nothing_to_migrate(empty: Engine, metadata: MetaData) -> None:
    schema.upgrade(empty)
    ours = {table for each in (*KEPT, tables.read) for table in each.tables} - set(metadata.tables)
    with empty.connect() as connection:
        options = {"include_name": lambda name, kind, _: kind != "table" or name not in ours}
        differences = compare_metadata(MigrationContext.configure(connection, opts=options), metadata)
    assert differences == []


def test_upgrading_again_changes_nothing(empty: Engine) -> None:
    schema.upgrade(empty)
    with empty.begin() as connection:
        node_facts.put(connection, "read_version", tables.READ_VERSION)
        node_facts.put(connection, "station", "qd")
    before = described(empty)
    for _ in range(2):
        schema.upgrade(empty)
    assert described(empty) == before
    with empty.connect() as connection:
        assert node_facts.get(connection, "station") == "qd"
    assert schema.is_current(empty)


def test_an_empty_database_is_not_current(empty: Engine) -> None:
    assert not schema.is_current(empty)


def test_read_tables_of_another_version_are_dropped_and_the_kept_ones_stay(empty: Engine) -> None:
    schema.upgrade(empty)
    with empty.begin() as connection:
        node_facts.put(connection, "read_version", "an older one")
        connection.execute(tables.numbers.insert().values(series="QD-2026", last=7))
    schema.upgrade(empty)
    with empty.connect() as connection:
        assert connection.execute(select(tables.numbers)).all() == []
        assert node_facts.get(connection, "read_version") == "an older one"  # the rebuild says when it is done


class PowerCut(BaseException):
    """Nothing after it runs."""


@pytest.mark.parametrize("statements", [1, 5, 25, 40])
def test_a_migration_that_is_cut_short_begins_again(empty: Engine, fresh: Described, statements: int) -> None:
    left = iter(range(statements))

    def cut(*_: object) -> None:
        if next(left, None) is None:
            raise PowerCut

    event.listen(empty, "before_cursor_execute", cut)
    with pytest.raises(PowerCut):
        schema.upgrade(empty)
    event.remove(empty, "before_cursor_execute", cut)
    assert not schema.is_current(empty)
    schema.upgrade(empty)
    assert described(empty) == fresh.tables


def _upgrade_and_die(path: Path, statements: int) -> None:
    engine = open_sqlite(path)
    left = iter(range(statements))

    def die(*_: object) -> None:
        if next(left, None) is None:
            os._exit(9)

    event.listen(engine, "before_cursor_execute", die)
    schema.upgrade(engine)


@pytest.mark.parametrize("statements", [3, 20, 45])
def test_a_process_that_dies_while_migrating_leaves_a_file_that_migrates(tmp_path: Path, statements: int) -> None:
    path = tmp_path / "station.sqlite3"
    process = multiprocessing.get_context("spawn").Process(target=_upgrade_and_die, args=(path, statements))
    process.start()
    process.join(60)
    assert process.exitcode == 9
    engine = open_sqlite(path)
    schema.upgrade(engine)
    assert schema.is_current(engine)
    engine.dispose()


# --- from one release to the next ------------------------------------------------------------------------------

REVISIONS = [script.revision for script in ScriptDirectory(str(schema.MIGRATIONS)).walk_revisions()][::-1]


def migrated_to(engine: Engine, revision: str) -> None:
    """The database as an earlier release left it, with something in it that must not be lost."""
    config = Config()
    config.set_main_option("script_location", str(schema.MIGRATIONS))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
        node_facts.put(connection, "station", "qd")


@pytest.mark.parametrize("revision", REVISIONS)
def test_every_earlier_revision_is_brought_up_to_date(empty: Engine, fresh: Described, revision: str) -> None:
    migrated_to(empty, revision)
    schema.upgrade(empty)
    assert described(empty) == fresh.tables
    with empty.connect() as connection:
        assert node_facts.get(connection, "station") == "qd"


@pytest.mark.parametrize("revision", REVISIONS[:-1])
@pytest.mark.parametrize("tables_before", [0, 2])
def test_an_upgrade_that_is_cut_short_begins_again(
    empty: Engine, fresh: Described, revision: str, tables_before: int
) -> None:
    migrated_to(empty, revision)
    made = iter(range(tables_before))

    def cut(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if "CREATE TABLE" in statement and next(made, None) is None:
            raise PowerCut

    before = described(empty)
    event.listen(empty, "before_cursor_execute", cut)
    with pytest.raises(PowerCut):
        schema.upgrade(empty)
    event.remove(empty, "before_cursor_execute", cut)
    assert described(empty) == before
    schema.upgrade(empty)
    assert described(empty) == fresh.tables
    with empty.connect() as connection:
        assert node_facts.get(connection, "station") == "qd"


def everything(engine: Engine) -> dict[str, list[Any]]:
    """Every row of every table, those included that no metadata know."""
    with engine.connect() as connection:
        return {
            name: sorted(map(repr, connection.execute(text(f"SELECT * FROM {name}")).all()))
            for name in inspect(engine).get_table_names()
        }


def of_a_later_revision(engine: Engine) -> None:
    """As a newer release left it: a revision we do not know, a table of its own."""
    schema.upgrade(engine)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '20310101_later'"))
        connection.execute(text("CREATE TABLE later (id INTEGER PRIMARY KEY)"))
        node_facts.put(connection, "read_version", tables.READ_VERSION)


def of_a_later_read_version(engine: Engine) -> None:
    schema.upgrade(engine)
    with engine.begin() as connection:
        node_facts.put(connection, "read_version", str(int(tables.READ_VERSION) + 1))
        connection.execute(tables.numbers.insert().values(series="QD-2026", last=7))


@pytest.mark.parametrize("made", [of_a_later_revision, of_a_later_read_version])
def test_a_database_of_a_newer_program_is_refused_in_words_and_left_alone(empty: Engine, made: Any) -> None:
    made(empty)
    before = everything(empty)
    for _ in range(2):
        with pytest.raises(StorageUnusable, match="a newer program has worked with this database") as refused:
            schema.upgrade(empty)
        assert refused.value.code == "database_newer"
        assert "Start the newer program again" in str(refused.value)
    assert everything(empty) == before
