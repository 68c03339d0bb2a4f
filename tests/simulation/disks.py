"""Real SQLite files that are cheap to open, and a crash before or after every commit of the library.

Preparing a database costs more than a whole exchange, so a file with the tables is made once and copied; statements are
compiled once per process, whatever node they run on. Crashes come in at the driver: the library carries no hooks.
"""

import ast
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from shutil import copyfile, rmtree
from tempfile import TemporaryDirectory, gettempdir
from typing import Any

from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine import URL, Dialect
from sqlalchemy.pool import AssertionPool

import sync
from sync.tables import metadata
from sync.testing import sqlite_engine

_LIBRARY = Path(sync.__file__).parent
_HERE = Path(__file__).parent
_MEMORY = Path("/dev/shm")

AtCommit = Callable[[str, bool], None]


def scratch() -> str:
    """Where a run's files lie best: in memory, since no power fails here."""
    return str(_MEMORY) if _MEMORY.is_dir() else gettempdir()


def fresh(file: Path) -> None:
    """An empty database of a node, in place of whatever lies there."""
    for old in file.parent.iterdir():
        rmtree(old) if old.is_dir() else old.unlink()
    file.write_bytes(_prepared())


def open_disk(file: Path, at_commit: AtCommit) -> Engine:
    """The node's database. `at_commit` hears the name of the place and whether the commit is done; it may raise.

    The pool gives out one connection and refuses a second: no transaction is open while another is begun.
    """
    dialect, compiled = _shared()
    driver = _driver()

    def connect(*_: Any) -> Any:
        connection = driver(str(file), check_same_thread=False, timeout=10)
        connection.at_commit = at_commit
        connection.isolation_level = None
        connection.execute("PRAGMA synchronous=OFF")
        return connection

    pool = AssertionPool(connect, reset_on_return=None, store_traceback=False, dialect=dialect)
    engine = Engine(pool, dialect, URL.create("sqlite", database=str(file)))
    engine.update_execution_options(compiled_cache=compiled)
    event.listen(engine, "begin", _begin)
    return engine


def copy_disk(engine: Engine, target: Path) -> None:
    """The database as it is between two transactions, under another name."""
    with engine.connect() as conn:
        conn.exec_driver_sql("ROLLBACK")  # the copy must not wait for a transaction of its own
        driver: Any = conn.connection.driver_connection
        copy = _driver()(str(target))
        driver.backup(copy)
        copy.close()


def put_back(folder: Path, file: Path) -> None:
    """An earlier database in place of this one."""
    for name in (f"{file.name}-wal", f"{file.name}-shm"):
        (file.parent / name).unlink(missing_ok=True)
    copyfile(folder / file.name, file)


def _begin(connection: Connection) -> None:
    driver: Any = connection.connection.driver_connection
    driver.execute("BEGIN IMMEDIATE")


@cache
def _shared() -> tuple[Dialect, dict[Any, Any]]:
    """What a process needs once: the dialect, and the statements it has compiled."""
    engine = sqlite_engine(Path(":memory:"), durable=False)
    with engine.connect():
        pass
    engine.dispose()
    return engine.dialect, {}


@cache
def _driver() -> Any:
    dialect: Any = _shared()[0]

    class Watched(dialect.dbapi.Connection):  # type: ignore[misc]
        """A connection that says when it commits, and from where."""

        at_commit: AtCommit | None = None

        def commit(self) -> None:
            place = None if self.at_commit is None else _place()
            if self.at_commit is None or place is None:
                super().commit()
                return
            self.at_commit(place, False)
            super().commit()
            self.at_commit(place, True)

    return Watched


@cache
def _prepared() -> bytes:
    """A database with all tables and nothing in them."""
    with TemporaryDirectory(dir=scratch()) as folder:
        engine = sqlite_engine(Path(folder) / "empty.db", durable=False)
        metadata.create_all(engine)
        engine.dispose()  # the last connection to close brings everything into the one file
        return (Path(folder) / "empty.db").read_bytes()


# --- where the library commits ---------------------------------------------------------------------------------


def _place() -> str | None:
    """Which place in the library commits now; None for what only looks on."""
    frame = sys._getframe(2)
    while frame is not None:
        name = frame.f_code.co_filename
        if name.startswith(str(_LIBRARY)):
            return _library_places().get((name, frame.f_lineno))
        if name.startswith(str(_HERE)):
            called = frame.f_code.co_name
            return f"application {called.strip('_')}" if called in APPLICATION else None
        frame = frame.f_back  # type: ignore[assignment]
    return None


# What the application around the library does in transactions of its own; `members.py` and `world.py` play it.
APPLICATION = frozenset({"record", "erase", "fold", "examine", "attach", "tidy", "clear"})


def commit_places() -> list[str]:
    """Every place where the library ends a transaction, by module and function; numbered where one has several."""
    return sorted(_library_places().values())


@cache
def _library_places() -> dict[tuple[str, int], str]:
    found: dict[tuple[str, int], str] = {}
    for file in sorted(_LIBRARY.rglob("*.py")):
        if "testing" not in file.parts:
            module = ".".join(file.relative_to(_LIBRARY).with_suffix("").parts)
            tree = ast.parse(file.read_text(encoding="utf-8"))
            for name, lines in _transactions(tree):
                for number, line in enumerate(lines, start=1):
                    suffix = f" ({number})" if len(lines) > 1 else ""
                    found[str(file), line] = f"{module}.{name}{suffix}"
    return found


def _transactions(tree: ast.Module) -> Iterator[tuple[str, list[int]]]:
    """Functions with the lines of their `with ….engine.begin()`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            lines = [inner.lineno for inner in ast.walk(node) if isinstance(inner, ast.With) and _begins(inner)]
            if lines:
                yield node.name, sorted(lines)


def _begins(statement: ast.With) -> bool:
    return any(ast.unparse(item.context_expr).endswith("engine.begin()") for item in statement.items)
