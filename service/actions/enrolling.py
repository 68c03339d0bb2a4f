"""Enrolment: a node and the hub above it get to know each other by a one-time code that people pass on."""

from __future__ import annotations

from config import jobs
from service.actions import carrying, gathering, replacing
from service.actions.hub_address import HUB_URL
from service.actions.syncing import exchange_now, hub_of, hub_transport, replica
from service.domain.people import Actor, Step
from service.domain.refusals import NotFound, Refused
from service.node import Node
from service.store import node_facts
from service.store.unit import Unit
from sync import stick as sync_stick
from sync.errors import LinkError, StickAnswerMissing
from sync.events import Scope
from sync.exchange import Enrolled, issue_code
from sync.exchange import enrol as enrol_at_hub


def create_code(unit: Unit, code: str, replaces: str = "") -> str:
    """A one-time code that enrols one computer for the station with this code (at a county's hub: for the township),
    in the place of another computer if that is named.

    Raises NotAllowed, NotFound for a station, township or computer that is not there.
    """
    unit.actor.require(Step.ENROL_NODE)
    if not unit.is_hub:
        raise Refused("hub_only")
    own = _scope_of(unit, code)
    if replaces and replacing.computer(unit, replaces).name != code:
        raise NotFound("node", replaces)
    return issue_code(
        unit.connection, name=code, read_scopes=(unit.public_scope, own), write_scopes=(own,), now=unit.now,
        successor_of=replaces or None,
    )  # fmt: skip


def _scope_of(unit: Unit, code: str) -> Scope:
    if unit.node.is_county:
        return gathering.scope_of(unit, code)
    return unit.station_scope(unit.town.station(code).code)


def enrol(node: Node, code: str, *, address: str = "", fetch: bool = True) -> str:
    """Enrol this station, or this township's hub at its county, then fetch what the hub above has for it.

    Gives the code of the station or township.

    `address` is where the hub answers, kept once it has proved with the code that it is the hub; without `fetch` the
    history is left to the next exchange, which is asked for at once. Safe to repeat with the same code.

    Raises SyncError (the code is wrong, the hub cannot be reached), NoHub, Refused when this node serves a station.
    """
    _refuse_second(node)
    transport = hub_transport(node, address)
    try:
        enrolled = enrol_at_hub(replica(node), transport, code)
    finally:
        transport.close()
    _remember(node, enrolled, address)
    if fetch:
        _first_exchange(node)
    else:
        node.jobs.request(jobs.EXCHANGE)
    return enrolled.name


def enrol_by_stick(node: Node, actor: Actor, code: str, folder: str, *, address: str = "") -> str | None:
    """Enrol this station without any line; gives the station's code. `address` is kept for when there is one.

    None when the request lies on the stick now: it is carried to the hub, imported there, and this is done again with
    the same code. Raises SyncError by name, NotAllowed, Invalid, Refused as in `enrol`.
    """
    _refuse_second(node)
    try:
        enrolled = sync_stick.enrol_by_stick(replica(node), carrying.place_of(folder), code)
    except StickAnswerMissing:
        return None
    _remember(node, enrolled, address)
    carrying.bring_back(node, actor, folder)
    return enrolled.name


def _refuse_second(node: Node) -> None:
    """Raises Refused when this node serves a station, or is gathered by a county, already."""
    if node.is_hub:
        with node.reading() as connection:
            is_gathered = hub_of(connection) is not None
        known = node.settings.town if is_gathered else None
    else:
        known = node.station  # told last: an enrolment that was cut short before is done again
    if known is not None:
        raise Refused("enrolled_before", None, station=known)


def _remember(node: Node, enrolled: Enrolled, address: str) -> None:
    """What a station is told it is. A hub knows that already; the row of its hub above is all it needs."""
    if node.is_hub:
        return
    with node.engine.begin() as connection:
        if address:
            node_facts.put(connection, HUB_URL, address)
        node_facts.put(connection, "station", enrolled.name)
        node_facts.put(connection, "hub_node", enrolled.hub.node)


def _first_exchange(node: Node) -> None:
    """Fetch the town's data at once; if the line drops now, the sweep fetches them later."""
    try:
        exchange_now(node)
    except LinkError:
        return
