"""A new node and its hub get to know each other by a one-time code that people pass on.

The code is never sent. Both sides prove with it (HMAC) that the public key they show is theirs, so neither a listener
nor somebody in between can enrol, and the new node knows for certain whose hub it has reached.
"""

import hmac
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, Final

from sqlalchemy import Connection, delete, select, update

from sync import peers, replacing, wire
from sync.errors import AnswerCut, BadSignature, CodeRefused, Malformed
from sync.events import Scope, parse_scope, to_us
from sync.identity import Identity
from sync.peers import Peer
from sync.replica import Replica
from sync.tables import sync_enrolment_codes as t
from sync.transport import Transport

# 12 characters of 32: 60 random bits. Without letters that are mistaken for another when spoken or written.
_ALPHABET: Final = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
_CODE_CHARACTERS: Final = 12
CODE_VALID_FOR: Final = timedelta(days=7)


# What the application does when one node's key was withdrawn because another one took its place: (old, new).
Replaced = Callable[[Connection, Peer, Peer], None]


@dataclass(frozen=True, slots=True)
class Enrolled:
    """The hub as a peer of the new node; `name` is what the hub calls the new node."""

    hub: Peer
    name: str
    scopes: tuple[Scope, ...]


# --- at the hub ------------------------------------------------------------------------------------------------


def issue_code(
    conn: Connection,
    *,
    name: str,
    read_scopes: Sequence[Scope],
    write_scopes: Sequence[Scope],
    now: datetime,
    valid_for: timedelta = CODE_VALID_FOR,
    successor_of: str | None = None,
    random_bytes: Callable[[int], bytes] = os.urandom,
) -> str:
    """A code such as `7KQM-3XWD-PA9R` that enrols one node with these scopes. Shown once; it is not stored."""
    # 32 letters: every byte gives each of them equally often.
    letters = "".join(_ALPHABET[byte % len(_ALPHABET)] for byte in random_bytes(_CODE_CHARACTERS))
    _forget_expired(conn, now)
    conn.execute(
        t.insert().values(
            code_id=_code_id(letters), code_key=_code_key(letters), name=name, successor_of=successor_of,
            read_scopes=peers.dump_scopes(read_scopes), write_scopes=peers.dump_scopes(write_scopes),
            issued_us=to_us(now), expires_us=to_us(now + valid_for),
        )
    )  # fmt: skip
    return "-".join(letters[place : place + 4] for place in range(0, _CODE_CHARACTERS, 4))


def redeem(
    conn: Connection,
    identity: Identity,
    hub_name: str,
    node: str,
    asked: wire.Enrol,
    now: datetime,
    replaced: Replaced = lambda _conn, _old, _new: None,
) -> wire.EnrolAnswer:
    """Enrol the asking node. A repeated request of the same node gets the same answer: the first may have been lost.

    A code that replaces another node withdraws that one's key in the same transaction, and `replaced` is told.

    Raises `CodeRefused`, or `NodeTaken` when the id is enrolled with another key.
    """
    row = conn.execute(select(t).where(t.c.code_id == asked.code_id).with_for_update()).one_or_none()
    if row is None or row.expires_us <= to_us(now) or row.code_key is None:
        raise CodeRefused()
    if not hmac.compare_digest(asked.mac, _mac(row.code_key, "node", node, asked.public_key)):
        raise CodeRefused()
    if row.used_by is not None and row.used_by != node:
        raise CodeRefused()
    peer = _new_peer(row, node, asked.public_key)
    peers.add_peer(conn, peer, now)
    if row.successor_of is not None and replacing.withdraw(conn, row.successor_of, now):
        replaced(conn, peers.get_peer(conn, row.successor_of), peer)
    conn.execute(update(t).where(t.c.code_id == asked.code_id).values(used_by=node, used_us=to_us(now)))
    return wire.EnrolAnswer(
        public_key=identity.public_key, mac=_mac(row.code_key, "hub", identity.node, identity.public_key),
        name=hub_name, given_name=row.name, read_scopes=list(peer.read_scopes), write_scopes=list(peer.write_scopes),
    )  # fmt: skip


def _new_peer(row: Any, node: str, public_key: bytes) -> Peer:
    return Peer(
        node=node, public_key=public_key, name=row.name, successor_of=row.successor_of,
        read_scopes=peers.load_scopes(row.read_scopes), write_scopes=peers.load_scopes(row.write_scopes),
    )  # fmt: skip


def _forget_expired(conn: Connection, now: datetime) -> None:
    """Expired codes serve nobody; their keys go with them."""
    conn.execute(delete(t).where(t.c.expires_us <= to_us(now)))


# --- at the new node -------------------------------------------------------------------------------------------


def enrol(replica: Replica, transport: Transport, code: str) -> Enrolled:
    """Enrol at the hub behind `transport` and keep it as a peer. Safe to repeat with the same code.

    Raises `CodeRefused` for a code that cannot be one, before anything is sent, and whatever the hub refuses by name.
    """
    letters = _letters(code)
    key = _code_key(letters)
    identity = replica.identity
    with replica.engine.begin() as conn:
        versions, epoch = replica.versions(conn), replica.epoch(conn)
    asked = wire.Enrol(
        code_id=_code_id(letters), public_key=identity.public_key,
        mac=_mac(key, "node", identity.node, identity.public_key), versions=versions,
    )  # fmt: skip
    request = wire.enclose(identity, "request", replica.head("enrol", epoch, "", 0), wire.encode(asked))
    hub, answer = _hub(transport.post("enrol", request), key)
    hub = replace(hub, read_scopes=replica.offered(hub.read_scopes), write_scopes=replica.offered(hub.write_scopes))
    with replica.engine.begin() as conn:
        peers.add_peer(conn, hub, replica.now())
    return Enrolled(hub, answer.given_name, hub.shared_scopes)


def _hub(data: bytes, key: bytes) -> tuple[Peer, wire.EnrolAnswer]:
    """The hub as our peer, its key vouched for by the code. What it lets us read, it may write to us."""
    try:
        envelope = wire.open_envelope(data)
        answer = wire.decode(envelope.payload, wire.EnrolAnswer)
        envelope.verify("answer", answer.public_key)
        scopes = [tuple(parse_scope(s) for s in given) for given in (answer.write_scopes, answer.read_scopes)]
    except (Malformed, BadSignature, ValueError) as error:
        raise AnswerCut(cause=type(error).__name__) from error
    if not hmac.compare_digest(answer.mac, _mac(key, "hub", envelope.head.sender, answer.public_key)):
        raise BadSignature(whose="hub")
    hub = Peer(
        node=envelope.head.sender, public_key=answer.public_key, name=answer.name,
        read_scopes=scopes[0], write_scopes=scopes[1], introduces=True,
    )  # fmt: skip
    return hub, answer


def _letters(code: str) -> str:
    """The code without what people put between the letters. Raises `CodeRefused`."""
    letters = "".join(code.upper().split()).replace("-", "")
    if len(letters) != _CODE_CHARACTERS or not set(letters) <= set(_ALPHABET):
        raise CodeRefused(fault="spelling")
    return letters


def _code_id(letters: str) -> bytes:
    return sha256(b"lianxin/code-id/1\0" + letters.encode()).digest()[:16]


def _code_key(letters: str) -> bytes:
    return sha256(b"lianxin/code-key/1\0" + letters.encode()).digest()


def _mac(key: bytes, role: str, node: str, public_key: bytes) -> bytes:
    return hmac.digest(key, b"\0".join((role.encode(), node.encode(), public_key)), "sha256")
