"""The memory stick on the pages: carried from a station to the hub and back, by those who may, in words."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from sqlalchemy import select

from service.actions import carrying, projecting, routing
from service.domain.opinions import State
from service.node import Node
from service.store import tables
from tests.web.cases import CLERK, DISPATCH, Cases
from tests.web.conftest import Browser, Township

Sit = Callable[[str], Browser]


@pytest.fixture
def cases(township: Township) -> Cases:
    return Cases(township)


@pytest.fixture
def stick(tmp_path: Path) -> Path:
    folder = tmp_path / "U盘"
    folder.mkdir()
    return folder


def carry(browser: Browser, way: str, stick: Path | str, **typed: str) -> tuple[int, str]:
    page = browser.send("/stick", at=f"/stick/{way}", folder=str(stick), **typed)
    return page.status_code, page.text


def state_at(node: Node, opinion: str) -> str | None:
    with node.reading() as connection:
        return connection.execute(select(tables.opinions.c.state).where(tables.opinions.c.id == opinion)).scalar()


def test_an_opinion_goes_to_the_hub_and_its_dispatch_comes_back(
    at_station: Sit, at_hub: Sit, cases: Cases, township: Township, stick: Path
) -> None:
    made = cases.registered()
    status, page = carry(at_station("liaison"), "out", stick)
    assert (status, "U盘上已有 1 个文件" in page) == (200, True)
    count = re.search(r"共 (\d+) 条记录,其中本次新写 (\d+) 条", page)
    assert count is not None
    assert int(count[1]) > 0

    status, page = carry(at_hub("clerk"), "in", stick)
    assert status == 200
    assert f"新收到 {count[1]} 条记录" in page
    assert "回执和对方还缺的内容已写到同一个U盘上" in page
    projecting.sweep(township.hub)
    assert state_at(township.hub, made.opinion) == State.REGISTERED.value

    carry(at_station("liaison"), "in", stick)
    assert "乡镇已收到" in at_station("liaison").get("/sync").text


def test_the_hub_writes_for_the_station_it_is_told(
    at_hub: Sit, at_station: Sit, cases: Cases, township: Township, stick: Path
) -> None:
    made = cases.registered()
    township.exchange()
    with township.hub.unit(CLERK) as unit:
        routing.dispatch(unit, made.opinion, DISPATCH)
    clerk = at_hub("clerk")
    assert carry(clerk, "out", stick, station="")[0] == 422
    assert carry(clerk, "out", stick, station="nobody")[0] == 404
    assert carry(clerk, "out", stick, station="qd")[0] == 200
    assert carry(at_station("chief"), "in", stick)[0] == 200
    assert state_at(township.station, made.opinion) == State.DISPATCHED.value


@pytest.mark.parametrize("way", ["out", "in"])
@pytest.mark.parametrize("who", ["deputy"])
def test_a_deputy_carries_no_sticks(at_station: Sit, stick: Path, way: str, who: str) -> None:
    browser = at_station(who)
    assert browser.get("/stick").status_code == 403
    token = browser.form("/password")["csrf_token"]
    refused = browser.client.post(f"/stick/{way}", data={"csrf_token": token, "folder": str(stick)})
    assert refused.status_code == 403
    assert list(stick.iterdir()) == []
    assert "/stick" not in browser.get("/sync").text


@pytest.mark.parametrize("who", ["chair", "head", "handler", "auditor", "presidium"])
def test_at_the_hub_the_clerk_and_the_administrator_carry_sticks(at_hub: Sit, who: str) -> None:
    assert at_hub(who).get("/stick").status_code == 403
    assert "/stick" in at_hub("clerk").get("/hub/stations").text
    assert at_hub("admin").get("/stick").status_code == 200


@pytest.mark.parametrize("path", ["", "stick", "../stick"])
def test_a_path_that_is_none_is_refused_at_its_field(at_station: Sit, path: str) -> None:
    status, page = carry(at_station("liaison"), "out", path)
    assert status == 422
    assert ("请填写“U盘”" if not path else "请选择U盘,或填写U盘的完整路径") in page


def test_a_folder_on_the_computers_own_disk_is_said_to_be_no_stick(at_station: Sit, stick: Path) -> None:
    assert "这个文件夹在本机硬盘上" in carry(at_station("liaison"), "out", stick)[1]


@pytest.mark.skipif(not os.path.ismount("/dev/shm"), reason="needs a second file system")
def test_a_stick_is_to_be_ejected_first(at_station: Sit) -> None:
    with TemporaryDirectory(dir="/dev/shm") as stick:
        page = carry(at_station("liaison"), "out", stick)[1]
    assert "请先安全弹出U盘" in page
    assert "这个文件夹在本机硬盘上" not in page


def test_a_stick_that_is_not_there_is_named_and_nothing_is_made(at_station: Sit, tmp_path: Path) -> None:
    status, page = carry(at_station("liaison"), "out", tmp_path / "E")
    assert status == 422
    assert "U盘读写失败,或已被拔出" in page
    assert not (tmp_path / "E").exists()


def test_an_empty_stick_is_named(at_station: Sit, stick: Path) -> None:
    status, page = carry(at_station("liaison"), "in", stick)
    assert status == 422
    assert "没有带给本机的内容" in page


def test_a_damaged_file_is_named_and_the_rest_is_taken_in(
    at_station: Sit, at_hub: Sit, cases: Cases, stick: Path
) -> None:
    cases.registered()
    carry(at_station("liaison"), "out", stick)
    (file,) = stick.rglob("*.age")
    file.write_bytes(file.read_bytes()[:-9])
    status, page = carry(at_hub("clerk"), "in", stick)
    assert status == 200
    assert f"{file.name}: U盘上有一个文件已损坏" in page


def test_the_page_speaks_english_too(at_station: Sit, stick: Path) -> None:
    liaison = at_station("liaison")
    liaison.speak("en")
    assert "Nothing on this stick is for this computer" in carry(liaison, "in", stick)[1]


def test_the_page_says_when_a_stick_was_last_written(at_station: Sit, stick: Path) -> None:
    liaison = at_station("liaison")
    assert "2026-11-16 10:00" not in liaison.get("/stick").text
    carry(liaison, "out", stick)
    assert "2026-11-16 10:00" in liaison.get("/stick").text


def test_sticks_are_the_mounted_folders_below_the_places_set(township: Township, tmp_path: Path) -> None:
    settings = township.station.settings.model_copy(
        update={"stick_dirs": os.pathsep.join([str(tmp_path / "media"), str(tmp_path / "none")])}
    )
    mounted = {tmp_path / "media" / "USB", tmp_path / "media" / "wang" / "我的U盘"}
    for folder in (*mounted, tmp_path / "media" / "empty", tmp_path / "elsewhere"):
        folder.mkdir(parents=True)
    mounts = {*mounted, tmp_path / "elsewhere"}
    assert carrying.sticks(settings, is_mount=lambda folder: folder in mounts) == sorted(mounted)
