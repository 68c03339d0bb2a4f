"""What a receiver computes from a segment's bytes: digests, chains and ids. Nothing of it is ever sent."""

from dataclasses import dataclass
from hashlib import sha256

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


def salts_of(segment: Segment) -> list[bytes | None]:
    """The salt of each event, None where the body was erased."""
    salts = segment.salts
    cut = iter(range(0, len(salts), SALT_BYTES))
    return [None if body is None else salts[(place := next(cut)) : place + SALT_BYTES] for body in segment.bodies]
