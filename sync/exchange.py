"""The asking half of the conversation, and everything an application needs to take part in one.

hello (digest of what we hold) → equal: done in one small request. Otherwise the peer states its heads, we push what it
lacks and pull what we lack, and say hello again. There is no session: whatever fails, the next exchange compares anew.
No transaction is open while the line is waited for.
"""

import time
from collections.abc import Callable
from typing import Final

from sync import acknowledged, blob_lane, bundle, loading, peers, receipts, wire
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
    PeerBusy,
    SyncError,
    TooLarge,
    decode_refusal,
)
from sync.events import Origin, Scope, Stream, parse_scope, to_us, within
from sync.forks import Forks
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

_MICROSECONDS: Final = 1e6


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
        self._began = monotonic()
        self._refused: set[str] = set()
        with replica.engine.begin() as conn:
            self._peer = peers.get_peer(conn, peer.node)
            self._pace = Pace.resume(replica.limits, peers.batch_bytes(conn, peer.node))
        self._asker = Asker(replica, self._peer, transport, self._report)
        self._forks = Forks(replica, self._peer, self._asker, self._pace, self._report, self._push, self._refuse)
        self._loading = Loading(
            replica, self._peer, self._asker, self._report, self._stopped, self._note_outcome, monotonic
        )  # fmt: skip

    def run(self) -> ExchangeReport:
        report, limits = self._report, self._replica.limits
        for _ in range(limits.rounds_max):
            if self._is_over:
                return report
            report.rounds += 1
            ours, answer = self._hello()
            if answer.wait_s and not answer.equal:
                raise PeerBusy(wait_s=answer.wait_s)
            returned = self._forks.take_back(answer.branches)
            if answer.equal and not returned:
                self._refuse_stranded()
                report.verified = True
                report.blobs = blob_lane.carry(self._replica, self._peer, answer, self._asker.plainly, self._monotonic)
                return report
            if not answer.equal and not self._round(ours, answer) and not returned:
                raise self._first_refusal()
        return report

    @property
    def _is_over(self) -> bool:
        """Whether this exchange has had its time: on a slow line others want the line, and the worker, as well."""
        return self._loading.has_had_its_time or self._monotonic() - self._began > self._replica.limits.exchange_s

    def _round(self, ours: Heads, answer: wire.HelloAnswer) -> bool:
        """Push and pull once; whether anything changed on either side, be it by another exchange of ours."""
        theirs = wire.load_heads(answer.heads)
        self._look_for_forks(theirs, answer.versions)
        adopted = self._adopt_grants(answer)
        moved = self._push_all(theirs, answer.held)
        self._pull_all(theirs)
        reconciled = [self._forks.reconcile(one, theirs) for one in sorted(self._forks.contested, key=str)]
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
            counter = self._asker.counter_in(conn)
        asked_at, clock_us = self._monotonic(), to_us(replica.now())
        head, answer, counter = self._asker.ask("hello", wire.encode(hello), wire.HelloAnswer, counter)
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
            if answer.equal:
                loading.settle(conn, peer.node, now)
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
                    self._forks.contested.add(stream)
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
            _, answer, counter = self._asker.ask("push", packed.data, wire.PushAnswer, self._asker.counter())
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
            self._loading.resume()
            if self._loading.take_part():
                continue
            answer = self._asker.plainly("pull", self._pull_request(theirs), wire.PullAnswer)
            if answer.bundle is None and answer.reseed:
                self._loading.begin(answer.reseed)
            elif answer.bundle is None or not self._take_in(answer.bundle):
                return

    def _lacking(self, theirs: Heads) -> bool:
        ours = self._shared_heads()
        return any(not self._stopped(part.stream) for part in behind(ours, theirs))

    def _stopped(self, stream: Stream) -> bool:
        """Whether a stream is left alone: refused for this exchange, or waiting to be reconciled."""
        return str(stream) in self._refused or stream in self._forks.contested

    def _pull_request(self, theirs: Heads) -> wire.Pull:
        """Our heads. Streams that stopped are stated as the peer has them, so that they do not fill every answer."""
        ours = self._shared_heads()
        ours |= {stream: head for stream, head in theirs.items() if self._stopped(stream)}
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
            replica.reached("pulled.before_commit")
        replica.reached("pulled.after_commit")
        return self._note_outcome(outcome)

    def _note_outcome(self, outcome: Accepted) -> bool:
        """Whether what came brought us on."""
        self._report.pulled += outcome.stored
        newly = [self._refuse(refusal) for refusal in outcome.refusals]
        contested = set(outcome.contested) - self._forks.contested
        self._forks.contested |= contested
        return outcome.stored > 0 or any(newly) or bool(contested)

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
