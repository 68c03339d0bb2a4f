"""Whether the read tables say what the ledger says: every subject is folded again and compared, nothing is written.

Reads one snapshot page by page, takes no locks and holds up nobody, so that a hub can be checked while it works.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Column, Connection, Engine, Table, func, select

from service.store import tables
from service.store.projectors import (
    Folding,
    every_page,
    fold_subjects,
    highest_numbers,
    placed,
)
from service.store.upsert import Row
from sync.events import Subject
from sync.ledger import Ledger
from sync.tables import ledger_pending, ledger_quarantine

PAGE = 400  # keys of one statement, within what SQLite takes


@contextmanager
def snapshot(engine: Engine) -> Iterator[Connection]:
    """A connection that sees one moment of the database from its first statement to its last."""
    options: dict[str, Any] = {"read_only": True}
    if engine.dialect.name == "postgresql":
        options |= {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
    with engine.connect().execution_options(**options) as connection:
        yield connection


def differences(connection: Connection, ledger: Ledger, folding: Folding) -> dict[str, int]:
    """Rows of each read table that a rebuild would change; all zero when rebuilt equals live.

    Subjects that wait to be folded or were set aside are left out: what their rows should be is not settled.
    """
    unsettled = _unsettled(connection)
    found = Counter(dict.fromkeys(tables.read.tables, 0))
    seen = _seen(connection, sorted(unsettled))
    used: dict[str, int] = {}
    for page in every_page(connection, ledger, PAGE):
        folded = fold_subjects(connection, ledger, [s for s in page if s not in unsettled], folding)
        for column, keys, rows in folded.homes():
            live = _live(connection, column, keys)
            seen[column.table.name] += len(live)
            found[column.table.name] += len(live ^ _expected(column.table, rows))
        used |= {
            series: max(last, used.get(series, 0)) for series, last in highest_numbers(folded.rows["numbers"]).items()
        }
    for table in tables.read.sorted_tables:
        if table is not tables.numbers:  # what is left are rows that no subject of the ledger gives
            found[table.name] += _count(connection, table) - seen[table.name]
    found["numbers"] = _numbers_differing(connection, used, exact=not unsettled)
    return dict(found)


def _unsettled(connection: Connection) -> frozenset[Subject]:
    waiting, aside = select(ledger_pending.c.subject), select(ledger_quarantine.c.subject)
    return frozenset(Subject(subject) for subject in connection.execute(waiting.union(aside)).scalars())


def _seen(connection: Connection, subjects: Sequence[Subject]) -> Counter[str]:
    """How many rows of each table belong to these subjects."""
    counted: Counter[str] = Counter()
    for start in range(0, len(subjects), PAGE):
        for column, keys, _ in placed(subjects[start : start + PAGE]).homes():
            counted[column.table.name] += len(_live(connection, column, keys))
    return counted


def _live(connection: Connection, column: Column[str], keys: Sequence[str]) -> set[tuple[Any, ...]]:
    return {tuple(row) for row in connection.execute(select(column.table).where(column.in_(keys)))}


def _expected(table: Any, rows: Sequence[Row]) -> set[tuple[Any, ...]]:
    names = [column.name for column in table.columns]
    return {tuple(row[name] for name in names) for row in rows}


def _count(connection: Connection, table: Table) -> int:
    counted: int = connection.execute(select(func.count()).select_from(table)).scalar_one()
    return counted


def _numbers_differing(connection: Connection, used: dict[str, int], *, exact: bool) -> int:
    """Series whose last number is not what the cases have used; while some are unsettled, only what is too low."""
    live: dict[str, int] = {row.series: row.last for row in connection.execute(select(tables.numbers))}
    low = sum(live.get(series, 0) < last for series, last in used.items())
    high = sum(last > used.get(series, 0) for series, last in live.items())
    return low + high if exact else low
