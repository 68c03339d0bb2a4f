"""Coverage of a town: which villages stations and receptions really reach on a given day.

Three plain shares, each with what it was counted over, and one state per village. No composite score: it would hide
which lever to pull. Everything is "as of" a calendar day in Asia/Shanghai and recomputed from scratch; the caller
hands in the villages that existed on that day, so that a merger or a new name changes no figure of the past.

    completeness (K0)  villages and residents that could be counted at all
    reach (K1)         residents within R of an open station
    recency (K3)       residents of villages where, or within R of where, a reception was held lately
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum

from service.domain.geometry import Point
from service.domain.refusals import Refused

# --- what goes in ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Village:
    """A village or residents' committee. `population` counts residents, None = not known."""

    code: str
    name: str
    population: int | None = None
    point: Point | None = None

    def __post_init__(self) -> None:
        if self.population is not None and self.population < 0:
            raise ValueError(f"village {self.code}: population {self.population} is below zero")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """Days on which a station is shut: from `from_on`, up to but not including `resumed_on` (None = still shut)."""

    from_on: date
    resumed_on: date | None = None

    def covers(self, day: date) -> bool:
        return self.from_on <= day and (self.resumed_on is None or day < self.resumed_on)


class StationState(StrEnum):
    """State of a station on one day. A station under construction is still planned."""

    PLANNED = "planned"
    OPEN = "open"
    PAUSED = "paused"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True, kw_only=True)
class StationSite:
    """A liaison station and its history. Without a point of its own it stands at its village's point."""

    code: str
    name: str
    village_code: str
    point: Point | None = None
    opened_on: date | None = None
    closed_on: date | None = None
    pauses: tuple[Pause, ...] = ()
    planned_on: date | None = None
    tier: str = "station"

    def state_on(self, day: date) -> StationState:
        """Closed from the closing day on, whatever else is recorded; planned until the opening day has come."""
        if self.closed_on is not None and self.closed_on <= day:
            return StationState.CLOSED
        if self.opened_on is None or self.opened_on > day:
            return StationState.PLANNED
        if any(pause.covers(day) for pause in self.pauses):
            return StationState.PAUSED
        return StationState.OPEN

    def has_opened(self, day: date) -> bool:
        """Whether it was ever open up to `day`: only then may it appear in a figure."""
        return self.opened_on is not None and self.opened_on <= day


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceptionHeld:
    """A reception that took place. With `village_code` it was held in that village, and `station_code` merely says
    who held it; without, it was held at the station. Planned and cancelled receptions are never handed in."""

    on: date
    station_code: str | None = None
    village_code: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CoverageSettings:
    """The town's own numbers, set by the presidium. They are no standard and are printed with every figure.

    2,500 m straight line is about 3.3 km by road; 92 days is a quarter, 31 a month.
    """

    radius_m: int = 2500
    window_days: int = 92
    strict_window_days: int = 31

    def __post_init__(self) -> None:
        if self.radius_m <= 0 or self.window_days < 0 or self.strict_window_days < 0:
            raise ValueError("a radius must be above zero and a window must not be below")

    @property
    def near_radius_m(self) -> int:
        """0.9 R in whole metres, half up: with the far one it shows how much hangs on the choice of R."""
        return (self.radius_m * 9 + 5) // 10

    @property
    def far_radius_m(self) -> int:
        """1.1 R in whole metres, half up."""
        return (self.radius_m * 11 + 5) // 10


# --- what comes out ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Share:
    """`part` of `whole`. An empty whole has no percentage: neither 0 % nor 100 % would be true."""

    part: int
    whole: int

    @property
    def percent(self) -> Decimal | None:
        """One decimal, half up; None over nothing."""
        if self.whole == 0:
            return None
        return Decimal((self.part * 2000 + self.whole) // (2 * self.whole)).scaleb(-1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """One share, counted once by residents and once by villages."""

    residents: Share
    villages: Share


@dataclass(frozen=True, slots=True, kw_only=True)
class Completeness:
    """K0: how much of the town a measure could count. `missing` holds the codes of the villages it could not."""

    residents: Share
    villages: Share
    missing: tuple[str, ...]


class VillageState(StrEnum):
    """The state of a village, exactly one, decided in this order."""

    UNKNOWN = "unknown"  # 未知: no usable point, and nobody received there lately
    SERVED = "served"  # 站活: a station within R, and a recent reception
    IDLE = "idle"  # 有站不活: a station within R, no recent reception
    ROVING = "roving"  # 无站有人: no station within R, a recent reception
    GAP = "gap"  # 未覆盖: neither


class MarkKind(StrEnum):
    """What a reader must know beside the state."""

    REACH_UNKNOWN = "reach_unknown"  # 到站未知: state by receptions alone, the village has no point
    POPULATION_UNKNOWN = "population_unknown"  # 人口未知
    STATION_PAUSED = "station_paused"  # 站点暂停: `station` stands here, or alone would reach the village
    STATION_PLANNED = "station_planned"  # 拟建站: `station` is to open in the village, in the quarter of `on`


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A mark on a village; `station` and `on` where its kind says so."""

    kind: MarkKind
    station: str | None = None
    on: date | None = None

    @property
    def quarter(self) -> tuple[int, int] | None:
        """Year and quarter 1-4 of `on`."""
        return (self.on.year, (self.on.month + 2) // 3) if self.on else None


@dataclass(frozen=True, slots=True, kw_only=True)
class VillageRow:
    """One village on the day. `nearest` is the closest open station at any distance; `point` only if usable."""

    code: str
    name: str
    population: int | None
    point: Point | None
    state: VillageState
    nearest: str | None = None
    distance_m: int | None = None
    stations_within: int = 0
    last_on: date | None = None
    marks: tuple[Mark, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class StationRow:
    """One station on the day. `approximate`: it stands at its village's point for want of its own."""

    code: str
    name: str
    village_code: str
    tier: str
    state: StationState
    point: Point | None = None
    approximate: bool = False
    planned_on: date | None = None


class FaultKind(StrEnum):
    """What is wrong with the data, though it could be computed."""

    FAR_OFF = "far_off"  # the point is no coordinate or over 30 km from the rest; it was not used
    SAME_COORDINATE = "same_coordinate"  # villages on one spot
    STATION_WITHOUT_PLACE = "station_without_place"  # neither the station nor its village has a usable point
    UNKNOWN_CODE = "unknown_code"  # a reception or station names a village or station that is not in the list


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A fault and the codes of the villages or stations it concerns, in order."""

    kind: FaultKind
    codes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """The coverage of a town on `as_of`. Villages and stations are in the order of their codes."""

    as_of: date
    settings: CoverageSettings
    completeness: Completeness  # K0 of reach: point and population known
    reach: Measure  # K1 at R
    reach_near: Measure  # K1 at 0.9 R
    reach_far: Measure  # K1 at 1.1 R
    recency_completeness: Completeness  # K0 of recency: population known
    recency: Measure  # K3 within window_days
    recency_strict: Measure  # K3 within strict_window_days
    villages: tuple[VillageRow, ...]
    stations: tuple[StationRow, ...]
    faults: tuple[Fault, ...] = ()

    @property
    def states(self) -> dict[VillageState, int]:
        """How many villages are in each state; they add up to all villages."""
        return {state: sum(row.state is state for row in self.villages) for state in VillageState}

    @property
    def farthest(self) -> VillageRow | None:
        """K6: the village farthest from its nearest open station; None when no distance is known."""
        known = [row for row in self.villages if row.distance_m is not None]
        return max(known, key=lambda row: row.distance_m or 0, default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class OddPoint:
    """A point that cannot be compared with the others. `owner` is "village" or "station"."""

    owner: str
    code: str
    name: str
    frame: str


class FramesMixed(Refused):
    """The points are not all in one stated coordinate frame, so no distance is computed; correct the named points.

    Measured: a mixture gives one village in twenty a wrong state, in the worst town more than one in five.
    """

    def __init__(self, points: tuple[OddPoint, ...]) -> None:
        named = "、".join(f"{odd.name}({odd.frame or '?'})" for odd in points)
        super().__init__("frames_mixed", "frame", points=named, count=len(points))
        self.points = points
