"""Two levels on pages: the county's board of its townships, and a township's page of what it reports."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from config.settings import NodeRole, Settings
from service.actions import enrolling, founding, gathering, projecting, summing, syncing
from service.demo.town import FOUNDER
from service.domain import facts as f
from service.domain.people import Role
from service.domain.town import build_town
from service.jobs import NoJobs
from service.node import Node, build_node
from service.store import schema, sums_queries
from service.web.app import create_app
from service.web.county import lines
from sync.exchange import enrol, exchange
from sync.peers import Contact, Peer
from tests.web.cases import Cases
from tests.web.conftest import COMPILED, MONDAY, Browser, Line, Township
from tests.web.hub_seats import seat
from tests.web.test_every_page import INLINE, OUTSIDE, addresses

COUNTY, QIANKENG, PINGSHANG = "445222", "445222113", "445222114"
AtHub = Callable[[str], Browser]
VIEWERS = (Role.CLERK, Role.CHAIR, Role.PRESIDIUM, Role.AUDITOR, Role.ADMIN)


@dataclass
class Office:
    """The county's hub with its pages, above the sample township."""

    node: Node
    app: Flask
    township: Node

    def seat(self, role: Role, language: str = "zh") -> Any:
        client = seat(self.app, self.node, role)
        client.get(f"/language/{language}")
        return client

    def exchange(self) -> None:
        with self.township.reading() as connection:
            above = syncing.hub_of(connection)
        assert above is not None
        exchange(syncing.replica(self.township), above, Line(self.node))
        projecting.sweep(self.node)
        projecting.sweep(self.township)


@pytest.fixture
def office(township: Township, tmp_path: Path) -> Iterator[Office]:
    """Two townships entered, one of them enrolled; nothing has been reported yet."""
    settings = Settings.model_construct(role=NodeRole.HUB, town=COUNTY, data_dir=tmp_path / COUNTY)
    node = build_node(settings, jobs=NoJobs(), now=township.clock)
    schema.upgrade(node.engine)
    projecting.rebuild_if_outdated(node)
    with node.unit(FOUNDER) as unit:
        founding.found(unit, COUNTY, "揭西县")
        gathering.state_township(unit, QIANKENG, "钱坑镇")
        gathering.state_township(unit, PINGSHANG, "坪上镇(虚构)")
    with node.unit(FOUNDER) as unit:
        code = enrolling.create_code(unit, QIANKENG)
    enrol(syncing.replica(township.hub), Line(node), code)
    syncing.announce_enrolled(node)
    app = create_app(node)
    app.jinja_env.bytecode_cache = COMPILED
    yield Office(node, app, township.hub)
    node.engine.dispose()


def test_the_county_sees_counts_and_how_fresh_they_are_in_both_languages(office: Office, township: Township) -> None:
    registered = Cases(township).registered()
    township.exchange()
    summing.sum_up(office.township)
    office.exchange()
    township.clock.pass_by(days=3)
    with office.node.reading() as connection:
        sums = sums_queries.sums_in(connection, "2026-11")[QIANKENG].sums
    assert sums.opinions_received >= 1
    page = office.seat(Role.CHAIR).get("/county?month=2026-11").text
    for text in ("揭西县人大枢纽", "钱坑镇", "坪上镇(虚构)", "尚未接入", "3 个工作日前", "由镇人大办在镇枢纽输入",
                 "1 个镇已报", f"{sums.villages_reached} / {sums.villages_located}", "核对码"):  # fmt: skip
        assert text in page, text
    for secret in (registered.reg_no, "钱东村人大代表联络站", "/opinions"):
        assert secret not in page
    english = office.seat(Role.CHAIR, "en").get("/county?month=2026-11").text
    for text in ("Townships", "Answered on time", "1 townships reported", "Not enrolled yet"):
        assert text in english, text
    earlier = office.seat(Role.CLERK).get("/county?month=2025-01").text
    assert "没有收到" in earlier


def test_the_township_sees_what_it_reported_and_what_the_county_said(office: Office, at_hub: AtHub) -> None:
    clerk = office.seat(Role.CLERK)
    sent = clerk.post("/county/notices", data={"notice_title": "月底核对", "notice_text": "请核对接待登记。"})
    assert sent.status_code == 302
    summing.sum_up(office.township)
    browser = at_hub("clerk")
    assert "待报送 1 条" in browser.get("/hub/upper").text
    office.exchange()
    page = browser.get("/hub/upper").text
    for text in ("月底核对", "请核对接待登记。", "县级枢纽已收到", "已核对一致", "2026-11", "本镇核对码"):
        assert text in page, text
    with office.township.reading() as connection:
        codes = syncing.check_codes(office.township, connection)
    assert codes.own == codes.receipt != ""
    assert codes.own in clerk.get("/county").text, "both may compare by telephone"
    browser.speak("en")
    english = browser.get("/hub/upper").text
    for text in ("Report to county", "The county hub has received it", "Stations open", "月底核对"):
        assert text in english, text


def test_a_township_that_is_not_enrolled_is_told_how(at_hub: AtHub) -> None:
    assert "lianxin enrol" in at_hub("admin").get("/hub/upper").text
    assert at_hub("head").get("/hub/upper").status_code == 403


def test_the_county_enters_a_township_and_hands_out_its_code(office: Office) -> None:
    admin = office.seat(Role.ADMIN)
    wrong = admin.post("/county/townships", data={"township": "445200001", "township_name": "外县的镇"})
    assert wrong.status_code == 422
    assert "以本县代码 445222 开头" in wrong.text
    entered = {"township": "445222115", "township_name": "龙潭镇(虚构)"}
    assert admin.post("/county/townships", data=entered).status_code == 302
    assert "龙潭镇(虚构)" in admin.get("/county").text
    assert "生成接入码" in admin.get("/hub/stations/445222115/computers").text
    page = admin.post("/hub/stations/445222115/code").text
    assert "在镇枢纽的服务器上运行" in page
    assert "lianxin enrol" in page
    assert admin.get("/hub/stations/qd/computers").status_code == 404


def test_every_page_of_the_county_holds_and_none_leads_to_a_case(office: Office) -> None:
    endpoints = {rule.endpoint.partition(".")[0] for rule in office.app.url_map.iter_rules()}
    assert endpoints.isdisjoint({"opinions", "registration", "inbox", "public", "unit_desk", "supervision"})
    for role in VIEWERS:
        client = office.seat(role)
        for address in addresses(office.app, QIANKENG, "'\"><b>"):
            page = client.get(f"{address}?month=x&after=1.2")
            assert page.status_code < 500, address
            if page.mimetype == "text/html" and page.status_code == 200:
                assert not INLINE.search(page.text), address
                assert not OUTSIDE.search(page.text), address


def test_who_only_looks_cannot_enter_publish_or_enrol(office: Office) -> None:
    asked = {
        "/county/notices": {"notice_title": "x", "notice_text": "y"},
        "/county/townships": {"township": "445222115", "township_name": "龙潭镇"},
        f"/hub/stations/{QIANKENG}/code": {},
    }
    for role in (Role.CHAIR, Role.PRESIDIUM, Role.AUDITOR):
        client = office.seat(role)
        assert "发布通知" not in client.get("/county").text
        for path, data in asked.items():
            assert client.post(path, data=data).status_code == 403, path


def test_a_township_that_fell_silent_comes_first_and_a_replaced_computer_is_left_out() -> None:
    town = build_town(f.AreaStated(code=code, name=code, level="town") for code in (QIANKENG, PINGSHANG))
    known = [
        Peer(node="old", public_key=b"k", name=PINGSHANG, read_scopes=(), write_scopes=(), revoked_after={}),
        Peer(node="new", public_key=b"k", name=PINGSHANG, read_scopes=(), write_scopes=()),
        Peer(node="fine", public_key=b"k", name=QIANKENG, read_scopes=(), write_scopes=()),
    ]
    contacts = {
        "new": Contact(peer="new", last_contact_at=MONDAY - timedelta(days=10)),
        "fine": Contact(peer="fine", last_contact_at=MONDAY, last_verified_at=MONDAY),
    }
    found = lines(town, known, contacts, MONDAY)
    assert [(line.node, line.state) for line in found] == [("new", "silent"), ("fine", "verified")]
