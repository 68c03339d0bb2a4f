"""Recomputes everything the ledger claims: numbers, ids, chains, heads and signatures."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, select

from sync import peers, retention, runs, streams
from sync.errors import SyncError
from sync.events import chain_next, chain_start, check_header, event_id
from sync.identity import Identity, position_statement, verify
from sync.stored import Sealer
from sync.streams import StreamRow
from sync.tables import ledger_events, ledger_signatures

_PAGE_EVENTS: Final = 1000


@dataclass(frozen=True, slots=True)
class Problem:
    """A place in a stream that does not fit, and why in a few words."""

    stream: str
    seq: int
    fault: str


def check(conn: Connection, identity: Identity, sealer: Sealer) -> Iterator[Problem]:
    """Every problem found, stream by stream. Reads the whole ledger in pages."""
    for row in streams.everything(conn):
        yield from _check_stream(conn, identity, sealer, row)


def _check_stream(conn: Connection, identity: Identity, sealer: Sealer, row: StreamRow) -> Iterator[Problem]:
    name = str(row.stream)
    signatures = _signatures(conn, row)
    key = peers.known_key(conn, identity, row.stream.origin.node)
    chain, expected = chain_start(row.stream), 1
    for event in runs.with_dropped(_events(conn, row), _dropped(conn, row)):
        if event.seq != expected:
            yield Problem(name, expected, "missing")
            return
        fault, digest = _fault(event, sealer)
        if fault is None:
            chain = chain_next(chain, event.header, digest)
            fault = None if chain == event.chain else "chain"
        if fault is None and event.seq in signatures:
            fault = _signature_fault(key, signatures[event.seq], row, event.seq, chain)
        if fault is not None:
            yield Problem(name, event.seq, fault)
            chain = event.chain  # one wrong event is one problem, not one for each that follows
        expected += 1
    if (row.seq, row.chain) != (expected - 1, chain):
        yield Problem(name, row.seq, "head")
    if (horizon := retention.horizon(conn, row.id)) is not None and not retention.stands(conn, row, horizon):
        yield Problem(name, horizon.seq, "horizon")


def _fault(event: Any, sealer: Sealer) -> tuple[str | None, bytes]:
    """What is wrong with an event by itself, and its digest."""
    try:
        header, digest = check_header(event.header), sealer.content(event).digest
    except SyncError as error:
        return error.code, b""
    if event_id(event.header, digest) != event.event_id:
        return "content", digest
    if (header.subject, header.lamport) != (event.subject, event.lamport):
        return "index", digest
    return None, digest


def _signature_fault(key: bytes | None, signature: bytes, row: StreamRow, seq: int, chain: bytes) -> str | None:
    if key is None:
        return "unknown_origin"
    try:
        verify(key, signature, position_statement(row.stream, seq, chain))
    except SyncError as error:
        return error.code
    return None


def _signatures(conn: Connection, row: StreamRow) -> dict[int, bytes]:
    s = ledger_signatures.c
    query = select(s.seq, s.signature).where(s.stream_id == row.id)
    return {found.seq: found.signature for found in conn.execute(query)}


def _dropped(conn: Connection, row: StreamRow) -> Iterator[runs.Dropped]:
    """Dropped events as far as their runs can be read; what a damaged one held is then missing."""
    try:
        yield from runs.everything(conn, row.id)
    except SyncError:
        return


def _events(conn: Connection, row: StreamRow) -> Iterator[Any]:
    t, after = ledger_events.c, 0
    while True:
        page = select(ledger_events).where(t.stream_id == row.id, t.seq > after).order_by(t.seq).limit(_PAGE_EVENTS)
        events = conn.execute(page).all()
        yield from events
        if len(events) < _PAGE_EVENTS:
            return
        after = events[-1].seq
