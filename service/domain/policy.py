"""Policy: every term and threshold the township may set, as one checked value.

Terms are [P]ractice, not law, unless their comment in `config/policy.toml` names an article; that file and the
defaults here say the same, and a test holds them together. A policy travels as one event, so every node reads the
same one; keys a newer node added are ignored by an older one, keys it does not send keep their default.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from datetime import date, datetime, time
from enum import StrEnum
from typing import Any, Self, TypeVar, get_type_hints
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from service.domain.office_hours import Hours
from service.domain.working_days import BadTerm, Term

_T = TypeVar("_T")


class BadPolicy(ValueError):
    """The policy cannot be used; `problems` lists every bad key with its reason."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


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

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> Self:
        """Policy out of parsed TOML or JSON; raises BadPolicy with every bad key at once.

        Missing keys keep their default and unknown ones are ignored: both happen between nodes of different age.
        """
        problems: list[str] = []
        policy = cls(
            effective_from=_value(date, mapping, "effective_from", cls().effective_from, problems),
            hours=_section(Hours(), mapping.get("hours", {}), "hours", problems),
            terms=_section(Terms(), mapping.get("terms", {}), "terms", problems),
            limits=_section(Limits(), mapping.get("limits", {}), "limits", problems),
            ladders=_ladders(mapping.get("ladder", {}), problems),
            levels=_level_list(mapping.get("level"), problems),
        )
        problems += _contradictions(policy)
        if problems:
            raise BadPolicy(tuple(problems))
        return policy

    def to_mapping(self) -> dict[str, Any]:
        """The inverse of `from_mapping`, in plain JSON values."""
        tracks = {track.value: _plain(self.ladders.of(track)) for track in Track}
        return {
            "effective_from": self.effective_from.isoformat(),
            "hours": _plain(self.hours),
            "terms": _plain(self.terms),
            "limits": _plain(self.limits),
            "ladder": tracks,
            "level": [_plain(level) for level in self.levels],
        }


def unknown_keys(mapping: Mapping[str, Any]) -> tuple[str, ...]:
    """Keys of a policy file that nothing reads, worth a warning: most likely a slip of the pen."""
    return tuple(_unknown(mapping, Policy().to_mapping(), ""))


def _unknown(mapping: Mapping[str, Any], known: Mapping[str, Any], path: str) -> list[str]:
    found: list[str] = []
    for key, value in mapping.items():
        if key not in known:
            found.append(path + key)
        elif isinstance(value, Mapping) and isinstance(known[key], Mapping):
            found += _unknown(value, known[key], f"{path}{key}.")
    return found


# --- reading ---------------------------------------------------------------------------------------------------


def _section(default: _T, mapping: object, path: str, problems: list[str]) -> _T:
    """`default` with the fields that `mapping` states; what cannot be read is added to `problems`."""
    if not isinstance(mapping, Mapping):
        problems.append(f"{path}: must be a table")
        return default
    cls: type[_T] = type(default)
    hints = get_type_hints(cls)
    return cls(
        **{name: _value(hints[name], mapping, name, getattr(default, name), problems, f"{path}.") for name in hints}
    )


def _value(kind: Any, mapping: Mapping[str, Any], name: str, default: Any, problems: list[str], path: str = "") -> Any:
    if name not in mapping:
        return default
    try:
        return _READERS[kind](mapping[name])
    except (ValueError, TypeError, ZoneInfoNotFoundError) as error:
        problems.append(f"{path}{name}: {error}")
        return default


def _ladders(mapping: object, problems: list[str]) -> Ladders:
    if not isinstance(mapping, Mapping):
        problems.append("ladder: must be a table")
        return Ladders()
    default = Ladders()
    return Ladders(
        **{
            track.value: _section(default.of(track), mapping.get(track.value, {}), f"ladder.{track}", problems)
            for track in Track
        }
    )


def _level_list(value: object, problems: list[str]) -> tuple[LevelTerms, ...]:
    default = _levels()
    if value is None:
        return default
    if not isinstance(value, list | tuple) or len(value) != len(default):
        problems.append(f"level: must list the {len(default)} levels 0 to {len(default) - 1}")
        return default
    return tuple(_section(default[n], item, f"level[{n}]", problems) for n, item in enumerate(value))


def _contradictions(policy: Policy) -> list[str]:
    """Values that are readable one by one but make no sense together."""
    problems = []
    if policy.hours.opens >= policy.hours.closes:
        problems.append("hours.opens: must be earlier than hours.closes")
    for track in Track:
        ladder = policy.ladders.of(track)
        steps = [ladder.yellow_overdue_wd, ladder.red_overdue_wd, ladder.presidium_overdue_wd]
        used = [step for step in steps if step]
        if used != sorted(set(used)):
            problems.append(f"ladder.{track}: yellow, red and presidium thresholds must grow")
    return problems


def _read_text(value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError("must be a text")
    return value


def _read_term(value: object) -> Term:
    if not isinstance(value, str):
        raise BadTerm(f"{value!r} is not a term such as 5wd, 3mo or 60d")
    return Term.parse(value)


def _read_count(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError("must be a whole number, 0 or more")
    return value


def _read_flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value


def _read_time(value: object) -> time:
    read = value if isinstance(value, time) else time.fromisoformat(_read_text(value))
    if read.tzinfo is not None:
        raise ValueError("must be a local time such as 08:30")
    return read


def _read_date(value: object) -> date:
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    return date.fromisoformat(_read_text(value))


def _read_list(read: Callable[[object], _T]) -> Callable[[object], tuple[_T, ...]]:
    def of(value: object) -> tuple[_T, ...]:
        if not isinstance(value, list | tuple):
            raise ValueError("must be a list")
        return tuple(read(item) for item in value)

    return of


_READERS: dict[Any, Callable[[object], Any]] = {
    bool: _read_flag,
    int: _read_count,
    str: _read_text,
    Term: _read_term,
    time: _read_time,
    date: _read_date,
    ZoneInfo: lambda value: ZoneInfo(_read_text(value)),
    tuple[int, ...]: _read_list(_read_count),
    tuple[str, ...]: _read_list(_read_text),
}


def _plain(section: Any) -> dict[str, Any]:
    return {item.name: _plain_value(getattr(section, item.name)) for item in fields(section)}


def _plain_value(value: Any) -> Any:
    if isinstance(value, tuple):
        return list(value)
    if isinstance(value, time):
        return f"{value:%H:%M}"
    if isinstance(value, Term | ZoneInfo):
        return str(value)
    return value
