"""群众查询: what the holder of a tracking code sees and does."""

import pytest
from flask import Flask

from service.store import queries
from tests.web.cases import NEW, WHO, WORDS, Cases
from tests.web.conftest import Browser, Township


@pytest.fixture
def cases(township: Township) -> Cases:
    return Cases(township)


@pytest.fixture
def citizen(station_app: Flask) -> Browser:
    return Browser(station_app)


@pytest.fixture
def at_home(hub_app: Flask) -> Browser:
    return Browser(hub_app)


@pytest.mark.parametrize("make", ["registered", "dispatched", "replied", "answered_here"])
def test_no_page_of_a_code_shows_anything_personal(citizen: Browser, cases: Cases, make: str) -> None:
    made = getattr(cases, make)()
    for page in (citizen.send("/p", code=made.tracking_code), citizen.get(f"/p/{made.tracking_code}")):
        assert page.status_code == 200
        assert made.reg_no in page.text
        for text in (WHO.name, WHO.phone, WHO.address, WORDS, NEW.title, "黄知夏", "赵所长", "已清淤并加装盖板"):
            assert text not in page.text


def test_the_code_may_be_typed_in_any_way(citizen: Browser, cases: Cases) -> None:
    made = cases.registered()
    code = made.tracking_code
    for typed in (code.lower(), code.replace("-", " "), code.replace("-", "")):
        assert "正在筛选" in citizen.send("/p", code=typed).text


@pytest.mark.parametrize("typed", ["", "ABCD-EFGH-JKMN", "x" * 5000, "%00", "'; drop table"])
def test_an_unknown_code_gets_a_sentence_and_stays_typed(citizen: Browser, typed: str) -> None:
    page = citizen.send("/p", code=typed)
    assert page.status_code == 422
    assert "没有找到这个查询码" in page.text or "请填写“查询码”" in page.text
    citizen.speak("en")
    assert "tracking code" in citizen.send("/p", code=typed).text


def test_progress_names_the_unit_and_the_expected_day(citizen: Browser, cases: Cases) -> None:
    page = citizen.send("/p", code=cases.dispatched().tracking_code).text
    assert "已交办给水利所" in page
    assert "2026年11月23日 周一" in page


def test_a_date_that_has_passed_is_admitted(citizen: Browser, cases: Cases, township: Township) -> None:
    made = cases.dispatched()
    township.clock.pass_by(days=9)
    assert "已超过预计日期" in citizen.send("/p", code=made.tracking_code).text


def test_the_page_is_neither_kept_nor_told_to_others(citizen: Browser, cases: Cases) -> None:
    page = citizen.get(f"/p/{cases.registered().tracking_code}")
    assert page.headers["Cache-Control"] == "no-store"
    assert page.headers["Referrer-Policy"] == "no-referrer"
    assert page.headers["X-Robots-Tag"] == "noindex, nofollow"


def test_links_on_the_page_do_not_carry_the_code(citizen: Browser, cases: Cases) -> None:
    code = cases.replied().tracking_code
    page = citizen.get(f"/p/{code}").text
    assert f'href="/p/{code}' not in page
    assert page.count(code) == 2, "once in each form's hidden field"


def test_guessing_codes_is_slowed(citizen: Browser) -> None:
    token = citizen.form("/p")["csrf_token"]
    codes = [citizen.client.post("/p", data={"csrf_token": token, "code": f"C{n}"}).status_code for n in range(22)]
    assert codes[20:] == [429, 429]


# --- rating and reopening ------------------------------------------------------------------------------------------


def rated(township: Township, opinion: str) -> int:
    with township.station.reading() as connection:
        return sum(
            1
            for event in township.station.ledger.read_subjects(connection, [f"opinion/{opinion}"])[f"opinion/{opinion}"]  # type: ignore[list-item]
            if event.kind == "opinion.rated"  # type: ignore[index]
        )


def test_a_citizen_rates_once_however_often_the_form_is_sent(
    citizen: Browser, cases: Cases, township: Township
) -> None:
    made = cases.replied()
    form = {**citizen.form(f"/p/{made.tracking_code}"), "overall": "satisfied"}
    for _ in range(2):
        page = citizen.client.post("/p/rating", data=form)
        assert page.status_code == 200
        assert "已收到您的评价" in page.text
    assert rated(township, made.opinion) == 1
    assert "您最近的评价: 满意" in page.text


def test_a_dissatisfied_citizen_says_why_and_is_heard(citizen: Browser, cases: Cases) -> None:
    made = cases.replied()
    form = {**citizen.form(f"/p/{made.tracking_code}"), "overall": "dissatisfied"}
    refused = citizen.client.post("/p/rating", data=form)
    assert refused.status_code == 422
    assert 'id="e-rating_reason"' in refused.text
    taken = citizen.client.post("/p/rating", data={**form, "rating_reason": "又堵了"})
    assert "已申请重新办理" in taken.text


def test_a_rating_without_a_choice_is_asked_for(citizen: Browser, cases: Cases) -> None:
    made = cases.replied()
    page = citizen.client.post("/p/rating", data=citizen.form(f"/p/{made.tracking_code}"))
    assert page.status_code == 422
    assert "请填写“满意度”。" in page.text


def test_asking_to_reopen_works_within_the_window_and_says_when_it_ended(
    citizen: Browser, cases: Cases, township: Township
) -> None:
    made, late = cases.replied(), cases.replied()
    form = citizen.form(f"/p/{made.tracking_code}")
    assert "已收到您的申请" in citizen.client.post("/p/reopening", data={**form, "reason": "又堵了"}).text
    township.clock.pass_by(days=40)
    form = citizen.form(f"/p/{late.tracking_code}")
    refused = citizen.client.post("/p/reopening", data={**form, "reason": "又堵了"})
    assert refused.status_code == 422
    assert "申请重新办理的期限已于 2026-12-07 届满" in refused.text


def test_what_is_not_answered_cannot_be_rated(citizen: Browser, cases: Cases) -> None:
    made = cases.registered()
    token = citizen.form("/p")["csrf_token"]
    data = {"csrf_token": token, "code": made.tracking_code, "overall": "satisfied", "opened": "0"}
    refused = citizen.client.post("/p/rating", data=data)
    assert refused.status_code == 422
    assert "意见还没有答复" in refused.text


def test_the_hub_answers_for_every_station(at_home: Browser, cases: Cases, township: Township) -> None:
    made = cases.replied()
    page = at_home.get(f"/p/{made.tracking_code}")
    assert "已答复" in page.text
    with township.hub.reading() as connection:
        assert queries.opinion(connection, made.opinion) is not None
