"""Takes bundles in: verify, store once, mark what changed. Never folds, never looks at a kind.

Per segment, all checks come before the first write: is the peer granted the stream, is there a key for its origin, does
the chain continue ours, do the origin's signatures fit. What is known already is ignored, what comes too early is held,
what contradicts us is refused by name and kept as an incident, and the other segments go on.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Connection, and_, delete, func, select

from sync import bulk, epochs, erased, incidents, peers, pending, reconciling, replacing, runs, streams
from sync.appending import store_signatures
from sync.bundle import Bundle, Segment, decode_segment, encode_segment
from sync.errors import BadSignature, ForkFound, MalformedEvent, NotGranted, OriginRevoked, SyncError, UnknownOrigin
from sync.events import (
    Header,
    Stream,
    Subject,
    check_header,
    to_us,
    within,
)
from sync.identity import Identity, position_statement, verify
from sync.limits import Limits
from sync.packing import Packer, chain_at
from sync.peers import Peer
from sync.positions import Heads, Position
from sync.stored import Sealer
from sync.streams import StreamRow
from sync.tables import ledger_events, ledger_held, ledger_once
from sync.tracing import Traced, salts_of, trace


@dataclass(slots=True)
class Accepted:
    """What became of a bundle. `heads`: where the touched streams stand now. `refusals`: streams that stopped.
    `contested`: streams whose branch at our hub differs from ours; the exchange reconciles them.
    """

    stored: int = 0
    known: int = 0
    held: int = 0
    heads: Heads = field(default_factory=dict)
    refusals: list[SyncError] = field(default_factory=list)
    contested: list[Stream] = field(default_factory=list)
    subjects: set[Subject] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Accepter:
    """Stores what peers send. The caller's transaction decides whether it happened."""

    identity: Identity
    sealer: Sealer
    limits: Limits

    def accept(self, conn: Connection, bundle: Bundle, peer: Peer, now: datetime) -> Accepted:
        """Take in every segment that may be; locks streams in one order for all, so that no two wait in a circle."""
        peers.introduce(conn, bundle.header.keys, peer, now)
        outcome = Accepted()
        for segment in sorted(bundle.segments, key=lambda part: (str(part.stream), part.first)):
            self._try(conn, segment, peer, outcome, now)
        for stream in list(outcome.heads):
            self._fill_from_held(conn, stream, peer, outcome, now)
        pending.mark(conn, sorted(outcome.subjects), now)
        return outcome

    def _try(self, conn: Connection, segment: Segment, peer: Peer, outcome: Accepted, now: datetime) -> None:
        try:
            if not peer.may_write(segment.stream):
                raise NotGranted(stream=str(segment.stream))
            self._take(conn, segment, peer, outcome, now)
        except SyncError as refusal:
            refusal.data.setdefault("stream", str(segment.stream))
            refusal.data.setdefault("seq", segment.first)
            outcome.refusals.append(refusal)
            decided = _was_decided(conn, refusal, segment)
            if not decided and not incidents.record(conn, refusal, segment, peer.node, now):
                refusal.data["kept"] = False

    def _take(self, conn: Connection, segment: Segment, peer: Peer, outcome: Accepted, now: datetime) -> None:
        key = self._key_for(conn, segment)
        row = streams.lock(conn, segment.stream)
        traced = trace(segment)
        if segment.first > row.seq + 1 and not self._is_our_own(segment, peer):
            self._verify(traced, key, above=0)
            outcome.held += self._hold(conn, segment, peer, now)
        elif fork := self._fork(conn, traced, row):
            self._verify(traced, key, above=0)
            self._settle(conn, traced, fork, peer, outcome, now)
        else:
            self._verify(traced, key, above=row.seq)
            self._doubt_own_past(conn, segment, row, now)
            self._store(conn, traced, row, outcome, now)
        if row.seq:
            outcome.heads[row.stream] = Position(row.seq, row.chain)

    # --- checks ------------------------------------------------------------------------------------------------

    def _key_for(self, conn: Connection, segment: Segment) -> bytes:
        key = peers.known_key(conn, self.identity, segment.node)
        if key is None:
            raise UnknownOrigin(node=segment.node)
        known = peers.find_peer(conn, segment.node)
        if known is not None and known.revoked_after is not None:
            allowed = known.revoked_after.get(segment.epoch, 0)
            if segment.last > allowed:
                # Each late piece has a place of its own: one must not keep another from being kept.
                raise OriginRevoked(node=segment.node, seq=max(allowed, segment.first - 1))
        return key

    def _is_our_own(self, segment: Segment, peer: Peer) -> bool:
        """Whether this is what we wrote and lost. What precedes it may never come; whoever knows us by it asks no more.

        Our hub may hold what precedes and gives it to us in order, so what comes early with its help can wait for that.
        """
        return segment.node == self.identity.node and not peer.introduces

    def _fork(self, conn: Connection, traced: Traced, row: StreamRow) -> ForkFound | None:
        """Where the segment contradicts the stream, None where it fits."""
        segment = traced.segment
        if segment.first > row.seq + 1 or segment.base != chain_at(conn, row, segment.first - 1):
            return ForkFound(stream=str(row.stream), seq=segment.first - 1)
        known = min(segment.last, row.seq)
        if known >= segment.first and traced.chain_after(known) != chain_at(conn, row, known):
            return ForkFound(stream=str(row.stream), seq=self._first_difference(conn, traced, row, known))
        return None

    def _settle(
        self, conn: Connection, traced: Traced, fork: ForkFound, peer: Peer, outcome: Accepted, now: datetime
    ) -> None:
        """We yield to our hub, take up what is our own past, and refuse any other fork."""
        if peer.introduces:
            outcome.contested.append(traced.stream)
        elif traced.segment.node == self.identity.node:
            outcome.stored += reconciling.adopt(conn, self.identity, self.sealer, traced, now)
        else:
            raise fork

    def _doubt_own_past(self, conn: Connection, segment: Segment, row: StreamRow, now: datetime) -> None:
        """Somebody holds more of what we write than we do: our database is old, and our numbers are used up.

        Another epoch of ours that we do not know is no reason: it uses no number of the current one. Two computers
        with one key would otherwise scare each other into new epochs for ever.
        """
        if row.stream.origin == epochs.current(conn, self.identity) and segment.last > row.seq:
            epochs.open_new(conn, self.identity, "peer_knows_more", now)

    def _first_difference(self, conn: Connection, traced: Traced, row: StreamRow, known: int) -> int:
        t, first = ledger_events.c, traced.segment.first
        query = select(t.seq, t.chain).where(t.stream_id == row.id, t.seq >= first, t.seq <= known).order_by(t.seq)
        ours = runs.with_dropped(conn.execute(query), runs.between(conn, row.id, first, known))
        return next((event.seq for event in ours if event.chain != traced.chain_after(event.seq)), known)

    def _verify(self, traced: Traced, key: bytes, above: int) -> None:
        """Every signature that will be kept: we may have to pass it on."""
        for seq, signature in traced.segment.signatures:
            if seq > above:
                self._verify_one(key, signature, traced, seq)

    def _verify_one(self, key: bytes, signature: bytes, traced: Traced, seq: int) -> None:
        try:
            verify(key, signature, position_statement(traced.stream, seq, traced.chain_after(seq)))
        except BadSignature:
            raise BadSignature(stream=str(traced.stream), seq=seq) from None

    # --- writes ------------------------------------------------------------------------------------------------

    def _store(self, conn: Connection, traced: Traced, row: StreamRow, outcome: Accepted, now: datetime) -> None:
        """Append what lies above our head; the stream's row is locked."""
        segment = traced.segment
        start = row.seq + 1 - segment.first
        outcome.known += min(start, len(segment.headers))
        if start >= len(segment.headers):
            return
        headers = [check_header(header) for header in segment.headers[start:]]
        _require_rising(headers, row)
        names = traced.names(start)
        gone = erased.among(conn, names)
        bulk.insert_rows(conn, ledger_events, self._rows(traced, row, start, headers, names, gone, to_us(now)))
        _claim(conn, row, headers)
        store_signatures(conn, row, [signed for signed in segment.signatures if signed[0] > row.seq])
        row.seq, row.chain, row.lamport = segment.last, traced.chains[-1], headers[-1].lamport
        streams.save(conn, row)
        outcome.stored += len(headers)
        outcome.subjects.update(Subject(header.subject) for header in headers)

    def _rows(
        self, traced: Traced, row: StreamRow, start: int, headers: Sequence[Header], names: Sequence[bytes],
        gone: frozenset[bytes], received_us: int,
    ) -> list[bulk.Row]:  # fmt: skip
        """Complete rows of `ledger_events` for the segment's events from index `start`."""
        segment, stream_id = traced.segment, row.id
        salts = salts_of(segment)[start:]
        rows: list[bulk.Row] = []
        columns = zip(
            headers, names, salts, segment.headers[start:], segment.bodies[start:], traced.digests[start:],
            traced.chains[start:], range(segment.first + start, segment.last + 1), strict=True,
        )  # fmt: skip
        for header, name, salt, raw, body, digest, chain, seq in columns:
            subject, kept, left = header.subject, body, None
            if body is None or name in gone:
                salt, kept, left = None, None, digest
            elif self.sealer.protects(subject):
                assert salt is not None
                kept = self.sealer.close(name, salt, body)
                salt = None
            rows.append((stream_id, seq, name, subject, header.lamport, raw, salt, kept, left, chain, received_us))
        return rows

    # --- branches ----------------------------------------------------------------------------------------------

    def keep_piece(self, conn: Connection, segment: Segment, base: bytes, now: datetime) -> bytes:
        """Verify and keep the next piece of the hub's branch of a forked stream; the chain after it."""
        key = self._key_for(conn, segment)
        traced = trace(segment)
        if segment.base != base:
            raise ForkFound(stream=str(segment.stream), seq=segment.first - 1)
        self._verify(traced, key, above=0)
        reconciling.keep_piece(conn, segment, now)
        return traced.chains[-1]

    def take_branch(
        self, conn: Connection, packer: Packer, stream: Stream, common: int, peer: Peer, now: datetime
    ) -> Accepted:
        """Put the kept pieces of the hub's branch in the place of ours; what only ours held moves to a new epoch."""
        outcome = Accepted()
        if stream.origin == epochs.current(conn, self.identity):
            epochs.open_new(conn, self.identity, "fork", now)
        pieces = reconciling.yield_to(conn, self.identity, packer, stream, common, peer.node, now)
        row = streams.lock(conn, stream)
        for piece in pieces:
            self._store(conn, trace(piece), row, outcome, now)
        outcome.heads[stream] = Position(row.seq, row.chain)
        pending.mark(conn, sorted(outcome.subjects), now)
        return outcome

    def take_back(self, conn: Connection, segment: Segment, peer: Peer, now: datetime) -> int:
        """Adopt a branch that a peer kept for us; how many of its events were new here.

        It is our own, or that of a computer of our place whose key was withdrawn: a person at the hub let it count.
        """
        traced = trace(segment)
        instead = peer.introduces and within(segment.stream.scope, peer.read_scopes)
        key = peers.known_key(conn, self.identity, segment.node)
        if key is None or not (segment.node == self.identity.node or instead):
            raise BadSignature(stream=str(traced.stream), seq=segment.last)
        self._verify(traced, key, above=0)
        return reconciling.adopt(conn, self.identity, self.sealer, traced, now)

    def take_late(self, conn: Connection, segment: Segment, now: datetime) -> Accepted:
        """Take in a segment of a withdrawn key that a person has let count after all."""
        replacing.widen(conn, segment)
        peer, outcome = peers.get_peer(conn, segment.node), Accepted()
        self._try(conn, segment, peer, outcome, now)
        for stream in list(outcome.heads):
            self._fill_from_held(conn, stream, peer, outcome, now)
        pending.mark(conn, sorted(outcome.subjects), now)
        return outcome

    # --- gaps --------------------------------------------------------------------------------------------------

    def _hold(self, conn: Connection, segment: Segment, peer: Peer, now: datetime) -> int:
        """Keep an authentic segment until what precedes it arrives. The number of events held, 0 without room."""
        t, data = ledger_held.c, encode_segment(erased.as_kept(conn, segment))
        held = conn.execute(select(func.sum(func.length(t.segment))).where(t.sender == peer.node)).scalar() or 0
        if held + len(data) > self.limits.held_bytes_max:
            return 0
        fresh = {
            "node": segment.node, "epoch": segment.epoch, "scope": segment.scope, "first": segment.first,
            "last": segment.last, "segment": data, "sender": peer.node, "received_us": to_us(now),
        }  # fmt: skip
        conn.execute(bulk.upsert_into(conn, ledger_held).values(fresh).on_conflict_do_nothing())
        return len(segment.headers)

    def _fill_from_held(self, conn: Connection, stream: Stream, peer: Peer, outcome: Accepted, now: datetime) -> None:
        """Take in held segments that the stream has caught up with, one after the other."""
        t = ledger_held.c
        is_stream = and_(t.node == stream.origin.node, t.epoch == stream.origin.epoch, t.scope == stream.scope)
        while (head := outcome.heads.get(stream)) is not None:
            fits = select(ledger_held).where(is_stream, t.first <= head.seq + 1).order_by(t.first).limit(1)
            held = conn.execute(fits).one_or_none()
            if held is None:
                return
            conn.execute(delete(ledger_held).where(is_stream, t.first == held.first, t.last == held.last))
            self._try(conn, decode_segment(held.segment), peer, outcome, now)


def _was_decided(conn: Connection, refusal: SyncError, segment: Segment) -> bool:
    """Whether what a withdrawn key signed has come under another one or was left out: nobody is asked again."""
    if not isinstance(refusal, (ForkFound, OriginRevoked)):
        return False
    known = peers.find_peer(conn, segment.node)
    if known is None or known.revoked_after is None:
        return False
    return reconciling.is_elsewhere(conn, segment) or incidents.is_settled(conn, refusal, segment)


def _require_rising(headers: Sequence[Header], row: StreamRow) -> None:
    before = row.lamport
    for place, header in enumerate(headers, start=1):
        if header.lamport <= before:
            raise MalformedEvent(seq=row.seq + place, fault="lamport not rising")
        before = header.lamport


def _claim(conn: Connection, row: StreamRow, headers: Sequence[Header]) -> None:
    """Remember `once` keys that were used elsewhere; the first claim stands, the fact itself is kept either way."""
    claims = [
        {"scope": row.stream.scope, "key": header.once, "stream_id": row.id, "seq": row.seq + place}
        for place, header in enumerate(headers, start=1)
        if header.once is not None
    ]
    if claims:
        claims.sort(key=lambda claim: str(claim["key"]))
        conn.execute(bulk.upsert_into(conn, ledger_once).on_conflict_do_nothing(), claims)
