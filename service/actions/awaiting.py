"""附件 whose content has not come: which, since when, and why, in a word that the pages can say.

The record of a photo arrives before the photo, so for a while lacking it is ordinary. After some days somebody should
ask; what the reason is can be told from who has been heard of since, and from the room on the disk.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, select

from service.node import Node
from service.store import erased
from service.store.tables import attachments, opinions
from sync import bulk, peers
from sync.blobs import Blob
from sync.events import Scope, Subject
from sync.limits import Limits

_CASES = select(attachments.c.digest, opinions.c.id, opinions.c.reg_no, opinions.c.station).join(
    opinions, opinions.c.id == attachments.c.opinion
)
LATE = timedelta(days=3)  # a village line over a weekend


class Reason(StrEnum):
    """Why content is not here."""

    UNDER_WAY = "under_way"  # part of it is here
    NO_ROOM = "no_room"  # on this disk
    NO_CONTACT = "no_contact"  # nobody who could have it was heard of since
    NOBODY_HAS_IT = "nobody_has_it"  # they were heard of, and did not have it either


@dataclass(frozen=True, slots=True, kw_only=True)
class Awaited:
    """Content that an opinion refers to and that is not here (completely). `since` this node has known of it."""

    opinion: str
    reg_no: str
    station: str
    digest: str
    since: datetime
    percent: int
    reason: Reason


@dataclass(frozen=True, slots=True)
class Awaiting:
    """`rows` are the oldest of `count`."""

    count: int = 0
    rows: tuple[Awaited, ...] = ()


def late(node: Node, connection: Connection, limit: int) -> Awaiting:
    """Content that should have come by now, longest awaited first."""
    before = node.now() - LATE
    lacking = [blob for blob in node.blobs.awaited(connection) if blob.added_at < before]
    named = {blob.digest.hex(): blob for blob in lacking}
    found: list[Awaited] = []
    for part in bulk.chunks(list(named)):
        rows = connection.execute(_CASES.where(attachments.c.digest.in_(part)))
        found += [_awaited(node, connection, named[row.digest], row) for row in rows]
    found.sort(key=lambda one: (one.since, one.reg_no))
    return Awaiting(len(found), tuple(found[:limit]))


def _awaited(node: Node, connection: Connection, blob: Blob, row: Any) -> Awaited:
    return Awaited(
        opinion=row.id, reg_no=row.reg_no, station=row.station, digest=row.digest, since=blob.added_at,
        percent=blob.percent, reason=reason_of(node, connection, blob, row.station),
    )  # fmt: skip


def reason_of(node: Node, connection: Connection, blob: Blob, station: str) -> Reason:
    """Why this content of a case of this station is not here."""
    if node.blobs.files.free_bytes() - Limits().blob_disk_free_min < blob.size:
        return Reason.NO_ROOM
    if blob.chunks:
        return Reason.UNDER_WAY
    heard = [
        contact.last_contact_at
        for peer in peers.all_peers(connection)
        if (peer.introduces or peer.name == station) and peer.revoked_after is None
        for contact in (peers.find_contact(connection, peer.node),) if contact.last_contact_at is not None
    ]  # fmt: skip
    return Reason.NOBODY_HAS_IT if any(at > blob.added_at for at in heard) else Reason.NO_CONTACT


def reconcile(node: Node, connection: Connection) -> int:
    """Let what is noted of content and the facts agree again; how many notes were wrong.

    A note that no fact gives lets its content be removed a day later, a fact without a note has it fetched. Only while
    every fact is folded: what waits or was set aside may be what refers to it.
    """
    ledger = node.ledger
    if ledger.pending_count(connection) or ledger.quarantined(connection):
        return 0
    noted = {(digest.hex(), str(scope)) for digest, scope in node.blobs.references(connection)}  # before the facts
    facts = {(row.digest, row.scope): row.opinion for row in connection.execute(select(attachments))}
    gone = erased.cases(connection, sorted(set(facts.values())))
    standing = {place for place, opinion in facts.items() if (opinion, place[1]) not in gone}
    for digest, scope in noted - standing:
        node.blobs.unrefer(connection, Scope(scope), bytes.fromhex(digest))
    lost = sorted({facts[place] for place in standing - noted})
    if lost:
        ledger.mark_pending(connection, [Subject(f"opinion/{opinion}") for opinion in lost])
    return len(noted ^ standing)
