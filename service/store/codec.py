"""Facts to bytes and back. Bytes are made once, when the fact is recorded; nothing re-encodes them later."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import msgspec

from service.domain import facts as f
from service.domain.record import Author, Recorded
from sync.events import Event

_encoder = msgspec.json.Encoder()


class UnreadableFact(Exception):
    """The body does not have the shape that its kind and version promise."""


def encode(fact: f.Fact) -> bytes:
    """UTF-8 JSON of the fact's fields."""
    return _encoder.encode(fact)


@lru_cache(maxsize=512)
def _decoder(kind: str, version: int) -> msgspec.json.Decoder[Any] | None:
    shape = f.shape(kind)
    return msgspec.json.Decoder(shape) if shape is not None and version == shape.VERSION else None


def decode(kind: str, version: int, body: bytes) -> f.Fact | None:
    """The fact; None when this node does not know the kind or version. Raises UnreadableFact."""
    decoder = _decoder(kind, version)
    if decoder is None:
        return None
    try:
        return decoder.decode(body)  # type: ignore[no-any-return]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise UnreadableFact(f"{kind} v{version}: {error}") from error


_author = lru_cache(maxsize=4096)(Author.parse)  # a few dozen people write all there is


def recorded(event: Event, hub_nodes: frozenset[str]) -> Recorded:
    """The event as the domain sees it. Raises UnreadableFact."""
    fact = None if event.body is None else decode(event.kind, event.version, event.body)
    return Recorded(
        event_id=event.event_id, kind=event.kind, fact=fact, occurred_at=event.occurred_at,
        received_at=event.received_at, author=_author(event.author),
        from_hub=event.stream.origin.node in hub_nodes, erased=event.body is None,
    )  # fmt: skip
