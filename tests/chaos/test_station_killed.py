"""A station process is killed again and again while its clerk posts forms: nothing it acknowledged is ever lost."""

import random
import threading
import time
import uuid

import pytest

from service.actions.checking import check
from service.demo.playing import STATION, Story, until
from service.demo.story_checks import heads_at, opinion_of_form, opinions_at
from service.demo.story_station import Poster
from service.demo.township import HUB

KILLS = 25
SEED = 20261123


@pytest.mark.slow
def test_25_kills_while_posting_lose_nothing_acknowledged_and_register_nothing_twice(story: Story) -> None:
    dice = random.Random(SEED)
    browser = story.sign_in(STATION, f"{STATION}.liaison")
    poster = Poster(browser, browser.open("/opinions/new").form("/opinions/new"))
    for _ in range(KILLS):
        _post_until_killed(story, poster, after_s=dice.uniform(0.02, 0.3))
        story.township.start_station(STATION)
    again = list(poster.unanswered)
    acknowledged = set(poster.acknowledged)
    complete = {number for number in again if opinion_of_form(story, STATION, number)}

    assert len(again) >= KILLS // 2, "the kills hit no request, so they proved nothing"
    assert not [number for number in acknowledged if opinion_of_form(story, STATION, number) is None]
    assert opinions_at(story, STATION) == len(acknowledged) + len(complete)

    for number in again:
        assert poster.post(number), "a form could not be sent again after the restart"
    assert opinions_at(story, STATION) == len(acknowledged | set(again))
    with story.node(STATION) as node:
        assert check(node) == []

    story.exchange()
    until(lambda: opinions_at(story, HUB) == opinions_at(story, STATION), "the hub has folded what arrived")
    assert heads_at(story, HUB, STATION) == heads_at(story, STATION, STATION)


def _post_until_killed(story: Story, poster: Poster, after_s: float) -> None:
    """At least one form is acknowledged before the kill, so that each start is seen to work."""
    assert poster.post(uuid.uuid4().hex)
    posting = threading.Thread(target=poster.post_until_cut)
    posting.start()
    time.sleep(after_s)
    story.township.kill_station(STATION)
    posting.join()
