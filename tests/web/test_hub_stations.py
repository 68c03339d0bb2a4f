"""Stations board: who has been silent, since when, and why; and the code that lets a computer in."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from service.domain import facts as f
from service.domain.town import Town, build_town
from service.web.stations_board import lines
from sync.events import to_us
from sync.peers import Contact, Peer, all_peers, record_contact
from tests.web.conftest import Browser, Township

AtHub = Callable[[str], Browser]
MONDAY = datetime(2026, 11, 16, 2, 0, tzinfo=UTC)
FRIDAY = MONDAY - timedelta(days=3)


def a_town(*codes: str, status: str = "open") -> Town:
    return build_town(
        f.StationStated(code=code, name=f"{code}站", tier="station", area="445222113201", status=status)
        for code in codes
    )


def peer(station: str) -> Peer:
    return Peer(node=f"node-{station}", public_key=b"k", name=station, read_scopes=(), write_scopes=())


def contact(station: str, **known: Any) -> dict[str, Contact]:
    return {f"node-{station}": Contact(peer=f"node-{station}", **known)}


def state_of(now: datetime = MONDAY, **known: Any) -> str:
    (line,) = lines(a_town("qd"), [peer("qd")], contact("qd", **known), now)
    return line.state


def test_a_station_without_a_computer_is_to_be_enrolled() -> None:
    (line,) = lines(a_town("qd"), [], {}, MONDAY)
    assert (line.state, line.node) == ("not_enrolled", "")


def test_a_planned_station_is_not_expected_to_answer() -> None:
    assert lines(a_town("qd", status="planned"), [], {}, MONDAY) == []


@pytest.mark.parametrize(
    ("known", "state"),
    [
        ({}, "never"),
        ({"last_contact_at": MONDAY, "last_verified_at": MONDAY}, "verified"),
        ({"last_contact_at": MONDAY, "last_verified_at": FRIDAY}, "unverified"),
        ({"last_contact_at": MONDAY, "unsent_count": 3, "oldest_unsent_at": FRIDAY}, "waiting"),
        ({"last_contact_at": FRIDAY, "last_verified_at": FRIDAY}, "verified"),
        ({"last_contact_at": MONDAY - timedelta(days=4), "last_verified_at": FRIDAY}, "silent"),
    ],
)
def test_states_of_a_line(known: dict[str, Any], state: str) -> None:
    """Friday to Monday is one working day: a weekend alarms nobody."""
    assert state_of(**known) == state


def test_a_named_refusal_alarms_whatever_else_is_known() -> None:
    (line,) = lines(a_town("qd"), [peer("qd")], contact(
        "qd", last_contact_at=MONDAY, last_verified_at=MONDAY, last_error_code="fork_found"
    ), MONDAY)  # fmt: skip
    assert line.alarming


def test_a_station_whose_clock_runs_ahead_is_flagged_and_counts_no_negative_days() -> None:
    (line,) = lines(a_town("qd"), [peer("qd")], contact(
        "qd", last_contact_at=MONDAY, offset_s=-3600.0, unsent_count=1, oldest_unsent_at=MONDAY + timedelta(days=9)
    ), MONDAY)  # fmt: skip
    assert (line.offset_flagged, line.waiting_days) == (True, 0)


# --- pages -----------------------------------------------------------------------------------------------------


def test_the_board_says_it_in_words(at_hub: AtHub, township: Township) -> None:
    with township.hub.engine.begin() as connection:
        (known,) = [one for one in all_peers(connection) if one.name == "qd"]
        record_contact(
            connection, known.node, last_contact_us=to_us(FRIDAY - timedelta(days=7)), unsent_count=12,
            oldest_unsent_us=to_us(FRIDAY - timedelta(days=8)), offset_s=900.0,
        )  # fmt: skip
    page = at_hub("clerk").get("/hub/stations").text
    for text in ("钱东村人大代表联络站", "已有 6 个工作日没有联系", "12 条", "已等 7 个工作日", "时钟差 900 秒",
                 "尚未接入", "需处理"):  # fmt: skip
        assert text in page, text


@pytest.mark.parametrize(("code", "words"), [("fork_found", "同一编号出现两份不同内容"), ("tomorrow", "tomorrow")])
def test_a_refusal_is_a_sentence_also_when_a_newer_version_named_it(
    at_hub: AtHub, township: Township, code: str, words: str
) -> None:
    with township.hub.engine.begin() as connection:
        (known,) = [one for one in all_peers(connection) if one.name == "qd"]
        record_contact(connection, known.node, last_error_code=code, last_error_us=to_us(MONDAY))
    assert words in at_hub("admin").get("/hub/stations").text


def test_a_code_is_shown_once_and_each_one_is_new(at_hub: AtHub) -> None:
    admin = at_hub("admin")
    pages = [admin.send("/hub/stations/qn/computers", at="/hub/stations/qn/code").text for _ in range(2)]
    codes = [re.search(r'receipt-code">([^<]+)<', page) for page in pages]
    first, second = (found[1] if found else "" for found in codes)
    assert first != second
    assert "" not in (first, second)
    assert "钱南村" in pages[0]
    assert second not in admin.get("/hub/stations").text


def test_a_code_for_a_station_that_does_not_exist(at_hub: AtHub) -> None:
    assert at_hub("admin").send("/hub/stations/qn/computers", at="/hub/stations/xx/code").status_code == 404


def test_a_computer_is_replaced_and_a_stolen_one_is_stopped(at_hub: AtHub, township: Township) -> None:
    admin = at_hub("admin")
    old = township.station.identity.node
    assert old[:8] in admin.get("/hub/stations/qd/computers").text
    made = admin.send("/hub/stations/qd/computers", at="/hub/stations/qd/code", having="replaces")
    assert "旧电脑自动停用" in made.text
    page, stop = "/hub/stations/qd/computers", "/hub/stations/qd/withdraw"
    unsaid = admin.send(page, at=stop, having="withdraw_reason", node=old)
    assert unsaid.status_code == 422
    assert "停用理由" in unsaid.text
    stopped = admin.send(page, at=stop, having="withdraw_reason", node=old, withdraw_reason="电脑被盗", follow=True)
    assert "已停用" in stopped.text
