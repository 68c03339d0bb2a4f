"""Facts of a station's life: what took place there."""

from __future__ import annotations

from datetime import date

from service.domain.facts.kinds import Fact, fact


@fact("reception.held")
class ReceptionHeld(Fact):
    """A reception that took place, at a station or extended into a village."""

    held_on: date
    station: str
    area: str = ""  # village code when held in the village itself
    deputies: tuple[str, ...] = ()
    headcount: int = 0
    note: str = ""


@fact("reception.withdrawn")
class ReceptionWithdrawn(Fact):
    """A reception entered by mistake."""

    reason: str
