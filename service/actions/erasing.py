"""删除个人信息: a citizen asks for it, every node that holds the data empties it and says so.

The erasure is a fact in the station's scope, so it reaches whoever holds the person by the ordinary exchange, also a
node that was restored from a backup made before, and one that meets the person again on an old stick. Bodies and salts
go, the chains still verify. Opinions stay: they are about a drain, not about who reported it.
"""

from __future__ import annotations

from collections.abc import Sequence

import structlog
from sqlalchemy import Connection

from service.actions.routing import needed, within_reach
from service.domain import facts as f
from service.domain.people import SYSTEM, Step
from service.domain.refusals import NotFound
from service.node import Node
from service.store import codec
from service.store.unit import Unit
from sync.errors import AlreadyRecorded
from sync.events import Event, Scope, Subject

log = structlog.get_logger(__name__)

REASON_MAX = 200
SUBJECTS = "erasure/"
# What tells who somebody is, or was written while looking at it. The erasure itself stays.
_EMPTIED = frozenset({f.PersonRecorded.KIND, f.PersonUnmasked.KIND})


def erase_reporter(unit: Unit, opinion_id: str, reason: str) -> int:
    """Erase who reported an opinion, here at once and everywhere else as the fact arrives; how many bodies went here.

    Raises NotAllowed, NotFound("person"), Invalid("reason"). Asked again, it does what is left to do.
    """
    unit.actor.require(Step.ERASE_PERSON)
    opinion = unit.opinion(opinion_id)
    within_reach(unit, opinion)
    registered = opinion.registered
    assert registered is not None
    if registered.reporter is None:
        raise NotFound("person", opinion_id)
    fact = f.PersonErased(person=registered.reporter, opinion=opinion_id, reason=needed("reason", reason, REASON_MAX))
    scope = unit.station_scope(registered.station)
    try:
        unit.record(SUBJECTS + registered.reporter, fact, scope=scope, once=f"erased:{registered.reporter}")
    except AlreadyRecorded:
        log.info("erasing.asked_again", person=registered.reporter)
    return _carry_out(unit, registered.reporter, scope)


def follow(node: Node, connection: Connection, arrived: Sequence[Subject]) -> None:
    """Carry out the erasures among the subjects that have just arrived, in the transaction that folds them."""
    subjects = [subject for subject in arrived if subject.startswith(SUBJECTS)]
    if not subjects:
        return
    unit = Unit(connection=connection, node=node, actor=SYSTEM, now=node.now(), town=node.town(connection))
    for events in node.ledger.read_subjects(connection, subjects).values():
        for event, fact in _asked(events):
            _carry_out(unit, fact.person, event.stream.scope)
    unit.finish()


def _asked(events: Sequence[Event]) -> list[tuple[Event, f.PersonErased]]:
    found = [(event, codec.decode(event.kind, event.version, event.body)) for event in events if event.body]
    return [(event, fact) for event, fact in found if isinstance(fact, f.PersonErased)]


def _carry_out(unit: Unit, person: str, scope: Scope) -> int:
    """Empty what lies here of the person in this scope, and confirm it once. A station erases nobody of another one."""
    ledger, connection = unit.node.ledger, unit.connection
    subject = Subject(f"person/{person}")
    held = ledger.read_subjects(connection, [subject]).get(subject, [])
    ids = [e.event_id for e in held if e.kind in _EMPTIED and e.stream.scope == scope]
    emptied = ledger.erase(connection, ids)
    fact = f.PersonErasureConfirmed(person=person, node=unit.node.identity.node, emptied=emptied)
    home = _own_scope(unit, scope)
    if home is not None:
        try:
            unit.record(SUBJECTS + person, fact, scope=home, once=f"erased:{person}:{unit.node.identity.node}")
        except AlreadyRecorded:
            log.info("erasing.confirmed_before", person=person)
    return emptied


def _own_scope(unit: Unit, scope: Scope) -> Scope | None:
    """Where this node may say so: the hub beside the erasure, a station in its own scope."""
    if unit.node.is_hub:
        return scope
    station = unit.node.station
    return unit.station_scope(station) if station else None
