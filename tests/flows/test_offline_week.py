"""The story: a week without a line, then everything arrives, and the hub's steps come back."""

from __future__ import annotations

from uuid import uuid4

import pytest
from sqlalchemy import select

from config import jobs
from service.actions import (
    covering,
    escalating,
    following_up,
    handling,
    projecting,
    receptions,
    registering,
    routing,
    syncing,
)
from service.domain.opinion_fold import fold
from service.domain.opinions import Opinion, State
from service.domain.people import Reporter
from service.node import Node
from service.store import codec
from service.store.tables import cards, opinions
from sync.errors import Unreachable
from tests.flows.conftest import CLERK, HEAD, LIAISON, VILLAGE, Township

CANARY = "13900001234"


def register(node: Node, title: str = "排水沟堵塞", secrecy: str = "open") -> registering.Receipt:
    form = registering.NewOpinion(
        form=uuid4().hex, title=title, body="门口的水沟堵了三天,一下雨就进屋。", area=VILLAGE, category="water",
        reporter=Reporter(name="张三(虚构)", phone=CANARY), notice_read=True, secrecy=secrecy,
    )  # fmt: skip
    with node.unit(LIAISON) as unit:
        return registering.register(unit, form, "qd")


def seen(node: Node, opinion: str) -> Opinion:
    with node.reading() as connection:
        events = node.ledger.read_subjects(connection, [f"opinion/{opinion}"])
    return fold(opinion, [codec.recorded(event, node.hub_nodes) for event in events.get(f"opinion/{opinion}", [])])


def settle(town: Township) -> None:
    """Exchange and fold until both ends have everything."""
    report = syncing.exchange_now(town.station("qd"))
    projecting.sweep(town.hub)
    assert report.verified


def test_a_week_without_a_line_then_both_ends_are_equal_and_the_case_runs_to_its_end(township: Township) -> None:
    station, hub, clock = township.station("qd"), township.hub, township.clock
    township.line.cut()
    receipts = [register(station, f"意见{n}") for n in range(3)]
    with pytest.raises(Unreachable):
        syncing.exchange_now(station)
    with station.reading() as connection:
        state = syncing.sync_state(station, connection)
    assert state is not None
    assert (state.unsent > 0, state.verified, state.reason) == (True, False, "unreachable")

    clock.go_on(days=3)
    township.line.mend()
    settle(township)
    case = receipts[0].opinion
    assert {seen(hub, r.opinion).state for r in receipts} == {State.REGISTERED}

    with hub.unit(CLERK) as unit:
        routing.dispatch(unit, case, routing.Dispatch(unit="water", requirement="三日内疏通", duty_basis="职责清单"))
    fired = []
    for _ in range(6):
        clock.go_on(days=1)
        fired.append(escalating.sweep(hub).fired)
    assert sum(fired) > 0
    assert seen(hub, case).state is State.HANDLING, "unsigned counts as signed after the sign-off term"
    settle(township)
    assert {card.level for card in seen(station, case).cards} >= {1, 2}, "the station sees urging and yellow card"

    with hub.unit(HEAD) as unit:
        handling.submit_reply(unit, case, handling.ReplyForm(text="已疏通。", outcome="A", evidence="现场照片"))
    with hub.unit(CLERK) as unit:
        handling.deliver_reply(unit, case, way="phone", proof="通话记录")
    settle(township)
    reached = following_up.FollowUpForm(way="phone", reached=True, solved=True, rating="satisfied")
    with station.unit(LIAISON) as unit:
        following_up.follow_up(unit, case, reached)
        following_up.close(unit, case)
    settle(township)
    assert seen(hub, case).state is State.CLOSED
    assert [e.record.event_id for e in seen(hub, case).timeline] == [
        e.record.event_id for e in seen(station, case).timeline
    ]
    for node in (hub, station):
        assert set(projecting.differences(node).values()) == {0}


def test_an_exchange_with_nothing_new_changes_nothing(township: Township) -> None:
    station = township.station("qd")
    settle(township)
    report = syncing.exchange_now(station)
    assert (report.pushed, report.pulled, report.requests, report.verified) == (0, 0, 1, True)


def test_nothing_of_another_station_reaches_a_station(township: Township) -> None:
    one, other = township.station("qd"), township.station("zx")
    register(one)
    syncing.exchange_now(one)
    projecting.sweep(township.hub)
    syncing.exchange_now(other)
    with other.reading() as connection:
        assert connection.execute(select(opinions.c.id)).all() == []
        assert not any(str(s.scope).endswith("/s/qd") for s in other.ledger.heads(connection, [other.town_scope]))


def test_a_secret_reporter_cannot_be_read_at_the_hub(township: Township) -> None:
    station = township.station("qd")
    secret = seen(station, register(station, secrecy="unit").opinion).registered
    settle(township)
    assert secret is not None
    subject = f"person/{secret.reporter}"
    with township.hub.reading() as connection:
        events = township.hub.ledger.read_subjects(connection, [subject])[subject]
    assert events
    assert all(CANARY.encode() not in (event.body or b"") for event in events)


def test_a_form_sent_twice_registers_once(township: Township) -> None:
    station = township.station("qd")
    form = registering.NewOpinion(form="same", title="路灯不亮", body="村口路灯坏了。", area=VILLAGE)
    with station.unit(LIAISON) as unit:
        registering.register(unit, form, "qd")
    with pytest.raises(registering.RegisteredBefore), station.unit(LIAISON) as unit:
        registering.register(unit, form, "qd")
    with station.reading() as connection:
        assert len(connection.execute(select(opinions.c.id)).all()) == 1


def test_a_card_fires_once_although_two_sweeps_look_at_the_same_case(township: Township) -> None:
    hub, station = township.hub, township.station("qd")
    case = register(station).opinion
    settle(township)
    with hub.unit(CLERK) as unit:
        routing.dispatch(unit, case, routing.Dispatch(unit="water", requirement="疏通", duty_basis="职责清单"))
    township.clock.go_on(days=2)
    assert escalating.sweep(hub).fired + escalating.sweep(hub).fired == 1
    with hub.reading() as connection:
        assert len(connection.execute(select(cards).where(cards.c.level == 1)).all()) == 1


def test_coverage_travels_to_the_station_and_a_reception_changes_it(township: Township) -> None:
    hub, station = township.hub, township.station("qd")
    assert covering.publish_if_changed(hub)
    with station.unit(LIAISON) as unit:
        held = receptions.HeldReception(form="r1", held_on=unit.today, headcount=12, area=VILLAGE)
        receptions.hold(unit, held, "qd")
    settle(township)
    assert covering.publish_if_changed(hub)
    settle(township)
    with station.reading() as connection:
        coverage = covering.published(station.town(connection))
    assert coverage is not None
    village = next(row for row in coverage.villages if row.code == VILLAGE)
    assert village.last_on == township.clock.now.date()


def test_an_exchange_is_due_again_by_the_database_after_a_restart(township: Township) -> None:
    station = township.station("qd")
    settle(township)
    assert syncing.exchange_if_due(station) is None, "just verified and nothing new"
    register(station)
    report = syncing.exchange_if_due(station)
    assert report is not None
    assert report.verified


def test_a_night_asleep_does_not_make_the_first_failed_try_of_the_morning_a_long_wait(township: Township) -> None:
    station, clock = township.station("qd"), township.clock
    settle(township)
    register(station)
    township.line.cut()
    clock.go_on(minutes=1)
    waits = []
    for hours in (0, 0, 0, 0, 0, 0, 15):
        clock.go_on(hours=hours)
        assert syncing.exchange_if_due(station) is None
        with station.reading() as connection:
            state = syncing.sync_state(station, connection)
        assert state is not None
        assert state.next_at is not None
        waits.append((state.next_at - clock.now).total_seconds())
        clock.go_on(seconds=waits[-1])
    assert max(waits) > 100 > 20 >= waits[-1], "a dead line in the evening says nothing of the morning"


def test_a_reception_that_arrives_rings_for_the_coverage_view(township: Township) -> None:
    class Rung(list[str]):
        def request(self, name: str) -> None:
            self.append(name)

    station, hub = township.station("qd"), township.hub
    hub.jobs = rung = Rung()
    with station.unit(LIAISON) as unit:
        receptions.hold(unit, receptions.HeldReception(form="r2", held_on=unit.today, headcount=3), "qd")
    settle(township)
    assert rung == [jobs.PROJECTION, jobs.COVERAGE], "arriving rings for the fold, the fold for the view"
