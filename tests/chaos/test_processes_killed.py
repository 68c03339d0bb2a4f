"""Real processes are killed at bad moments. The station loses nothing it acknowledged; Redis and workers cost seconds.

One file, because all of it shares one township, which takes some seconds to start.
"""

import os
import random
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path

import psutil
import pytest
import redis
from sqlalchemy import select

from config import jobs
from service.actions.checking import check
from service.actions.registering import NewOpinion, register
from service.actions.routing import Dispatch, dispatch
from service.demo.playing import STATION, Story, seen, until
from service.demo.processes import ROOT, Process, answers, inherited
from service.demo.story_checks import heads_at, opinion_of_form, opinions_at
from service.demo.story_station import Poster
from service.demo.township import HUB
from service.domain.people import Actor, Role
from service.node import Node
from service.store.tables import cards, opinions
from sync import epochs
from tests.chaos.conftest import SEED
from tests.chaos.harm import Harm
from tests.chaos.judging import judge
from tests.chaos.line import VILLAGE
from tests.chaos.people import Clerk, Recorder, leave_all
from tests.chaos.stage import Stage

KILLS = 8
SHORT_KILLS = 8
MORE_THAN_FITS = 300
CLERK = Actor(account="chaos", name="郑受理(虚构)", role=Role.CLERK)
LIAISON = Actor(account="chaos", name="王小满(虚构)", role=Role.LIAISON, station=STATION)
CASES = 12
RECORDED_MEANWHILE = 200


@pytest.mark.slow
def test_redis_killed_and_flushed_while_cards_are_due_loses_no_fact_and_no_card(story: Story) -> None:
    with story.node(HUB) as hub:
        cases = [_dispatched(hub, number) for number in range(CASES)]
        story.township.kill_redis()
        late = _dispatched(hub, CASES)  # recorded while nobody can be rung
        clerk = story.sign_in(HUB, "clerk")  # limits of attempts are counted in Redis, but pages go on without
        seen(clerk.open(f"/opinions/{late}"))
        _to_the_first_step(story, hub)
        assert _fired(hub) == {}, "without Redis nothing is rung"

        story.township.start_redis()
        with redis.Redis.from_url(story.township.settings(HUB).broker_url or "") as client:
            client.flushall()
        until(lambda: len(_fired(hub)) == CASES + 1, "every card fired after Redis came back", within_s=60)

        assert set(_fired(hub)) == {*cases, late}
        assert all(len(keys) == len(set(keys)) for keys in _fired(hub).values()), "a card fired twice"


@pytest.mark.slow
def test_a_worker_killed_in_the_middle_and_two_beats_fire_every_card_once(story: Story) -> None:
    worker, beat = (story.township.processes[name] for name in ("hub-worker", "hub-beat"))
    second = Process(name="second-beat", module=beat.module, environment=beat.environment, log=beat.log)
    second.start()
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
    second.stop()


@pytest.mark.slow
def test_kills_and_a_full_disk_while_posting_lose_nothing_acknowledged_and_register_nothing_twice(story: Story) -> None:
    story.exchange()  # so that what the hub had is counted before
    before = opinions_at(story, STATION)
    dice = random.Random(SEED)
    browser = story.sign_in(STATION, f"{STATION}.liaison")
    poster = Poster(browser, browser.open("/opinions/new").form("/opinions/new"))
    story.township.kill_station(STATION)
    with warm_station(story) as station:
        for _ in range(KILLS):
            station.start()
            _post_until_killed(station, poster, after_s=dice.uniform(0.02, 0.3))
        station.start()
        _post_until_full(station, poster)
    story.township.start_station(STATION)
    acknowledged = set(poster.acknowledged)
    again = [number for number in poster.unanswered if number not in acknowledged]
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


def _post_until_killed(station: "WarmStation", poster: Poster, after_s: float) -> None:
    """At least one form is acknowledged before the kill, so that each start is seen to work."""
    assert poster.post(uuid.uuid4().hex)
    posting = threading.Thread(target=poster.post_until_cut)
    posting.start()
    time.sleep(after_s)
    station.kill()
    posting.join()


def _post_until_full(station: "WarmStation", poster: Poster) -> None:
    """What does not fit is refused with a sentence, pages go on, and the same form is taken once there is room."""
    station.fill_disk()
    refused = next(number for number in (uuid.uuid4().hex for _ in range(MORE_THAN_FITS)) if not poster.post(number))
    page = poster.browser.send(poster.form, form=refused, title="虚构意见", body="不少于几页(虚构)" * 500)
    assert (page.status, "磁盘已满" in page.text) == (503, True)
    seen(poster.browser.open("/opinions"))
    station.make_room()
    assert poster.post(refused)


class WarmStation:
    """The township's station, each start a new process of its own that runs the real `serve` (see warm_station.py)."""

    def __init__(self, launcher: subprocess.Popen[str], address: str, full: Path) -> None:
        self._launcher = launcher
        self._full = full
        self._address = address
        self._pid = 0

    def start(self) -> None:
        assert self._launcher.stdin is not None
        assert self._launcher.stdout is not None
        self._launcher.stdin.write("start\n")
        self._launcher.stdin.flush()
        self._pid = int(self._launcher.stdout.readline())
        until(lambda: answers(f"{self._address}/login"), "the station's first page after a kill")

    def fill_disk(self) -> None:
        """Its database may not grow by a single page; see warm_station.py."""
        self._full.touch()

    def make_room(self) -> None:
        self._full.unlink()

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGKILL)
        until(lambda: not psutil.pid_exists(self._pid), "the killed process is gone")


@contextmanager
def warm_station(story: Story) -> Iterator[WarmStation]:
    environment = inherited() | story.township.environment(STATION) | {"PYTHONPATH": str(ROOT)}
    log, full = story.township.processes[STATION].log, story.township.folder / "full"
    with log.open("a") as errors:
        launcher = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("warm_station.py")), str(full)],
            env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True,
        )  # fmt: skip
        station = WarmStation(launcher, story.township.addresses[STATION], full)
        try:
            yield station
        finally:
            station.kill()
            launcher.communicate()


def _registered(node: Node, who: Actor, number: int) -> str:
    new = NewOpinion(form=uuid.uuid4().hex, title=f"虚构意见 {number}", body="(虚构)", area="445222113201")
    with node.unit(who) as unit:
        return register(unit, new, STATION).opinion


def _dispatched(hub: Node, number: int) -> str:
    """An opinion registered at the hub's desk for the station and assigned to the water office."""
    opinion = _registered(hub, CLERK, number)
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
    for name in ("station.sqlite3", "station.sqlite3-wal", "station.sqlite3-shm"):
        (data / name).unlink(missing_ok=True)
    (data / "backup.sqlite3").rename(data / "station.sqlite3")
    story.township.start_station(STATION)
    story.exchange()

    assert opinions_at(story, STATION) == expected
    assert all(opinion_of_form(story, STATION, number) for number in late)
    with story.node(STATION) as node:
        with node.reading() as connection:
            assert [one.reason for one in epochs.opened(connection)] == ["database_older"]
        assert check(node) == []
    assert poster.post(uuid.uuid4().hex), "the restored station goes on recording"
    story.exchange()
    assert heads_at(story, HUB, STATION) == heads_at(story, STATION, STATION)
    with story.node(STATION) as node, node.reading() as connection:
        numbers = connection.execute(select(opinions.c.reg_no)).scalars().all()
    assert len(numbers) == len(set(numbers)), "a number was given out twice"


@pytest.mark.slow
def test_a_hub_killed_while_it_receives_has_everything_once_after_the_next_exchange(stage: Stage, story: Story) -> None:
    web = story.township.processes["hub-web"]
    story.exchange()
    before = opinions_at(story, HUB)
    stage.lines[STATION].set_dead(dead=True)
    with story.node(STATION) as node:
        for number in range(RECORDED_MEANWHILE):
            _registered(node, LIAISON, number)
    stage.lines[STATION].set_dead(dead=False)
    browser = story.sign_in(STATION, f"{STATION}.liaison")
    browser.send(browser.open("/sync").form("/sync"))
    time.sleep(0.25)  # somewhere between the first request and the last answer
    web.kill()
    web.start()
    web.wait_until_it_answers(f"{story.township.addresses[HUB]}/healthz")
    story.exchange()
    until(lambda: opinions_at(story, HUB) == before + RECORDED_MEANWHILE, "the hub has folded what arrived")
    assert heads_at(story, HUB, STATION) == heads_at(story, STATION, STATION)
    with story.node(HUB) as hub:
        assert check(hub) == []


@pytest.mark.slow
def test_a_short_run_of_everything_at_once_loses_doubles_and_leaves_nothing(stage: Stage, story: Story) -> None:
    """What `make chaos` does for as long as one likes, on one station and with its line as bad as a village's."""
    station, clerk = f"{STATION}.liaison", "clerk"
    people = [
        Recorder(station, stage.addresses[STATION], stage.passwords[station], SEED, 0.3),
        Clerk(clerk, stage.addresses[HUB], stage.passwords[clerk], SEED, 0.5),
    ]
    harm = Harm(stage, SEED, gap_s=(0.2, 1.4))
    stage.lines[STATION].shape = VILLAGE
    for person in people:
        person.start()
    until(lambda: people[0].promises.opinions, "somebody has worked before the first blow")
    harm.run(SHORT_KILLS, lambda _: None)
    harm.heal()
    assert leave_all(people) == []
    browser = story.sign_in(STATION, station)

    def press() -> None:
        """立即同步: `make chaos` waits for the station's own next try, up to a minute and a half each time."""
        harm.keep_up()
        browser.send(browser.open("/sync").form("/sync"))

    verdict = judge(stage, [person.promises for person in people], press, lambda _: None)
    assert list(verdict.sentences()) == []
    assert verdict.figures["opinions_acknowledged"] > 0
    assert harm.done.kills.total() == SHORT_KILLS
    assert harm.done.pauses
    assert harm.done.line_troubles
    assert harm.done.evenings
