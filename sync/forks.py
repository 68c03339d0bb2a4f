"""The asking half's work on streams of which two branches exist: find where they part, hand ours over, take the hub's.

What then happens to the events is `reconciling`'s matter.
"""

from collections.abc import Callable, Sequence

from sync import bundle, early, peers, reconciling, wire
from sync.asking import Asker, ExchangeReport, pull_above
from sync.bundle import Segment, decode_segment
from sync.errors import (
    AnswerCut,
    BadSignature,
    LinkError,
    Malformed,
    NoProgress,
    SyncError,
    TooLarge,
    decode_refusal,
)
from sync.events import Stream
from sync.pace import Pace
from sync.packing import Packed
from sync.peers import Peer
from sync.positions import Heads, Position, Range, spread
from sync.replica import Replica
from sync.tracing import trace

Push = Callable[[Packed], wire.PushAnswer | None]
Refuse = Callable[[SyncError], bool]


class Forks:
    """The forks of one exchange. `push` sends a bundle (None: too large, try again), `refuse` names a stream."""

    def __init__(
        self, replica: Replica, peer: Peer, asker: Asker, pace: Pace, report: ExchangeReport, push: Push, refuse: Refuse
    ) -> None:
        self._replica = replica
        self._peer = peer
        self._asker = asker
        self._pace = pace
        self._report = report
        self._push = push
        self._refuse = refuse
        self._returned: set[bytes] = set()
        self.contested: set[Stream] = set()

    def reconcile(self, stream: Stream, theirs: Heads) -> bool:
        """Make two branches one, ours yielding; whether that was possible. Repeated as a whole after any failure."""
        try:
            common = self.fork_point(stream, theirs[stream].seq)
            if stream.origin.node != self._replica.identity.node:
                self.hand_over(stream, common)
            self._fetch_branch(stream, common, theirs)
            replica = self._replica
            with replica.engine.begin() as conn:
                outcome = replica.ledger.take_branch(conn, stream, common, self._peer)
        except LinkError:
            raise
        except SyncError as refusal:
            refusal.data.setdefault("stream", str(stream))
            self._refuse(refusal)
            return False
        finally:
            self.contested.discard(stream)
        self._report.pulled += outcome.stored
        self._report.reconciled.append(str(stream))
        return True

    def take_back(self, places: list[wire.BranchPlace]) -> bool:
        """Take up what we wrote and the peer had to refuse, and what it hands us of a withdrawn key; whether any was.

        Each once. At one place there may be several, which come one after the other, round by round.
        """
        before = len(self._returned)
        for place in places:
            asked = wire.Branch(epoch=place[0], scope=place[1], seq=place[2])
            answer = self._asker.plainly("branch", asked, wire.BranchAnswer)
            if answer.segment is None or answer.segment in self._returned:
                continue
            self._returned.add(answer.segment)
            try:
                segment = decode_segment(answer.segment)
                with self._replica.engine.begin() as conn:
                    peers.introduce(conn, answer.keys, self._peer, self._replica.now())
                    self._report.pulled += self._replica.ledger.take_back(conn, segment, self._peer)
            except SyncError as refusal:
                refusal.data.setdefault("stream", f"{self._replica.identity.node}.{place[0]}/{place[1]}")
                self._refuse(refusal)
        return len(self._returned) > before

    def hand_up(self) -> bool:
        """Give the hub, which holds what we hold, what waits here for something that neither has; whether that moved.

        Where there is no room for it over there, it stays here and is offered again in the next exchange.
        """
        replica = self._replica
        if not self._peer.introduces:
            return False
        with replica.engine.begin() as conn:
            taken, waiting = early.settle(conn, replica, self._peer)
        for segment in waiting:
            with replica.engine.begin() as conn:
                packed = replica.ledger.pack_segment(conn, segment, self._peer.node)
            try:
                answer = self._push(packed)
            except TooLarge:
                continue
            if answer is not None and early.is_kept(segment, self._peer, answer):
                self._report.pushed += answer.stored
                taken += 1
                with replica.engine.begin() as conn:
                    reconciling.part_with(conn, segment)
        return taken > 0

    def fork_point(self, stream: Stream, head: int | None = None) -> int:
        """The last number at which both branches have the same chain; below it they are equal.

        `head`: where the peer's branch ends, if it has told us.
        """
        replica = self._replica
        with replica.engine.begin() as conn:
            known = replica.ledger.heads(conn, [stream.scope]).get(stream)
        ours = known.seq if known else 0
        low, high = 0, ours if head is None else min(head, ours)
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
        answer = self._asker.plainly("probe", asked, wire.ProbeAnswer)
        if len(answer.chains) != len(seqs):
            raise AnswerCut(cause="chains")
        return answer.chains

    def hand_over(self, stream: Stream, common: int) -> None:
        """Give the hub our branch of a stream, before ours yields.

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
                if code not in early.KEPT or not data.get("kept", True):
                    raise decode_refusal(code, data)  # ours is then the only copy
            self._report.pushed += answer.stored
            first = packed.ranges[0].last + 1

    def _fetch_branch(self, stream: Stream, common: int, theirs: Heads) -> None:
        """Keep the hub's branch above `common`, piece by piece, as far as it stated.

        What it has recorded since may come first. That is left for the exchange to pull, and stated as if it were here.
        """
        replica, at, passed = self._replica, common, dict(theirs)
        with replica.engine.begin() as conn:
            reconciling.forget_pieces(conn, stream)
            (chain,) = replica.ledger.chains_at(conn, stream, [common])
        while at < theirs[stream].seq:
            stated = passed | {stream: Position(at, chain)}
            answer = self._asker.plainly("pull", pull_above(stated, self._pace.budget), wire.PullAnswer)
            segments = [] if answer.bundle is None else self._segments(answer.bundle)
            passed |= {one.stream: Position(one.last, trace(one).chains[-1]) for one in segments}
            if all(stated.get(one.stream) == passed[one.stream] for one in segments):
                raise NoProgress(peer=self._peer.node)
            with replica.engine.begin() as conn:
                for piece in (one for one in segments if one.stream == stream):
                    at, chain = piece.last, replica.ledger.keep_piece(conn, piece, chain)

    def _segments(self, data: bytes) -> Sequence[Segment]:
        try:
            return bundle.unpack(data, self._peer.public_key, self._replica.limits).segments
        except (BadSignature, Malformed) as error:
            raise AnswerCut(cause=error.code) from error
