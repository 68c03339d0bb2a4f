"""Both ends, and a second computer, record on one case while the line is down: nothing is lost, all show the same."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

from sqlalchemy import select

from config.settings import Settings
from service.actions import checking, enrolling, following_up, handling, projecting, registering, routing, syncing
from service.actions.attaching import attach
from service.domain import facts as f
from service.domain.opinions import Opinion, State
from service.domain.people import Actor, Role
from service.node import Node
from service.store.tables import opinions
from tests.flows.conftest import ADMIN, CLERK, HEAD, LIAISON, TOWN, VILLAGE, Clock, Township, ready
from tests.flows.test_offline_week import seen
from tests.flows.test_photo_on_a_bad_line import PHOTO

OTHER_CLERK = Actor(account="clerk2", name="另一受理员(虚构)", role=Role.CLERK)
DISPATCH = routing.Dispatch(unit="water", requirement="疏通", duty_basis="职责")


def computer(township: Township, folder: str, clock: Clock | None = None) -> Node:
    """One more computer of the station, if need be with a clock of its own."""
    settings = Settings(data_dir=township.folder / folder, town=TOWN, hub_url=township.line.url)
    node = ready(settings, clock or township.clock)
    with township.hub.unit(ADMIN) as unit:
        code = enrolling.create_code(unit, "qd")
    enrolling.enrol(node, code)
    syncing.announce_enrolled(township.hub)
    township.stations[folder] = node
    return node


def register(node: Node) -> str:
    form = registering.NewOpinion(form=uuid4().hex, title="水沟堵塞", body="漫水。", area=VILLAGE, category="water")
    with node.unit(LIAISON) as unit:
        return registering.register(unit, form, "qd").opinion


def settle(township: Township, *nodes: Node) -> None:
    for node in (*nodes, *nodes):
        syncing.exchange_now(node)
        projecting.sweep(township.hub)


def handled(hub: Node, case: str) -> None:
    with hub.unit(CLERK) as unit:
        routing.dispatch(unit, case, DISPATCH)
    with hub.unit(HEAD) as unit:
        handling.sign(unit, case)


def replied(hub: Node, case: str) -> None:
    handled(hub, case)
    with hub.unit(HEAD) as unit:
        handling.submit_reply(unit, case, handling.ReplyForm(text="已疏通。", outcome="A", evidence="现场照片"))
    with hub.unit(CLERK) as unit:
        handling.deliver_reply(unit, case, way="phone", proof="通话记录")


def same_everywhere(case: str, *nodes: Node) -> Opinion:
    """The case, after making sure that every node shows the same and every ledger is sound."""
    shown = [seen(node, case) for node in nodes]
    for node, opinion in zip(nodes, shown, strict=True):
        assert opinion.state is shown[0].state
        assert [(e.record.event_id, e.fits) for e in opinion.timeline] == [
            (e.record.event_id, e.fits) for e in shown[0].timeline
        ]
        assert checking.check(node) == []
    return shown[0]


def test_three_ends_that_judge_one_reply_differently_agree_afterwards(township: Township) -> None:
    """Station: satisfied and closed. Its second computer: nobody reached. Hub: not solved, so it is opened again."""
    hub, first = township.hub, township.station("qd")
    second = computer(township, "second")
    case = register(first)
    settle(township, first, second)
    replied(hub, case)
    settle(township, first, second)

    with first.unit(LIAISON) as unit:
        told = following_up.FollowUpForm(way="phone", reached=True, solved=True, rating="satisfied")
        following_up.follow_up(unit, case, told)
        following_up.close(unit, case)
    with second.unit(LIAISON) as unit:
        following_up.follow_up(unit, case, following_up.FollowUpForm(way="phone", reached=False, note="无人接听"))
    with hub.unit(OTHER_CLERK) as unit:
        unhappy = following_up.FollowUpForm(way="phone", reached=True, solved=False, rating="dissatisfied",
                                            reason="还在漏水")  # fmt: skip
        following_up.follow_up(unit, case, unhappy)

    settle(township, first, second)
    opinion = same_everywhere(case, hub, first, second)
    assert opinion.state is State.REOPENED, "the hub decides; the station's closing stays in the timeline"
    kinds = [type(entry.record.fact) for entry in opinion.timeline]
    assert kinds.count(f.FollowedUp) == 3
    assert kinds.count(f.Rated) == 2
    assert kinds.count(f.Closed) == 1
    second.engine.dispose()


def test_what_both_ends_add_to_a_case_is_there_at_both(township: Township) -> None:
    hub, station = township.hub, township.station("qd")
    case = register(station)
    settle(township, station)
    handled(hub, case)
    settle(township, station)
    with station.unit(LIAISON) as unit:
        attach(unit, case, PHOTO, "清淤前")
    with hub.unit(HEAD) as unit:
        handling.report_progress(unit, case, "已到现场")
    settle(township, station)
    opinion = same_everywhere(case, hub, station)
    assert all(entry.fits for entry in opinion.timeline), "neither took the other's place"
    assert len(opinion.attachments) == 1
    assert any(isinstance(entry.record.fact, f.Progressed) for entry in opinion.timeline)


def test_a_dispatch_taken_back_before_the_station_heard_of_it(township: Township) -> None:
    hub, station = township.hub, township.station("qd")
    case = register(station)
    settle(township, station)
    handled(hub, case)
    with hub.unit(HEAD) as unit:
        routing.record(unit, unit.opinion(case), f.ReturnRequested(reason="R1", duty_basis="职责"))
    with hub.unit(CLERK) as unit:
        routing.record(unit, unit.opinion(case), f.ReturnGranted(ruling="改派"))
        routing.dispatch(unit, case, routing.Dispatch(unit="water", requirement="重新交办", duty_basis="职责"))
    settle(township, station)
    opinion = same_everywhere(case, hub, station)
    assert opinion.state is State.DISPATCHED
    assert [one.requirement for one in opinion.assignments] == ["疏通", "重新交办"]


def test_a_units_term_is_the_same_whatever_the_stations_clock_says(township: Township) -> None:
    """The term of the office starts with the hub's dispatch; a station whose clock is wrong computes the same date."""
    hub, right = township.hub, township.station("qd")
    ahead = computer(township, "ahead", Clock(township.clock.now + timedelta(days=400)))
    cases = [register(right), register(ahead)]
    settle(township, right, ahead)
    with hub.unit(CLERK) as unit:
        for case in cases:
            routing.dispatch(unit, case, DISPATCH)
    settle(township, right, ahead)
    found = set()
    for node in (hub, right, ahead):
        with node.reading() as connection:
            rows = connection.execute(select(opinions.c.id, opinions.c.due_on)).all()
        assert {row.id for row in rows} == set(cases)
        found |= {row.due_on for row in rows}
    assert len(found) == 1
    ahead.engine.dispose()


def test_a_station_that_is_renamed_keeps_its_book(township: Township) -> None:
    """Its records lie under its code; the name is master data, and arrives like any other."""
    hub, station = township.hub, township.station("qd")
    case = register(station)
    settle(township, station)
    with hub.unit(ADMIN) as unit:
        renamed = f.StationStated(code="qd", name="钱东社区联络站", tier="station", area=VILLAGE)
        unit.record("station/qd", renamed, scope=unit.public_scope)
    settle(township, station)
    with station.reading() as connection:
        assert station.town(connection).station("qd").name == "钱东社区联络站"
    again = register(station)
    settle(township, station)
    for node in (hub, station):
        with node.reading() as connection:
            numbers = dict(connection.execute(select(opinions.c.id, opinions.c.reg_no)).all())
        assert numbers == {case: "QD-2026-0001", again: "QD-2026-0002"}
