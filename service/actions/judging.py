"""What the hub's people decide about a record that could not be taken in: try again, correct, or leave it out.

Each decision is a fact in the subject and scope of that record, so that the station which recorded it holds the
decision too and folds alike. Only what stands in quarantine is judged: a decision is no way to rewrite a sound case.
Whether it helped shows when the sweep has folded the subject again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from service.actions.routing import NotTheHub, needed
from service.domain import facts as f
from service.domain.people import Step
from service.domain.quarantine import ENDED
from service.domain.refusals import Invalid, NotFound, Refused
from service.store import codec
from service.store.judged import ONCE
from service.store.unit import Unit
from sync.errors import AlreadyRecorded
from sync.events import Event, Subject
from sync.pending import Quarantined


def retry(unit: Unit, subject: str, reason: str = "") -> None:
    """重试. At a station it is a local attempt; at the hub also a fact, so that the station tries as well.

    Raises NotAllowed, NotFound when the subject is not set aside.
    """
    unit.actor.require(Step.JUDGE_RECORD)
    _aside(unit, subject)
    if unit.is_hub:
        scope = _events(unit, subject)[0].stream.scope
        unit.record(subject, f.RecordRetried(reason=reason.strip()), scope=scope, later=True)
    else:
        unit.sweep_later(subject)


def set_aside(unit: Unit, subject: str, event_id: str, reason: str) -> None:
    """退回: the fold leaves this event out from now on; it stays in the ledger. Raises Refused when it was judged."""
    event = _event_at_hub(unit, subject, event_id)
    fact = f.RecordSetAside(event=event_id, kind=event.kind, reason=needed("why", reason))
    _record(unit, event, fact)


def correct(unit: Unit, subject: str, event_id: str, fields: Mapping[str, Any], reason: str) -> None:
    """更正后采用: these fields, in today's shape of the event's kind, count instead of what the event says.

    Who may not read cases may not rewrite them. Raises Invalid for the field that does not fit, Refused when the kind
    is not known here, or when the event was judged before.
    """
    unit.actor.require(Step.SEE_OPINIONS)
    event = _event_at_hub(unit, subject, event_id)
    kind = _corrected_kind(event)
    shape = f.shape(kind)
    if shape is None or kind.startswith("record."):
        raise Refused("kind_not_correctable")
    if _aside(unit, subject).reason == ENDED:
        raise Refused("correct_after_retry")  # nobody knows which of its records the program ended on
    fact = _read(kind, fields)
    _record(unit, event, f.RecordCorrected(
        event=event_id, kind=kind, version=shape.VERSION, reason=needed("why", reason), fields=codec.plain(fact),
    ))  # fmt: skip


def _corrected_kind(event: Event) -> str:
    """The kind that is to be read: a correction is corrected as what it stands for."""
    if event.kind != f.RecordCorrected.KIND or event.body is None:
        return event.kind
    said = codec.decode(event.kind, event.version, event.body)
    return said.kind if isinstance(said, f.RecordCorrected) else event.kind


def _read(kind: str, fields: Mapping[str, Any]) -> f.Fact:
    try:
        return codec.from_plain(kind, fields)
    except codec.UnreadableFact as error:
        raise Invalid(error.field or "why", "does_not_fit") from error


def _record(unit: Unit, event: Event, fact: f.Fact) -> None:
    try:
        unit.record(event.subject, fact, scope=event.stream.scope, once=ONCE + event.event_id, later=True)
    except AlreadyRecorded as error:
        raise Refused("judged_before") from error


def _event_at_hub(unit: Unit, subject: str, event_id: str) -> Event:
    unit.actor.require(Step.JUDGE_RECORD)
    if not unit.is_hub:
        raise NotTheHub
    _aside(unit, subject)
    found = next((event for event in _events(unit, subject) if event.event_id == event_id), None)
    if found is None:
        raise NotFound("record", event_id)
    return found


def _aside(unit: Unit, subject: str) -> Quarantined:
    found = unit.node.ledger.quarantined(unit.connection, [Subject(subject)])
    if not found:
        raise NotFound("record", subject)
    return found[0]


def _events(unit: Unit, subject: str) -> list[Event]:
    """All of the subject's events as they lie in the ledger; at least one, as nothing else is set aside."""
    events = unit.node.ledger.read_subjects(unit.connection, [Subject(subject)]).get(Subject(subject))
    if not events:
        raise NotFound("record", subject)
    return events
