"""How a fact gets its name: a kind, and the version of its shape.

Only today's shape of each kind is a class. Earlier shapes live on as upcasts (`service.domain.upcasts`), which lift
what was written long ago to today's shape, and as samples in `tests/domain/golden`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar, TypeVar, dataclass_transform

_T = TypeVar("_T")
REGISTRY: dict[str, type[Fact]] = {}


class Fact:
    """Base of all facts: KIND is "<subject type>.<past participle>", VERSION counts shapes of that kind."""

    __slots__ = ()
    KIND: ClassVar[str]
    VERSION: ClassVar[int]


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(field,))
def fact(kind: str, version: int = 1) -> Callable[[type[_T]], type[_T]]:
    """Register a dataclass as today's shape of `kind`. `version` counts the shapes this kind has had, from 1."""

    def register(cls: type[_T]) -> type[_T]:
        made = dataclass(frozen=True, slots=True, kw_only=True)(cls)
        made.KIND = kind  # type: ignore[attr-defined]
        made.VERSION = version  # type: ignore[attr-defined]
        if kind in REGISTRY:
            raise ValueError(f"{kind} has a shape already; an earlier one is an upcast")
        REGISTRY[kind] = made  # type: ignore[assignment]
        return made

    return register


def shape(kind: str) -> type[Fact] | None:
    """Today's dataclass of this kind; None when only a newer node knows it."""
    return REGISTRY.get(kind)
