"""The peer that tells a slow machine from slow code: PostgreSQL's own COPY of the same rows, in the same run."""

from __future__ import annotations

import time
from typing import Any

from sqlalchemy import Engine, select

from sync.tables import ledger_events


def rows_per_s(engine: Engine, rows: int, runs: int = 3) -> float:
    """Rows a second of a plain COPY of the newest `rows` events into a table without any index; the best of `runs`."""
    with engine.begin() as connection:
        newest = select(ledger_events).order_by(ledger_events.c.received_us.desc()).limit(rows)
        found = [tuple(row) for row in connection.execute(newest)]
    return max(_copied(engine, found) for _ in range(runs))


def _copied(engine: Engine, rows: list[tuple[Any, ...]]) -> float:
    with engine.connect() as connection:
        connection.exec_driver_sql("CREATE TABLE copy_peer (LIKE ledger_events)")
        connection.commit()
        driver: Any = connection.connection.driver_connection
        began = time.perf_counter()
        with driver.cursor() as cursor, cursor.copy("COPY copy_peer FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)
        connection.commit()
        took = time.perf_counter() - began
        connection.exec_driver_sql("DROP TABLE copy_peer")
        connection.commit()
    return len(rows) / took
