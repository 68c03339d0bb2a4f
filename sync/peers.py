"""Who we exchange with, what each may read and write, and when we last spoke.

Scopes are seen from here: a peer's `read_scopes` are what it may have from us, its `write_scopes` what it may write to
us. The hub's row for a station and the station's row for the hub mirror each other.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any, Final

from sqlalchemy import Connection, Insert, bindparam, func, select, update

from sync import bulk, peer_epochs
from sync.errors import CounterTooLow, NodeTaken, PeerRevoked, SyncError, UnknownPeer
from sync.events import Scope, Stream, from_us, parse_scope, to_us, within
from sync.identity import Identity
from sync.tables import ledger_keys, sync_contacts, sync_peers

# How far ahead a stated counter may move ours: a forged statement must not use the counter up.
_COUNTER_JUMP_MAX: Final = 2**40

_ONE: Final = select(sync_peers).where(sync_peers.c.node == bindparam("of_node"))
_ONE_LOCKED: Final = _ONE.with_for_update()
_CONTACT: Final = select(sync_contacts).where(sync_contacts.c.peer == bindparam("of_peer"))
_ADMITTED: Final = (
    update(sync_peers)
    .where(sync_peers.c.node == bindparam("of_node"))
    .values(counter_seen=bindparam("seen"), epoch=bindparam("in_epoch"))
)
_NEXT_COUNTER: Final = (
    update(sync_peers)
    .where(sync_peers.c.node == bindparam("of_node"))
    .values(counter_sent=sync_peers.c.counter_sent + 1)
    .returning(sync_peers.c.counter_sent)
)
# Version of the revocation list; empty while nobody's key was withdrawn.
REVOCATIONS: Final = select(func.max(sync_peers.c.revoked_number))
_KEYS: Final = tuple(
    select(table.c.public_key).where(table.c.node == bindparam("of_node")) for table in (sync_peers, ledger_keys)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """A node we exchange with. `introduces`: we believe it about other nodes' keys and about our own grants.

    `revoked_after` names, per epoch, the last number that still counts; None while the key is good. `batch_bytes` is
    the batch size that suited the line last time.
    """

    node: str
    public_key: bytes
    name: str
    read_scopes: tuple[Scope, ...]
    write_scopes: tuple[Scope, ...]
    introduces: bool = False
    revoked_after: Mapping[str, int] | None = None
    successor_of: str | None = None
    batch_bytes: int | None = None

    @property
    def shared_scopes(self) -> tuple[Scope, ...]:
        """Everything both sides compare, without scopes that lie in another one of the list."""
        scopes = sorted({*self.read_scopes, *self.write_scopes})
        return tuple(s for s in scopes if not within(s, tuple(other for other in scopes if other != s)))

    def is_meant_for(self, scope: Scope) -> bool:
        """Whether what we write there is meant for this peer: the scope lies in a tree that both have a part in.

        A hub that is a node of the level above writes most of what it writes in a tree of its own.
        """
        trees = {tree_of(shared) for shared in self.shared_scopes}
        return not trees or tree_of(scope) in trees

    def may_write(self, stream: Stream) -> bool:
        """Own streams within its write scopes; anybody's proven streams within what both share.

        The second part lets a node hand back what we lost: such a stream must verify with its origin's known key.
        """
        if stream.origin.node == self.node:
            return within(stream.scope, self.write_scopes)
        return within(stream.scope, self.shared_scopes)

    def may_read(self, stream: Stream) -> bool:
        """What lies within its read scopes; of all shared scopes what it wrote or, as our hub, held: it may be lost."""
        may_have_lost = self.introduces or stream.origin.node == self.node
        scopes = self.shared_scopes if may_have_lost else self.read_scopes
        return within(stream.scope, scopes)


def tree_of(scope: Scope) -> str:
    """The first segment of a path: the tree it grows in."""
    return scope.partition("/")[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Contact:
    """What is known of the last exchanges with a peer; counts and instants as that side stated them.

    `failing_since`: the first failure of the row of failures that `last_error_at` ends. `stick_written_at`: when we
    last wrote a memory stick for it; `stick_read_at`: when we last read one of its own.
    """

    peer: str
    last_contact_at: datetime | None = None
    last_verified_at: datetime | None = None
    last_error_code: str | None = None
    last_error_data: Mapping[str, Any] | None = None
    last_error_at: datetime | None = None
    failing_since: datetime | None = None
    unsent_count: int | None = None
    oldest_unsent_at: datetime | None = None
    offset_s: float | None = None
    version: str | None = None
    stick_written_at: datetime | None = None
    stick_read_at: datetime | None = None


# --- peers -----------------------------------------------------------------------------------------------------


def add_peer(conn: Connection, peer: Peer, now: datetime) -> None:
    """Add a peer, or renew name and scopes of one with the same key. Raises `NodeTaken` for another key."""
    known = find_peer(conn, peer.node)
    if known is not None and known.public_key != peer.public_key:
        raise NodeTaken(node=peer.node)
    scopes = {"read_scopes": dump_scopes(peer.read_scopes), "write_scopes": dump_scopes(peer.write_scopes)}
    fresh = {
        "node": peer.node, "public_key": peer.public_key, "name": peer.name, **scopes,
        "introduces": peer.introduces, "revoked_after": _dump_revoked(peer.revoked_after),
        "successor_of": peer.successor_of, "counter_sent": 0, "counter_seen": 0, "added_us": to_us(now),
    }  # fmt: skip
    renewed = {"name": peer.name, "introduces": peer.introduces, **scopes}
    insert = bulk.upsert_into(conn, sync_peers).values(fresh)
    conn.execute(insert.on_conflict_do_update(index_elements=[sync_peers.c.node], set_=renewed))


def find_peer(conn: Connection, node: str) -> Peer | None:
    row = conn.execute(_ONE, {"of_node": node}).one_or_none()
    return _peer(row) if row else None


def get_peer(conn: Connection, node: str) -> Peer:
    """The peer, `UnknownPeer` when there is none."""
    peer = find_peer(conn, node)
    if peer is None:
        raise UnknownPeer(node=node)
    return peer


def all_peers(conn: Connection) -> list[Peer]:
    """Every peer, in the order they were added."""
    query = select(sync_peers).order_by(sync_peers.c.added_us, sync_peers.c.node)
    return [_peer(row) for row in conn.execute(query)]


def set_scopes(conn: Connection, node: str, read: Sequence[Scope], write: Sequence[Scope]) -> None:
    """Change what the peer may read from us and write to us, from the next request on."""
    changed = {"read_scopes": dump_scopes(read), "write_scopes": dump_scopes(write)}
    conn.execute(update(sync_peers).where(sync_peers.c.node == node).values(changed))


def revoke(conn: Connection, node: str, after: Mapping[str, int]) -> None:
    """Withdraw a peer's key: per epoch, what it signed up to a number still counts, nothing later does."""
    number = revocations(conn) + 1
    changed = {"revoked_after": _dump_revoked(after), "revoked_number": number}
    conn.execute(update(sync_peers).where(sync_peers.c.node == node).values(changed))


def revocations(conn: Connection) -> int:
    """Version of the revocation list: how many withdrawals there were; 0 when none."""
    return conn.execute(REVOCATIONS).scalar() or 0


# --- keys ------------------------------------------------------------------------------------------------------


def known_key(conn: Connection, identity: Identity, node: str) -> bytes | None:
    """The public key that vouches for a node's streams; None when nobody introduced it."""
    if node == identity.node:
        return identity.public_key
    for query in _KEYS:
        key = conn.execute(query, {"of_node": node}).scalar()
        if key is not None:
            return bytes(key)
    return None


def introduce(conn: Connection, keys: Sequence[tuple[str, bytes]], by: Peer, now: datetime) -> None:
    """Learn keys from a peer we believe. A key once known is never replaced this way."""
    if not by.introduces or not keys:
        return
    rows = [{"node": node, "public_key": key, "introduced_by": by.node, "learned_us": to_us(now)} for node, key in keys]
    conn.execute(bulk.upsert_into(conn, ledger_keys).on_conflict_do_nothing(), rows)


# --- counters --------------------------------------------------------------------------------------------------


def next_counter(conn: Connection, node: str) -> int:
    """A number for the next request to this peer, higher than any before."""
    counter = conn.execute(_NEXT_COUNTER, {"of_node": node}).scalar()
    if counter is None:
        raise UnknownPeer(node=node)
    return int(counter)


def skip_counter(conn: Connection, node: str, seen: int) -> bool:
    """Continue above what the peer has seen; False when the statement is not believable."""
    t = sync_peers
    bump = update(t).where(t.c.node == node, t.c.counter_sent < seen, t.c.counter_sent > seen - _COUNTER_JUMP_MAX)
    known = conn.execute(bump.values(counter_sent=seen)).rowcount
    return known > 0 or conn.execute(select(t.c.counter_sent).where(t.c.node == node)).scalar_one() >= seen


def counter_seen(conn: Connection, node: str) -> int:
    """The highest number of this peer that we have seen."""
    return int(conn.execute(select(sync_peers.c.counter_seen).where(sync_peers.c.node == node)).scalar_one())


def saw_counter(conn: Connection, node: str, counter: int) -> None:
    """This number of the peer arrived by another way than a request; what carries a lower one is older."""
    t = sync_peers
    conn.execute(update(t).where(t.c.node == node, t.c.counter_seen < counter).values(counter_seen=counter))


def admit(
    conn: Connection, node: str, epoch: str, counter: int, now: datetime, *, may_be_revoked: bool = False
) -> Peer:
    """The peer that sent a request, its row locked until the transaction ends.

    Raises `UnknownPeer`, `PeerRevoked`, or `CounterTooLow` with the highest counter seen: such a request was answered
    before, or overtaken by a later one, and must not act again.
    """
    row = conn.execute(_ONE_LOCKED, {"of_node": node}).one_or_none()
    if row is None:
        raise UnknownPeer(node=node)
    if row.revoked_after is not None and not may_be_revoked:
        raise PeerRevoked(node=node)
    if counter <= row.counter_seen:
        raise CounterTooLow(seen=row.counter_seen)
    if row.epoch != epoch:
        peer_epochs.note(conn, node, epoch, now)
    conn.execute(_ADMITTED, {"of_node": node, "seen": counter, "in_epoch": epoch})
    return _peer(row)


def lock(conn: Connection, node: str) -> None:
    """Hold the peer's row until the transaction ends, as every request of it does: stick and line take turns."""
    conn.execute(_ONE_LOCKED, {"of_node": node})


def speaks_in(conn: Connection, node: str, epoch: str) -> bool:
    """Whether this is the epoch in which the peer has last spoken to us; True before it has."""
    current = conn.execute(select(sync_peers.c.epoch).where(sync_peers.c.node == node)).scalar()
    return current in (None, epoch)


def begins_epoch(conn: Connection, node: str, epoch: str, now: datetime) -> bool:
    """Note an epoch in which the peer has never spoken to us, said without a request; whether it was such a one.

    One that is known is left as it is: a stick comes late, and tells nothing about what its writer does today.
    """
    t = sync_peers
    current = conn.execute(select(t.c.epoch).where(t.c.node == node)).scalar()
    if current == epoch or peer_epochs.is_known(conn, node, epoch):
        return False
    peer_epochs.note(conn, node, epoch, now)
    conn.execute(update(t).where(t.c.node == node).values(epoch=epoch))
    return current is not None


# --- batch size ------------------------------------------------------------------------------------------------


def remember_batch_bytes(conn: Connection, node: str, size: int) -> None:
    conn.execute(update(sync_peers).where(sync_peers.c.node == node).values(batch_bytes=size))


# What equality settles, whatever stopped the exchange before.
NO_ERROR: Final[dict[str, None]] = {"last_error_code": None, "last_error_data": None, "last_error_us": None}


# Failures further apart than this do not belong together; whoever keeps trying tries more often.
_ROW_OF_FAILURES: Final = timedelta(minutes=15)
_SINCE: Final = "failing_since_us"


# --- contacts --------------------------------------------------------------------------------------------------


def record_contact(conn: Connection, peer: str, **known: int | float | str | None) -> None:
    """Update what is known of the contact; columns of `sync_contacts` by name."""
    conn.execute(_contact_upsert(bulk.is_postgresql(conn), tuple(known)), {"peer": peer, **known})


@cache
def _contact_upsert(on_postgresql: bool, names: tuple[str, ...]) -> Insert:
    """Built once per set of columns: every exchange writes it on both sides."""
    insert = bulk.upsert(sync_contacts, on_postgresql=on_postgresql)
    renewed = {name: insert.excluded[name] for name in names}
    return insert.on_conflict_do_update(index_elements=[sync_contacts.c.peer], set_=renewed)  # type: ignore[no-any-return]


def record_error(conn: Connection, peer: str, error: SyncError, now: datetime) -> None:
    """Remember by name why the last exchange stopped, and since when they all did."""
    since = _failing_since(find_contact(conn, peer), now)
    data = json.dumps({**error.data, _SINCE: to_us(since)}, ensure_ascii=False)
    record_contact(conn, peer, last_error_code=error.code, last_error_data=data, last_error_us=to_us(now))


def _failing_since(before: Contact, now: datetime) -> datetime:
    """A machine that was off or asleep did not fail meanwhile: what fails in the morning has just begun to fail."""
    last = before.last_error_at
    unbroken = last is not None and last <= now < last + _ROW_OF_FAILURES
    return (before.failing_since or now) if unbroken else now


def find_contact(conn: Connection, peer: str) -> Contact:
    """The contact with a peer; empty when there was none yet."""
    row = conn.execute(_CONTACT, {"of_peer": peer}).one_or_none()
    return _contact(row) if row else Contact(peer=peer)


def contacts(conn: Connection) -> dict[str, Contact]:
    """All contacts by peer."""
    return {row.peer: _contact(row) for row in conn.execute(select(sync_contacts))}


def _peer(row: Any) -> Peer:
    return Peer(
        node=row.node, public_key=row.public_key, name=row.name, read_scopes=load_scopes(row.read_scopes),
        write_scopes=load_scopes(row.write_scopes), introduces=row.introduces, successor_of=row.successor_of,
        batch_bytes=row.batch_bytes,
        revoked_after=None if row.revoked_after is None else json.loads(row.revoked_after),
    )  # fmt: skip


def was_ever_verified(conn: Connection) -> bool:
    """Whether this node was found equal with any peer; True while there is none."""
    if conn.execute(select(sync_peers.c.node).limit(1)).first() is None:
        return True
    verified = select(sync_contacts.c.peer).where(sync_contacts.c.last_verified_us.is_not(None)).limit(1)
    return conn.execute(verified).first() is not None


def all_verified_since(conn: Connection, instant: datetime, tree: str) -> bool:
    """Whether every peer whose key is good, and that has a part in this tree, was found equal after this instant."""
    t, c = sync_peers.c, sync_contacts.c
    verified = select(c.peer).where(c.last_verified_us > to_us(instant))
    waiting = select(sync_peers).where(t.revoked_after.is_(None), t.node.not_in(verified))
    return not any(_peer(row).is_meant_for(Scope(tree)) for row in conn.execute(waiting))


def _contact(row: Any) -> Contact:
    data = json.loads(row.last_error_data) if row.last_error_data else None
    return Contact(
        peer=row.peer, last_contact_at=_at(row.last_contact_us), last_verified_at=_at(row.last_verified_us),
        last_error_code=row.last_error_code, last_error_at=_at(row.last_error_us),
        last_error_data=data, failing_since=_at((data or {}).get(_SINCE)),
        unsent_count=row.unsent_count, oldest_unsent_at=_at(row.oldest_unsent_us),
        offset_s=row.offset_s, version=row.version, stick_written_at=_at(row.stick_written_us),
        stick_read_at=_at(row.stick_read_us),
    )  # fmt: skip


def _at(microseconds: int | None) -> datetime | None:
    return None if microseconds is None else from_us(microseconds)


def dump_scopes(scopes: Sequence[Scope]) -> str:
    return json.dumps([parse_scope(scope) for scope in scopes])


def load_scopes(text: str) -> tuple[Scope, ...]:
    return tuple(Scope(scope) for scope in json.loads(text))


def _dump_revoked(after: Mapping[str, int] | None) -> str | None:
    return None if after is None else json.dumps(dict(after))
