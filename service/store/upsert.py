"""Many rows at once, on both databases, inside the caller's transaction.

`upsert` writes rows by their primary key. `replace_rows` writes everything that a subject has in a table anew, so
that a row which its facts no longer give is gone as well. PostgreSQL takes large batches by binary COPY, which costs
a third of executemany.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from operator import itemgetter
from typing import Any, Final

from sqlalchemy import ARRAY, Column, Connection, Delete, Insert, Table, Text, any_, bindparam, delete, func, insert
from sqlalchemy.dialects import postgresql, sqlite

from service.store.tables import Instant

Row = dict[str, Any]

COPY_ROWS_MIN: Final = 20  # below that a prepared INSERT is as quick
_KEYS_MAX: Final = 500
_DIALECT = postgresql.dialect()  # type: ignore[no-untyped-call]
_INSTANT = Instant()


def upsert(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
    """Write `rows` (same keys in each) so that every row stands as given; keyed by the primary key."""
    if not rows:
        return
    key = [column.name for column in table.primary_key]
    statement: Any = (postgresql.insert if is_postgresql(connection) else sqlite.insert)(table)
    changed = {name: statement.excluded[name] for name in rows[0] if name not in key}
    connection.execute(statement.on_conflict_do_update(index_elements=key, set_=changed), list(rows))


def replace_rows(connection: Connection, key: Column[str], keys: Sequence[str], rows: Sequence[Row]) -> None:
    """Let the table of `key` hold exactly `rows` (every column in each) for these keys.

    The caller holds locks on whatever the keys name, so nobody else writes their rows meanwhile.
    """
    table: Any = key.table
    empty, fill = _statements(key, is_postgresql(connection))
    for start in range(0, len(keys), _KEYS_MAX):
        portion = keys[start : start + _KEYS_MAX]
        connection.execute(empty, {"keys": "\n".join(portion) if is_postgresql(connection) else portion})
    if is_postgresql(connection) and len(rows) >= COPY_ROWS_MIN:
        _copy(connection, table, rows)
    elif rows:
        connection.execute(fill, list(rows))


@cache
def _statements(key: Column[str], joined: bool) -> tuple[Delete, Insert]:
    """What empties and what fills; made once, because building a statement takes as long as running it."""
    table: Any = key.table
    if joined:  # PostgreSQL takes all keys as one text: the same statement for any number, and quick to hand over
        among = key == any_(func.string_to_array(bindparam("keys", type_=Text), func.chr(10), type_=ARRAY(Text)))
    else:
        among = key.in_(bindparam("keys", expanding=True))
    return delete(table).where(among), insert(table)


def is_postgresql(connection: Connection) -> bool:
    return connection.dialect.name == "postgresql"


def _copy(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
    plan = _copy_plan(table)
    driver: Any = connection.connection.driver_connection
    with driver.cursor() as cursor, cursor.copy(plan.statement) as copy:
        copy.set_types(plan.types)
        for row in rows:
            copy.write_row(plan.values(row))


@dataclass(frozen=True, slots=True)
class _CopyPlan:
    """How a table's rows go into a binary COPY: the types must be named, and instants are stored as numbers."""

    statement: str
    types: tuple[str, ...]
    take: Callable[[Row], tuple[Any, ...]]
    instants: tuple[int, ...]

    def values(self, row: Row) -> list[Any]:
        values = list(self.take(row))
        for place in self.instants:
            values[place] = _INSTANT.process_bind_param(values[place], _DIALECT)
        return values


@cache
def _copy_plan(table: Table) -> _CopyPlan:
    columns = list(table.columns)
    names = [column.name for column in columns]
    return _CopyPlan(
        statement=f"COPY {table.name} ({', '.join(names)}) FROM STDIN (FORMAT BINARY)",
        types=tuple(column.type.compile(_DIALECT).partition("(")[0].lower() for column in columns),
        take=itemgetter(*names),
        instants=tuple(place for place, column in enumerate(columns) if isinstance(column.type, Instant)),
    )
