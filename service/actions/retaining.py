"""保留期限: statements that were replaced long ago shrink to what the chain covers; cases never do.

What is superseded is read from the facts themselves (`Fact.STATES`), subject by subject, in the order of the fold. So
every node comes to the same, and the read tables do not change.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta

import structlog
from sqlalchemy import Connection, func, or_, select

from service.domain.working_days import months_later
from service.node import Node
from service.store import masters, node_facts
from sync.events import Event, Stream, Subject, to_us
from sync.tables import ledger_events

log = structlog.get_logger(__name__)

EVERY = timedelta(hours=23)
_LOOKED_AT = "retention_at"


def shorten_if_due(node: Node) -> int:
    """Once a day drop what may go; how many facts. LIANXIN_RETENTION_MONTHS=0 keeps everything."""
    if not node.settings.retention_months or not _is_due(node):
        return 0
    dropped = shorten(node)
    with node.engine.begin() as connection:
        node_facts.put(connection, _LOOKED_AT, node.now().isoformat())
    return dropped


def shorten(node: Node) -> int:
    """Drop superseded statements that are older than the term; how many. Each subject in a transaction of its own."""
    before, dropped = horizon_of(node), 0
    with node.reading() as connection:
        aside = {one.subject for one in node.ledger.quarantined(connection)}
        subjects = [subject for subject in _candidates(connection, before) if subject not in aside]
    for subject in subjects:
        with node.engine.begin() as connection:
            node.ledger.lock_subjects(connection, [subject])
            dropped += _shorten_one(node, connection, subject, before)
    if dropped:
        log.info("retention.dropped", facts=dropped, before=before.date().isoformat())
    return dropped


def horizon_of(node: Node) -> datetime:
    """The instant before which a fact is older than the retention term."""
    day = months_later(node.now().astimezone(UTC).date(), -node.settings.retention_months)
    return datetime.combine(day, time(), UTC)


def _shorten_one(node: Node, connection: Connection, subject: Subject, before: datetime) -> int:
    events = node.ledger.read_subjects(connection, [subject]).get(subject, [])
    places: defaultdict[Stream, list[int]] = defaultdict(list)
    for event in masters.superseded(events):
        if _is_old(event, before):
            places[event.stream].append(event.seq)
    return sum(node.ledger.drop(connection, stream, seqs) for stream, seqs in sorted(places.items(), key=_by_name))


def _is_old(event: Event, before: datetime) -> bool:
    """By this node's own clock, whatever the event says. A leaf is as empty on its first day."""
    return event.body is None or event.received_at < before


def _by_name(one: tuple[Stream, list[int]]) -> str:
    return str(one[0])


def _candidates(connection: Connection, before: datetime) -> Iterator[Subject]:
    """Master subjects with several facts of which one is old or empty; most have none."""
    t = ledger_events.c
    for kind in sorted(masters.KINDS):
        old = or_(func.min(t.received_us) < to_us(before), func.count(t.body) < func.count())
        query = (
            select(t.subject)
            .where(t.subject >= f"{kind}/", t.subject < f"{kind}/\x7f")
            .group_by(t.subject)
            .having(func.count() > 1, old)
            .order_by(t.subject)
        )
        yield from (Subject(name) for name in connection.execute(query).scalars())


def _is_due(node: Node) -> bool:
    with node.reading() as connection:
        looked = node_facts.get(connection, _LOOKED_AT)
    return looked is None or abs(node.now() - datetime.fromisoformat(looked)) >= EVERY
