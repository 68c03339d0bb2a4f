"""接待: write down a reception that took place, at the station or in a village."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from service.domain import facts as f
from service.domain.people import Step
from service.domain.refusals import Invalid
from service.store.unit import Unit

HEADCOUNT_MAX = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldReception:
    """What the form says; `area` only when it was held in the village itself. `form` registers it once."""

    form: str
    held_on: date | None
    headcount: int | None
    area: str = ""
    deputies: tuple[str, ...] = ()
    note: str = ""


def hold(unit: Unit, new: HeldReception, station_code: str) -> str:
    """Record a reception held; gives its id. Planned receptions never count, so the future is refused."""
    unit.actor.require(Step.HOLD_RECEPTION)
    unit.actor.require_station(station_code)
    station = unit.town.station(station_code)
    if new.held_on is None:
        raise Invalid("held_on")
    if new.held_on > unit.today:
        raise Invalid("held_on", "not_in_future")
    if new.headcount is None:
        raise Invalid("headcount")
    if not 0 <= new.headcount <= HEADCOUNT_MAX:
        raise Invalid("headcount", "out_of_range", low=0, high=HEADCOUNT_MAX)
    if new.area and new.area not in unit.town.areas:
        raise Invalid("area", "unknown_choice")
    reception = unit.new_id()
    fact = f.ReceptionHeld(
        held_on=new.held_on, station=station.code, area=new.area, headcount=new.headcount,
        deputies=tuple(code for code in new.deputies if code in unit.town.deputies), note=new.note.strip()[:2000],
    )  # fmt: skip
    unit.record(f"reception/{reception}", fact, scope=unit.station_scope(station.code), once=f"form:{new.form}")
    return reception
