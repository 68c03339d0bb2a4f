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
AT_ONCE = 100  # subjects; and facts, of which some thousand take about a second where each makes a run of its own
DROPPED_AT_ONCE = 1000
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
    """Drop superseded statements that are older than the term; how many. Some subjects in a transaction."""
    before, dropped = horizon_of(node), 0
    with node.reading() as connection:
        aside = {one.subject for one in node.ledger.quarantined(connection)}
        subjects = [subject for subject in _candidates(connection, before) if subject not in aside]
    for start in range(0, len(subjects), AT_ONCE):
        some = subjects[start : start + AT_ONCE]
        while gone := _shorten_some(node, some, before):
            dropped += gone
            if gone < DROPPED_AT_ONCE:
                break
    if dropped:
        log.info("retention.dropped", facts=dropped, before=before.date().isoformat())
    return dropped


def horizon_of(node: Node) -> datetime:
    """The instant before which a fact is older than the retention term."""
    day = months_later(node.now().astimezone(UTC).date(), -node.settings.retention_months)
    return datetime.combine(day, time(), UTC)


def _shorten_some(node: Node, subjects: list[Subject], before: datetime) -> int:
    """In one transaction that holds the stream for a moment. Subjects together, since what lies side by side makes one
    run; each read by itself, since a month of coverage is large."""
    with node.engine.begin() as connection:
        node.ledger.lock_subjects(connection, subjects)
        places = _places(node, connection, subjects, before)
        dropped = 0
        for stream, seqs in sorted(places.items(), key=_by_name):
            dropped += node.ledger.drop(connection, stream, sorted(seqs)[: DROPPED_AT_ONCE - dropped])
    return dropped


def _places(node: Node, connection: Connection, subjects: list[Subject], before: datetime) -> dict[Stream, list[int]]:
    """Where superseded statements of these subjects stand that are older than the term."""
    places: defaultdict[Stream, list[int]] = defaultdict(list)
    for subject in subjects:
        events = node.ledger.read_subjects(connection, [subject]).get(subject, [])
        for event in masters.superseded(events):
            if _is_old(event, before):
                places[event.stream].append(event.seq)
    return places


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
