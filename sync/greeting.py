"""The hello of an exchange: what we say of ourselves, and what we keep of the answer."""

from collections.abc import Callable
from typing import Final

from sqlalchemy import Connection

from sync import acknowledged, loading, peers, receipts, wire
from sync.asking import Asker, ExchangeReport
from sync.errors import PeerRevoked
from sync.events import to_us, within
from sync.peers import Peer
from sync.positions import Heads, digest
from sync.replica import Replica

_MICROSECONDS: Final = 1e6


class Greeting:
    """Says hello for one exchange, as often as it needs to."""

    def __init__(self, replica: Replica, asker: Asker, report: ExchangeReport, monotonic: Callable[[], float]) -> None:
        self._replica = replica
        self._asker = asker
        self._report = report
        self._monotonic = monotonic
        self._stated_anew = False

    def say(self, peer: Peer) -> tuple[Heads, wire.HelloAnswer]:
        """What we held when we asked, and the answer.

        A peer that withdrew our key says no more once we call everything sent. It may have come back from a copy since
        it stated what it holds, so it is asked for that once more before we believe it.
        """
        try:
            return self._say(peer)
        except PeerRevoked:
            if self._stated_anew:
                raise
            self._stated_anew = True
            with self._replica.engine.begin() as conn:
                acknowledged.forget(conn, peer.node)
            ours, answer = self._say(peer)
            with self._replica.engine.begin() as conn:
                if not acknowledged.unsent(conn, self._replica.identity, peer).count:
                    raise
            return ours, answer

    def _say(self, peer: Peer) -> tuple[Heads, wire.HelloAnswer]:
        replica = self._replica
        with replica.engine.begin() as conn:
            heads = replica.shared_heads(conn, peer)
            unsent = acknowledged.unsent(conn, replica.identity, peer)
            contact = peers.find_contact(conn, peer.node)
            # What we may not send belongs to what we hold: with it the peer never finds us equal, and so states our
            # grants in every answer until they are wide enough.
            kept_back = stranded(conn, replica, peer) if unsent.count else {}
            hello = wire.Hello(
                summary=digest(heads | kept_back), unsent=unsent.count,
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
            self._note(peer, answer, heads if answer.equal else wire.load_heads(answer.heads), counter)
        return heads, answer

    def _note(self, peer: Peer, answer: wire.HelloAnswer, stated: Heads, counter: int) -> None:
        """Keep what the answer says: the peer's levels, its receipt, its version and clock."""
        replica, now = self._replica, self._replica.now()
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


def stranded(conn: Connection, replica: Replica, peer: Peer) -> Heads:
    """Own streams outside what the hub lets us send: they must not look as if they had arrived."""
    if not peer.introduces:
        return {}
    return {
        stream: head
        for stream, head in replica.ledger.own_heads(conn).items()
        if peer.is_meant_for(stream.scope) and not within(stream.scope, peer.read_scopes)
    }
