"""Statements are compiled once per test process, not once per test.

Every test opens databases of its own, and each Engine brings an empty cache of compiled statements: compiling the same
ones again took a quarter of the processor time of web and contract tests. What is compiled hangs on the kind of
database alone.
"""

from collections.abc import Iterator, MutableMapping
from typing import Any

from sqlalchemy import Engine

Key = tuple[Any, ...]


class SharedStatements(MutableMapping[Key, Any]):
    """A cache for all engines: SQLAlchemy's keys begin with the engine's own dialect, ours with the kind of it."""

    def __init__(self) -> None:
        self._compiled: dict[Key, Any] = {}

    def get(self, key: Key, default: Any = None) -> Any:
        return self._compiled.get(_of_kind(key), default)

    def __getitem__(self, key: Key) -> Any:
        return self._compiled[_of_kind(key)]

    def __setitem__(self, key: Key, value: Any) -> None:
        self._compiled[_of_kind(key)] = value

    def __delitem__(self, key: Key) -> None:
        del self._compiled[_of_kind(key)]

    def __iter__(self) -> Iterator[Key]:
        return iter(self._compiled)

    def __len__(self) -> int:
        return len(self._compiled)


def _of_kind(key: Key) -> Key:
    dialect, *statement = key
    return type(dialect), dialect.dbapi, dialect.server_version_info, *statement


def share_statements() -> None:
    """From now on every engine of this process uses one cache, unless it is given another.

    SQLAlchemy has no public place for that. Should it keep its cache elsewhere one day, tests get slower, not wrong.
    """
    statements = SharedStatements()
    Engine._compiled_cache = property(lambda _: statements, lambda _engine, _own: None)  # type: ignore[assignment]
