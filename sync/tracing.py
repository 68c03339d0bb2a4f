"""What a receiver computes from a segment's bytes: digests, chains and ids. Nothing of it is ever sent."""

from dataclasses import dataclass
from hashlib import sha256

import msgspec

from sync.bundle import Segment
from sync.errors import MalformedEvent
from sync.events import EVENT_BODY_BYTES_MAX, SALT_BYTES, Stream, event_id
from sync.limits import HEADER_BYTES_MAX


@dataclass(frozen=True, slots=True)
class Traced:
    """A segment with what its receiver computes: digest of every body, chain after every event."""

    segment: Segment
    stream: Stream
    digests: list[bytes]
    chains: list[bytes]

    def names(self, start: int = 0) -> list[bytes]:
        """Event ids from index `start` on."""
        return [event_id(*pair) for pair in zip(self.segment.headers[start:], self.digests[start:], strict=True)]

    def chain_after(self, seq: int) -> bytes:
        return self.chains[seq - self.segment.first]


def trace(segment: Segment) -> Traced:
    """Digests and chains of a segment, from the base it states. Raises `MalformedEvent` for oversized parts."""
    chain = segment.base
    digests: list[bytes] = []
    chains: list[bytes] = []
    erased = iter(segment.digests)
    for header, salt, body in zip(segment.headers, salts_of(segment), segment.bodies, strict=True):
        if len(header) > HEADER_BYTES_MAX or (body is not None and len(body) > EVENT_BODY_BYTES_MAX):
            raise MalformedEvent(seq=segment.first + len(chains), fault="size")
        digest = next(erased) if body is None or salt is None else sha256(salt + body).digest()
        chain = sha256(chain + len(header).to_bytes(4, "big") + header + digest).digest()
        digests.append(digest)
        chains.append(chain)
    return Traced(segment, segment.stream, digests, chains)


def emptied(segment: Segment, names: frozenset[bytes]) -> Segment:
    """The segment without bodies and salts of these events; its chains and signatures stay true.

    Raises `MalformedEvent` for oversized parts.
    """
    traced = trace(segment)
    bodies = [
        None if name in names else body for name, body in zip(traced.names(), segment.bodies, strict=True)
    ]  # fmt: skip
    salts = [
        salt for salt, body in zip(salts_of(segment), bodies, strict=True) if salt is not None and body is not None
    ]
    digests = [digest for digest, body in zip(traced.digests, bodies, strict=True) if body is None]
    return msgspec.structs.replace(segment, bodies=bodies, salts=b"".join(salts), digests=digests)


def covers(longer: Segment, shorter: Segment) -> bool:
    """Whether the first holds all events of the second, in the same branch of the same stream."""
    if not (longer.first <= shorter.first and shorter.last <= longer.last):
        return False
    try:
        return trace(longer).chain_after(shorter.last) == trace(shorter).chains[-1]
    except MalformedEvent:
        return longer == shorter  # what no chain can be computed for


def salts_of(segment: Segment) -> list[bytes | None]:
    """The salt of each event, None where the body was erased."""
    salts = segment.salts
    cut = iter(range(0, len(salts), SALT_BYTES))
    return [None if body is None else salts[(place := next(cut)) : place + SALT_BYTES] for body in segment.bodies]
