"""网格覆盖: compile the coverage view at the hub and publish it to the stations.

At town size it is computed afresh from the receptions and the master data, never kept up by increments.
"""

from __future__ import annotations

from datetime import date

import structlog
from sqlalchemy import Connection, select

from service.actions.routing import NotTheHub
from service.domain import facts as f
from service.domain.coverage import (
    Coverage,
    CoverageSettings,
    FramesMixed,
    Pause,
    ReceptionHeld,
    StationSite,
    Village,
)
from service.domain.coverage_compiling import compile_coverage
from service.domain.coverage_mapping import coverage_from_mapping, coverage_to_mapping
from service.domain.geometry import Point
from service.domain.people import SYSTEM
from service.domain.town import Town
from service.node import Node
from service.store.tables import receptions
from service.store.unit import Unit

log = structlog.get_logger(__name__)


def compile_now(connection: Connection, town: Town, as_of: date) -> Coverage:
    """The coverage as the hub's data have it. Raises FramesMixed when points are in different frames."""
    return compile_coverage(_villages(town), sites(town, as_of), _held(connection, as_of), _settings(town), as_of)


def publish_if_changed(node: Node) -> bool:
    """Publish a new coverage when its figures differ from the last one; True when it did. A county has none itself."""
    if node.is_county:
        return False
    with node.unit(SYSTEM) as unit:
        try:
            return _publish(unit)
        except FramesMixed as refusal:
            log.warning("coverage.refused", reason=refusal.code)
            return False


def _publish(unit: Unit) -> bool:
    if not unit.is_hub:
        raise NotTheHub
    coverage = coverage_to_mapping(compile_now(unit.connection, unit.town, unit.today))
    last = unit.town.coverage
    if last is not None and last.coverage == coverage:
        return False
    fact = f.CoverageCompiled(as_of=unit.today, coverage=coverage)
    unit.record(f"coverage/{unit.today:%Y-%m}", fact, scope=unit.public_scope)  # a subject a month bounds its fold
    return True


def published(town: Town) -> Coverage | None:
    """The coverage as last published; None before the first."""
    return coverage_from_mapping(town.coverage.coverage) if town.coverage else None


def _settings(town: Town) -> CoverageSettings:
    stated = town.stated
    if stated is None:
        return CoverageSettings()
    return CoverageSettings(radius_m=stated.radius_m, window_days=stated.window_days,
                            strict_window_days=stated.strict_window_days)  # fmt: skip


def _villages(town: Town) -> list[Village]:
    return [
        Village(code=a.code, name=a.name, population=a.population, point=_point(a.lat, a.lng, a.frame))
        for a in town.areas.values()
    ]  # fmt: skip


def sites(town: Town, as_of: date) -> list[StationSite]:
    """The stations as the coverage sees them on a day."""
    return [_site(station.stated, as_of) for station in town.stations.values()]


def _site(stated: f.StationStated, as_of: date) -> StationSite:
    """A station said to be closed or paused, but not since when, is so from `as_of` on: to count it as open would
    flatter the town, and its past receptions were held all the same. Facts of other releases may lack the day."""
    closed_on = stated.closed_on or (as_of if stated.status == "closed" else None)
    pauses = (Pause(from_on=stated.paused_on or as_of),) if stated.status == "paused" else ()
    return StationSite(
        code=stated.code, name=stated.name, village_code=stated.area, opened_on=stated.opened_on,
        closed_on=closed_on, planned_on=stated.planned_on, tier=stated.tier, pauses=pauses,
        point=_point(stated.lat, stated.lng, stated.frame),
    )  # fmt: skip


def _point(lat: float | None, lng: float | None, frame: str) -> Point | None:
    return None if lat is None or lng is None else Point(lat=lat, lng=lng, frame=frame)


def _held(connection: Connection, as_of: date) -> list[ReceptionHeld]:
    held = select(receptions).where(receptions.c.withdrawn.is_(False), receptions.c.held_on <= as_of)
    return [
        ReceptionHeld(on=row.held_on, station_code=row.station, village_code=row.area or None)
        for row in connection.execute(held)
    ]  # fmt: skip
