"""What the rules refuse: every form keeps what was typed and says at the field what is wrong, in either language."""

from __future__ import annotations

import re
from dataclasses import dataclass

import pytest
from playwright.sync_api import Browser, Locator, Page

from tests.browser import judging
from tests.browser.cases import Cases, busy_fortnight
from tests.browser.stage import HUB, Stage, home_of
from tests.browser.visiting import gallery, person, signed_in, speak

pytestmark = pytest.mark.browser

WORDS = "保留我写的字 kept"
TICKED = "✓"
QUOTED = re.compile(r"[“\"]([^”\"]+)[”\"]")  # a message that names its field names it as the label does


@dataclass(frozen=True, slots=True, kw_only=True)
class Bad:
    """A form, what is typed into it, and the fields that must complain. `case` fills ID in the address."""

    name: str
    who: str
    path: str
    typed: dict[str, str]
    wrong: tuple[str, ...]
    case: str = ""
    forgotten: tuple[str, ...] = ()  # never sent back: passwords


FORMS = [
    Bad(name="login", who="", path="/login", typed={"username": "nobody", "password": ""}, wrong=("password",)),
    Bad(name="register", who="qd.liaison", path="/opinions/new", wrong=("title", "affected", "notice_read"),
        typed={"title": "", "body": WORDS, "affected": "很多人", "name": WORDS, "phone": "13800000000",
               "category": "road",
               "urgency": "urgent", "secrecy": "unit"}),
    Bad(name="reception", who="qd.liaison", path="/receptions", wrong=("held_on", "headcount"),
        typed={"held_on": "", "headcount": "三五个", "note": WORDS}),
    Bad(name="reception-tomorrow", who="qd.liaison", path="/receptions", wrong=("held_on",),
        typed={"held_on": "2027-01-01", "headcount": "3", "note": WORDS}),
    Bad(name="dispatch", who="clerk", path="/hub/screening/ID/assign", case="waiting", wrong=("unit",),
        typed={"unit": "", "duty_basis": WORDS, "requirement": WORDS}),
    Bad(name="transfer", who="chair", path="/hub/screening/ID/transfer", case="waiting", wrong=("important",),
        typed={"unit": "water", "duty_basis": WORDS, "requirement": WORDS}),
    Bad(name="transfer-on-what", who="chair", path="/hub/screening/ID/transfer", case="waiting", wrong=("letter_no",),
        typed={"unit": "water", "duty_basis": WORDS, "requirement": WORDS, "widespread": TICKED}),
    Bad(name="direct", who="clerk", path="/hub/screening/ID/direct", case="waiting", wrong=("outcome",),
        typed={"text": WORDS}),
    Bad(name="explain", who="clerk", path="/hub/screening/ID/explain", case="locked", wrong=("reason",),
        typed={"channel": WORDS, "talk": WORDS, "attempts": "1"}),
    Bad(name="explain-once", who="clerk", path="/hub/screening/ID/explain", case="locked", wrong=("attempts",),
        typed={"reason": "N1", "channel": WORDS, "talk": WORDS, "attempts": "1"}),
    Bad(name="reply", who="water.head", path="/hub/desk/ID/reply", case="handled", wrong=("evidence",),
        typed={"text": WORDS, "outcome": "A", "evidence": ""}),
    Bad(name="reply-when", who="water.head", path="/hub/desk/ID/reply", case="handled", wrong=("promised_on",),
        typed={"text": WORDS, "outcome": "B", "plan": WORDS}),
    Bad(name="progress", who="water", path="/hub/desk/ID/progress", case="handled", wrong=("progress",),
        typed={"progress": " "}),
    Bad(name="card", who="water", path="/hub/supervision/ID/K2/1/2", case="overdue", wrong=("feedback",),
        typed={"feedback": " "}),
    Bad(name="revoke", who="chair", path="/hub/supervision/ID/K2/1/2", case="overdue", wrong=("reason",),
        typed={"reason": " "}),
    Bad(name="key", who="chair", path="/hub/supervision/key/ID", case="handled", wrong=("reason",),
        typed={"reason": ""}),
    Bad(name="deliver", who="clerk", path="/hub/reviews/ID", case="review", wrong=("way",), typed={"proof": WORDS}),
    Bad(name="reject", who="clerk", path="/hub/reviews/ID", case="review", wrong=("defects",), typed={"defects": ""}),
    Bad(name="follow-up", who="qd.liaison", path="/opinions/ID/steps/follow-up", case="replied",
        wrong=("solved",), typed={"reached": "yes", "rating": "fair", "note": WORDS}),
    Bad(name="ask-reopen", who="qd.deputy", path="/opinions/ID/steps/ask-reopen", case="replied",
        wrong=("reason",), typed={"reason": " "}),
    Bad(name="close-too-early", who="qd.liaison", path="/opinions/ID/steps/close", case="replied", wrong=(),
        typed={"note": WORDS}),
    Bad(name="answer", who="qd.chief", path="/opinions/ID/steps/answer", case="direct", wrong=("outcome",),
        typed={"text": WORDS, "way": "phone"}),
    Bad(name="reporter", who="qd.liaison", path="/opinions/ID/reporter", case="overdue", wrong=("reason",),
        typed={"reason": " "}),
    Bad(name="password", who="clerk", path="/password", wrong=("again",), forgotten=("old", "new", "again"),
        typed={"old": "sample-clerk-9", "new": "something-new-1", "again": "something-else-1"}),
    Bad(name="account", who="admin", path="/hub/accounts/new", wrong=("password",), forgotten=("password",),
        typed={"username": "new.clerk", "name": WORDS, "role": "clerk", "password": "short"}),
    Bad(name="unit", who="admin", path="/hub/town/units/new", wrong=("master_code", "place_name", "kind"),
        typed={"master_code": "大写 X", "place_name": "", "duties": WORDS}),
    Bad(name="area", who="admin", path="/hub/town/areas/445222113203", wrong=("population",),
        typed={"place_name": WORDS, "population": "三千"}),
    Bad(name="holiday", who="admin", path="/hub/town/calendar", wrong=("reason",),
        typed={"day": "2026-10-12", "reason": " "}),
    Bad(name="tracking-code", who="", path="/p", wrong=("code",), typed={"code": "ABCD-EFGH"}),
]  # fmt: skip


@pytest.fixture(scope="module")
def cases(stage: Stage) -> Cases:
    return busy_fortnight(stage)


@pytest.mark.parametrize("who", sorted({bad.who for bad in FORMS}))
def test_a_refused_form_keeps_what_was_typed(
    browser: Browser, stage: Stage, cases: Cases, subtests: pytest.Subtests, who: str
) -> None:
    """First in Chinese; then the refused form is sent again as it stands, and refused in English."""
    house = stage.house(home_of(who) if who else HUB)
    with signed_in(browser, house, who) if who else person(browser, house) as page:
        for bad in (bad for bad in FORMS if bad.who == who):
            with subtests.test(bad.name):
                speak(page, house, "zh")
                page.goto(bad.path.replace("ID", cases.id(bad.case)) if bad.case else bad.path)
                fill_in(page, bad.typed)
                refused(page, bad, "zh")
                speak(page, house, "en")
                fill_in(page, {name: bad.typed[name] for name in bad.forgotten})
                refused(page, bad, "en")


def refused(page: Page, bad: Bad, language: str) -> None:
    send(page, bad)
    gallery(page, f"refused-{language}-{bad.name}")
    assert complaining(page) >= set(bad.wrong)
    for name in bad.wrong:
        said_at_the_field(page, name, language)
    said_on_top(page, language)
    for name, value in bad.typed.items():
        assert now_in(page, name) == ("" if name in bad.forgotten else value.strip()), name


def fill_in(page: Page, typed: dict[str, str]) -> None:
    for name, value in typed.items():
        put(page, name, value)


def send(page: Page, bad: Bad) -> None:
    """Send the form that has the typed fields; the answer is a refusal, not a redirect."""
    first = next(iter(bad.typed))
    button = page.locator(f"form:has([name={first}]) button[type=submit], form:has([name={first}]) button:not([type])")
    with page.expect_navigation() as answer:
        button.last.click()
    assert answer.value is not None
    assert answer.value.status in (409, 422), page.url


def put(page: Page, name: str, value: str) -> None:
    found = page.locator(f"[name={name}]").first
    match kind(found):
        case "select":
            found.select_option(value)
        case "radio":
            page.check(f"[name={name}][value={value}]")
        case "checkbox":
            found.check()
        case _:
            open_the_fold(found)
            found.fill(value)


def now_in(page: Page, name: str) -> str:
    found = page.locator(f"[name={name}]")
    match kind(found.first):
        case "radio":
            return page.locator(f"[name={name}]:checked").get_attribute("value") or ""
        case "checkbox":
            return TICKED if found.first.is_checked() else ""
        case _:
            return found.first.input_value().strip()


def kind(found: Locator) -> str:
    said: str = found.evaluate("e => e.tagName === 'INPUT' ? e.type : e.tagName.toLowerCase()")
    return said


def open_the_fold(found: Locator) -> None:
    summary = found.locator("xpath=ancestor::details[not(@open)]/summary")
    if summary.count():
        summary.first.click()


def complaining(page: Page) -> set[str]:
    """Names of the fields that are marked as wrong; a group of choices is marked as a whole."""
    found: list[str] = page.eval_on_selector_all(
        "[aria-invalid=true]", "all => all.map(e => e.getAttribute('name') || e.id.replace(/^f-/, ''))"
    )
    return set(found)


def said_at_the_field(page: Page, name: str, language: str) -> None:
    """The message belongs to the field for a screen reader too, can be seen, and is in the reader's language."""
    holder = page.locator(f"[aria-invalid=true][name={name}], [aria-invalid=true]#f-{name}").first
    ids = (holder.get_attribute("aria-describedby") or "").split()
    message = " ".join(page.locator(f"#{one}").inner_text() for one in ids if one.startswith("e-"))
    assert message.strip(), f"{name} is marked, but nothing says why"
    assert bool(judging.HAN.search(message)) == (language == "zh"), message
    assert not judging.RAW.search(message), message
    named = QUOTED.search(message)
    label = page.locator(f"label[for=f-{name}], #f-{name} > legend").first.inner_text()
    assert named is None or named[1] in label, f"{message} stands under the label {label}"


def said_on_top(page: Page, language: str) -> None:
    alert = page.locator("[role=alert]").first
    assert alert.is_visible()
    assert bool(judging.HAN.search(alert.inner_text())) == (language == "zh"), alert.inner_text()
