"""What the story is played with: the township, browsers signed in, and checks that end it when they do not hold."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from service.actions.syncing import SyncState, sync_state
from service.demo.browser import Browser, Page
from service.demo.township import HUB, Township
from service.jobs import CeleryJobs, celery_client
from service.node import Node

Say = Callable[[str], None]
STATION = "qd"
PATIENCE_S = 30.0


class StoryFailed(Exception):
    """A step did not come out as the story says."""


@dataclass(slots=True, kw_only=True)
class Story:
    """The township, what was counted so far, and the one opinion that goes all the way."""

    township: Township
    say: Say
    counted: dict[str, Any] = field(default_factory=dict)
    browsers: list[Browser] = field(default_factory=list)
    opinion: str = ""
    tracking_code: str = ""

    def sign_in(self, home: str, username: str) -> Browser:
        """A fresh browser in which this account has signed in."""
        browser = Browser(self.township.addresses[home])
        self.browsers.append(browser)
        page = browser.sign_in(username, self.township.passwords[username])
        expect(page.path != "/login", f"{username} could not sign in: {page.text[:200]}")
        return browser

    @contextmanager
    def node(self, home: str) -> Iterator[Node]:
        with self.township.node(home) as node:
            yield node

    def ring(self, job: str) -> None:
        """Nudge a job of the hub, as a page would, instead of waiting half a minute for beat."""
        CeleryJobs(celery_client(self.township.settings(HUB).broker_url)).request(job)

    def exchange(self, station: str = STATION) -> None:
        """Press 立即同步 and wait until both ends have verified that they are equal, and what came is on the pages."""
        browser = self.sign_in(station, f"{station}.liaison")
        page = browser.open("/sync")
        before = self.sync_state(station).last_verified_at
        browser.send(page.form("/sync"))

        def verified_and_folded() -> bool:
            state = self.sync_state(station)
            return state.verified and state.last_verified_at != before and not state.pending

        until(verified_and_folded, f"station {station} verified equal with the hub, and nothing waits to be folded")

    def sync_state(self, station: str) -> SyncState:
        """What the station's sync page would say."""
        with self.node(station) as node, node.reading() as connection:
            state = sync_state(node, connection)
        assert state is not None, f"station {station} is not enrolled"
        return state


def expect(condition: object, otherwise: str) -> None:
    if not condition:
        raise StoryFailed(otherwise)


def until(condition: Callable[[], object], what: str, within_s: float = PATIENCE_S) -> None:
    """Wait for something that a job does in another process."""
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            raise StoryFailed(f"waited {within_s:.0f} s in vain for: {what}")
        time.sleep(0.1)


def seen(page: Page, *texts: str) -> Page:
    """The page, if it was served and shows every text."""
    expect(page.status == 200, f"{page.path} answered {page.status}: {page.text[:200]}")
    for text in texts:
        expect(text in page.text, f"{page.path} does not show {text!r}: {page.text[:400]}")
    return page
