"""Engines for both databases, set up so that an acknowledged commit survives a power cut.

SQLite: WAL with synchronous=FULL (NORMAL lost acknowledged commits in simulated power cuts), and every writing
transaction begins IMMEDIATE (a plain BEGIN that reads and then writes fails with "locked" whatever the busy
timeout). The `pysqlite3` wheel is preferred because library versions before 3.51.3 can corrupt a WAL file when
two connections reset it at the same instant.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from types import ModuleType
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DatabaseError, OperationalError
from sqlalchemy.pool import QueuePool

_PRAGMAS = (
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    "PRAGMA busy_timeout=10000",
    "PRAGMA foreign_keys=ON",
    "PRAGMA trusted_schema=OFF",
    "PRAGMA cell_size_check=ON",
    "PRAGMA temp_store=MEMORY",
    "PRAGMA secure_delete=ON",
)
SAFE_SQLITE = (3, 51, 3)


class StorageUnusable(Exception):
    """The database cannot be trusted or written. Recording stops; `hint` says what a person can do."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail


def sqlite_module() -> ModuleType:
    """The newest SQLite there is: the wheel's where one exists, else Python's own."""
    try:
        import pysqlite3  # type: ignore[import-untyped]
    except ImportError:
        return sqlite3
    return pysqlite3  # type: ignore[no-any-return]


def sqlite_version() -> tuple[int, ...]:
    return tuple(int(part) for part in sqlite_module().sqlite_version.split("."))


def open_sqlite(path: Path) -> Engine:
    """Engine on a station's file; raises StorageUnusable when the file is not a sound database."""
    path.parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(
        URL.create("sqlite", database=str(path)), module=sqlite_module(), poolclass=QueuePool, pool_size=8,
        connect_args={"check_same_thread": False, "timeout": 10}, hide_parameters=True,
    )  # fmt: skip
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_immediate)
    _refuse_malformed(engine, path)
    return engine


def open_postgresql(url: str, pool_size: int = 8) -> Engine:
    """Engine on the hub's database. Every commit is synchronous; nothing waits for ever."""
    options = "-c synchronous_commit=on -c lock_timeout=20s -c idle_in_transaction_session_timeout=60s -c timezone=UTC"
    return create_engine(
        url, pool_size=pool_size, max_overflow=8, pool_pre_ping=True, hide_parameters=True,
        connect_args={"options": options, "connect_timeout": 5},
    )  # fmt: skip


def _prepare_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # we begin transactions ourselves, see _begin_immediate
    cursor = connection.cursor()
    for pragma in _PRAGMAS:
        cursor.execute(pragma)
    cursor.close()


def _begin_immediate(connection: Connection) -> None:
    read_only = connection.get_execution_options().get("read_only", False)
    connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")


def _refuse_malformed(engine: Engine, path: Path) -> None:
    try:
        with engine.connect().execution_options(read_only=True) as connection:
            answer = connection.execute(text("PRAGMA quick_check(1)")).scalar_one()
    except (DatabaseError, sqlite3.DatabaseError) as error:
        raise StorageUnusable("database_malformed", f"{path}: {error.__cause__ or error}") from error
    if answer != "ok":
        raise StorageUnusable("database_malformed", f"{path}: {answer}")


def storage_problem(error: BaseException) -> StorageUnusable | None:
    """What a failed write says about the disk; None when it says something else (a bug, a constraint)."""
    words = str(error).lower()
    if not isinstance(error, OperationalError | DatabaseError | OSError):
        return None
    if "disk is full" in words or "no space left" in words or "disk full" in words:
        return StorageUnusable("disk_full", "no space left")
    if "readonly" in words or "read-only" in words:
        return StorageUnusable("disk_read_only", "the disk is read-only")
    if "malformed" in words or "not a database" in words or "disk i/o error" in words:
        return StorageUnusable("database_malformed", "the database file is damaged")
    return None
