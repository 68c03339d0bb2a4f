"""A node's own new events: numbered, chained and signed at milestones, under the lock of their stream."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, and_, delete, func, or_, select

from sync import bulk, epochs, streams
from sync.errors import AlreadyRecorded
from sync.events import (
    LAMPORT_LEARNED_MAX,
    SALT_BYTES,
    Event,
    EventDraft,
    Scope,
    Stream,
    body_digest,
    chain_next,
    encode_header,
    event_id,
    to_us,
)
from sync.identity import Identity, position_statement
from sync.stored import Sealer
from sync.streams import StreamRow
from sync.tables import ledger_events, ledger_once, ledger_signatures

# Every so many events the origin signs its position, so that whoever passes the stream on can cut it there.
MILESTONE_EVENTS: Final = 128


@dataclass(frozen=True, slots=True)
class Appender:
    """Appends to the node's own streams. The caller's transaction decides whether it happened."""

    identity: Identity
    sealer: Sealer

    def append(self, conn: Connection, scope: Scope, drafts: Sequence[EventDraft], now: datetime) -> list[Event]:
        """Number and store the drafts. Raises `AlreadyRecorded`, then nothing of this call is stored."""
        row = streams.lock(conn, Stream(epochs.current(conn, self.identity), scope))
        claim_once(conn, scope, row, [draft.once for draft in drafts])
        lamports = _lamports(conn, drafts)
        events = [self._next(row, draft, lamports, now) for draft in drafts]
        bulk.insert_rows(conn, ledger_events, [stored for stored, _, _ in events])
        bulk.insert_rows(conn, ledger_signatures, [signed for _, signed, _ in events if signed])
        streams.save(conn, row)
        return [event for _, _, event in events]

    def _next(
        self, row: StreamRow, draft: EventDraft, lamports: dict[str, int], now: datetime
    ) -> tuple[bulk.Row, bulk.Row | None, Event]:
        """One event and its rows; moves the stream's head in memory."""
        lamport = 1 + max(lamports.get(draft.subject, 0), row.lamport)
        header, salt = encode_header(draft, lamport), self.identity.random_bytes(SALT_BYTES)
        digest = body_digest(salt, draft.body)
        name = event_id(header, digest)
        row.seq, row.lamport, row.chain = row.seq + 1, lamport, chain_next(row.chain, header, digest)
        lamports[draft.subject] = lamport
        kept: tuple[bytes | None, bytes] = (salt, draft.body)
        if self.sealer.protects(draft.subject):
            kept = (None, self.sealer.close(name, salt, draft.body))
        stored = (row.id, row.seq, name, draft.subject, lamport, header, *kept, None, row.chain, to_us(now))
        return stored, self._milestone(row), _event(row, draft, name, now)

    def _milestone(self, row: StreamRow) -> bulk.Row | None:
        if row.seq % MILESTONE_EVENTS:
            return None
        return row.id, row.seq, self.identity.sign(position_statement(row.stream, row.seq, row.chain))


def claim_once(conn: Connection, scope: Scope, row: StreamRow, keys: Sequence[str | None]) -> None:
    """Claim the keys of the events that follow the head of `row`. Raises `AlreadyRecorded` and claims none."""
    claims = [
        {"scope": scope, "key": key, "stream_id": row.id, "seq": row.seq + place}
        for place, key in enumerate(keys, start=1)
        if key is not None
    ]
    if not claims:
        return
    _refuse_twice([str(claim["key"]) for claim in claims])
    insert = bulk.upsert_into(conn, ledger_once).on_conflict_do_nothing().returning(ledger_once.c.key)
    claimed = set(conn.execute(insert, claims).scalars())
    missing = [str(claim["key"]) for claim in claims if claim["key"] not in claimed]
    if missing:
        for part in bulk.chunks(sorted(claimed)):
            conn.execute(delete(ledger_once).where(ledger_once.c.scope == scope, ledger_once.c.key.in_(part)))
        raise AlreadyRecorded(missing[0], scope=scope)


def _refuse_twice(keys: Sequence[str]) -> None:
    seen: set[str] = set()
    for key in keys:
        if key in seen:
            raise AlreadyRecorded(key)
        seen.add(key)


def _lamports(conn: Connection, drafts: Sequence[EventDraft]) -> dict[str, int]:
    """The highest lamport number held of each subject, as far as it may be learned from."""
    t = ledger_events.c
    found: dict[str, int] = {}
    for part in bulk.chunks(sorted({draft.subject for draft in drafts})):
        query = select(t.subject, func.max(t.lamport)).where(t.subject.in_(part), t.lamport <= LAMPORT_LEARNED_MAX)
        found.update((row[0], row[1]) for row in conn.execute(query.group_by(t.subject)))
    return found


def store_signatures(conn: Connection, row: StreamRow, signatures: Sequence[tuple[int, bytes]]) -> None:
    """Keep an origin's signatures; heads between milestones give way to a newer one."""
    s = ledger_signatures.c
    places = [seq for seq, _ in signatures]
    outdated = and_(s.seq < max(places), s.seq % MILESTONE_EVENTS != 0)
    conn.execute(delete(ledger_signatures).where(s.stream_id == row.id, or_(outdated, s.seq.in_(places))))
    bulk.insert_rows(conn, ledger_signatures, [(row.id, seq, signature) for seq, signature in signatures])


def _event(row: StreamRow, draft: EventDraft, name: bytes, now: datetime) -> Event:
    return Event(
        stream=row.stream, seq=row.seq, lamport=row.lamport, event_id=name.hex(), kind=draft.kind,
        version=draft.version, subject=draft.subject, occurred_at=draft.occurred_at, author=draft.author,
        once=draft.once, body=draft.body, received_at=now,
    )  # fmt: skip
