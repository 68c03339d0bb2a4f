"""A subject that cannot be folded is set aside with its reason; the others go on, and it comes back when it can."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, update

from service.actions import judging, projecting
from service.actions.projecting import Folded
from service.domain import facts as f
from service.domain.opinions import State
from service.domain.quarantine import Impossible
from service.store import codec, projectors, tables
from sync.events import EventDraft, Subject
from sync.identity import Identity
from sync.ledger import Ledger
from sync.tables import ledger_events
from tests.actions.township import Township

CANARY = "群众王小明家门口"


@pytest.fixture
def station(any_town: Township, tmp_path: Path) -> Ledger:
    """A station's ledger that writes into this database, as if its bundles had just been accepted."""
    return Ledger(Identity.load_or_create(tmp_path / "station"), any_town.clock)


def draft(town: Township, key: str, kind: str, body: bytes, version: int = 1) -> EventDraft:
    return EventDraft(kind=kind, version=version, subject=Subject(f"opinion/{key}"), body=body,
                      occurred_at=town.clock.at, author="liaison|l1|林联络")  # fmt: skip


def registered(number: int, **changes: Any) -> bytes:
    given = {"reg_no": f"QD-2026-{number:04d}", "tracking": f"{number:064x}", "station": "qd", "source": "reception",
             "title": CANARY, "body": "漫水"}  # fmt: skip
    return codec.encode(f.OpinionRegistered(**(given | changes)))


def arrive(town: Township, ledger: Ledger, *drafts: EventDraft) -> None:
    with town.node.engine.begin() as connection:
        ledger.append(connection, town.node.station_scope("qd"), drafts)
        town.node.ledger.mark_pending(connection, [one.subject for one in drafts])


def quarantined(town: Township) -> dict[str, tuple[str, int]]:
    with town.node.reading() as connection:
        return {one.subject: (one.category, one.attempts) for one in town.node.ledger.quarantined(connection)}


def shown(town: Township) -> int:
    with town.node.reading() as connection:
        return connection.execute(select(func.count()).select_from(tables.opinions)).scalar_one()


@pytest.mark.parametrize(
    "body",
    [b"[]", b"{}", b'"text"', b'{"reg_no": 7}', b"null", b'{"reg_no":"QD-2026-0001","tracking":"x","station":"qd"}'],
)
def test_a_body_that_does_not_decode_is_set_aside_as_schema(any_town: Township, station: Ledger, body: bytes) -> None:
    whole = [draft(any_town, f"{n:032x}", "opinion.registered", registered(n)) for n in range(1, 30)]
    arrive(any_town, station, *whole, draft(any_town, "f" * 32, "opinion.registered", body))
    assert projecting.sweep(any_town.node) == Folded(subjects=30, quarantined=1)
    assert quarantined(any_town) == {f"opinion/{'f' * 32}": ("schema", 1)}
    assert shown(any_town) == 29


def test_the_reason_names_the_place_and_never_what_a_citizen_said(
    any_town: Township, station: Ledger, log: list[dict[str, Any]]
) -> None:
    broken = registered(1).replace(b'"affected":1', b'"affected":"many"')
    arrive(any_town, station, draft(any_town, "f" * 32, "opinion.registered", broken))
    projecting.sweep(any_town.node)
    with any_town.node.reading() as connection:
        (aside,) = any_town.node.ledger.quarantined(connection)
    assert "$.affected" in aside.reason
    assert CANARY not in aside.reason + repr(log)


def test_one_bad_subject_among_many_batches_stops_nobody(any_town: Township, station: Ledger) -> None:
    whole = [draft(any_town, f"{n:032x}", "opinion.registered", registered(n)) for n in range(1, 2 * projecting.BATCH)]
    bad = [draft(any_town, f"{n:032x}", "opinion.registered", b"{}") for n in (5_000_001, 5_000_002)]
    arrive(any_town, station, *whole, *bad)
    folded = projecting.sweep(any_town.node)
    assert (folded.quarantined, folded.left) == (2, False)
    assert shown(any_town) == len(whole)


@contextmanager
def broken_handler(text: str) -> Iterator[None]:
    """A program whose fold fails for one opinion, as a release with a mistake in it would."""
    make = projectors._MAKERS["opinion"]

    def fail(key: str, *rest: Any) -> None:
        if key == text:
            raise ZeroDivisionError("a mistake in this release")
        make(key, *rest)

    projectors._MAKERS["opinion"] = fail
    try:
        yield
    finally:
        projectors._MAKERS["opinion"] = make


def test_a_mistake_in_the_program_sets_one_case_aside_until_the_next_release(any_town: Township) -> None:
    bad, good = any_town.register(), any_town.register()
    any_town.dispatch(bad)
    subjects = [Subject(f"opinion/{key}") for key in (bad, good)]
    with any_town.node.engine.begin() as connection:
        any_town.node.ledger.mark_pending(connection, subjects)
    with broken_handler(bad):
        assert projecting.sweep(any_town.node) == Folded(subjects=2, quarantined=1)
        assert quarantined(any_town) == {f"opinion/{bad}": ("handler", 1)}
        assert projecting.sweep(any_town.node) == Folded()
    with any_town.node.engine.begin() as connection:
        any_town.node.ledger.release(connection, subjects[0])
    assert projecting.sweep(any_town.node) == Folded(subjects=1)
    assert quarantined(any_town) == {}
    assert any_town.state(bad) is State.DISPATCHED


def test_more_facts_for_a_case_that_was_set_aside_try_it_again(any_town: Township, station: Ledger) -> None:
    key = "e" * 32
    arrive(any_town, station, draft(any_town, key, "opinion.registered", registered(1)))
    with broken_handler(key):
        projecting.sweep(any_town.node)
    assert quarantined(any_town)
    closing = codec.encode(f.RoutedDirect(basis="村规民约"))
    arrive(any_town, station, draft(any_town, key, "opinion.routed_direct", closing))
    assert projecting.sweep(any_town.node) == Folded(subjects=1)
    assert quarantined(any_town) == {}
    assert shown(any_town) == 1


def test_a_case_that_stays_bad_counts_its_attempts(any_town: Township, station: Ledger) -> None:
    bad = draft(any_town, "f" * 32, "opinion.registered", b"{}")
    for attempts in (1, 2, 3):
        arrive(any_town, station, bad)
        projecting.sweep(any_town.node)
        assert quarantined(any_town) == {bad.subject: ("schema", attempts)}


def test_bad_master_data_do_not_take_the_town_away(any_town: Township, station: Ledger) -> None:
    """A policy nobody can read is set aside; the terms in force stay in force."""
    scope = any_town.node.public_scope
    with any_town.node.engine.begin() as connection:
        policy = EventDraft(kind="policy.stated", version=1, subject=Subject("policy/town"), body=b'{"terms": 7}',
                            occurred_at=any_town.clock.at, author="clerk|k1|黄受理")  # fmt: skip
        any_town.node.ledger.append(connection, scope, [policy])
        any_town.node.ledger.mark_pending(connection, [policy.subject])
    assert projecting.sweep(any_town.node).quarantined == 1
    any_town.node.forget_town()
    assert any_town.dispatch(any_town.register()) == "JB-2026-0001"


def test_a_kind_that_only_a_newer_node_knows_is_kept_and_counted(any_town: Township, station: Ledger) -> None:
    key = any_town.register()
    newer = draft(any_town, key, "opinion.appraised", b'{"stars": 5}')
    newest = draft(any_town, key, "opinion.closed", b'{"note": "", "seal": "x"}', version=9)
    arrive(any_town, station, newer, newest)
    assert projecting.sweep(any_town.node) == Folded(subjects=1)
    with any_town.node.reading() as connection:
        assert connection.execute(select(tables.opinions.c.unknown)).scalar_one() == 2
    assert any_town.state(key) is State.REGISTERED


def test_facts_that_come_before_their_registration_wait_for_it(any_town: Township, station: Ledger) -> None:
    key = "d" * 32
    arrive(any_town, station, draft(any_town, key, "opinion.routed_direct", codec.encode(f.RoutedDirect(basis="x"))))
    assert projecting.sweep(any_town.node) == Folded(subjects=1, quarantined=1)
    assert quarantined(any_town) == {f"opinion/{key}": ("dependency", 1)}
    assert shown(any_town) == 0
    first = Ledger(Identity.load_or_create(any_town.node.settings.data_dir / "first"), any_town.clock)
    arrive(any_town, first, draft(any_town, key, "opinion.registered", registered(1)))
    projecting.sweep(any_town.node)
    assert quarantined(any_town) == {}
    assert any_town.state(key) is State.REGISTERED


def test_a_registration_that_was_erased_is_no_longer_shown(any_town: Township) -> None:
    """Rows follow the facts: what a rebuild would not show, the live table does not show either."""
    key = any_town.register()
    subject = Subject(f"opinion/{key}")
    with any_town.node.engine.begin() as connection:
        connection.execute(
            update(ledger_events).where(ledger_events.c.subject == subject)
            .values(body=None, salt=None, body_digest=b"\0" * 32)
        )  # fmt: skip
        any_town.node.ledger.mark_pending(connection, [subject])
    projecting.sweep(any_town.node)
    assert shown(any_town) == 0


def test_two_sweeps_share_the_work_and_lose_nothing(any_town: Township, station: Ledger) -> None:
    from concurrent.futures import ThreadPoolExecutor

    whole = [draft(any_town, f"{n:032x}", "opinion.registered", registered(n)) for n in range(1, 1200)]
    arrive(any_town, station, *whole)
    with ThreadPoolExecutor(3) as threads:
        folded = list(threads.map(lambda _: projecting.sweep(any_town.node), range(3)))
    assert sum(one.subjects for one in folded) >= len(whole)
    assert shown(any_town) == len(whole)
    assert set(projecting.differences(any_town.node).values()) == {0}


def test_a_value_that_the_tables_cannot_hold_sets_its_case_aside_without_quoting_it(
    pg_town: Township, tmp_path: Path, log: list[dict[str, Any]]
) -> None:
    station = Ledger(Identity.load_or_create(tmp_path / "station"), pg_town.clock)
    bad = registered(1, urgency="x" * 99, title=CANARY)
    nul = registered(2).replace(CANARY.encode(), CANARY.encode() + b"\\u0000")
    good = [draft(pg_town, f"{n:032x}", "opinion.registered", registered(n)) for n in range(3, 40)]
    arrive(
        pg_town, station, draft(pg_town, "e" * 32, "opinion.registered", bad),
        draft(pg_town, "f" * 32, "opinion.registered", nul), *good,
    )  # fmt: skip
    assert projecting.sweep(pg_town.node).quarantined == 2
    assert shown(pg_town) == len(good)
    with pg_town.node.reading() as connection:
        reasons = [aside.reason for aside in pg_town.node.ledger.quarantined(connection)]
    assert len(reasons) == 2
    assert CANARY not in repr(reasons)


# --- reasons, and what brings a subject back ----------------------------------------------------------------------


def test_bytes_that_are_no_json_are_told_from_a_shape_that_does_not_fit(any_town: Township, station: Ledger) -> None:
    subject = Subject(f"opinion/{'f' * 32}")
    arrive(any_town, station, draft(any_town, "f" * 32, "opinion.registered", registered(1)))
    with any_town.node.engine.begin() as connection:
        mine = ledger_events.c.subject == subject
        connection.execute(update(ledger_events).where(mine).values(body=b'{"reg_no": \xff'))
    projecting.sweep(any_town.node)
    assert quarantined(any_town) == {subject: ("undecodable", 1)}


def test_a_term_that_is_none_breaks_a_rule(any_town: Township) -> None:
    key = any_town.register()
    with any_town.acting("clerk") as unit:
        fact = f.Dispatched(route="assign", dispatch_no="JB-2026-9999", unit="water", requirement="x", duty_basis="x",
                            term="bald")  # fmt: skip
        unit.record(f"opinion/{key}", fact, scope=unit.station_scope("qd"), later=True)
    projecting.sweep(any_town.node)
    assert quarantined(any_town) == {f"opinion/{key}": ("rule", 1)}


def test_a_policy_that_reads_well_and_cannot_be_does_not_take_the_town_away(any_town: Township) -> None:
    with any_town.acting("clerk") as unit:
        fact = f.PolicyStated(effective_from=any_town.clock.at.date(), terms={"terms": {"screen": "bald"}})
        unit.record("policy/town", fact, scope=unit.public_scope, later=True)
    projecting.sweep(any_town.node)
    assert quarantined(any_town) == {"policy/town": ("rule", 1)}
    any_town.node.forget_town()
    assert any_town.dispatch(any_town.register()) == "JB-2026-0001"


def test_what_waits_for_a_record_is_tried_when_something_arrives_and_others_are_not(
    any_town: Township, station: Ledger
) -> None:
    waiting, bad = "a" * 32, "b" * 32
    routed = codec.encode(f.RoutedDirect(basis="x"))
    arrive(any_town, station, draft(any_town, waiting, "opinion.routed_direct", routed),
           draft(any_town, bad, "opinion.registered", b"{}"))  # fmt: skip
    projecting.sweep(any_town.node)
    projecting.sweep(any_town.node)
    assert quarantined(any_town) == {f"opinion/{waiting}": ("dependency", 1), f"opinion/{bad}": ("schema", 1)}
    arrive(any_town, station, draft(any_town, "c" * 32, "opinion.registered", registered(1)))
    projecting.sweep(any_town.node)
    assert quarantined(any_town) == {f"opinion/{waiting}": ("dependency", 2), f"opinion/{bad}": ("schema", 1)}
    assert shown(any_town) == 1


def test_new_master_data_try_what_broke_a_rule_again(any_town: Township) -> None:
    key = any_town.register()
    make = projectors._MAKERS["opinion"]

    def fail(*_: Any) -> None:
        raise Impossible("no calendar for that year")

    with any_town.node.engine.begin() as connection:
        any_town.node.ledger.mark_pending(connection, [Subject(f"opinion/{key}")])
    projectors._MAKERS["opinion"] = fail
    try:
        projecting.sweep(any_town.node)
    finally:
        projectors._MAKERS["opinion"] = make
    assert quarantined(any_town) == {f"opinion/{key}": ("rule", 1)}
    with any_town.acting("clerk") as unit:
        day = f.CalendarDaySet(day=any_town.clock.at.date(), is_workday=False, reason="台风")
        unit.record("calendar/2026", day, scope=unit.public_scope, later=True)
    projecting.sweep(any_town.node)
    projecting.sweep(any_town.node)
    assert quarantined(any_town) == {}


def test_a_hundred_broken_records_in_a_row_stop_neither_what_precedes_nor_what_follows(
    any_town: Township, station: Ledger
) -> None:
    first, last = "a" * 32, "b" * 32
    bad = [draft(any_town, f"{n:032x}", "opinion.registered", b"{}") for n in range(1, 101)]
    arrive(
        any_town, station, draft(any_town, first, "opinion.registered", registered(1)), *bad,
        draft(any_town, last, "opinion.registered", registered(2)),
    )  # fmt: skip
    assert projecting.sweep(any_town.node).quarantined == 100
    assert shown(any_town) == 2
    assert projecting.sweep(any_town.node) == Folded(), "what cannot be read is not tried again and again"


def test_a_record_that_came_before_its_registration_was_shown_to_a_person_and_solves_itself(
    any_town: Township, station: Ledger
) -> None:
    """A person looked and tried again in vain; when the registration arrives after all, nobody need do anything."""
    key = "d" * 32
    subject = Subject(f"opinion/{key}")
    arrive(any_town, station, draft(any_town, key, "opinion.routed_direct", codec.encode(f.RoutedDirect(basis="x"))))
    projecting.sweep(any_town.node)
    with any_town.acting("clerk") as unit:
        judging.retry(unit, subject)
    projecting.sweep(any_town.node)
    assert quarantined(any_town)[subject] == ("dependency", 2)
    arrive(any_town, station, draft(any_town, key, "opinion.registered", registered(1)))
    projecting.sweep(any_town.node)
    assert quarantined(any_town) == {}
    assert shown(any_town) == 1


def test_what_follows_a_broken_record_of_the_same_case_waits_and_other_cases_pass(
    any_town: Township, station: Ledger
) -> None:
    bad, good = "e" * 32, "c" * 32
    routed = codec.encode(f.RoutedDirect(basis="x"))
    for key, body in ((bad, b"{}"), (good, registered(1))):
        arrive(any_town, station, draft(any_town, key, "opinion.registered", body))
        for _ in range(3):
            arrive(any_town, station, draft(any_town, key, "opinion.routed_direct", routed))
    assert projecting.sweep(any_town.node) == Folded(subjects=2, quarantined=1)
    assert quarantined(any_town) == {f"opinion/{bad}": ("schema", 1)}
    assert shown(any_town) == 1


ODD_BODIES = {
    "keys twice": b'{"reg_no":"1","reg_no":"2"}',
    "a huge number": b'{"affected":' + b"9" * 5000 + b"}",
    "an endless fraction": b'{"affected":1e999}',
    "half a character": registered(7).replace(CANARY.encode(), b"\\ud800"),
    "marks that turn the reading direction": registered(8).replace(CANARY.encode(), "\u202e王小明\u2066".encode()),
    "a text of 200 kB": registered(9).replace(CANARY.encode(), b"x" * 200_000),
    "deep nesting": b'{"affected":' + b"[" * 40_000 + b"]" * 40_000 + b"}",
}


@pytest.mark.parametrize("odd", ODD_BODIES)
def test_an_odd_body_is_shown_or_set_aside_and_ends_nothing(any_town: Township, station: Ledger, odd: str) -> None:
    """Whatever a station's program may write or somebody may have changed: one case, and no other."""
    strange, good = "e" * 32, "c" * 32
    with any_town.node.engine.begin() as connection:  # past the check that an honest node makes when it records
        (event, _) = station.append(
            connection, any_town.node.station_scope("qd"),
            [draft(any_town, strange, "opinion.registered", registered(1)),
             draft(any_town, good, "opinion.registered", registered(2))],
        )  # fmt: skip
        mine = ledger_events.c.subject == event.subject
        connection.execute(update(ledger_events).where(mine).values(body=ODD_BODIES[odd]))
        any_town.node.ledger.mark_pending(connection, [event.subject, Subject(f"opinion/{good}")])
    projecting.sweep(any_town.node)
    assert any_town.state(good) is State.REGISTERED
    assert (shown(any_town), len(quarantined(any_town))) in ((1, 1), (2, 0))
    assert set(projecting.differences(any_town.node).values()) == {0}
