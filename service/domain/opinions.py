"""An opinion (意见): its states, and the values that stand in it.

`opinion_fold.fold` makes an Opinion out of its facts; `clocks` gives the spans in it their due dates.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum

from service.domain import facts as f
from service.domain.record import Author, Recorded

# What may be attached, with the ending of its name. Browsers show the pictures; a PDF is only ever downloaded.
MEDIA_TYPES = {"image/jpeg": ".jpg", "image/png": ".png", "application/pdf": ".pdf"}


class State(StrEnum):
    """Where an opinion stands."""

    NEW = "new"  # nothing folded yet
    REGISTERED = "registered"  # 已登记(待筛选)
    NEEDS_INFO = "needs_info"  # 待补充
    DIRECT = "direct"  # 待直接答复
    DISPATCHED = "dispatched"  # 已交办(待签收)
    HANDLING = "handling"  # 办理中
    RETURN_PENDING = "return_pending"  # 退回待审
    SUSPENDED = "suspended"  # 挂账
    REPLY_REVIEW = "reply_review"  # 答复待审
    REPLIED = "replied"  # 已答复(待回访)
    REOPENED = "reopened"  # 重新办理
    CLOSED = "closed"  # 已办结
    EXPLAINED = "explained"  # 已解释办结
    MERGED = "merged"  # 已并案
    WITHDRAWN = "withdrawn"  # 已撤回
    VOID = "void"  # 作废


ENDED = frozenset({State.CLOSED, State.EXPLAINED, State.MERGED, State.WITHDRAWN, State.VOID})
WITH_UNIT = frozenset({State.DISPATCHED, State.HANDLING, State.RETURN_PENDING, State.SUSPENDED})
OPEN = frozenset(State) - ENDED - {State.NEW}
DROPPED = frozenset({State.MERGED, State.WITHDRAWN, State.VOID})


@dataclass(slots=True, kw_only=True)
class Span:
    """A clock as the facts state it, before any calendar: `clocks.py` turns it into due dates.

    `term` is fixed by the fact ("5wd") or None, then `rule` names the policy term that applied when it started.
    `pauses` are (from, to) instants; an open pause has to = None.
    """

    kind: str  # K0..K5
    ordinal: int
    started_at: datetime
    term: str | None = None
    rule: str = ""
    stopped_at: datetime | None = None
    pauses: list[tuple[datetime, datetime | None]] = field(default_factory=list)
    extensions: list[str] = field(default_factory=list)  # terms added, "10wd"
    resume_at_least: bool = False  # after a suspension some working days are left, however few there were


@dataclass(slots=True, kw_only=True)
class Assignment:
    """交办: one dispatch to one unit. `signed_at` stays None until sign-off, deemed or real."""

    ordinal: int
    route: str
    dispatch_no: str
    unit: str
    co_units: tuple[str, ...]
    requirement: str
    duty_basis: str
    term: str
    dispatched_at: datetime
    by: Author
    hard: bool = False
    adopted_by: str | None = None
    letter_no: str = ""
    signed_at: datetime | None = None
    deemed_signed: bool = False
    replied_at: datetime | None = None


@dataclass(slots=True, kw_only=True)
class Card:
    """督办: a fired level. Revoked cards stay, with their reason."""

    clock: str
    level: int
    mark: str
    fired_at: datetime
    reason: str
    doc_no: str
    addressees: tuple[str, ...]
    feedback_due: date | None
    overdue_days: int
    feedback: str = ""
    feedback_at: datetime | None = None
    revoked: str = ""


@dataclass(slots=True, kw_only=True)
class Reply:
    """答复, by a unit (reviewed) or direct."""

    text: str
    outcome: str
    submitted_at: datetime
    by: Author
    evidence: str = ""
    plan: str = ""
    promised_on: date | None = None
    policy_basis: str = ""
    defects: str = ""
    delivered_at: datetime | None = None
    way: str = ""
    reply_no: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """附件: a photo or scan, by the SHA-256 of its content (hex). Whether the content is here is told elsewhere."""

    digest: str
    size: int
    media_type: str
    name: str
    caption: str
    attached_at: datetime
    by: Author


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the timeline; `fits` is False for a note: kept, shown, without effect."""

    record: Recorded
    before: State
    after: State
    fits: bool


@dataclass(slots=True, kw_only=True)
class Opinion:
    """The folded state. Built by `fold` alone; readers treat it as a value."""

    id: str
    state: State = State.NEW
    registered: f.OpinionRegistered | None = None
    registered_at: datetime | None = None
    received_at: datetime | None = None
    registered_by: Author | None = None
    route: str = ""
    important: bool = False
    widespread: bool = False
    key_item: str = ""
    outcome: str = ""
    spans: list[Span] = field(default_factory=list)
    assignments: list[Assignment] = field(default_factory=list)
    replies: list[Reply] = field(default_factory=list)
    cards: list[Card] = field(default_factory=list)
    follow_ups: list[tuple[datetime, f.FollowedUp]] = field(default_factory=list)
    ratings: list[tuple[datetime, f.Rated]] = field(default_factory=list)
    reopen_asked: f.ReopenRequested | None = None
    reopened: int = 0
    reopen_reason: str = ""
    explained: f.Explained | None = None
    questions: tuple[str, ...] = ()
    paused_from: State | None = None
    delivered_at: datetime | None = None
    closed_at: datetime | None = None
    closed_by: Author | None = None
    solved_on: date | None = None
    master: str | None = None
    attachments: list[Attachment] = field(default_factory=list)
    timeline: list[Entry] = field(default_factory=list)
    unknown: int = 0  # facts of a newer version, waiting for an upgrade

    @property
    def assignment(self) -> Assignment | None:
        """The dispatch in force."""
        return self.assignments[-1] if self.assignments else None

    @property
    def reply(self) -> Reply | None:
        return self.replies[-1] if self.replies else None

    @property
    def rating(self) -> f.Rated | None:
        return self.ratings[-1][1] if self.ratings else None

    @property
    def is_open(self) -> bool:
        return self.state in OPEN

    def running(self) -> list[Span]:
        """Clocks not stopped, K0 first."""
        return [span for span in self.spans if span.stopped_at is None]

    def active(self) -> Span | None:
        """The one clock that urges somebody now; None when only K0 runs or nothing does."""
        return next((s for s in self.spans if s.stopped_at is None and s.kind != "K0"), None)

    def span(self, clock_id: str) -> Span | None:
        return next((s for s in self.spans if self.clock_id(s) == clock_id), None)

    def clock_id(self, span: Span) -> str:
        """Stable name of a clock, part of the once key of its cards."""
        return f"{self.id}:{span.kind}:{span.ordinal}"

    def failed_attempt_days(self) -> int:
        """Different days on which nobody was reached since the last delivery (T22 asks for two)."""
        since = self.delivered_at
        days = {at.date() for at, fu in self.follow_ups if not fu.reached and (since is None or at >= since)}
        return len(days)

    def dissatisfied(self) -> int:
        return sum(1 for _, rating in self.ratings if rating.overall == "dissatisfied")
