"""From the ledger to the read tables: subjects are read whole, folded again, and their rows written anew.

Local and received facts take the same way. Nothing here adds to what a row said before, so folding twice, in any
order, or from an empty table gives the same rows; `rebuild` and the check command rest on that.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Column, Connection, select
from sqlalchemy.dialects import postgresql, sqlite

from service.domain import facts as f
from service.domain.casework import standing
from service.domain.clocks import ClockKind
from service.domain.opinion_fold import fold
from service.domain.opinions import ENDED, MEDIA_TYPES, Card, Opinion, State
from service.domain.quarantine import MissingDependency
from service.domain.record import Recorded
from service.domain.town import Town
from service.store import codec, erased, masters, tables, unrecognised
from service.store.judged import judged
from service.store.upsert import Row, replace_rows
from sync.blobs import BlobStore
from sync.events import Event, Scope, Subject
from sync.ledger import Ledger
from sync.peers import tree_of

Rows = dict[str, list[Row]]

MASTER_KINDS = tuple(sorted(masters.KINDS))  # folded first, because cases are folded with them
CASE_KINDS = ("erasure", "opinion", "reception", "notice")  # whoever was erased is known before their case is folded
SUMS_KIND = "township"
_DIGEST = re.compile("[0-9a-f]{64}")

# Where the rows of a subject stand, by its kind: the columns that name it there.
_HOMES: dict[str, tuple[Column[str], ...]] = {
    "master": (tables.masters.c.subject,),
    "erasure": (tables.erased_people.c.person,),
    "opinion": (tables.opinions.c.id, tables.cards.c.opinion, tables.attachments.c.opinion),
    "reception": (tables.receptions.c.id,),
    "notice": (tables.notices.c.id,),
    "township": (tables.township_sums.c.subject,),
    "any": (tables.unrecognised.c.subject,),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Folding:
    """What a fold needs besides the events: the town's terms and calendar, and which nodes are the hub.

    `tree` is the town's code: master data that another level published, which this node holds too, are not its own.
    """

    town: Town
    hub_nodes: frozenset[str]
    tree: str
    blobs: BlobStore | None = None  # told of the content that facts refer to; None where nothing may be written


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """A fact of this opinion, in this scope, refers to content: the peers of the scope may have it."""

    opinion: str
    scope: Scope
    digest: bytes
    size: int
    media_type: str


@dataclass(frozen=True, slots=True)
class Folded:
    """What subjects come to: by kind of home the keys they have there, and by table the rows they should have."""

    keys: dict[str, list[str]] = field(default_factory=lambda: {kind: [] for kind in _HOMES})
    rows: Rows = field(default_factory=lambda: {name: [] for name in tables.read.tables})
    references: list[Reference] = field(default_factory=list)

    def homes(self) -> Iterator[tuple[Column[str], list[str], list[Row]]]:
        """Each column that names subjects, with the keys looked at and all rows that belong to them."""
        for kind, columns in _HOMES.items():
            for column in columns if self.keys[kind] else ():
                yield column, self.keys[kind], self.rows[column.table.name]


def fold_subjects(connection: Connection, ledger: Ledger, subjects: Sequence[Subject], folding: Folding) -> Folded:
    """Fold these subjects and write nothing.

    Raises codec.UnreadableFact for a broken body, MissingDependency, Impossible, and whatever a mistake of ours raises.
    """
    read = ledger.read_subjects(connection, subjects)
    events = {subject: judged(found, folding.hub_nodes) for subject, found in read.items()}
    folded = placed(subjects)
    for kind, keys in folded.keys.items():
        for key in keys:
            subject = Subject(f"{kind}/{key}" if kind in CASE_KINDS else key)
            _MAKERS[kind](key, events.get(subject, []), folding, folded.rows)
    for key in folded.keys["opinion"]:
        found = list(_references(key, events.get(Subject(f"opinion/{key}"), [])))
        folded.references.extend(found)
        folded.rows["attachments"].extend(_attachment_rows(found))
    return folded


def placed(subjects: Sequence[Subject]) -> Folded:
    """Where these subjects have rows, before anything is folded; most have none."""
    folded = Folded()
    for subject in subjects:
        kind, _, key = subject.partition("/")
        folded.keys["any"].append(subject)
        if kind in masters.KINDS:
            folded.keys["master"].append(subject)
        elif kind == SUMS_KIND:
            folded.keys[kind].append(subject)
        elif kind in CASE_KINDS:
            folded.keys[kind].append(key)
    return folded


def project(connection: Connection, ledger: Ledger, subjects: Sequence[Subject], folding: Folding) -> bool:
    """Fold these subjects and write their rows; True when master data changed.

    The caller holds the subjects' locks and the transaction. Raises what `fold_subjects` raises.
    """
    folded = fold_subjects(connection, ledger, subjects, folding)
    for column, keys, rows in folded.homes():
        if column.table is tables.unrecognised and not rows and unrecognised.is_empty(connection):
            continue  # as on most days: nothing to write, nothing to take away
        replace_rows(connection, column, keys, rows)
    _raise_numbers(connection, folded.rows["numbers"])
    if folding.blobs is not None:
        _refer(connection, folding.blobs, folded.references)
    return bool(folded.keys["master"])


def empty_rows(connection: Connection, subject: Subject) -> None:
    """Take away what the read tables say of a subject."""
    for column, keys, _ in placed([subject]).homes():
        replace_rows(connection, column, keys, [])


def pages(connection: Connection, ledger: Ledger, kinds: Iterable[str], size: int) -> Iterator[list[Subject]]:
    """All subjects of these kinds that the ledger holds, `size` at a time."""
    for kind in kinds:
        after: str | None = None
        while page := ledger.subjects(connection, f"{kind}/", after, size):
            yield page
            after = page[-1]


def _refer(connection: Connection, blobs: BlobStore, references: Iterable[Reference]) -> None:
    """In one order, since each locks its content: two sweeps must not wait for each other in a circle.

    A case whose reporter was erased opens nothing. A standing one does, even where the content had to go with another
    case: every node then comes to the same, whichever it heard of first.
    """
    ordered = sorted(references, key=lambda reference: (reference.digest, reference.scope))
    gone = erased.cases(connection, [one.opinion for one in ordered])
    for one in ordered:
        if (one.opinion, one.scope) not in gone:
            blobs.refer(connection, one.scope, one.digest, one.size, one.media_type, again=True)


def _attachment_rows(references: Iterable[Reference]) -> list[Row]:
    named = {(one.opinion, one.digest.hex(), one.scope) for one in references}
    return [{"opinion": opinion, "digest": digest, "scope": scope} for opinion, digest, scope in sorted(named)]


def _references(opinion: str, events: Iterable[Event]) -> Iterator[Reference]:
    """Content that is attached by these facts. What names no content, or a type nobody serves, opens nothing."""
    for event in events:
        if event.kind != f.Attached.KIND or event.body is None:
            continue
        fact = codec.decode(event.kind, event.version, event.body)
        if isinstance(fact, f.Attached) and _DIGEST.fullmatch(fact.digest) and fact.media_type in MEDIA_TYPES:
            yield Reference(opinion=opinion, scope=event.stream.scope, digest=bytes.fromhex(fact.digest),
                            size=fact.size, media_type=fact.media_type)  # fmt: skip


def every_page(connection: Connection, ledger: Ledger, size: int) -> Iterator[list[Subject]]:
    """All subjects that may have rows, master data first."""
    kinds = (*MASTER_KINDS, *CASE_KINDS, SUMS_KIND)
    yield from pages(connection, ledger, kinds, size)
    yield from unrecognised.elsewhere(connection, kinds, size)


def _records(events: list[Event], folding: Folding) -> list[Recorded]:
    return [codec.recorded(event, folding.hub_nodes) for event in events]


def _unrecognised_rows(key: str, events: list[Event], folding: Folding, rows: Rows) -> None:
    rows["unrecognised"].extend(unrecognised.rows_of(events))


def _master_rows(key: str, events: list[Event], folding: Folding, rows: Rows) -> None:
    own = [event for event in events if tree_of(event.stream.scope) == folding.tree]
    if own:
        rows["masters"].append(masters.row_of(key, own))


def _erasure_rows(key: str, events: list[Event], folding: Folding, rows: Rows) -> None:
    facts = (
        (event.stream.scope, codec.decode(event.kind, event.version, event.body)) for event in events if event.body
    )
    asked = {(fact.person, scope): fact.opinion for scope, fact in facts if isinstance(fact, f.PersonErased)}
    rows["erased_people"].extend(
        {"person": key, "scope": scope, "opinion": opinion} for (person, scope), opinion in asked.items()
        if person == key
    )  # fmt: skip


# --- opinions --------------------------------------------------------------------------------------------------


def _opinion_rows(key: str, events: list[Event], folding: Folding, rows: Rows) -> None:
    opinion = fold(key, _records(events, folding))
    if opinion.registered is None:
        _require(f.OpinionRegistered, key, events)
        return
    rows["opinions"].append(opinion_row(opinion, folding.town))
    rows["cards"].extend(_card_rows(opinion))
    rows["numbers"].extend(_number_rows(opinion))


def _require(beginning: type[f.Fact], key: str, events: list[Event]) -> None:
    """Facts that came before the one that begins their subject wait for it, and somebody can see that they do.

    What was erased or set aside will not come again, and a fact that only a newer program can read may be the beginning
    itself. Decisions about records begin nothing, and rest on nothing either.
    """
    kinds = {event.kind for event in events}
    gone = f.RecordSetAside.KIND in kinds or any(event.body is None for event in events)
    if gone or beginning.KIND in kinds or unrecognised.rows_of(events):
        return
    if any(not kind.startswith("record.") for kind in kinds):
        raise MissingDependency(beginning.KIND)


def opinion_row(opinion: Opinion, town: Town) -> Row:
    """The row of a registered opinion, with its urgent clock computed by today's calendar."""
    reg, assignment, now = opinion.registered, opinion.assignment, standing(opinion, town)
    assert reg is not None
    return {
        "id": opinion.id, "reg_no": reg.reg_no, "tracking": reg.tracking, "station": reg.station,
        "title": reg.title, "source": reg.source, "category": reg.category, "area": reg.area,
        "affected": reg.affected, "urgency": reg.urgency, "sensitive": reg.sensitive,
        "state": opinion.state.value, "route": opinion.route, "outcome": opinion.outcome,
        "unit": assignment.unit if assignment else "",
        "co_units": f",{','.join(assignment.co_units)}," if assignment and assignment.co_units else "",
        "dispatch_no": assignment.dispatch_no if assignment else "",
        "registered_at": opinion.registered_at, "received_at": opinion.received_at,
        "dispatched_at": assignment.dispatched_at if assignment else None,
        "signed_at": assignment.signed_at if assignment else None,
        "delivered_at": opinion.delivered_at, "closed_at": opinion.closed_at,
        "reopened": opinion.reopened, "reopen_asked": opinion.reopen_asked is not None,
        "clock": now.clock_id, "clock_kind": now.kind, "due_on": now.due_on, "due_at": now.due_at,
        "provisional": now.provisional, "next_step_at": now.next_step_at,
        "level": max((card.level for card in _cards_of(opinion, now.clock_id)), default=-1),
        "unknown": opinion.unknown, "ran_late": _ran_late(opinion),
        "rating": opinion.rating.overall if opinion.rating else "",
    }  # fmt: skip


def _ran_late(opinion: Opinion) -> bool:
    """By what was recorded, not by the calendar of today: a figure of last month does not move with a notice. The
    follow-up's term (K4) begins with the answer."""
    return any(
        card.overdue_days > 0 and not card.revoked and f":{ClockKind.FOLLOW_UP}:" not in card.clock
        for card in opinion.cards
    )


def _cards_of(opinion: Opinion, clock_id: str) -> list[Card]:
    """Cards that stand on this clock: what an earlier clock earned is told by the timeline, and urges nobody."""
    return [card for card in opinion.cards if card.clock == clock_id and not card.revoked]


def _card_rows(opinion: Opinion) -> list[Row]:
    """A card that two epochs of the hub fired, each without knowing of the other, stands once: the first counts."""
    units = _units(opinion) if opinion.cards else {}
    first: dict[tuple[str, int, str], Card] = {}
    for card in opinion.cards:
        first.setdefault((card.clock, card.level, card.mark), card)
    return [_card_row(opinion, card, units.get(card.clock, "")) for card in first.values()]


def _units(opinion: Opinion) -> dict[str, str]:
    """The unit of each unit's clock: a card stays with who held the case then, whoever has it now."""
    spans = [span for span in opinion.spans if span.kind in ("K2", "K5")]
    return {
        opinion.clock_id(span): assignment.unit for span, assignment in zip(spans, opinion.assignments, strict=True)
    }


def _card_row(opinion: Opinion, card: Card, unit: str) -> Row:
    assert opinion.registered is not None
    return {
        "clock": card.clock, "level": card.level, "mark": card.mark, "opinion": opinion.id,
        "station": opinion.registered.station, "unit": unit, "fired_at": card.fired_at,
        "doc_no": card.doc_no, "feedback_due": card.feedback_due, "feedback_at": card.feedback_at,
        "revoked": bool(card.revoked),
    }  # fmt: skip


# Facts that use a number up, and where it stands in them.
_NUMBERED: dict[type[f.Fact], str] = {
    f.OpinionRegistered: "reg_no",
    f.Dispatched: "dispatch_no",
    f.CardFired: "doc_no",
    f.ReplyDelivered: "reply_no",
}


def _number_rows(opinion: Opinion) -> list[Row]:
    """Numbers this case has used, so that the next one issued here is higher; also those of facts that did not fit."""
    used = [
        getattr(fact, _NUMBERED[type(fact)])
        for fact in (entry.record.fact for entry in opinion.timeline)
        if fact is not None and type(fact) in _NUMBERED
    ]
    split = (number.rpartition("-") for number in used)
    return [{"series": series, "last": int(last)} for series, _, last in split if last.isdecimal() and last.isascii()]


def _raise_numbers(connection: Connection, rows: list[Row]) -> None:
    """Never lower: another transaction may have gone further since we read."""
    highest = highest_numbers(rows)
    if not highest:
        return
    statement = _RAISE[connection.dialect.name]
    connection.execute(statement, [{"series": s, "last": n} for s, n in sorted(highest.items())])


def highest_numbers(rows: Iterable[Row]) -> dict[str, int]:
    """The last number of each series that these cases have used."""
    highest: dict[str, int] = {}
    for row in rows:
        highest[row["series"]] = max(highest.get(row["series"], 0), row["last"])
    return highest


def _raise(insert: Any) -> Any:
    lower = tables.numbers.c.last < insert.excluded.last
    return insert.on_conflict_do_update(index_elements=["series"], set_={"last": insert.excluded.last}, where=lower)


_RAISE = {"postgresql": _raise(postgresql.insert(tables.numbers)), "sqlite": _raise(sqlite.insert(tables.numbers))}


# --- receptions ------------------------------------------------------------------------------------------------


def _reception_rows(key: str, events: list[Event], folding: Folding, rows: Rows) -> None:
    records = _records(events, folding)
    held = next((r.fact for r in records if isinstance(r.fact, f.ReceptionHeld)), None)
    if held is None:
        _require(f.ReceptionHeld, key, events)
        return
    rows["receptions"].append({
        "id": key, "held_on": held.held_on, "station": held.station, "area": held.area,
        "headcount": held.headcount, "note": held.note,
        "withdrawn": any(isinstance(r.fact, f.ReceptionWithdrawn) for r in records),
    })  # fmt: skip


# --- between township and county -------------------------------------------------------------------------------


def _sums_rows(key: str, events: list[Event], folding: Folding, rows: Rows) -> None:
    """The newest count stands. Only what a township wrote in its own scope counts, and only about itself."""
    _, _, place = key.partition("/")
    township, _, month = place.partition("/")
    own = (event for event in reversed(events) if event.stream.scope.endswith(f"/sum/{township}"))
    for event in own:  # hundreds in a month, of which one is read
        fact = codec.recorded(event, folding.hub_nodes).fact
        if isinstance(fact, f.TownshipSummed) and (fact.township, fact.month) == (township, month):
            rows["township_sums"].append({
                "subject": key, "township": township, "month": month, "summed_at": event.occurred_at,
                "figures": codec.encode(fact),
            })  # fmt: skip
            return


def _notice_rows(key: str, events: list[Event], folding: Folding, rows: Rows) -> None:
    for record in _records(events, folding):
        if isinstance(record.fact, f.NoticePublished):
            rows["notices"].append({
                "id": key, "title": record.fact.title, "text": record.fact.text, "by": record.author.name,
                "published_at": record.occurred_at,
            })  # fmt: skip
            return


_MAKERS: dict[str, Callable[[str, list[Event], Folding, Rows], None]] = {
    "any": _unrecognised_rows,
    "erasure": _erasure_rows,
    "master": _master_rows,
    "opinion": _opinion_rows,
    "reception": _reception_rows,
    "township": _sums_rows,
    "notice": _notice_rows,
}


def open_opinions(connection: Connection) -> list[Subject]:
    """Subjects whose due dates a new calendar or policy may move."""
    ended = [state.value for state in ENDED] + [State.NEW.value]
    query = select(tables.opinions.c.id).where(tables.opinions.c.state.not_in(ended))
    return [Subject(f"opinion/{key}") for key in connection.execute(query).scalars()]
