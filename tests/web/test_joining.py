"""The first page of a new computer: it joins its town by code, and nobody can do that from elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from werkzeug.test import TestResponse as Page

from service.actions import carrying, enrolling, hub_address, projecting, syncing
from service.actions.enrolling import create_code
from service.demo.town import FOUNDER
from service.domain.people import Actor, Role
from service.node import Node, build_node
from service.store import node_facts, schema
from service.web import joining
from service.web.app import create_app
from sync.errors import Unreachable
from tests.web.conftest import COMPILED, Browser, Line, Township

CLERK = Actor(account="clerk", name="受理员(虚构)", role=Role.CLERK)
ADDRESS = "https://hub.example"
FROM_THE_LAN = {"REMOTE_ADDR": "192.168.1.20"}
ELSEWHERE: tuple[dict[str, Any], ...] = (
    {"environ_overrides": FROM_THE_LAN},
    {"environ_overrides": {"REMOTE_ADDR": "::ffff:10.0.0.9"}},
    {"headers": {"X-Forwarded-For": "192.168.1.20"}},  # a proxy
    {"headers": {"Host": "rebound.example"}},  # a name of the internet that answers with 127.0.0.1
    {"headers": {"Host": "192.168.1.5:8421"}},
)


@pytest.fixture
def fresh(township: Township, tmp_path: Path) -> Iterator[Node]:
    """A new computer: installed, and nothing else; nobody has set where the hub answers."""
    settings = township.station.settings.model_copy(update={"data_dir": tmp_path / "new", "hub_url": None})
    node = build_node(settings, jobs=township.station.jobs, now=township.clock)
    schema.upgrade(node.engine)
    projecting.rebuild_if_outdated(node)
    yield node
    node.engine.dispose()


@pytest.fixture
def app(fresh: Node) -> Flask:
    made = create_app(fresh)
    made.jinja_env.bytecode_cache = COMPILED
    return made


@pytest.fixture
def pc(app: Flask) -> Browser:
    return Browser(app)


@pytest.fixture
def code(township: Township) -> str:
    with township.hub.unit(FOUNDER) as unit:
        return create_code(unit, "qd", replaces=township.station.identity.node)


@pytest.fixture
def line(township: Township, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The line to the hub; the addresses that were asked for. "down" is one where nobody answers."""
    asked: list[str] = []

    def transport(node: Node, address: str = "") -> Line:
        url = address or hub_address.hub_url(node) or ""
        asked.append(url)
        if "down" in url:
            raise Unreachable
        return Line(township.hub)

    for module in (enrolling, syncing):
        monkeypatch.setattr(module, "hub_transport", transport)
    return asked


def join(pc: Browser, code: str, address: str = ADDRESS, **more: object) -> Page:
    return pc.send("/join", at="/join/line", hub_address=address, join_code=code, **more)


def test_a_new_computer_is_led_to_the_page_joins_and_shows_how_far_its_history_is(
    pc: Browser, fresh: Node, code: str, line: list[str], township: Township
) -> None:
    assert pc.get("/").location == "/join"
    assert "把这台电脑接入乡镇" in pc.get("/join").text
    answer = join(pc, code.lower().replace("-", " "))
    assert (answer.status_code, answer.location) == (302, "/join/joined")
    assert (fresh.station, hub_address.hub_url(fresh)) == ("qd", ADDRESS)
    waiting = pc.get("/join/joined").text
    assert "正在接收本站以前的记录" in waiting
    assert 'http-equiv="refresh"' in waiting
    syncing.exchange_now(fresh)
    assert line == [ADDRESS, ADDRESS], "the typed address serves from now on"
    done = pc.get("/join/joined").text
    assert "与乡镇核对一致" in done
    assert "refresh" not in done.partition("<body")[0]
    assert "lianxin user" in done
    assert township.station.identity.node != fresh.identity.node


def test_once_joined_the_page_is_gone(pc: Browser, fresh: Node, code: str, line: list[str]) -> None:
    form = pc.form("/join")
    join(pc, code)
    assert pc.get("/").location == "/login"
    assert pc.get("/join").location == "/login"
    again = pc.client.post("/join/line", data={**form, "hub_address": "https://elsewhere.example", "join_code": code})
    assert again.status_code == 404
    assert hub_address.hub_url(fresh) == ADDRESS
    assert "去接入" not in pc.get("/login").text


def test_a_code_that_is_none_is_explained(pc: Browser, fresh: Node, line: list[str]) -> None:
    for typed, said in (
        ("", "请填写“接入码”"), ("7KQM-3XWD", "接入码抄写有误"), ("7KQM-3XWD-PA9O", "接入码抄写有误"),
        ("7KQM-3XWD-PA9R", "不对、已经用过,或已过期"),
    ):  # fmt: skip
        answer = join(pc, typed)
        assert answer.status_code == 422
        assert said in answer.text
    assert (fresh.station, hub_address.hub_url(fresh)) == (None, None), "only the address of a proven hub is kept"


def test_a_code_that_another_computer_has_used_is_refused(
    pc: Browser, code: str, line: list[str], fresh: Node, township: Township, tmp_path: Path
) -> None:
    other = build_node(fresh.settings.model_copy(update={"data_dir": tmp_path / "other"}), jobs=fresh.jobs)
    schema.upgrade(other.engine)
    enrolling.enrol(other, code, address=ADDRESS)
    other.engine.dispose()
    assert "不对、已经用过,或已过期" in join(pc, code).text
    assert fresh.station is None


def test_an_address_that_is_none_is_asked_for_again(pc: Browser, code: str, line: list[str]) -> None:
    for address in ("", "ftp://hub", "https://", "hub example", "https://a:b@hub", "https://hub:x"):
        assert join(pc, code, address).status_code == 422
    assert line == []


def test_where_the_hub_does_not_answer_the_stick_is_offered_and_works(
    pc: Browser, fresh: Node, code: str, line: list[str], township: Township, tmp_path: Path
) -> None:
    answer = join(pc, code, "https://down.example")
    assert answer.status_code == 422
    assert "连不上乡镇服务器" in answer.text
    assert "可以用U盘接入" in answer.text
    stick = tmp_path / "stick"
    stick.mkdir()

    def by_stick() -> Page:
        return pc.send("/join", at="/join/stick", folder=str(stick), join_code=code)

    assert "接入申请已写到U盘" in by_stick().text
    assert fresh.station is None
    carrying.bring_back(township.hub, CLERK, str(stick))
    assert by_stick().location == "/join/joined"
    assert fresh.station == "qd"
    assert "本站的记录已全部收到" in pc.get("/join/joined").text


def test_a_stick_that_is_not_there_is_named(pc: Browser, code: str, tmp_path: Path) -> None:
    for folder in ("", "relative/path", str(tmp_path / "nowhere")):
        assert pc.send("/join", at="/join/stick", folder=folder, join_code=code).status_code == 422


def test_without_the_forms_token_nothing_is_done(pc: Browser, fresh: Node, code: str, line: list[str]) -> None:
    for path in ("/join/line", "/join/stick"):
        answer = pc.client.post(path, data={"hub_address": ADDRESS, "join_code": code, "folder": "/tmp"})
        assert answer.status_code == 400
    assert (line, fresh.station) == ([], None)


def test_from_elsewhere_nobody_gives_this_computer_to_a_hub(
    pc: Browser, fresh: Node, code: str, line: list[str]
) -> None:
    form = pc.form("/join")
    sent = {**form, "hub_address": ADDRESS, "join_code": code}
    for elsewhere in ELSEWHERE:
        assert pc.client.get("/join", **elsewhere).status_code == 403
        for path in ("/join/line", "/join/stick"):
            assert pc.client.post(path, data=sent, **elsewhere).status_code in (400, 403)
        assert pc.client.get("/", **elsewhere).location.endswith("/login")
        assert "去接入" not in pc.client.get("/login", **elsewhere).text
    assert (line, fresh.station) == ([], None)


def test_who_may_enrol_computers_may_do_it_from_elsewhere_signed_in(
    pc: Browser, fresh: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[Actor] = []
    monkeypatch.setattr(joining.desk, "signed_in", lambda: bool(said))
    monkeypatch.setattr(joining.desk, "actor", lambda: said[-1])
    assert pc.client.get("/join", environ_overrides=FROM_THE_LAN).status_code == 403
    for role, status in ((Role.LIAISON, 403), (Role.ADMIN, 200)):
        said.append(Actor(account="a", name="某人(虚构)", role=role))
        assert pc.client.get("/join", environ_overrides=FROM_THE_LAN).status_code == status


def test_a_hub_and_an_enrolled_station_have_no_such_page(
    hub_app: Flask, at_station: Callable[[str], Browser], township: Township
) -> None:
    assert Browser(hub_app).get("/join").status_code == 404
    assert at_station("liaison").get("/join").location == "/login"
    with township.station.reading() as connection:
        assert node_facts.get(connection, hub_address.HUB_URL) is None
