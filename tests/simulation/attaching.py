"""The application's part in attached content: what a folded event refers to, and what has to go with an erased one."""

import json
from collections.abc import Iterable
from typing import Final

from sqlalchemy import Connection

from sync.blobs import BlobStore
from sync.events import Event, Scope, Subject
from tests.simulation.members import SUBJECTS_MAX, Member

ATTACHED: Final = "attached"
TYPE: Final = "image/png"
ERASURE: Final = "erased"

Reference = tuple[bytes, Scope]


def named_by(event: Event) -> bytes | None:
    """The content that an event refers to, or that an erasure names; None where there is none, or none any more."""
    said = json.loads(event.body) if event.body is not None else {}
    return bytes.fromhex(said["content"]) if said.get("content") else None


def refer(conn: Connection, store: BlobStore, events: Iterable[Event]) -> None:
    """These events were folded: what they refer to is wanted."""
    for event in events:
        if event.kind == ATTACHED and event.body is not None:
            said = json.loads(event.body)
            digest = bytes.fromhex(said["content"])
            store.refer(conn, event.stream.scope, digest, said["size"], TYPE, again=True)


def fold(conn: Connection, member: Member, asked: Iterable[Event], read: dict[Subject, list[Event]]) -> None:
    """Events of these subjects were read, after those that somebody `asked` to erase had been emptied."""
    refer(conn, member.store, (event for events in read.values() for event in events))
    for erasure in asked:
        if (digest := named_by(erasure)) is not None:
            empty(conn, member, digest, erasure.stream.scope)


def empty(conn: Connection, member: Member, digest: bytes, scope: Scope) -> None:
    """An event in this scope that referred to it was erased: it goes, unless another one stands."""
    places = {place for content, place in standing(conn, member) if content == digest}
    if not places:
        member.store.erase(conn, digest)
        member.store.refer(conn, scope, digest, 0, "")
    elif scope not in places:
        member.store.unrefer(conn, scope, digest)


def tidy(conn: Connection, member: Member) -> None:
    """What runs every hour: notes and events agree again, and files with the notes."""
    if not member.ledger.pending_count(conn) and not member.ledger.quarantined(conn):
        noted, facts = set(member.store.references(conn)), standing(conn, member)
        for digest, scope in sorted(noted - set(facts)):
            member.store.unrefer(conn, scope, digest)
        if lost := [facts[one] for one in sorted(set(facts) - noted)]:
            member.ledger.mark_pending(conn, lost)
    member.store.sweep(conn)


def standing(conn: Connection, member: Member) -> dict[Reference, Subject]:
    """What events that stand refer to."""
    ledger = member.ledger
    found = ledger.read_subjects(conn, ledger.subjects(conn, "note/", None, SUBJECTS_MAX))
    return {
        (digest, event.stream.scope): subject
        for subject, events in found.items() for event in events
        if event.kind == ATTACHED and (digest := named_by(event)) is not None
    }  # fmt: skip
