"""A SQLite engine as a node should have it."""

import sqlite3
from pathlib import Path
from types import ModuleType
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL
from sqlalchemy.pool import QueuePool


def sqlite_engine(path: Path, *, durable: bool = True) -> Engine:
    """Engine on a file: WAL, every commit on disk, BEGIN IMMEDIATE, waiting instead of failing.

    `durable=False` saves the fsyncs where no power can fail, as in a simulation.
    """
    engine = create_engine(
        URL.create("sqlite", database=str(path)),
        module=_sqlite(),
        poolclass=QueuePool,
        connect_args={"check_same_thread": False, "timeout": 10},
    )
    synchronous = "FULL" if durable else "OFF"

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: object) -> None:
        connection.isolation_level = None
        for pragma in (f"synchronous={synchronous}", "journal_mode=WAL", "busy_timeout=10000", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # A plain BEGIN that reads and then writes fails with "locked", whatever the timeout says.
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def _sqlite() -> ModuleType:
    """The wheel's SQLite where there is one: versions before 3.51.3 can corrupt a WAL file."""
    try:
        import pysqlite3
    except ImportError:
        return sqlite3
    return pysqlite3  # type: ignore[no-any-return]
