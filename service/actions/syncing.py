"""The asking side of the exchange: how it is done, and what a person is told about it.

Who asks is a station, or a township's hub that is itself a node of its county's.

When it is due says `scheduling`. A failure is retried by itself; nothing is ever given up.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from typing import Any

import structlog
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from config import jobs
from service.actions import doubting, projecting, scheduling
from service.actions.hub_address import hub_url, known_url
from service.domain import facts as f
from service.domain.people import SYSTEM
from service.domain.refusals import Refused
from service.node import Node
from service.store.database import storage_problem
from service.store.unit import Unit
from sync import acknowledged, peers, receipts
from sync.blob_lane import LaneReport
from sync.errors import LinkError, SyncError
from sync.exchange import ExchangeReport, NodeInfo, Replica, exchange
from sync.limits import Limits
from sync.peers import Contact, Peer
from sync.positions import check_code
from sync.transport import HttpTransport

log = structlog.get_logger(__name__)

WORKING_AT_ONCE = 6  # of a web process's eight threads: pages must still be answered on a morning when all wake


class NoHub(Refused):
    """This node has not been enrolled, or does not know where the hub above answers."""

    def __init__(self) -> None:
        super().__init__("no_hub")


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncState:
    """What the sync page says. `verified` only when both ends derived the same digest and nothing was recorded since.

    `reason` is the code of the error that blocks, "" when there is none; `why` says in any case why it is not verified.
    `blocked` are the error's particulars. `next_at`: when it is tried by itself, None when nothing is in the way, or
    when nothing is ever tried (`why` "stick_only").
    """

    hub: str
    unsent: int
    oldest_unsent_at: datetime | None
    last_contact_at: datetime | None
    last_verified_at: datetime | None
    verified: bool
    reason: str
    why: str
    blocked: Mapping[str, Any]
    failed_at: datetime | None
    next_at: datetime | None
    stick_written_at: datetime | None
    stick_read_at: datetime | None
    clock_offset_s: float | None
    pending: int
    quarantined: int


def replica(node: Node) -> Replica:
    """The node as the replication library sees it."""
    name = node.station or node.settings.town
    info = NodeInfo(name=name, software=f"lianxin {version('lianxin')}")
    limits = Limits(working_at_once=WORKING_AT_ONCE)
    return Replica(
        engine=node.engine, ledger=node.ledger, identity=node.identity, now=node.now, info=info, limits=limits,
        blobs=node.blobs, keeps=node.town_scope if node.is_hub else None,
    )  # fmt: skip


def exchange_if_due(node: Node) -> ExchangeReport | None:
    """Exchange with the hub when it is due; None when it is not, or when the line failed (it will be due again)."""
    with node.reading() as connection:
        hub = hub_of(connection)
        due = hub is not None and scheduling.is_due(node, connection, hub)
    if not due:
        return None
    try:
        return exchange_now(node)
    except LinkError as error:
        log.info("exchange.line_failed", code=error.code)
    except SyncError as error:
        log.warning("exchange.refused", code=error.code, **error.data)
    except (SQLAlchemyError, OSError) as error:
        problem = storage_problem(error)
        if problem is None:
            raise
        log.warning("exchange.storage", code=problem.code)  # the page looks at the disk itself
    return None


def exchange_now(node: Node) -> ExchangeReport:
    """Exchange with the hub and fold what came. Raises SyncError, NoHub; what was stored until then stays stored."""
    with node.reading() as connection:
        hub = hub_of(connection)
    if hub is None:
        raise NoHub
    transport = hub_transport(node)
    line = scheduling.Listening(transport)
    try:
        report = exchange(replica(node), hub, line)
        scheduling.note_success(node)
    except SyncError as error:
        scheduling.note_failure(node, hub, error, line)
        raise
    finally:
        transport.close()
        projecting.sweep(node)
        doubting.remember(node)
    if report.reconciled or report.pulled:
        doubting.announce(node)
    log.info("exchange.done", pushed=report.pushed, pulled=report.pulled, verified=report.verified,
             sent=report.bytes_sent, received=report.bytes_received)  # fmt: skip
    if report.blobs is not None:
        _tell_of_attachments(report.blobs)
    return report


def _tell_of_attachments(lane: LaneReport) -> None:
    """A line of its own: trouble with a photo is not trouble with the exchange."""
    log.info("attachments.carried", chunks_sent=lane.sent, chunks_received=lane.received, completed=lane.completed)
    if lane.error is not None:
        code = lane.error.code if isinstance(lane.error, SyncError) else type(lane.error).__name__
        log.warning("attachments.stopped", code=code)


def hub_transport(node: Node, address: str = "") -> HttpTransport:
    """The line to the hub, at this address if one is given. Raises NoHub when none is known."""
    url = address or hub_url(node)
    if url is None:
        raise NoHub
    authority = node.settings.hub_ca_file
    return HttpTransport(url, ca_file=str(authority) if authority else None)


def request_exchange(unit: Unit) -> None:
    """立即同步: somebody asks for it now, whatever the pause after a failure."""
    scheduling.note_request(unit.connection, unit.now)
    unit.nudge(jobs.EXCHANGE)


def sync_state(node: Node, connection: Connection) -> SyncState | None:
    """What the node knows about its exchange with the hub above; None before it is enrolled."""
    hub = hub_of(connection)
    if hub is None:
        return None
    contact = peers.find_contact(connection, hub.node)
    unsent = acknowledged.unsent(connection, node.identity, hub)
    verified = _verified(contact, unsent.count)
    next_at = scheduling.next_try_at(node, connection, contact)
    why = "" if verified else _why(node, known_url(node, connection), contact, unsent.count, next_at)
    return SyncState(
        hub=hub.name, unsent=unsent.count, oldest_unsent_at=unsent.oldest_at,
        last_contact_at=contact.last_contact_at, last_verified_at=contact.last_verified_at,
        verified=verified, reason=contact.last_error_code or "",
        why=why, blocked=contact.last_error_data or {},
        failed_at=contact.last_error_at, next_at=next_at if next_at and next_at > node.now() else None,
        stick_written_at=contact.stick_written_at, stick_read_at=contact.stick_read_at,
        clock_offset_s=contact.offset_s, pending=node.ledger.pending_count(connection),
        quarantined=len(node.ledger.quarantined(connection)),
    )  # fmt: skip


def _why(node: Node, url: str | None, contact: Contact, unsent: int, next_at: datetime | None) -> str:
    """A code for every moment at which something waits: an error's, or that of a state which passes by itself."""
    if url is None:
        return "stick_only"
    if contact.last_error_code:
        return contact.last_error_code
    if next_at is not None and next_at > node.now():
        return "starting"
    return "queued" if unsent else "unverified"


@dataclass(frozen=True, slots=True)
class CheckCodes:
    """To compare by telephone: of what this node wrote for its hub, and of what the hub signed for ("" = none)."""

    own: str
    receipt: str


def check_codes(node: Node, connection: Connection) -> CheckCodes:
    known = hub_of(connection)
    receipt = receipts.stated(connection, known.node) if known else None
    heads = node.ledger.own_heads(connection)
    meant = {stream: head for stream, head in heads.items() if known is None or known.is_meant_for(stream.scope)}
    return CheckCodes(check_code(meant), check_code(receipt[0]) if receipt else "")


def publish_enrolled(unit: Unit) -> int:
    """Hub: publish nodes that have enrolled since, so that everybody knows which station they speak for."""
    new = [
        peer for peer in peers.all_peers(unit.connection)
        if peer.node not in unit.town.nodes and not peer.introduces
    ]  # fmt: skip
    for peer in new:
        fact = f.NodeEnrolled(
            node=peer.node, station=peer.name, public_key=peer.public_key.hex(),
            read_scopes=tuple(peer.read_scopes), write_scopes=tuple(peer.write_scopes),
        )  # fmt: skip
        unit.record(f"node/{peer.node}", fact, scope=unit.public_scope)
    return len(new)


def announce_enrolled(node: Node) -> int:
    """`publish_enrolled` as a unit of its own, for the sweep and for the page that has just enrolled somebody."""
    with node.unit(SYSTEM) as unit:
        return publish_enrolled(unit)


def hub_of(connection: Connection) -> Peer | None:
    """The hub above this node; None where nothing is above, and before enrolment."""
    return next((peer for peer in peers.all_peers(connection) if peer.introduces), None)


def _verified(contact: Contact, unsent: int) -> bool:
    if contact.last_verified_at is None or unsent:
        return False
    return contact.last_error_at is None or contact.last_error_at <= contact.last_verified_at
