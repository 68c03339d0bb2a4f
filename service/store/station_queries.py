"""Reading for the pages of a desk: one case with its whole life, who reported it, and figures for watching a node."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Connection, Select, and_, func, select

from service.domain import facts as f
from service.domain.opinion_fold import fold
from service.domain.opinions import Opinion, State
from service.domain.people import Reporter
from service.domain.record import Author
from service.store import codec, judged, queries
from service.store.queries import OpinionFilter
from service.store.tables import opinions
from service.store.vault import CannotOpen, StationSeal
from sync import acknowledged, peers
from sync.events import Event, Scope, Subject, decode_header, from_us, within
from sync.identity import Identity
from sync.ledger import Ledger
from sync.tables import ledger_events, ledger_once, ledger_streams, sync_acknowledged


def case(
    connection: Connection, ledger: Ledger, hub_nodes: frozenset[str], opinion_id: str, within: OpinionFilter
) -> Opinion | None:
    """The opinion with its timeline, folded from the ledger; None when there is none within these bounds."""
    row = queries.opinion(connection, opinion_id)
    if row is None or not within.admits(row):
        return None
    subject = Subject(f"opinion/{opinion_id}")
    events = ledger.read_subjects(connection, [subject]).get(subject, [])
    found = fold(opinion_id, judged.records(events, hub_nodes))
    return None if found.state is State.NEW else found


def opinion_of_form(connection: Connection, scope: Scope, form: str) -> str | None:
    """Id of the opinion that a form registered: how a form sent twice finds its first answer."""
    once, event = ledger_once.c, ledger_events.c
    query = (
        select(event.subject)
        .join(ledger_once, (once.stream_id == event.stream_id) & (once.seq == event.seq))
        .where(once.scope == scope, once.key == f"form:{form}")
    )
    subject = connection.execute(query).scalar()
    return subject.removeprefix("opinion/") if subject and subject.startswith("opinion/") else None


# --- the node's own past ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubt:
    """A node numbered anew; `station` "" is the hub, `reason` a code that the pages have words for."""

    station: str
    reason: str
    at: datetime


def doubts(connection: Connection, ledger: Ledger, *, limit: int = 50, tree: str = "") -> tuple[Doubt, ...]:
    """Epochs that nodes have opened, newest first, as far as they are known here; with `tree` of that town alone, as
    its county publishes its own.
    """
    subjects = ledger.subjects(connection, "epoch/", None, 1000)
    found = [
        event for events in ledger.read_subjects(connection, subjects).values() for event in events[:1]
        if not tree or peers.tree_of(event.stream.scope) == tree
    ]  # fmt: skip
    known = [(codec.decode(event.kind, event.version, event.body), event) for event in found if event.body is not None]
    told = [
        Doubt(station=fact.station, reason=fact.reason, at=event.occurred_at)
        for fact, event in known if isinstance(fact, f.EpochOpened)
    ]  # fmt: skip
    return tuple(sorted(told, key=lambda doubt: doubt.at, reverse=True)[:limit])


# --- erasures --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Erasure:
    """A person's data that were to be emptied. `confirmed` and `missing` are node ids; holders that have not said so
    may have been off since. A node whose content is not gone has not confirmed. `contents`: attachments that went,
    `kept`: those of them that stay where another case has the same content.
    """

    opinion: str
    reason: str
    by: str
    at: datetime
    confirmed: frozenset[str]
    missing: frozenset[str]
    contents: int = 0
    kept: int = 0


def erasures(connection: Connection, ledger: Ledger, own: str, *, limit: int = 50) -> tuple[Erasure, ...]:
    """Erasures known here, newest first, with who has confirmed them and who still has to. `own` is this node."""
    subjects = ledger.subjects(connection, "erasure/", None, 1000)
    found = [_erasure(connection, events, own) for events in ledger.read_subjects(connection, subjects).values()]
    known = [erasure for erasure in found if erasure is not None]
    return tuple(sorted(known, key=lambda erasure: erasure.at, reverse=True)[:limit])


def _erasure(connection: Connection, events: list[Event], own: str) -> Erasure | None:
    decoded = [(event, codec.decode(event.kind, event.version, event.body)) for event in events if event.body]
    asked = next(((event, fact) for event, fact in decoded if isinstance(fact, f.PersonErased)), None)
    if asked is None:
        return None
    event, fact = asked
    said = [(one.stream.scope, told) for one, told in decoded if isinstance(told, f.PersonErasureConfirmed)]
    needed = {content for scope, told in said if scope == event.stream.scope for content in told.contents}
    gone: dict[str, set[str]] = {}
    for _, told in said:
        gone.setdefault(told.node, set()).update(told.contents)
    confirmed = frozenset(node for node, contents in gone.items() if needed <= contents)
    holders = frozenset({own, *(peer.node for peer in peers.all_peers(connection) if _holds(peer, event.stream.scope))})
    return Erasure(opinion=fact.opinion, reason=fact.reason, by=Author.parse(event.author).name, at=event.occurred_at,
                   confirmed=confirmed, missing=holders - confirmed, contents=len(needed),
                   kept=max((told.kept for _, told in said), default=0))  # fmt: skip


def _holds(peer: peers.Peer, scope: Scope) -> bool:
    return peer.revoked_after is None and within(scope, peer.shared_scopes)


# --- people ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownReporter:
    """Who reported an opinion, as far as this node can read it; `readable` is False for what another node sealed."""

    person: str
    secrecy: str
    readable: bool
    erased: bool = False
    who: Reporter = field(default_factory=Reporter)


def reporter(connection: Connection, ledger: Ledger, seal: StationSeal, person: str) -> KnownReporter:
    """The person as recorded. Callers decide who may look; what is shown unasked must be masked."""
    subject = Subject(f"person/{person}")
    for event in reversed(ledger.read_subjects(connection, [subject]).get(subject, [])):
        if event.kind != f.PersonRecorded.KIND:
            continue
        if event.body is None:
            return KnownReporter(person=person, secrecy="", readable=False, erased=True)
        fact = codec.decode(event.kind, event.version, event.body)
        if isinstance(fact, f.PersonRecorded):
            return _opened(fact, seal, person)
    return KnownReporter(person=person, secrecy="", readable=False)


def _opened(fact: f.PersonRecorded, seal: StationSeal, person: str) -> KnownReporter:
    if not fact.sealed:
        who = Reporter(name=fact.name, phone=fact.phone, address=fact.address, gender=fact.gender)
        return KnownReporter(person=person, secrecy=fact.secrecy, readable=True, who=who)
    try:
        who = msgspec.json.decode(seal.open(fact.sealed, person), type=Reporter)
    except (CannotOpen, ValueError):
        return KnownReporter(person=person, secrecy=fact.secrecy, readable=False)
    return KnownReporter(person=person, secrecy=fact.secrecy, readable=True, who=who)


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """Somebody looked at a citizen's data, and said why."""

    at: datetime
    by: str
    reason: str


def looks_at(connection: Connection, ledger: Ledger, person: str) -> tuple[Look, ...]:
    """Who looked at this person's data, newest first."""
    subject = Subject(f"person/{person}")
    found = []
    for event in ledger.read_subjects(connection, [subject]).get(subject, []):
        if event.kind == f.PersonUnmasked.KIND and event.body is not None:
            fact = codec.decode(event.kind, event.version, event.body)
            reason = fact.reason if isinstance(fact, f.PersonUnmasked) else ""
            found.append(Look(at=event.occurred_at, by=Author.parse(event.author).name, reason=reason))
    return tuple(reversed(found))


# --- what waits for the line -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingRow:
    """One own event the hub has not confirmed; `opinion` and `reg_no` are empty for other subjects."""

    recorded_at: datetime
    kind: str
    opinion: str = ""
    reg_no: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """`rows` are the oldest of `count`."""

    count: int = 0
    rows: tuple[WaitingRow, ...] = ()


def waiting(connection: Connection, identity: Identity, *, limit: int) -> Waiting:
    """Own events above what the hub has stated to hold, oldest first."""
    hub = next((peer for peer in peers.all_peers(connection) if peer.introduces), None)
    if hub is None:
        return Waiting()
    stream, stated, event = ledger_streams.c, sync_acknowledged.c, ledger_events.c
    query = (
        _own_events(identity)
        .outerjoin(sync_acknowledged, and_(stated.stream_id == stream.id, stated.peer == hub.node))
        .where(event.seq > func.coalesce(stated.seq, 0))
        .order_by(event.received_us, event.seq)
        .limit(limit)
    )
    rows = tuple(_waiting_row(row) for row in connection.execute(query))
    return Waiting(count=acknowledged.unsent(connection, identity, hub).count, rows=rows)


def blocking(connection: Connection, identity: Identity, particulars: Mapping[str, Any]) -> WaitingRow | None:
    """The record that an error names by its stream and number, if it is one of this node's own."""
    place, _, scope = str(particulars.get("stream", "")).partition("/")
    node, _, epoch = place.partition(".")
    seq = particulars.get("seq")
    if node != identity.node or not isinstance(seq, int):
        return None
    stream = ledger_streams.c
    query = _own_events(identity).where(stream.epoch == epoch, stream.scope == scope, ledger_events.c.seq == seq)
    row = connection.execute(query).one_or_none()
    return None if row is None else _waiting_row(row)


def _own_events(identity: Identity) -> Select[Any]:
    stream, event = ledger_streams.c, ledger_events.c
    return (
        select(event.received_us, event.header, opinions.c.id, opinions.c.reg_no)
        .join(ledger_streams, stream.id == event.stream_id)
        .outerjoin(opinions, event.subject == "opinion/" + opinions.c.id)
        .where(stream.node == identity.node)
    )


def _waiting_row(row: Any) -> WaitingRow:
    return WaitingRow(
        recorded_at=from_us(row.received_us), kind=decode_header(row.header).kind,
        opinion=row.id or "", reg_no=row.reg_no or "",
    )  # fmt: skip


# --- figures ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Figures:
    """Counts for watching a node."""

    pending: int
    quarantined: int
    open: int
    by_state: dict[str, int]


def figures(connection: Connection, ledger: Ledger) -> Figures:
    by_state = queries.count_by_state(connection, OpinionFilter())
    ended = queries.FINISHED
    return Figures(
        pending=ledger.pending_count(connection), quarantined=len(ledger.quarantined(connection)),
        open=sum(count for state, count in by_state.items() if state not in ended),
        by_state={state.value: count for state, count in by_state.items()},
    )  # fmt: skip
