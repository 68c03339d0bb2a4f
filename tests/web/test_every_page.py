"""What holds for every address of both applications."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy.exc import OperationalError
from structlog.testing import capture_logs

from config.settings import Settings
from service.actions import accounts
from service.actions.accounts import NewAccount, create_account
from service.demo.town import FOUNDER
from service.jobs import NoJobs
from service.node import build_node
from service.store import schema
from service.store.database import StorageUnusable
from service.web import workbench
from service.web.app import create_app
from tests.web.cases import Cases
from tests.web.conftest import PASSWORD, Browser, Township

Sit = Callable[[str], Browser]
OPEN_TO_ALL = {"auth.start", "auth.login", "auth.logout", "language.switch", "health.alive", "health.ready",
               "health.metrics", "public.ask", "public.by_link", "public.by_code", "public.rate", "public.reopening",
               "static", "bootstrap.static", "sync_api.answer"}  # fmt: skip
INLINE = re.compile(r"<script|<style| style=| on[a-z]+=|javascript:", re.IGNORECASE)
OUTSIDE = re.compile(r'(?:src|href|action)="(?:https?:)?//')


def addresses(app: Flask, opinion: str, junk: str) -> list[str]:
    """Every address that answers to GET, its parts filled with a real opinion and with junk."""
    adapter = app.url_map.bind("localhost")
    rules = [rule for rule in app.url_map.iter_rules() if "GET" in (rule.methods or ())]
    return sorted({
        adapter.build(rule.endpoint, {name: _fit(rule, name, value) for name in rule.arguments}, method="GET")
        for rule in rules for value in (junk, opinion)
    })  # fmt: skip


def _fit(rule: object, name: str, value: str) -> object:
    converter = rule._converters[name]  # type: ignore[attr-defined]
    return 7 if type(converter).__name__ in ("IntegerConverter", "FloatConverter") else value


@pytest.mark.parametrize("junk", ["x" * 300, "%00", "'\"><b>", "意见"])
@pytest.mark.parametrize("who", ["liaison", "deputy", "chief"])
def test_no_address_of_a_station_fails_whatever_stands_in_it(
    at_station: Sit, station_app: Flask, township: Township, junk: str, who: str
) -> None:
    opinion, browser = Cases(township).registered().opinion, at_station(who)
    for address in addresses(station_app, opinion, junk):
        for path in (address, f"{address}?state={'x' * 99}&after=1.2&next=//x&page=-1"):
            assert browser.get(path).status_code < 500, path


@pytest.mark.parametrize("who", ["clerk", "chair", "head", "admin"])
def test_no_address_of_the_hub_fails_whatever_stands_in_it(
    at_hub: Sit, hub_app: Flask, township: Township, who: str
) -> None:
    opinion, browser = Cases(township).dispatched().opinion, at_hub(who)
    for address in addresses(hub_app, opinion, "'\"><b>"):
        assert browser.get(f"{address}?state=x&after=1.2").status_code < 500, address


def test_who_is_not_signed_in_sees_the_public_pages_only(
    station_app: Flask, hub_app: Flask, township: Township
) -> None:
    opinion = Cases(township).dispatched().opinion
    for app in (station_app, hub_app):
        browser = Browser(app)
        for rule in app.url_map.iter_rules():
            if rule.endpoint in OPEN_TO_ALL or "GET" not in (rule.methods or ()):
                continue
            values = {name: _fit(rule, name, opinion) for name in rule.arguments}
            path = app.url_map.bind("localhost").build(rule.endpoint, values, method="GET")
            answer = browser.get(path)
            assert answer.status_code == 302, path
            assert answer.headers["Location"].startswith("/login"), path


def test_pages_bring_everything_themselves_and_run_nothing(
    at_station: Sit, at_hub: Sit, station_app: Flask, hub_app: Flask, township: Township
) -> None:
    opinion = Cases(township).dispatched().opinion
    for browser, app in ((at_station("chief"), station_app), (at_hub("clerk"), hub_app)):
        for address in addresses(app, opinion, opinion):
            page = browser.get(address)
            if page.mimetype != "text/html" or page.status_code != 200:
                continue
            assert not INLINE.search(page.text), address
            assert not OUTSIDE.search(page.text), address


def test_every_answer_carries_the_headers(at_station: Sit, station_app: Flask) -> None:
    browser = at_station("liaison")
    for path in ("/workbench", "/login", "/p", "/nope", "/opinions/new", "/healthz"):
        headers = browser.get(path).headers
        policy = headers["Content-Security-Policy"]
        assert "default-src 'self'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cache-Control"] == "no-store"
        assert headers["Referrer-Policy"]


def test_styles_and_icons_come_from_this_node(at_station: Sit) -> None:
    browser = at_station("liaison")
    page = browser.get("/workbench").text
    for address in re.findall(r'<link [^>]*href="([^"]+)"', page):
        with browser.get(address) as answer:
            assert answer.status_code == 200, address


# --- when something is wrong -----------------------------------------------------------------------------------------


def fails_with(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(workbench, "_day", fail)


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (StorageUnusable("disk_full", "no space left"), "磁盘已满,系统已停止记录"),
        (StorageUnusable("disk_read_only", "x"), "磁盘不能写入,系统已停止记录"),
        (StorageUnusable("database_malformed", "x"), "数据库文件损坏,系统已停止记录"),
        (OperationalError("INSERT", {"title": "王小明"}, Exception("database or disk is full")), "磁盘已满"),
    ],
)
def test_a_full_or_broken_disk_is_said_in_a_sentence(
    at_station: Sit, monkeypatch: pytest.MonkeyPatch, error: Exception, sentence: str
) -> None:
    fails_with(monkeypatch, error)
    page = at_station("liaison").get("/workbench")
    assert page.status_code == 503
    assert sentence in page.text
    assert "王小明" not in page.text


def test_a_fault_of_ours_tells_the_reader_nothing_inner(
    at_station: Sit, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fails_with(monkeypatch, OperationalError("SELECT secret", {"title": "王小明"}, Exception("no such column")))
    page = at_station("liaison").get("/workbench")
    assert page.status_code == 500
    assert "系统故障" in page.text
    assert "secret" not in page.text
    assert "王小明" not in page.text


def test_a_database_that_is_away_is_said_in_words_also_to_who_has_signed_in(
    at_station: Sit, monkeypatch: pytest.MonkeyPatch
) -> None:
    def is_away(*_: object) -> None:
        raise OperationalError("SELECT secret", {}, Exception("connection refused"))

    browser = at_station("liaison")
    monkeypatch.setattr(accounts, "account_actor", is_away)
    with capture_logs():  # as it stands, structlog would look into every local variable, "current_user" among them
        page = browser.get("/workbench")
    assert (page.status_code, "系统故障" in page.text, "secret" in page.text) == (500, True, False)


def test_a_station_that_is_not_enrolled_says_what_to_do(tmp_path: Path) -> None:
    node = build_node(Settings(data_dir=tmp_path), jobs=NoJobs())
    schema.upgrade(node.engine)
    with node.unit(FOUNDER) as unit:
        new = NewAccount(username="admin", name="管理员", role="admin", password=PASSWORD)
        create_account(unit, new)
    browser = Browser(create_app(node))
    assert browser.sign_in("admin").headers["Location"] == "/sync"
    assert "lianxin enrol" in browser.get("/sync").text
    assert "尚未接入乡镇" in browser.get("/workbench").text
    node.engine.dispose()


def test_what_is_too_large_is_refused_in_words(at_station: Sit) -> None:
    page = at_station("liaison").send("/opinions/new", title="x", body="大" * 600_000)
    assert page.status_code == 413
    assert "提交的内容太大" in page.text


# --- watching --------------------------------------------------------------------------------------------------------


def test_machines_can_watch_the_node(station_app: Flask, township: Township) -> None:
    Cases(township).registered()
    browser = Browser(station_app)
    assert browser.get("/healthz").json == {"status": "alive"}
    assert browser.get("/readyz").json == {"status": "ready", "reasons": []}
    figures = browser.get("/metrics").text
    assert "lianxin_open_opinions 1.0" in figures
    assert 'lianxin_opinions{state="registered"} 1.0' in figures
    assert "王小明" not in figures
