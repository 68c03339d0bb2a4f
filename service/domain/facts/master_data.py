"""Facts of the town: master data that the hub states in the public scope, for everybody to read.

Each is a statement: the newest about the same thing counts, the ones before it say nothing any more (`states`).
"""

from __future__ import annotations

from dataclasses import field
from datetime import date
from typing import Any

from service.domain.facts.kinds import Fact, fact


@fact("area.stated", states=())
class AreaStated(Fact):
    """行政区: `name_status` confirmed 已核实 | unconfirmed 待核实."""

    code: str
    name: str
    name_status: str = "unconfirmed"
    level: str = "village"
    parent: str = ""
    population: int | None = None
    lat: float | None = None
    lng: float | None = None
    frame: str = ""


@fact("station.stated", states=())
class StationStated(Fact):
    """联络站. `code` is 2-4 letters, prefix of the numbers it issues. `status` planned|building|open|paused|closed."""

    code: str
    name: str
    tier: str  # central 中心站, station 联络站, point 联络点
    area: str
    host: str = ""
    address: str = ""
    phone: str = ""
    hours: str = ""
    opened_on: date | None = None
    planned_on: date | None = None
    closed_on: date | None = None
    paused_on: date | None = None
    status: str = "open"
    lat: float | None = None
    lng: float | None = None
    frame: str = ""


@fact("station.posted", states=("post", "person_name"))
class StationPosted(Fact):
    """任职: chief 站长, deputy_chief 副站长, liaison 联络员."""

    station: str
    person_name: str
    post: str
    from_on: date
    to_on: date | None = None


@fact("unit.stated", states=())
class UnitStated(Fact):
    """承办单位."""

    code: str
    name: str
    kind: str  # town_office 镇政府部门, institute 站所, village 村居, county 县级部门, company 企业
    duties: tuple[str, ...] = ()
    area: str = ""  # the village, when kind is village
    active: bool = True


@fact("deputy.stated", states=())
class DeputyStated(Fact):
    """代表: `levels` out of city 市, county 县, town 镇."""

    deputy: str
    name: str
    levels: tuple[str, ...]
    district: str
    station: str
    contact: str = ""  # 公开联系方式, never the private phone by default
    in_office: bool = True


@fact("category.stated", states=())
class CategoryStated(Fact):
    """意见类别, two levels by `parent`."""

    code: str
    name: str
    parent: str = ""
    unit_hint: str = ""
    rank: int = 0  # place in lists; the locked ones always come last
    locked: bool = False  # accusations and case-related: no dispatch, no screen


@fact("reason.stated", states=())
class ReasonStated(Fact):
    """原因代码: kind not_passed_on N, return R, suspension H."""

    code: str
    kind: str
    name: str
    channel: str = ""  # the right channel to tell


@fact("calendar.stated", states=())
class CalendarStated(Fact):
    """工作日历 of one year: its exceptions to "Monday to Friday". `status` published|provisional."""

    year: int
    status: str
    source: str
    off: tuple[str, ...] = ()  # "MM-DD", weekdays that are off
    work: tuple[str, ...] = ()  # "MM-DD", weekend days that are worked
    names: dict[str, str] = field(default_factory=dict)


@fact("calendar.day_set", states=("day",))
class CalendarDaySet(Fact):
    """A local day, such as a typhoon day off, with its reason."""

    day: date
    is_workday: bool
    reason: str


@fact("policy.stated", states=("effective_from",))
class PolicyStated(Fact):
    """时限表与督办阶梯: the whole mapping that `policy_from_mapping` takes."""

    effective_from: date
    terms: dict[str, Any]


@fact("town.stated", states=())
class TownStated(Fact):
    """The town this network belongs to, and its coverage settings."""

    code: str
    name: str
    radius_m: int = 2500
    window_days: int = 92
    strict_window_days: int = 31
    notice_version: str = "1"


@fact("node.enrolled", states=())
class NodeEnrolled(Fact):
    """A station's node and its public key (hex), so that everybody can verify what it signed.

    What a county's hub publishes names a township's hub: `station` is the township's code then.
    """

    node: str
    station: str
    public_key: str
    read_scopes: tuple[str, ...]
    write_scopes: tuple[str, ...]


@fact("coverage.compiled", states=())
class CoverageCompiled(Fact):
    """The coverage view as compiled by the hub for `as_of`, published to the stations."""

    as_of: date
    coverage: dict[str, Any]
