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
    """Base of all facts: KIND is "<subject type>.<past participle>", VERSION counts shapes of that kind.

    STATES names the fields that say what a statement is about, within its subject: a later one about the same makes it
    meaningless, and it may be dropped one day (decision 0020). None: a fact that counts for ever.
    """

    __slots__ = ()
    KIND: ClassVar[str]
    VERSION: ClassVar[int]
    STATES: ClassVar[tuple[str, ...] | None] = None


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(field,))
def fact(kind: str, version: int = 1, *, states: tuple[str, ...] | None = None) -> Callable[[type[_T]], type[_T]]:
    """Register a dataclass as today's shape of `kind`. `version` counts the shapes this kind has had, from 1.

    `states` as in `Fact.STATES`; `()` when the whole subject is stated.
    """

    def register(cls: type[_T]) -> type[_T]:
        made = dataclass(frozen=True, slots=True, kw_only=True)(cls)
        made.KIND = kind  # type: ignore[attr-defined]
        made.VERSION = version  # type: ignore[attr-defined]
        made.STATES = states  # type: ignore[attr-defined]
        if kind in REGISTRY:
            raise ValueError(f"{kind} has a shape already; an earlier one is an upcast")
        REGISTRY[kind] = made  # type: ignore[assignment]
        return made

    return register


def shape(kind: str) -> type[Fact] | None:
    """Today's dataclass of this kind; None when only a newer node knows it."""
    return REGISTRY.get(kind)
