"""One peer asked: signed requests with rising counters over a line that may fail, and what that costs."""

from dataclasses import dataclass, field
from typing import TypeVar

from sqlalchemy import Connection

from sync import peers, wire
from sync.blob_lane import LaneReport
from sync.errors import AnswerCut, BadSignature, CounterTooLow, Malformed, SyncError, WrongRecipient
from sync.packing import Budget
from sync.peers import Peer
from sync.positions import Heads
from sync.replica import Replica
from sync.transport import Transport

_M = TypeVar("_M", bound=wire._Message)


@dataclass(slots=True, kw_only=True)
class ExchangeReport:
    """What an exchange did. `verified`: both sides derived the same digest from what they hold at the end.

    `reconciled` names streams of which two branches were made one. `parts` of a snapshot came; `loading`: more are to
    come, and soon.
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
    parts: int = 0
    loading: bool = False


class Asker:
    """Asks one peer. Every request is counted in the report."""

    def __init__(self, replica: Replica, peer: Peer, transport: Transport, report: ExchangeReport) -> None:
        self._replica = replica
        self._peer = peer
        self._transport = transport
        self._report = report
        self._epoch = ""

    def counter(self) -> int:
        """A number for the next request, higher than any before; also looks up the epoch we speak in."""
        with self._replica.engine.begin() as conn:
            return self.counter_in(conn)

    def counter_in(self, conn: Connection) -> int:
        """The same within a transaction of the caller's."""
        self._epoch = self._replica.epoch(conn)
        return peers.next_counter(conn, self._peer.node)

    def ask(self, verb: str, payload: bytes, kind: type[_M], counter: int) -> tuple[wire.Head, _M, int]:
        """The answer's head and message, and the counter it answers.

        A counter that the peer has seen already is raised once above what it states: a restored node forgets its own.
        """
        try:
            return self._ask_once(verb, payload, kind, counter)
        except CounterTooLow as refusal:
            counter = self._skip_counter(refusal)
            return self._ask_once(verb, payload, kind, counter)

    def plainly(self, verb: str, message: wire._Message, kind: type[_M], /) -> _M:
        """The answer's message alone."""
        return self.ask(verb, wire.encode(message), kind, self.counter())[1]

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


def pull_above(heads: Heads, budget: Budget, *, snapshots: bool = False) -> wire.Pull:
    """The request for what lies above these heads."""
    return wire.Pull(
        heads=wire.dump_heads(heads), raw_bytes=budget.raw_bytes, events=budget.events, snapshots=snapshots
    )  # fmt: skip
