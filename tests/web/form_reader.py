"""What a browser would send from a page if nothing were typed: the fields of its forms with their values."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser


@dataclass(slots=True)
class ReadForm:
    """One form; `values` by name, several where a name is ticked several times."""

    action: str
    method: str
    values: dict[str, list[str]] = field(default_factory=dict)


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.forms: list[ReadForm] = []
        self._select = ""
        self._first_option = ""
        self._textarea = ""
        self._text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "form":
            self.forms.append(ReadForm(action=given.get("action") or "", method=given.get("method") or "get"))
        elif not self.forms:
            return
        elif tag == "input":
            self._input(given)
        elif tag == "select":
            self._select, self._first_option = given.get("name") or "", ""
        elif tag == "option" and self._select:
            self._option(given)
        elif tag == "textarea":
            self._textarea, self._text = given.get("name") or "", ""

    def handle_data(self, data: str) -> None:
        self._text += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "textarea" and self._textarea:
            self._add(self._textarea, self._text.removeprefix("\n"))
            self._textarea = ""
        elif tag == "select" and self._select:
            if self._select not in self.forms[-1].values:
                self._add(self._select, self._first_option)
            self._select = ""

    def _input(self, given: dict[str, str | None]) -> None:
        kind, name = given.get("type") or "text", given.get("name")
        if name and (kind not in ("radio", "checkbox") or "checked" in given):
            self._add(name, given.get("value") or "")

    def _option(self, given: dict[str, str | None]) -> None:
        value = given.get("value") or ""
        self._first_option = self._first_option or value
        if "selected" in given:
            self._add(self._select, value)

    def _add(self, name: str, value: str) -> None:
        self.forms[-1].values.setdefault(name, []).append(value)


def forms(page: str) -> list[ReadForm]:
    """Forms of the page in order."""
    reader = _Reader()
    reader.feed(page)
    return reader.forms


def main_form(page: str, having: str = "csrf_token") -> ReadForm:
    """The last form that posts and has this field: the head's sign-out form comes first."""
    return next(form for form in reversed(forms(page)) if form.method == "post" and having in form.values)
