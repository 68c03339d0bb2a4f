"""Two branches of one stream made one again, without losing an event and without rewriting what the hub holds.

A stream forks when its origin was restored from a copy and recorded on before anybody told it. Every fact that was
committed on either branch must survive, once. The node that has a hub yields:

- Own stream: the hub's branch takes the place of ours; our events that it does not hold go, as they are, into a stream
  of the current epoch.
- The hub's stream: we hand our branch over first; the hub takes the events it does not hold into its current epoch
  (`adopt`), and then its branch takes the place of ours. Ours is kept as evidence.
- A third node's stream: the same, but the hub keeps our branch for that node, which takes it up at its next exchange.

An event keeps header, salt and body, hence its id, its time and its lamport number: folds come out the same.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, and_, bindparam, delete, exists, or_, select

from sync import bulk, epochs, erased, incidents, pending, retention, runs, streams
from sync.appending import MILESTONE_EVENTS
from sync.bundle import Segment, decode_segment, encode_segment
from sync.errors import ForkFound
from sync.events import Origin, Scope, Stream, Subject, chain_next, check_header, to_us
from sync.identity import Identity, position_statement
from sync.packing import Packer, chain_at
from sync.positions import Range
from sync.stored import Sealer
from sync.streams import StreamRow
from sync.tables import ledger_branches, ledger_events, ledger_held, ledger_once, ledger_signatures, ledger_streams
from sync.tracing import Traced, salts_of, trace

# Asked in every hello, and almost always answered with no.
_ANYTHING_KEPT: Final = select(
    or_(exists().where(ledger_held.c.node == bindparam("of_node")), incidents.branches_exist(bindparam("of_node")))
)
_E = ledger_events.c
_B = ledger_branches.c
_H = ledger_held.c


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """An event that changes its stream: what lies in its row, and its body's digest."""

    name: bytes
    subject: str
    lamport: int
    header: bytes
    salt: bytes | None
    body: bytes | None
    digest: bytes
    erased: bool
    once: str | None
    received_us: int


# --- into the current epoch ------------------------------------------------------------------------------------


def move(conn: Connection, identity: Identity, scope_of: Stream, kept: Sequence[Kept], now: datetime) -> None:
    """Append these events, oldest first, to our stream of the current epoch in the same scope.

    Their lamport numbers must go on rising there; where they would not, another epoch is opened for them.
    """
    if not kept:
        return
    row = _room(conn, identity, scope_of, kept[0].lamport, now)
    rows: list[bulk.Row] = []
    signed: list[bulk.Row] = []
    for event in kept:
        row.seq, row.lamport = row.seq + 1, event.lamport
        row.chain = chain_next(row.chain, event.header, event.digest)
        left = event.digest if event.erased else None
        rows.append((row.id, row.seq, event.name, event.subject, event.lamport, event.header, event.salt, event.body,
                     left, row.chain, event.received_us))  # fmt: skip
        if row.seq % MILESTONE_EVENTS == 0:
            signed.append((row.id, row.seq, identity.sign(position_statement(row.stream, row.seq, row.chain))))
        _claim(conn, row, event)
    bulk.insert_rows(conn, ledger_events, rows)
    bulk.insert_rows(conn, ledger_signatures, signed)
    streams.save(conn, row)
    pending.mark(conn, sorted({Subject(event.subject) for event in kept}), now)


def _room(conn: Connection, identity: Identity, contested: Stream, lamport: int, now: datetime) -> StreamRow:
    origin = epochs.current(conn, identity)
    row = streams.lock(conn, Stream(origin, contested.scope))
    if origin == contested.origin or row.lamport >= lamport:
        reason = "fork" if contested.origin.node == identity.node else "taken_over"
        origin = epochs.open_new(conn, identity, reason, now)
        row = streams.lock(conn, Stream(origin, contested.scope))
    return row


def _claim(conn: Connection, row: StreamRow, event: Kept) -> None:
    """A `once` key goes with its event; one that another event has claimed stays there."""
    if event.once is None:
        return
    claim = {"scope": row.stream.scope, "key": event.once, "stream_id": row.id, "seq": row.seq}
    conn.execute(bulk.upsert_into(conn, ledger_once).values(claim).on_conflict_do_nothing())


# --- at the origin that somebody else's branch comes to ---------------------------------------------------------


def adopt(conn: Connection, identity: Identity, sealer: Sealer, traced: Traced, now: datetime) -> int:
    """Take the events of a verified segment that we do not hold into our stream of the current epoch; how many."""
    names = traced.names()
    held, gone = _held_among(conn, names), erased.among(conn, names)
    kept = [event for event in _of_segment(traced, sealer, gone, now) if event.name not in held]
    move(conn, identity, traced.stream, kept, now)
    return len(kept)


def _of_segment(traced: Traced, sealer: Sealer, gone: frozenset[bytes], now: datetime) -> Iterable[Kept]:
    segment = traced.segment
    columns = zip(traced.names(), segment.headers, salts_of(segment), segment.bodies, traced.digests, strict=True)
    for name, raw, salt, body, digest in columns:
        header = check_header(raw)
        if name in gone:
            salt = body = None
        closed: tuple[bytes | None, bytes | None] = (salt, body)
        if body is not None and sealer.protects(header.subject):
            assert salt is not None
            closed = (None, sealer.close(name, salt, body))
        yield Kept(name=name, subject=header.subject, lamport=header.lamport, header=raw, salt=closed[0],
                   body=closed[1], digest=digest, erased=body is None, once=header.once,
                   received_us=to_us(now))  # fmt: skip


def kept_for(conn: Connection, node: str, epoch: str | None, limit: int) -> list[tuple[Stream, int, Segment]]:
    """What lies here of a node's streams and cannot be taken in, with its place: only the node itself can take it up.

    Of each kind up to `limit` places; of one place everything.

    Branches that were refused as forks, and early segments: what precedes them may have gone with a disk. While the
    node may still send what precedes, those of its current one (`epoch`) are left out; `epoch` is None for a node that
    holds the same as we do. Only then it gets what it is to take up in place of a withdrawn key: it must know what of
    that has arrived.
    """
    if not conn.execute(_ANYTHING_KEPT, {"of_node": node}).scalar():
        return []
    others = [] if epoch is None else [_H.epoch != epoch]
    early = select(ledger_held).where(_H.node == node, *others).order_by(_H.received_us, _H.first).limit(limit)
    held = [
        (Stream(Origin(row.node, row.epoch), Scope(row.scope)), row.first, decode_segment(row.segment))
        for row in conn.execute(early)
    ]
    handed = incidents.handed_to(conn, node, limit) if epoch is None else []
    return [*incidents.forks_of(conn, node, limit), *handed, *held]


def settle(conn: Connection, node: str, epoch: str | None, limit: int, now: datetime) -> list[tuple[Stream, int]]:
    """Where something is kept for a node. What has arrived meanwhile in another stream of it is settled here."""
    waiting: dict[tuple[Stream, int], None] = {}
    kept = kept_for(conn, node, epoch, limit)
    for stream, seq, segment in kept:
        if is_elsewhere(conn, segment):
            part_with(conn, segment)
        else:
            waiting[stream, seq] = None
    for stream, seq, _ in kept:
        if (stream, seq) not in waiting:
            incidents.resolve_for(conn, node, stream, seq, now)
    return list(waiting)[:limit]


def kept_at(conn: Connection, node: str, epoch: str, place: tuple[str, str, int], limit: int) -> Segment | None:
    """What lies at a place (epoch, scope, number) and has not arrived in another stream: the first of it."""
    for one in (epoch, None):
        for stream, seq, segment in kept_for(conn, node, one, limit):
            if (stream.origin.epoch, stream.scope, seq) == place and not is_elsewhere(conn, segment):
                return segment
    return None


def early_of(conn: Connection, node: str) -> list[Segment]:
    """Segments of a node that wait here for what precedes them."""
    return [decode_segment(raw) for raw in conn.execute(select(_H.segment).where(_H.node == node)).scalars()]


def part_with(conn: Connection, segment: Segment) -> None:
    """It waits here no more. Another branch's piece with the same numbers stays."""
    place = (_H.node == segment.node, _H.epoch == segment.epoch, _H.scope == segment.scope)
    numbers = (_H.first == segment.first, _H.last == segment.last)
    conn.execute(delete(ledger_held).where(*place, *numbers, _H.segment == encode_segment(segment)))


def is_elsewhere(conn: Connection, segment: Segment) -> bool:
    """Whether all of a segment's events lie in some stream here."""
    names = trace(segment).names()
    return _held_among(conn, names).issuperset(names)


def is_partly_elsewhere(conn: Connection, segment: Segment) -> bool:
    """Whether an event of a segment lies in a stream of another node: that one has taken it up."""
    of_others = and_(_E.stream_id == ledger_streams.c.id, ledger_streams.c.node != segment.node)
    return any(
        conn.execute(select(exists().where(of_others, _E.event_id.in_(part)))).scalar()
        for part in bulk.chunks(trace(segment).names())
    )


# --- at the node that yields to its hub ------------------------------------------------------------------------


def keep_piece(conn: Connection, segment: Segment, now: datetime) -> None:
    """Keep a verified piece of the hub's branch until the branch is whole."""
    fresh = {
        "node": segment.node, "epoch": segment.epoch, "scope": segment.scope, "first": segment.first,
        "segment": encode_segment(erased.as_kept(conn, segment)), "received_us": to_us(now),
    }  # fmt: skip
    conn.execute(bulk.upsert_into(conn, ledger_branches).values(fresh).on_conflict_do_nothing())


def forget_pieces(conn: Connection, stream: Stream) -> None:
    """Drop what was fetched of a branch: an earlier attempt may have begun at another place."""
    conn.execute(delete(ledger_branches).where(_is_branch_of(stream)))


def yield_to(
    conn: Connection, identity: Identity, packer: Packer, stream: Stream, common: int, sender: str, now: datetime
) -> list[Segment]:
    """Take our branch above `common` out of the stream; gives the hub's pieces, to be stored in its place.

    Own events that the hub's branch does not hold move to the current epoch; another node's branch is kept as evidence.
    Everything happens in the caller's transaction, so there is no moment at which an event is in neither place.
    """
    row = streams.lock(conn, stream)
    pieces = [decode_segment(piece) for piece in conn.execute(_pieces_of(stream)).scalars()]
    ours = _own_branch(conn, packer.sealer, row, common)
    if stream.origin.node != identity.node:
        _keep_evidence(conn, packer, row, common, sender, now)
    _cut(conn, row, common)
    if stream.origin.node == identity.node:
        there = {name for piece in pieces for name in trace(piece).names()}
        missing = [event for event in ours if event.name not in there]
        held = _held_among(conn, [event.name for event in missing])
        move(conn, identity, stream, [event for event in missing if event.name not in held], now)
    pending.mark(conn, sorted({Subject(event.subject) for event in ours}), now)
    forget_pieces(conn, stream)
    return pieces


def _own_branch(conn: Connection, sealer: Sealer, row: StreamRow, common: int) -> list[Kept]:
    columns = (_E.seq, _E.event_id, _E.subject, _E.lamport, _E.header, _E.salt, _E.body, _E.body_digest, _E.received_us)
    query = select(*columns).where(_E.stream_id == row.id, _E.seq > common).order_by(_E.seq)
    dropped = runs.between(conn, row.id, common + 1, row.seq)
    return [_kept(found, sealer) for found in runs.with_dropped(conn.execute(query), dropped)]


def _kept(found: Any, sealer: Sealer) -> Kept:
    return Kept(
        name=bytes(found.event_id), subject=found.subject, lamport=found.lamport,
        header=found.header, salt=found.salt, body=found.body, digest=sealer.content(found).digest,
        erased=found.body is None, once=check_header(found.header).once, received_us=found.received_us,
    )  # fmt: skip


def _cut(conn: Connection, row: StreamRow, common: int) -> None:
    """Leave the stream as it was at `common`, together with claims and signatures above."""
    chain = chain_at(conn, row, common)
    row.lamport = _lamport_at(conn, row, common)
    for table in (ledger_events, ledger_signatures, ledger_once):
        conn.execute(delete(table).where(table.c.stream_id == row.id, table.c.seq > common))
    retention.cut(conn, row, common)
    row.seq, row.chain = common, chain
    streams.save(conn, row)


def _lamport_at(conn: Connection, row: StreamRow, seq: int) -> int:
    lamport = conn.execute(select(_E.lamport).where(_E.stream_id == row.id, _E.seq == seq)).scalar()
    if lamport is None and (dropped := runs.find(conn, row.id, seq)) is not None:
        lamport = dropped.lamport
    return lamport or 0


def _keep_evidence(conn: Connection, packer: Packer, row: StreamRow, common: int, sender: str, now: datetime) -> None:
    """The superseded branch as an incident that is settled already: nothing is thrown away unseen."""
    segment = packer.segment(conn, Range(row.stream, common + 1, row.seq))
    if segment is None:
        return
    refusal = ForkFound(stream=str(row.stream), seq=common + 1)
    incidents.record(conn, refusal, segment, sender, now)
    incidents.resolve_place(conn, refusal.code, row.stream, common + 1, now)


def _held_among(conn: Connection, names: Sequence[bytes]) -> frozenset[bytes]:
    living = frozenset(
        bytes(name)
        for part in bulk.chunks(sorted(names))
        for name in conn.execute(select(_E.event_id).where(_E.event_id.in_(part))).scalars()
    )
    return living | runs.ids_among(conn, frozenset(names) - living)


def _pieces_of(stream: Stream) -> Any:
    return select(_B.segment).where(_is_branch_of(stream)).order_by(_B.first)


def _is_branch_of(stream: Stream) -> Any:
    return and_(_B.node == stream.origin.node, _B.epoch == stream.origin.epoch, _B.scope == stream.scope)
