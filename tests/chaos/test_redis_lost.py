"""Redis carries rings, never facts: killed or flushed while the hub escalates, it costs seconds and no card."""

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
from service.demo.township import HUB
from service.domain.people import Actor, Role
from service.node import Node
from service.store.tables import cards, opinions

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
