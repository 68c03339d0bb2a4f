"""What people see when things go wrong: a line down, a record that cannot be read, a computer lost with work on it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest
from playwright.sync_api import Browser, Page

from service.actions import projecting, replacing, syncing
from service.actions.attaching import attach
from service.demo.private_server import free_port
from service.documents.uploads import cleaned
from service.node import build_node
from service.store import schema
from service.store.unit import Unit
from service.web.app import create_app
from sync.errors import PeerRevoked
from sync.events import EventDraft, Subject
from tests.browser import judging
from tests.browser.cases import Cases, actor
from tests.browser.stage import House, Stage
from tests.browser.visiting import PHONE, gallery, person, signed_in, words
from tests.documents.photos import noisy
from tests.serving import Served
from tests.web.test_late_records import another_computer, bring_the_last_record_alone

pytestmark = pytest.mark.browser

BROKEN = "a" * 32
UNTITLED = '{"reg_no":"QD-2026-0901","tracking":"x","station":"qd","source":"visit","body":"漫水"}'.encode()


@dataclass(slots=True)
class BadWeek:
    """Two cases with photos, of which the second one's has not gone out; a broken record; a computer lost with work."""

    stage: Stage
    cases: Cases
    new_computer: House
    broken: str

    @property
    def station(self) -> House:
        return self.stage.stations["qd"]


@pytest.fixture(scope="module")
def week(stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BadWeek]:
    cases = Cases(stage)
    for name, title in (("seen", "排水沟堵塞"), ("under way", "路灯不亮")):
        cases.register(name, title)
        cases.do("qd.liaison", with_photo, name)
    stage.exchange("qd")
    broken = record_broken(stage)
    stage.exchange("qd")
    with opened(stage, tmp_path_factory.mktemp("new")) as new_computer:
        yield BadWeek(stage=stage, cases=cases, new_computer=new_computer, broken=broken)


def with_photo(unit: Unit, opinion: str) -> None:
    attach(unit, opinion, cleaned("现场.jpg", noisy(900, 700)), "现场照片")


def record_broken(stage: Stage) -> str:
    """A registration without a title, as an older program's mistake would leave it."""
    node = stage.stations["qd"].node
    draft = EventDraft(kind="opinion.registered", version=1, subject=Subject(f"opinion/{BROKEN}"), body=UNTITLED,
                       occurred_at=stage.clock(), author="liaison|l1|王小满(虚构)")  # fmt: skip
    with node.engine.begin() as connection:
        (event,) = node.ledger.append(connection, node.station_scope("qd"), [draft])
        node.ledger.mark_pending(connection, [draft.subject])
    return event.event_id


@contextmanager
def opened(stage: Stage, folder: Path) -> Iterator[House]:
    """A computer fresh from the shop: installed, and in no town yet."""
    settings = stage.stations["qd"].node.settings.model_copy(update={"data_dir": folder, "hub_url": None})
    node = build_node(settings, jobs=stage.hub.node.jobs, now=stage.clock)
    schema.upgrade(node.engine)
    projecting.rebuild_if_outdated(node)
    house = House(node=node, pages=Served(app=create_app(node), port=free_port()))
    house.pages.open()
    yield house
    house.pages.close()
    node.engine.dispose()


def looked_at(browser: Browser, week: BadWeek, house: House, who: str | None, address: str, name: str) -> str:
    """The page in both languages, on a telephone, judged; gives the Chinese words."""
    told, data = "", judging.data_of(week.stage.hub.node, week.station.node)
    for language in ("zh", "en"):
        with visitor(browser, house, who, language) as page:
            page.goto(address)
            problems = judging.sizes(page)
            if language == "zh":
                told = words(page)
            else:
                problems += judging.accessibility(page) + judging.chinese_left(judging.spoken(page), data)
            gallery(page, f"bad-{language}-{name}")
            assert problems == [], f"{address} in {language}"
    return told


def visitor(browser: Browser, house: House, who: str | None, language: str) -> AbstractContextManager[Page]:
    if who is None:
        return person(browser, house, viewport=PHONE, scripts=True, language=language)
    return signed_in(browser, house, who, viewport=PHONE, scripts=True, language=language)


def test_the_first_page_of_a_new_computer_says_how_to_join(browser: Browser, week: BadWeek) -> None:
    told = looked_at(browser, week, week.new_computer, None, "/join", "join")
    assert "接入码" in told


def test_a_photo_that_has_arrived_shows_and_one_on_its_way_says_so(browser: Browser, week: BadWeek) -> None:
    seen, under_way = week.cases.id("seen"), week.cases.id("under way")
    assert "现场照片" in looked_at(browser, week, week.station, "qd.liaison", f"/opinions/{seen}", "photos-station")
    assert "现场照片" in looked_at(browser, week, week.stage.hub, "clerk", f"/opinions/{under_way}", "photos-hub")


def test_a_record_that_cannot_be_read_is_shown_and_corrected(browser: Browser, week: BadWeek) -> None:
    hub, page = week.stage.hub, f"/hub/stations/aside/opinion/{BROKEN}"
    assert "记录整理不进台账" in looked_at(browser, week, hub, "clerk", "/hub/stations", "aside-board")
    looked_at(browser, week, hub, "clerk", "/hub/stations/aside", "aside-list")
    assert "不能读取" in looked_at(browser, week, hub, "clerk", page, "aside-record")
    looked_at(browser, week, hub, "clerk", f"{page}/correct/{week.broken}", "aside-correct")


def test_erasing_a_reporter_says_what_will_be_gone(browser: Browser, week: BadWeek) -> None:
    opinion = week.cases.id("seen")
    looked_at(browser, week, week.stage.hub, "clerk", f"/opinions/{opinion}/reporter", "erase")


def test_a_lost_computer_is_told_and_what_it_brings_later_is_decided(browser: Browser, week: BadWeek) -> None:
    """Last in this file: the station's only computer is withdrawn."""
    stage, station = week.stage, week.station
    stage.hub.pages.close()
    week.cases.register("offline", "断网时登记的一件")
    week.cases.register("last", "停用前登记的最后一件")
    assert "待同步" in looked_at(browser, week, station, "qd.liaison", "/sync", "sync-line-down")
    stage.hub.pages.open()
    both = SimpleNamespace(hub=stage.hub.node, station=station.node)
    bring_the_last_record_alone(both)
    with stage.hub.node.unit(actor("clerk")) as unit:
        replacing.withdraw(unit, station.node.identity.node, "电脑被盗")
    with pytest.raises(PeerRevoked):
        syncing.exchange_now(station.node)
    assert "接入资格已被收回" in looked_at(browser, week, station, "qd.liaison", "/sync", "sync-withdrawn")
    told = looked_at(browser, week, stage.hub, "clerk", "/hub/stations/qd/computers", "computers-late")
    assert "旧电脑上找到的记录" in told
    new = another_computer(both)
    with visitor(browser, stage.hub, "clerk", "zh") as page:
        page.goto("/hub/stations/qd/computers")
        page.get_by_role("button", name="收下", exact=True).click()
        page.wait_for_load_state()
        assert f"已交给电脑 {new[:8]}" in words(page)
    told = looked_at(browser, week, stage.hub, "clerk", "/hub/stations/qd/computers", "computers-handed")
    assert f"1 条已决定收下,等电脑 {new[:8]} 下次同步时完成" in told
