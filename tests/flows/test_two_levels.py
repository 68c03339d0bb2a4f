"""Two levels: a county gathers what its townships counted, and nothing else of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from service.actions import (
    carrying,
    checking,
    enrolling,
    following_up,
    gathering,
    handling,
    master_data,
    projecting,
    receptions,
    routing,
    summing,
    syncing,
)
from service.domain import facts as f
from service.domain.people import SYSTEM
from service.domain.refusals import Refused
from service.node import Node
from service.store import sums_queries
from sync import epochs, peers
from sync.errors import SyncError, Unreachable
from sync.events import Scope
from tests.flows.conftest import ADMIN, CLERK, HEAD, LIAISON, MONDAY, VILLAGE, Clock, ready
from tests.flows.test_offline_week import CANARY, register
from tests.flows.test_restored import hub_put_back, hub_tables
from tests.flows.two_levels import (
    COUNTY,
    NAMES,
    PINGSHANG,
    QIANKENG,
    County,
    Lines,
    Switchboard,
    code_for,
    found_all,
    found_county,
    found_township,
    open_all,
    settings,
)


@pytest.fixture(scope="module")
def lines() -> Iterator[Lines]:
    found = Lines(Switchboard(), Switchboard())
    for board in (found.county, found.qiankeng):
        board.line.mend()
    yield found
    for board in (found.county, found.qiankeng):
        board.line.cut()


@pytest.fixture(scope="module")
def founded(lines: Lines, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("county")
    found_all(folder, Clock(MONDAY), lines)
    return folder


@pytest.fixture
def county(founded: Path, lines: Lines, tmp_path: Path) -> Iterator[County]:
    """Two townships gathered by their county and a station by its township, on a Monday morning."""
    found = open_all(founded, tmp_path / "county", Clock(MONDAY), lines)
    yield found
    for node in found.nodes:
        node.engine.dispose()


def register_at_station(county: County, title: str = "排水沟堵塞") -> str:
    """An opinion written down in 钱东村 and arrived at its township's hub."""
    opinion = register(county.station, title).opinion
    assert county.hear_station()
    return opinion


def answered(county: County, opinion: str) -> None:
    """Dispatched, answered and delivered by the township; the citizen is satisfied."""
    hub = county.towns[QIANKENG]
    with hub.unit(CLERK) as unit:
        routing.dispatch(unit, opinion, routing.Dispatch(unit="water", requirement="三日内疏通", duty_basis="职责清单"))
    with hub.unit(HEAD) as unit:
        handling.sign(unit, opinion)
    with hub.unit(HEAD) as unit:
        handling.submit_reply(unit, opinion, handling.ReplyForm(text="已疏通。", outcome="A", evidence="现场照片"))
    with hub.unit(CLERK) as unit:
        handling.deliver_reply(unit, opinion, way="phone", proof="通话记录")
    reached = following_up.FollowUpForm(way="phone", reached=True, solved=True, rating="satisfied")
    with hub.unit(CLERK) as unit:
        following_up.follow_up(unit, opinion, reached)


def kinds_from_others(node: Node) -> set[tuple[str, str]]:
    """(kind, scope) of every event that another node wrote."""
    with node.reading() as connection:
        found = set()
        for kind in ("township", "area", "opinion", "reception", "person", "notice", "node", "town", "epoch"):
            subjects = node.ledger.subjects(connection, f"{kind}/", None, 1000)
            for events in node.ledger.read_subjects(connection, subjects).values():
                found |= {(e.kind, str(e.stream.scope)) for e in events if e.stream.origin.node != node.identity.node}
        return found


def scopes_held(node: Node, of: str) -> set[str]:
    with node.reading() as connection:
        return {str(stream.scope) for stream in node.ledger.heads(connection, [Scope(of)])}


def test_sums_go_up_from_both_townships_and_nothing_but_sums(county: County) -> None:
    hub = county.towns[QIANKENG]
    first, _ = register_at_station(county), register_at_station(county, "路灯不亮")
    answered(county, first)
    with county.station.unit(LIAISON) as unit:
        receptions.hold(unit, receptions.HeldReception(form="r1", held_on=unit.today, headcount=12, area=VILLAGE), "qd")
    assert county.hear_station()

    assert (county.sum_up(QIANKENG), county.sum_up(PINGSHANG)) == (1, 1)
    assert [report.verified for report in county.exchange()] == [True, True]
    sums = county.sums(QIANKENG)
    assert sums is not None
    assert sums == county.sums(QIANKENG, at=hub)
    assert (sums.stations_open, sums.receptions_held, sums.reception_visitors) == (1, 1, 12)
    assert (sums.opinions_received, sums.answered_on_time, sums.open_in_term) == (2, 1, 1)
    assert (sums.answered_late, sums.open_overdue, sums.rated, sums.satisfied) == (0, 0, 1, 1)
    with hub.reading() as connection:
        assert sums.villages == len(hub.town(connection).areas)
    other = county.sums(PINGSHANG)
    assert other is not None
    assert (other.opinions_received, other.receptions_held) == (0, 0)

    assert kinds_from_others(county.hub) == {
        ("township.summed", f"{COUNTY}/sum/{QIANKENG}"), ("township.summed", f"{COUNTY}/sum/{PINGSHANG}")
    }  # fmt: skip
    assert scopes_held(county.hub, QIANKENG) == set()
    county.hub.engine.dispose()
    stored = b"".join(file.read_bytes() for file in county.hub.settings.data_dir.glob("station.sqlite3*"))
    for word in ("张三", CANARY, "排水沟堵塞", "门口的水沟", "已疏通", "QD-2026", first, VILLAGE):
        assert word.encode() not in stored, word


def test_a_township_sees_neither_the_sums_nor_the_stations_of_another(county: County) -> None:
    county.sum_up(QIANKENG)
    county.exchange()
    county.exchange()
    assert scopes_held(county.towns[PINGSHANG], COUNTY) == {f"{COUNTY}/pub"}
    assert county.sums(QIANKENG, at=county.towns[PINGSHANG]) is None


def test_unchanged_figures_are_not_recorded_again_and_the_latest_count_stands(county: County) -> None:
    assert county.sum_up(QIANKENG) == 1
    county.clock.go_on(hours=2)
    assert county.sum_up(QIANKENG) == 0
    county.exchange()
    idle = syncing.exchange_now(county.towns[QIANKENG])
    assert (idle.requests, idle.pushed, idle.pulled, idle.bytes_sent < 1000) == (1, 0, 0, True)

    register_at_station(county)
    assert county.sum_up(QIANKENG) == 1
    county.clock.go_on(days=30)
    assert county.sum_up(QIANKENG) == 2, "October begins; September's opinion is overdue meanwhile"
    assert county.exchange()[0].verified
    september = county.sums(QIANKENG)
    assert september is not None
    assert (september.opinions_received, september.open_in_term, september.open_overdue) == (1, 0, 1)
    assert set(projecting.differences(county.hub).values()) == {0}
    assert checking.check(county.hub) == checking.check(county.towns[QIANKENG]) == []


def test_a_notice_of_the_county_reaches_both_townships_and_its_calendar_rules_neither(county: County) -> None:
    day = county.clock.now.date()
    with county.hub.unit(ADMIN) as unit:
        gathering.publish_notice(unit, "月底核对", "请各镇于月底前核对接待登记。")
        master_data.set_calendar_day(unit, day, is_workday=False, reason="县级机关停电")
    county.exchange()
    for hub in county.towns.values():
        with hub.reading() as connection:
            (notice,) = sums_queries.last_notices(connection, limit=5)
            town = hub.town(connection)
        assert (notice.title, notice.by) == ("月底核对", ADMIN.name)
        assert town.calendar.is_workday(day), "one writer: the township's calendar is the township's"
        assert town.stated is not None
        assert (town.stated.code, county.hub.identity.node in town.nodes) == (hub.settings.town, False)
        assert set(projecting.differences(hub).values()) == {0}
    county.hear_station()
    assert scopes_held(county.station, COUNTY) == set()


def test_a_county_that_is_down_harms_no_township(county: County) -> None:
    hub = county.towns[QIANKENG]
    with county.lines.county.cut():
        opinion = register_at_station(county)
        answered(county, opinion)
        county.sum_up(QIANKENG)
        assert syncing.exchange_if_due(hub) is None
        with hub.reading() as connection:
            state = syncing.sync_state(hub, connection)
        assert state is not None
        assert (state.unsent, state.verified, state.reason) == (1, False, "unreachable")
        with pytest.raises(Unreachable):
            syncing.exchange_now(hub)
        assert county.hear_station()
    assert county.exchange(QIANKENG)[0].verified
    assert county.sums(QIANKENG) == county.sums(QIANKENG, at=hub)


def test_a_county_that_grants_itself_more_gets_no_more(county: County) -> None:
    """Whoever runs the county's hub could change the grants there; what a township keeps is decided in the township."""
    township = county.towns[QIANKENG]
    register_at_station(county)
    with county.hub.engine.begin() as connection:
        greedy = (Scope(QIANKENG), Scope(f"{QIANKENG}/s/qd"), Scope(f"{COUNTY}/pub"))
        sums = county.hub.sums_scope(QIANKENG)
        peers.set_scopes(connection, township.identity.node, greedy, (*greedy, sums))
    county.sum_up(QIANKENG)
    assert county.exchange(QIANKENG)[0].verified
    assert county.exchange(QIANKENG)[0].verified
    assert scopes_held(county.hub, QIANKENG) == set()
    with township.reading() as connection:
        above = syncing.hub_of(connection)
    assert above is not None
    assert set(above.shared_scopes) == {sums, Scope(f"{COUNTY}/pub")}


def test_a_township_writes_sums_for_itself_alone(county: County) -> None:
    """In another's scope it is refused; under another's name in its own scope it has no effect."""
    county.sum_up(PINGSHANG)
    county.exchange()
    truth = county.sums(PINGSHANG)
    assert truth is not None
    forged = f.TownshipSummed(**{name: getattr(truth, name) for name in truth.__slots__} | {"stations_open": 99})
    subject, hub = sums_queries.subject_of(PINGSHANG, truth.month), county.towns[QIANKENG]
    with hub.unit(SYSTEM) as unit:
        unit.record(subject, forged, scope=hub.sums_scope(QIANKENG))
    county.exchange(QIANKENG)
    assert county.sums(PINGSHANG) == truth
    with hub.unit(SYSTEM) as unit:
        unit.record(subject, forged, scope=hub.sums_scope(PINGSHANG))
    with pytest.raises(SyncError, match="outside what the peer may use"):
        county.exchange(QIANKENG)
    assert county.sums(PINGSHANG) == truth


def test_a_restored_county_is_refilled_by_its_townships(county: County) -> None:
    before = hub_tables(county.hub)
    register_at_station(county)
    for town in NAMES:
        county.sum_up(town)
    county.exchange()
    with county.hub.unit(ADMIN) as unit:
        gathering.publish_notice(unit, "月底核对", "请各镇于月底前核对接待登记。")
    county.exchange(PINGSHANG)
    hub_put_back(county.hub, before)
    assert county.sums(QIANKENG) is None
    for _ in range(2):
        county.exchange()
    assert county.exchange()[0].verified
    for town, hub in county.towns.items():
        assert county.sums(town) == county.sums(town, at=hub) is not None
    with county.hub.reading() as connection:
        assert [one.title for one in sums_queries.last_notices(connection, limit=5)] == ["月底核对"]
    assert checking.check(county.hub) == []


def test_a_restored_township_hub_opens_an_epoch_upwards_too_and_its_newest_count_stands(county: County) -> None:
    hub = county.towns[QIANKENG]
    county.sum_up(QIANKENG)
    county.exchange()
    before = hub_tables(hub)
    register_at_station(county)
    county.sum_up(QIANKENG)
    county.exchange()
    hub_put_back(hub, before)
    with hub.unit(CLERK) as unit:
        fact = f.ReceptionHeld(held_on=unit.today, station="qd", headcount=4)
        unit.record("reception/after", fact, scope=hub.station_scope("qd"))
    assert county.sum_up(QIANKENG) == 1, "counted from what the backup knew, under a number used before"
    for _ in range(2):
        county.exchange(QIANKENG)
    with hub.reading() as connection:
        assert [one.reason for one in epochs.opened(connection)] != []
    assert county.hear_station()
    county.sum_up(QIANKENG)
    assert county.exchange(QIANKENG)[0].verified
    sums = county.sums(QIANKENG)
    assert sums is not None
    assert sums == county.sums(QIANKENG, at=hub)
    assert (sums.opinions_received, sums.receptions_held) == (1, 1), "the station gave back what the backup lacked"
    assert checking.check(county.hub) == checking.check(hub) == []


def test_papers_are_numbered_as_ever_once_the_stations_agree_whatever_the_county_does(county: County) -> None:
    hub = county.towns[QIANKENG]
    opinion = register_at_station(county)
    with hub.engine.begin() as connection:
        epochs.open_new(connection, hub.identity, "database_older", county.clock.now)
    with county.lines.county.cut():
        county.clock.go_on(minutes=1)
        county.hear_station()
        assert county.hear_station()
        with hub.unit(CLERK) as unit:
            order = routing.Dispatch(unit="water", requirement="疏通", duty_basis="职责")
            assert routing.dispatch(unit, opinion, order) == "JB-2026-0001"


def test_where_there_is_no_line_the_stick_carries_enrolment_sums_and_notices(tmp_path: Path, lines: Lines) -> None:
    clock, stick = Clock(MONDAY), tmp_path / "stick"
    stick.mkdir()
    above, hub = (ready(settings(tmp_path, home, lines), clock) for home in (COUNTY, QIANKENG))
    found_county(above)
    found_township(hub)
    place, code = str(stick), code_for(above, QIANKENG)
    assert enrolling.enrol_by_stick(hub, ADMIN, code, place) is None
    carrying.bring_back(above, ADMIN, place)
    assert enrolling.enrol_by_stick(hub, ADMIN, code, place) == QIANKENG
    with pytest.raises(Refused, match="enrolled_before"):
        enrolling.enrol_by_stick(hub, ADMIN, code, place)
    assert summing.sum_up(hub) == 1
    with above.unit(ADMIN) as unit:
        gathering.publish_notice(unit, "月底核对", "请核对。")
    carrying.take_away(hub, ADMIN, place, COUNTY)
    carrying.bring_back(above, ADMIN, place)
    projecting.sweep(above)
    carrying.bring_back(hub, ADMIN, place)
    projecting.sweep(hub)
    with above.reading() as there, hub.reading() as here:
        assert sums_queries.sums_in(there, "2026-09") == sums_queries.sums_in(here, "2026-09") != {}
        assert [one.title for one in sums_queries.last_notices(here, limit=5)] == ["月底核对"]
    for node in (above, hub):
        node.engine.dispose()
