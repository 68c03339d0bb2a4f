"""A program that knows more, or less, than this one: kinds and versions for the length of a `with`."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import make_dataclass
from typing import Any

from service.domain import facts as f
from service.domain.upcasts import UPCASTS, Upcast


@contextmanager
def knowing(*shapes: type[f.Fact], steps: dict[tuple[str, int], Upcast] | None = None) -> Iterator[None]:
    """With these shapes as today's of their kinds, and these upcasts. Steps of a replaced kind are kept."""
    kinds, upcasts = dict(f.REGISTRY), dict(UPCASTS)
    f.REGISTRY.update({shape.KIND: shape for shape in shapes})
    UPCASTS.update(steps or {})
    try:
        yield
    finally:
        f.REGISTRY.clear()
        f.REGISTRY.update(kinds)
        UPCASTS.clear()
        UPCASTS.update(upcasts)


@contextmanager
def without(*kinds: str) -> Iterator[None]:
    """As an older release, in which these kinds did not exist yet."""
    with knowing():
        for kind in kinds:
            del f.REGISTRY[kind]
        yield


def made(kind: str, version: int, *parts: tuple[str, str] | tuple[str, str, Any]) -> type[f.Fact]:
    """A shape out of (name, type) or (name, type, default), not registered yet."""
    namespace = {"KIND": kind, "VERSION": version}
    return make_dataclass("Made", parts, bases=(f.Fact,), namespace=namespace, frozen=True, kw_only=True)
