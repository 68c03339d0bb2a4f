"""Office hours: where the township's working days begin and end as instants (UTC)."""

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from zoneinfo import ZoneInfo

from service.domain.working_days import WorkCalendar


@dataclass(frozen=True, slots=True)
class Hours:
    """The working day's hours, opening included and closing excluded, in the township's zone."""

    opens: time = time(8, 30)
    closes: time = time(17, 30)
    zone: ZoneInfo = field(default_factory=lambda: ZoneInfo("Asia/Shanghai"))


OFFICE_HOURS = Hours()


def local_date(instant: datetime, hours: Hours = OFFICE_HOURS) -> date:
    """The township's date at an instant."""
    return instant.astimezone(hours.zone).date()


def opening(day: date, hours: Hours = OFFICE_HOURS) -> datetime:
    """The instant (UTC) at which work begins on `day`."""
    return datetime.combine(day, hours.opens, hours.zone).astimezone(UTC)


def due_instant(due: date, hours: Hours = OFFICE_HOURS) -> datetime:
    """The instant (UTC) at which a term ends: close of business of its last day (Civil Code Art. 203)."""
    return datetime.combine(due, hours.closes, hours.zone).astimezone(UTC)


def is_working_hours(instant: datetime, calendar: WorkCalendar, hours: Hours = OFFICE_HOURS) -> bool:
    local = instant.astimezone(hours.zone)
    return calendar.is_workday(local.date()) and hours.opens <= local.time() < hours.closes


def next_working_moment(instant: datetime, calendar: WorkCalendar, hours: Hours = OFFICE_HOURS) -> datetime:
    """`instant` itself when somebody is at work then, else the next opening (UTC)."""
    if is_working_hours(instant, calendar, hours):
        return instant.astimezone(UTC)
    local = instant.astimezone(hours.zone)
    before_opening = local.time() < hours.opens
    return opening(calendar.add_working_days(local.date(), 0 if before_opening else 1).day, hours)
