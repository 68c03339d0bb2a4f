"""Facts that only a newer program can read: kept, passed on, counted, and looked at again after the upgrade.

The table is a read table like the others, filled by the fold of each subject, whatever its kind.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sqlalchemy import Connection, func, or_, select

from service.domain import upcasts
from service.store.tables import unrecognised
from service.store.upsert import Row
from sync.events import Event, Subject, decode_header
from sync.tables import ledger_events

_FETCHED = 2000


def rows_of(events: Iterable[Event]) -> list[Row]:
    """The rows of one subject."""
    return [
        {"subject": event.subject, "event": event.event_id, "node": event.stream.origin.node,
         "kind": event.kind, "version": event.version}
        for event in events
        if not upcasts.is_known(event.kind, event.version)
    ]  # fmt: skip


def count(connection: Connection) -> int:
    counted: int = connection.execute(select(func.count()).select_from(unrecognised)).scalar_one()
    return counted


def by_node(connection: Connection) -> dict[str, int]:
    """How many, by the node that recorded them."""
    query = select(unrecognised.c.node, func.count().label("facts")).group_by(unrecognised.c.node)
    return {row.node: row.facts for row in connection.execute(query)}


def now_known(connection: Connection) -> list[Subject]:
    """Subjects with facts that were unknown when they were folded, and that this program can read."""
    query = select(unrecognised.c.subject, unrecognised.c.kind, unrecognised.c.version)
    found = {Subject(row.subject) for row in connection.execute(query) if upcasts.is_known(row.kind, row.version)}
    return sorted(found)


def elsewhere(connection: Connection, kinds: Iterable[str], size: int) -> Iterator[list[Subject]]:
    """Subjects of other kinds than these that hold such facts, `size` at a time: nothing else of them is folded.

    Reads headers only, and every subject that is not of these kinds.
    """
    subject = ledger_events.c.subject
    query = select(subject, ledger_events.c.header).order_by(subject)
    for kind in kinds:
        query = query.where(or_(subject < f"{kind}/", subject > f"{kind}/\x7f"))
    found: dict[Subject, None] = {}
    for row in connection.execute(query, execution_options={"yield_per": _FETCHED}):
        header = decode_header(row.header)
        if not upcasts.is_known(header.kind, header.version):
            found[Subject(row.subject)] = None
    subjects = list(found)
    for start in range(0, len(subjects), size):
        yield subjects[start : start + size]
