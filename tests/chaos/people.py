"""People who go on working while everything breaks: they fill in real pages, and remember what they were promised.

A promise is the answer that leads on to the receipt (or to the dispatch note, or back to the case with its photo). Who
gets none does what a person does: waits a moment and sends the same form again, or goes home.
"""

from __future__ import annotations

import random
import re
import threading
import uuid
from dataclasses import dataclass, field

import requests

from service.demo.browser import Browser, Form, NotOffered
from service.demo.playing import StoryFailed
from tests.documents.photos import noisy

PATIENCE_S = 0.3  # before somebody tries again
PHOTO_EVERY = 12
DISPATCH_EVERY_S = 1.5
TITLE = "乱中登记的虚构意见 "  # what stands behind it is the form's number, so that a double is known by what it says
_SCREENING = re.compile(r"/hub/screening/([0-9a-f-]+)")


@dataclass(slots=True)
class Promises:
    """What the pages acknowledged, and what they left open. Written by one person each, read when all have stopped."""

    opinions: dict[str, str] = field(default_factory=dict)  # form number → opinion id
    unanswered: set[str] = field(default_factory=set)  # form numbers that never got an answer
    photos: set[str] = field(default_factory=set)  # opinion ids
    dispatched: set[str] = field(default_factory=set)  # opinion ids
    failures: int = 0
    slowest_s: float = 0.0


class Person(threading.Thread):
    """Works until told to stop. Whatever the page or the line does, they try again."""

    def __init__(self, name: str, address: str, password: str, seed: int, pause_s: float) -> None:
        super().__init__(name=name, daemon=True)
        self.promises = Promises()
        self._address, self._password, self._pause_s = address, password, pause_s
        self._dice = random.Random(seed)
        self._leaving = threading.Event()
        self._browser: _Browser | None = None

    def run(self) -> None:
        while not self._leaving.is_set():
            try:
                self._work(self._browser or self._sign_in())
                self._leaving.wait(self._dice.uniform(0.2, 1.8) * self._pause_s)
            except (requests.RequestException, NotOffered, StoryFailed):
                self.promises.failures += 1
                self._after_failure()
                self._leaving.wait(PATIENCE_S)

    def leave(self) -> None:
        self._leaving.set()

    def _work(self, browser: _Browser) -> None:
        raise AssertionError(f"{type(self).__name__} has nothing to do")

    def _after_failure(self) -> None:
        """Forget what may no longer be true."""

    def _sign_in(self) -> _Browser:
        browser = _Browser(self._address)
        page = browser.sign_in(self.name, self._password)
        if page.path == "/login" or page.status != 200:
            raise StoryFailed(f"{self.name} cannot sign in now ({page.status})")
        self._browser = browser
        return browser

    def _opened(self, browser: _Browser, path: str, action: str) -> Form:
        """The form on a page; a session that has ended is begun anew."""
        page = browser.open(path)
        if page.path == "/login":
            self._browser = None
        return page.form(action)


class Recorder(Person):
    """A liaison officer at a station: one form after the other, now and then with a photo."""

    def __init__(self, name: str, address: str, password: str, seed: int, pause_s: float) -> None:
        super().__init__(name, address, password, seed, pause_s)
        self._form: Form | None = None
        self._again: list[str] = []

    def _work(self, browser: _Browser) -> None:
        self._form = self._form or self._opened(browser, "/opinions/new", "/opinions/new")
        number = self._again.pop() if self._again and self._dice.random() < 0.7 else uuid.uuid4().hex
        self.promises.unanswered.add(number)
        led_to = browser.post(self._form, form=number, title=TITLE + number, body="正在填写时断电。(虚构)",
                              name="某群众(虚构)", notice_read="1")  # fmt: skip
        if not led_to.endswith("/receipt"):
            raise StoryFailed(f"no receipt, but {led_to!r}")
        opinion = led_to.rsplit("/", 2)[1]
        self.promises.unanswered.discard(number)
        self.promises.opinions[number] = opinion
        if self._dice.randrange(PHOTO_EVERY) == 0:
            self._attach(browser, opinion)

    def _attach(self, browser: _Browser, opinion: str) -> None:
        form = browser.open(f"/opinions/{opinion}").form(f"/opinions/{opinion}/attachments")
        size = self._dice.randrange(160, 400)
        if f"/opinions/{opinion}" in browser.send_photo(form, noisy(size, size)):
            self.promises.photos.add(opinion)

    def _after_failure(self) -> None:
        self._form = None
        self._again = sorted(self.promises.unanswered)[-20:]


class Clerk(Person):
    """The hub's clerk: opens the inbox, assigns what is first in it."""

    def _work(self, browser: _Browser) -> None:
        page = browser.open("/hub/inbox")
        if page.path == "/login":
            self._browser = None
        waiting = _SCREENING.findall(" ".join(page.links))
        if not waiting:
            return
        opinion = self._dice.choice(waiting)
        path = f"/hub/screening/{opinion}/assign"
        form = self._opened(browser, path, path)
        led_to = browser.post(form, unit="water", requirement="请办理。", duty_basis="职责范围")
        if not led_to.endswith("/dispatch-note"):
            raise StoryFailed(f"no dispatch note, but {led_to!r}")
        self.promises.dispatched.add(opinion)


class _Browser(Browser):
    def send_photo(self, form: Form, content: bytes) -> str:
        """Where the answer leads to; "" when nowhere."""
        files = {"files": ("现场.jpg", content, "image/jpeg")}
        values = [pair for pair in form.filled(caption="现场") if pair[0] != "files"]
        answer = self._session.post(form.action, data=values, files=files, timeout=30, allow_redirects=False)
        return answer.headers.get("Location", "")


def leave_all(people: list[Person], within_s: float = 60.0) -> list[str]:
    """Everybody goes home; names of those who do not come out."""
    for person in people:
        person.leave()
    for person in people:
        person.join(within_s)
    return [person.name for person in people if person.is_alive()]
