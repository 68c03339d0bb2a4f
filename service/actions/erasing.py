"""删除个人信息: a citizen asks for it, every node that holds the data empties it and says so.

The erasure is a fact in the station's scope, so it reaches whoever holds the person by the ordinary exchange, also a
node that was restored from a backup made before, and one that meets the person again on an old stick. Bodies and salts
go, the chains still verify. Opinions stay: they are about a drain, not about who reported it. Their attachments go:
pictures show people and papers name them, and so may the names of files (decision 0022).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

import structlog
from sqlalchemy import Connection

from service.actions.routing import needed, within_reach
from service.domain import facts as f
from service.domain.people import SYSTEM, Step
from service.domain.refusals import NotFound
from service.node import Node
from service.store import codec, erased
from service.store.unit import Unit
from sync.errors import AlreadyRecorded
from sync.events import Event, Scope, Subject

log = structlog.get_logger(__name__)

REASON_MAX = 200
SUBJECTS = "erasure/"
DIGEST_DIGITS = 64  # of a SHA-256


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
    return _carry_out(unit, fact, scope)


def follow(node: Node, connection: Connection, arrived: Sequence[Subject]) -> bool:
    """Carry out the erasures among the subjects that have just arrived, in the transaction that folds them.

    Also those that what has arrived belongs to: a station that had not heard of it may have gone on recording.
    Opinions that lost attachments are marked pending, so what was pending before must have been cleared; True when
    there may be any.
    """
    asked_now = {subject for subject in arrived if subject.startswith(SUBJECTS)}
    subjects = sorted(asked_now.union(erased.touched_by(connection, arrived)))
    if not subjects:
        return False
    unit = Unit(connection=connection, node=node, actor=SYSTEM, now=node.now(), town=node.town(connection))
    for events in node.ledger.read_subjects(connection, subjects).values():
        for event, fact in _asked(events):
            _carry_out(unit, fact, event.stream.scope)
    unit.finish()
    return True


def remind(node: Node, connection: Connection) -> None:
    """Let the sweep carry out every known erasure once more: this program may empty what an earlier one left."""
    after: str | None = None
    while page := node.ledger.subjects(connection, SUBJECTS, after, 1000):
        node.ledger.mark_pending(connection, page)
        after = page[-1]


def _asked(events: Sequence[Event]) -> list[tuple[Event, f.PersonErased]]:
    found = [(event, codec.decode(event.kind, event.version, event.body)) for event in events if event.body]
    return [(event, fact) for event, fact in found if isinstance(fact, f.PersonErased)]


@dataclass(slots=True)
class _Held:
    """What lies here of a person in a scope: events to empty, and the digests (hex) of what was attached."""

    ids: list[str] = field(default_factory=list)
    contents: set[str] = field(default_factory=set)


def _carry_out(unit: Unit, asked: f.PersonErased, scope: Scope) -> int:
    """Empty what lies here of the person in this scope, and confirm it. A station erases nobody of another one."""
    person, case = Subject(f"person/{asked.person}"), Subject(f"opinion/{asked.opinion}")
    erasure = Subject(SUBJECTS + asked.person)
    events = unit.node.ledger.read_subjects(unit.connection, [person, case, erasure])
    held = _attached(_within(events.get(case, []), scope))
    held.ids += [event.event_id for event in _within(events.get(person, []), scope)]  # looks and corrections as well
    held.contents |= _stated(_within(events.get(erasure, []), scope))
    emptied = unit.node.ledger.erase(unit.connection, held.ids)
    kept = sum(not _empty_content(unit, content, asked.opinion, scope) for content in sorted(held.contents))
    if emptied and case in events:
        unit.sweep_later(case)
    _confirm(unit, asked.person, scope, emptied, held.contents, kept)
    return emptied


def _within(events: Iterable[Event], scope: Scope) -> list[Event]:
    return [event for event in events if event.stream.scope == scope]


def _attached(events: Iterable[Event]) -> _Held:
    """Attachments of the case, also where the hub corrected one: names and words about them are the person's, too."""
    held = _Held()
    for event in events:
        fact = _readable(event) if event.body and _may_attach(event) else None
        if fact is None and event.body and event.kind == f.Attached.KIND:
            held.ids.append(event.event_id)  # set aside as broken: what it says goes all the same
        if isinstance(fact, f.Attached):
            held.ids.append(event.event_id)
            held.contents |= _digests(fact.digest)
        elif isinstance(fact, f.RecordCorrected) and fact.kind == f.Attached.KIND:
            held.ids.append(event.event_id)
            held.contents |= _digests(str(fact.fields.get("digest")))
    return held


def _may_attach(event: Event) -> bool:
    return event.kind in (f.Attached.KIND, f.RecordCorrected.KIND)


def _readable(event: Event) -> f.Fact | None:
    try:
        return codec.decode(event.kind, event.version, event.body or b"")
    except codec.UnreadableFact:
        return None


def _stated(events: Iterable[Event]) -> set[str]:
    """What other nodes have emptied: this one may hold content whose fact it lost with a branch."""
    facts = (codec.decode(event.kind, event.version, event.body) for event in events if event.body)
    return {
        content
        for fact in facts if isinstance(fact, f.PersonErasureConfirmed)
        for stated in fact.contents for content in _digests(stated)
    }  # fmt: skip


def _digests(text: str) -> set[str]:
    return {text} if len(text) == DIGEST_DIGITS and not text.strip("0123456789abcdef") else set()


def _empty_content(unit: Unit, content: str, opinion: str, scope: Scope) -> bool:
    """Empty it unless a case that stands refers to it; whether it is gone. What another citizen handed in is theirs."""
    blobs, connection, digest = unit.node.blobs, unit.connection, bytes.fromhex(content)
    standing = erased.standing_scopes(connection, content, opinion, scope)
    if not standing:
        blobs.erase(connection, digest)
        unit.has_emptied = True
        blobs.refer(connection, scope, digest, 0, "")
    elif scope not in standing:
        blobs.unrefer(connection, scope, digest)
    return not standing


def _confirm(unit: Unit, person: str, scope: Scope, emptied: int, contents: set[str], kept: int) -> None:
    """Say that it is done: once, and once more whenever more content was found."""
    home = _own_scope(unit, scope)
    if home is None:
        return
    node, gone = unit.node.identity.node, tuple(sorted(contents))
    once = f"erased:{person}:{node}" + (f":{sha256(''.join(gone).encode()).hexdigest()[:16]}" if gone else "")
    fact = f.PersonErasureConfirmed(person=person, node=node, emptied=emptied, contents=gone, kept=kept)
    try:
        unit.record(SUBJECTS + person, fact, scope=home, once=once)
    except AlreadyRecorded:
        log.info("erasing.confirmed_before", person=person)


def _own_scope(unit: Unit, scope: Scope) -> Scope | None:
    """Where this node may say so: the hub beside the erasure, a station in its own scope."""
    if unit.node.is_hub:
        return scope
    station = unit.node.station
    return unit.station_scope(station) if station else None
