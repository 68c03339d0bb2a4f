"""Moving the rehearsal clock of a running demo: by working days as the town's calendar counts them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

from config.clock import FileClock, system_now
from service.demo.processes import DemoError
from service.domain.office_hours import local_date, opening
from service.domain.policy import Policy
from service.domain.working_days import Term, WorkCalendar
from service.store.published_calendar import published_years

MOVE = re.compile(r"\+(\d{1,4})(wd|d|h|m)")
UNITS = {"d": "days", "h": "hours", "m": "minutes"}


def move(folder: Path, wish: str) -> str:
    """Move every process of the demo in `folder`; gives the new time as a sentence. "now" sets the real time again."""
    if not (folder / "demo.json").exists():
        raise DemoError(f"there is no demo in {folder}")
    clock = FileClock(folder / "clock")
    clock.set_to(moved(clock(), wish))
    return f"the demo's clock now says {clock().astimezone(Policy().hours.zone):%Y-%m-%d %H:%M} (town's time)"


def moved(now: datetime, wish: str) -> datetime:
    """The instant that `wish` names: "+2wd" is five minutes after opening of the second working day from now."""
    found = MOVE.fullmatch(wish)
    if wish == "now":
        return system_now()
    if found is None:
        raise DemoError(f"{wish!r} is no step in time: +2wd (working days), +3d, +4h, +30m or now")
    number, unit = int(found[1]), found[2]
    if unit != "wd":
        return now + timedelta(**{UNITS[unit]: number})
    hours = Policy().hours
    due = WorkCalendar.of(published_years()).due(local_date(now, hours), Term(number, "wd"))
    return opening(due.day, hours).astimezone(UTC) + timedelta(minutes=5)
