"""A form as it was sent: what was typed stays, and every refusal finds its field.

Views read values with `text`, `number`, `day` …, call one action inside `guard`, and render the same page again when
the rules said no. What cannot even be read (a number that is none) is noted by the reader and shown together with
what the domain refuses.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date

from flask import g, request
from werkzeug.datastructures import MultiDict

from service.domain.refusals import Invalid, InvalidForm, NotAllowed, NotFound, Refused, WrongState
from service.web import words

NUMBER_DIGITS_MAX = 9
UNREADABLE = -1  # below every range, so that the domain never takes it


class Form:
    """One form on one page. `errors` holds what is wrong by field, `notice` one sentence for the whole form."""

    def __init__(self, typed: MultiDict[str, str], *, sent: bool) -> None:
        self.typed = typed
        self.sent = sent
        self.errors: dict[str, list[Refused]] = {}
        self.notice = ""
        self.status = 200
        self._unreadable: dict[str, Invalid] = {}

    @classmethod
    def received(cls, **defaults: str) -> Form:
        """What was posted; on first sight the defaults, overridden by the address line where it names a field."""
        if request.method == "POST":
            return cls(MultiDict(request.form), sent=True)
        given = {name: request.args[name] for name in defaults if name in request.args}
        return cls(MultiDict({**defaults, **given}), sent=False)

    # --- reading -----------------------------------------------------------------------------------------------

    def raw(self, name: str) -> str:
        return self.typed.get(name, "")

    def text(self, name: str) -> str:
        """Without outer blanks and without characters no database takes; line ends as the ledger keeps them."""
        plain = self.raw(name).replace("\r\n", "\n").replace("\0", "")
        return plain.encode("utf-8", "ignore").decode("utf-8").strip()

    def flag(self, name: str) -> bool:
        return self.raw(name) in ("1", "on", "yes")

    def many(self, name: str) -> tuple[str, ...]:
        return tuple(value for value in self.typed.getlist(name) if value)

    def yes_no(self, name: str) -> bool | None:
        """None when neither was chosen."""
        return {"yes": True, "no": False}.get(self.raw(name))

    def number(self, name: str, default: int = 0) -> int:
        """A whole number, full-width digits included; UNREADABLE (and a message) for anything else."""
        plain = self.text(name)
        if not plain:
            return default
        if plain.isdecimal() and len(plain) <= NUMBER_DIGITS_MAX:
            return int(plain)
        self._unreadable[name] = Invalid(name, "not_a_number")
        return UNREADABLE

    def day(self, name: str) -> date | None:
        """A date such as 2026-11-23, also with dots or slashes; None (and a message, if something was typed) else."""
        plain = self.text(name).replace("/", "-").replace(".", "-")
        if not plain:
            return None
        try:
            year, month, day = (int(part) for part in plain.split("-"))
            return date(year, month, day)
        except ValueError:
            self._unreadable[name] = Invalid(name, "not_a_date")
            return None

    def forget(self, *names: str) -> None:
        """Passwords are never sent back."""
        for name in names:
            self.typed.pop(name, None)

    # --- doing -------------------------------------------------------------------------------------------------

    @contextmanager
    def guard(self) -> Iterator[None]:
        """Run an action; a refusal stays with the form. May not / no such thing is the whole page's answer."""
        try:
            yield
        except (NotAllowed, NotFound):
            raise
        except Refused as refusal:
            self.refuse(refusal)
            g.refusal = refusal.code  # the access log says why a form came back

    def settle(self) -> None:
        """Inside the unit, after the action: roll it back if something could not be read."""
        if self._unreadable:
            raise InvalidForm(tuple(self._unreadable.values()))

    def refuse(self, refusal: Refused) -> None:
        """Put each message at its field; a form-wide one on top."""
        self.status = 409 if isinstance(refusal, WrongState) else 422
        problems = refusal.problems if isinstance(refusal, InvalidForm) else (refusal,)
        kept = [problem for problem in problems if problem.field not in self._unreadable]
        for problem in sorted([*self._unreadable.values(), *kept], key=self._place):
            if problem.field is None:
                self.notice = words.refusal(problem)
            else:
                self.errors.setdefault(problem.field, []).append(problem)

    def said(self, name: str, label: str = "") -> str:
        """What is wrong with a field, naming it as the page labels it; "" if nothing is."""
        sentences = [words.refusal(problem, label) for problem in self.errors.get(name, ())]
        return " ".join(dict.fromkeys(sentences))

    def _place(self, problem: Refused) -> int:
        """Where the field stands on the page: browsers send fields in that order, those not chosen not at all."""
        names = list(self.typed)
        return names.index(problem.field) if problem.field in names else len(names)
