"""Who may do what, tried on every door: each role sends each form, and only those pass whom the rules name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from flask import Flask
from flask.testing import FlaskClient

from service.actions import escalating
from service.domain.people import SYSTEM, Actor, Role, Step
from tests.web.conftest import Township
from tests.web.hub_cases import Cases
from tests.web.hub_seats import PEOPLE, seat

DISPATCH = {"unit": "water", "requirement": "疏通并答复", "duty_basis": "职责清单第一项"}


def _registered(cases: Cases) -> str:
    return cases.registered()


def _urged(cases: Cases) -> str:
    """Dispatched and never answered: reminders, urging and cards have fired on the case's clock."""
    made = cases.dispatched()
    for _ in range(12):
        cases.township.clock.pass_by(days=1)
        escalating.sweep(cases.hub)
    return made


@dataclass(frozen=True)
class Door:
    """A form: where it goes (from the opinion's id), what it says, which step it is, and the case it needs."""

    path: str
    step: Step
    case: Callable[[Cases], str]
    typed: dict[str, str] = field(default_factory=dict)


DOORS = {
    "assign": Door("/hub/screening/{}/assign", Step.DISPATCH, _registered, DISPATCH),
    "transfer": Door("/hub/screening/{}/transfer", Step.TRANSFER, _registered,
                     {**DISPATCH, "widespread": "1", "letter_no": "主席团函1号"}),
    "direct": Door("/hub/screening/{}/direct", Step.ROUTE_DIRECT, _registered,
                   {"when": "later", "basis": "已有明确政策"}),
    "explain": Door("/hub/screening/{}/explain", Step.EXPLAIN, _registered,
                    {"reason": "N4", "channel": "县住建局", "talk": "已当面说明", "confirmed": "1"}),
    "sign": Door("/hub/desk/{}/sign", Step.SIGN, Cases.dispatched),
    "progress": Door("/hub/desk/{}/progress", Step.REPORT_PROGRESS, Cases.handling, {"progress": "已派人查看"}),
    "reply": Door("/hub/desk/{}/reply", Step.SUBMIT_REPLY, Cases.handling,
                  {"text": "已疏通", "outcome": "A", "evidence": "照片"}),
    "reject": Door("/hub/reviews/{}/reject", Step.REVIEW_REPLY, Cases.in_review, {"defects": "缺照片"}),
    "deliver": Door("/hub/reviews/{}/deliver", Step.REVIEW_REPLY, Cases.in_review,
                    {"way": "phone", "proof": "通话记录"}),
    "reopen": Door("/hub/reopenings/{}", Step.REOPEN, Cases.replied, {"reason": "又堵了"}),
    "answer_card": Door("/hub/supervision/{}/K2/1/1/answer", Step.ANSWER_CARD, _urged, {"feedback": "明日完成"}),
    "revoke_card": Door("/hub/supervision/{}/K2/1/1/revoke", Step.REVOKE_CARD, _urged, {"reason": "系统误发"}),
    "key": Door("/hub/supervision/key/{}", Step.SELECT_KEY, Cases.dispatched, {"reason": "群众关注"}),
}  # fmt: skip


@pytest.mark.parametrize("name", DOORS)
def test_a_form_is_taken_only_from_whom_the_rules_name(hub_app: Flask, township: Township, name: str) -> None:
    door, cases = DOORS[name], Cases(township)
    opinion_id = door.case(cases)
    before = len(cases.see(opinion_id).timeline)
    for role in PEOPLE:
        if Actor(account="-", name="-", role=role).may(door.step):
            continue
        answer = seat(hub_app, township.hub, role).post(door.path.format(opinion_id), data=door.typed)
        assert (role, answer.status_code) == (role, 403)
    assert len(cases.see(opinion_id).timeline) == before, "a refused form left a trace"
    for role in PEOPLE:
        if Actor(account="-", name="-", role=role).may(door.step):
            fresh = door.case(cases)
            answer = seat(hub_app, township.hub, role).post(door.path.format(fresh), data=door.typed)
            assert (role, answer.status_code) == (role, 302)


@pytest.mark.parametrize("name", ["sign", "progress", "reply", "answer_card"])
def test_another_unit_is_refused_and_does_not_even_see_the_case(hub_app: Flask, township: Township, name: str) -> None:
    door, cases = DOORS[name], Cases(township)
    opinion_id = door.case(cases)
    stranger = seat(hub_app, township.hub, Role.UNIT_HEAD, unit="agri")
    assert stranger.post(door.path.format(opinion_id), data=door.typed).status_code == 403
    seen = (f"/opinions/{opinion_id}", f"/hub/opinions/{opinion_id}/dispatch-note",
            f"/hub/supervision/{opinion_id}/K2/1/1/print")  # fmt: skip
    assert {path: stranger.get(path).status_code for path in seen} == dict.fromkeys(seen, 404)


TOWN_DOORS = {
    "/hub/stations/qn/code": (Step.ENROL_NODE, {}, 200),
    "/hub/town/areas/445222113203": (Step.EDIT_MASTER_DATA, {"place_name": "某某村", "confirmed": "1"}, 302),
    "/hub/town/units/new": (Step.EDIT_MASTER_DATA, {"place_name": "公路站", "kind": "institute"}, 302),
    "/hub/town/calendar": (Step.EDIT_MASTER_DATA, {"day": "2026-12-01", "is_workday": "no", "reason": "台风"}, 302),
    "/hub/accounts/new": (Step.MANAGE_ACCOUNTS, {"username": "new", "name": "新人", "role": "liaison",
                                                 "station": "qd", "password": "a long enough word"}, 302),
}  # fmt: skip


@pytest.mark.parametrize("path", TOWN_DOORS)
def test_the_towns_own_doors_open_to_whom_the_rules_name(hub_app: Flask, township: Township, path: str) -> None:
    step, typed, done = TOWN_DOORS[path]
    for role in PEOPLE:
        expected = done if Actor(account="-", name="-", role=role).may(step) else 403
        given = {**typed, "username": f"new-{role}", "master_code": f"roads-{role}".replace("_", "-")}
        answer = seat(hub_app, township.hub, role).post(path, data=given)
        assert (role, answer.status_code) == (role, expected)


def test_a_deputy_is_offered_no_step_of_handling(hub_app: Flask, township: Township) -> None:
    cases = Cases(township)
    deputy = seat(hub_app, township.hub, Role.DEPUTY)
    for opinion_id in (cases.registered(), cases.dispatched(), cases.in_review(), cases.replied()):
        page = deputy.get(f"/opinions/{opinion_id}").text
        assert "/hub/screening/" not in page
        assert "/hub/desk/" not in page
        assert "/hub/reviews/" not in page
        assert "/steps/close" not in page


def test_the_screening_page_offers_each_role_its_own_ways(hub_app: Flask, township: Township) -> None:
    opinion_id = Cases(township).registered()

    def ways(role: Role) -> set[str]:
        page = seat(hub_app, township.hub, role).get(f"/hub/screening/{opinion_id}").text
        known = ("assign", "transfer", "direct", "explain")
        return {way for way in known if f"/hub/screening/{opinion_id}/{way}" in page}

    assert ways(Role.CLERK) == {"assign", "direct", "explain"}
    assert ways(Role.CHAIR) == {"assign", "transfer", "explain"}


def test_reasons_of_the_chair_are_not_the_clerks(hub_app: Flask, township: Township) -> None:
    opinion_id = Cases(township).registered()
    explain = {"channel": "纪检监察机关", "talk": "已说明", "confirmed": "1", "reason": "N3"}

    def answer(role: Role) -> FlaskClient:
        return seat(hub_app, township.hub, role)

    assert '<option value="N3"' not in answer(Role.CLERK).get(f"/hub/screening/{opinion_id}/explain").text
    refused = answer(Role.CLERK).post(f"/hub/screening/{opinion_id}/explain", data=explain)
    assert refused.status_code == 422
    assert "只能由人大主席" in refused.text
    assert answer(Role.CHAIR).post(f"/hub/screening/{opinion_id}/explain", data=explain).status_code == 302


def test_a_locked_category_is_explained_and_never_dispatched(hub_app: Flask, township: Township) -> None:
    cases = Cases(township)
    opinion_id = cases.registered(sensitive=True)
    clerk = seat(hub_app, township.hub, Role.CLERK)
    assert f"/hub/screening/{opinion_id}/assign" not in clerk.get(f"/hub/screening/{opinion_id}").text
    refused = clerk.post(f"/hub/screening/{opinion_id}/assign", data=DISPATCH)
    assert refused.status_code == 422
    assert cases.state(opinion_id) == "registered"


def test_an_administrator_sees_no_opinion(hub_app: Flask, township: Township) -> None:
    opinion_id = Cases(township).dispatched()
    admin = seat(hub_app, township.hub, Role.ADMIN)
    for path in (f"/opinions/{opinion_id}", f"/hub/opinions/{opinion_id}/dispatch-note", "/opinions"):
        page = admin.get(path)
        assert page.status_code in (403, 404)
        assert "排水沟" not in page.text


def test_a_chief_manages_the_accounts_of_the_own_station_only(hub_app: Flask, township: Township) -> None:
    chief = seat(hub_app, township.hub, Role.CHIEF)
    new = {"username": "x", "name": "某人", "role": "liaison", "station": "zx", "password": "a long enough word"}
    assert chief.post("/hub/accounts/new", data=new).status_code == 422
    assert chief.post("/hub/accounts/new", data={**new, "station": "qd"}).status_code == 302


def test_the_system_itself_cannot_be_signed_in_as(hub_app: Flask, township: Township) -> None:
    new = {"username": "sys", "name": "系统", "role": SYSTEM.role.value, "password": "a long enough word"}
    admin = seat(hub_app, township.hub, Role.ADMIN)
    assert admin.post("/hub/accounts/new", data=new).status_code == 422
