"""The station's side of the exchange: when it is due, how it is done, and what a person is told about it.

Whether an exchange is due is answered from the database, so that a PC that is switched off every night simply goes on
in the morning. A failure is retried by itself, at most five minutes later; nothing is ever given up.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib.metadata import version

import structlog
from sqlalchemy import Connection

from config import jobs
from config.settings import Settings
from service.actions import doubting, projecting
from service.domain import facts as f
from service.domain.people import SYSTEM
from service.domain.refusals import Refused
from service.node import Node
from service.store import node_facts
from service.store.unit import Unit
from sync import acknowledged, blob_lane, loading, peers, receipts
from sync.blob_lane import LaneReport
from sync.errors import LinkError, PeerBusy, SyncError
from sync.exchange import ExchangeReport, NodeInfo, Replica, exchange
from sync.limits import Limits
from sync.loading import Load
from sync.peers import Contact, Peer
from sync.positions import check_code
from sync.transport import HttpTransport

log = structlog.get_logger(__name__)

POLL = timedelta(seconds=60)  # with nothing to send: how often the hub is asked for news
WORKING_AT_ONCE = 6  # of a web process's eight threads: pages must still be answered on a morning when all wake
RETRY_MIN, RETRY_MAX = timedelta(seconds=20), timedelta(minutes=5)


class NoHub(Refused):
    """This station has not been enrolled, or does not know where its hub answers."""

    def __init__(self) -> None:
        super().__init__("no_hub")


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncState:
    """What the sync page says. `verified` only when both ends derived the same digest and nothing was recorded since.

    `reason` is the code of what blocks, "" when nothing does; `retry_at` when the next attempt comes by itself. `load`:
    the history that is coming in parts, None on every other day.
    """

    hub: str
    unsent: int
    oldest_unsent_at: datetime | None
    last_contact_at: datetime | None
    last_verified_at: datetime | None
    verified: bool
    reason: str
    failed_at: datetime | None
    retry_at: datetime | None
    clock_offset_s: float | None
    pending: int
    quarantined: int
    load: Load | None = None


def replica(node: Node) -> Replica:
    """The node as the replication library sees it."""
    name = node.station or node.settings.town
    info = NodeInfo(name=name, software=f"lianxin {version('lianxin')}")
    limits = Limits(working_at_once=WORKING_AT_ONCE)
    return Replica(
        engine=node.engine, ledger=node.ledger, identity=node.identity, now=node.now, info=info, limits=limits,
        blobs=node.blobs,
    )  # fmt: skip


def exchange_if_due(node: Node) -> ExchangeReport | None:
    """Exchange with the hub when it is due; None when it is not, or when the line failed (it will be due again)."""
    if node.is_hub:
        return None
    with node.reading() as connection:
        hub = hub_of(connection)
        due = hub is not None and _is_due(node, connection, hub)
    if not due:
        return None
    try:
        return exchange_now(node)
    except LinkError as error:
        log.info("exchange.line_failed", code=error.code)
    except SyncError as error:
        log.warning("exchange.refused", code=error.code, **error.data)
    return None


def exchange_now(node: Node) -> ExchangeReport:
    """Exchange with the hub and fold what came. Raises SyncError, NoHub; what was stored until then stays stored."""
    with node.reading() as connection:
        hub = hub_of(connection)
    if hub is None:
        raise NoHub
    transport = hub_transport(node.settings)
    try:
        report = exchange(replica(node), hub, transport)
    finally:
        transport.close()
        projecting.sweep(node)
        doubting.remember(node)
    if report.reconciled or report.pulled:
        doubting.announce(node)
    log.info("exchange.done", pushed=report.pushed, pulled=report.pulled, verified=report.verified,
             sent=report.bytes_sent, received=report.bytes_received, parts=report.parts)  # fmt: skip
    if report.blobs is not None:
        _tell_of_attachments(report.blobs)
    return report


def _tell_of_attachments(lane: LaneReport) -> None:
    """A line of its own: trouble with a photo is not trouble with the exchange."""
    log.info("attachments.carried", chunks_sent=lane.sent, chunks_received=lane.received, completed=lane.completed)
    if lane.error is not None:
        code = lane.error.code if isinstance(lane.error, SyncError) else type(lane.error).__name__
        log.warning("attachments.stopped", code=code)


def hub_transport(settings: Settings) -> HttpTransport:
    """The line to the hub. Raises NoHub when its address is not set."""
    if settings.hub_url is None:
        raise NoHub
    return HttpTransport(settings.hub_url, ca_file=str(settings.hub_ca_file) if settings.hub_ca_file else None)


def request_exchange(unit: Unit) -> None:
    """立即同步: somebody asks for it now, whatever the pause after a failure."""
    node_facts.put(unit.connection, "exchange_requested_at", unit.now.isoformat())
    unit.nudge(jobs.EXCHANGE)


def sync_state(node: Node, connection: Connection) -> SyncState | None:
    """What the station knows about its exchange; None before it is enrolled."""
    hub = hub_of(connection)
    if hub is None:
        return None
    contact = peers.find_contact(connection, hub.node)
    unsent = acknowledged.unsent(connection, node.identity, hub)
    return SyncState(
        hub=hub.name, unsent=unsent.count, oldest_unsent_at=unsent.oldest_at,
        last_contact_at=contact.last_contact_at, last_verified_at=contact.last_verified_at,
        verified=_verified(contact, unsent.count), reason=contact.last_error_code or "",
        failed_at=contact.last_error_at, retry_at=_retry_at(contact, node.now()), clock_offset_s=contact.offset_s,
        pending=node.ledger.pending_count(connection), quarantined=len(node.ledger.quarantined(connection)),
        load=loading.under_way(connection, hub.node),
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class CheckCodes:
    """To compare by telephone: of what this station wrote, and of what the hub signed to hold of it ("" = none)."""

    own: str
    receipt: str


def check_codes(node: Node, connection: Connection) -> CheckCodes:
    known = hub_of(connection)
    receipt = receipts.stated(connection, known.node) if known else None
    return CheckCodes(check_code(node.ledger.own_heads(connection)), check_code(receipt[0]) if receipt else "")


def publish_enrolled(unit: Unit) -> int:
    """Hub: publish nodes that have enrolled since, so that everybody knows which station they speak for."""
    new = [peer for peer in peers.all_peers(unit.connection) if peer.node not in unit.town.nodes]
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
    """The hub of this station; None at the hub itself and before enrolment."""
    return next((peer for peer in peers.all_peers(connection) if peer.introduces), None)


def _verified(contact: Contact, unsent: int) -> bool:
    if contact.last_verified_at is None or unsent:
        return False
    return contact.last_error_at is None or contact.last_error_at <= contact.last_verified_at


def _is_due(node: Node, connection: Connection, hub: Peer) -> bool:
    now, contact = node.now(), peers.find_contact(connection, hub.node)
    asked = node_facts.get(connection, "exchange_requested_at")
    if asked and _after_last_try(datetime.fromisoformat(asked), contact):
        return True
    retry_at = _retry_at(contact, now)
    if retry_at is not None:
        return now >= retry_at
    if acknowledged.unsent(connection, node.identity, hub).count or blob_lane.is_due(connection, hub.node):
        return True
    if loading.under_way(connection, hub.node):
        return True
    last = contact.last_contact_at
    return last is None or not last <= now < last + POLL


def _after_last_try(asked: datetime, contact: Contact) -> bool:
    tries = [at for at in (contact.last_contact_at, contact.last_error_at) if at is not None]
    return all(asked > at for at in tries)


def _retry_at(contact: Contact, now: datetime) -> datetime | None:
    """When to try again after a failure: the longer the line has been dead the later, but never beyond five minutes.

    None when the last attempt did not fail. A clock that was set back does not put the next attempt off.
    """
    failed = contact.last_error_at
    if failed is None or (contact.last_verified_at is not None and contact.last_verified_at >= failed):
        return None
    if failed > now:
        return now
    wait_s = (contact.last_error_data or {}).get("wait_s")
    if contact.last_error_code == PeerBusy.code and isinstance(wait_s, int):
        return failed + min(timedelta(seconds=wait_s), RETRY_MAX)
    silent = failed - contact.last_contact_at if contact.last_contact_at else RETRY_MIN
    return failed + min(max(silent / 10, RETRY_MIN), RETRY_MAX)
