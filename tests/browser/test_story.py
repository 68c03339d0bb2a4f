"""The story that opens docs/architecture.md, walked through the pages, from the dead line to the closing."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
import segno
from playwright.sync_api import Browser, Page, expect

from service.actions import projecting, syncing
from tests.browser import readme_picture
from tests.browser.stage import PUBLIC, Stage
from tests.browser.visiting import Keyboard, on_phone, person, picture, sign_in, signed_in, words

pytestmark = pytest.mark.browser

TITLE = "村口排水沟堵塞,下雨积水进屋"
BODY = "从上个礼拜开始沟就堵了,一落雨水就倒灌进厝内,老人出门都要蹚水。跟村里讲过,没人来看。"
WISH = "把沟疏通,雨季前盖上格栅。"
REPORTER, PHONE = "林阿婆(虚构)", "13800001234"
ANSWER = "9月27日组织清淤180米,更换盖板12块,雨后复查已排水通畅。今后由村水管员每月巡查一次。"


def test_an_opinion_written_down_with_the_line_dead_is_answered_and_closed(browser: Browser, stage: Stage) -> None:
    """From the keyboard at the station to 已办结 on the public page; both ends hold the same at the end."""
    stage.hub.pages.close()
    opinion, code = register_offline(browser, stage)

    stage.clock.go_on(days=3, minutes=20)
    stage.hub.pages.open()
    assert stage.exchange("qd").verified
    see_it_arrived(browser, stage)

    screen_and_dispatch(browser, stage)
    public_says(browser, stage, code, "已交办给水利所", "public-dispatched")
    assert stage.days_pass(11) >= 3, "reminder, urging and yellow card"
    look_at_the_board(browser, stage)
    stage.exchange("qd")
    see_the_card_at_the_station(browser, stage, opinion)

    reply_as_the_unit(browser, stage)
    review_and_deliver(browser, stage)
    public_says(browser, stage, code, "已答复", "public-replied")
    stage.clock.go_on(days=1)
    stage.exchange("qd")
    follow_up_and_close(browser, stage, opinion)

    assert stage.exchange("qd").verified
    public_says(browser, stage, code, "已办结", "public-closed")
    nothing_waits_and_everything_follows_from_the_ledger(stage)
    readme_picture.compose(browser)


# --- at the station, the line dead ---------------------------------------------------------------------------------


def register_offline(browser: Browser, stage: Stage) -> tuple[str, str]:
    """Keyboard only; gives the opinion's id and the tracking code from the receipt."""
    with person(browser, stage.stations["qd"]) as page:
        keyboard = Keyboard(page)
        page.goto("/")
        picture(page, "01-login")
        keyboard.write("username", "qd.liaison")
        keyboard.write("password", "sample-qd.liaison-9")
        keyboard.enter()
        picture(page, "02-workbench")
        keyboard.tab_to(href="/opinions/new")
        keyboard.enter()
        fill_in_the_form(keyboard)
        picture(page, "03-register")
        on_phone(page, lambda: picture(page, "03-register-phone"))
        keyboard.tab_to(tag="button", text="登记并出回执")
        keyboard.enter()
        assert keyboard.pressed < 60, "a practised clerk has two minutes"
        opinion, code = read_the_receipt(page, stage)
        see_that_nothing_has_gone_out(page, stage)
        return opinion, code


def fill_in_the_form(keyboard: Keyboard) -> None:
    """In the order of the page; what has a sensible start is left alone."""
    keyboard.write("title", TITLE)
    keyboard.write("body", BODY)
    keyboard.write("wish", WISH)
    keyboard.choose("category", "水利排涝")
    keyboard.write("name", REPORTER)
    keyboard.write("phone", PHONE)
    keyboard.tab_to(name="notice_read")
    keyboard.press("Space")


def read_the_receipt(page: Page, stage: Stage) -> tuple[str, str]:
    found = re.search(r"/opinions/([0-9a-f]{32})/receipt$", page.url)
    assert found, page.url
    code = re.search(r"\b(?:[0-9A-Z]{4}-){2}[0-9A-Z]{4}\b", words(page))
    assert code, "the tracking code stands on the receipt"
    assert "QD-2026-0001" in words(page)
    address = f"{PUBLIC}/p/{code[0]}"
    expected = segno.make(address, error="m", micro=False).svg_data_uri(scale=4, border=2)
    assert page.locator("img[src^='data:image/svg']").first.get_attribute("src") == expected
    assert code[0] not in page.url
    picture(page, "04-receipt")
    on_phone(page, lambda: picture(page, "04-receipt-phone"))
    printed(page, "04-receipt-paper")
    return found[1], code[0]


def see_that_nothing_has_gone_out(page: Page, stage: Stage) -> None:
    stage.clock.go_on(minutes=2)
    assert syncing.exchange_if_due(stage.stations["qd"].node) is None
    page.goto("/sync")
    text = words(page)
    assert "已保存到本站" in text
    assert "待同步" in text
    assert "乡镇已收到:" not in text
    assert "✓ 乡镇已收到" not in text
    assert "✓ 已核对一致" not in text
    picture(page, "05-sync-line-dead")
    on_phone(page, lambda: picture(page, "05-sync-line-dead-phone"))
    page.goto("/opinions")
    expect(page.get_by_role("link", name=TITLE)).to_be_visible()
    picture(page, "06-list")
    on_phone(page, lambda: picture(page, "06-list-phone"))


# --- the line is back ---------------------------------------------------------------------------------------------


def see_it_arrived(browser: Browser, stage: Stage) -> None:
    with signed_in(browser, stage.stations["qd"], "qd.liaison") as page:
        page.goto("/sync")
        assert "✓ 乡镇已收到" in words(page)
        assert "✓ 已核对一致" in words(page)
        picture(page, "07-sync-verified")


def screen_and_dispatch(browser: Browser, stage: Stage) -> None:
    with signed_in(browser, stage.hub, "clerk") as page:
        picture(page, "08-inbox")
        page.get_by_role("link", name=TITLE).click()
        assert PHONE not in words(page)
        page.get_by_role("link", name="交办办理").click()
        page.select_option("[name=unit]", "water")
        page.fill("[name=duty_basis]", "职责清单第2项:排水沟渠的维护")
        page.fill("[name=requirement]", "三日内到现场查看,疏通排水沟;处理后当面答复来访群众。")
        picture(page, "09-screening")
        on_phone(page, lambda: picture(page, "09-screening-phone"))
        page.get_by_role("button", name="签发并生成交办单").click()
        text = words(page)
        assert re.search(r"JB-2026-\d{4}", text)
        assert "2026年9月23日" in text, "five working days after 17 September, Sunday the 20th being one of them"
        assert PHONE not in text
        picture(page, "10-dispatch-note")
        printed(page, "10-dispatch-note-paper")


def look_at_the_board(browser: Browser, stage: Stage) -> None:
    with signed_in(browser, stage.hub, "chair") as page:
        page.goto("/hub/supervision")
        assert "黄牌" in words(page)
        expect(page.get_by_role("link", name=TITLE).first).to_be_visible()
        picture(page, "11-supervision")
        on_phone(page, lambda: picture(page, "11-supervision-phone"))
        page.get_by_role("link", name=TITLE).first.click()
        picture(page, "12-card")


def see_the_card_at_the_station(browser: Browser, stage: Stage, opinion: str) -> None:
    with signed_in(browser, stage.stations["qd"], "qd.chief") as page:
        picture(page, "13-workbench-overdue")
        on_phone(page, lambda: picture(page, "13-workbench-overdue-phone"))
        page.goto(f"/opinions/{opinion}")
        text = words(page)
        assert "黄牌" in text
        assert "视为签收" in text
        picture(page, "14-detail-card")
        on_phone(page, lambda: picture(page, "14-detail-card-phone"))
        page.goto(f"/opinions/{opinion}/clocks")
        assert "9月20日" in words(page) or "2026-09-20" in words(page)
        picture(page, "15-computation")


# --- the answer -----------------------------------------------------------------------------------------------------


def reply_as_the_unit(browser: Browser, stage: Stage) -> None:
    stage.clock.go_on(hours=3)
    with signed_in(browser, stage.hub, "water.head") as page:
        picture(page, "16-unit-desk")
        on_phone(page, lambda: picture(page, "16-unit-desk-phone"))
        page.locator("#handling").get_by_role("link", name=TITLE).click()
        page.get_by_role("link", name="填写答复").click()
        page.fill("[name=text]", ANSWER)
        page.check("[name=outcome][value=A]")
        page.fill("[name=evidence]", "清淤前后照片6张,村委会验收单1份。")
        picture(page, "17-reply")
        page.get_by_role("button", name="审签并提交").click()
        assert "答复已提交" in words(page)


def review_and_deliver(browser: Browser, stage: Stage) -> None:
    stage.clock.go_on(hours=1)
    with signed_in(browser, stage.hub, "clerk") as page:
        page.goto("/hub/reviews")
        picture(page, "18-reviews")
        page.get_by_role("link", name=TITLE).click()
        page.check("[name=way][value=face]")
        page.fill("[name=proof]", "9月28日上门送达,来访群众在回执上签名。")
        picture(page, "19-review")
        page.get_by_role("button", name="审核通过并送达").click()
        assert re.search(r"DF-2026-\d{4}", words(page))
        picture(page, "20-delivered")


def follow_up_and_close(browser: Browser, stage: Stage, opinion: str) -> None:
    with signed_in(browser, stage.stations["qd"], "qd.liaison") as page:
        page.goto(f"/opinions/{opinion}")
        page.get_by_role("link", name="回访").click()
        page.check("[name=reached][value=yes]")
        page.check("[name=solved][value=yes]")
        page.check("[name=rating][value=satisfied]")
        page.fill("[name=note]", "老人说雨后没有再积水。")
        picture(page, "21-follow-up")
        page.get_by_role("button", name="保存").click()
        stage.clock.go_on(minutes=5)
        page.get_by_role("link", name="办结").click()
        page.get_by_role("button", name="办结").click()
        assert "已办结" in words(page)
        picture(page, "22-closed")
        on_phone(page, lambda: picture(page, "22-closed-phone"))


# --- what others see ------------------------------------------------------------------------------------------------


def public_says(browser: Browser, stage: Stage, code: str, sentence: str, name: str) -> None:
    """Through the form and through the QR code's address; never a name, a number, or the citizen's words."""
    with person(browser, stage.hub) as page:
        page.goto("/p")
        page.fill("[name=code]", code.lower().replace("-", " "))
        page.press("[name=code]", "Enter")
        by_form = words(page)
        picture(page, name)
        page.goto(f"/p/{code}")
        on_phone(page, lambda: picture(page, f"{name}-phone"))
        for text in (by_form, words(page)):
            assert sentence in text
            assert not any(secret in text for secret in (REPORTER, PHONE, BODY))


def nothing_waits_and_everything_follows_from_the_ledger(stage: Stage) -> None:
    for house in (stage.hub, stage.stations["qd"]):
        assert set(projecting.differences(house.node).values()) == {0}
    station = stage.stations["qd"].node
    with station.reading() as connection:
        state = syncing.sync_state(station, connection)
    assert state is not None
    assert (state.unsent, state.verified, state.pending, state.quarantined) == (0, True, 0, 0)
    assert stage.clock() - state.last_verified_at < timedelta(minutes=1) if state.last_verified_at else False


def printed(page: Page, name: str) -> None:
    """As the printer would have it; A4 at 96 dots an inch."""
    before = page.viewport_size
    page.emulate_media(media="print")
    page.set_viewport_size({"width": 794, "height": 1123})
    picture(page, name)
    page.emulate_media(media="screen")
    if before is not None:
        page.set_viewport_size(before)


def test_signing_in_leads_back_to_the_page_one_came_for(browser: Browser, stage: Stage) -> None:
    with person(browser, stage.stations["qd"]) as page:
        page.goto("/sync")
        assert "/login" in page.url
        page.fill("[name=username]", "qd.liaison")
        page.fill("[name=password]", "sample-qd.liaison-9")
        page.press("[name=password]", "Enter")
        page.wait_for_url("**/sync")


def test_after_signing_out_going_back_shows_nothing(browser: Browser, stage: Stage) -> None:
    with person(browser, stage.stations["qd"]) as page:
        sign_in(page, "qd.liaison")
        page.goto("/opinions")
        with page.expect_navigation():  # going back while the page is still changing is refused by the browser
            page.get_by_role("button", name="退出").click()
        page.go_back()
        assert "意见列表" not in page.title()
