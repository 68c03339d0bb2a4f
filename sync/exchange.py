"""The asking half of the conversation, and everything an application needs to take part in one.

hello (digest of what we hold) → equal: done in one small request. Otherwise the peer states its heads, we push what it
lacks and pull what we lack, and say hello again. There is no session: whatever fails, the next exchange compares anew.
No transaction is open while the line is waited for.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, TypeVar

from sync import acknowledged, blob_lane, bundle, peers, receipts, reconciling, wire
from sync.blob_lane import LaneReport
from sync.bundle import Segment, decode_segment
from sync.enrolment import Enrolled, enrol, issue_code
from sync.errors import (
    AnswerCut,
    BadSignature,
    CounterTooLow,
    ForkFound,
    LinkError,
    Malformed,
    NoProgress,
    NotGranted,
    PeerBusy,
    SyncError,
    TooLarge,
    WrongRecipient,
    decode_refusal,
)
from sync.events import Origin, Scope, Stream, parse_scope, to_us, within
from sync.pace import Pace
from sync.packing import Packed
from sync.peers import Peer
from sync.positions import Heads, Position, Range, before_held, behind, digest, spread
from sync.replica import NodeInfo, Replica
from sync.responder import Responder
from sync.transport import Transport

__all__ = [
    "Enrolled", "ExchangeReport", "NodeInfo", "Peer", "Replica", "Responder", "enrol", "exchange", "issue_code",
]  # fmt: skip

_MICROSECONDS: Final = 1e6
_M = TypeVar("_M", bound=wire._Message)


@dataclass(slots=True, kw_only=True)
class ExchangeReport:
    """What an exchange did. `verified`: both sides derived the same digest from what they hold at the end.

    `reconciled` names streams of which two branches were made one.
    """

    pushed: int = 0
    pulled: int = 0
    verified: bool = False
    rounds: int = 0
    requests: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0
    clock_offset_s: float | None = None
    wait_s: int = 0
    refusals: list[SyncError] = field(default_factory=list)
    reconciled: list[str] = field(default_factory=list)
    blobs: LaneReport | None = None


def exchange(
    replica: Replica, peer: Peer, transport: Transport, monotonic: Callable[[], float] = time.monotonic
) -> ExchangeReport:
    """Bring this node and the peer to the same state, as far as each may have it.

    Raises the first refusal after everything else was exchanged, and `LinkError` as soon as the line fails; either is
    kept in the peer's contact. What was stored until then stays stored.
    """
    try:
        return _Conversation(replica, peer, transport, monotonic).run()
    except SyncError as error:
        with replica.engine.begin() as conn:
            peers.record_error(conn, peer.node, error, replica.now())
        raise


class _Conversation:
    def __init__(self, replica: Replica, peer: Peer, transport: Transport, monotonic: Callable[[], float]) -> None:
        self._replica = replica
        self._peer = peer
        self._transport = transport
        self._monotonic = monotonic
        self._report = ExchangeReport()
        self._began = monotonic()
        self._refused: set[str] = set()
        self._contested: set[Stream] = set()
        self._returned: set[wire.BranchPlace] = set()
        with replica.engine.begin() as conn:
            self._epoch = replica.epoch(conn)
            self._peer = peers.get_peer(conn, peer.node)
            self._pace = Pace.resume(replica.limits, peers.batch_bytes(conn, peer.node))

    def run(self) -> ExchangeReport:
        report, limits = self._report, self._replica.limits
        for _ in range(limits.rounds_max):
            if self._is_over:
                return report
            report.rounds += 1
            ours, answer = self._hello()
            if answer.wait_s and not answer.equal:
                raise PeerBusy(wait_s=answer.wait_s)
            returned = self._take_back(answer.branches)
            if answer.equal and not returned:
                self._refuse_stranded()
                report.verified = True
                report.blobs = blob_lane.carry(self._replica, self._peer, answer, self._plainly, self._monotonic)
                return report
            if not answer.equal and not self._round(ours, answer) and not returned:
                raise self._first_refusal()
        return report

    @property
    def _is_over(self) -> bool:
        """Whether this exchange has had its time: on a slow line others want the line, and the worker, as well."""
        return self._monotonic() - self._began > self._replica.limits.exchange_s

    def _round(self, ours: Heads, answer: wire.HelloAnswer) -> bool:
        """Push and pull once; whether anything changed on either side, be it by another exchange of ours."""
        theirs = wire.load_heads(answer.heads)
        self._look_for_forks(theirs, answer.versions)
        adopted = self._adopt_grants(answer)
        moved = self._push_all(theirs, answer.held)
        self._pull_all(theirs)
        reconciled = [self._reconcile(stream, theirs) for stream in sorted(self._contested, key=str)]
        return adopted or moved or any(reconciled) or self._is_over or self._shared_heads() != ours

    def _shared_heads(self) -> Heads:
        with self._replica.engine.begin() as conn:
            return self._replica.shared_heads(conn, self._peer)

    def _first_refusal(self) -> SyncError:
        """Why both sides still differ although neither has more to send."""
        for refusal in self._report.refusals:
            return refusal
        return NoProgress(peer=self._peer.node)

    # --- hello -------------------------------------------------------------------------------------------------

    def _hello(self) -> tuple[Heads, wire.HelloAnswer]:
        """What we held when we asked, and the answer."""
        replica, peer = self._replica, self._peer
        with replica.engine.begin() as conn:
            heads = replica.shared_heads(conn, peer)
            unsent = acknowledged.unsent(conn, replica.identity, peer)
            contact = peers.find_contact(conn, peer.node)
            hello = wire.Hello(
                summary=digest(heads), unsent=unsent.count,
                oldest_unsent_us=None if unsent.oldest_at is None else to_us(unsent.oldest_at),
                offset_s=contact.offset_s, versions=replica.versions(conn), trouble=contact.last_error_code,
                receipt_wanted=not receipts.covers(conn, peer.node, replica.identity.node, heads),
            )  # fmt: skip
            counter, self._epoch = peers.next_counter(conn, peer.node), replica.epoch(conn)
        asked_at, clock_us = self._monotonic(), to_us(replica.now())
        head, answer, counter = self._ask("hello", wire.encode(hello), wire.HelloAnswer, counter)
        travel_us = (self._monotonic() - asked_at) * _MICROSECONDS
        self._report.clock_offset_s = round((head.clock_us - clock_us - travel_us / 2) / _MICROSECONDS, 3)
        self._report.wait_s = answer.wait_s
        if not answer.wait_s or answer.equal:
            self._note(answer, heads if answer.equal else wire.load_heads(answer.heads), counter)
        return heads, answer

    def _note(self, answer: wire.HelloAnswer, stated: Heads, counter: int) -> None:
        """Keep what the answer says: the peer's levels, its receipt, its version and clock."""
        replica, peer, now = self._replica, self._peer, self._replica.now()
        with replica.engine.begin() as conn:
            acknowledged.acknowledge(conn, peer.node, stated, counter, now)
            if answer.receipt is not None:
                receipts.keep(conn, peer, replica.identity.node, answer.receipt, now)
            unsent = acknowledged.unsent(conn, replica.identity, peer)
            peers.record_contact(
                conn, peer.node, last_contact_us=to_us(now), offset_s=self._report.clock_offset_s,
                version=answer.versions.software, unsent_count=unsent.count,
                oldest_unsent_us=None if unsent.oldest_at is None else to_us(unsent.oldest_at),
                **({"last_verified_us": to_us(now), **peers.NO_ERROR} if answer.equal else {}),
            )  # fmt: skip

    def _adopt_grants(self, answer: wire.HelloAnswer) -> bool:
        """Our scopes are the hub's to decide; whether they changed. What we may read, the hub may write to us."""
        peer = self._peer
        if not peer.introduces:
            return False
        read, write = _scopes(answer.write_scopes), _scopes(answer.read_scopes)
        if (set(read), set(write)) == (set(peer.read_scopes), set(peer.write_scopes)):
            return False
        with self._replica.engine.begin() as conn:
            peers.set_scopes(conn, peer.node, read, write)
            self._peer = peers.get_peer(conn, peer.node)
        return True

    def _look_for_forks(self, theirs: Heads, versions: wire.Versions) -> None:
        """A peer that holds the same number with another chain will never equal us: reconcile, or say so.

        Where we have more to send, it is sent: the peer refuses it by name and keeps our branch beside its own.
        """
        with self._replica.engine.begin() as conn:
            ours = self._replica.readable_heads(conn, self._peer)
            for stream in self._replica.ledger.contradicted(conn, theirs):
                if self._peer.introduces and "probe" in versions.capabilities:
                    self._contested.add(stream)
                elif stream not in ours or ours[stream].seq == theirs[stream].seq:
                    self._refuse(ForkFound(stream=str(stream), seq=theirs[stream].seq))

    def _refuse_stranded(self) -> None:
        """Own events outside what the hub lets us send must not look as if they had arrived."""
        replica, peer = self._replica, self._peer
        if not peer.introduces:
            return
        with replica.engine.begin() as conn:
            for stream in replica.ledger.own_heads(conn):
                if not within(stream.scope, peer.read_scopes):
                    raise NotGranted(stream=str(stream))

    # --- push --------------------------------------------------------------------------------------------------

    def _push_all(self, theirs: Heads, held: list[wire.HeldEntry]) -> bool:
        """Push up to what we hold now, so that recording faster than the line carries does not keep an exchange from
        ending; whether the peer holds more for it.
        """
        moved = False
        ready = [Range(Stream(Origin(n, e), Scope(s)), first, last) for n, e, s, first, last in held]
        with self._replica.engine.begin() as conn:
            ours = self._replica.readable_heads(conn, self._peer)
        while not self._is_over and (packed := self._next_bundle(ours, theirs, ready)):
            answer = self._push(packed)
            if answer is None:
                continue  # too large for the peer: the next one is half as big
            stated = wire.load_heads(answer.heads)
            self._report.pushed += answer.stored
            for code, data in answer.refusals:
                self._refuse(decode_refusal(code, data))
            if _moved(theirs, stated, packed):
                moved = True
            else:
                self._refused.update(str(part.stream) for part in packed.ranges)
            theirs.update(stated)
        return moved

    def _next_bundle(self, ours: Heads, theirs: Heads, held: list[Range]) -> Packed | None:
        replica = self._replica
        lacking = [part for part in behind(theirs, ours) if not self._stopped(part.stream)]
        own = [part for part in lacking if part.stream.origin.node == replica.identity.node]
        rest = [part for part in lacking if part.stream.origin.node != replica.identity.node]
        with replica.engine.begin() as conn:
            return replica.ledger.pack(conn, before_held(own, held) + rest, self._pace.budget, self._peer.node)

    def _push(self, packed: Packed) -> wire.PushAnswer | None:
        """The peer's answer; None when the bundle was too large and a smaller one may pass."""
        began = self._monotonic()
        try:
            _, answer, counter = self._ask("push", packed.data, wire.PushAnswer, self._counter())
        except TooLarge:
            if self._pace.smallest:
                raise
            self._slower()
            return None
        except LinkError:
            self._slower()
            raise
        self._pace.took(self._monotonic() - began)
        replica, now = self._replica, self._replica.now()
        with replica.engine.begin() as conn:
            receipts.keep(conn, self._peer, replica.identity.node, answer.receipt, now)
            acknowledged.acknowledge(conn, self._peer.node, wire.load_heads(answer.heads), counter, now)
            peers.remember_batch_bytes(conn, self._peer.node, self._pace.raw_bytes)
            replica.reached("sent.before_commit")
        replica.reached("sent.after_commit")
        return answer

    def _slower(self) -> None:
        self._pace.failed()
        with self._replica.engine.begin() as conn:
            peers.remember_batch_bytes(conn, self._peer.node, self._pace.raw_bytes)

    # --- pull --------------------------------------------------------------------------------------------------

    def _pull_all(self, theirs: Heads) -> None:
        while not self._is_over and self._lacking(theirs):
            payload = self._pull_request(theirs)
            _, answer, _ = self._ask("pull", payload, wire.PullAnswer, self._counter())
            if answer.bundle is None or not self._take_in(answer.bundle):
                return

    def _lacking(self, theirs: Heads) -> bool:
        ours = self._shared_heads()
        return any(not self._stopped(part.stream) for part in behind(ours, theirs))

    def _stopped(self, stream: Stream) -> bool:
        """Whether a stream is left alone: refused for this exchange, or waiting to be reconciled."""
        return str(stream) in self._refused or stream in self._contested

    def _pull_request(self, theirs: Heads) -> bytes:
        """Our heads. Streams that stopped are stated as the peer has them, so that they do not fill every answer."""
        ours = self._shared_heads()
        ours |= {stream: head for stream, head in theirs.items() if self._stopped(stream)}
        return self._pull_above(ours)

    def _pull_above(self, ours: Heads) -> bytes:
        budget = self._pace.budget
        pull = wire.Pull(heads=wire.dump_heads(ours), raw_bytes=budget.raw_bytes, events=budget.events)
        return wire.encode(pull)

    def _take_in(self, data: bytes) -> bool:
        """Store a pulled bundle; whether that brought us on, be it by setting a stream aside."""
        replica, peer = self._replica, self._peer
        try:
            unpacked = bundle.unpack(data, peer.public_key, replica.limits)
        except (BadSignature, Malformed) as error:
            raise AnswerCut(cause=error.code) from error
        with replica.engine.begin() as conn:
            outcome = replica.ledger.accept(conn, unpacked, peer)
            replica.reached("pulled.before_commit")
        replica.reached("pulled.after_commit")
        self._report.pulled += outcome.stored
        newly = [self._refuse(refusal) for refusal in outcome.refusals]
        contested = set(outcome.contested) - self._contested
        self._contested |= contested
        return outcome.stored > 0 or any(newly) or bool(contested)

    # --- forks -------------------------------------------------------------------------------------------------

    def _reconcile(self, stream: Stream, theirs: Heads) -> bool:
        """Make two branches one, ours yielding; whether that was possible. Repeated as a whole after any failure."""
        try:
            head = theirs[stream]
            common = self._fork_point(stream, head)
            if stream.origin.node != self._replica.identity.node:
                self._hand_over(stream, common)
            self._fetch_branch(stream, common, theirs)
            replica = self._replica
            with replica.engine.begin() as conn:
                outcome = replica.ledger.take_branch(conn, stream, common, self._peer)
                replica.reached("merged.before_commit")
            replica.reached("merged.after_commit")
        except LinkError:
            raise
        except SyncError as refusal:
            refusal.data.setdefault("stream", str(stream))
            self._refuse(refusal)
            return False
        finally:
            self._contested.discard(stream)
        self._report.pulled += outcome.stored
        self._report.reconciled.append(str(stream))
        return True

    def _take_back(self, places: list[wire.BranchPlace]) -> bool:
        """Take up again what we wrote and the peer had to refuse as a fork; whether there was any. Each once."""
        fresh = [place for place in places if place not in self._returned]
        for place in fresh:
            self._returned.add(place)
            asked = wire.Branch(epoch=place[0], scope=place[1], seq=place[2])
            _, answer, _ = self._ask("branch", wire.encode(asked), wire.BranchAnswer, self._counter())
            if answer.segment is None:
                continue
            try:
                segment = decode_segment(answer.segment)
                with self._replica.engine.begin() as conn:
                    self._report.pulled += self._replica.ledger.take_back(conn, segment)
            except SyncError as refusal:
                refusal.data.setdefault("stream", f"{self._replica.identity.node}.{place[0]}/{place[1]}")
                self._refuse(refusal)
        return bool(fresh)

    def _fork_point(self, stream: Stream, head: Position) -> int:
        """The last number at which both branches have the same chain; below it they are equal."""
        replica = self._replica
        with replica.engine.begin() as conn:
            ours = replica.ledger.heads(conn, [stream.scope]).get(stream)
        low, high = 0, min(head.seq, ours.seq if ours else 0)
        while low < high:
            seqs = spread(low, high, wire.PROBES_MAX)
            with replica.engine.begin() as conn:
                mine = replica.ledger.chains_at(conn, stream, seqs)
            their = self._probe(stream, seqs)
            equal = [seq for seq, a, b in zip(seqs, mine, their, strict=True) if a == b]
            low, high = max(equal, default=low), min((s for s in seqs if s not in equal), default=high + 1) - 1
        return low

    def _probe(self, stream: Stream, seqs: list[int]) -> list[bytes]:
        asked = wire.Probe(node=stream.origin.node, epoch=stream.origin.epoch, scope=stream.scope, seqs=seqs)
        _, answer, _ = self._ask("probe", wire.encode(asked), wire.ProbeAnswer, self._counter())
        if len(answer.chains) != len(seqs):
            raise AnswerCut(cause="chains")
        return answer.chains

    def _hand_over(self, stream: Stream, common: int) -> None:
        """Give the hub our branch of somebody else's stream, before ours yields.

        Of its own stream the hub takes into its current epoch what it lost. A third node's branch it refuses and keeps,
        until that node comes and takes it up.
        """
        replica = self._replica
        with replica.engine.begin() as conn:
            last = replica.ledger.heads(conn, [stream.scope])[stream].seq
        first = common + 1
        while first <= last:
            with replica.engine.begin() as conn:
                packed = replica.ledger.pack(conn, [Range(stream, first, last)], self._pace.budget, self._peer.node)
            if packed is None:
                return
            answer = self._push(packed)
            if answer is None:
                continue
            for code, data in answer.refusals:
                if code != ForkFound.code:
                    raise decode_refusal(code, data)
            self._report.pushed += answer.stored
            first = packed.ranges[0].last + 1

    def _fetch_branch(self, stream: Stream, common: int, theirs: Heads) -> None:
        """Keep the hub's branch above `common`, piece by piece, as far as it stated."""
        replica, at = self._replica, common
        with replica.engine.begin() as conn:
            reconciling.forget_pieces(conn, stream)
            (chain,) = replica.ledger.chains_at(conn, stream, [common])
        while at < theirs[stream].seq:
            stated = theirs | {stream: Position(at, chain)}
            _, answer, _ = self._ask("pull", self._pull_above(stated), wire.PullAnswer, self._counter())
            pieces = [] if answer.bundle is None else self._pieces(answer.bundle, stream)
            if not pieces:
                raise NoProgress(peer=self._peer.node)
            with replica.engine.begin() as conn:
                for piece in pieces:
                    at, chain = piece.last, replica.ledger.keep_piece(conn, piece, chain)

    def _pieces(self, data: bytes, stream: Stream) -> list[Segment]:
        try:
            unpacked = bundle.unpack(data, self._peer.public_key, self._replica.limits)
        except (BadSignature, Malformed) as error:
            raise AnswerCut(cause=error.code) from error
        return [segment for segment in unpacked.segments if segment.stream == stream]

    # --- asking ------------------------------------------------------------------------------------------------

    def _counter(self) -> int:
        with self._replica.engine.begin() as conn:
            self._epoch = self._replica.epoch(conn)
            return peers.next_counter(conn, self._peer.node)

    def _ask(self, verb: str, payload: bytes, kind: type[_M], counter: int) -> tuple[wire.Head, _M, int]:
        """The answer's head and message, and the counter it answers.

        A counter that the peer has seen already is raised once above what it states: a restored node forgets its own.
        """
        try:
            return self._ask_once(verb, payload, kind, counter)
        except CounterTooLow as refusal:
            counter = self._skip_counter(refusal)
            return self._ask_once(verb, payload, kind, counter)

    def _plainly(self, verb: str, message: wire._Message, kind: type[_M], /) -> _M:
        """The answer's message alone."""
        return self._ask(verb, wire.encode(message), kind, self._counter())[1]

    def _ask_once(self, verb: str, payload: bytes, kind: type[_M], counter: int) -> tuple[wire.Head, _M, int]:
        replica, peer = self._replica, self._peer
        request = wire.enclose(
            replica.identity, "request", replica.head(verb, self._epoch, peer.node, counter), payload
        )
        self._report.requests += 1
        self._report.bytes_sent += len(request)
        data = self._transport.post(verb, request)
        self._report.bytes_received += len(data)
        try:
            envelope = wire.open_envelope(data)
            envelope.verify("answer", peer.public_key)
            answer = wire.decode(envelope.payload, kind)
        except (BadSignature, Malformed) as error:
            raise AnswerCut(cause=error.code) from error
        head = envelope.head
        if (head.sender, head.recipient, head.verb) != (peer.node, replica.identity.node, verb):
            raise WrongRecipient(answered=head.sender)
        if head.counter != counter:
            raise AnswerCut(cause="counter")
        return head, answer, counter

    def _skip_counter(self, refusal: CounterTooLow) -> int:
        seen = refusal.data.get("seen")
        with self._replica.engine.begin() as conn:
            if not isinstance(seen, int) or not peers.skip_counter(conn, self._peer.node, seen):
                raise refusal
            return peers.next_counter(conn, self._peer.node)

    # --- refusals ----------------------------------------------------------------------------------------------

    def _refuse(self, refusal: SyncError) -> bool:
        """Leave a stream alone for the rest of this exchange, the others go on; False when it was left already."""
        stream = str(refusal.data.get("stream"))
        if stream in self._refused:
            return False
        self._refused.add(stream)
        self._report.refusals.append(refusal)
        return True


def _moved(before: Heads, after: Heads, packed: Packed) -> bool:
    """Whether the peer's statement about any stream we sent has changed: without that, sending again is idle."""
    return any(after.get(part.stream) != before.get(part.stream) for part in packed.ranges)


def _scopes(texts: list[str]) -> tuple[Scope, ...]:
    try:
        return tuple(parse_scope(text) for text in texts)
    except ValueError:
        raise Malformed(what="scopes") from None
