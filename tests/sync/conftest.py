"""Laboratories for the replication library: the same tests on SQLite and on a real PostgreSQL."""

from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.pool import NullPool

from service.demo.servers import PrivatePostgres
from sync.testing import Lab, sqlite_engine


@pytest.fixture(scope="session")
def sync_postgres_url(postgres_server: PrivatePostgres) -> str:
    """A database for all tests of this folder; each laboratory uses schemas of its own in it."""
    return postgres_server.create_database("sync_tests")


@pytest.fixture
def sqlite_lab(tmp_path: Path) -> Iterator[Lab]:
    lab = Lab(lambda name: sqlite_engine(tmp_path / f"{name}.db"), tmp_path)
    yield lab
    lab.close()


@pytest.fixture
def postgres_lab(sync_postgres_url: str, tmp_path: Path) -> Iterator[Lab]:
    admin = create_engine(sync_postgres_url, poolclass=NullPool)
    schemas: list[str] = []
    lab = Lab(_in_schemas(admin, sync_postgres_url, schemas), tmp_path)
    yield lab
    lab.close()
    with admin.begin() as conn:
        for schema in schemas:
            conn.execute(text(f"DROP SCHEMA {schema} CASCADE"))


def _in_schemas(admin: Engine, url: str, schemas: list[str]) -> Callable[[str], Engine]:
    def database(name: str) -> Engine:
        schema = f"{name}_{uuid4().hex}"
        with admin.begin() as conn:
            conn.execute(text(f"CREATE SCHEMA {schema}"))
        schemas.append(schema)
        # No power fails here, and a commit that waits for the disk is most of a test's time.
        options = f"-c search_path={schema} -c lock_timeout=20s -c synchronous_commit=off"
        return create_engine(url, connect_args={"options": options})

    return database
