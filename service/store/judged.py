"""The events of a subject as the hub's decisions leave them: some left out, some read with other words.

A decision counts when the hub recorded it. The first one on an event stands (its `once` key sees to that); to decide
again, one decides on the correction. Pure: the same events give the same answer on every node and in every rebuild.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from service.domain import facts as f
from service.domain.record import Recorded
from service.store import codec
from sync.events import Event

ONCE = "judged:"  # + event id: the key under which the decision on an event is recorded
_PREFIX = "record."
_Decision = f.RecordSetAside | f.RecordCorrected


def judged(events: Sequence[Event], hub_nodes: frozenset[str]) -> list[Event]:
    """The events in order, without those set aside, corrected ones with the corrected body.

    Raises codec.UnreadableFact when a decision itself cannot be read.
    """
    if not any(event.kind.startswith(_PREFIX) for event in events):
        return list(events)
    decisions = _decisions(events, hub_nodes)
    standing = (_standing(event, event.event_id, decisions) for event in events)
    return [event for event in standing if event is not None]


def records(events: Sequence[Event], hub_nodes: frozenset[str]) -> list[Recorded]:
    """The events as the domain sees them. Raises codec.UnreadableFact."""
    return [codec.recorded(event, hub_nodes) for event in judged(events, hub_nodes)]


def _decisions(events: Sequence[Event], hub_nodes: frozenset[str]) -> dict[str, tuple[str, _Decision | None]]:
    """By the id of the event decided on: the decision's own id and what it says, None for "left out"."""
    found: dict[str, tuple[str, _Decision | None]] = {}
    for event in events:
        if not event.kind.startswith(_PREFIX) or event.stream.origin.node not in hub_nodes:
            continue
        if event.body is None:
            # What a correction said was erased; that something was decided on this event, its key still tells.
            if (event.once or "").startswith(ONCE):
                found.setdefault((event.once or "").removeprefix(ONCE), (event.event_id, None))
            continue
        fact = codec.decode(event.kind, event.version, event.body)
        if isinstance(fact, f.RecordSetAside):
            found.setdefault(fact.event, (event.event_id, None))
        elif isinstance(fact, f.RecordCorrected):
            found.setdefault(fact.event, (event.event_id, fact))
    return found


def _standing(event: Event, decided_on: str, decisions: dict[str, tuple[str, _Decision | None]]) -> Event | None:
    """The event as it counts; a correction may be corrected in turn."""
    if decided_on not in decisions:
        return event
    decision_id, decision = decisions[decided_on]
    if not isinstance(decision, f.RecordCorrected):
        return None
    if event.body is None:
        return event  # erased meanwhile: a correction brings nothing back
    body = msgspec.json.encode(decision.fields)
    read = msgspec.structs.replace(event, kind=decision.kind, version=decision.version, body=body)
    return _standing(read, decision_id, decisions)
