"""Many rows at once, on either database, inside the caller's transaction.

PostgreSQL takes large batches by COPY (twice the rate of executemany), SQLite by executemany on the driver.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from sqlalchemy import ARRAY, Column, ColumnElement, Connection, Table, Text, any_, func
from sqlalchemy.dialects import postgresql, sqlite

COPY_ROWS_MIN: Final = 50
_IN_VALUES_MAX: Final = 500
_COPY_TYPES: Final = {"INTEGER": "int4", "BIGINT": "int8", "BLOB": "bytea", "TEXT": "text"}

Row = tuple[Any, ...]


def is_postgresql(conn: Connection) -> bool:
    return conn.dialect.name == "postgresql"


def upsert_into(conn: Connection, table: Table) -> Any:
    """INSERT that understands ON CONFLICT; both dialects spell it alike."""
    return upsert(table, on_postgresql=is_postgresql(conn))


def upsert(table: Table, *, on_postgresql: bool) -> Any:
    """The same for a statement that is built once and used with many connections."""
    return postgresql.insert(table) if on_postgresql else sqlite.insert(table)


def insert_rows(conn: Connection, table: Table, rows: Sequence[Row]) -> None:
    """Insert complete rows, values in the order of the table's columns."""
    if not rows:
        return
    if is_postgresql(conn) and len(rows) >= COPY_ROWS_MIN:
        _copy(conn, table, rows)
    else:
        conn.exec_driver_sql(_insert_statement(conn, table), list(rows))


def chunks(values: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """The values in portions that one IN list may hold."""
    for start in range(0, len(values), _IN_VALUES_MAX):
        yield values[start : start + _IN_VALUES_MAX]


def among(conn: Connection, column: Column[str], texts: Sequence[str]) -> ColumnElement[bool]:
    """Whether a column holds one of these texts, which contain no line break; no more than a portion of `chunks`.

    PostgreSQL gets one text instead of hundreds: the statement is the same for any number of them, and a driver quotes
    an array element by element.
    """
    if is_postgresql(conn):
        return column == any_(func.string_to_array("\n".join(texts), func.chr(10), type_=ARRAY(Text)))
    return column.in_(texts)


def _insert_statement(conn: Connection, table: Table) -> str:
    mark = "%s" if is_postgresql(conn) else "?"
    names = [column.name for column in table.columns]
    return f"INSERT INTO {table.name} ({', '.join(names)}) VALUES ({', '.join([mark] * len(names))})"  # noqa: S608 - names from our own table


def _copy(conn: Connection, table: Table, rows: Sequence[Row]) -> None:
    names = ", ".join(column.name for column in table.columns)
    types = [_COPY_TYPES[column.type.compile(sqlite.dialect())] for column in table.columns]
    driver: Any = conn.connection.driver_connection
    with driver.cursor() as cursor, cursor.copy(f"COPY {table.name} ({names}) FROM STDIN (FORMAT BINARY)") as copy:
        copy.set_types(types)
        write = copy.write_row
        for row in rows:
            write(row)
