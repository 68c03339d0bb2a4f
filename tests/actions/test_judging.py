"""What the hub decides about a record that could not be taken in counts on every node, now and in every rebuild."""

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from service.actions import judging, projecting
from service.domain import facts as f
from service.domain.opinions import Opinion, State
from service.domain.refusals import Invalid, NotAllowed, NotFound, Refused
from service.store import aside_queries, codec, tables
from service.store.aside_queries import AsideEvent
from sync.events import Event, Subject
from sync.ledger import Ledger
from sync.tables import ledger_events
from tests.actions.arriving import arrive, draft, quarantined, stations_ledger
from tests.actions.township import PEOPLE, Township

KEY = "a" * 32
OPINION = f"opinion/{KEY}"
SHORT = b'{"reg_no":"QD-2026-0001","tracking":"x","station":"qd","source":"visit"}'  # no title, no body
WHOLE = {"reg_no": "QD-2026-0001", "tracking": "x", "station": "qd", "source": "visit", "title": "水沟", "body": "堵了"}


@pytest.fixture
def station(any_town: Township, tmp_path: Path) -> Ledger:
    return stations_ledger(any_town, tmp_path)


@pytest.fixture
def aside(any_town: Township, station: Ledger) -> Event:
    """A registration without a title stands in quarantine, and a routing after it waits."""
    (event, _) = arrive(
        any_town, station, draft(any_town, OPINION, "opinion.registered", SHORT),
        draft(any_town, OPINION, "opinion.routed_direct", b'{"basis":"x"}'),
    )  # fmt: skip
    assert projecting.sweep(any_town.node).quarantined == 1
    return event


def opinion(town: Township) -> Opinion:
    return town.opinion(KEY)


def rows(town: Township) -> list[Any]:
    with town.node.reading() as connection:
        return [tuple(row) for row in connection.execute(select(tables.opinions).order_by(tables.opinions.c.id))]


def records(town: Township) -> list[AsideEvent]:
    with town.node.reading() as connection:
        return aside_queries.events(connection, town.node.ledger, OPINION)


def corrections(town: Township) -> list[str]:
    """Ids of the corrections of this opinion, in order."""
    return [record.event_id for record in records(town) if record.kind == "record.corrected"]


def rebuilt_alike(town: Township) -> bool:
    live = rows(town)
    same = set(projecting.differences(town.node).values()) == {0}
    projecting.rebuild(town.node)
    return same and rows(town) == live


# --- the three decisions -------------------------------------------------------------------------------------------


def test_a_correction_takes_the_place_of_the_record(any_town: Township, aside: Event) -> None:
    any_town.do("clerk", judging.correct, OPINION, aside.event_id, WHOLE, "已电话核实标题")
    projecting.sweep(any_town.node)
    assert quarantined(any_town) == {}
    found = opinion(any_town)
    assert found.registered is not None
    assert (found.registered.title, found.state) == ("水沟", State.DIRECT)
    # Who recorded it, when, and before what, stays as it was: what came after it fits.
    assert found.registered_at == aside.occurred_at
    assert found.registered_by is not None
    assert found.registered_by.name == "林联络"
    assert [(entry.record.kind, entry.fits) for entry in found.timeline] == [
        ("opinion.registered", True), ("opinion.routed_direct", True), ("record.corrected", True),
    ]  # fmt: skip
    assert rebuilt_alike(any_town)


def test_a_record_that_was_left_out_stays_in_the_ledger(any_town: Township, station: Ledger) -> None:
    key = any_town.register()
    subject = f"opinion/{key}"
    (bad,) = arrive(any_town, station, draft(any_town, subject, "opinion.routed_direct", b'{"basis":7}'))
    projecting.sweep(any_town.node)
    assert list(quarantined(any_town)) == [subject]
    any_town.do("admin", judging.set_aside, subject, bad.event_id, "内容损坏")
    projecting.sweep(any_town.node)
    assert quarantined(any_town) == {}
    found = any_town.opinion(key)
    assert found.state is State.REGISTERED
    assert [entry.record.kind for entry in found.timeline] == ["opinion.registered", "record.set_aside"]
    assert rebuilt_alike(any_town)
    with any_town.node.reading() as connection:
        events = any_town.node.ledger.read_subjects(connection, [bad.subject])[bad.subject]
        assert bad.event_id in [event.event_id for event in events]
        assert any_town.node.ledger.verify(connection) == []


def test_without_its_registration_a_case_is_not_shown_and_nothing_waits(any_town: Township, aside: Event) -> None:
    any_town.do("clerk", judging.set_aside, OPINION, aside.event_id, "测试数据")
    projecting.sweep(any_town.node)
    assert quarantined(any_town) == {}
    assert rows(any_town) == []
    assert rebuilt_alike(any_town)


def test_a_retry_counts_on_and_says_so_in_the_ledger(any_town: Township, aside: Event) -> None:
    any_town.do("clerk", judging.retry, OPINION, "软件已更新")
    projecting.sweep(any_town.node)
    assert quarantined(any_town) == {OPINION: ("schema", 2)}
    assert [record.kind for record in records(any_town)][-1] == "record.retried"


def test_a_correction_can_be_corrected_and_left_out_in_turn(any_town: Township, aside: Event) -> None:
    """Before the sweep has looked, the case still stands aside, and each word is about the one before it."""
    any_town.do("clerk", judging.correct, OPINION, aside.event_id, WHOLE, "先这样")
    first = corrections(any_town)[0]
    any_town.do("clerk", judging.correct, OPINION, first, WHOLE | {"title": "水沟堵塞"}, "标题再改")
    projecting.sweep(any_town.node)
    registered_as = opinion(any_town).registered
    assert registered_as is not None
    assert registered_as.title == "水沟堵塞"
    assert rebuilt_alike(any_town)


def test_a_correction_that_is_left_out_takes_its_record_with_it(any_town: Township, aside: Event) -> None:
    any_town.do("clerk", judging.correct, OPINION, aside.event_id, WHOLE, "先这样")
    any_town.do("clerk", judging.set_aside, OPINION, corrections(any_town)[0], "原是测试数据")
    projecting.sweep(any_town.node)
    assert (rows(any_town), quarantined(any_town)) == ([], {})
    assert rebuilt_alike(any_town)


# --- limits --------------------------------------------------------------------------------------------------------


def test_a_record_is_judged_once(any_town: Township, aside: Event) -> None:
    any_town.do("clerk", judging.set_aside, OPINION, aside.event_id, "测试数据")
    with pytest.raises(Refused, match="judged_before"):
        any_town.do("clerk", judging.correct, OPINION, aside.event_id, WHOLE, "已核实")


def test_a_sound_case_cannot_be_judged(any_town: Township) -> None:
    subject = Subject(f"opinion/{any_town.register()}")
    with any_town.node.reading() as connection:
        (event,) = any_town.node.ledger.read_subjects(connection, [subject])[subject]
    with pytest.raises(NotFound):
        any_town.do("clerk", judging.set_aside, subject, event.event_id, "不想办")
    with pytest.raises(NotFound):
        any_town.do("clerk", judging.retry, subject)


def test_a_correction_that_does_not_fit_names_its_field(any_town: Township, aside: Event) -> None:
    with pytest.raises(Invalid) as refused:
        any_town.do("clerk", judging.correct, OPINION, aside.event_id, WHOLE | {"affected": "许多"}, "已核实")
    assert refused.value.field == "affected"
    with pytest.raises(Invalid) as refused:
        any_town.do("clerk", judging.correct, OPINION, aside.event_id, WHOLE, " ")
    assert refused.value.field == "why"


def test_a_record_of_another_subject_or_a_kind_nobody_knows_is_refused(
    any_town: Township, station: Ledger, aside: Event
) -> None:
    other = "opinion/" + "b" * 32
    (unknown, _) = arrive(any_town, station, draft(any_town, other, "opinion.appraised", b"{}"),
                          draft(any_town, other, "opinion.registered", SHORT))  # fmt: skip
    projecting.sweep(any_town.node)
    with pytest.raises(NotFound):
        any_town.do("clerk", judging.set_aside, other, aside.event_id, "x")
    with pytest.raises(Refused, match="kind_not_correctable"):
        any_town.do("clerk", judging.correct, other, unknown.event_id, {}, "x")


@pytest.mark.parametrize("who", sorted(PEOPLE))
def test_only_clerk_and_administrator_decide_and_only_who_reads_cases_rewrites_them(
    town: Township, tmp_path: Path, who: str
) -> None:
    (event,) = arrive(town, stations_ledger(town, tmp_path), draft(town, OPINION, "opinion.registered", SHORT))
    projecting.sweep(town.node)
    tried = {
        "retry": lambda: town.do(who, judging.retry, OPINION),
        "correct": lambda: town.do(who, judging.correct, OPINION, event.event_id, WHOLE, "已核实"),
        "reject": lambda: town.do(who, judging.set_aside, OPINION, event.event_id, "测试"),
    }
    allowed = set()
    for name, attempt in tried.items():
        try:
            attempt()
            allowed.add(name)
        except NotAllowed:
            continue
        except Refused as refusal:
            assert refusal.code == "judged_before"  # noqa: PT017
            allowed.add(name)
    assert allowed == {"clerk": set(tried), "admin": {"retry", "reject"}}.get(who, set())


def test_a_decision_that_a_station_wrote_counts_for_nothing(any_town: Township, station: Ledger, aside: Event) -> None:
    body = b'{"event":"%s","kind":"opinion.registered","reason":"x"}' % aside.event_id.encode()
    arrive(any_town, station, draft(any_town, OPINION, "record.set_aside", body))
    projecting.sweep(any_town.node)
    assert quarantined(any_town) == {OPINION: ("schema", 2)}


def test_an_erased_correction_brings_the_broken_record_not_back(any_town: Township, aside: Event) -> None:
    any_town.do("clerk", judging.correct, OPINION, aside.event_id, WHOLE, "已核实")
    projecting.sweep(any_town.node)
    (correction,) = corrections(any_town)
    with any_town.node.engine.begin() as connection:
        connection.execute(
            update(ledger_events).where(ledger_events.c.event_id == bytes.fromhex(correction))
            .values(body=None, salt=None, body_digest=b"\0" * 32)
        )  # fmt: skip
        any_town.node.ledger.mark_pending(connection, [aside.subject])
    projecting.sweep(any_town.node)
    assert rows(any_town) == []
    assert quarantined(any_town) == {}


def test_what_was_erased_is_not_shown_by_the_old_row_of_a_case_that_stands_aside(
    any_town: Township, station: Ledger
) -> None:
    """The registration of a sound case is erased while a broken record keeps the case from being folded."""
    (whole, _) = arrive(
        any_town, station, draft(any_town, OPINION, "opinion.registered", codec.encode(f.OpinionRegistered(**WHOLE))),
        draft(any_town, "opinion/" + "b" * 32, "opinion.registered", SHORT),
    )  # fmt: skip
    projecting.sweep(any_town.node)
    arrive(any_town, station, draft(any_town, OPINION, "opinion.routed_direct", b"{}"))
    projecting.sweep(any_town.node)
    assert len(rows(any_town)) == 1  # what was known stays on the screen
    with any_town.node.engine.begin() as connection:
        any_town.node.ledger.erase(connection, [whole.event_id])
        any_town.node.ledger.mark_pending(connection, [whole.subject])
    projecting.sweep(any_town.node)
    assert OPINION in quarantined(any_town)
    assert rows(any_town) == []


def test_at_a_station_a_retry_is_its_own_attempt(town: Township, tmp_path: Path) -> None:
    arrive(town, stations_ledger(town, tmp_path), draft(town, OPINION, "opinion.registered", SHORT))
    projecting.sweep(town.node)
    at_station = town.as_station()
    at_station.do("admin", judging.retry, OPINION)
    projecting.sweep(at_station.node)
    assert quarantined(at_station) == {OPINION: ("schema", 2)}
    assert [record.kind for record in records(at_station)] == ["opinion.registered"]
    with pytest.raises(Refused, match="hub_only"):
        at_station.do("clerk", judging.set_aside, OPINION, records(at_station)[0].event_id, "x")


def test_the_list_says_where_a_record_comes_from_and_what_is_wrong_with_it(any_town: Township, aside: Event) -> None:
    with any_town.node.reading() as connection:
        (row,) = aside_queries.rows(connection, any_town.node.ledger)
    assert (row.subject, row.category, row.stations, row.attempts) == (OPINION, "schema", ("qd",), 1)
    faults = {record.kind: record.fault for record in records(any_town)}
    assert "title" in faults["opinion.registered"]
    assert faults["opinion.routed_direct"] == ""
    assert {record.station for record in records(any_town)} == {"qd"}
