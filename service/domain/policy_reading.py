"""Reading a policy out of parsed TOML or JSON and writing it back, with every bad key named at once."""

from collections.abc import Callable, Mapping
from dataclasses import fields
from datetime import date, datetime, time
from typing import Any, TypeVar, get_type_hints
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from service.domain.office_hours import Hours
from service.domain.policy import Ladders, LevelTerms, Limits, Policy, Terms, Track
from service.domain.working_days import BadTerm, Term

_T = TypeVar("_T")


class BadPolicy(ValueError):
    """The policy cannot be used; `problems` lists every bad key with its reason."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


def policy_from_mapping(mapping: Mapping[str, Any]) -> Policy:
    """Policy out of parsed TOML or JSON; raises BadPolicy with every bad key at once.

    Missing keys keep their default and unknown ones are ignored: both happen between nodes of different age.
    """
    problems: list[str] = []
    policy = Policy(
        effective_from=_value(date, mapping, "effective_from", Policy().effective_from, problems),
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


def policy_to_mapping(policy: Policy) -> dict[str, Any]:
    """The inverse of `policy_from_mapping`, in plain JSON values."""
    tracks = {track.value: _plain(policy.ladders.of(track)) for track in Track}
    return {
        "effective_from": policy.effective_from.isoformat(),
        "hours": _plain(policy.hours),
        "terms": _plain(policy.terms),
        "limits": _plain(policy.limits),
        "ladder": tracks,
        "level": [_plain(level) for level in policy.levels],
    }


def unknown_keys(mapping: Mapping[str, Any]) -> tuple[str, ...]:
    """Keys of a policy file that nothing reads, worth a warning: most likely a slip of the pen."""
    return tuple(_unknown(mapping, policy_to_mapping(Policy()), ""))


def _unknown(mapping: Mapping[str, Any], known: Mapping[str, Any], path: str) -> list[str]:
    found: list[str] = []
    for key, value in mapping.items():
        if key not in known:
            found.append(path + key)
        elif isinstance(value, Mapping) and isinstance(known[key], Mapping):
            found += _unknown(value, known[key], f"{path}{key}.")
    return found


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
    default = Policy().levels
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
