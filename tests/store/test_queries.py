"""The lists and counts of the pages, on real SQLite and real PostgreSQL, which must sort and match alike."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, insert

from service.demo.servers import PrivatePostgres
from service.domain.opinions import State
from service.domain.people import Actor, Role
from service.store import queries, tables
from service.store.database import open_postgresql, open_sqlite
from service.store.queries import OpinionFilter, Order

MONDAY = datetime(2026, 11, 16, 2, 0, tzinfo=UTC)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    if request.param == "sqlite":
        engine = open_sqlite(tmp_path_factory.mktemp("read") / "read.sqlite3")
    else:
        server: PrivatePostgres = request.getfixturevalue("postgres_server")
        engine = open_postgresql(server.create_database("read_tables"))
    with engine.begin() as connection:
        tables.read.create_all(connection)
    yield engine
    engine.dispose()


@pytest.fixture
def connection(engine: Engine) -> Iterator[Connection]:
    """A transaction that leaves nothing behind."""
    with engine.connect() as connection:
        yield connection
        connection.rollback()


def opinion(number: int, **changes: Any) -> dict[str, Any]:
    row = {
        "id": f"{number:032x}", "reg_no": f"QD-2026-{number:04d}", "tracking": f"{number:064x}", "station": "qd",
        "title": f"排水沟堵塞 {number}", "source": "reception", "category": "water", "area": "445222113201",
        "affected": 1, "urgency": "normal", "sensitive": False, "state": "registered", "route": "", "unit": "",
        "co_units": "", "dispatch_no": "", "outcome": "", "registered_at": MONDAY + timedelta(minutes=number),
        "received_at": MONDAY, "dispatched_at": None, "signed_at": None, "delivered_at": None, "closed_at": None,
        "reopened": 0, "reopen_asked": False, "ran_late": False, "rating": "",
        "clock": f"{number:032x}:K1:1", "clock_kind": "K1",
        "due_on": date(2026, 11, 18), "due_at": MONDAY + timedelta(days=2), "provisional": False, "level": -1,
        "next_step_at": None, "unknown": 0,
    }  # fmt: skip
    return row | changes


def card(number: int, level: int, **changes: Any) -> dict[str, Any]:
    row = {
        "clock": f"{number:032x}:K2:1", "level": level, "mark": "", "opinion": f"{number:032x}", "station": "qd",
        "unit": "water", "fired_at": MONDAY, "doc_no": f"DB-2026-{number:04d}", "feedback_due": None,
        "feedback_at": None, "revoked": False,
    }  # fmt: skip
    return row | changes


def keep(connection: Connection, *rows: dict[str, Any]) -> None:
    connection.execute(insert(tables.opinions), list(rows))


def keep_cards(connection: Connection, *rows: dict[str, Any]) -> None:
    connection.execute(insert(tables.cards), list(rows))


def handled(number: int, **changes: Any) -> dict[str, Any]:
    return opinion(number, state="handling", unit="water", clock=f"{number:032x}:K2:1", **changes)


def pages(connection: Connection, wanted: OpinionFilter, order: Order, limit: int) -> list[list[str]]:
    found, after = [], None
    while True:
        page = queries.list_opinions(connection, wanted, order=order, after=after, limit=limit)
        found.append([row.reg_no[-2:] for row in page.rows])
        after = page.after
        if after is None:
            return found


def test_pages_go_through_every_opinion_once_newest_first(connection: Connection) -> None:
    keep(connection, *(opinion(n) for n in range(1, 8)))
    assert pages(connection, OpinionFilter(), Order.NEWEST, 3) == [["07", "06", "05"], ["04", "03", "02"], ["01"]]


def test_opinions_registered_at_the_same_instant_are_neither_lost_nor_shown_twice(connection: Connection) -> None:
    keep(connection, *(opinion(n, registered_at=MONDAY) for n in range(1, 8)))
    found = [number for page in pages(connection, OpinionFilter(), Order.NEWEST, 2) for number in page]
    assert sorted(found) == [f"{n:02d}" for n in range(1, 8)]


def test_what_is_due_soonest_comes_first_and_what_has_no_due_date_last(connection: Connection) -> None:
    keep(
        connection,
        opinion(1, due_at=None), opinion(2, due_at=MONDAY), opinion(3, due_at=MONDAY - timedelta(days=1)),
        opinion(4, due_at=None),
    )  # fmt: skip
    assert pages(connection, OpinionFilter(), Order.DUE, 1) == [["03"], ["02"], ["01"], ["04"]]


@pytest.mark.parametrize("after", ["", "x", "12", "999999999999999999999999.aa", "nan.1", "-5"])
def test_a_broken_page_key_starts_from_the_top_or_gives_an_empty_page(connection: Connection, after: str) -> None:
    keep(connection, opinion(1))
    assert len(queries.list_opinions(connection, OpinionFilter(), after=after).rows) <= 1


def test_a_station_sees_its_own_cases_only_whatever_the_form_says(connection: Connection) -> None:
    keep(connection, opinion(1), opinion(2, station="zx"))
    chief = Actor(account="a", name="陈站长", role=Role.CHIEF, station="qd")
    wanted = OpinionFilter.within(chief).narrowed(station="zx")
    assert [row.station for row in queries.list_opinions(connection, wanted).rows] == ["qd"]


def test_a_unit_sees_what_it_handles_or_helps_with_and_a_form_cannot_widen_that(connection: Connection) -> None:
    helped = opinion(4, unit="roads", co_units=",agri,water,")
    keep(connection, opinion(1), opinion(2, unit="water"), opinion(3, unit="roads", co_units=",waterworks,"), helped)
    within = OpinionFilter.within(Actor(account="a", name="林经办", role=Role.HANDLER, unit="water"))
    seen = {row.id for row in queries.list_opinions(connection, within).rows}
    assert seen == {opinion(2)["id"], opinion(4)["id"]}
    assert queries.count_opinions(connection, within.narrowed(unit="roads", involves="roads")) == 1
    assert queries.count_opinions(connection, within.narrowed(co_unit="water")) == 1
    rows = {row.id: row for row in queries.list_opinions(connection, OpinionFilter()).rows}
    assert {key for key, row in rows.items() if within.admits(row)} == seen


def test_a_unit_account_without_a_unit_sees_nothing(connection: Connection) -> None:
    keep(connection, opinion(1), opinion(2, unit="water"))
    nobody = Actor(account="a", name="无单位", role=Role.HANDLER)
    assert queries.count_opinions(connection, OpinionFilter.within(nobody)) == 0


@pytest.mark.parametrize("role", [Role.ADMIN, Role.SYSTEM])
def test_who_has_no_business_with_opinions_sees_none(connection: Connection, role: Role) -> None:
    keep(connection, opinion(1), opinion(2, unit="water"))
    assert queries.count_opinions(connection, OpinionFilter.within(Actor(account="a", name="甲", role=role))) == 0


def test_the_clerk_may_narrow_to_any_station(connection: Connection) -> None:
    keep(connection, opinion(1), opinion(2, station="zx"))
    clerk = Actor(account="a", name="黄受理", role=Role.CLERK)
    assert queries.count_opinions(connection, OpinionFilter.within(clerk).narrowed(station="zx")) == 1


@pytest.mark.parametrize(
    ("narrowing", "numbers"),
    [
        ({"states": frozenset({State.REPLIED, State.CLOSED})}, [2, 3]),
        ({"area": "445222113202"}, [1]),
        ({"category": "roads"}, [2]),
        ({"route": "assign"}, [3]),
        ({"outcome": "A"}, [3]),
        ({"urgency": "urgent"}, [1]),
        ({"text": "路灯"}, [2]),
        ({"text": "qd-2026-0003"}, [3]),
        ({"text": "%"}, []),
        ({"registered_from": MONDAY + timedelta(minutes=2)}, [2, 3]),
        ({"registered_until": MONDAY + timedelta(minutes=2)}, [1]),
        ({"overdue_at": MONDAY + timedelta(days=1)}, [3]),
        ({"due_until": MONDAY + timedelta(days=2)}, [1, 2, 3]),
        ({"level_at_least": 2}, [2]),
        ({"reopen_asked": True}, [2]),
        ({"reopened": True}, [3]),
        ({"reopened": False}, [1, 2]),
    ],
)
def test_filters(connection: Connection, narrowing: dict[str, Any], numbers: list[int]) -> None:
    keep(
        connection,
        opinion(1, area="445222113202", urgency="urgent"),
        opinion(2, category="roads", title="路灯不亮", state="replied", level=2, reopen_asked=True),
        opinion(3, route="assign", outcome="A", state="closed", due_at=MONDAY, reopened=1),
    )
    found = queries.list_opinions(connection, OpinionFilter().narrowed(**narrowing)).rows
    assert sorted(int(row.reg_no[-4:]) for row in found) == numbers


def test_counts_by_state_agree_with_the_lists(connection: Connection) -> None:
    keep(connection, opinion(1), opinion(2), opinion(3, state="closed"))
    assert queries.count_by_state(connection, OpinionFilter()) == {State.REGISTERED: 2, State.CLOSED: 1}


def test_possible_duplicates_share_village_and_category_and_are_recent(connection: Connection) -> None:
    keep(
        connection,
        opinion(1), opinion(2), opinion(3, area="445222113202"), opinion(4, category="roads"),
        opinion(5, registered_at=MONDAY - timedelta(days=90)), opinion(6, state="withdrawn"),
    )  # fmt: skip
    asked = queries.opinion(connection, f"{1:032x}")
    assert asked is not None
    found = queries.similar_opinions(connection, asked, since=MONDAY - timedelta(days=60))
    assert [row.reg_no for row in found] == ["QD-2026-0002"]


def test_an_opinion_is_found_by_the_hash_of_its_code(connection: Connection) -> None:
    keep(connection, opinion(1), opinion(2))
    found = queries.opinion_by_tracking(connection, f"{2:064x}")
    assert found is not None
    assert found.reg_no == "QD-2026-0002"
    assert queries.opinion_by_tracking(connection, "0" * 64) is None


def test_a_case_stands_on_the_board_once_at_its_highest_level(connection: Connection) -> None:
    keep(connection, handled(1), handled(2))
    keep_cards(connection, card(1, 0, mark="half"), card(1, 1), card(1, 2), card(2, 0, mark="half"),
               card(2, 0, mark="1wd", fired_at=MONDAY + timedelta(days=1)))  # fmt: skip
    assert [row.reg_no for row in queries.supervised(connection, 2)] == ["QD-2026-0001"]
    assert queries.supervised(connection, 1) == ()
    assert [row.mark for row in queries.supervised(connection, 0)] == ["1wd"]
    assert queries.count_supervised(connection) == {0: 1, 1: 0, 2: 1, 3: 0, 4: 0}


def test_a_revoked_card_leaves_the_board_but_its_record_stays(connection: Connection) -> None:
    keep(connection, handled(1))
    keep_cards(connection, card(1, 1), card(1, 2, revoked=True))
    assert queries.supervised(connection, 2) == ()
    assert [row.level for row in queries.supervised(connection, 1)] == [1]
    assert [row.level for row in queries.revoked_cards(connection, since=MONDAY)] == [2]


def test_cards_of_a_stopped_clock_leave_the_board(connection: Connection) -> None:
    keep(connection, opinion(1, state="reply_review", unit="water", clock="", due_at=None))
    keep_cards(connection, card(1, 2))
    assert queries.supervised(connection, 2) == ()


def test_the_board_of_a_unit_shows_its_own_cards(connection: Connection) -> None:
    keep(connection, handled(1), opinion(2, state="handling", unit="roads", clock=f"{2:032x}:K2:1"))
    keep_cards(connection, card(1, 1), card(2, 1, unit="roads"))
    assert [row.unit for row in queries.supervised(connection, 1, unit="roads")] == ["roads"]
    assert queries.count_supervised(connection, unit="water")[1] == 1


def test_cards_ask_for_feedback_until_it_came_or_the_case_left_the_unit(connection: Connection) -> None:
    keep(connection, handled(1), handled(2), opinion(3, state="replied", unit="water"))
    keep_cards(connection, card(1, 1), card(2, 1, feedback_at=MONDAY), card(3, 1), card(1, 0, mark="half"))
    waiting = queries.cards_awaiting_feedback(connection, "water")
    assert [(row.reg_no, row.level) for row in waiting] == [("QD-2026-0001", 1)]
    assert waiting[0].awaits_feedback()


def test_receptions_of_a_month_count_sessions_and_people(connection: Connection) -> None:
    held = [("a", 3, False), ("b", 9, False), ("c", 20, True)]
    connection.execute(insert(tables.receptions), [
        {"id": key, "held_on": date(2026, 11, day), "station": "qd", "area": "", "headcount": 4, "note": "",
         "withdrawn": withdrawn}
        for key, day, withdrawn in held
    ])  # fmt: skip
    month = {"since": date(2026, 11, 1), "until": date(2026, 11, 30)}
    assert queries.count_receptions(connection, station="qd", **month) == queries.ReceptionCount(2, 8)
    assert [row.id for row in queries.list_receptions(connection, **month)] == ["b", "a"]
    assert queries.count_receptions(connection, station="zx", **month) == queries.ReceptionCount(0, 0)
