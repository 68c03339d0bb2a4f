"""Master data: the newest statement of each thing counts, and what only a newer node understands is not lost."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from typing import Any

import msgspec
import pytest
from sqlalchemy import select

from service.actions import master_data, projecting
from service.domain import facts as f
from service.domain.refusals import InvalidForm
from service.store import codec, masters, node_facts, tables
from service.store.projectors import Folding, project
from sync.events import EventDraft, Subject
from tests.actions.township import QIANDONG, TOWN, Township, open_town


def stated(town: Township, subject: str, *bodies: tuple[str, int, bytes]) -> None:
    with town.node.engine.begin() as connection:
        for kind, version, body in bodies:
            draft = EventDraft(kind=kind, version=version, subject=Subject(subject), body=body,
                               occurred_at=town.clock.at, author="clerk|k1|黄受理")  # fmt: skip
            town.node.ledger.append(connection, town.node.public_scope, [draft])
        town.node.ledger.mark_pending(connection, [Subject(subject)])
    projecting.sweep(town.node)


def test_the_newest_statement_of_a_unit_counts(any_town: Township) -> None:
    for name in ("水利站", "水务中心"):
        any_town.do("clerk", master_data.state_unit, "water", master_data.UnitForm(name=name, kind="institute"))
    assert any_town.snapshot().units["water"].name == "水务中心"


def test_a_station_keeps_its_posts_beside_its_statement(any_town: Township) -> None:
    for person, post in (("陈站长", "chief"), ("林联络", "liaison")):
        any_town.do("clerk", master_data.post_person, "qd", person=person, post=post, from_on=date(2026, 1, 1))
    form = master_data.StationForm(name="钱东站", tier="station", area=QIANDONG, status="open",
                                   opened_on=date(2019, 1, 1))  # fmt: skip
    any_town.do("clerk", master_data.state_station, "qd", form)
    station = any_town.snapshot().station("qd")
    assert (station.name, {post.person_name for post in station.posts}) == ("钱东站", {"陈站长", "林联络"})


def test_every_local_day_of_a_year_is_kept_and_the_last_word_on_a_day_counts(any_town: Township) -> None:
    days = [(date(2026, 11, 19), False), (date(2026, 11, 20), False), (date(2026, 11, 19), True)]
    for day, is_workday in days:
        any_town.do("clerk", master_data.set_calendar_day, day, is_workday=is_workday, reason="台风")
    calendar = any_town.snapshot().calendar
    assert calendar.is_workday(date(2026, 11, 19))
    assert not calendar.is_workday(date(2026, 11, 20))


def test_a_shape_that_only_a_newer_node_knows_is_kept_whole_and_disturbs_nobody(any_town: Township) -> None:
    newer = [("unit.rated", 1, b'{"stars": %d}' % n) for n in range(3)]
    stated(any_town, "unit/water", *newer, ("unit.stated", 2, b'{"code": "water", "name": "x", "colour": "blue"}'))
    assert any_town.snapshot().units["water"].name == "水利所"
    with any_town.node.reading() as connection:
        data = connection.execute(select(tables.masters.c.data).where(tables.masters.c.subject == "unit/water"))
        kept = msgspec.json.decode(data.scalar_one(), type=list[tuple[str, int, str]])
    assert [kind for kind, _, _ in kept] == ["unit.stated", "unit.rated", "unit.rated", "unit.rated", "unit.stated"]


def test_an_erased_statement_leaves_the_one_before_it() -> None:
    class Said:
        def __init__(self, number: int, body: bytes | None) -> None:
            self.event_id, self.kind, self.version, self.body = f"{number:032x}", "unit.stated", 1, body

    first = codec.encode(f.UnitStated(code="water", name="水利所", kind="institute"))
    events: Any = [Said(1, first), Said(2, None)]
    (kept,) = msgspec.json.decode(masters.row_of("unit/water", events)["data"], type=list[tuple[str, int, str]])
    assert kept[0] == "unit.stated"


def test_every_process_of_the_node_sees_a_change_at_its_next_look(any_town: Township) -> None:
    other = open_town(any_town.node.settings, any_town.clock)
    assert "clean" not in other.snapshot().units
    any_town.do("clerk", master_data.state_unit, "clean", master_data.UnitForm(name="环卫站", kind="institute"))
    assert other.snapshot().units["clean"].name == "环卫站"
    other.node.engine.dispose()


def test_two_changes_at_once_are_both_seen_by_a_third_process(pg_town: Township) -> None:
    """Both read the same version; whoever looked between their commits must look again after the second."""
    third = open_town(pg_town.node.settings, pg_town.clock)
    may_commit = threading.Event()

    def second() -> None:
        with pg_town.node.engine.begin() as connection:
            subject = Subject("unit/second")
            draft = EventDraft(kind="unit.stated", version=1, subject=subject, author="clerk|k1|黄受理",
                               body=codec.encode(f.UnitStated(code="second", name="二", kind="institute")),
                               occurred_at=pg_town.clock.at)  # fmt: skip
            pg_town.node.ledger.append(connection, pg_town.node.public_scope, [draft])
            folding = Folding(town=pg_town.snapshot(), hub_nodes=pg_town.node.hub_nodes, tree=TOWN)
            project(connection, pg_town.node.ledger, [subject], folding)
            node_facts.masters_changed(connection)  # waits here for the first one's row
            assert may_commit.wait(10)

    with ThreadPoolExecutor(1) as threads:
        with pg_town.node.engine.begin() as first:
            node_facts.masters_changed(first)
            running = threads.submit(second)
            time.sleep(1)  # long enough to reach the row; if it was not, the test proves nothing but passes
        third.snapshot()
        may_commit.set()
        running.result(20)
    units = third.snapshot().units
    third.node.engine.dispose()
    assert "second" in units


def test_a_change_that_was_rolled_back_is_forgotten(any_town: Township) -> None:
    """What a failed transaction had read of its own change must not be taken for the town."""

    class Undone(Exception):
        pass

    def fold_then_fail() -> None:
        with any_town.node.engine.begin() as connection:
            draft = EventDraft(kind="unit.stated", version=1, subject=Subject("unit/ghost"),
                               body=codec.encode(f.UnitStated(code="ghost", name="幽灵", kind="institute")),
                               occurred_at=any_town.clock.at, author="clerk|k1|黄受理")  # fmt: skip
            any_town.node.ledger.append(connection, any_town.node.public_scope, [draft])
            projecting._fold(any_town.node, connection, [draft.subject, Subject("opinion/" + "0" * 32)])
            raise Undone

    with pytest.raises(Undone):
        fold_then_fail()
    other = open_town(any_town.node.settings, any_town.clock)
    other.do("clerk", master_data.state_unit, "real", master_data.UnitForm(name="环卫站", kind="institute"))
    other.node.engine.dispose()
    assert set(any_town.snapshot().units) & {"real", "ghost"} == {"real"}


def test_wrong_days_and_places_are_refused_field_by_field(town: Township) -> None:
    form = master_data.StationForm(name="", tier="x", area="0", status="open", place=master_data.Place(lat=23.4))
    with pytest.raises(InvalidForm) as refused:
        town.do("clerk", master_data.state_station, "Q", form)
    assert {p.field for p in refused.value.problems} == {"code", "name", "tier", "area", "opened_on", "lng"}
