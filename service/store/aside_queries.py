"""Reading about records that were set aside, and about what was decided on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, select

from service.domain import facts as f
from service.domain import upcasts
from service.domain.record import Author
from service.store import codec
from service.store.judged import ONCE
from service.store.tables import opinions
from sync.events import Event, Scope, Subject
from sync.ledger import Ledger
from sync.tables import ledger_events, ledger_once, ledger_streams

SHOWN_MAX = 200
UNKNOWN = "unknown"
_DECISIONS = (f.RecordRetried, f.RecordSetAside, f.RecordCorrected)


@dataclass(frozen=True, slots=True, kw_only=True)
class AsideRow:
    """A subject that was set aside. `stations`: where its records were written; `reg_no` when it is known."""

    subject: str
    category: str
    reason: str
    attempts: int
    since: datetime
    last: datetime
    stations: tuple[str, ...] = ()
    reg_no: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AsideEvent:
    """One record of such a subject. `fault` is "" for one that can be read, UNKNOWN for one of a newer program,
    else what is wrong with it; `decided` is the kind of the decision on it, "" for none."""

    event_id: str
    kind: str
    version: int
    occurred_at: datetime
    author: str
    station: str
    fault: str
    decided: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What the hub decided about a record. `about` is the kind of the record, "" for the whole subject."""

    at: datetime
    by: str
    kind: str
    about: str
    reason: str
    subject: str
    reg_no: str


def rows(connection: Connection, ledger: Ledger, subjects: Sequence[Subject] | None = None) -> list[AsideRow]:
    """The oldest first, `SHOWN_MAX` at most; of these subjects only, when they are given."""
    aside = ledger.quarantined(connection, subjects)[:SHOWN_MAX]
    found = [one.subject for one in aside]
    stations, numbers = _stations(connection, found), _numbers(connection, found)
    return [
        AsideRow(
            subject=one.subject, category=one.category, reason=one.reason, attempts=one.attempts, since=one.since,
            last=one.last, stations=stations.get(one.subject, ()), reg_no=numbers.get(one.subject, ""),
        )
        for one in aside
    ]  # fmt: skip


def count(connection: Connection, ledger: Ledger) -> int:
    return len(ledger.quarantined(connection))


def events(connection: Connection, ledger: Ledger, subject: str) -> list[AsideEvent]:
    """Every record of the subject in order, with what is wrong with it."""
    found = ledger.read_subjects(connection, [Subject(subject)]).get(Subject(subject), [])
    decided = {event.once.removeprefix(ONCE): event.kind for event in found if event.once}
    return [
        AsideEvent(
            event_id=event.event_id, kind=event.kind, version=event.version, occurred_at=event.occurred_at,
            author=Author.parse(event.author).name, station=station_of(event.stream.scope), fault=_fault(event),
            decided=decided.get(event.event_id, ""),
        )
        for event in found
    ]  # fmt: skip


def _fault(event: Event) -> str:
    if event.body is None:
        return ""
    if not upcasts.is_known(event.kind, event.version):
        return UNKNOWN
    try:
        codec.decode(event.kind, event.version, event.body)
    except codec.UnreadableFact as error:
        return str(error)
    return ""


def written(connection: Connection, ledger: Ledger, subject: str, event_id: str) -> dict[str, Any]:
    """What the record says, as far as it says anything: its fields as they stand, empty when it is no object."""
    found = ledger.read_subjects(connection, [Subject(subject)]).get(Subject(subject), [])
    body = next((event.body for event in found if event.event_id == event_id), None)
    return codec.fields(body)


def station_of(scope: str) -> str:
    """`445222113/s/qd` → qd; "" for scopes that are no station's."""
    return scope.partition("/s/")[2]


def _stations(connection: Connection, subjects: Sequence[str]) -> dict[str, tuple[str, ...]]:
    query = (
        select(ledger_events.c.subject, ledger_streams.c.scope)
        .join(ledger_streams, ledger_streams.c.id == ledger_events.c.stream_id)
        .where(ledger_events.c.subject.in_(subjects))
        .distinct()
    )
    found: dict[str, set[str]] = {}
    for row in connection.execute(query):
        found.setdefault(row.subject, set()).update(filter(None, [station_of(row.scope)]))
    return {subject: tuple(sorted(stations)) for subject, stations in found.items()}


def _numbers(connection: Connection, subjects: Sequence[str]) -> dict[str, str]:
    ids = [subject.removeprefix("opinion/") for subject in subjects]
    query = select(opinions.c.id, opinions.c.reg_no).where(opinions.c.id.in_(ids))
    return {f"opinion/{row.id}": row.reg_no for row in connection.execute(query)}


def decisions(
    connection: Connection, ledger: Ledger, scope: Scope, hub_nodes: frozenset[str], limit: int
) -> list[Decision]:
    """What the hub decided about records of this scope, newest first."""
    once, event = ledger_once.c, ledger_events.c
    query = (
        select(event.subject, func.max(event.received_us).label("newest"))
        .join(ledger_once, (once.stream_id == event.stream_id) & (once.seq == event.seq))
        .where(once.scope == scope, once.key >= ONCE, once.key < ONCE + "\x7f")
        .group_by(event.subject)
        .order_by(func.max(event.received_us).desc())
        .limit(limit)
    )
    subjects = [Subject(row.subject) for row in connection.execute(query)]
    numbers = _numbers(connection, subjects)
    found = [
        _decision(event, numbers.get(event.subject, ""))
        for events in ledger.read_subjects(connection, subjects).values()
        for event in events
        if event.kind in {kind.KIND for kind in _DECISIONS} and event.stream.origin.node in hub_nodes
    ]
    return sorted(found, key=lambda one: one.at, reverse=True)[:limit]


def _decision(event: Event, reg_no: str) -> Decision:
    fact = None if event.body is None else codec.decode(event.kind, event.version, event.body)
    about = fact.kind if isinstance(fact, f.RecordSetAside | f.RecordCorrected) else ""
    reason = fact.reason if isinstance(fact, _DECISIONS) else ""
    return Decision(at=event.occurred_at, by=Author.parse(event.author).name, kind=event.kind, about=about,
                    reason=reason, subject=event.subject, reg_no=reg_no)  # fmt: skip
