"""查看来访人信息: looking at a citizen's data leaves a trace that names who looked and why."""

from __future__ import annotations

from service.actions.routing import needed, within_reach
from service.domain import facts as f
from service.domain.opinions import Opinion
from service.domain.people import Actor, Reporter, Secrecy, masked_name, masked_phone, may_see_reporter
from service.domain.refusals import NotAllowed, NotFound
from service.store import station_queries
from service.store.unit import Unit

REASON_MAX = 200


def unmask(unit: Unit, opinion_id: str, reason: str) -> Reporter:
    """The reporter in clear, once the look is recorded. Raises NotAllowed, NotFound, Invalid("reason").

    The record stands in the same transaction as the reading: no look without a trace.
    """
    opinion = unit.opinion(opinion_id)
    within_reach(unit, opinion)
    registered = opinion.registered
    assert registered is not None
    if not may_unmask(unit.actor, opinion):
        raise NotAllowed("see_reporter", unit.actor.role.value)
    if registered.reporter is None:
        raise NotFound("person", opinion_id)
    words = needed("reason", reason, REASON_MAX)
    found = station_queries.reporter(unit.connection, unit.node.ledger, unit.seal, registered.reporter)
    if not found.readable:
        raise NotFound("person", registered.reporter)
    scope = unit.station_scope(registered.station)
    unit.record(f"person/{registered.reporter}", f.PersonUnmasked(reason=words), scope=scope)
    return found.who


def may_unmask(actor: Actor, opinion: Opinion) -> bool:
    """Whether this actor may ask at all; a unit only for what was dispatched to it, and only open names."""
    registered = opinion.registered
    return registered is not None and may_see_reporter(actor, Secrecy(registered.secrecy), registered.station)


def masked(who: Reporter) -> Reporter:
    """What is shown before anybody asked: 张*, 138****5678, no address."""
    return Reporter(name=masked_name(who.name), phone=masked_phone(who.phone), gender=who.gender)
