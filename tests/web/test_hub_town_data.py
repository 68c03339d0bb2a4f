"""Master data, accounts and coverage on the hub's pages."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

import pytest

from service.actions import covering, projecting
from service.domain.town import Town
from service.node import Node
from tests.web.conftest import PASSWORD, Browser, Township
from tests.web.hub_cases import Cases

AtHub = Callable[[str], Browser]


def town_of(hub: Node) -> Town:
    with hub.reading() as connection:
        return hub.town(connection)


def test_a_villages_name_is_confirmed_and_reaches_the_station(at_hub: AtHub, township: Township) -> None:
    clerk, path = at_hub("clerk"), "/hub/town/areas/445222113203"
    done = clerk.send(path, having="place_name", place_name="顶联村", confirmed="1", population="2410", follow=True)
    assert "已核实" in done.text
    township.exchange()
    area = town_of(township.station).areas["445222113203"]
    assert (area.name, area.name_status, area.population) == ("顶联村", "confirmed", 2410)


def test_every_bad_field_of_a_village_is_named_at_once(at_hub: AtHub) -> None:
    page = at_hub("clerk").send("/hub/town/areas/445222113203", having="place_name", place_name="", population="很多",
                                lat="23.4", lng="")  # fmt: skip
    assert page.status_code == 422
    for text in ("请填写“名称”", "居民人数", "经度", "很多"):
        assert text in page.text, text


@pytest.mark.parametrize(
    ("lat", "lng", "frame", "field"),
    [("91", "115.9", "wgs84", "lat"), ("x", "115.9", "wgs84", "lat"), ("23.4", "115.9", "", "frame"),
     ("nan", "115.9", "wgs84", "lat"), ("inf", "1e999", "wgs84", "lat")],
)  # fmt: skip
def test_a_position_that_is_none_is_refused(at_hub: AtHub, lat: str, lng: str, frame: str, field: str) -> None:
    path = "/hub/town/areas/445222113203"
    page = at_hub("clerk").send(path, having="place_name", place_name="某村", lat=lat, lng=lng, frame=frame)
    assert page.status_code == 422
    assert f'id="e-{field}"' in page.text


def test_a_new_unit_can_be_dispatched_to_until_it_is_put_out_of_use(at_hub: AtHub, township: Township) -> None:
    clerk, opinion_id = at_hub("clerk"), Cases(township).registered()
    clerk.send("/hub/town/units/new", having="place_name", master_code="roads", place_name="公路站", kind="institute",
               active="1", duties="乡道养护\n桥涵养护\n", area="")  # fmt: skip
    assert town_of(township.hub).units["roads"].duties == ("乡道养护", "桥涵养护")
    form = f"/hub/screening/{opinion_id}/assign"
    assert "公路站" in clerk.get(form).text
    stated = clerk.form("/hub/town/units/roads", "place_name")
    stated.pop("active", None)
    clerk.client.post("/hub/town/units/roads", data={**stated, "area": ""})
    assert not town_of(township.hub).units["roads"].active
    assert '<option value="roads"' not in clerk.get(form).text


@pytest.mark.parametrize("code", ["", "Qd!", "q", "abcde", "钱东"])
def test_a_stations_code_is_two_to_four_letters(at_hub: AtHub, township: Township, code: str) -> None:
    typed = {"place_name": "新站", "tier": "station", "area": "445222113204", "status": "planned"}
    page = at_hub("clerk").send("/hub/town/stations/new", having="place_name", master_code=code, **typed)
    assert page.status_code == 422
    assert 'id="e-master_code"' in page.text


def test_an_open_station_says_since_when(at_hub: AtHub, township: Township) -> None:
    clerk = at_hub("clerk")
    typed = {"master_code": "DL", "place_name": "顶联站", "tier": "point", "area": "445222113204", "status": "open",
             "frame": ""}  # fmt: skip
    assert 'id="e-opened_on"' in clerk.send("/hub/town/stations/new", having="place_name", **typed).text
    clerk.send("/hub/town/stations/new", having="place_name", opened_on="2026-11-01", **typed)
    assert town_of(township.hub).stations["dl"].stated.opened_on == date(2026, 11, 1)
    posts = "/hub/town/stations/dl/posts"
    clerk.send(posts, having="person", person="某甲(虚构)", post="liaison", from_on="2026-11-01")
    assert "某甲(虚构)" in clerk.get("/hub/town/stations").text
    assert clerk.send(posts, having="person", person="乙", post="chief").status_code == 422


def test_a_deputy_is_stated_and_leaves_office(at_hub: AtHub, township: Township) -> None:
    clerk = at_hub("clerk")
    typed = {"master_code": "d14", "name": "某丙(虚构)", "station": "qd", "in_office": "1"}
    assert 'id="e-levels"' in clerk.send("/hub/town/deputies/new", having="name", **typed).text
    clerk.send("/hub/town/deputies/new", having="name", levels=["city", "town"], district="第三选区", **typed)
    assert town_of(township.hub).deputies["d14"].levels == ("city", "town")
    stated = clerk.form("/hub/town/deputies/d14", "name")
    stated.pop("in_office")
    clerk.client.post("/hub/town/deputies/d14", data=stated)
    assert not town_of(township.hub).deputies["d14"].in_office


def test_a_typhoon_day_moves_open_due_dates(at_hub: AtHub, township: Township) -> None:
    cases, clerk = Cases(township), at_hub("clerk")
    opinion_id = cases.dispatched()
    assert "2026年11月23日" in clerk.get(f"/hub/opinions/{opinion_id}/dispatch-note").text
    storm = {"day": "2026-11-18", "is_workday": "no", "reason": "台风停工"}
    assert "台风停工" in clerk.send("/hub/town/calendar", having="day", follow=True, **storm).text
    projecting.sweep(township.hub)
    assert "2026年11月24日" in clerk.get(f"/hub/opinions/{opinion_id}/dispatch-note").text
    assert "2026-11-24" in at_hub("handler").get("/hub/desk").text


@pytest.mark.parametrize("day", ["", "2026-13-01", "1999-01-01", "明天"])
def test_a_day_that_is_none_is_refused(at_hub: AtHub, day: str) -> None:
    page = at_hub("clerk").send("/hub/town/calendar", having="day", day=day, reason="台风")
    assert page.status_code == 422


def test_the_calendar_says_which_years_are_published(at_hub: AtHub) -> None:
    page = at_hub("clerk").get("/hub/town/calendar").text
    assert "2026 公布" in page
    assert "2027 暂估" in page


# --- accounts --------------------------------------------------------------------------------------------------


def test_an_account_is_made_used_reset_and_ended(at_hub: AtHub, township: Township) -> None:
    admin = at_hub("admin")
    new = {"username": "roads.head", "name": "某丁(虚构)", "role": "unit_head", "unit": "water", "station": "",
           "deputy": ""}  # fmt: skip
    short = admin.send("/hub/accounts/new", having="username", password="kurz", **new)
    assert short.status_code == 422
    assert "kurz" not in short.text, "a password is never sent back"
    admin.send("/hub/accounts/new", having="username", password=PASSWORD, **new)
    browser = Browser(admin.client.application)
    assert browser.sign_in("roads.head").status_code == 302
    page = admin.get("/hub/accounts").text
    account = page.split("roads.head")[1].split("/hub/accounts/")[1].split("/")[0]
    admin.send(f"/hub/accounts/{account}/password", having="password", password="another long word")
    assert browser.get("/hub/desk").status_code == 302, "the open session has ended"
    assert browser.sign_in("roads.head", "another long word").status_code == 302
    admin.send("/hub/accounts", at=f"/hub/accounts/{account}/disable")
    assert browser.get("/hub/desk").status_code == 302
    assert "已停用" in admin.get("/hub/accounts").text


def test_nobody_ends_their_own_account(at_hub: AtHub) -> None:
    admin = at_hub("admin")
    own = admin.get("/hub/accounts").text.split("<strong>admin</strong>")[1].split("/hub/accounts/")[1].split("/")[0]
    assert admin.send("/hub/accounts", at=f"/hub/accounts/{own}/disable").status_code == 409


@pytest.mark.parametrize(
    ("role", "field"), [("liaison", "station"), ("handler", "unit"), ("", "role"), ("system", "role")]
)
def test_a_role_asks_for_its_place(at_hub: AtHub, role: str, field: str) -> None:
    page = at_hub("admin").send("/hub/accounts/new", having="username", username="x", name="某", role=role,
                                password=PASSWORD, station="", unit="", deputy="")  # fmt: skip
    assert page.status_code == 422
    assert f'id="e-{field}"' in page.text


# --- coverage --------------------------------------------------------------------------------------------------


def test_coverage_shows_map_table_and_every_share_with_both_numbers(at_hub: AtHub, township: Township) -> None:
    assert covering.publish_if_changed(township.hub)
    page = at_hub("clerk").get("/hub/coverage").text
    assert page.count("<svg") == 2, "one drawing for the desk, one for the telephone"
    for text in ("(K0)", "(K1)", "(K3)", "0.9R", "1.1R", "数据截至", "14/14", "有站不活", "示意图,非行政区域界线"):
        assert text in page, text
    assert page.count('id="village-') == 14


def test_points_in_different_frames_are_refused_by_name(at_hub: AtHub, township: Township) -> None:
    clerk = at_hub("clerk")
    stated = clerk.form("/hub/town/areas/445222113203", "place_name")
    clerk.client.post("/hub/town/areas/445222113203", data={**stated, "frame": "bd09"})
    page = clerk.get("/hub/coverage")
    assert page.status_code == 200
    assert "坐标系不一致" in page.text


def test_a_villages_name_cannot_write_on_the_page(at_hub: AtHub, township: Township) -> None:
    clerk = at_hub("clerk")
    stated = clerk.form("/hub/town/areas/445222113203", "place_name")
    clerk.client.post("/hub/town/areas/445222113203", data={**stated, "place_name": "<script>alert(1)</script>"})
    for path in ("/hub/coverage", "/hub/town/areas", "/hub/town/stations"):
        assert "<script" not in clerk.get(path).text
