"""A node's doubts about its own past: looked for at start, written down as facts, remembered in the anchor.

What the doubts are about (a restored, copied or emptied database) is the replication library's matter; here they become
entries that the station and the hub can read.
"""

from __future__ import annotations

import structlog
from sqlalchemy import Connection

from service.domain import facts as f
from service.domain.people import SYSTEM
from service.node import Node
from service.store import node_facts
from sync import epochs
from sync.errors import AlreadyRecorded, EpochsExhausted
from sync.events import Scope, Subject

log = structlog.get_logger(__name__)

_ONE_AT_A_TIME = (Subject("node/own-past"),)  # a hub's processes start together


def examine(node: Node) -> str | None:
    """At start, before anything is recorded: does the anchor fit the database? The reason for a new epoch, or None."""
    try:
        with node.engine.begin() as connection:
            node.ledger.lock_subjects(connection, _ONE_AT_A_TIME)
            reason = node.anchor.examine(connection, node.identity, node.now())
    except EpochsExhausted as error:
        log.error("node.epochs_exhausted", **error.data)
        return None
    if reason is not None:
        log.warning("node.epoch_opened", reason=reason)
    announce(node)
    return reason


def remember(node: Node) -> bool:
    """Bring the anchor up to date; whether it had to be."""
    with node.engine.begin() as connection:
        node.ledger.lock_subjects(connection, _ONE_AT_A_TIME)
        return node.anchor.write(connection, node.identity)


def announce(node: Node) -> int:
    """Record every epoch this node opened as a fact, once each; how many were new. Needs a place to record in."""
    with node.reading() as connection:
        opened, scope = epochs.opened(connection), _scope(node, connection)
    if scope is None:
        return 0
    return sum(_announce(node, scope, one) for one in opened)


def _announce(node: Node, scope: Scope, one: epochs.OwnEpoch) -> bool:
    fact = f.EpochOpened(
        node=node.identity.node, station=node.station or "", epoch=one.epoch, parent=one.parent, reason=one.reason
    )
    try:
        with node.unit(SYSTEM) as unit:
            unit.record(f"epoch/{one.epoch}", fact, scope=scope, once=f"epoch:{one.epoch}")
        return True
    except AlreadyRecorded:
        return False


def _scope(node: Node, connection: Connection) -> Scope | None:
    """Where all who should know can read it: a station's own scope, or the town's public one."""
    if node.is_hub:
        return node.public_scope
    station = node_facts.get(connection, "station")
    return node.station_scope(station) if station else None
