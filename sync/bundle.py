"""A bundle: ranges of streams in one signed piece, the same over HTTP and on a memory stick.

    "LXB1" | header length (4) | header | one zstd frame | producer's signature (64)

The frame holds segments, each with its length (4). A segment is a range of one stream: the exact header, salt and body
bytes as the origin stored them, column by column because equal things next to each other compress better, and the
origin's signatures over (stream, seq, chain). Whoever passes a stream on cannot change it.
Nothing here touches a database; `packing.py` fills bundles, `accepting.py` takes them in.
"""

from dataclasses import dataclass
from hashlib import sha256
from typing import Annotated, Final

import msgspec
import zstandard
from msgspec import Meta

from sync.errors import FormatUnsupported, Malformed, TooLarge
from sync.events import DIGEST_BYTES, SALT_BYTES, Origin, Scope, Stream
from sync.identity import SIGNATURE_BYTES, Identity, statement, verify
from sync.limits import BUNDLE_EVENTS_MAX, BUNDLE_SEGMENTS_MAX, HEADS_MAX, Limits

MAGIC: Final = b"LXB1"
_LENGTH_BYTES: Final = 4
_ZSTD_LEVEL: Final = 3
_WINDOW_BYTES_MAX: Final = 8 * 1024 * 1024
_UINT63_MAX: Final = 2**63 - 1

Count = Annotated[int, Meta(ge=0, le=_UINT63_MAX)]
Hex16 = Annotated[str, Meta(pattern="^[0-9a-f]{16}$")]
Digest = Annotated[bytes, Meta(min_length=DIGEST_BYTES, max_length=DIGEST_BYTES)]
Signature = Annotated[bytes, Meta(min_length=SIGNATURE_BYTES, max_length=SIGNATURE_BYTES)]
HeadEntry = tuple[Hex16, Hex16, Annotated[str, Meta(max_length=120)], Count, Digest]


class BundleHeader(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """Readable without unpacking. `keys` introduces origins; `heads` lets acknowledgements ride on a stick."""

    node: Hex16
    epoch: Hex16
    recipient: Annotated[str, Meta(max_length=16)]
    created_us: int
    software: Annotated[str, Meta(max_length=64)]
    segments: Annotated[int, Meta(ge=0, le=BUNDLE_SEGMENTS_MAX)]
    events: Annotated[int, Meta(ge=0, le=BUNDLE_EVENTS_MAX)]
    raw_bytes: Count
    keys: Annotated[list[tuple[Hex16, Digest]], Meta(max_length=BUNDLE_SEGMENTS_MAX)] = []
    heads: Annotated[list[HeadEntry], Meta(max_length=HEADS_MAX)] = []
    erasures: Count = 0
    revocations: Count = 0


class Segment(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """Events `first` … `first + len(headers) - 1` of a stream; `base` is the chain before the first.

    `bodies` holds None for an erased event, whose digest then stands in `digests`; `salts` holds the others' salts,
    one after the other.
    """

    node: Hex16
    epoch: Hex16
    scope: Annotated[str, Meta(max_length=120)]
    first: Annotated[int, Meta(ge=1, le=_UINT63_MAX)]
    base: Digest
    headers: Annotated[list[bytes], Meta(min_length=1, max_length=BUNDLE_EVENTS_MAX)]
    salts: bytes
    bodies: Annotated[list[bytes | None], Meta(min_length=1, max_length=BUNDLE_EVENTS_MAX)]
    digests: Annotated[list[Digest], Meta(max_length=BUNDLE_EVENTS_MAX)]
    signatures: Annotated[list[tuple[Count, Signature]], Meta(min_length=1, max_length=BUNDLE_EVENTS_MAX)]

    @property
    def last(self) -> int:
        return self.first + len(self.headers) - 1

    @property
    def stream(self) -> Stream:
        return Stream(Origin(self.node, self.epoch), Scope(self.scope))


@dataclass(frozen=True, slots=True)
class Bundle:
    """An unpacked bundle. Its producer's signature fits; its streams are not verified yet."""

    header: BundleHeader
    segments: tuple[Segment, ...]


_encode = msgspec.msgpack.Encoder().encode
_decode_header = msgspec.msgpack.Decoder(BundleHeader).decode
_decode_segment = msgspec.msgpack.Decoder(Segment).decode
_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError, OverflowError)


def encode_segment(segment: Segment) -> bytes:
    return _encode(segment)


def decode_segment(data: bytes | memoryview) -> Segment:
    """Raises `Malformed` for anything that is not a consistent segment."""
    try:
        segment = _decode_segment(data)
        _ = segment.stream  # its parts must form a stream
    except _UNREADABLE:
        raise Malformed(what="segment") from None
    erased = segment.bodies.count(None)
    whole = len(segment.bodies) == len(segment.headers) and len(segment.digests) == erased
    if not whole or len(segment.salts) != SALT_BYTES * (len(segment.headers) - erased):
        raise Malformed(what="segment columns")
    if segment.signatures[-1][0] != segment.last or not _rising(segment):
        raise Malformed(what="segment signatures")
    return segment


def seal_bundle(identity: Identity, header: BundleHeader, raw: bytes) -> bytes:
    """The finished bundle around framed segments, signed by its producer."""
    head = _encode(header)
    frame = zstandard.ZstdCompressor(level=_ZSTD_LEVEL).compress(raw)
    unsigned = b"".join((MAGIC, len(head).to_bytes(_LENGTH_BYTES, "big"), head, frame))
    return unsigned + identity.sign(_statement(unsigned))


def frame_segment(segment: bytes) -> bytes:
    """An encoded segment with its length before it."""
    return len(segment).to_bytes(_LENGTH_BYTES, "big") + segment


def peek(data: bytes) -> BundleHeader:
    """The header of a bundle whose signature was not checked: enough to find out who should have signed."""
    return _split(data)[0]


def unpack(data: bytes, public_key: bytes, limits: Limits) -> Bundle:
    """The bundle signed with this key. Raises `BadSignature`, `Malformed`, `TooLarge` or `FormatUnsupported`."""
    if len(data) > limits.bundle_bytes_max:
        raise TooLarge(what="bundle", bytes=len(data), ceiling=limits.bundle_bytes_max)
    header, frame = _split(data)
    unsigned, signature = data[:-SIGNATURE_BYTES], data[-SIGNATURE_BYTES:]
    verify(public_key, signature, _statement(unsigned))
    raw = _inflate(frame, header.raw_bytes, limits.bundle_raw_bytes_max)
    return Bundle(header, _segments(raw, header))


def _statement(unsigned: bytes) -> bytes:
    return statement("bundle", sha256(unsigned).digest())


def _rising(segment: Segment) -> bool:
    before = segment.first - 1
    for seq, _ in segment.signatures:
        if seq <= before:
            return False
        before = seq
    return True


def _split(data: bytes) -> tuple[BundleHeader, memoryview]:
    start = len(MAGIC) + _LENGTH_BYTES
    if data[:3] == MAGIC[:3] and data[3:4] > MAGIC[3:]:
        raise FormatUnsupported(what="bundle", format=data[3:4].hex())
    length = int.from_bytes(data[len(MAGIC) : start], "big")
    if data[: len(MAGIC)] != MAGIC or start + length + SIGNATURE_BYTES > len(data):
        raise Malformed(what="bundle layout")
    try:
        header = _decode_header(data[start : start + length])
    except _UNREADABLE:
        raise Malformed(what="bundle header") from None
    return header, memoryview(data)[start + length : -SIGNATURE_BYTES]


def _inflate(frame: memoryview, raw_bytes: int, ceiling: int) -> bytearray:
    """The decompressed frame, exactly `raw_bytes` long.

    The size is checked in our header and in the frame's own, and counted while reading: a frame's stated size alone
    must not decide how much memory is used (zstandard ignores max_output_size when the frame states one).
    """
    if raw_bytes > ceiling:
        raise TooLarge(what="bundle unpacked", bytes=raw_bytes, ceiling=ceiling)
    try:
        if zstandard.frame_content_size(frame) != raw_bytes:
            raise Malformed(what="frame size")
        raw = bytearray(raw_bytes)
        with zstandard.ZstdDecompressor(max_window_size=_WINDOW_BYTES_MAX).stream_reader(frame) as reader:
            filled, view = 0, memoryview(raw)
            while filled < raw_bytes and (count := reader.readinto(view[filled:])):
                filled += count
            if filled != raw_bytes or reader.read(1):
                raise Malformed(what="frame length")
    except zstandard.ZstdError:
        raise Malformed(what="frame") from None
    return raw


def _segments(raw: bytearray, header: BundleHeader) -> tuple[Segment, ...]:
    found: list[Segment] = []
    view, place, events = memoryview(raw), 0, 0
    while place < len(raw):
        start = place + _LENGTH_BYTES
        place = start + int.from_bytes(view[place:start], "big")
        if place > len(raw) or len(found) == header.segments:
            raise Malformed(what="segments")
        found.append(decode_segment(view[start:place]))
        events += len(found[-1].headers)
        if events > header.events:
            raise TooLarge(what="bundle events", ceiling=header.events)
    if len(found) != header.segments or events != header.events:
        raise Malformed(what="bundle counts")
    return tuple(found)
