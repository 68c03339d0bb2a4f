"""登记: what is written down, what is refused, and that a form sent twice registers once."""

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import func, select

from service.actions import registering
from service.actions.registering import RegisteredBefore, tracking_code, tracking_hash
from service.domain.people import Reporter
from service.domain.refusals import InvalidForm, NotFound
from service.store import queries, tables
from tests.actions.township import Township


def refused_fields(town: Township, **changes: Any) -> dict[str | None, str]:
    with pytest.raises(InvalidForm) as refused:
        town.register(**changes)
    return {problem.field: problem.code for problem in refused.value.problems}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"title": " "}, {"title": "required"}),
        ({"title": "长" * 81}, {"title": "too_long"}),
        ({"body": ""}, {"body": "required"}),
        ({"body": "长" * 5001}, {"body": "too_long"}),
        ({"area": ""}, {"area": "required"}),
        ({"area": "445222112201"}, {"area": "unknown_choice"}),  # the neighbouring town
        ({"category": "weather"}, {"category": "unknown_choice"}),
        ({"source": "rumour"}, {"source": "unknown_choice"}),
        ({"urgency": "yesterday"}, {"urgency": "unknown_choice"}),
        ({"secrecy": "x"}, {"secrecy": "unknown_choice"}),
        ({"affected": 0}, {"affected": "out_of_range"}),
        ({"affected": 1_000_001}, {"affected": "out_of_range"}),
        ({"reporter": Reporter(name="王小明")}, {"notice_read": "notice_needed"}),
        ({"reporter": Reporter(phone="1" * 41), "notice_read": True}, {"phone": "too_long"}),
    ],
)
def test_a_field_that_does_not_fit_is_named(
    town: Township, changes: dict[str, Any], expected: dict[str | None, str]
) -> None:
    assert refused_fields(town, **changes) == expected


def test_every_bad_field_is_named_at_once(town: Township) -> None:
    assert set(refused_fields(town, title="", body="", area="", affected=-1)) == {"title", "body", "area", "affected"}


def test_a_station_that_does_not_exist_has_no_book(town: Township) -> None:
    with pytest.raises(NotFound):
        town.register(who="clerk", station="xx")


def test_the_speakers_own_words_are_kept_as_they_were_said(any_town: Township) -> None:
    words = "  “沟”堵了\n\t半个多月😟,<b>没人</b>来;'; DROP TABLE opinions;--  "
    key = any_town.register(body=words)
    registered = any_town.opinion(key).registered
    assert registered is not None
    assert registered.body == words


def test_numbers_begin_anew_with_the_local_year(town: Township) -> None:
    town.register()
    town.clock.at = datetime(2026, 12, 31, 16, 30, tzinfo=UTC)  # half past midnight of New Year's Day in the town
    registered = town.opinion(town.register()).registered
    assert registered is not None
    assert registered.reg_no == "QD0-2027-0001"


def test_stations_number_their_own_books(town: Township) -> None:
    keys = [town.register(), town.register(who="other_liaison", station="zx"), town.register()]
    numbers = [opinion.registered.reg_no for key in keys if (opinion := town.opinion(key)).registered]
    assert numbers == ["QD0-2026-0001", "ZX0-2026-0001", "QD0-2026-0002"]


def test_a_refused_form_uses_no_number_up(town: Township) -> None:
    form = town.form()
    town.do("liaison", registering.register, form, "qd")
    with pytest.raises(RegisteredBefore):
        town.do("liaison", registering.register, form, "qd")
    registered = town.opinion(town.register()).registered
    assert registered is not None
    assert registered.reg_no == "QD0-2026-0002"


def test_a_form_sent_twice_at_the_same_moment_registers_once(any_town: Township) -> None:
    form = any_town.form()

    def send(_: int) -> bool:
        try:
            any_town.do("liaison", registering.register, form, "qd")
        except RegisteredBefore:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(send, range(16))) == 1
    with any_town.node.reading() as connection:
        assert connection.execute(select(func.count()).select_from(tables.opinions)).scalar_one() == 1


def test_numbers_have_neither_gaps_nor_doubles_under_eight_desks(any_town: Township) -> None:
    forms = [any_town.form() for _ in range(120)]
    with ThreadPoolExecutor(8) as threads:
        receipts = list(threads.map(lambda form: any_town.do("liaison", registering.register, form, "qd"), forms))
    assert sorted(receipt.reg_no for receipt in receipts) == [f"QD0-2026-{n:04d}" for n in range(1, 121)]


def test_the_tracking_code_is_on_paper_only(town: Township) -> None:
    receipt = town.do("liaison", registering.register, town.form(), "qd")
    assert re.fullmatch(r"[2-9A-HJ-NP-TW-Y]{4}(-[2-9A-HJ-NP-TW-Y]{4}){2}", receipt.tracking_code)
    with town.node.reading() as connection:
        row = queries.opinion_by_tracking(connection, tracking_hash(receipt.tracking_code))
    assert row is not None
    assert row.id == receipt.opinion
    town.node.engine.dispose()
    plain = receipt.tracking_code.replace("-", "").encode()
    for file in town.node.settings.data_dir.iterdir():
        assert plain not in file.read_bytes()
        assert receipt.tracking_code.encode() not in file.read_bytes()


def test_a_code_is_recognised_however_it_is_typed() -> None:
    code = tracking_code("secret", "form")
    assert tracking_hash(code) == tracking_hash(f" {code.lower().replace('-', ' ')} ")
    assert tracking_hash(code) != tracking_hash(tracking_code("secret", "another form"))


def test_only_who_knows_the_nodes_secret_can_tell_a_forms_code() -> None:
    assert tracking_code("secret", "form") == tracking_code("secret", "form")
    assert tracking_code("secret", "form") != tracking_code("another secret", "form")
