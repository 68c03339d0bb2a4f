"""Signing in and out, guessing, forged forms."""

from collections.abc import Callable

import pytest
from flask import Flask

from service.node import Node
from service.web.app import create_app
from tests.web.conftest import PASSWORD, Browser, Township
from tests.web.form_reader import main_form

Sit = Callable[[str], Browser]


@pytest.fixture
def browser(station_app: Flask) -> Browser:
    return Browser(station_app)


def test_who_is_not_signed_in_is_asked_first_and_led_back(browser: Browser) -> None:
    asked = browser.get("/opinions?state=open")
    assert asked.status_code == 302
    assert asked.headers["Location"].startswith("/login?next=")
    answer = browser.send(asked.headers["Location"], username="liaison", password=PASSWORD)
    assert answer.headers["Location"] == "/opinions?state=open"


@pytest.mark.parametrize("target", ["https://else.example/", "//else.example", "/\\else", "http:x", "/a\nb"])
def test_signing_in_never_leads_to_another_site(browser: Browser, target: str) -> None:
    answer = browser.send("/login", username="liaison", password=PASSWORD, next=target)
    assert answer.headers["Location"] == "/workbench"


def test_a_wrong_password_and_an_unknown_account_get_the_same_answer(browser: Browser) -> None:
    wrong = browser.send("/login", username="liaison", password="not this one")
    unknown = browser.send("/login", username="nobody", password="not this one")
    assert wrong.status_code == unknown.status_code == 422
    assert "账号或密码不正确" in wrong.text
    assert "账号或密码不正确" in unknown.text
    assert 'value="liaison"' in wrong.text, "the account stays typed in"
    assert "not this one" not in wrong.text, "the password does not"


def test_empty_fields_are_named(browser: Browser) -> None:
    page = browser.send("/login", username="", password="").text
    assert "请填写“账号”。" in page
    assert "请填写“密码”。" in page


def test_guessing_is_slowed_by_a_pause_that_ends_by_itself(browser: Browser, township: Township) -> None:
    for _ in range(5):
        browser.send("/login", username="liaison", password="guess")
    locked = browser.send("/login", username="liaison", password=PASSWORD)
    assert locked.status_code == 422
    assert "请在 2 分钟后再试" in locked.text or "请在 1 分钟后再试" in locked.text
    browser.speak("en")
    assert "Too many wrong attempts" in browser.send("/login", username="liaison", password=PASSWORD).text
    township.clock.pass_by(minutes=3)
    assert browser.sign_in("liaison").status_code == 302


def test_one_address_may_not_try_all_day(browser: Browser) -> None:
    token = browser.form("/login")["csrf_token"]
    answers = [
        browser.client.post("/login", data={"csrf_token": token, "username": f"n{n}", "password": "x"}).status_code
        for n in range(22)
    ]
    assert answers[:20] == [422] * 20
    assert answers[20:] == [429, 429]


def test_signing_out_ends_the_session(at_station: Sit) -> None:
    liaison = at_station("liaison")
    token = liaison.form("/workbench")["csrf_token"]
    liaison.client.post("/logout", data={"csrf_token": token})
    assert liaison.get("/workbench").status_code == 302


def test_a_new_password_ends_the_other_sessions_and_keeps_this_one(at_station: Sit) -> None:
    here, elsewhere = at_station("liaison"), at_station("liaison")
    changed = here.send("/password", old=PASSWORD, new="another good word", again="another good word")
    assert changed.status_code == 302
    assert here.get("/workbench").status_code == 200
    assert elsewhere.get("/workbench").status_code == 302


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ({"old": "wrong", "new": "another good word", "again": "another good word"}, "账号或密码不正确"),
        ({"old": PASSWORD, "new": "short", "again": "short"}, "密码长度应为 8 到 128 位"),
        ({"old": PASSWORD, "new": "password", "again": "password"}, "太容易被猜到"),
        ({"old": PASSWORD, "new": "another good word", "again": "something else"}, "两次输入的新密码不一致"),
    ],
)
def test_a_password_that_will_not_do_is_refused_with_a_reason(
    at_station: Sit, typed: dict[str, str], message: str
) -> None:
    page = at_station("liaison").send("/password", **typed)
    assert page.status_code == 422
    assert message in page.text


FORMS = ("/login", "/logout", "/opinions/new", "/receptions", "/sync", "/password", "/p", "/p/rating", "/p/reopening")


@pytest.mark.parametrize("path", FORMS)
def test_a_form_without_its_token_is_refused(at_station: Sit, path: str) -> None:
    refused = at_station("liaison").client.post(path, data={"title": "x", "form": "0" * 32})
    assert refused.status_code == 400
    assert "页面已过期" in refused.text


def test_a_token_of_another_session_is_refused(at_station: Sit) -> None:
    foreign = at_station("chief").form("/opinions/new")["csrf_token"]
    refused = at_station("liaison").client.post("/opinions/new", data={"csrf_token": foreign})
    assert refused.status_code == 400


def test_cookies_are_out_of_reach_of_scripts_and_other_sites(browser: Browser) -> None:
    cookies = browser.sign_in("liaison").headers.getlist("Set-Cookie")
    assert cookies
    for cookie in cookies:
        assert "HttpOnly" in cookie
        assert "SameSite=Lax" in cookie
        assert PASSWORD not in cookie


# --- behind TLS, and without Redis -----------------------------------------------------------------------------------


def changed(node: Node, **settings: object) -> Node:
    """The same node under other settings."""
    node.settings = node.settings.model_copy(update=settings)
    return node


def test_behind_tls_cookies_stay_there_and_forms_need_no_referrer(township: Township) -> None:
    app = create_app(changed(township.station, https=True))
    client = app.test_client()
    page = client.get("/login", base_url="https://station.example")
    cookie = page.headers["Set-Cookie"]
    assert "Secure" in cookie
    assert page.headers["Strict-Transport-Security"]
    form = main_form(page.text, "username").values | {"username": ["liaison"], "password": [PASSWORD]}
    assert client.post("/login", base_url="https://station.example", data=form).status_code == 302


def test_the_hub_signs_people_in_while_redis_is_away(township: Township) -> None:
    app = create_app(changed(township.hub, broker_url="redis://127.0.0.1:1/0"))
    assert Browser(app).sign_in("clerk").status_code == 302
