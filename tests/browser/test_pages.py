"""Every page of every role, found by walking the links: it fits a telephone, needs no script, speaks both languages."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser

from service.demo.browser import Browser as Reader
from tests.browser import judging
from tests.browser.cases import Cases, busy_fortnight
from tests.browser.stage import PASSWORDS, Stage, home_of
from tests.browser.visiting import PHONE, Keyboard, gallery, person, signed_in

pytestmark = pytest.mark.browser

ROLES = [
    "clerk",
    "chair",
    "presidium",
    "water",
    "water.head",
    "auditor",
    "admin",
    "qd.liaison",
    "qd.chief",
    "qd.deputy",
]
OPENED = {"/opinions/ID": 20}  # of a kind; opinions differ by their state
NOT_PAGES = re.compile(r"^/(language|static|bootstrap|healthz|readyz|metrics|logout)")


@pytest.fixture(scope="module")
def cases(stage: Stage) -> Cases:
    return busy_fortnight(stage)


@pytest.fixture(scope="module")
def data(stage: Stage, cases: Cases) -> list[str]:
    return judging.data_of(stage.hub.node, *(house.node for house in stage.stations.values()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A page as a role reaches it by links from its start."""

    who: str
    address: str

    @property
    def kind(self) -> str:
        """The address with ids, codes and numbers left out: pages of one kind come from one template."""
        path = re.sub(r"[0-9a-f]{32}", "ID", urlsplit(self.address).path)
        path = re.sub(r"/(areas|units|stations|deputies)/[^/]+", r"/\1/CODE", path)
        return re.sub(r"/K?\d+(?=/|$)", "/N", path)


@pytest.fixture(scope="module")
def reached(stage: Stage, cases: Cases) -> dict[str, list[Found]]:
    """By role: the pages that links lead to, a few of each kind. A missing page fails whoever asks for this."""
    return {who: list(follow_links(stage, who)) for who in ROLES}


def follow_links(stage: Stage, who: str) -> Iterator[Found]:
    site = stage.house(home_of(who)).url
    reader = Reader(site)
    waiting = [reader.sign_in(who, PASSWORDS[who]).path]
    known, kinds = set(waiting), Counter[str]()
    while waiting:
        found = Found(who=who, address=waiting.pop(0))
        kinds[found.kind] += 1
        if kinds[found.kind] > OPENED.get(found.kind, 2):
            continue
        page = reader.open(found.address)
        assert page.status == 200, f"{who} is led to {found.address}, which answers {page.status}"
        yield found
        links = {link.removeprefix(site).split("#")[0] for link in page.links if link.startswith(site)}
        new = sorted(link for link in links - known if not NOT_PAGES.match(link))
        known.update(new)
        waiting += new


def to_look_at(reached: dict[str, list[Found]], who: str, many: str = "") -> list[Found]:
    """The pages of this role whose kind no role before it has had at the same node; of the kind `many` all."""
    before = ROLES[: ROLES.index(who)]
    seen = {page.kind for other in before if home_of(other) == home_of(who) for page in reached[other]}
    new = [page for page in reached[who] if page.kind not in seen]
    return list({page.address if page.kind == many else page.kind: page for page in reversed(new)}.values())


def name_of(found: Found) -> str:
    return f"{found.who}-{found.kind.strip('/').replace('/', '-')}"


@dataclass(slots=True)
class Findings:
    """What was found wrong, each problem told once with the kinds of page that have it."""

    where: dict[str, set[str]] = field(default_factory=dict)

    def add(self, kind: str, problems: list[str]) -> None:
        for problem in problems:
            self.where.setdefault(problem, set()).add(kind)

    def assert_none(self) -> None:
        assert not self.where, "\n".join(
            f"{what}\n      {' '.join(sorted(self.where[what]))}" for what in sorted(self.where)
        )


@pytest.mark.parametrize("who", ROLES)
def test_every_page_fits_a_telephone_and_needs_no_script(
    browser: Browser, stage: Stage, data: list[str], reached: dict[str, list[Found]], who: str
) -> None:
    findings = Findings()
    with signed_in(browser, stage.house(home_of(who)), who, viewport=PHONE) as page:
        for number, found in enumerate(to_look_at(reached, who, many="/opinions/ID")):
            page.goto(found.address)
            findings.add(found.kind, judging.sizes(page))
            findings.add(found.kind, judging.raw_codes(judging.spoken(page), data))
            gallery(page, f"zh-{name_of(found)}-{number}")
    findings.assert_none()


_JUDGED: set[str] = set()  # by axe: hub and stations share templates, and one look costs half a second


@pytest.mark.parametrize("who", ROLES)
def test_every_page_speaks_english_and_serves_everybody(
    browser: Browser, stage: Stage, data: list[str], reached: dict[str, list[Found]], who: str
) -> None:
    """English words are longer, so widths are measured again; axe is a script, so scripts are on."""
    findings = Findings()
    with signed_in(browser, stage.house(home_of(who)), who, viewport=PHONE, scripts=True, language="en") as page:
        for found in to_look_at(reached, who):
            page.goto(found.address)
            findings.add(found.kind, judging.sizes(page))
            findings.add(found.kind, judging.chinese_left(judging.spoken(page), data))
            if found.kind not in _JUDGED:
                findings.add(found.kind, judging.accessibility(page))
                _JUDGED.add(found.kind)
            gallery(page, f"en-{name_of(found)}")
    findings.assert_none()


def test_what_the_public_sees(browser: Browser, stage: Stage, cases: Cases, data: list[str]) -> None:
    addresses = ["/login", "/p", *(f"/p/{cases.code(name)}" for name in ("waiting", "overdue", "replied", "closed"))]
    findings = Findings()
    for language in ("zh", "en"):
        with person(browser, stage.hub, viewport=PHONE, scripts=True, language=language) as page:
            for address in addresses:
                page.goto(address)
                findings.add(address, judging.sizes(page) + judging.accessibility(page))
                if language == "en":
                    findings.add(address, judging.chinese_left(judging.spoken(page), data))
    findings.assert_none()


@pytest.mark.parametrize("username", ["clerk", "qd.liaison"])
def test_the_focus_shows_wherever_tab_leads(browser: Browser, stage: Stage, cases: Cases, username: str) -> None:
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
