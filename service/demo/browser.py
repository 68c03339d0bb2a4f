"""A browser without a screen: it opens pages, finds forms, fills in fields that exist and sends what a browser would.

A field or form that the page does not offer is an error here, so a story cannot post what no person could.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import urljoin, urlsplit

import requests

TIMEOUT_S = 30.0
_SILENT = frozenset({"script", "style", "template"})


class NotOffered(Exception):
    """The page has no such form, field or choice; the text names it and what there is."""


@dataclass(slots=True)
class Form:
    """A form as it stands on the page: where it leads, what is filled in, what may be chosen."""

    action: str
    method: str
    values: dict[str, list[str]] = field(default_factory=dict)
    choices: dict[str, list[str]] = field(default_factory=dict)

    def filled(self, **typed: str | list[str]) -> list[tuple[str, str]]:
        """Pairs to send. Raises NotOffered for a field or a choice that is not on the page."""
        for name, value in typed.items():
            self._check(name, value if isinstance(value, list) else [value])
        values = self.values | {name: value if isinstance(value, list) else [value] for name, value in typed.items()}
        return [(name, value) for name, several in values.items() for value in several]

    def _check(self, name: str, wanted: list[str]) -> None:
        if name not in self.values and name not in self.choices:
            raise NotOffered(f"form {self.action} has no field {name!r}, only {sorted({*self.values, *self.choices})}")
        offered = self.choices.get(name)
        missing = [value for value in wanted if offered is not None and value not in offered]
        if missing:
            raise NotOffered(f"field {name!r} of {self.action} does not offer {missing}, only {offered}")


@dataclass(slots=True)
class Page:
    """An answer: status, final address, visible text, forms, links."""

    status: int
    url: str
    html: str
    forms: list[Form]
    links: list[str]
    text: str

    @property
    def path(self) -> str:
        return urlsplit(self.url).path

    def form(self, action: str) -> Form:
        """The form whose address ends with `action`."""
        found = next((form for form in self.forms if urlsplit(form.action).path.endswith(action)), None)
        if found is None:
            there = [urlsplit(form.action).path for form in self.forms]
            raise NotOffered(f"{self.path} ({self.status}) has no form {action}, only {there}")
        return found

    def link(self, part: str) -> str:
        """The first address on the page that contains `part`."""
        found = next((link for link in self.links if part in link), None)
        if found is None:
            raise NotOffered(f"{self.path} ({self.status}) has no link with {part!r}, only {self.links}")
        return found


class Browser:
    """One person's browser at one node: keeps cookies, follows redirects."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._session = requests.Session()
        self._session.trust_env = False  # a proxy for the internet has no business on loopback
        self.opened = 0

    def open(self, path: str) -> Page:
        return self._page(self._session.get(urljoin(self._address, path), timeout=TIMEOUT_S))

    def send(self, form: Form, /, **typed: str | list[str]) -> Page:
        """Submit the form. Raises NotOffered, requests.RequestException."""
        pairs = form.filled(**typed)
        if form.method == "get":
            return self._page(self._session.get(form.action, params=pairs, timeout=TIMEOUT_S))
        return self._page(self._session.post(form.action, data=pairs, timeout=TIMEOUT_S))

    def post(self, form: Form, /, **typed: str | list[str]) -> str:
        """Submit without following: the address the answer leads to, "" when it leads nowhere."""
        answer = self._session.post(form.action, data=form.filled(**typed), timeout=TIMEOUT_S, allow_redirects=False)
        return answer.headers.get("Location", "")

    def sign_in(self, username: str, password: str) -> Page:
        page = self.open("/login")
        return self.send(page.form("/login"), username=username, password=password)

    def _page(self, answer: requests.Response) -> Page:
        self.opened += 1
        reader = _Reader(answer.url)
        answer.encoding = "utf-8"
        reader.feed(answer.text)
        return Page(status=answer.status_code, url=answer.url, html=answer.text, forms=reader.forms,
                    links=reader.links, text=" ".join(" ".join(reader.words).split()))  # fmt: skip


class _Reader(HTMLParser):
    """Collects forms, links and visible words."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self.links: list[str] = []
        self.words: list[str] = []
        self._url = url
        self._open: Form | None = None
        self._select: str | None = None
        self._textarea: str | None = None
        self._silent = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self._silent += tag in _SILENT
        if tag == "a" and "href" in given:
            self.links.append(urljoin(self._url, given["href"]))
        elif tag == "form":
            action = urljoin(self._url, given.get("action", "") or self._url)
            self._open = Form(action=action, method=given.get("method", "get").lower())
            self.forms.append(self._open)
        elif self._open is not None and given.get("name", "") + (self._select or ""):
            self._field(self._open, tag, given, checked="checked" in given, selected="selected" in given)

    def handle_endtag(self, tag: str) -> None:
        self._silent -= tag in _SILENT
        if tag == "form":
            self._open = None
        elif tag == "select":
            self._select = None
        elif tag == "textarea":
            self._textarea = None

    def handle_data(self, data: str) -> None:
        if self._open is not None and self._textarea is not None:
            self._open.values[self._textarea][0] += data.removeprefix("\n")
        if not self._silent:
            self.words.append(data)

    def _field(self, form: Form, tag: str, given: dict[str, str], *, checked: bool, selected: bool) -> None:
        name = given.get("name", "")
        if tag == "input" and given.get("type") in ("radio", "checkbox"):
            form.choices.setdefault(name, []).append(given.get("value", "on"))
            if checked:
                form.values.setdefault(name, []).append(given.get("value", "on"))
        elif tag == "input" and given.get("type") not in ("submit", "button", "image"):
            form.values.setdefault(name, []).append(given.get("value", ""))
        elif tag == "textarea":
            form.values[name] = [""]
            self._textarea = name
        elif tag == "select":
            self._select = name
            form.choices[name] = []
        elif tag == "option" and self._select is not None:
            self._option(form, self._select, given.get("value", ""), selected=selected)
        elif tag == "button" and given.get("value"):
            form.choices.setdefault(name, []).append(given["value"])  # sent only when it is pressed

    def _option(self, form: Form, name: str, value: str, *, selected: bool) -> None:
        """A list with nothing selected sends its first entry, as browsers do."""
        form.choices[name].append(value)
        if selected or name not in form.values:
            form.values[name] = [value]
