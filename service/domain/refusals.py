"""Expected refusals: a rule of the house says no, and says which one.

A refusal is an answer, not an accident. It carries a code that the edge translates into the reader's language,
the form field it concerns (None = the whole form) and the data of the sentence. Nothing has been recorded.

Refused
├── Invalid        a field is missing or does not fit
├── NotAllowed     this role may not do this (domain rule c.2)
├── WrongState     the case is not where this step can be taken
└── NotFound       no such opinion, unit, station … here
"""

from __future__ import annotations


class Refused(Exception):
    """The rules do not allow this step."""

    def __init__(self, code: str, field: str | None = None, **data: str | int) -> None:
        super().__init__(code)
        self.code = code
        self.field = field
        self.data = data


class Invalid(Refused):
    """A field is missing or does not fit; `field` names it."""

    def __init__(self, field: str, code: str = "required", **data: str | int) -> None:
        super().__init__(code, field, **data)


class InvalidForm(Refused):
    """Several fields at once, so that the form shows every message in one go."""

    def __init__(self, problems: tuple[Invalid, ...]) -> None:
        super().__init__("invalid_form")
        self.problems = problems


class NotAllowed(Refused):
    """The actor's role may not take this step."""

    def __init__(self, step: str, role: str) -> None:
        super().__init__("not_allowed", None, step=step, role=role)


class WrongState(Refused):
    """The step does not fit the state the case is in."""

    def __init__(self, step: str, state: str) -> None:
        super().__init__("wrong_state", None, step=step, state=state)


class NotFound(Refused):
    """There is no such thing on this node."""

    def __init__(self, kind: str, key: str) -> None:
        super().__init__("not_found", None, kind=kind, key=key)
