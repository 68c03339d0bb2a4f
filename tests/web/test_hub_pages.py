"""Every page of the hub opens for whom it is meant, in both languages, with the institution's words."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.web.conftest import Browser, Township
from tests.web.hub_cases import Cases

FORBIDDEN_WORDS = ("工单", "客户", "客服", "投诉处理")
PLAIN = {
    "clerk": ("/hub/inbox", "/hub/supervision", "/hub/reviews", "/hub/stations", "/hub/coverage", "/hub/town/areas",
              "/hub/town/stations", "/hub/town/units", "/hub/town/deputies", "/hub/town/codes", "/hub/town/calendar",
              "/hub/town/policy", "/hub/town/areas/445222113201", "/hub/town/units/water", "/hub/town/units/new",
              "/hub/town/stations/qd", "/hub/town/stations/new", "/hub/town/stations/qd/posts",
              "/hub/town/deputies/d01", "/hub/town/deputies/new"),
    "chair": ("/hub/inbox", "/hub/supervision", "/hub/reviews", "/hub/stations", "/hub/coverage"),
    "handler": ("/hub/desk", "/hub/supervision"),
    "head": ("/hub/desk", "/hub/supervision"),
    "presidium": ("/hub/supervision", "/hub/coverage"),
    "auditor": ("/hub/supervision", "/hub/coverage"),
    "admin": ("/hub/stations", "/hub/coverage", "/hub/town/areas", "/hub/accounts", "/hub/accounts/new"),
}  # fmt: skip
CLOSED = {
    "clerk": ("/hub/desk", "/hub/accounts"),
    "chair": ("/hub/desk", "/hub/accounts", "/hub/town/units/new"),
    "handler": ("/hub/inbox", "/hub/reviews", "/hub/stations", "/hub/accounts", "/hub/town/areas/445222113201"),
    "presidium": ("/hub/inbox", "/hub/reviews", "/hub/stations", "/hub/accounts", "/hub/desk"),
    "auditor": ("/hub/inbox", "/hub/reviews", "/hub/accounts", "/hub/desk"),
    "admin": ("/hub/inbox", "/hub/supervision", "/hub/reviews", "/hub/desk"),
}

AtHub = Callable[[str], Browser]


@pytest.mark.parametrize("username", PLAIN)
def test_pages_open_for_whom_they_are_meant(at_hub: AtHub, township: Township, username: str) -> None:
    Cases(township).replied()
    browser = at_hub(username)
    for path in PLAIN[username]:
        page = browser.get(path)
        assert page.status_code == 200, path
        assert not [word for word in FORBIDDEN_WORDS if word in page.text], path


@pytest.mark.parametrize("username", CLOSED)
def test_pages_are_closed_to_the_others(at_hub: AtHub, username: str) -> None:
    browser = at_hub(username)
    assert {path: browser.get(path).status_code for path in CLOSED[username]} == dict.fromkeys(CLOSED[username], 403)


def test_nobody_sees_a_page_without_signing_in(hub_app: object, township: Township) -> None:
    stranger = Browser(hub_app)  # type: ignore[arg-type]
    paths = {path for paths in PLAIN.values() for path in paths}
    assert {stranger.get(path).status_code for path in paths} == {302}


@pytest.mark.parametrize(
    ("username", "home"),
    [("clerk", "/hub/inbox"), ("chair", "/hub/inbox"), ("handler", "/hub/desk"), ("head", "/hub/desk"),
     ("presidium", "/hub/supervision"), ("auditor", "/hub/supervision"), ("admin", "/hub/stations")],
)  # fmt: skip
def test_everybodys_day_begins_at_their_own_desk(at_hub: AtHub, username: str, home: str) -> None:
    assert at_hub(username).get("/").location == home


def test_case_pages_open_at_every_stage(at_hub: AtHub, township: Township) -> None:
    cases, clerk = Cases(township), at_hub("clerk")
    note = "opinions/{}/dispatch-note"
    stages = (
        (cases.registered(), ("screening/{}", "screening/{}/assign", "screening/{}/direct", "screening/{}/explain")),
        (cases.dispatched(), (note, f"{note}/1", "screening/{}")),
        (cases.in_review(), ("reviews/{}",)),
        (cases.replied(), ("opinions/{}/reply-letter", "reopenings/{}")),
    )
    for opinion_id, paths in stages:
        for path in (*(f"/hub/{one}" for one in paths), "/opinions/{}", "/opinions/{}/clocks"):
            assert clerk.get(path.format(opinion_id)).status_code == 200, path


@pytest.mark.parametrize("path", [
    "/hub/screening/0123", "/hub/opinions/0123/dispatch-note", "/hub/reviews/0123", "/hub/reopenings/0123",
    "/hub/supervision/0123/K2/1/2", "/hub/opinions/0123/reply-letter", "/hub/town/units/unheard-of",
    "/hub/town/areas/1", "/hub/town/stations/xx",
])  # fmt: skip
def test_what_does_not_exist_is_said_so(at_hub: AtHub, path: str) -> None:
    assert at_hub("clerk").get(path).status_code == 404


def test_pages_speak_english_by_choice(at_hub: AtHub, township: Township) -> None:
    opinion_id = Cases(township).registered()
    clerk = at_hub("clerk")
    clerk.speak("en")
    assert '<html lang="en">' in clerk.get(f"/hub/screening/{opinion_id}").text
