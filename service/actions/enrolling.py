"""Enrolment: a station's node and its hub get to know each other by a one-time code that people pass on."""

from __future__ import annotations

from config import jobs
from service.actions import carrying, replacing
from service.actions.syncing import exchange_now, hub_transport, replica
from service.domain.people import Actor, Step
from service.domain.refusals import NotFound, Refused
from service.node import Node
from service.store import node_facts
from service.store.unit import Unit
from sync import stick as sync_stick
from sync.errors import LinkError, StickAnswerMissing
from sync.exchange import Enrolled, issue_code
from sync.exchange import enrol as enrol_at_hub


def create_code(unit: Unit, station_code: str, replaces: str = "") -> str:
    """A code that enrols one computer for the station, in the place of another one if that is named.

    Raises NotAllowed, NotFound for a station or a computer that is not there.
    """
    unit.actor.require(Step.ENROL_NODE)
    if not unit.is_hub:
        raise Refused("hub_only")
    station = unit.town.station(station_code)
    own = unit.station_scope(station.code)
    if replaces and replacing.computer(unit, replaces).name != station.code:
        raise NotFound("node", replaces)
    return issue_code(
        unit.connection, name=station.code, read_scopes=(unit.public_scope, own), write_scopes=(own,), now=unit.now,
        successor_of=replaces or None,
    )  # fmt: skip


def enrol(node: Node, code: str) -> str:
    """Enrol this station, then fetch what the hub has for it; gives the station's code.

    Safe to repeat with the same code. Raises SyncError (the code is wrong, the hub cannot be reached), NoHub, Refused
    when this node serves a station already.
    """
    if node.station is not None:
        raise Refused("enrolled_before", None, station=node.station)
    transport = hub_transport(node.settings)
    try:
        enrolled = enrol_at_hub(replica(node), transport, code)
    finally:
        transport.close()
    _remember(node, enrolled)
    _first_exchange(node)
    return enrolled.name


def enrol_by_stick(node: Node, actor: Actor, code: str, folder: str) -> str | None:
    """Enrol this station without any line; gives the station's code.

    None when the request lies on the stick now: it is carried to the hub, imported there, and this is done again with
    the same code. Raises SyncError by name, NotAllowed, Invalid, Refused as in `enrol`.
    """
    if node.station is not None:
        raise Refused("enrolled_before", None, station=node.station)
    try:
        enrolled = sync_stick.enrol_by_stick(replica(node), carrying.place_of(folder), code)
    except StickAnswerMissing:
        return None
    _remember(node, enrolled)
    carrying.bring_back(node, actor, folder)
    return enrolled.name


def _remember(node: Node, enrolled: Enrolled) -> None:
    with node.engine.begin() as connection:
        node_facts.put(connection, "station", enrolled.name)
        node_facts.put(connection, "hub_node", enrolled.hub.node)


def _first_exchange(node: Node) -> None:
    """Fetch the town's data at once; if the line drops now, or much is to come, the sweep fetches them later."""
    try:
        report = exchange_now(node)
    except LinkError:
        return
    if report.loading:
        node.jobs.request(jobs.EXCHANGE)
