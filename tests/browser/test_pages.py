"""Every page of every role, found by walking the links: it fits a telephone, needs no script, speaks both languages."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import urljoin, urlsplit

import pytest
from playwright.sync_api import Browser, Page

from tests.browser import judging
from tests.browser.cases import Cases, busy_fortnight
from tests.browser.stage import Stage, home_of
from tests.browser.visiting import PHONE, Keyboard, gallery, person, signed_in

pytestmark = pytest.mark.browser

ROLES = ["clerk", "chair", "presidium", "water", "water.head", "auditor", "admin", "qd.liaison", "qd.chief", "qd.deputy"]
# Who sees the cases in all their states; the others look at a few of each kind.
THOROUGH = {"clerk": 20, "qd.liaison": 20}
OF_A_KIND = 2
NOT_PAGES = re.compile(r"^/(language|static|bootstrap|healthz|readyz|metrics|logout)")


@pytest.fixture(scope="module")
def cases(stage: Stage) -> Cases:
    return busy_fortnight(stage)


@pytest.fixture(scope="module")
def data(stage: Stage, cases: Cases) -> list[str]:
    return judging.data_of(stage.hub.node, *(house.node for house in stage.stations.values()))


@dataclass(slots=True)
class Walk:
    """Pages reached from a start by following links, a few of each kind. `kinds` counts them."""

    page: Page
    of_a_kind: int
    kinds: dict[str, int] = field(default_factory=dict)
    problems: list[tuple[str, str]] = field(default_factory=list)

    def pages(self, *starts: str) -> Iterator[str]:
        """The address of each page, once it is open; what it links to is walked later."""
        waiting, known = list(starts), set(starts)
        while waiting:
            address = waiting.pop(0)
            kind = kind_of(address)
            if self.kinds.get(kind, 0) >= self.of_a_kind:
                continue
            self.kinds[kind] = self.kinds.get(kind, 0) + 1
            answer = self.page.goto(address)
            if answer is None or answer.status != 200:
                self.problems.append((kind, f"status {answer.status if answer else '-'}"))
                continue
            yield address
            new = [link for link in self._links() if link not in known]
            known.update(new)
            waiting += new

    def assert_no_problems(self) -> None:
        """Failing, it says each problem once, with the kinds of page that have it."""
        where: dict[str, set[str]] = {}
        for kind, problem in self.problems:
            where.setdefault(problem, set()).add(kind)
        assert not where, "\n".join(f"{problem}\n      {' '.join(sorted(kinds))}" for problem, kinds in sorted(where.items()))

    def note(self, address: str, found: list[str]) -> None:
        self.problems += [(kind_of(address), problem) for problem in found]

    def _links(self) -> list[str]:
        hrefs: list[str] = self.page.eval_on_selector_all("a[href]", "all => all.map(a => a.href.baseVal ?? a.href)")
        here = urlsplit(self.page.url).netloc
        parts = [urlsplit(urljoin(self.page.url, href)) for href in hrefs]
        return [part._replace(scheme="", netloc="", fragment="").geturl() for part in parts
                if part.netloc == here and not NOT_PAGES.match(part.path)]  # fmt: skip


def kind_of(address: str) -> str:
    """The address with ids and codes left out: pages of one kind look alike."""
    path = urlsplit(address).path
    path = re.sub(r"[0-9a-f]{32}", "ID", path)
    path = re.sub(r"/(areas|units|stations|deputies)/(?!new\b)[^/]+", r"/\1/CODE", path)
    return re.sub(r"/(\d+)(?=/|$)", "/N", path)


def name_of(kind: str) -> str:
    return kind.strip("/").replace("/", "-") or "start"


@pytest.mark.parametrize("username", ROLES)
def test_every_page_fits_a_telephone_and_needs_no_script(
    browser: Browser, stage: Stage, cases: Cases, data: list[str], username: str
) -> None:
    house = stage.house(home_of(username))
    with signed_in(browser, house, username, viewport=PHONE) as page:
        walk = Walk(page, THOROUGH.get(username, OF_A_KIND))
        for address in walk.pages("/"):
            walk.note(address, judging.sizes(page))
            walk.note(address, judging.raw_codes(judging.spoken(page), data))
            gallery(page, f"{username}-{name_of(kind_of(address))}-{walk.kinds[kind_of(address)]}")
    walk.assert_no_problems()
    assert len(walk.kinds) >= 4, walk.kinds


_JUDGED: set[str] = set()


@pytest.mark.parametrize("username", ROLES)
def test_every_page_speaks_english_and_serves_everybody(
    browser: Browser, stage: Stage, cases: Cases, data: list[str], username: str
) -> None:
    """English words are longer, so widths are measured again; axe judges each kind of page once."""
    house = stage.house(home_of(username))
    with signed_in(browser, house, username, viewport=PHONE, scripts=True, language="en") as page:
        walk = Walk(page, 1)
        for address in walk.pages("/"):
            walk.note(address, judging.sizes(page))
            walk.note(address, judging.chinese_left(judging.spoken(page), data))
            kind = f"{house.node.is_hub} {kind_of(address)}"
            if kind not in _JUDGED:
                _JUDGED.add(kind)
                walk.note(address, judging.accessibility(page))
    walk.assert_no_problems()


def test_what_the_public_sees(browser: Browser, stage: Stage, cases: Cases, data: list[str]) -> None:
    starts = ["/login", "/p", *(f"/p/{cases.code(name)}" for name in ("waiting", "overdue", "replied", "closed"))]
    for language in ("zh", "en"):
        with person(browser, stage.hub, viewport=PHONE, scripts=True, language=language) as page:
            walk = Walk(page, 20)
            for address in walk.pages(*starts):
                walk.note(address, judging.sizes(page))
                walk.note(address, judging.accessibility(page))
                if language == "en":
                    walk.note(address, judging.chinese_left(judging.spoken(page), data))
        walk.assert_no_problems()


@pytest.mark.parametrize("username", ["clerk", "qd.liaison"])
def test_the_focus_shows_wherever_tab_leads(
    browser: Browser, stage: Stage, cases: Cases, username: str
) -> None:
    with signed_in(browser, stage.house(home_of(username)), username) as page:
        for address in ("/", "/opinions", "/opinions/new"):
            page.goto(address)
            keyboard, seen = Keyboard(page), 0
            for _ in range(40):
                keyboard.press("Tab")
                now = keyboard.focused()
                if not now:
                    break
                assert now["ring"], f"no visible focus on {now} of {address}"
                seen += 1
            assert seen > 5
