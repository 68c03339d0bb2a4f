"""月度汇总 at a township's hub: count the months, and record for the county what has changed since.

Nothing else is ever written where the county reads. A township without a county above it counts nothing.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time

import structlog
from sqlalchemy import select

from service.actions import covering
from service.actions.syncing import hub_of
from service.domain import facts as f
from service.domain.coverage import Coverage, FramesMixed, StationState
from service.domain.office_hours import local_date
from service.domain.opinions import State
from service.domain.people import SYSTEM
from service.domain.summing import CountedOpinion, CountedReception, Month, last_months, same_figures, summed
from service.node import Node
from service.store import sums_queries
from service.store.tables import opinions, receptions
from service.store.unit import Unit
from sync.events import Subject

log = structlog.get_logger(__name__)

MONTHS = 13  # a late answer still moves the figures of the same month a year ago


def sum_up(node: Node) -> int:
    """Count this month and the twelve before it; the number of months recorded because a figure had changed."""
    if not node.is_hub or node.is_county:
        return 0
    with node.reading() as connection:
        if hub_of(connection) is None:
            return 0
    with node.unit(SYSTEM) as unit:
        return _record_changed(unit) if unit.town.stated is not None else 0


def _record_changed(unit: Unit) -> int:
    township = unit.node.settings.town
    unit.node.ledger.lock_subjects(unit.connection, [Subject(f"township/{township}")])  # one count at a time
    months = last_months(unit.today, MONTHS)
    counted = _Counted(unit, months[-1].first)
    changed = [sums for month in months if (sums := counted.news_of(township, month)) is not None]
    for sums in changed:
        subject = sums_queries.subject_of(township, sums.month)
        unit.record(subject, sums, scope=unit.node.sums_scope(township))
    if changed:
        log.info("sums.recorded", months=[sums.month for sums in changed])
    return len(changed)


class _Counted:
    """The rows that are counted, read once for all months."""

    def __init__(self, unit: Unit, since: date) -> None:
        self._unit = unit
        self._opinions = _opinions(unit, since)
        self._receptions = _receptions(unit, since)

    def news_of(self, township: str, month: Month) -> f.TownshipSummed | None:
        """The sums of the month; None when they say nothing new, or nothing at all of a month that is over."""
        unit = self._unit
        as_of = min(unit.today, month.last)
        now = summed(
            township=township, month=month, now=unit.now, today=unit.today, stations_open=_open_on(unit, as_of),
            opinions=self._opinions, receptions=self._receptions, coverage=_coverage(unit, as_of),
        )  # fmt: skip
        known = sums_queries.sums_of(unit.connection, township, str(month))
        is_empty = not (now.opinions_received or now.receptions_held)
        if known is None and is_empty and month != Month.of(unit.today):
            return None
        return None if known is not None and same_figures(now, known.sums) else now


def _opinions(unit: Unit, since: date) -> list[CountedOpinion]:
    o, hours = opinions.c, unit.policy.hours
    begin = datetime.combine(since, time.min, hours.zone).astimezone(UTC)
    query = select(o.registered_at, o.state, o.ran_late, o.due_at, o.rating).where(o.registered_at >= begin)
    return [
        CountedOpinion(registered_on=local_date(row.registered_at, hours), state=State(row.state),
                       ran_late=row.ran_late, due_at=row.due_at, rating=row.rating)
        for row in unit.connection.execute(query)
    ]  # fmt: skip


def _receptions(unit: Unit, since: date) -> list[CountedReception]:
    r = receptions.c
    query = select(r.held_on, r.headcount).where(r.withdrawn.is_(False), r.held_on >= since)
    return [CountedReception(held_on=row.held_on, headcount=row.headcount) for row in unit.connection.execute(query)]


def _open_on(unit: Unit, day: date) -> int:
    return sum(site.state_on(day) is StationState.OPEN for site in covering.sites(unit.town, day))


def _coverage(unit: Unit, as_of: date) -> Coverage | None:
    try:
        return covering.compile_now(unit.connection, unit.town, as_of)
    except FramesMixed:
        return None
