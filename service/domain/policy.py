"""Policy: every term and threshold the township may set, as one checked value.

Terms are [P]ractice, not law, unless their comment in `config/policy.toml` names an article; that file and the
defaults here say the same, and a test holds them together. A policy travels as one event, so every node reads the
same one; keys a newer node added are ignored by an older one, keys it does not send keep their default.
"""

from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum

from service.domain.office_hours import Hours
from service.domain.working_days import Term


class Track(StrEnum):
    """Which ladder a clock climbs: a unit's short term, a unit's statutory term, or our own desk's."""

    ASSIGN = "assign"
    TRANSFER = "transfer"
    DESK = "desk"


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How long each step may take. The comment gives the transition it belongs to."""

    to_hub: Term = field(default=Term(1, "wd"))  # T1, from the next connection
    screen: Term = field(default=Term(2, "wd"))  # K1
    direct: Term = field(default=Term(3, "wd"))  # K3, T7
    sign: Term = field(default=Term(1, "wd"))  # T11, then deemed signed
    handle: Term = field(default=Term(5, "wd"))  # K2, T8
    handle_urgent: Term = field(default=Term(3, "wd"))
    handle_critical: Term = field(default=Term(1, "wd"))
    handle_complex: Term = field(default=Term(10, "wd"))
    transfer_dispatch: Term = field(default=Term(5, "wd"))  # T9
    transfer: Term = field(default=Term(3, "mo"))  # K5, T9
    transfer_hard: Term = field(default=Term(6, "mo"))  # K5, marked wide or difficult by the presidium
    transfer_plain: Term = field(default=Term(1, "mo"))  # K5, no deputy adopted it
    explain: Term = field(default=Term(3, "wd"))  # T10
    return_assign: Term = field(default=Term(2, "wd"))  # T12
    return_transfer: Term = field(default=Term(5, "wd"))  # T12
    return_ruling: Term = field(default=Term(1, "wd"))  # T13, T14
    extension_assign: Term = field(default=Term(10, "wd"))  # T16, the most a unit may get
    extension_transfer: Term = field(default=Term(6, "mo"))  # T16, in all
    needs_info: Term = field(default=Term(10, "wd"))  # T2, then decided on what is there
    suspension_review: Term = field(default=Term(60, "wd"))  # T17
    resume_at_least: Term = field(default=Term(3, "wd"))  # T18
    review: Term = field(default=Term(1, "wd"))  # T20, T21
    deliver: Term = field(default=Term(3, "wd"))  # T21
    follow_up: Term = field(default=Term(5, "wd"))  # K4, T22
    reopen_window: Term = field(default=Term(15, "wd"))  # T23, from delivery
    reopened_assign: Term = field(default=Term(5, "wd"))  # T23
    reopened_transfer: Term = field(default=Term(1, "mo"))  # T23
    redispatch: Term = field(default=Term(1, "wd"))  # T24


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Counts that are no terms."""

    returns: int = 1  # T14: no second return
    extensions: int = 1  # T16
    follow_up_attempts: int = 2  # T22, on different days
    transfer_people: int = 10  # route test
    transfer_reports: int = 3  # route test
    yellow_card_days: int = 90  # natural days within which a unit's yellow cards add up
    silent_wd: int = 2  # without contact for so long, a station is telephoned
    clock_offset_s: int = 300  # a node clock further off is flagged
    provisional_margin_wd: int = 20  # how long a level waits that rests on an unpublished year


@dataclass(frozen=True, slots=True, kw_only=True)
class Ladder:
    """When the levels of one track are reached; 0 and False switch a rule off.

    `*_overdue_wd` counts full working days past the close of business of the due day: the level is reached on the
    working morning after them. Level 1 needs no number, it is the first working morning after the due day.
    """

    remind_half: bool = False
    remind_before_wd: tuple[int, ...] = ()  # 0 = on the morning of the due day
    urge_unsigned: bool = False
    yellow_overdue_wd: int = 0
    yellow_no_feedback_wd: int = 0
    red_overdue_wd: int = 0
    red_yellow_cards: int = 0
    red_dissatisfied: int = 0
    presidium_overdue_wd: int = 0
    presidium_reopened_over: int = 0
    presidium_plans_missed: int = 0
    presidium_key_items: bool = False
    to: tuple[str, ...] = ()  # roles; empty = those of the level


@dataclass(frozen=True, slots=True, kw_only=True)
class Ladders:
    """The three ladders (domain c.6). Desk clocks have no citizen waiting at a unit: reminder and urging only."""

    assign: Ladder = Ladder(
        remind_half=True,
        remind_before_wd=(1,),
        urge_unsigned=True,
        yellow_overdue_wd=2,
        yellow_no_feedback_wd=2,
        red_overdue_wd=5,
        red_yellow_cards=2,
        red_dissatisfied=2,
        presidium_overdue_wd=10,
        presidium_reopened_over=2,
        presidium_plans_missed=2,
        presidium_key_items=True,
    )
    transfer: Ladder = Ladder(
        remind_before_wd=(30, 10, 3),
        urge_unsigned=True,
        yellow_overdue_wd=5,
        red_overdue_wd=10,
        presidium_overdue_wd=20,
        presidium_reopened_over=2,
        presidium_plans_missed=2,
        presidium_key_items=True,
    )
    desk: Ladder = Ladder(remind_half=True, remind_before_wd=(0,), to=("clerk", "chief"))

    def of(self, track: Track) -> Ladder:
        return {Track.ASSIGN: self.assign, Track.TRANSFER: self.transfer, Track.DESK: self.desk}[track]


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelTerms:
    """What a level is called, whom it goes to (roles), on which form, and how soon they must answer (0 = no term)."""

    name: str = ""
    name_en: str = ""
    form: str = ""
    to: tuple[str, ...] = ()
    feedback_wd: int = 0


def _levels() -> tuple[LevelTerms, ...]:
    """Levels 0 to 4. Coloured cards are local custom without a statute, hence all of it may be set."""
    return (
        LevelTerms(name="到期提醒", name_en="Reminder", form="消息", to=("handler",)),
        LevelTerms(name="催办", name_en="Urging", form="催办单", to=("handler", "unit_head"), feedback_wd=2),
        LevelTerms(
            name="黄牌",
            name_en="Yellow card",
            form="黄牌督办单",
            to=("unit_head", "clerk", "chief", "deputy"),
            feedback_wd=2,
        ),
        LevelTerms(name="红牌", name_en="Red card", form="红牌督办单", to=("town_leader", "chair"), feedback_wd=3),
        LevelTerms(name="主席团督办", name_en="Presidium supervision", form="专题会议/约见/视察", to=("presidium",)),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The township's rules from `effective_from` on."""

    effective_from: date = date(2019, 1, 1)
    hours: Hours = field(default_factory=Hours)
    terms: Terms = field(default_factory=Terms)
    limits: Limits = field(default_factory=Limits)
    ladders: Ladders = field(default_factory=Ladders)
    levels: tuple[LevelTerms, ...] = field(default_factory=_levels)

    def term(self, rule: str) -> Term:
        """The term a clock's rule names ("screen", "follow_up" …); raises KeyError for a rule there is not."""
        if rule not in Terms.__slots__:
            raise KeyError(rule)
        term: Term = getattr(self.terms, rule)
        return term

    def handling_term(self, urgency: str, *, is_complex: bool = False) -> Term:
        """K2 of a first assignment. Urgency outweighs complexity: danger does not wait, an extension can follow."""
        if urgency == "critical":
            return self.terms.handle_critical
        if urgency == "urgent":
            return self.terms.handle_urgent
        return self.terms.handle_complex if is_complex else self.terms.handle

    def transfer_term(self, *, hard: bool, adopted: bool) -> Term:
        """K5 of a transfer: statutory for what is hard or adopted by a deputy, else the plain term."""
        if hard:
            return self.terms.transfer_hard
        return self.terms.transfer if adopted else self.terms.transfer_plain

    def addressees(self, track: Track, level: int) -> tuple[str, ...]:
        """Roles that a level of this track goes to."""
        return self.ladders.of(track).to or self.levels[level].to
