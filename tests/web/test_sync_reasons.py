"""Whatever stops an exchange: the station's page and the hub's board name it, and say what is stuck and what to do."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
from flask import Flask
from flask_babel import force_locale

from service.actions import housekeeping, routing
from service.actions.housekeeping import Health
from service.web import peer_lines, sync_reasons
from service.web.stations_board import lines
from sync import peers
from sync.errors import AlreadyRecorded, LinkError, SyncError, Unreachable
from tests.web.cases import CLERK, DISPATCH, Cases
from tests.web.conftest import Browser, Township
from tests.web.test_hub_stations import FRIDAY, MONDAY, a_town, contact, peer

Sit = Callable[[str], Browser]
CHINESE = re.compile(r"[\u4e00-\u9fff]")


def every_error(root: type[SyncError] = SyncError) -> Iterator[type[SyncError]]:
    yield root
    for child in root.__subclasses__():
        yield from every_error(child)


ERRORS = tuple(every_error())
STATES = ("queued", "starting", "unverified", "stick_only", "disk_low", "database_damaged")


def made(error: type[SyncError], **data: str | int) -> SyncError:
    return AlreadyRecorded("k", **data) if error is AlreadyRecorded else error(**data)


def test_every_reason_has_a_sentence_and_an_advice_in_both_languages(station_app: Flask) -> None:
    codes = [*(error.code for error in ERRORS), *STATES]
    assert set(codes) == set(sync_reasons.REASONS)
    for code in codes:
        for say in (sync_reasons.reason, sync_reasons.advice):
            with station_app.test_request_context():
                with force_locale("zh"):
                    chinese = say(code)
                with force_locale("en"):
                    english = say(code)
            assert CHINESE.search(chinese), code
            assert chinese.endswith("。"), code
            assert english.endswith("."), code
            assert not CHINESE.search(english), code
            assert "_" not in english, "words, not codes"


@pytest.fixture
def cases(township: Township) -> Cases:
    return Cases(township)


@contextmanager
def stopped_by(township: Township, error: SyncError) -> Iterator[None]:
    """The last exchange of the station ended in this, as both sides would have noted it."""
    for node, other in ((township.station, township.hub), (township.hub, township.station)):
        with node.engine.begin() as connection:
            peers.record_error(connection, other.identity.node, error, township.clock())
    yield


def test_after_any_error_the_page_and_the_board_name_it_what_is_stuck_and_what_comes_next(
    at_station: Sit, at_hub: Sit, cases: Cases, township: Township
) -> None:
    case = cases.registered()
    with township.station.reading() as connection:
        (stream,) = [str(one) for one in township.station.ledger.own_heads(connection)]
    liaison, clerk = at_station("liaison"), at_hub("clerk")
    for error in ERRORS:
        with stopped_by(township, made(error, stream=stream, seq=2)):
            page, board = liaison.get("/sync").text, clerk.get("/hub/stations").text
            why = page.split('class="note note-warning why"', 1)[1].split("</dl>")[0]
            reason, advice = sync_reasons.REASONS[error.code]
            for words in (reason, advice, error.code, "下次自动尝试", "卡在这一条", case.reg_no):
                assert words in why, (error.code, words)
            row = board.split("钱东村人大代表联络站")[1].split("</tr>")[0]
            assert f"卡在该站的第 2 条记录,代码 {error.code}" in row
            passes = issubclass(error, LinkError) or error.code in peer_lines.CALM
            assert ("需处理" in row) == (not passes), "trouble of the line passes by itself"
            assert "已核对一致" not in page.split("<dl")[0]


def test_without_an_error_what_waits_says_why_and_names_the_oldest(at_station: Sit, cases: Cases) -> None:
    case = cases.registered()
    page = at_station("liaison").get("/sync").text
    assert "正在排队送出" in page
    assert "等得最久的一条" in page
    assert case.reg_no in page.split("等得最久的一条")[1].split("</dd>")[0]
    assert "马上" in page


def test_a_station_without_an_address_of_the_hub_says_that_sticks_are_its_way(
    at_station: Sit, cases: Cases, township: Township
) -> None:
    cases.registered()
    township.station.settings = township.station.settings.model_copy(update={"hub_url": None})
    page = at_station("liaison").get("/sync").text
    assert "只能用U盘往来" in page
    assert "下次自动尝试" not in page


def test_a_full_disk_and_a_damaged_database_are_said_on_the_page(
    at_station: Sit, township: Township, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ill(_: object) -> Health:
        return Health(disk_free_bytes=0, integrity="row 3 missing", integrity_at=None, late_jobs=(),
                      warnings=("disk_low", "database_damaged", "sqlite_outdated"))  # fmt: skip

    monkeypatch.setattr(housekeeping, "health", ill)
    page = at_station("liaison").get("/sync").text
    assert "本机磁盘快满了" in page
    assert "数据库检查发现损坏" in page


def test_only_what_was_compared_is_green(at_station: Sit, cases: Cases, township: Township) -> None:
    liaison = at_station("liaison")
    assert '<li class="verified">✓ 已核对一致' in liaison.get("/sync").text
    assert "sync-ok" in liaison.get("/opinions").text
    cases.registered()
    for path in ("/sync", "/opinions", "/workbench"):
        page = liaison.get(path).text
        assert "sync-ok" not in page, "a new record flips the state at once"
        assert 'class="verified"' not in page


def test_opening_a_page_tells_the_worker_that_somebody_is_here(at_station: Sit, township: Township) -> None:
    assert township.station.somebody_at is None
    at_station("liaison").get("/workbench")
    assert township.station.somebody_at == township.clock()


# --- the hub's board -------------------------------------------------------------------------------------------------


def test_what_the_hub_records_for_a_station_flips_its_line_at_once(
    at_hub: Sit, cases: Cases, township: Township
) -> None:
    case = cases.registered()
    township.exchange()
    clerk = at_hub("clerk")
    assert "两端已核对一致" in clerk.get("/hub/stations").text
    with township.hub.unit(CLERK) as unit:
        routing.dispatch(unit, case.opinion, DISPATCH)
    page = clerk.get("/hub/stations").text
    assert "两端已核对一致" not in page
    assert "乡镇有 1 条还没有送到该站" in page
    township.exchange()
    assert "两端已核对一致" in clerk.get("/hub/stations").text


def test_the_board_is_ranked_by_working_days_of_waiting_and_silence_counts_as_waiting() -> None:
    codes = ("aa", "bb", "cc", "dd", "ee")
    contacts = {
        **contact("aa", last_contact_at=MONDAY, last_verified_at=MONDAY),
        **contact("bb", last_contact_at=MONDAY, unsent_count=1, oldest_unsent_at=FRIDAY),
        **contact("cc", last_contact_at=MONDAY, unsent_count=9, oldest_unsent_at=MONDAY - timedelta(days=14)),
        **contact("dd", last_contact_at=MONDAY - timedelta(days=10)),
        **contact("ee", last_contact_at=MONDAY, last_verified_at=MONDAY, last_error_code="fork_found"),
    }
    found = lines(a_town(*codes), [peer(code) for code in codes], contacts, MONDAY)
    assert [(line.station.code, line.age_days) for line in found] == [
        ("cc", 10), ("dd", 6), ("bb", 1), ("ee", 0), ("aa", 0)
    ]  # fmt: skip


def test_trouble_that_a_station_told_does_not_keep_the_particulars_of_another(township: Township) -> None:
    with township.hub.engine.begin() as connection:
        peers.record_contact(
            connection, township.station.identity.node, last_error_code="fork_found", last_error_data='{"seq": 7}'
        )
    with township.station.engine.begin() as connection:
        peers.record_error(connection, township.hub.identity.node, Unreachable(), township.clock())
    Cases(township).registered()
    township.exchange()
    with township.hub.reading() as connection:
        known = peers.find_contact(connection, township.station.identity.node)
    assert known.last_error_data is None
