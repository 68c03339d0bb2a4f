"""A reporter who asked for secrecy appears on no page and no paper that a unit, or the hub, can open."""

from __future__ import annotations

import re

import pytest
from flask import Flask

from service.actions import escalating
from service.domain.people import Role
from tests.web.conftest import Township
from tests.web.hub_cases import REPORTER, Cases
from tests.web.hub_seats import seat

SECRETS = (REPORTER.name, REPORTER.phone, REPORTER.address)
ROLES = (Role.HANDLER, Role.UNIT_HEAD, Role.CLERK, Role.CHAIR, Role.PRESIDIUM, Role.AUDITOR)
PATHS = (
    "/opinions/{}", "/opinions/{}/clocks", "/opinions/{}/reporter", "/hub/opinions/{}/dispatch-note",
    "/hub/opinions/{}/reply-letter", "/hub/supervision/{}/K2/1/1", "/hub/supervision/{}/K2/1/1/print",
    "/hub/reviews/{}", "/hub/reopenings/{}", "/hub/desk/{}/reply", "/hub/desk/{}/progress", "/hub/desk/{}/sign",
    "/hub/screening/{}", "/hub/desk", "/hub/supervision", "/hub/inbox", "/hub/reviews", "/opinions",
)  # fmt: skip


def escalated_and_answered(cases: Cases, secrecy: str) -> str:
    """A case from the station with everything that can be on it: cards, reply, delivery."""
    opinion_id = cases.from_station(reporter=REPORTER, notice_read=True, secrecy=secrecy)
    cases.dispatched(opinion_id)
    for _ in range(10):
        cases.township.clock.pass_by(days=1)
        escalating.sweep(cases.hub)
    assert cases.see(opinion_id).cards
    return opinion_id


def traces(page: str) -> list[str]:
    """What of the reporter stands on a page: a secret as a whole, or the telephone number badly masked.

    Its telling middle counts only in a number that stands by itself: ids and tokens are random, and one in some
    thousand pages has these four digits in one of them.
    """
    words = re.findall(r"[0-9A-Za-z_.-]+", page)
    numbers = [re.sub(r"\D", "", word) for word in words if not re.search("[A-Za-z_]", word)]
    middle = REPORTER.phone[3:7]
    return [secret for secret in SECRETS if secret in page] + [number for number in numbers if middle in number]


@pytest.mark.parametrize("shown", ["1391234****", "电话139-1234-8888", "***1234***", "13912348888", "tel:13912348888",
                                   REPORTER.address, REPORTER.name])  # fmt: skip
def test_a_trace_is_found_where_it_is_shown(shown: str) -> None:
    assert traces(f"<td>{shown}</td>")


@pytest.mark.parametrize("shown", ["139****8888", "7b212341c9e04c6c", "ImY3.aR1234-x_9", "2026-11-16 12:34"])
def test_what_merely_looks_alike_is_no_trace(shown: str) -> None:
    assert traces(f"<td>{shown}</td>") == []


@pytest.mark.parametrize("secrecy", ["unit", "anonymous"])
@pytest.mark.parametrize("role", ROLES)
def test_a_secret_reporter_is_on_no_page(hub_app: Flask, township: Township, role: Role, secrecy: str) -> None:
    opinion_id = escalated_and_answered(Cases(township), secrecy)
    somebody = seat(hub_app, township.hub, role)
    pages = {path: somebody.get(path.format(opinion_id)).text for path in PATHS}
    assert {path: found for path, page in pages.items() if (found := traces(page))} == {}
    asked = somebody.post(f"/opinions/{opinion_id}/reporter", data={"reason": "想看看"})
    assert traces(asked.text) == []


def test_the_secret_is_not_even_in_the_hubs_ledger_in_clear(township: Township) -> None:
    cases = Cases(township)
    opinion_id = cases.from_station(reporter=REPORTER, notice_read=True, secrecy="unit")
    person = cases.see(opinion_id).registered
    assert person is not None
    with township.hub.reading() as connection:
        events = township.hub.ledger.read_subjects(connection, [f"person/{person.reporter}"])
    bodies = b"".join(event.body or b"" for found in events.values() for event in found)
    assert bodies
    assert not any(secret.encode() in bodies for secret in SECRETS)


@pytest.mark.parametrize("secrecy", ["unit", "anonymous"])
def test_the_paper_says_who_passes_the_answer_on(hub_app: Flask, township: Township, secrecy: str) -> None:
    cases = Cases(township)
    opinion_id = cases.dispatched(cases.from_station(reporter=REPORTER, notice_read=True, secrecy=secrecy))
    paper = seat(hub_app, township.hub, Role.HANDLER).get(f"/hub/opinions/{opinion_id}/dispatch-note").text
    assert ("由联络站转达" in paper) == (secrecy == "unit")
    assert ("凭查询码查看" in paper) == (secrecy == "anonymous")


def test_an_open_reporter_is_masked_on_paper(hub_app: Flask, township: Township) -> None:
    cases = Cases(township)
    opinion_id = cases.dispatched(cases.from_station(reporter=REPORTER, notice_read=True, secrecy="open"))
    for role in (Role.HANDLER, Role.CLERK, Role.AUDITOR):
        paper = seat(hub_app, township.hub, role).get(f"/hub/opinions/{opinion_id}/dispatch-note").text
        assert not any(secret in paper for secret in SECRETS)
        assert ("139****8888" in paper) == (role is not Role.AUDITOR)
