"""What both halves of a conversation work on: one node's database, ledger and key."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, Engine, select

from sync import epochs, erased, peers, wire
from sync.blobs import BlobStore
from sync.events import Scope, to_us, within
from sync.identity import Identity
from sync.ledger import Ledger
from sync.limits import HEADS_MAX, Limits
from sync.peers import Peer
from sync.positions import Heads
from sync.tables import ledger_held

# Said in every hello, hence in one statement.
_LISTS: Final = select(erased.VERSION.scalar_subquery(), peers.REVOCATIONS.scalar_subquery())


@dataclass(frozen=True, slots=True)
class NodeInfo:
    """What a node says about itself."""

    name: str = ""
    software: str = "lianxin"


@dataclass(frozen=True, slots=True)
class Replica:
    """One node's half. Threads may share it; each request opens its own transaction and never waits inside it."""

    engine: Engine
    ledger: Ledger
    identity: Identity
    now: Callable[[], datetime]
    limits: Limits = field(default_factory=Limits)
    info: NodeInfo = field(default_factory=NodeInfo)
    blobs: BlobStore | None = None
    keeps: Scope | None = None  # what lies within goes to no hub above, and none writes there, whatever it grants

    def offered(self, scopes: Sequence[Scope]) -> tuple[Scope, ...]:
        """What we share of the scopes that a hub above grants; also nothing that contains what we keep."""
        kept = self.keeps
        return tuple(one for one in scopes if kept is None or not (within(one, (kept,)) or within(kept, (one,))))

    def shared_heads(self, conn: Connection, peer: Peer) -> Heads:
        """Heads of everything both sides compare, derived from what lies here."""
        return self.ledger.heads(conn, peer.shared_scopes)

    def readable_heads(self, conn: Connection, peer: Peer) -> Heads:
        """Heads of what the peer may have from us."""
        shared = self.shared_heads(conn, peer)
        return {stream: head for stream, head in shared.items() if peer.may_read(stream)}

    def versions(self, conn: Connection) -> wire.Versions:
        erasures, revocations = conn.execute(_LISTS).one()
        able = [name for name in wire.CAPABILITIES if name != "blobs" or self.blobs is not None]
        return wire.Versions(
            software=self.info.software[:64], erasures=erasures or 0, revocations=revocations or 0, capabilities=able,
        )  # fmt: skip

    def epoch(self, conn: Connection) -> str:
        """The epoch in which this node appends now."""
        return epochs.current(conn, self.identity).epoch

    def head(self, verb: str, epoch: str, recipient: str, counter: int) -> wire.Head:
        return wire.Head(
            verb=verb, sender=self.identity.node, epoch=epoch, recipient=recipient, counter=counter,
            clock_us=to_us(self.now()),
        )  # fmt: skip

    def receipt(self, conn: Connection, peer: Peer) -> wire.SignedReceipt:
        """Our signed statement of what we hold of the peer's own streams."""
        own = {s: head for s, head in self.shared_heads(conn, peer).items() if s.origin.node == peer.node}
        receipt = wire.Receipt(
            holder=self.identity.node, holder_epoch=self.epoch(conn), node=peer.node,
            at_us=to_us(self.now()), heads=wire.dump_heads(own),
        )  # fmt: skip
        return wire.sign_receipt(self.identity, receipt)

    def held(self, conn: Connection, peer: Peer) -> list[wire.HeldEntry]:
        """Ranges that wait here for what precedes them; the peer need not send them again."""
        t = ledger_held.c
        query = select(t.node, t.epoch, t.scope, t.first, t.last).order_by(t.node, t.epoch, t.scope, t.first)
        rows = conn.execute(query.limit(HEADS_MAX))
        return [(r.node, r.epoch, r.scope, r.first, r.last) for r in rows if within(r.scope, peer.shared_scopes)]
