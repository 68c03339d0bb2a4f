"""The desk's pages: workbench, list, one opinion, receptions, sync."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from flask import Flask

from service.actions import routing
from service.actions.escalating import sweep as escalate
from service.actions.receptions import HeldReception, hold
from sync import peers
from sync.errors import CaptivePortal, Unreachable
from sync.tables import snapshot_loads
from tests.web.cases import CLERK, DISPATCH, LIAISON, Cases
from tests.web.conftest import Browser, Township

Sit = Callable[[str], Browser]


@pytest.fixture
def cases(township: Township) -> Cases:
    return Cases(township)


# --- workbench -------------------------------------------------------------------------------------------------------


def test_the_workbench_shows_the_day(at_station: Sit, cases: Cases, township: Township) -> None:
    with township.station.unit(LIAISON) as unit:
        hold(unit, HeldReception(form="a" * 32, held_on=unit.today, headcount=17), "qd")
    answered, waiting = cases.answered_here(title="路灯不亮"), cases.registered(title="渠道渗漏")
    page = at_station("liaison").get("/workbench").text
    assert "<b>17</b>今日接待人次" in page
    assert "<b>2</b>今日登记" in page
    assert "<b>1</b>待回访" in page
    assert answered.reg_no in page
    assert waiting.reg_no in page
    assert "剩余 2 个工作日" in page


def test_the_station_warns_by_itself_while_the_line_is_down(at_station: Sit, cases: Cases, township: Township) -> None:
    made = cases.dispatched()
    township.clock.pass_by(days=9)  # nobody signed; no card has come, as nothing was exchanged
    liaison = at_station("liaison")
    assert "逾期 2 个工作日" in liaison.get("/workbench").text
    assert "应" in liaison.get("/workbench").text
    page = liaison.get(f"/opinions/{made.opinion}").text
    assert "这是本站的提醒,正式督办由乡镇枢纽发出" in page


def test_a_card_of_the_hub_takes_the_warnings_place(at_station: Sit, cases: Cases, township: Township) -> None:
    made = cases.dispatched()
    township.clock.pass_by(days=2)
    escalate(township.hub)
    township.exchange()
    page = at_station("liaison").get(f"/opinions/{made.opinion}").text
    assert "督办: 催办" in page
    assert "这是本站的提醒" not in page


# --- list ------------------------------------------------------------------------------------------------------------


def test_the_list_is_filtered_by_what_the_form_says(at_station: Sit, cases: Cases, township: Township) -> None:
    drain, lamp = cases.registered(title="排水沟堵塞"), cases.answered_here(title="路灯不亮", category="power")
    liaison = at_station("liaison")

    def found(query: str) -> set[str]:
        page = liaison.get(f"/opinions?{query}").text
        return {made.reg_no for made in (drain, lamp) if made.reg_no in page}

    assert found("") == {drain.reg_no, lamp.reg_no}
    assert found("text=路灯") == {lamp.reg_no}
    assert found(f"text={drain.reg_no}") == {drain.reg_no}
    assert found("state=registered") == {drain.reg_no}
    assert found("state=open") == {drain.reg_no, lamp.reg_no}
    assert found("category=power") == {lamp.reg_no}
    assert found("area=445222113202") == set()
    assert found("due=overdue") == set()
    township.clock.pass_by(days=3)
    assert found("due=overdue") == {drain.reg_no}


def test_the_list_goes_on_page_by_page(at_station: Sit, cases: Cases, township: Township) -> None:
    for number in range(27):
        cases.registered(title=f"第 {number} 件")
        township.clock.pass_by(minutes=1)
    liaison = at_station("liaison")
    first = liaison.get("/opinions?state=registered")
    assert "共 27 件" in first.text
    assert "QD-2026-0027" in first.text
    next_link = first.text.split('rel="next"')[0].rsplit('href="', 1)[1].split('"')[0].replace("&amp;", "&")
    assert "state=registered" in next_link
    second = liaison.get(next_link).text
    assert "QD-2026-0001" in second
    assert "QD-2026-0027" not in second
    assert "回到第一页" in second


JUNK = ("after=junk", "after=-1.x", "state=nonsense", "due=x&order=x", "text=%00%ff", "area=" + "9" * 999)


@pytest.mark.parametrize("query", JUNK)
def test_junk_in_the_address_line_is_harmless(at_station: Sit, cases: Cases, query: str) -> None:
    cases.registered()
    assert at_station("liaison").get(f"/opinions?{query}").status_code == 200


# --- one opinion -----------------------------------------------------------------------------------------------------


def test_the_timeline_shows_both_clocks_where_they_differ(at_station: Sit, cases: Cases, township: Township) -> None:
    made = cases.registered()
    liaison = at_station("liaison")
    assert "本机 2026" not in liaison.get(f"/opinions/{made.opinion}").text
    township.exchange()
    with township.hub.unit(CLERK) as unit:
        routing.dispatch(unit, made.opinion, DISPATCH)
    township.clock.pass_by(hours=5)
    township.exchange()
    page = liaison.get(f"/opinions/{made.opinion}").text
    assert "2026-11-16 10:00" in page
    assert "本机 2026-11-16 15:00 收到" in page


def test_how_a_date_was_computed_lists_days_counted_and_skipped(
    at_station: Sit, cases: Cases, township: Township
) -> None:
    township.clock.at += timedelta(days=4)  # a Friday
    made = cases.registered()
    page = at_station("liaison").get(f"/opinions/{made.opinion}/clocks").text
    assert "数到的日子(2 天)" in page
    assert "没有数的日子(2 天)" in page
    assert "2026年11月24日 周二" in page
    assert "周末" in page


def test_a_date_of_an_unpublished_year_is_marked_provisional(at_station: Sit, cases: Cases, township: Township) -> None:
    township.clock.at += timedelta(days=44)  # 30 December 2026; the notice for 2027 is not out
    made = cases.registered()
    liaison = at_station("liaison")
    assert "暂估期限" in liaison.get(f"/opinions/{made.opinion}").text
    assert "国务院还没有公布" in liaison.get(f"/opinions/{made.opinion}/clocks").text


def test_opinions_alike_are_pointed_out(at_station: Sit, cases: Cases) -> None:
    first, second = cases.registered(), cases.registered()
    page = at_station("liaison").get(f"/opinions/{second.opinion}").text
    assert "可能重复的意见" in page
    assert first.reg_no in page


# --- receptions ------------------------------------------------------------------------------------------------------


def test_a_reception_is_written_down_once(at_station: Sit) -> None:
    liaison = at_station("liaison")
    sent = {**liaison.form("/receptions"), "headcount": "7"}
    for _ in range(2):
        page = liaison.client.post("/receptions", data=sent, follow_redirects=True)
        assert "接待已登记" in page.text
    assert page.text.count("2026年11月16日") == 1


@pytest.mark.parametrize(
    ("typed", "field", "message"),
    [
        ({"held_on": ""}, "held_on", "请填写“接待日期”。"),
        ({"held_on": "昨天"}, "held_on", "请填日期"),
        ({"held_on": "2026-11-17"}, "held_on", "不能晚于今天"),
        ({"headcount": "几个"}, "headcount", "请填整数"),
        ({"headcount": "10001"}, "headcount", "应在 0 到 10000 之间"),
        ({"area": "1"}, "area", "选项无效"),
    ],
)
def test_a_reception_that_cannot_be_is_refused_and_kept(
    at_station: Sit, typed: dict[str, str], field: str, message: str
) -> None:
    page = at_station("liaison").send("/receptions", **({"headcount": "7", "note": "代表接待日"} | typed))
    assert page.status_code == 422
    assert f'id="e-{field}"' in page.text
    assert message in page.text
    assert "代表接待日" in page.text


# --- sync ------------------------------------------------------------------------------------------------------------


def test_saved_received_and_compared_are_three_different_things(
    at_station: Sit, cases: Cases, township: Township
) -> None:
    liaison = at_station("liaison")
    assert "已核对一致(" in liaison.get("/sync").text
    made = cases.registered()
    page = liaison.get("/sync").text
    assert "✓ 已保存到本站" in page
    assert "○ 待同步 2 条" in page
    assert "○ 尚未核对一致" in page
    assert made.reg_no in page
    assert "待同步 2 条" in liaison.get("/opinions").text
    township.exchange()
    page = liaison.get("/sync").text
    assert "✓ 乡镇已收到" in page
    assert "✓ 已核对一致" in page
    assert made.reg_no not in page


@pytest.mark.parametrize(
    ("error", "chinese", "english"),
    [(Unreachable(), "连不上乡镇服务器", "cannot be reached"), (CaptivePortal(), "上网认证页面", "wants a login")],
)
def test_why_nothing_goes_out_is_said_in_words(
    at_station: Sit, cases: Cases, township: Township, error: Unreachable, chinese: str, english: str
) -> None:
    cases.registered()
    with township.station.engine.begin() as connection:
        hub = next(peer for peer in peers.all_peers(connection) if peer.introduces)
        peers.record_error(connection, hub.node, error, township.clock())
    liaison = at_station("liaison")
    assert chinese in liaison.get("/sync").text
    assert "下次自动尝试" in liaison.get("/sync").text
    liaison.speak("en")
    assert english in liaison.get("/sync").text


def test_an_exchange_can_be_asked_for(at_station: Sit, township: Township) -> None:
    asked: list[str] = []
    township.station.jobs = Doorbell(asked)
    page = at_station("liaison").send("/sync", follow=True)
    assert "已请求立即同步" in page.text
    assert asked == ["lianxin.exchange"]


class Doorbell:
    """A doorbell that writes down who rang."""

    def __init__(self, asked: list[str]) -> None:
        self._asked = asked

    def request(self, name: str) -> None:
        self._asked.append(name)


# --- accounts --------------------------------------------------------------------------------------------------------


def test_the_chief_gives_the_stations_people_their_accounts(at_station: Sit, station_app: Flask) -> None:
    chief = at_station("chief")
    assert "liaison" in chief.get("/hub/accounts").text
    new = {"username": "qd.new", "name": "新来的", "role": "liaison", "station": "qd", "password": "a decent password"}
    made = chief.send("/hub/accounts/new", **new)
    assert made.status_code == 302
    newcomer = Browser(station_app)
    assert newcomer.sign_in("qd.new", "a decent password").headers["Location"] == "/workbench"


@pytest.mark.parametrize("change", [{"role": "clerk"}, {"role": "handler", "unit": "water"}, {"station": "zx"}])
def test_a_chief_cannot_make_accounts_beyond_the_station(at_station: Sit, change: dict[str, str]) -> None:
    new = {"username": "qd.new", "name": "新来的", "role": "liaison", "station": "qd", "password": "a decent password"}
    refused = at_station("chief").send("/hub/accounts/new", **(new | change))
    assert refused.status_code == 422
    assert "新来的" in refused.text
    assert "a decent password" not in refused.text


@pytest.mark.parametrize("who", ["liaison", "deputy"])
def test_others_do_not_see_the_accounts(at_station: Sit, who: str) -> None:
    browser = at_station(who)
    assert "/hub/accounts" not in browser.get("/workbench").text
    assert browser.get("/hub/accounts").status_code == 403


def test_a_history_that_comes_in_parts_shows_how_far_it_is_and_that_one_may_record(
    at_station: Sit, township: Township
) -> None:
    with township.station.engine.begin() as connection:
        hub = next(peer for peer in peers.all_peers(connection) if peer.introduces)
        connection.execute(snapshot_loads.insert().values(
            peer=hub.node, reason="below_horizon", manifest=b"", signature=b"", parts=12, done=3, begun_us=0,
        ))  # fmt: skip
    liaison = at_station("liaison")
    for address in ("/sync", "/workbench"):
        page = liaison.get(address).text
        assert "历史记录正在下载:已到 3/12 部分,可以照常登记" in page
        assert "本机离线时间较长" in page
    liaison.speak("en")
    page = liaison.get("/sync").text
    assert "3 of 12 parts are here. You can record as usual." in page
    assert "records are safe and are sent as usual" in page
