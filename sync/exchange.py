"""The asking half of the conversation, and everything an application needs to take part in one.

hello (digest of what we hold) → equal: done in one small request. Otherwise the peer states its heads, we push what it
lacks and pull what we lack, and say hello again. There is no session: whatever fails, the next exchange compares anew.
No transaction is open while the line is waited for.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from itertools import zip_longest

from sync import acknowledged, blob_lane, bundle, farewell, peers, receipts, wire
from sync.accepting import Accepted
from sync.asking import Asker, ExchangeReport, pull_above
from sync.enrolment import Enrolled, enrol, issue_code
from sync.errors import (
    AnswerCut,
    BadSignature,
    ForkFound,
    LinkError,
    Malformed,
    NoProgress,
    NotGranted,
    OriginRevoked,
    PeerBusy,
    PeerRevoked,
    SyncError,
    TooLarge,
    decode_refusal,
)
from sync.events import Origin, Scope, Stream, parse_scope
from sync.forks import Forks
from sync.greeting import Greeting, stranded
from sync.loading import Loading
from sync.pace import Pace
from sync.packing import Packed
from sync.peers import Peer
from sync.positions import Heads, Range, before_held, behind, digest
from sync.replica import NodeInfo, Replica
from sync.responder import Responder
from sync.transport import Transport

__all__ = [
    "Enrolled", "ExchangeReport", "NodeInfo", "Peer", "Replica", "Responder", "enrol", "exchange", "issue_code",
]  # fmt: skip


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
        self._monotonic = monotonic
        self._report = ExchangeReport()
        self._ends_at = self._round_ends_at = monotonic() + replica.limits.exchange_s
        self._refused: set[str] = set()
        with replica.engine.begin() as conn:
            self._peer = peers.get_peer(conn, peer.node)
        self._pace = Pace.resume(replica.limits, self._peer.batch_bytes)
        self._asker = Asker(replica, self._peer, transport, self._report)
        self._greeting = Greeting(replica, self._asker, self._report, monotonic)
        self._forks = Forks(replica, self._peer, self._asker, self._pace, self._report, self._push, self._refuse)
        self._loading = Loading(
            replica, self._peer, self._asker, self._report, self._stopped, self._note_outcome, monotonic
        )  # fmt: skip

    def run(self) -> ExchangeReport:
        """All rounds. Raises `PeerRevoked` after a last act, when our key was withdrawn."""
        try:
            return self._rounds()
        except PeerRevoked:
            if self._peer.introduces:
                farewell.leave_behind(self._replica, self._peer, self._forks, self._asker, self._monotonic)
            raise

    def _rounds(self) -> ExchangeReport:
        report, limits = self._report, self._replica.limits
        seen: set[tuple[bytes, bytes]] = set()
        for _ in range(limits.rounds_max):
            if self._is_over:
                return report
            report.rounds += 1
            ours, answer = self._greeting.say(self._peer)
            if answer.wait_s and not answer.equal:
                raise PeerBusy(wait_s=answer.wait_s)
            returned = self._forks.take_back(answer.branches)
            self._look_again(report.refusals if returned else self._settled(answer.branches))
            if answer.equal and not returned and not self._forks.hand_up():
                report.verified = True
                report.blobs = blob_lane.carry(self._replica, self._peer, answer, self._asker.plainly, self._monotonic)
                return report
            standing = digest(ours), digest(wire.load_heads(answer.heads))
            if standing in seen and report.refusals:
                raise self._first_refusal()
            if not answer.equal and not self._round(ours, answer) and not returned:
                raise self._first_refusal()
            seen.add(standing)
        return report

    @property
    def _is_over(self) -> bool:
        """Whether this exchange has had its time: on a slow line others want the line, and the worker, as well."""
        return self._loading.has_had_its_time or self._monotonic() > self._ends_at

    def _carry(self, theirs: Heads, held: list[wire.HeldEntry]) -> bool:
        """Pull and push by turns; whether the peer holds more for it.

        In each direction short streams go first, and neither direction waits for the other's backlog: a card of the
        hub's comes with the first answer although a month of records has to go out. After `round_s` both sides state
        anew what they hold, so that what was recorded meanwhile gets its turn, too.
        """
        self._round_ends_at = min(self._monotonic() + self._replica.limits.round_s, self._ends_at)
        moved = False
        for _, pushed in zip_longest(self._pulls(theirs), self._pushes(theirs, held), fillvalue=False):
            moved = moved or pushed
        return moved

    @property
    def _round_is_over(self) -> bool:
        return self._monotonic() > self._round_ends_at

    def _round(self, ours: Heads, answer: wire.HelloAnswer) -> bool:
        """Push and pull once; whether anything changed on either side, be it by another exchange of ours."""
        theirs = wire.load_heads(answer.heads)
        self._look_for_forks(theirs, answer.versions)
        adopted = self._adopt_grants(answer)
        moved = self._carry(theirs, answer.held)
        reconciled = [self._forks.reconcile(one, theirs) for one in sorted(self._forks.contested, key=str)]
        return adopted or moved or any(reconciled) or self._is_over or self._shared_heads() != ours

    def _shared_heads(self) -> Heads:
        with self._replica.engine.begin() as conn:
            return self._replica.shared_heads(conn, self._peer)

    def _first_refusal(self) -> SyncError:
        """Why both sides still differ although neither has more to send."""
        for refusal in self._report.refusals:
            if isinstance(refusal, OriginRevoked) and refusal.data.get("node") == self._replica.identity.node:
                return PeerRevoked(node=self._replica.identity.node)
            return refusal
        with self._replica.engine.begin() as conn:
            for stream in stranded(conn, self._replica, self._peer):
                return NotGranted(stream=str(stream))
        return NoProgress(peer=self._peer.node)

    # --- what the answer to a hello asks for -----------------------------------------------------------------------

    def _adopt_grants(self, answer: wire.HelloAnswer) -> bool:
        """Our scopes are the hub's to decide, save what we keep; whether they changed. We read what it writes."""
        peer = self._peer
        if not peer.introduces:
            return False
        read, write = (self._replica.offered(_scopes(texts)) for texts in (answer.write_scopes, answer.read_scopes))
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
                    self._forks.contested.add(stream)
                elif stream not in ours or ours[stream].seq == theirs[stream].seq:
                    self._refuse(ForkFound(stream=str(stream), seq=theirs[stream].seq))

    # --- push --------------------------------------------------------------------------------------------------

    def _pushes(self, theirs: Heads, held: list[wire.HeldEntry]) -> Iterator[bool]:
        """Push up to what we hold now, so that recording faster than the line carries does not keep an exchange from
        ending; after each bundle, whether the peer holds more for it. One goes out in each round, however long the pull
        before it took.
        """
        ready = [Range(Stream(Origin(n, e), Scope(s)), first, last) for n, e, s, first, last in held]
        with self._replica.engine.begin() as conn:
            ours = self._replica.readable_heads(conn, self._peer)
        over = self._is_over
        while not over and (packed := self._next_bundle(ours, theirs, ready)):
            try:
                answer = self._push(packed)
            except TooLarge as refusal:
                # Alone and still too large for whatever lies between: this stream stops, the others go on.
                self._refuse(_stopped_at(refusal, packed.ranges[0]))
                continue
            if answer is not None:  # else too large: the next one is half as big
                yield self._taken(packed, answer, theirs)
            over = self._round_is_over

    def _taken(self, packed: Packed, answer: wire.PushAnswer, theirs: Heads) -> bool:
        """Note what became of a bundle; whether the peer is further on. What moves nothing is not sent again."""
        stated = wire.load_heads(answer.heads)
        self._report.pushed += answer.stored
        for code, data in answer.refusals:
            self._refuse(decode_refusal(code, data))
        moved = _further(theirs, stated, packed)
        if not moved:
            for part in packed.ranges:
                self._refuse(_stopped_at(NoProgress(peer=self._peer.node), part))
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
        """The peer's answer; None when the bundle was too large and a smaller one may pass. Raises `TooLarge` when not
        even the smallest does.
        """
        began = self._monotonic()
        try:
            _, answer, counter = self._asker.ask("push", packed.data, wire.PushAnswer, self._asker.counter())
        except TooLarge:
            if self._pace.smallest or packed.events == 1:
                raise
            self._slower(packed.raw_bytes)
            return None
        except LinkError:
            self._slower(packed.raw_bytes)
            raise
        self._pace.took(self._monotonic() - began, packed.raw_bytes)
        replica, now = self._replica, self._replica.now()
        with replica.engine.begin() as conn:
            receipts.keep(conn, self._peer, replica.identity.node, answer.receipt, now)
            acknowledged.acknowledge(conn, self._peer.node, wire.load_heads(answer.heads), counter, now)
            peers.remember_batch_bytes(conn, self._peer.node, self._pace.raw_bytes)
        return answer

    def _slower(self, tried: int) -> None:
        self._pace.failed(tried)
        self._remember_pace()

    def _remember_pace(self) -> None:
        with self._replica.engine.begin() as conn:
            peers.remember_batch_bytes(conn, self._peer.node, self._pace.raw_bytes)

    # --- pull --------------------------------------------------------------------------------------------------

    def _pulls(self, theirs: Heads) -> Iterator[bool]:
        """Pull what we lack of what the peer stated; after each step that brought us on, False: nothing was sent."""
        may_pass = True
        while not self._round_is_over and not self._is_over and self._lacking(theirs):
            self._loading.resume()
            if not (may_pass and self._lacking_beside_parts(theirs)) and self._loading.take_part():
                yield False
                continue
            answer = self._pull(theirs)
            if answer.bundle is None and self._loading.streams:
                may_pass = False  # nothing short is left: the parts go on
            elif answer.bundle is None and answer.reseed:
                self._loading.begin(answer.reseed)
            elif answer.bundle is None or not self._take_in(answer.bundle):
                return
            yield False

    def _pull(self, theirs: Heads) -> wire.PullAnswer:
        """The next bundle, or why a snapshot is better. A line that is slow this way is asked for less at once."""
        began, before = self._monotonic(), self._pace.raw_bytes
        try:
            answer = self._asker.plainly("pull", self._pull_request(theirs), wire.PullAnswer)
        except LinkError:
            self._slower(before)
            raise
        if answer.bundle is not None:
            self._pace.took(self._monotonic() - began, _raw_bytes(answer.bundle))
        if self._pace.raw_bytes != before:
            self._remember_pace()
        return answer

    def _lacking(self, theirs: Heads) -> bool:
        ours = self._shared_heads()
        return any(not self._stopped(part.stream) for part in behind(ours, theirs))

    def _lacking_beside_parts(self, theirs: Heads) -> bool:
        """Whether something else than what comes in parts is lacking: it is short, and goes first."""
        parts = self._loading.streams
        lacking = behind(self._shared_heads(), theirs) if parts else []
        return any(one.stream not in parts and not self._stopped(one.stream) for one in lacking)

    def _stopped(self, stream: Stream) -> bool:
        """Whether a stream is left alone: refused for this exchange, or waiting to be reconciled."""
        return str(stream) in self._refused or stream in self._forks.contested

    def _pull_request(self, theirs: Heads) -> wire.Pull:
        """Our heads. Streams that stopped, or come in parts, are stated as the peer has them, so that they do not fill
        every answer.
        """
        ours, parts = self._shared_heads(), self._loading.streams
        ours |= {stream: head for stream, head in theirs.items() if stream in parts or self._stopped(stream)}
        return pull_above(ours, self._pace.budget, snapshots=self._loading.wanted)

    def _take_in(self, data: bytes) -> bool:
        """Store a pulled bundle; whether that brought us on, be it by setting a stream aside."""
        replica, peer = self._replica, self._peer
        try:
            unpacked = bundle.unpack(data, peer.public_key, replica.limits)
        except (BadSignature, Malformed) as error:
            raise AnswerCut(cause=error.code) from error
        with replica.engine.begin() as conn:
            outcome = replica.ledger.accept(conn, unpacked, peer)
        return self._note_outcome(outcome)

    def _note_outcome(self, outcome: Accepted) -> bool:
        """Whether what came brought us on."""
        self._report.pulled += outcome.stored
        newly = [self._refuse(refusal) for refusal in outcome.refusals]
        contested = set(outcome.contested) - self._forks.contested
        self._forks.contested |= contested
        return outcome.stored > 0 or any(newly) or bool(contested)

    # --- refusals ----------------------------------------------------------------------------------------------

    def _settled(self, branches: Sequence[wire.BranchPlace]) -> list[SyncError]:
        """Forks whose place the peer names no more: it holds all of that branch elsewhere."""
        node = self._replica.identity.node
        named = {(str(Stream(Origin(node, epoch), Scope(scope))), seq) for epoch, scope, seq in branches}
        return [
            refusal for refusal in self._report.refusals
            if isinstance(refusal, ForkFound) and (refusal.data.get("stream"), refusal.data.get("seq")) not in named
        ]  # fmt: skip

    def _look_again(self, refusals: Sequence[SyncError]) -> None:
        """What these left alone may pass now: the branch in the way is taken up, or settled."""
        for refusal in list(refusals):
            self._refused.discard(str(refusal.data.get("stream")))
            self._report.refusals.remove(refusal)

    def _refuse(self, refusal: SyncError) -> bool:
        """Leave a stream alone for the rest of this exchange, the others go on; False when it was left already."""
        stream = str(refusal.data.get("stream"))
        if stream in self._refused:
            return False
        self._refused.add(stream)
        self._report.refusals.append(refusal)
        return True


def _further(before: Heads, after: Heads, packed: Packed) -> bool:
    """Whether the peer states more of any stream we sent. One that goes back and forth would keep us sending."""
    return any(
        part.stream in after and (part.stream not in before or after[part.stream].seq > before[part.stream].seq)
        for part in packed.ranges
    )


def _stopped_at(refusal: SyncError, part: Range) -> SyncError:
    """The refusal with the place at which a stream stopped."""
    return type(refusal)(**{**refusal.data, "stream": str(part.stream), "seq": part.first})


def _raw_bytes(data: bytes) -> int:
    """How much was in a pulled bundle; 0 when it cannot be read, which is said elsewhere."""
    try:
        return bundle.peek(data).raw_bytes
    except SyncError:
        return 0


def _scopes(texts: list[str]) -> tuple[Scope, ...]:
    try:
        return tuple(parse_scope(text) for text in texts)
    except ValueError:
        raise Malformed(what="scopes") from None
