"""Facts to bytes and back. Bytes are made once, when the fact is recorded; nothing re-encodes them later."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import msgspec

from service.domain import facts as f
from service.domain import upcasts
from service.domain.record import Author, Recorded
from sync.events import Event

_encoder = msgspec.json.Encoder()
_BROKEN = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class UnreadableFact(Exception):
    """The body does not have the shape that its kind and version promise. `field` names the place, if it is one."""

    @property
    def field(self) -> str:
        """`… - at `$.affected`` → affected; "" when the whole does not fit."""
        place = str(self).rpartition("`$.")[2] if "`$." in str(self) else ""
        return place.partition("`")[0].partition("[")[0].partition(".")[0]


class UndecodableFact(UnreadableFact):
    """The body is not even JSON: no later version of this program will read it."""


def encode(fact: f.Fact) -> bytes:
    """UTF-8 JSON of the fact's fields."""
    return _encoder.encode(fact)


def decode(kind: str, version: int, body: bytes) -> f.Fact | None:
    """The fact in today's shape; None when this node does not know the kind or version. Raises UnreadableFact."""
    shape = f.shape(kind)
    try:
        if shape is not None and version == shape.VERSION:
            return _decoder(shape).decode(body)  # type: ignore[no-any-return]
        return _lifted(kind, version, body)
    except _BROKEN as error:
        unreadable = UnreadableFact if _is_json(body) else UndecodableFact
        raise unreadable(f"{kind} v{version}: {error}") from error


def fields(body: bytes | None) -> dict[str, Any]:
    """What a record says, as far as it says anything: its fields as they stand, empty when it is no object."""
    try:
        said = msgspec.json.decode(body or b"{}")
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


def plain(fact: f.Fact) -> upcasts.Plain:
    """The fact's fields as JSON gives them."""
    fields: upcasts.Plain = msgspec.json.decode(encode(fact))
    return fields


def from_plain(kind: str, fields: Mapping[str, Any]) -> f.Fact:
    """A fact in today's shape of a known kind out of what a person typed: numbers and dates may be text.

    Raises UnreadableFact, which names the field.
    """
    try:
        fact: f.Fact = msgspec.convert(dict(fields), f.REGISTRY[kind], strict=False)
    except msgspec.ValidationError as error:
        raise UnreadableFact(f"{kind}: {error}") from error
    return fact


@lru_cache(maxsize=512)
def _decoder(shape: type[f.Fact]) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(shape)


def _lifted(kind: str, version: int, body: bytes) -> f.Fact | None:
    """A body of an earlier version, lifted step by step."""
    steps, shape = upcasts.steps(kind, version), f.shape(kind)
    if steps is None or shape is None:
        return None
    plain: upcasts.Plain = msgspec.json.decode(body, type=dict[str, Any])
    for number, step in enumerate(steps, start=version):
        try:
            plain = step(plain)
        except Exception as error:
            # The error's own words may quote what a citizen said.
            raise UnreadableFact(f"{kind} v{number} to v{number + 1}: {type(error).__name__}") from error
    return msgspec.convert(plain, shape)


def _is_json(body: bytes) -> bool:
    try:
        msgspec.json.decode(body)
    except _BROKEN:
        return False
    return True


_author = lru_cache(maxsize=4096)(Author.parse)  # a few dozen people write all there is


def recorded(event: Event, hub_nodes: frozenset[str]) -> Recorded:
    """The event as the domain sees it. Raises UnreadableFact."""
    fact = None if event.body is None else decode(event.kind, event.version, event.body)
    return Recorded(
        event_id=event.event_id, kind=event.kind, fact=fact, occurred_at=event.occurred_at,
        received_at=event.received_at, author=_author(event.author),
        from_hub=event.stream.origin.node in hub_nodes, erased=event.body is None,
    )  # fmt: skip
