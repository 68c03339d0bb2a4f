"""From the ledger to the read tables: subjects are read whole, folded again, and their rows written anew.

Local and received facts take the same way. Nothing here adds to what a row said before, so folding twice, in any
order, or from an empty table gives the same rows; `rebuild` and the check command rest on that.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from service.domain import facts as f
from service.domain.casework import standing
from service.domain.opinion_fold import fold
from service.domain.opinions import ENDED, Opinion, State
from service.domain.record import Recorded
from service.domain.town import Town
from service.store import codec, masters, tables
from service.store.upsert import upsert
from sync.events import Event, Subject
from sync.ledger import Ledger

Rows = dict[str, list[dict[str, Any]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Folding:
    """What a fold needs besides the events: the town's terms and calendar, and which nodes are the hub."""

    town: Town
    hub_nodes: frozenset[str]


def project(connection: Connection, ledger: Ledger, subjects: Sequence[Subject], folding: Folding) -> bool:
    """Fold these subjects and write their rows; True when master data changed.

    The caller holds the subjects' locks and the transaction. Raises codec.UnreadableFact for a broken body.
    """
    events = ledger.read_subjects(connection, subjects)
    rows: Rows = {name: [] for name in ("opinions", "cards", "numbers", "masters", "receptions")}
    for subject, found in events.items():
        _rows_of(subject, found, folding, rows)
    _write(connection, rows)
    return bool(rows["masters"])


def _rows_of(subject: Subject, events: list[Event], folding: Folding, rows: Rows) -> None:
    kind, _, key = subject.partition("/")
    if kind in masters.KINDS:
        rows["masters"].append(masters.row_of(subject, events))
        return
    make = _MAKERS.get(kind)
    if make is not None:
        make(key, [codec.recorded(event, folding.hub_nodes) for event in events], folding, rows)


def _write(connection: Connection, rows: Rows) -> None:
    for name in ("masters", "opinions", "cards", "receptions"):
        upsert(connection, tables.read.tables[name], rows[name])
    _raise_numbers(connection, rows["numbers"])


# --- opinions --------------------------------------------------------------------------------------------------


def _opinion_rows(key: str, records: list[Recorded], folding: Folding, rows: Rows) -> None:
    opinion = fold(key, records)
    if opinion.registered is None:
        return  # facts that came before their registration wait in the ledger
    rows["opinions"].append(opinion_row(opinion, folding.town))
    rows["cards"].extend(_card_rows(opinion))
    rows["numbers"].extend(_number_rows(opinion))


def opinion_row(opinion: Opinion, town: Town) -> dict[str, Any]:
    """The row of a registered opinion, with its urgent clock computed by today's calendar."""
    reg, assignment, now = opinion.registered, opinion.assignment, standing(opinion, town)
    assert reg is not None and opinion.registered_at is not None and opinion.received_at is not None
    return {
        "id": opinion.id, "reg_no": reg.reg_no, "tracking": reg.tracking, "station": reg.station,
        "title": reg.title, "source": reg.source, "category": reg.category, "area": reg.area,
        "affected": reg.affected, "urgency": reg.urgency, "sensitive": reg.sensitive,
        "state": opinion.state.value, "route": opinion.route, "outcome": opinion.outcome,
        "unit": assignment.unit if assignment else "",
        "dispatch_no": assignment.dispatch_no if assignment else "",
        "registered_at": opinion.registered_at, "received_at": opinion.received_at,
        "dispatched_at": assignment.dispatched_at if assignment else None,
        "signed_at": assignment.signed_at if assignment else None,
        "delivered_at": opinion.delivered_at, "closed_at": opinion.closed_at,
        "reopened": opinion.reopened, "reopen_asked": opinion.reopen_asked is not None,
        "clock": now.clock_id, "clock_kind": now.kind, "due_on": now.due_on, "due_at": now.due_at,
        "provisional": now.provisional, "next_step_at": now.next_step_at,
        "level": max((card.level for card in opinion.cards if not card.revoked), default=-1),
        "unknown": opinion.unknown,
    }  # fmt: skip


def _card_rows(opinion: Opinion) -> list[dict[str, Any]]:
    assert opinion.registered is not None
    unit = opinion.assignment.unit if opinion.assignment else ""
    return [
        {
            "clock": card.clock, "level": card.level, "mark": card.mark, "opinion": opinion.id,
            "station": opinion.registered.station, "unit": unit, "fired_at": card.fired_at,
            "doc_no": card.doc_no, "feedback_due": card.feedback_due, "feedback_at": card.feedback_at,
            "revoked": bool(card.revoked),
        }
        for card in opinion.cards
    ]  # fmt: skip


def _number_rows(opinion: Opinion) -> list[dict[str, Any]]:
    """Numbers this case has used, so that the next one issued here is higher."""
    assert opinion.registered is not None
    used = [opinion.registered.reg_no, *(a.dispatch_no for a in opinion.assignments)]
    used += [card.doc_no for card in opinion.cards if card.doc_no]
    used += [reply.reply_no for reply in opinion.replies if reply.reply_no]
    split = (number.rpartition("-") for number in used)
    return [{"series": series, "last": int(last)} for series, _, last in split if last.isdigit()]


def _raise_numbers(connection: Connection, rows: list[dict[str, Any]]) -> None:
    highest: Counter[str] = Counter()
    for row in rows:
        highest[row["series"]] = max(highest[row["series"]], row["last"])
    if not highest:
        return
    known = select(tables.numbers).where(tables.numbers.c.series.in_(highest))
    for series, last in connection.execute(known):
        highest[series] = max(highest[series], last)
    upsert(connection, tables.numbers, [{"series": s, "last": n} for s, n in sorted(highest.items())])


# --- receptions ------------------------------------------------------------------------------------------------


def _reception_rows(key: str, records: list[Recorded], folding: Folding, rows: Rows) -> None:
    held = next((r.fact for r in records if isinstance(r.fact, f.ReceptionHeld)), None)
    if held is None:
        return
    rows["receptions"].append({
        "id": key, "held_on": held.held_on, "station": held.station, "area": held.area,
        "headcount": held.headcount, "note": held.note,
        "withdrawn": any(isinstance(r.fact, f.ReceptionWithdrawn) for r in records),
    })  # fmt: skip


_MAKERS: dict[str, Callable[[str, list[Recorded], Folding, Rows], None]] = {
    "opinion": _opinion_rows,
    "reception": _reception_rows,
}


def open_opinions(connection: Connection) -> list[Subject]:
    """Subjects whose due dates a new calendar or policy may move."""
    ended = [state.value for state in ENDED] + [State.NEW.value]
    query = select(tables.opinions.c.id).where(tables.opinions.c.state.not_in(ended))
    return [Subject(f"opinion/{key}") for key in connection.execute(query).scalars()]
