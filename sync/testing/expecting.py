"""Says which refusal a test expects, without a test framework."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

from sync.errors import SyncError

E = TypeVar("E", bound=SyncError)


@contextmanager
def refused(kind: type[E]) -> Iterator[list[E]]:
    """The block must end in this refusal; the list then holds it."""
    caught: list[E] = []
    try:
        yield caught
    except kind as error:
        caught.append(error)
    assert caught, f"{kind.__name__} was expected"
