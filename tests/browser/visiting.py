"""People in front of a browser: what they may not cause (errors, requests outside), what they see, and pictures."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, ViewportSize

from tests.browser.stage import PASSWORDS, House

ALL_PICTURES = "LIANXIN_PICTURES"  # set: of every page, not only of the story's
PICTURES = Path(__file__).parents[2] / "build" / "pictures"
DESK: ViewportSize = {"width": 1366, "height": 768}  # the cheap screen on most desks
PHONE: ViewportSize = {"width": 390, "height": 844}
ARGUMENTS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",  # what asks outside fails, and is noted below
)  # fmt: skip
OUTSIDE = re.compile(r"^(?!http://127\.0\.0\.1[:/]|data:|about:|blob:)")
# What the browser says itself about an answer that a test provokes on purpose.
EXPECTED = re.compile(r"the server responded with a status of 4(03|04|09|13|22)")


@dataclass  # no slots: Playwright hangs its wrappers on the owner of a handler
class Troubles:
    """What no page may cause, gathered while somebody walks."""

    outside: list[str] = field(default_factory=list)
    console: list[str] = field(default_factory=list)

    def watch(self, context: BrowserContext) -> None:
        # Listening, not intercepting: interception would switch off the cache that every real browser has.
        context.on("request", self._look_at)
        context.on("console", self._note)
        context.on("weberror", lambda error: self.console.append(str(error.error)))

    def assert_none(self) -> None:
        assert self.outside == [], "a page asked somebody outside"
        assert self.console == [], "a page complained in the console"

    def _look_at(self, request: Request) -> None:
        if OUTSIDE.match(request.url):
            self.outside.append(request.url)

    def _note(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not EXPECTED.search(message.text):
            self.console.append(f"{message.location.get('url', '')}: {message.text}")


@contextmanager
def person(
    browser: Browser, house: House, *, scripts: bool = False, viewport: ViewportSize = DESK, language: str = "zh"
) -> Iterator[Page]:
    """Somebody's browser at one node, not signed in; leaving it asserts that nothing bad happened meanwhile.

    Scripts are off unless asked for: no page may need them.
    """
    context = browser.new_context(
        base_url=house.url, viewport=viewport, java_script_enabled=scripts, locale="zh-CN",
        timezone_id="Asia/Shanghai", reduced_motion="reduce",
    )  # fmt: skip
    context.set_default_timeout(8000)
    troubles = Troubles()
    troubles.watch(context)
    page = context.new_page()
    speak(page, house, language)
    try:
        yield page
        troubles.assert_none()
    except BaseException:
        print(f"stopped at {page.url}, see {picture(page, 'stopped')}; it says:\n{words(page)}")
        raise
    finally:
        context.close()


@contextmanager
def signed_in(
    browser: Browser, house: House, username: str, *, scripts: bool = False, viewport: ViewportSize = DESK,
    language: str = "zh",
) -> Iterator[Page]:  # fmt: skip
    """Somebody who signed in, and stands on their first page; the form is filled in once per house and account."""
    key = (house.url, username)
    with person(browser, house, scripts=scripts, viewport=viewport, language=language) as page:
        if key in _SESSIONS:
            page.context.add_cookies(_SESSIONS[key])
            page.goto("/")
        else:
            sign_in(page, username)
            _SESSIONS[key] = [cookie for cookie in page.context.cookies() if cookie["name"] != "language"]
        yield page


_SESSIONS: dict[tuple[str, str], list[Any]] = {}


def speak(page: Page, house: House, language: str) -> None:
    """The language of the pages that come, as the link in the head would set it."""
    page.context.add_cookies([{"name": "language", "value": language, "url": house.url}])


def sign_in(page: Page, username: str) -> None:
    page.goto("/login")
    page.fill("[name=username]", username)
    page.fill("[name=password]", PASSWORDS[username])
    page.press("[name=password]", "Enter")
    page.wait_for_url(lambda url: "/login" not in url)


# --- the keyboard ------------------------------------------------------------------------------------------------

TABS_MAX = 60
_FOCUSED = """() => {
  const e = document.activeElement;
  if (!e || e === document.body) return {};
  const s = getComputedStyle(e);
  return {
    name: e.getAttribute('name') || '', tag: e.tagName.toLowerCase(), value: e.getAttribute('value') || '',
    text: (e.innerText || '').trim(), href: e.getAttribute('href') || '',
    ring: parseFloat(s.outlineWidth) >= 2 && s.outlineStyle !== 'none' || s.boxShadow !== 'none',
  };
}"""


@dataclass(slots=True)
class Keyboard:
    """Hands that never touch the mouse. `pressed` counts keys, typed characters apart."""

    page: Page
    pressed: int = 0

    def press(self, key: str) -> None:
        self.page.keyboard.press(key)
        self.pressed += 1

    def focused(self) -> dict[str, str | bool]:
        found: dict[str, str | bool] = self.page.evaluate(_FOCUSED)
        return found

    def tab_to(self, **wanted: str) -> dict[str, str | bool]:
        """Tab on until the focused element has these properties; each stop on the way must show that it is focused."""
        for _ in range(TABS_MAX):
            now = self.focused()
            if now and all(str(value) in str(now[key]) for key, value in wanted.items()):
                return now
            self.press("Tab")
            now = self.focused()
            assert not now or now["ring"], f"no visible focus on {now}"
        raise AssertionError(f"{wanted} was not reached with Tab on {self.page.url}")

    def write(self, name: str, text: str) -> None:
        """As an input method does: the text arrives at the field that has the focus."""
        self.tab_to(name=name)
        self.page.keyboard.insert_text(text)

    def choose(self, name: str, wanted: str) -> None:
        """Arrow down in a list until the wanted entry shows."""
        self.tab_to(name=name)
        for _ in range(TABS_MAX):
            if self.page.evaluate("document.activeElement.selectedOptions[0].text") == wanted:
                return
            self.press("ArrowDown")
        raise AssertionError(f"{name} does not offer {wanted}")

    def enter(self) -> None:
        """Enter, and wait for the page it leads to."""
        with self.page.expect_navigation():
            self.press("Enter")


# --- what there is to see -------------------------------------------------------------------------------------------


def words(page: Page) -> str:
    """What stands on the page; a click returns when the next page has begun to come, not when it is all there."""
    page.wait_for_load_state()
    return page.inner_text("body")


def picture(page: Page, name: str, *, whole: bool = True) -> Path:
    PICTURES.mkdir(parents=True, exist_ok=True)
    path = PICTURES / f"{name}.png"
    page.screenshot(path=path, full_page=whole, animations="disabled")
    return path


def gallery(page: Page, name: str) -> None:
    """The page as it stands, on the desk's screen and on a telephone, when somebody wants to look at all of them."""
    if ALL_PICTURES in os.environ:
        for size, viewport in (("desk", DESK), ("phone", PHONE)):
            page.set_viewport_size(viewport)
            picture(page, f"{size}-{name}")


def on_phone(page: Page, look: Callable[[], object]) -> None:
    """Do something while the window has a telephone's width."""
    before = page.viewport_size
    page.set_viewport_size(PHONE)
    try:
        look()
    finally:
        if before is not None:
            page.set_viewport_size(before)
