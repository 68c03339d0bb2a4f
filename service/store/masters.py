"""Master data: their rows in `masters`, and the `Town` snapshot built from all of them.

A master subject keeps the newest fact of each key (a station: its statement and each post; a calendar year: its
notice and each local day). The rows hold the facts' own bytes, so a shape that only a newer node knows survives
here and starts to count after the upgrade.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import structlog
from sqlalchemy import Connection, select

from service.domain import facts as f
from service.domain.quarantine import Impossible
from service.domain.town import Town, build_town
from service.store import codec
from service.store.tables import masters
from sync.events import Event, Scope

log = structlog.get_logger(__name__)

KINDS = frozenset(
    {"town", "area", "station", "unit", "deputy", "category", "reason", "calendar", "policy", "node", "coverage"}
)


def row_of(subject: str, events: Iterable[Event]) -> dict[str, Any]:
    """The row of one master subject; raises codec.UnreadableFact for a broken body, Impossible for nonsense."""
    newest: dict[tuple[str, str], tuple[str, int, str]] = {}
    facts: dict[tuple[str, str], f.Fact] = {}
    for event in events:
        if event.body is None or event.kind.startswith("record."):
            continue
        fact = codec.decode(event.kind, event.version, event.body)
        place = (event.kind, _key(event, fact))
        newest.pop(place, None)  # in the order of those that count: what they replaced leaves no trace
        newest[place] = (event.kind, event.version, b64encode(event.body).decode("ascii"))
        if fact is not None:
            facts[place] = fact
    _try_on(facts.values())
    return {
        "subject": subject,
        "kind": subject.partition("/")[0],
        "data": msgspec.json.encode(list(newest.values())),
    }


def _try_on(facts: Iterable[f.Fact]) -> None:
    """A town that could not be built with these would stop every page: they are refused here, one subject at a time."""
    try:
        build_town(facts)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise Impossible(type(error).__name__) from error


def _key(event: Event, fact: f.Fact | None) -> str:
    """What a newer fact of the same key replaces. Who cannot read a fact cannot tell, and keeps them all."""
    if fact is None:
        return event.event_id
    return stated_key(fact)


def stated_key(fact: f.Fact) -> str:
    """What a statement is about, within its subject."""
    return ":".join(str(getattr(fact, name)) for name in fact.STATES or ())


def superseded(events: Sequence[Event]) -> list[Event]:
    """Which of a subject's events, in their order, no fold looks at any more.

    A statement goes by a later one of its kind, about the same, in the same scope: whoever holds the stream of one may
    hold that of the other. So do leaves of statements, as there is nothing in them. None goes of a subject that people
    have judged, since their decisions name events; none when nothing of the subject would be left; none that this
    program cannot read.
    """
    judged = any(event.kind.startswith("record.") for event in events)
    if judged or all(event.body is None for event in events):
        return []
    stated: set[tuple[Scope, str, str]] = set()
    gone: list[Event] = []
    for event in reversed(events):
        shape = f.shape(event.kind)
        if shape is None or shape.STATES is None:
            continue
        if event.body is None:
            gone.append(event)
        elif (fact := _read(event)) is not None:
            about = (event.stream.scope, event.kind, stated_key(fact))
            if about in stated:
                gone.append(event)
            stated.add(about)
    return gone


def _read(event: Event) -> f.Fact | None:
    assert event.body is not None
    try:
        return codec.decode(event.kind, event.version, event.body)
    except codec.UnreadableFact:
        return None


def load_town(connection: Connection) -> Town:
    """The snapshot of everything that is in `masters` now."""
    rows = connection.execute(select(masters.c.data)).scalars()
    return build_town(fact for data in rows for fact in _facts(data))


def _facts(data: bytes) -> Iterable[f.Fact]:
    for kind, version, body in msgspec.json.decode(data, type=list[tuple[str, int, str]]):
        try:
            fact = codec.decode(kind, version, b64decode(body))
        except codec.UnreadableFact as error:
            # Readable to the program that folded it, not to this one: its subject is set aside when it is folded again.
            log.error("masters.unreadable", reason=str(error))
            continue
        if fact is not None:
            yield fact
