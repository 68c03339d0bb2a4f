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
from service.store.unit import Unit
from sync import incidents, peers, replacing
from sync.errors import AlreadyRecorded, UnknownPeer
from sync.events import Origin, Scope, Stream, decode_header, from_us
from sync.exchange import Responder
from sync.peers import Peer

log = structlog.get_logger(__name__)

REASON_MAX = 200
SUCCEEDED = "由新电脑 {node} 接替"  # a record's words, as people at a hub write them


@dataclass(frozen=True, slots=True, kw_only=True)
class LateRecord:
    """Records of a withdrawn key that surfaced later: their place, how many, and when they were written down."""

    node: str
    epoch: str
    scope: str
    seq: int
    events: int
    first_at: datetime
    last_at: datetime


def withdraw(unit: Unit, node: str, reason: str) -> None:
    """停用: a computer that was lost or stolen gets nothing any more, and what it sends waits for a person."""
    unit.actor.require(Step.ENROL_NODE)
    words, peer = needed("reason", reason, REASON_MAX), computer(unit, node)
    replacing.withdraw(unit.connection, node)
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
    """What surfaced of withdrawn keys and waits for a decision."""
    unit.actor.require(Step.JUDGE_RECORD)
    found = []
    for one in replacing.waiting(unit.connection):
        headers = [header for segment in incidents.evidence_of(unit.connection, one) for header in segment.headers]
        times = [from_us(decode_header(header).occurred_us) for header in headers]
        origin = one.stream.origin
        found.append(LateRecord(node=origin.node, epoch=origin.epoch, scope=one.stream.scope, seq=one.seq,
                                events=len(times), first_at=min(times), last_at=max(times)))  # fmt: skip
    return found


def take_late(unit: Unit, node: str, epoch: str, scope: str, seq: int) -> int:
    """Take late records in after all; how many. Raises NotFound, NotAllowed."""
    unit.actor.require(Step.JUDGE_RECORD)
    stream = Stream(Origin(node, epoch), Scope(scope))
    incident = next((one for one in replacing.waiting(unit.connection) if (one.stream, one.seq) == (stream, seq)), None)
    if incident is None:
        raise NotFound("record", f"{stream} {seq}")
    stored = 0
    for segment in incidents.evidence_of(unit.connection, incident):
        outcome = unit.node.ledger.take_late(unit.connection, segment)
        if outcome.refusals:
            raise Refused("late_refused", None, reason=outcome.refusals[0].code)
        stored += outcome.stored
    replacing.settle(unit.connection, stream, seq, unit.now)
    return stored


def leave_late(unit: Unit, node: str, epoch: str, scope: str, seq: int, reason: str) -> None:
    """Leave late records out, and say why; they stay as evidence. Raises NotAllowed, Invalid("reason")."""
    unit.actor.require(Step.JUDGE_RECORD)
    words = needed("reason", reason, REASON_MAX)
    stream = Stream(Origin(node, epoch), Scope(scope))
    replacing.settle(unit.connection, stream, seq, unit.now)
    fact = f.LateRecordsLeft(node=node, epoch=epoch, seq=seq, reason=words)
    unit.record(f"withdrawal/{node}", fact, scope=unit.public_scope)


def computer(unit: Unit, node: str) -> Peer:
    """A computer that was enrolled here. Raises NotFound."""
    try:
        return peers.get_peer(unit.connection, node)
    except UnknownPeer as error:
        raise NotFound("node", node) from error
