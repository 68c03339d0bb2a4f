"""Heads and what follows from comparing them. Pure: no database, no clock.

A head says how far a stream is held without gaps, and the chain there. Two nodes that derive the same digest from
their own heads hold the same events in the same order.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256

from sync.events import Stream


@dataclass(frozen=True, slots=True)
class Position:
    """Up to `seq` the stream is complete; `chain` commits to all of it."""

    seq: int
    chain: bytes


Heads = dict[Stream, Position]


@dataclass(frozen=True, slots=True)
class Range:
    """Events `first` to `last` of a stream, both included."""

    stream: Stream
    first: int
    last: int


def digest(heads: Mapping[Stream, Position]) -> bytes:
    """32 bytes that two nodes share exactly when their heads are equal; order of the mapping does not matter."""
    lines = sorted((str(stream).encode(), head) for stream, head in heads.items())
    total = sha256(b"lianxin/heads/1\0")
    for name, head in lines:
        total.update(len(name).to_bytes(2, "big") + name + head.seq.to_bytes(8, "big") + head.chain)
    return total.digest()


def behind(theirs: Mapping[Stream, Position], ours: Mapping[Stream, Position]) -> list[Range]:
    """What the peer lacks of our streams, small streams first so that a backlog does not delay a short notice."""
    lacking = [
        Range(stream, _seq(theirs, stream) + 1, head.seq)
        for stream, head in ours.items()
        if head.seq > _seq(theirs, stream)
    ]
    return sorted(lacking, key=lambda part: (part.last - part.first, str(part.stream)))


def before_held(lacking: Iterable[Range], held: Iterable[Range]) -> list[Range]:
    """The ranges without what the peer keeps ready behind a gap: once the gap is filled it takes that in by itself."""
    waiting = list(held)
    return [
        Range(part.stream, part.first, min([part.last, *(
            h.first - 1 for h in waiting if h.stream == part.stream and part.first < h.first <= part.last
        )]))
        for part in lacking
    ]  # fmt: skip


def spread(low: int, high: int, count: int) -> list[int]:
    """At most `count` numbers above `low` up to `high`, evenly spaced, `high` among them."""
    width = high - low
    return sorted({low + -(-width * place // count) for place in range(1, count + 1)})


def merge(*statements: Mapping[Stream, Position]) -> Heads:
    """The furthest position named for each stream."""
    furthest: Heads = {}
    for statement in statements:
        for stream, head in statement.items():
            if stream not in furthest or head.seq > furthest[stream].seq:
                furthest[stream] = head
    return furthest


def select(heads: Mapping[Stream, Position], streams: Iterable[Stream]) -> Heads:
    """The heads of these streams, as far as there are any."""
    return {stream: heads[stream] for stream in streams if stream in heads}


def _seq(heads: Mapping[Stream, Position], stream: Stream) -> int:
    head = heads.get(stream)
    return head.seq if head else 0
