"""The escalation sweep among many open opinions: its cost must follow what is due, not what is open.

The open ones are rows with a far next step, written in bulk; the due ones are real cases with their facts, unsigned
since their term for signing, so that each is urged and deemed signed.
"""

from __future__ import annotations

import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from sqlalchemy import func, select, text

from bench import facts
from service.actions import escalating, projecting
from service.demo.servers import PrivatePostgres
from service.node import Node
from service.store import tables
from sync.events import EventDraft, Subject

FEW, MANY, DUE = 10_000, 1_000_000, 1_000
RATIO_BUDGET = 2.0
IDLE_LOOKS, WARM_UP = 20, 50

DISPATCHED_AT = datetime(2026, 11, 12, 2, 0, tzinfo=UTC)  # a Thursday
SWEPT_AT = datetime(2026, 11, 16, 2, 0, tzinfo=UTC)  # the Monday after: the term for signing ended on Friday


def run() -> dict[str, Any]:
    """Seconds to fire 1,000 due steps among 10,000 and among 1,000,000 open opinions, and their ratio."""
    with tempfile.TemporaryDirectory(prefix="lianxin-bench-") as folder:
        with PrivatePostgres(Path(folder) / "postgres") as postgres:
            hubs = [_hub(Path(folder), postgres, count) for count in (FEW, MANY)]
            few, many = _in_turn(hubs)
            idle = [_idle_ms(hub) for hub in hubs]
            for hub in hubs:
                hub.engine.dispose()
    return {
        "due": DUE, "open_few": FEW, "open_many": MANY,
        "few_s": round(few, 2), "many_s": round(many, 2), "cases_per_s": round(DUE / many),
        "ratio": round(many / few, 2), "ratio_budget": RATIO_BUDGET,
        "nothing_due_few_ms": round(idle[0], 2), "nothing_due_many_ms": round(idle[1], 2),
    }  # fmt: skip


def _hub(folder: Path, postgres: PrivatePostgres, open_opinions: int) -> Node:
    name = f"open_{open_opinions}"
    hub = facts.open_hub(folder / name, postgres.create_database(name), facts.Clock(SWEPT_AT))
    _fill_up(hub, open_opinions)
    _make_due(hub, range(1, 1 + WARM_UP))
    _sweep_all(hub)
    _make_due(hub, range(1 + WARM_UP, 1 + WARM_UP + DUE))
    return hub


def _in_turn(hubs: list[Node]) -> list[float]:
    """Seconds each hub needs for what is due, one sweep of the one, one of the other: what else runs slows both."""
    took, fired = [0.0] * len(hubs), [0] * len(hubs)
    working = set(range(len(hubs)))
    while working:
        for place in sorted(working):
            began = time.perf_counter()
            swept = escalating.sweep(hubs[place])
            took[place] += time.perf_counter() - began
            fired[place] += swept.fired
            if not swept.looked_at:
                working.remove(place)
            assert not swept.failed
    assert fired == [DUE] * len(hubs), fired
    return took


def _sweep_all(hub: Node) -> None:
    while escalating.sweep(hub).looked_at:
        continue


def _idle_ms(hub: Node) -> float:
    """Milliseconds of a sweep that finds nothing."""
    took = []
    for _ in range(IDLE_LOOKS):
        began = time.perf_counter()
        escalating.sweep(hub)
        took.append((time.perf_counter() - began) * 1000)
    return median(took)


def _fill_up(hub: Node, wanted: int) -> None:
    """Rows of open opinions until there are so many; their next step is years away."""
    row = {column.name: _SAMPLE.get(column.name, "''") for column in tables.opinions.columns}
    with hub.engine.begin() as connection:
        there = connection.execute(select(func.count()).select_from(tables.opinions)).scalar_one()
        columns, values = ", ".join(row), ", ".join(row.values())
        numbers = "generate_series(CAST(:first AS bigint), CAST(:last AS bigint)) AS n"
        statement = text(f"INSERT INTO opinions ({columns}) SELECT {values} FROM {numbers}")
        connection.execute(statement, {"first": there + 1, "last": wanted})
    with hub.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE opinions"))


_FAR_US = int(datetime(2040, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000
_SAMPLE = {
    "id": "md5('open' || n)", "reg_no": "'QD-2025-' || n", "tracking": "md5('code' || n)", "station": "'qd'",
    "title": "'村口排水沟堵塞 ' || n", "affected": "1", "sensitive": "false", "state": "'handling'",
    "unit": "'unit' || n % 40", "registered_at": "1760000000000000 + n", "received_at": "1760000000000000 + n",
    "dispatched_at": "1760000000000000 + n", "signed_at": "NULL", "delivered_at": "NULL", "closed_at": "NULL",
    "reopened": "0", "reopen_asked": "false", "ran_late": "false",
    "rating": "''", "clock": "md5('open' || n) || ':K2:1'", "clock_kind": "'K2'",
    "due_on": "DATE '2040-01-01'", "due_at": str(_FAR_US), "provisional": "false", "level": "-1",
    "next_step_at": f"{_FAR_US} + n", "unknown": "0",
}  # fmt: skip


def _make_due(hub: Node, numbers: range) -> None:
    """Real cases, dispatched and not signed in time, folded into the read tables."""
    drafts = [
        EventDraft(
            kind=draft.kind, version=draft.version, subject=Subject(draft.subject), body=draft.body,
            occurred_at=DISPATCHED_AT, author=draft.author,
        )
        for draft in facts.drafts(facts.at_the_hub, numbers, facts.CLERK)
        if draft.kind in ("opinion.registered", "opinion.dispatched")
    ]  # fmt: skip
    facts.append(hub, hub.station_scope(facts.STATION), drafts)
    facts.mark(hub, drafts)
    while projecting.sweep(hub).subjects:
        continue


if __name__ == "__main__":
    print(run())
