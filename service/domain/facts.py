"""The vocabulary: every fact a node can record, with its kind and version.

A fact is what somebody did, in the past tense, with all that a later reader needs to judge it. Facts are never
changed: a correction is a new fact. `kind` and `version` name the shape for ever; a new shape gets a new version
and an upcaster from the old one (see `upcast`). When, where and by whom stands in the event that carries the
fact, not in the fact: `occurred_at`, `author`, origin and scope.

Vocabulary of later transitions (returns, extensions, suspension, merging, withdrawal) is here already so that a
node of today shows them in the timeline of a case that a newer node has moved on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from typing import Any, ClassVar, TypeVar, dataclass_transform

_T = TypeVar("_T")
REGISTRY: dict[tuple[str, int], type[Fact]] = {}
Upcaster = Callable[[dict[str, Any]], dict[str, Any]]
UPCASTERS: dict[tuple[str, int], Upcaster] = {}


class Fact:
    """Base of all facts: KIND is "<subject type>.<past participle>", VERSION counts shapes of that kind."""

    __slots__ = ()
    KIND: ClassVar[str]
    VERSION: ClassVar[int]


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(field,))
def fact(kind: str, version: int = 1) -> Callable[[type[_T]], type[_T]]:
    """Register a dataclass as the shape `version` of `kind`."""

    def register(cls: type[_T]) -> type[_T]:
        made = dataclass(frozen=True, slots=True, kw_only=True)(cls)
        made.KIND = kind  # type: ignore[attr-defined]
        made.VERSION = version  # type: ignore[attr-defined]
        REGISTRY[(kind, version)] = made  # type: ignore[assignment]
        return made

    return register


def shape(kind: str, version: int) -> type[Fact] | None:
    """The dataclass of this kind and version; None when a newer node wrote it."""
    return REGISTRY.get((kind, version))


# --- opinions (意见) -------------------------------------------------------------------------------------------


@fact("opinion.registered")
class OpinionRegistered(Fact):
    """登记 (T1). `body` keeps the speaker's own words. `tracking` is the SHA-256 hex of the tracking code."""

    reg_no: str
    tracking: str
    station: str
    source: str  # 接待 reception, 走访 visit, 来电 call, 来信 letter, 网络 online, 代表码 deputy_code, 会议 meeting
    title: str
    body: str
    wish: str = ""
    category: str = ""
    area: str = ""
    grid: str = ""
    affected: int = 1
    urgency: str = "normal"  # normal 一般, urgent 紧急, critical 特急
    sensitive: bool = False
    secrecy: str = "open"
    reporter: str | None = None  # subject id of the person; None = nobody gave a name
    proxy_deputy: str | None = None  # 代反映代表
    reception: str | None = None
    notice_version: str = ""  # the privacy notice that was read out


@fact("opinion.info_requested")
class InfoRequested(Fact):
    """要求补充 (T2)."""

    questions: tuple[str, ...]


@fact("opinion.info_supplied")
class InfoSupplied(Fact):
    """补充完成 (T3)."""

    answer: str


@fact("opinion.merged")
class Merged(Fact):
    """并案 (T4): this opinion follows `master`."""

    master: str
    reason: str


@fact("opinion.unmerged")
class Unmerged(Fact):
    """解除并案 (T5)."""

    reason: str


@fact("opinion.routed_direct")
class RoutedDirect(Fact):
    """分流: 直接答复 (T6)."""

    basis: str


@fact("opinion.answered")
class Answered(Fact):
    """直接答复 (T7); outcome A 已解决, B 正在解决, C 列入计划, D 留作参考."""

    text: str
    outcome: str
    way: str  # face 面复, phone 电话, letter 书面, sms 短信


@fact("opinion.dispatched")
class Dispatched(Fact):
    """交办 (T8), 依法转交 (T9), 二次交办 (T24). The unit's term starts with this fact."""

    route: str  # assign | transfer
    dispatch_no: str
    unit: str
    requirement: str
    duty_basis: str
    term: str  # "5wd", "3mo": fixed here, so that a later policy does not move a running clock
    co_units: tuple[str, ...] = ()
    important: bool = False
    widespread: bool = False
    hard: bool = False  # 涉及面广或难度大, marked by the presidium
    adopted_by: str | None = None  # deputy who adopts the opinion as a suggestion
    letter_no: str = ""  # presidium's transfer letter
    ordinal: int = 1


@fact("opinion.explained")
class Explained(Fact):
    """解释说明 (T10): cannot be passed on; the reason and the right channel were told."""

    reason: str  # code N1..N10
    channel: str
    record: str
    confirmed: bool = False  # by the reporter; otherwise `attempts` says how often one tried
    attempts: int = 0


@fact("opinion.signed")
class Signed(Fact):
    """签收 (T11). `deemed` = 视为签收 after the sign-off term."""

    deemed: bool = False


@fact("opinion.return_requested")
class ReturnRequested(Fact):
    """申请退回 (T12)."""

    reason: str  # code R1..R5
    duty_basis: str
    suggested_unit: str = ""


@fact("opinion.return_granted")
class ReturnGranted(Fact):
    """同意改派 (T13); the new dispatch follows as a fact of its own."""

    ruling: str


@fact("opinion.return_refused")
class ReturnRefused(Fact):
    """驳回 (T14): the unit must continue."""

    ruling: str


@fact("opinion.progressed")
class Progressed(Fact):
    """阶段反馈 (T15)."""

    text: str


@fact("opinion.extension_requested")
class ExtensionRequested(Fact):
    """申请延期 (T16); `term` is what is asked for on top, "10wd"."""

    term: str
    reason: str
    done_so_far: str
    citizen_told: bool


@fact("opinion.extension_decided")
class ExtensionDecided(Fact):
    """延期审批 (T16)."""

    granted: bool
    term: str
    note: str = ""


@fact("opinion.suspension_requested")
class SuspensionRequested(Fact):
    """申请挂账 (T17)."""

    reason: str  # code H1..H5
    plan: str
    leader: str


@fact("opinion.suspended")
class Suspended(Fact):
    """批准挂账 (T17)."""

    reason: str
    review_on: date


@fact("opinion.resumed")
class Resumed(Fact):
    """恢复办理 (T18)."""

    note: str


@fact("opinion.reply_submitted")
class ReplySubmitted(Fact):
    """提交答复 (T19). A needs proof, B and C a plan with a date, D the policy."""

    text: str
    outcome: str
    evidence: str = ""
    plan: str = ""
    promised_on: date | None = None
    policy_basis: str = ""


@fact("opinion.reply_rejected")
class ReplyRejected(Fact):
    """退回修改 (T20)."""

    defects: str


@fact("opinion.reply_delivered")
class ReplyDelivered(Fact):
    """审核通过并送达 (T21)."""

    way: str
    proof: str
    reply_no: str = ""


@fact("opinion.followed_up")
class FollowedUp(Fact):
    """回访 (T22): one attempt. `solved` is None when nobody was reached."""

    way: str
    reached: bool
    solved: bool | None = None
    note: str = ""


@fact("opinion.rated")
class Rated(Fact):
    """满意度: satisfied 满意, fair 基本满意, dissatisfied 不满意."""

    overall: str
    by: str = "citizen"  # citizen | deputy
    attitude: str = ""
    reason: str = ""


@fact("opinion.reopen_requested")
class ReopenRequested(Fact):
    """申请重新办理 (T23)."""

    by: str  # citizen | deputy
    reason: str


@fact("opinion.reopened")
class Reopened(Fact):
    """重新办理 (T23)."""

    reason: str
    automatic: bool = False


@fact("opinion.closed")
class Closed(Fact):
    """回访办结 (T22)."""

    note: str = ""


@fact("opinion.withdrawn")
class Withdrawn(Fact):
    """撤回 (T25)."""

    proof: str


@fact("opinion.voided")
class Voided(Fact):
    """作废; only while registered."""

    reason: str


@fact("opinion.solved_later")
class SolvedLater(Fact):
    """跟踪销号 (T26)."""

    proof: str
    solved_on: date


@fact("opinion.card_fired")
class CardFired(Fact):
    """督办: a level of the ladder fired for a clock. Once per (clock, level, mark), kept by the event's once key."""

    clock: str
    level: int
    mark: str = ""
    reason: str = ""
    doc_no: str = ""
    addressees: tuple[str, ...] = ()
    feedback_due: date | None = None
    overdue_days: int = 0


@fact("opinion.card_answered")
class CardAnswered(Fact):
    """督办反馈."""

    clock: str
    level: int
    text: str


@fact("opinion.card_revoked")
class CardRevoked(Fact):
    """撤销督办(说明原因); the record stays."""

    clock: str
    level: int
    reason: str


@fact("opinion.key_selected")
class KeySelected(Fact):
    """主席团选定为重点督办."""

    reason: str


@fact("opinion.attached")
class Attached(Fact):
    """附件: a photo or scan belongs to the opinion. The fact names the content; its bytes travel by themselves."""

    digest: str  # SHA-256 of the content, 64 hex digits
    size: int  # bytes
    media_type: str  # image/jpeg, image/png, application/pdf
    name: str  # as shown; made from the uploaded file's, never a path
    caption: str = ""


# --- people (群众): bodies are sealed at rest ------------------------------------------------------------------


@fact("person.recorded")
class PersonRecorded(Fact):
    """The reporter of an opinion. `sealed` = base64 ciphertext only the station can open (secret reporters)."""

    name: str = ""
    phone: str = ""
    address: str = ""
    gender: str = ""
    sealed: str = ""
    secrecy: str = "open"
    notice_version: str = ""


@fact("person.unmasked")
class PersonUnmasked(Fact):
    """Somebody looked at the reporter's data, and said why."""

    reason: str


# --- station life ----------------------------------------------------------------------------------------------


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


# --- master data in the town's public scope --------------------------------------------------------------------


@fact("area.stated")
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


@fact("station.stated")
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


@fact("station.posted")
class StationPosted(Fact):
    """任职: chief 站长, deputy_chief 副站长, liaison 联络员."""

    station: str
    person_name: str
    post: str
    from_on: date
    to_on: date | None = None


@fact("unit.stated")
class UnitStated(Fact):
    """承办单位."""

    code: str
    name: str
    kind: str  # town_office 镇政府部门, institute 站所, village 村居, county 县级部门, company 企业
    duties: tuple[str, ...] = ()
    area: str = ""  # the village, when kind is village
    active: bool = True


@fact("deputy.stated")
class DeputyStated(Fact):
    """代表: `levels` out of city 市, county 县, town 镇."""

    deputy: str
    name: str
    levels: tuple[str, ...]
    district: str
    station: str
    contact: str = ""  # 公开联系方式, never the private phone by default
    in_office: bool = True


@fact("category.stated")
class CategoryStated(Fact):
    """意见类别, two levels by `parent`."""

    code: str
    name: str
    parent: str = ""
    unit_hint: str = ""
    rank: int = 0  # place in lists; the locked ones always come last
    locked: bool = False  # accusations and case-related: no dispatch, no screen


@fact("reason.stated")
class ReasonStated(Fact):
    """原因代码: kind not_passed_on N, return R, suspension H."""

    code: str
    kind: str
    name: str
    channel: str = ""  # the right channel to tell


@fact("calendar.stated")
class CalendarStated(Fact):
    """工作日历 of one year: its exceptions to "Monday to Friday". `status` published|provisional."""

    year: int
    status: str
    source: str
    off: tuple[str, ...] = ()  # "MM-DD", weekdays that are off
    work: tuple[str, ...] = ()  # "MM-DD", weekend days that are worked
    names: dict[str, str] = field(default_factory=dict)


@fact("calendar.day_set")
class CalendarDaySet(Fact):
    """A local day, such as a typhoon day off, with its reason."""

    day: date
    is_workday: bool
    reason: str


@fact("policy.stated")
class PolicyStated(Fact):
    """时限表与督办阶梯: the whole mapping that `policy_from_mapping` takes."""

    effective_from: date
    terms: dict[str, Any]


@fact("town.stated")
class TownStated(Fact):
    """The town this network belongs to, and its coverage settings."""

    code: str
    name: str
    radius_m: int = 2500
    window_days: int = 92
    strict_window_days: int = 31
    notice_version: str = "1"


@fact("node.enrolled")
class NodeEnrolled(Fact):
    """A station's node and its public key (hex), so that everybody can verify what it signed."""

    node: str
    station: str
    public_key: str
    read_scopes: tuple[str, ...]
    write_scopes: tuple[str, ...]


@fact("coverage.compiled")
class CoverageCompiled(Fact):
    """The coverage view as compiled by the hub for `as_of`, published to the stations."""

    as_of: date
    coverage: dict[str, Any]
