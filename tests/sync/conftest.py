"""Laboratories for the replication library: the same tests on SQLite and on a real PostgreSQL.

Making the library's tables takes longer than most tests. So SQLite gets a copy of an empty database, and PostgreSQL's
schemas are emptied and used again.
"""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import Engine, create_engine, event, text
from sqlalchemy.pool import NullPool

from service.demo.servers import PrivatePostgres
from sync.tables import metadata
from sync.testing import Lab, sqlite_engine

_CHANGES_TABLES = ("CREATE", "DROP", "ALTER")
_EMPTY = text(f"TRUNCATE {', '.join(table.name for table in metadata.sorted_tables)} RESTART IDENTITY")


@pytest.fixture(scope="session")
def sync_postgres_url(postgres_server: PrivatePostgres) -> str:
    """A database for all tests of this folder; each laboratory uses schemas of its own in it."""
    return postgres_server.create_database("sync_tests")


@pytest.fixture(scope="session")
def empty_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database file with the library's tables and nothing in them."""
    path = tmp_path_factory.mktemp("sync") / "empty.db"
    engine = sqlite_engine(path)
    metadata.create_all(engine)
    engine.dispose()  # the last connection to close brings everything into the one file
    return path


@pytest.fixture
def sqlite_lab(empty_sqlite: Path, tmp_path: Path) -> Iterator[Lab]:
    def database(name: str) -> Engine:
        return sqlite_engine(Path(shutil.copy(empty_sqlite, tmp_path / f"{name}.db")), durable=False)

    lab = Lab(database, tmp_path, prepare=_has_its_tables)
    yield lab
    lab.close()


def _has_its_tables(_engine: Engine) -> None:
    """Nothing is left to do."""


@dataclass(slots=True)
class Schema:
    """The library's tables in PostgreSQL, and connections to them that stay open."""

    name: str
    engine: Engine
    is_changed: bool = False  # a test has changed the tables themselves

    def watch(self) -> None:
        event.listen(self.engine, "before_cursor_execute", self._look)

    def _look(self, _conn: object, _cursor: object, statement: str, *_: object) -> None:
        self.is_changed = self.is_changed or statement.lstrip().upper().startswith(_CHANGES_TABLES)


@dataclass(slots=True)
class Schemas:
    """Schemas, each for one node of one test at a time."""

    url: str
    free: list[Schema] = field(default_factory=list)
    taken: list[Schema] = field(default_factory=list)

    def engine(self, _name: str) -> Engine:
        self.taken.append(self.free.pop() if self.free else self._made())
        return self.taken[-1].engine

    def give_back(self) -> None:
        """After a test: empty what it used, and use no more whose tables it has changed."""
        while self.taken:
            schema = self.taken.pop()
            if schema.is_changed:
                schema.engine.dispose()
                continue
            with schema.engine.begin() as conn:
                conn.execute(_EMPTY)
            self.free.append(schema)

    def close(self) -> None:
        for schema in self.free:
            schema.engine.dispose()

    def _made(self) -> Schema:
        name = f"node_{uuid4().hex}"
        admin = create_engine(self.url, poolclass=NullPool)
        with admin.begin() as conn:
            conn.execute(text(f"CREATE SCHEMA {name}"))
        # No power fails here, and a commit that waits for the disk is most of a test's time.
        options = f"-c search_path={name} -c lock_timeout=20s -c synchronous_commit=off"
        schema = Schema(name, create_engine(self.url, connect_args={"options": options}))
        metadata.create_all(schema.engine)
        schema.watch()
        return schema


@pytest.fixture(scope="session")
def schemas(sync_postgres_url: str) -> Iterator[Schemas]:
    made = Schemas(sync_postgres_url)
    yield made
    made.close()


@pytest.fixture
def postgres_lab(schemas: Schemas, tmp_path: Path) -> Iterator[Lab]:
    yield Lab(schemas.engine, tmp_path, prepare=_has_its_tables)
    schemas.give_back()
