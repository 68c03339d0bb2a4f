"""Between an event and its row: where body and salt lie open, where sealed, where erased."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, select

from sync import bulk, streams
from sync.errors import BodyUnreadable
from sync.events import SALT_BYTES, Event, Stream, Subject, body_digest, decode_header, from_us
from sync.identity import Vault
from sync.tables import ledger_events as t

_READ: Final = (t.c.stream_id, t.c.seq, t.c.event_id, t.c.header, t.c.salt, t.c.body, t.c.received_us)


@dataclass(frozen=True, slots=True)
class Content:
    """What may be erased. Both None once it was; `digest` then remains."""

    salt: bytes | None
    body: bytes | None
    digest: bytes


class Sealer:
    """Seals and opens bodies of protected subjects; without a vault everything lies open."""

    def __init__(self, vault: Vault | None) -> None:
        self._vault = vault

    def protects(self, subject: str) -> bool:
        return self._vault is not None and self._vault.protects(Subject(subject))

    def close(self, event_id: bytes, salt: bytes, body: bytes) -> bytes:
        """Salt and body sealed together: a salt left in the open would let a short body be guessed by its chain."""
        assert self._vault is not None
        return self._vault.seal(salt + body, event_id)

    def open(self, event_id: bytes, salt: bytes | None, body: bytes) -> tuple[bytes, bytes]:
        """(salt, body) of a row that is not erased. Raises `BodyUnreadable`."""
        if salt is not None:
            return salt, body
        if self._vault is None:
            raise BodyUnreadable(event=event_id.hex(), cause="no vault")
        try:
            opened = self._vault.open(body, event_id)
        except Exception as error:  # the vault is the caller's: whatever it raises means the same here
            raise BodyUnreadable(event=event_id.hex(), cause=type(error).__name__) from error
        return opened[:SALT_BYTES], opened[SALT_BYTES:]

    def content(self, row: Any) -> Content:
        """Salt, body and digest of a row with event_id, salt, body and body_digest."""
        if row.body is None:
            return Content(None, None, row.body_digest)
        salt, body = self.open(row.event_id, row.salt, row.body)
        return Content(salt, body, row.body_digest or body_digest(salt, body))


def read_subjects(conn: Connection, sealer: Sealer, subjects: Sequence[Subject]) -> dict[Subject, list[Event]]:
    """Events by subject in the order (lamport, origin, seq). A fact that its node enveloped twice appears once."""
    found: dict[Subject, list[Event]] = {subject: [] for subject in subjects}
    known: dict[int, Stream] = {}
    for part in bulk.chunks(sorted(set(subjects))):
        rows = conn.execute(select(*_READ).where(bulk.among(conn, t.c.subject, part))).all()
        known.update(streams.by_ids(conn, {row.stream_id for row in rows} - known.keys()))
        for row in rows:
            event = _event(row, known[row.stream_id], sealer)
            found[event.subject].append(event)
    return {subject: _in_order(events) for subject, events in found.items() if events}


def _event(row: Any, stream: Stream, sealer: Sealer) -> Event:
    header = decode_header(row.header)
    body = None if row.body is None else sealer.open(row.event_id, row.salt, row.body)[1]
    return Event(
        stream=stream, seq=row.seq, lamport=header.lamport, event_id=row.event_id.hex(),
        kind=header.kind, version=header.version, subject=Subject(header.subject),
        occurred_at=from_us(header.occurred_us), author=header.author, once=header.once,
        body=body, received_at=from_us(row.received_us),
    )  # fmt: skip


def _order(event: Event) -> tuple[int, str, str, int]:
    origin = event.stream.origin
    return event.lamport, origin.node, origin.epoch, event.seq


def _in_order(events: list[Event]) -> list[Event]:
    """Sorted and deduplicated. Only a node's own second envelope counts as the same fact: otherwise anyone could
    hide another node's event behind a copy with a lower lamport number."""
    if len(events) == 1:
        return events
    events.sort(key=_order)
    first: dict[tuple[str, str], Event] = {}
    for event in events:
        first.setdefault((event.stream.origin.node, event.event_id), event)
    return list(first.values())
