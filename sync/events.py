"""What a stream is made of: events, their stored bytes, their digests and the chain.

An event's bytes are produced once, at the origin, and stored and sent as they are:

    header       msgpack array [lamport, kind, version, subject, occurred_us, author, once], lamport as 9 fixed bytes
    body         UTF-8 JSON, kept beside the header so that it can be erased
    salt         16 random bytes, erased together with the body: a short one could be guessed by its bare digest
    body_digest  SHA-256(salt ‖ body)
    event_id     first 16 bytes of SHA-256(header without lamport ‖ body_digest), in hex; survives a new envelope
    chain_n      SHA-256(chain_{n-1} ‖ length of header ‖ header ‖ body_digest); chain_0 comes from the stream's name

Number, id, digests and chain are recomputed by every receiver and never sent.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Final, NewType

import msgspec

from sync.errors import EventTooLarge, MalformedEvent

Scope = NewType("Scope", str)
Subject = NewType("Subject", str)

EVENT_BODY_BYTES_MAX: Final = 256 * 1024
SALT_BYTES: Final = 16
DIGEST_BYTES: Final = 32
LAMPORT_MAX: Final = 2**53
# A number above this is stored but not learned from: one broken node must not push everybody's counters to the end.
LAMPORT_LEARNED_MAX: Final = 2**48

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
# What `datetime` can hold.
OCCURRED_US_MIN: Final = -62_135_596_800_000_000
OCCURRED_US_MAX: Final = 253_402_300_799_999_999
_HEX16 = re.compile(r"[0-9a-f]{16}")
_SCOPE = re.compile(r"(?=.{1,120}\Z)[0-9a-z._-]+(?:/[0-9a-z._-]+)*")
_SUBJECT = re.compile(r"(?=[!-~]{3,160}\Z)[a-z][0-9a-z_.-]*/.+")
_TEXT = re.compile(r"[^\x00-\x1f\x7f]{1,200}")
# Array of 7 to 15 fields whose first is a 9-byte unsigned number: later versions may add fields at the end.
_HEADER_START: Final = frozenset(bytes((0x90 | fields, 0xCF)) for fields in range(7, 16))
_LAMPORT_END: Final = 10


@dataclass(frozen=True, slots=True)
class Origin:
    """Who appends: a node in one of its epochs, each 16 hex digits."""

    node: str
    epoch: str

    def __post_init__(self) -> None:
        if not (_HEX16.fullmatch(self.node) and _HEX16.fullmatch(self.epoch)):
            raise ValueError(f"not an origin: {self.node!r}.{self.epoch!r}")

    def __str__(self) -> str:
        return f"{self.node}.{self.epoch}"


@dataclass(frozen=True, slots=True)
class Stream:
    """One numbered, chained sequence of events: an origin writing in a scope."""

    origin: Origin
    scope: Scope

    def __post_init__(self) -> None:
        if not _SCOPE.fullmatch(self.scope):
            raise ValueError(f"not a scope: {self.scope!r}")

    def __str__(self) -> str:
        return f"{self.origin}/{self.scope}"


@dataclass(frozen=True, slots=True, kw_only=True)
class EventDraft:
    """A fact about to be appended.

    `once` is a key that may occur a single time within the scope. Raises ValueError for what no node would accept
    and `EventTooLarge` for a body above the ceiling: strict here, so that no stream ever stops at a peer.
    """

    kind: str
    version: int
    subject: Subject
    body: bytes
    occurred_at: datetime
    author: str
    once: str | None = None

    def __post_init__(self) -> None:
        if len(self.body) > EVENT_BODY_BYTES_MAX:
            raise EventTooLarge(bytes=len(self.body), ceiling=EVENT_BODY_BYTES_MAX, subject=self.subject)
        if self.occurred_at.tzinfo is None:
            raise ValueError("occurred_at without a time zone")
        fault = _fault_in(self.kind, self.version, self.subject, self.author, self.once)
        if fault:
            raise ValueError(f"event draft: {fault}")
        _require_json(self.body)


class Event(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A fact in the ledger. `body` is None once erased. `received_at` is this node's own clock at storing.

    A Struct because reading a ledger makes millions of them: it is built six times as fast as a frozen dataclass.
    """

    stream: Stream
    seq: int
    lamport: int
    event_id: str
    kind: str
    version: int
    subject: Subject
    occurred_at: datetime
    author: str
    once: str | None
    body: bytes | None
    received_at: datetime


class Header(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The decoded header; fields added by later versions follow and are ignored."""

    lamport: int
    kind: str
    version: int
    subject: str
    occurred_us: int
    author: str
    once: str | None


_decode_header = msgspec.msgpack.Decoder(Header).decode
_encode = msgspec.msgpack.Encoder().encode


def contains(outer: str, inner: str) -> bool:
    """Whether scope `inner` lies in scope `outer`, by whole segments: `t1` does not contain `t10`."""
    return inner == outer or inner.startswith(outer + "/")


def within(scope: str, grants: tuple[Scope, ...]) -> bool:
    """Whether any of the granted scopes contains this one."""
    return any(contains(grant, scope) for grant in grants)


def parse_scope(text: str) -> Scope:
    """The text as a scope; ValueError when it is none."""
    if not _SCOPE.fullmatch(text):
        raise ValueError(f"not a scope: {text!r}")
    return Scope(text)


def to_us(instant: datetime) -> int:
    """Microseconds since 1970 UTC of an aware datetime."""
    return (instant - _EPOCH) // _MICROSECOND


def from_us(microseconds: int) -> datetime:
    """Aware UTC datetime, exact to the microsecond."""
    return _EPOCH + timedelta(microseconds=microseconds)


def encode_header(draft: EventDraft, lamport: int) -> bytes:
    """The header's final bytes. Only the origin calls this, once per event."""
    content = _encode((draft.kind, draft.version, draft.subject, to_us(draft.occurred_at), draft.author, draft.once))
    return b"\x97\xcf" + lamport.to_bytes(8, "big") + content[1:]


def decode_header(header: bytes) -> Header:
    """Reads a stored header that was checked when it arrived."""
    return _decode_header(header)


def check_header(header: bytes) -> Header:
    """Reads a header that arrived from elsewhere; raises `MalformedEvent`, whatever the bytes are."""
    if header[:2] not in _HEADER_START:
        raise MalformedEvent(fault="header layout")
    try:
        fields = _decode_header(header)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise MalformedEvent(fault="header fields") from None
    fault = _fault_in(fields.kind, fields.version, fields.subject, fields.author, fields.once)
    if fault:
        raise MalformedEvent(fault=fault)
    if not OCCURRED_US_MIN <= fields.occurred_us <= OCCURRED_US_MAX:
        raise MalformedEvent(fault="occurred_at")
    if not 0 < fields.lamport <= LAMPORT_MAX:
        raise MalformedEvent(fault="lamport")
    return fields


def body_digest(salt: bytes, body: bytes) -> bytes:
    """SHA-256 over salt and body."""
    return sha256(salt + body).digest()


def event_id(header: bytes, digest: bytes) -> bytes:
    """16 bytes that name the fact itself, in whichever stream it travels."""
    return sha256(header[_LAMPORT_END:] + digest).digest()[:16]


def chain_start(stream: Stream) -> bytes:
    """The chain before the first event."""
    return sha256(b"lianxin/stream/1\0" + str(stream).encode()).digest()


def chain_next(previous: bytes, header: bytes, digest: bytes) -> bytes:
    """The chain after one more event."""
    return sha256(previous + len(header).to_bytes(4, "big") + header + digest).digest()


def _fault_in(kind: str, version: int, subject: str, author: str, once: str | None) -> str | None:
    """Names the first field no node may store; the database's text columns set the rules (no NUL, bounded)."""
    if not _SUBJECT.fullmatch(subject):
        return "subject"
    if not _TEXT.fullmatch(kind):
        return "kind"
    if not 0 <= version < 2**31:
        return "version"
    if not _TEXT.fullmatch(author):
        return "author"
    if once is not None and not _TEXT.fullmatch(once):
        return "once"
    return None


def _require_json(body: bytes) -> None:
    try:
        body.decode()
        msgspec.json.decode(body, type=msgspec.Raw)
    except (UnicodeDecodeError, msgspec.DecodeError, RecursionError) as error:
        raise ValueError(f"body is not UTF-8 JSON: {error}") from None
