"""Where working days begin and end as instants, in the township's zone."""

from datetime import UTC, date, datetime, time

import pytest

from service.domain.office_hours import Hours, due_instant, is_working_hours, local_date, next_working_moment
from tests.domain.published_years import published

D = date.fromisoformat


def shanghai(text: str) -> datetime:
    return datetime.fromisoformat(f"{text}+08:00")


def test_term_ends_at_close_of_business_in_the_townships_zone() -> None:
    assert due_instant(D("2026-03-04")) == datetime(2026, 3, 4, 9, 30, tzinfo=UTC)
    assert due_instant(D("2026-03-04"), Hours(closes=time(18))) == datetime(2026, 3, 4, 10, tzinfo=UTC)
    assert local_date(datetime(2026, 3, 3, 16, 0, tzinfo=UTC)) == D("2026-03-04")


@pytest.mark.parametrize(
    ("now", "working", "then"),
    [
        ("2026-03-04T08:29:59", False, "2026-03-04T08:30:00"),
        ("2026-03-04T08:30:00", True, "2026-03-04T08:30:00"),
        ("2026-03-04T17:29:59", True, "2026-03-04T17:29:59"),
        ("2026-03-04T17:30:00", False, "2026-03-05T08:30:00"),
        ("2026-09-19T10:00:00", False, "2026-09-20T08:30:00"),  # the Sunday after is worked
        ("2026-09-20T10:00:00", True, "2026-09-20T10:00:00"),
        ("2026-09-30T20:00:00", False, "2026-10-08T08:30:00"),
    ],
)
def test_next_working_moment(now: str, working: bool, then: str) -> None:
    assert is_working_hours(shanghai(now), published()) is working
    assert next_working_moment(shanghai(now), published()) == shanghai(then)
