"""待处理记录: the hub's people see what could not be taken in and decide; the station reads what was decided."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields

import pytest
import structlog
from flask import Flask

from service.actions import projecting
from service.domain.facts.kinds import REGISTRY
from service.domain.opinions import State
from service.domain.people import Role
from service.web.words import LABELS
from sync.events import EventDraft, Subject
from tests.web.cases import CHIEF, Cases
from tests.web.conftest import Browser, Township
from tests.web.hub_seats import PEOPLE, seat

Sit = Callable[[str], Browser]
LIST = "/hub/stations/aside"
KEY = "a" * 32
PAGE = f"{LIST}/opinion/{KEY}"
SHORT = '{"reg_no":"QD-2026-0901","tracking":"x","station":"qd","source":"visit","body":"漫水"}'.encode()


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """A traceback of each broken record, drawn for a terminal, would take most of a test's time."""
    with structlog.testing.capture_logs():
        yield


def record(township: Township, key: str, kind: str, body: bytes, version: int = 1) -> str:
    """The station records something its hub will not be able to take in; gives the event's id."""
    station = township.station
    draft = EventDraft(kind=kind, version=version, subject=Subject(f"opinion/{key}"), body=body,
                       occurred_at=township.clock.at, author="liaison|l1|林联络")  # fmt: skip
    with station.engine.begin() as connection:
        (event,) = station.ledger.append(connection, station.station_scope("qd"), [draft])
        station.ledger.mark_pending(connection, [draft.subject])
    township.exchange()
    return event.event_id


@pytest.fixture
def broken(township: Township) -> str:
    """A registration without a title has arrived."""
    return record(township, KEY, "opinion.registered", SHORT)


def test_the_board_leads_to_what_could_not_be_taken_in(at_hub: Sit, township: Township, broken: str) -> None:
    clerk = at_hub("clerk")
    assert "有 1 件记录整理不进台账" in clerk.get("/hub/stations").text
    page = clerk.get(LIST).text
    assert "内容缺项或格式不对" in page
    assert "钱东" in page
    assert "软件更新后" in page
    page = clerk.get(PAGE).text
    assert "不能读取" in page
    assert "title" in page  # for whoever maintains the software


def test_a_clerk_corrects_a_record_and_both_nodes_show_the_case(
    at_hub: Sit, at_station: Sit, township: Township, broken: str
) -> None:
    clerk = at_hub("clerk")
    form = clerk.form(f"{PAGE}/correct/{broken}", having="why")
    assert (form["body"], form["title"]) == (["漫水"], [""])
    refused = clerk.send(f"{PAGE}/correct/{broken}", having="why", why="电话核实")
    assert refused.status_code == 422
    assert "请填写“标题”" in refused.text
    done = clerk.send(f"{PAGE}/correct/{broken}", having="why", why="电话核实", title="村口水沟")
    assert done.status_code == 302
    projecting.sweep(township.hub)
    township.exchange()
    assert "没有待处理的记录" in clerk.get(LIST).text
    for browser in (clerk, at_station("liaison")):
        page = browser.get(f"/opinions/{KEY}").text
        assert "村口水沟" in page
        assert "乡镇更正一条记录" in page
        assert "电话核实" in page
    told = at_station("liaison").get("/sync").text
    assert "乡镇对本站记录的处理" in told
    assert "QD-2026-0901" in told
    assert "无法整理" not in told


def test_a_returned_record_is_told_to_its_station_with_the_reason(
    at_hub: Sit, at_station: Sit, township: Township
) -> None:
    made = Cases(township).registered()
    township.exchange()
    bad = record(township, made.opinion, "opinion.routed_direct", b'{"basis":7}')
    page, clerk = f"{LIST}/opinion/{made.opinion}", at_hub("clerk")
    assert made.reg_no in clerk.get(LIST).text
    nothing = clerk.send(page, at=f"{page}/reject", having="why", why="内容损坏")
    assert (nothing.status_code, "请填写“要退回的记录”" in nothing.text) == (422, True)
    assert clerk.send(page, at=f"{page}/reject", having="why", event=bad, why="内容损坏").status_code == 302
    projecting.sweep(township.hub)
    township.exchange()
    shown = at_station("chief").get(f"/opinions/{made.opinion}").text
    assert "乡镇退回一条记录" in shown
    assert "内容损坏" in shown
    assert "内容损坏" in at_station("chief").get("/sync").text
    with township.station.unit(CHIEF) as unit:
        assert unit.opinion(made.opinion).state is State.REGISTERED


def test_a_case_that_stands_aside_says_so_instead_of_failing(at_hub: Sit, at_station: Sit, township: Township) -> None:
    made = Cases(township).registered()
    township.exchange()
    record(township, made.opinion, "opinion.routed_direct", b'{"basis":7}')
    for browser in (at_hub("clerk"), at_station("liaison")):
        page = browser.get(f"/opinions/{made.opinion}")
        assert page.status_code == 409
        assert "等待乡镇处理" in page.text


def test_a_retry_is_one_click(at_hub: Sit, township: Township, broken: str) -> None:
    clerk = at_hub("clerk")
    assert clerk.send(PAGE, at=f"{PAGE}/retry", having="csrf_token").status_code == 302
    projecting.sweep(township.hub)
    assert "2 次" in clerk.get(LIST).text


def test_a_record_that_was_judged_already_says_so(at_hub: Sit, township: Township, broken: str) -> None:
    first, second = at_hub("clerk"), at_hub("clerk")
    given = second.form(PAGE, having="why")
    first.send(PAGE, at=f"{PAGE}/reject", having="why", event=broken, why="测试数据")
    late = second.client.post(f"{PAGE}/reject", data={**given, "event": broken, "why": "测试"})
    assert late.status_code == 422
    assert "已经有人处理过" in late.text


@pytest.mark.parametrize("role", PEOPLE)
def test_only_clerk_and_administrator_find_the_pages(
    hub_app: Flask, township: Township, broken: str, role: Role
) -> None:
    browser = seat(hub_app, township.hub, role)
    may = role in (Role.CLERK, Role.ADMIN)
    assert browser.get(LIST).status_code == (200 if may else 403)
    assert browser.get(PAGE).status_code == (200 if may else 403)
    assert browser.get(f"{PAGE}/correct/{broken}").status_code == (200 if role is Role.CLERK else 403)
    assert browser.post(f"{PAGE}/retry").status_code == (302 if may else 403)
    assert browser.post(f"{PAGE}/reject", data={"event": broken, "why": "x"}).status_code == (302 if may else 403)


def test_an_administrator_who_reads_no_cases_sees_no_words_of_a_citizen(
    at_hub: Sit, township: Township, broken: str
) -> None:
    page = at_hub("admin").get(PAGE).text
    assert "漫水" not in page
    assert "/correct/" not in page


@pytest.mark.parametrize("address", [f"{LIST}/opinion/{'0' * 32}", f"{LIST}/x/y/z", f"{PAGE}/correct/{'0' * 32}"])
def test_an_address_of_nothing_is_not_found(at_hub: Sit, broken: str, address: str) -> None:
    assert at_hub("clerk").get(address).status_code == 404


def test_what_only_newer_software_reads_is_counted_where_people_look(
    at_hub: Sit, at_station: Sit, township: Township
) -> None:
    made = Cases(township).registered()
    assert "尚不能识别" not in at_station("liaison").get("/sync").text
    record(township, made.opinion, "opinion.appraised", b'{"stars":5}')
    record(township, made.opinion, "opinion.closed", b"{}", version=9)
    assert "尚不能识别 2 条" in at_station("liaison").get("/sync").text
    assert "尚不能识别 2 条" in at_hub("clerk").get("/hub/stations").text
    assert "整理不进台账" not in at_hub("clerk").get("/hub/stations").text


def test_the_pages_speak_english(at_hub: Sit, township: Township, broken: str) -> None:
    clerk = at_hub("clerk")
    clerk.speak("en")
    assert "Something is missing or has the wrong form" in clerk.get(LIST).text
    assert "Accept as corrected" in clerk.get(f"{PAGE}/correct/{broken}").text


def test_every_field_that_can_be_corrected_has_a_name_in_words(at_hub: Sit) -> None:
    at_hub("clerk")  # the hub's words are installed with its pages
    shapes = [shape for shape in REGISTRY.values() if not shape.KIND.startswith("record.")]
    unnamed = {field.name for shape in shapes for field in fields(shape)} - LABELS["field"].keys()  # type: ignore[arg-type]
    assert not unnamed
