"""The story at 钱东村: recording with the line dead, a process killed in the middle of a form, the line back."""

from __future__ import annotations

import re
import threading
import time
import uuid
from dataclasses import dataclass, field

import requests

from service.demo.browser import Browser, Form
from service.demo.playing import STATION, Story, expect, seen, until
from service.demo.story_checks import opinion_of_form, opinions_at

DRAIN = {
    "title": "村口排水沟堵塞,下雨漫水", "affected": "36",
    "body": "村口到小学那一段排水沟堵了半个多月,一下雨水就漫到路面上,老人和孩子走路都要绕开。(虚构)",
    "wish": "请尽快派人疏通。", "name": "蔡阿婆(虚构)", "phone": "13800000000", "notice_read": "1",
}  # fmt: skip
OTHERS = ("路灯不亮(虚构)", "村道坑洼(虚构)")
ACKNOWLEDGED_BEFORE_KILL = 8


def record_offline(story: Story) -> None:
    """Three opinions by form; each gets its receipt although nothing outside answers."""
    browser = story.sign_in(STATION, f"{STATION}.liaison")
    receipt = _register(browser, **DRAIN)
    story.opinion = receipt.rsplit("/", 2)[1]
    page = seen(browser.open(receipt), "QD-2026-0001")
    story.tracking_code = _code_on(page.html)
    for title in OTHERS:
        _register(browser, title=title, body=f"{title}:请有关单位看一看。")
    until(lambda: story.sync_state(STATION).reason, "the station says why nothing goes out")
    state = story.sync_state(STATION)
    expect(state.unsent > 0 and not state.verified, "nothing waits to be sent although the hub is down")
    seen(browser.open("/sync"), "待同步", "尚未核对一致", "QD-2026-0001")
    story.counted |= {"recorded_with_hub_down": 1 + len(OTHERS), "reason_while_down": state.reason}


def _register(browser: Browser, **typed: str) -> str:
    """Path of the receipt."""
    page = browser.send(browser.open("/opinions/new").form("/opinions/new"), **typed)
    expect(page.path.endswith("/receipt"), f"no receipt after registering: {page.status} {page.text[:300]}")
    return page.path


def _code_on(html: str) -> str:
    """The tracking code as printed: three groups of four."""
    found = re.search(r"\b[2-9A-HJ-NP-TW-Y]{4}-[2-9A-HJ-NP-TW-Y]{4}-[2-9A-HJ-NP-TW-Y]{4}\b", html)
    expect(found, "the receipt shows no tracking code")
    assert found is not None
    return found[0]


# --- kill -9 ---------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Poster:
    """Posts one form after another, each with a number of its own, and remembers which were acknowledged."""

    browser: Browser
    form: Form
    acknowledged: list[str] = field(default_factory=list)
    unanswered: list[str] = field(default_factory=list)

    def post(self, number: str) -> bool:
        """True when the station answered with the receipt's address, which is its promise that it is on the disk."""
        typed = {"form": number, "title": f"虚构意见 {number[:6]}", "body": "正在填写时断电。(虚构)",
                 "name": "某群众(虚构)", "notice_read": "1"}  # fmt: skip
        try:
            promised = self.browser.post(self.form, **typed).endswith("/receipt")
        except requests.RequestException:
            promised = False
        (self.acknowledged if promised else self.unanswered).append(number)
        return promised

    def post_until_cut(self) -> None:
        while self.post(uuid.uuid4().hex):
            pass


def kill_while_posting(story: Story) -> None:
    """What was acknowledged is all there; what was not is absent or complete; a form sent twice counts once."""
    browser = story.sign_in(STATION, f"{STATION}.liaison")
    poster = Poster(browser, browser.open("/opinions/new").form("/opinions/new"))
    before = opinions_at(story, STATION)
    posting = threading.Thread(target=poster.post_until_cut)
    posting.start()
    until(lambda: len(poster.acknowledged) >= ACKNOWLEDGED_BEFORE_KILL, "the station acknowledges forms")
    time.sleep(0.003)  # somewhere inside the next request
    story.township.kill_station(STATION)
    posting.join()
    story.township.start_station(STATION)
    _judge_after_kill(story, poster, before)


def _judge_after_kill(story: Story, poster: Poster, before: int) -> None:
    lost = [number for number in poster.acknowledged if opinion_of_form(story, STATION, number) is None]
    expect(not lost, f"{len(lost)} acknowledged opinions are gone")
    cut = [number for number in poster.unanswered if opinion_of_form(story, STATION, number) is not None]
    after = opinions_at(story, STATION)
    expect(after == before + len(poster.acknowledged) + len(cut), "an opinion is there that no form explains")
    for number in poster.unanswered:  # the clerk presses the button again, twice
        expect(poster.post(number) and poster.post(number), "the form could not be sent again after the restart")
    again = opinions_at(story, STATION)
    expect(again == before + len(set(poster.acknowledged)), "a form sent twice was registered twice")
    acknowledged = len(set(poster.acknowledged) - set(poster.unanswered))
    story.counted |= {
        "acknowledged_before_kill": acknowledged, "lost_after_kill": len(lost),
        "unanswered_at_kill": len(poster.unanswered), "of_these_complete_on_disk": len(cut),
        "registered_twice": again - before - len(set(poster.acknowledged)),
    }  # fmt: skip


# --- the line is back ------------------------------------------------------------------------------------------


def reconnect(story: Story) -> None:
    """The station finds the hub by itself; pressing the button only spares the wait."""
    story.counted["unsent_before_reconnect"] = story.sync_state(STATION).unsent
    story.township.start_hub()
    began = time.monotonic()
    story.exchange()
    expect(story.sync_state(STATION).verified, "the exchange did not end in verified")
    story.counted["seconds_from_hub_up_to_verified"] = round(time.monotonic() - began, 1)
