"""Requests and answers: small typed messages in a signed envelope.

    "LXM1" | head length (2) | head | signature (64) | payload

The head names verb, sender, recipient and a counter; the signature covers head and payload. A sender's counter only
grows, so a request acts once, whatever the clocks say; the answer repeats the counter. Messages are msgpack arrays:
later versions add fields at the end, earlier ones ignore them.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Annotated, Final, TypeVar

import msgspec
from msgspec import Meta

from sync.bundle import Count, Digest, HeadEntry, Hex16, Signature
from sync.errors import Datum, FormatUnsupported, Malformed
from sync.events import OCCURRED_US_MAX, OCCURRED_US_MIN, Origin, Scope, Stream
from sync.identity import SIGNATURE_BYTES, Identity, statement, verify
from sync.limits import (
    BLOB_BYTES_MAX,
    BUNDLE_SEGMENTS_MAX,
    CHUNK_BYTES,
    HEADS_MAX,
    SNAPSHOT_PARTS_MAX,
    STICK_CHUNKS_MAX,
    STICK_CONTENTS_MAX,
    STICK_FILES_MAX,
    STICK_STANDINGS_MAX,
)
from sync.positions import Heads, Position

MAGIC: Final = b"LXM1"
FORMAT: Final = 1
CONTENT_TYPE: Final = "application/vnd.lianxin.sync"
CAPABILITIES: Final = ("zstd", "held", "probe", "branch", "blobs")
PROBES_MAX: Final = 64
BRANCHES_MAX: Final = 32
BLOBS_AT_ONCE: Final = 32  # in each list of a message about attached content
CHUNKS_MAX: Final = BLOB_BYTES_MAX // CHUNK_BYTES
_HEAD_START: Final = len(MAGIC) + 2

# Without control characters: PostgreSQL's text holds no NUL, and what a peer calls itself is shown to people.
Text64 = Annotated[str, Meta(max_length=64, pattern=r"^[^\x00-\x1f\x7f]*$")]
Name = Annotated[str, Meta(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]
ScopeText = Annotated[str, Meta(max_length=120)]
ScopeList = Annotated[list[ScopeText], Meta(max_length=1000)]
HeldEntry = tuple[Hex16, Hex16, ScopeText, Count, Count]
BranchPlace = tuple[Hex16, ScopeText, Count]
HeldList = Annotated[list[HeldEntry], Meta(max_length=HEADS_MAX)]
HeadList = Annotated[list[HeadEntry], Meta(max_length=HEADS_MAX)]
# An instant that a calendar can show, in microseconds since 1970: it is stored, and shown to people.
InstantUs = Annotated[int, Meta(ge=OCCURRED_US_MIN, le=OCCURRED_US_MAX)]
ChunkNumber = Annotated[int, Meta(ge=0, lt=CHUNKS_MAX)]
ChunkSet = Annotated[bytes, Meta(max_length=CHUNKS_MAX // 8)]
DigestList = Annotated[list[Digest], Meta(max_length=BLOBS_AT_ONCE)]


class _Message(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    pass


class Head(_Message, frozen=True, array_like=True, kw_only=True):
    """Of every envelope. `recipient` is empty only in an enrolment, whose sender does not know the hub yet."""

    verb: Annotated[str, Meta(max_length=16)]
    sender: Hex16
    epoch: Hex16
    recipient: Annotated[str, Meta(max_length=16)]
    counter: Count
    clock_us: InstantUs


class Versions(_Message, frozen=True, array_like=True, kw_only=True):
    """What a node speaks and which lists it holds; 0 means an empty list."""

    software: Text64
    formats: list[int] = msgspec.field(default_factory=lambda: [FORMAT])
    capabilities: list[Text64] = msgspec.field(default_factory=lambda: list(CAPABILITIES))
    erasures: Count = 0
    revocations: Count = 0


class SignedReceipt(_Message, frozen=True, array_like=True, kw_only=True):
    """A `Receipt`'s bytes with the holder's signature; kept as it is."""

    receipt: bytes
    signature: Signature


class Hello(_Message, frozen=True, array_like=True, kw_only=True):
    """Asks whether both hold the same: `summary` is the digest of all shared heads.

    `trouble` is the code of what stopped the sender last, so that the hub can name it too.
    """

    summary: Digest
    unsent: Count
    oldest_unsent_us: int | None
    offset_s: float | None
    receipt_wanted: bool
    versions: Versions
    trouble: Text64 | None = None


class HelloAnswer(_Message, frozen=True, array_like=True, kw_only=True):
    """`equal`, or else the answering side's heads and grants: the asking side's scopes, as the answering side has them.

    `wait_s` asks the sender to come back later; `held` names ranges (first, last) that wait for what precedes them.
    `branches` names places (epoch, scope, number) where the sender's own streams were refused as forks: only it can
    take those events up again.
    `blobs_wanted` is a digest of the attached content the answering side lacks, empty when it lacks none; `blobs_mark`
    grows whenever it has completed some, so that who lacked it knows when asking is worth a request.
    """

    equal: bool
    heads: HeadList
    held: HeldList
    read_scopes: ScopeList
    write_scopes: ScopeList
    name: Name
    versions: Versions
    receipt: SignedReceipt | None = None
    wait_s: Count = 0
    branches: Annotated[list[BranchPlace], Meta(max_length=BRANCHES_MAX)] = []
    blobs_wanted: Annotated[bytes, Meta(max_length=32)] = b""
    blobs_mark: Count = 0


class Branch(_Message, frozen=True, array_like=True, kw_only=True):
    """Asks for a branch that is kept here for the asker, by its place: of its own streams, or of a withdrawn key's."""

    epoch: Hex16
    scope: ScopeText
    seq: Count


class BranchAnswer(_Message, frozen=True, array_like=True, kw_only=True):
    """The refused segment as it came, None when it was settled meanwhile. `keys`: of its origin, if not the asker's."""

    segment: bytes | None
    keys: Annotated[list[tuple[Hex16, Digest]], Meta(max_length=1)] = []


class PushAnswer(_Message, frozen=True, array_like=True, kw_only=True):
    """What became of a bundle: counts, where its streams stand now, streams that were refused, and the receipt."""

    stored: Count
    known: Count
    held: Count
    heads: HeadList
    refusals: Annotated[list[tuple[Text64, dict[str, Datum]]], Meta(max_length=1000)]
    receipt: SignedReceipt


class Pull(_Message, frozen=True, array_like=True, kw_only=True):
    """Asks for what lies above these heads, in one bundle of about this size; `snapshots`: or be told to take one."""

    heads: HeadList
    raw_bytes: Count
    events: Count
    snapshots: bool = False


class PullAnswer(_Message, frozen=True, array_like=True, kw_only=True):
    """One bundle, or None when there is nothing (more), or when a snapshot is to be taken first: `reseed` says why.

    `horizons` of the streams of which the asking side holds less than was kept in full.
    """

    bundle: bytes | None
    reseed: Text64 = ""
    horizons: HeadList = []


class Probe(_Message, frozen=True, array_like=True, kw_only=True):
    """Asks for the chain of a stream after each of these numbers: so the place where two branches part is found."""

    node: Hex16
    epoch: Hex16
    scope: ScopeText
    seqs: Annotated[list[Count], Meta(max_length=PROBES_MAX)]


class ProbeAnswer(_Message, frozen=True, array_like=True, kw_only=True):
    """One chain per number asked for, empty beyond the head."""

    chains: Annotated[list[Annotated[bytes, Meta(max_length=32)]], Meta(max_length=PROBES_MAX)]


class Enrol(_Message, frozen=True, array_like=True, kw_only=True):
    """A new node's key, vouched for by whoever knows the code: `mac` is keyed by it."""

    code_id: Annotated[bytes, Meta(min_length=16, max_length=16)]
    public_key: Digest
    mac: Digest
    versions: Versions


class EnrolAnswer(_Message, frozen=True, array_like=True, kw_only=True):
    """The hub's key, vouched for by the same code, and the scopes of the new node."""

    public_key: Digest
    mac: Digest
    name: Name
    given_name: Name
    read_scopes: ScopeList
    write_scopes: ScopeList


class BlobOffer(_Message, frozen=True, array_like=True, kw_only=True):
    """Content that the sender has, or has in part: its chunks' digests one after the other, and which lie there.

    A set of chunks is a row of bits, the first chunk's the lowest of the first byte.
    """

    digest: Digest
    size: Annotated[int, Meta(ge=0, le=BLOB_BYTES_MAX)]
    hashes: Annotated[bytes, Meta(max_length=CHUNKS_MAX * 32)]
    chunks: ChunkSet


class BlobStanding(_Message, frozen=True, array_like=True, kw_only=True):
    """How offered content stands at the receiver: its state there, or the code of why it is not taken."""

    digest: Digest
    state: Text64
    chunks: ChunkSet = b""


class Blobs(_Message, frozen=True, array_like=True, kw_only=True):
    """States what the asking side has and what it lacks."""

    offers: Annotated[list[BlobOffer], Meta(max_length=BLOBS_AT_ONCE)]
    wants: DigestList


class BlobsAnswer(_Message, frozen=True, array_like=True, kw_only=True):
    """How each offer stands here, what is here of what was asked for, and some of what is lacking here."""

    standings: Annotated[list[BlobStanding], Meta(max_length=BLOBS_AT_ONCE)]
    offers: Annotated[list[BlobOffer], Meta(max_length=BLOBS_AT_ONCE)]
    wants: DigestList


class ChunkPut(_Message, frozen=True, array_like=True, kw_only=True):
    """One chunk of content that was offered before."""

    digest: Digest
    number: ChunkNumber
    data: Annotated[bytes, Meta(max_length=CHUNK_BYTES)]


class ChunkPutAnswer(_Message, frozen=True, array_like=True, kw_only=True):
    """How the content stands after it. Never an error of the request: those would be taken for the events' own."""

    standing: BlobStanding


class ChunkGet(_Message, frozen=True, array_like=True, kw_only=True):
    """Asks for one chunk."""

    digest: Digest
    number: ChunkNumber


class ChunkGetAnswer(_Message, frozen=True, array_like=True, kw_only=True):
    """The chunk, or None when it is not here (any more) or not the asking side's to have."""

    data: Annotated[bytes, Meta(max_length=CHUNK_BYTES)] | None


class Snapshot(_Message, frozen=True, array_like=True, kw_only=True):
    """Asks for a snapshot of what the asking side may read above these heads."""

    heads: HeadList


class SnapshotPart(_Message, frozen=True, array_like=True, kw_only=True):
    """One part: a bundle of one stream's events `first` to `last`, named by its SHA-256. `chain`: after the last."""

    digest: Digest
    bytes: Count
    node: Hex16
    epoch: Hex16
    scope: ScopeText
    first: Annotated[int, Meta(ge=1)]
    last: Annotated[int, Meta(ge=1)]
    chain: Digest


class SnapshotManifest(_Message, frozen=True, array_like=True, kw_only=True):
    """What a holder states to hold: per stream how far its parts lead, the horizon it was shortened to, and the parts.

    Signed by itself, so that it proves something also when it is read days after it was asked for.
    """

    holder: Hex16
    holder_epoch: Hex16
    at_us: int
    heads: HeadList
    horizons: HeadList
    parts: Annotated[list[SnapshotPart], Meta(max_length=SNAPSHOT_PARTS_MAX)]
    format: int = FORMAT


class SnapshotAnswer(_Message, frozen=True, array_like=True, kw_only=True):
    """A `SnapshotManifest`'s bytes with the holder's signature; `wait_s`: the parts are being made, ask again then."""

    manifest: bytes
    signature: Signature
    wait_s: Count = 0


class PartGet(_Message, frozen=True, array_like=True, kw_only=True):
    """Asks for one part."""

    digest: Digest


class PartAnswer(_Message, frozen=True, array_like=True, kw_only=True):
    """The part, or None when it is not here (any more) or not the asking side's to have: ask for a new manifest."""

    data: bytes | None


class Receipt(_Message, frozen=True, array_like=True, kw_only=True):
    """A holder's statement: of the streams of `node` I hold these, at this time of my clock."""

    holder: Hex16
    holder_epoch: Hex16
    node: Hex16
    at_us: InstantUs
    heads: HeadList
    format: int = FORMAT


class StickFile(_Message, frozen=True, array_like=True, kw_only=True):
    """One encrypted bundle on a memory stick. `ranges`: stream, first and last number, and the chain after the last."""

    name: Annotated[str, Meta(max_length=80)]
    bytes: Count
    sha256: Digest
    ranges: Annotated[list[tuple[Hex16, Hex16, ScopeText, Count, Count, Digest]], Meta(max_length=BUNDLE_SEGMENTS_MAX)]


class StickContent(_Message, frozen=True, array_like=True, kw_only=True):
    """One encrypted file with chunks of attached content. `pieces`: of which content which chunks are in it."""

    name: Annotated[str, Meta(max_length=80)]
    bytes: Count
    sha256: Digest
    pieces: Annotated[list[tuple[Digest, ChunkSet]], Meta(max_length=STICK_CHUNKS_MAX)]


class StickPack(_Message, frozen=True, array_like=True, kw_only=True):
    """What a `StickContent` holds: each content's chunk list, then chunks."""

    offers: Annotated[list[BlobOffer], Meta(max_length=STICK_CHUNKS_MAX)]
    chunks: Annotated[list[ChunkPut], Meta(max_length=STICK_CHUNKS_MAX)]


class StickManifest(_Message, frozen=True, array_like=True, kw_only=True):
    """What lies on a memory stick for one node, and what its producer holds of all streams both share.

    `seen`: the highest counter of the recipient's that the producer has seen, so that both know what is newer.
    `contents` are files of attached content, `standings` how such content stands at the producer, `scopes` what a hub
    lets the recipient read and write; a program of before knows none of them.
    """

    files: Annotated[list[StickFile], Meta(max_length=STICK_FILES_MAX)]
    heads: HeadList
    seen: Count
    versions: Versions
    receipt: SignedReceipt
    contents: Annotated[list[StickContent], Meta(max_length=STICK_CONTENTS_MAX)] = []
    standings: Annotated[list[BlobStanding], Meta(max_length=STICK_STANDINGS_MAX)] = []
    scopes: tuple[ScopeList, ScopeList] | None = None


@dataclass(frozen=True, slots=True)
class Envelope:
    """A parsed envelope whose signature was not checked yet."""

    head: Head
    payload: bytes
    _signature: bytes
    _head_bytes: bytes

    def verify(self, domain: str, public_key: bytes) -> None:
        """Raises `BadSignature` unless the sender's key signed this as a `domain` ("request", "answer" or "stick")."""
        verify(public_key, self._signature, _statement(domain, self._head_bytes, self.payload))


M = TypeVar("M", bound=_Message)

_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError, OverflowError)
_encode = msgspec.msgpack.Encoder().encode
_decode_head = msgspec.msgpack.Decoder(Head).decode


def encode(message: _Message) -> bytes:
    return _encode(message)


def decode(payload: bytes, kind: type[M]) -> M:
    """The payload as this message; raises `Malformed`."""
    try:
        return msgspec.msgpack.decode(payload, type=kind)
    except _UNREADABLE:
        raise Malformed(what=kind.__name__) from None


def enclose(identity: Identity, domain: str, head: Head, payload: bytes) -> bytes:
    """The signed envelope."""
    head_bytes = _encode(head)
    signature = identity.sign(_statement(domain, head_bytes, payload))
    return b"".join((MAGIC, len(head_bytes).to_bytes(2, "big"), head_bytes, signature, payload))


def open_envelope(data: bytes) -> Envelope:
    """Takes an envelope apart. Raises `Malformed` or `FormatUnsupported`."""
    if data[:3] == MAGIC[:3] and data[3:4] > MAGIC[3:]:
        raise FormatUnsupported(what="message", format=data[3:4].hex())
    head_end = _HEAD_START + int.from_bytes(data[len(MAGIC) : _HEAD_START], "big")
    payload_start = head_end + SIGNATURE_BYTES
    if data[: len(MAGIC)] != MAGIC or len(data) < payload_start:
        raise Malformed(what="envelope")
    head_bytes = data[_HEAD_START:head_end]
    try:
        head = _decode_head(head_bytes)
    except _UNREADABLE:
        raise Malformed(what="head") from None
    return Envelope(head, data[payload_start:], data[head_end:payload_start], head_bytes)


def dump_heads(heads: Mapping[Stream, Position]) -> list[HeadEntry]:
    """Heads in a fixed order."""
    ordered = sorted(heads.items(), key=lambda entry: str(entry[0]))
    return [(s.origin.node, s.origin.epoch, s.scope, head.seq, head.chain) for s, head in ordered]


def load_heads(entries: list[HeadEntry]) -> Heads:
    """Heads out of a message; raises `Malformed` for a name that is no stream."""
    try:
        return {Stream(Origin(n, e), Scope(scope)): Position(seq, chain) for n, e, scope, seq, chain in entries}
    except ValueError:
        raise Malformed(what="heads") from None


def dump_chunks(numbers: Iterable[int]) -> bytes:
    """A set of chunk numbers as bits."""
    bits = sum(1 << number for number in set(numbers))
    return bits.to_bytes((bits.bit_length() + 7) // 8, "little")


def load_chunks(bits: bytes) -> frozenset[int]:
    """The chunk numbers in it."""
    value = int.from_bytes(bits, "little")
    return frozenset(number for number in range(len(bits) * 8) if value >> number & 1)


def sign_receipt(identity: Identity, receipt: Receipt) -> SignedReceipt:
    data = _encode(receipt)
    return SignedReceipt(receipt=data, signature=identity.sign(statement("receipt", data)))


def open_receipt(signed: SignedReceipt, public_key: bytes) -> Receipt:
    """The receipt, if the holder's key signed it. Raises `BadSignature` or `Malformed`."""
    verify(public_key, signed.signature, statement("receipt", signed.receipt))
    return decode(signed.receipt, Receipt)


def sign_snapshot(identity: Identity, manifest: SnapshotManifest, wait_s: int = 0) -> SnapshotAnswer:
    data = _encode(manifest)
    return SnapshotAnswer(manifest=data, signature=identity.sign(statement("snapshot", data)), wait_s=wait_s)


def open_snapshot(manifest: bytes, signature: bytes, public_key: bytes) -> SnapshotManifest:
    """The manifest, if the holder's key signed it. Raises `BadSignature` or `Malformed`."""
    verify(public_key, signature, statement("snapshot", manifest))
    return decode(manifest, SnapshotManifest)


def _statement(domain: str, head: bytes, payload: bytes) -> bytes:
    return statement(domain, head, sha256(payload).digest())
