"""What may go after the retention term, and what never does."""

from datetime import date, timedelta
from typing import Any

import msgspec
import pytest
from sqlalchemy import func, select

from service.actions import checking, housekeeping, master_data, projecting, retaining
from service.domain import facts as f
from service.store import codec, comparing, masters
from service.store.projectors import Folding
from sync.events import Event, Origin, Scope, Stream, Subject
from sync.tables import ledger_events
from tests.actions.township import DAY, MONDAY, Township

LONG = timedelta(days=800)  # more than 24 months


def unit_named(town: Township, *names: str) -> None:
    for name in names:
        town.do("clerk", master_data.state_unit, "water", master_data.UnitForm(name=name, kind="institute"))


def held(town: Township, subject: str) -> list[Event]:
    with town.node.reading() as connection:
        return town.node.ledger.read_subjects(connection, [Subject(subject)]).get(Subject(subject), [])


def names(town: Township) -> list[str]:
    return [msgspec.json.decode(event.body or b"")["name"] for event in held(town, "unit/water")]


def rows(town: Township) -> int:
    with town.node.reading() as connection:
        return connection.execute(select(func.count()).select_from(ledger_events)).scalar_one()


def test_only_what_is_superseded_and_older_than_the_term_goes(town: Township) -> None:
    unit_named(town, "甲", "乙")
    town.clock.forward(LONG)
    unit_named(town, "丙", "丁")
    assert retaining.shorten(town.node) > 0
    assert names(town) == ["丙", "丁"], "丙 is superseded, and not old yet"
    assert town.snapshot().units["water"].name == "丁"
    assert checking.check(town.node) == []


def test_the_last_word_stays_however_old_it_is(town: Township) -> None:
    unit_named(town, "甲")
    town.clock.forward(LONG)
    retaining.shorten(town.node)
    assert names(town) == ["甲"]
    before = town.snapshot()
    town.clock.forward(LONG)
    assert retaining.shorten(town.node) == 0
    assert town.snapshot() == before


def test_what_is_about_something_else_supersedes_nothing(town: Township) -> None:
    for person, post in (("陈站长", "chief"), ("林联络", "liaison"), ("陈站长", "chief")):
        town.do("clerk", master_data.post_person, "qd", person=person, post=post, from_on=date(2026, 1, 1))
    for day, works in ((19, False), (20, False), (19, True)):
        town.do("clerk", master_data.set_calendar_day, date(2026, 11, day), is_workday=works, reason="台风")
    town.clock.forward(LONG)
    retaining.shorten(town.node)
    posted = [msgspec.json.decode(e.body or b"") for e in held(town, "station/qd") if e.kind == "station.posted"]
    days = [msgspec.json.decode(e.body or b"") for e in held(town, "calendar/2026") if e.kind == "calendar.day_set"]
    assert [one["person_name"] for one in posted] == ["林联络", "陈站长"]
    assert [(one["day"], one["is_workday"]) for one in days] == [("2026-11-20", False), ("2026-11-19", True)]
    calendar = town.snapshot().calendar
    assert calendar.is_workday(date(2026, 11, 19))
    assert not calendar.is_workday(date(2026, 11, 20))


def test_cases_are_kept_for_ever(town: Township) -> None:
    opinion = town.register()
    count = len(held(town, f"opinion/{opinion}"))
    town.clock.forward(LONG * 5)
    retaining.shorten(town.node)
    assert len(held(town, f"opinion/{opinion}")) == count


def test_every_master_fact_says_what_it_is_about_and_no_case_fact_may_go() -> None:
    states = {kind for kind, shape in f.REGISTRY.items() if shape.STATES is not None}
    assert states == {
        "area.stated", "station.stated", "station.posted", "unit.stated", "deputy.stated", "category.stated",
        "reason.stated", "calendar.stated", "calendar.day_set", "policy.stated", "town.stated", "node.enrolled",
        "coverage.compiled",
    }  # fmt: skip
    assert {kind.partition(".")[0] for kind in states} <= masters.KINDS


def test_housekeeping_looks_once_a_day_and_zero_keeps_everything(town: Township) -> None:
    unit_named(town, "甲", "乙")
    town.clock.forward(LONG)
    before, kept = rows(town), town.node.settings
    town.node.settings = kept.model_copy(update={"retention_months": 0})
    housekeeping.sweep(town.node)
    assert rows(town) == before
    town.node.settings = kept
    housekeeping.sweep(town.node)
    assert rows(town) < before
    town.clock.forward(LONG)
    assert retaining.shorten_if_due(town.node) == 0, "nothing new has been said"
    unit_named(town, "丙")
    assert retaining.shorten_if_due(town.node) == 0, "it has looked today"
    town.clock.forward(DAY)
    assert retaining.shorten_if_due(town.node) == 1, "乙 was the last word until yesterday"


def test_a_rebuild_after_dropping_gives_the_rows_that_were_there(any_town: Township) -> None:
    unit_named(any_town, "甲", "乙")
    any_town.clock.forward(LONG)
    unit_named(any_town, "丙")
    town = any_town
    assert retaining.shorten(town.node) > 0
    folding = Folding(town=town.snapshot(), hub_nodes=town.node.hub_nodes, tree=town.node.settings.town)
    with comparing.snapshot(town.node.engine) as connection:
        assert not any(comparing.differences(connection, town.node.ledger, folding).values())
    assert projecting.rebuild(town.node) > 0
    assert town.snapshot().units["water"].name == "丙"


def test_the_status_tells_the_horizon(town: Township) -> None:
    unit_named(town, "甲", "乙")
    town.clock.forward(LONG)
    retaining.shorten(town.node)
    (seq,) = checking.status(town.node)["horizons"].values()
    assert seq > 0


# --- the rule itself -------------------------------------------------------------------------------------------------

PUB, OTHER = Scope("t/pub"), Scope("t/s/a")


def event(number: int, fact: f.Fact | None, *, kind: str = "unit.stated", scope: Scope = PUB, version: int = 1) -> Any:
    body = None if fact is None else codec.encode(fact)
    origin = Origin("00000000000000aa", "00000000000000bb")
    return Event(
        stream=Stream(origin, scope), seq=number, lamport=number, event_id=f"{number:032x}", kind=kind,
        version=version, subject=Subject("unit/water"), occurred_at=MONDAY, author="", once=None, body=body,
        received_at=MONDAY,
    )  # fmt: skip


STATED = f.UnitStated(code="water", name="水利所", kind="institute")


@pytest.mark.parametrize(
    ("events", "gone"),
    [
        ([event(1, STATED), event(2, STATED)], [1]),
        ([event(1, STATED), event(2, STATED, scope=OTHER)], []),
        ([event(1, STATED), event(2, STATED, version=9)], []),
        ([event(1, STATED), event(2, None)], [2]),
        ([event(1, None), event(2, None)], []),
        ([event(1, STATED), event(2, STATED), event(3, STATED, kind="record.corrected")], []),
        ([event(1, STATED, kind="unit.rated"), event(2, STATED, kind="unit.rated")], []),
        ([event(1, STATED), event(2, STATED, kind="unit.rated")], []),
    ],
    ids=["a later word", "another scope", "a newer program's", "a leaf", "only leaves", "judged", "unknown kind",
         "another kind"],
)  # fmt: skip
def test_what_no_fold_looks_at_any_more(events: list[Any], gone: list[int]) -> None:
    assert sorted(one.seq for one in masters.superseded(events)) == gone
