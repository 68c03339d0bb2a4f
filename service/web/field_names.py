"""The same parameter of an action is called differently on different forms; messages should name what one sees."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from service.domain.refusals import Invalid, InvalidForm


@contextmanager
def shown_as(**names: str) -> Iterator[None]:
    """Refusals of a parameter are put at the form's own field: `shown_as(text="progress")`."""
    try:
        yield
    except InvalidForm as form:
        raise InvalidForm(tuple(_renamed(problem, names) for problem in form.problems)) from form
    except Invalid as problem:
        raise _renamed(problem, names) from problem


def _renamed(problem: Invalid, names: Mapping[str, str]) -> Invalid:
    field = problem.field or ""
    return Invalid(names.get(field, field), problem.code, **problem.data)
