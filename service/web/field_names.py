"""The same parameter of an action is called differently on different forms; messages should name what one sees."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from service.domain.refusals import Invalid


@contextmanager
def shown_as(**names: str) -> Iterator[None]:
    """Refusals of a parameter are put at the form's own field: `shown_as(text="progress")`."""
    try:
        yield
    except Invalid as problem:
        if problem.field not in names:
            raise
        raise Invalid(names[problem.field], problem.code, **problem.data) from problem
