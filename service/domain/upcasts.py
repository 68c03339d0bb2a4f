"""Lifting what was written long ago to today's shape.

A fact keeps the bytes it was recorded with for ever; what changes is how they are read. Each upcast is a pure function
from the plain fields of one version to those of the next, so that a body of version 1 reaches version 4 in three steps
that were each written, and tested with a sample, when their version came out. An upcast is never changed afterwards.

    @upcast("opinion.explained", 1)
    def _with_attempts(fields: Plain) -> Plain:
        return fields | {"attempts": 0 if fields["confirmed"] else 2}
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from service.domain import facts as f

Plain = dict[str, Any]  # a body as JSON gives it: text, numbers, lists, objects; dates are text
Upcast = Callable[[Plain], Plain]

UPCASTS: dict[tuple[str, int], Upcast] = {}


def upcast(kind: str, version: int) -> Callable[[Upcast], Upcast]:
    """Register the step from `version` of `kind` to the next one. It must give a new mapping and do nothing else."""

    def register(step: Upcast) -> Upcast:
        if (kind, version) in UPCASTS:
            raise ValueError(f"{kind} version {version} has its upcast already")
        UPCASTS[(kind, version)] = step
        return step

    return register


def steps(kind: str, version: int) -> tuple[Upcast, ...] | None:
    """What lifts a body of this version to today's shape, in order; empty for today's version.

    None when this node cannot read it: the kind is unknown, the version is a newer one, or a step is missing.
    """
    shape = f.shape(kind)
    if shape is None or not 1 <= version <= shape.VERSION:
        return None
    found = [UPCASTS.get((kind, step)) for step in range(version, shape.VERSION)]
    return tuple(step for step in found if step is not None) if None not in found else None


def is_known(kind: str, version: int) -> bool:
    """Whether this program can read that version of that kind."""
    shape = f.shape(kind)
    return shape is not None and (version == shape.VERSION or steps(kind, version) is not None)


def known() -> frozenset[tuple[str, int]]:
    """Every (kind, version) that this program can read."""
    return frozenset(
        (kind, version)
        for kind, shape in f.REGISTRY.items()
        for version in range(1, shape.VERSION + 1)
        if is_known(kind, version)
    )


@upcast("person.erasure_confirmed", 1)
def _without_attachments(fields: Plain) -> Plain:
    return fields | {"contents": [], "kept": 0}
