"""Real processes are killed at bad moments. The station loses nothing it acknowledged; Redis and workers cost seconds.

One file, because all of it shares one township, which takes some seconds to start.
"""

import random
import threading
import time
import uuid
from datetime import timedelta

import pytest
import redis
from sqlalchemy import select

from config import jobs
from service.actions.checking import check
from service.actions.registering import NewOpinion, register
from service.actions.routing import Dispatch, dispatch
from service.demo.playing import STATION, Story, until
from service.demo.story_checks import heads_at, opinion_of_form, opinions_at
from service.demo.story_station import Poster
from service.demo.township import HUB
from service.domain.people import Actor, Role
from service.node import Node
from service.store.tables import cards, opinions

KILLS = 25
SEED = 20261123
CLERK = Actor(account="chaos", name="郑受理(虚构)", role=Role.CLERK)
CASES = 12


@pytest.mark.slow
def test_redis_killed_and_flushed_while_cards_are_due_loses_no_fact_and_no_card(story: Story) -> None:
    with story.node(HUB) as hub:
        cases = [_dispatched(hub, number) for number in range(CASES)]
        story.township.kill_redis()
        late = _dispatched(hub, CASES)  # recorded while nobody can be rung
        _to_the_first_step(story, hub)
        assert _fired(hub) == {}, "without Redis nothing is rung"

        story.township.start_redis()
        with redis.Redis.from_url(story.township.settings(HUB).broker_url or "") as client:
            client.flushall()
        until(lambda: len(_fired(hub)) == CASES + 1, "every card fired after Redis came back", within_s=60)

        assert set(_fired(hub)) == {*cases, late}
        assert all(len(keys) == len(set(keys)) for keys in _fired(hub).values()), "a card fired twice"


@pytest.mark.slow
def test_a_hub_worker_killed_in_the_middle_fires_every_card_once(story: Story) -> None:
    worker = story.township.processes["hub-worker"]
    with story.node(HUB) as hub:
        before = _fired(hub)
        _to_the_first_step(story, hub)
        story.ring(jobs.ESCALATION)
        worker.kill()
        worker.start()
        story.ring(jobs.ESCALATION)
        until(lambda: all(len(keys) > len(before[case]) for case, keys in _fired(hub).items()), "the next cards fired",
              within_s=45)  # fmt: skip
        assert all(len(keys) == len(set(keys)) for keys in _fired(hub).values()), "a card fired twice"
        assert check(hub) == []


@pytest.mark.slow
def test_25_kills_while_posting_lose_nothing_acknowledged_and_register_nothing_twice(story: Story) -> None:
    story.exchange()  # so that what the hub had is counted before
    before = opinions_at(story, STATION)
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
    assert opinions_at(story, STATION) == before + len(acknowledged) + len(complete)

    for number in again:
        assert poster.post(number), "a form could not be sent again after the restart"
    assert opinions_at(story, STATION) == before + len(acknowledged | set(again))
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


def _dispatched(hub: Node, number: int) -> str:
    """An opinion registered at the hub's desk for the station and assigned to the water office."""
    new = NewOpinion(form=uuid.uuid4().hex, title=f"虚构意见 {number}", body="(虚构)", area="445222113201")
    with hub.unit(CLERK) as unit:
        opinion = register(unit, new, STATION).opinion
    with hub.unit(CLERK) as unit:
        dispatch(unit, opinion, Dispatch(unit="water", requirement="请办理。", duty_basis="职责范围"))
    return opinion


def _to_the_first_step(story: Story, hub: Node) -> None:
    """Move the clock beyond the instant at which something is due for every case."""
    with hub.reading() as connection:
        due = [at for at in connection.execute(select(opinions.c.next_step_at)).scalars() if at is not None]
    story.township.clock.set_to(max(due) + timedelta(minutes=1))


def _fired(hub: Node) -> dict[str, list[tuple[str, int, str]]]:
    """Cards by opinion."""
    found: dict[str, list[tuple[str, int, str]]] = {}
    with hub.reading() as connection:
        for row in connection.execute(select(cards)):
            found.setdefault(row.opinion, []).append((row.clock, row.level, row.mark))
    return found


@pytest.mark.slow
def test_a_station_restored_as_documented_gets_back_what_the_hub_had_received(story: Story) -> None:
    """docs/operating-a-station.md: backup by VACUUM INTO, later records sent, PC lost, backup put back, new epoch."""
    story.exchange()
    data = story.township.folder / STATION / "data"
    with story.node(STATION) as node, node.engine.connect() as connection:
        epoch = node.identity.epoch
        raw = connection.connection.driver_connection
        assert raw is not None
        raw.execute(f"VACUUM INTO '{data / 'backup.sqlite3'}'")
    browser = story.sign_in(STATION, f"{STATION}.liaison")
    poster = Poster(browser, browser.open("/opinions/new").form("/opinions/new"))
    late = [uuid.uuid4().hex for _ in range(3)]
    assert all(poster.post(number) for number in late)
    story.exchange()
    expected = opinions_at(story, STATION)

    story.township.kill_station(STATION)
    for name in ("station.sqlite3", "station.sqlite3-wal", "station.sqlite3-shm", "node.epoch"):
        (data / name).unlink(missing_ok=True)
    (data / "backup.sqlite3").rename(data / "station.sqlite3")
    story.township.start_station(STATION)
    story.exchange()

    assert opinions_at(story, STATION) == expected
    assert all(opinion_of_form(story, STATION, number) for number in late)
    with story.node(STATION) as node:
        assert node.identity.epoch != epoch
        assert check(node) == []
    assert poster.post(uuid.uuid4().hex), "the restored station goes on recording"
    story.exchange()
    assert heads_at(story, HUB, STATION) == heads_at(story, STATION, STATION)
    with story.node(STATION) as node, node.reading() as connection:
        numbers = connection.execute(select(opinions.c.reg_no)).scalars().all()
    assert len(numbers) == len(set(numbers)), "a number was given out twice"
