"""换电脑: one computer of a station takes another one's place; what the old disk still holds is looked at by a person.

The new computer gets a key of its own and the station's whole history; the old key ends with the records the hub holds
of it. Nothing of the old disk is thrown away: what surfaces later waits here until it is taken in or left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import structlog
from sqlalchemy import Connection

from service.actions.routing import needed
from service.actions.syncing import replica
from service.domain import facts as f
from service.domain.people import SYSTEM, Step
from service.domain.refusals import NotFound, Refused
from service.node import Node
from service.store import codec
from service.store.unit import Unit
from sync import incidents, late, peers, replacing
from sync.errors import AlreadyRecorded, SyncError, UnknownPeer
from sync.events import Subject, decode_header, from_us
from sync.exchange import Responder
from sync.incidents import Incident
from sync.peers import Peer

log = structlog.get_logger(__name__)

REASON_MAX = 200
LINES_SHOWN = 20
SUCCEEDED = "由新电脑 {node} 接替"  # a record's words, as people at a hub write them


@dataclass(frozen=True, slots=True, kw_only=True)
class LatePlace:
    """Where late records were refused, and with which code of the replication library."""

    code: str
    node: str
    epoch: str
    scope: str
    seq: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LateLine:
    """One of the late records: when it was written down, of which kind it is, and its title, where it has one."""

    at: datetime
    kind: str
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LateRecord:
    """Records of a withdrawn key that surfaced later: their place, how many, and the first of them.

    `taker`: somebody has let them count, and this computer takes them up at its next exchange.
    """

    place: LatePlace
    events: int
    first_at: datetime
    last_at: datetime
    lines: tuple[LateLine, ...]
    taker: str | None


def withdraw(unit: Unit, node: str, reason: str) -> None:
    """停用: a computer that was lost or stolen gets nothing any more, and what it sends waits for a person."""
    unit.actor.require(Step.ENROL_NODE)
    words, peer = needed("reason", reason, REASON_MAX), computer(unit, node)
    replacing.withdraw(unit.connection, node, unit.now)
    _record_withdrawn(unit, peer, words)


def responder(node: Node) -> Responder:
    """The hub's half of the exchange. A computer whose key a code withdraws is put on record with its successor."""

    def replaced(connection: Connection, old: Peer, new: Peer) -> None:
        unit = Unit(connection=connection, node=node, actor=SYSTEM, now=node.now(), town=node.town(connection))
        _record_withdrawn(unit, old, SUCCEEDED.format(node=new.node))
        unit.finish()

    return Responder(replica(node), replaced=replaced)


def _record_withdrawn(unit: Unit, peer: Peer, reason: str) -> None:
    fact = f.NodeWithdrawn(node=peer.node, station=peer.name, reason=reason)
    try:
        unit.record(f"withdrawal/{peer.node}", fact, scope=unit.public_scope, once=f"withdrawn:{peer.node}")
    except AlreadyRecorded:
        log.info("replacing.recorded_before", node=peer.node)


def late_records(unit: Unit) -> list[LateRecord]:
    """What surfaced of withdrawn keys: first what waits for a decision, then what is on its way."""
    unit.actor.require(Step.JUDGE_RECORD)
    found = [_late_record(unit, one) for one in late.waiting(unit.connection)]
    return sorted(found, key=lambda one: one.taker is not None)


def take_late(unit: Unit, place: LatePlace) -> str | None:
    """Take late records in after all; the computer that will take them up, None when they are in their place.

    Raises NotFound, NotAllowed, Refused.
    """
    incident = _undecided(unit, place)
    try:
        taken = late.take(unit.connection, unit.node.ledger, incident, unit.now)
    except SyncError as error:
        raise Refused("late_refused", None, reason=error.code) from error
    if taken is None:
        raise Refused("late_no_computer")
    return taken.taker.node if taken.taker else None


def leave_late(unit: Unit, place: LatePlace, reason: str) -> None:
    """Leave late records out, and say why; they stay as evidence. Raises NotFound, NotAllowed, Invalid("reason")."""
    incident = _undecided(unit, place)
    words = needed("reason", reason, REASON_MAX)
    late.leave(unit.connection, incident, unit.now)
    fact = f.LateRecordsLeft(node=place.node, epoch=place.epoch, seq=place.seq, reason=words)
    unit.record(f"withdrawal/{place.node}", fact, scope=unit.public_scope)


def _undecided(unit: Unit, place: LatePlace) -> Incident:
    unit.actor.require(Step.JUDGE_RECORD)
    # Of two people who decide at once, the second one sees what the first one did.
    unit.node.ledger.lock_subjects(unit.connection, [Subject(f"withdrawal/{place.node}")])
    incident = next((one for one in late.undecided(unit.connection) if _place(one) == place), None)
    if incident is None:
        raise NotFound("record", f"{place.node} {place.seq}")
    return incident


def _place(incident: Incident) -> LatePlace:
    origin = incident.stream.origin
    return LatePlace(code=incident.code, node=origin.node, epoch=origin.epoch, scope=incident.stream.scope,
                     seq=incident.seq)  # fmt: skip


def _late_record(unit: Unit, incident: Incident) -> LateRecord:
    segments = incidents.evidence_of(unit.connection, incident)
    lines = [_line(raw, body) for one in segments for raw, body in zip(one.headers, one.bodies, strict=True)]
    times = [line.at for line in lines]
    return LateRecord(place=_place(incident), events=len(lines), first_at=min(times), last_at=max(times),
                      lines=tuple(lines[:LINES_SHOWN]), taker=incident.taker)  # fmt: skip


def _line(raw: bytes, body: bytes | None) -> LateLine:
    """What a person needs to recognise a record, of whatever version and however wrong it may be."""
    header = decode_header(raw)
    title = codec.fields(body).get("title")
    return LateLine(at=from_us(header.occurred_us), kind=header.kind, title=title if isinstance(title, str) else "")


def computer(unit: Unit, node: str) -> Peer:
    """A computer that was enrolled here. Raises NotFound."""
    try:
        return peers.get_peer(unit.connection, node)
    except UnknownPeer as error:
        raise NotFound("node", node) from error
