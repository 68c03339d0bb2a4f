"""Facts of an opinion (意见): T1 to T26 of the handling rule, and the supervision (督办) of its clocks.

Vocabulary of later transitions (returns, extensions, suspension, merging, withdrawal) is here already so that a
node of today shows them in the timeline of a case that a newer node has moved on.
"""

from __future__ import annotations

from datetime import date

from service.domain.facts.kinds import Fact, fact


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
