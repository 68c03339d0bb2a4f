"""Founding a town, or a county, at its hub: publish what every node below needs before its work can begin."""

from __future__ import annotations

import tomllib
from importlib import resources
from typing import Any

from service.domain import facts as f
from service.domain.calendar_years import CalendarYear
from service.domain.people import Step
from service.domain.policy_reading import policy_from_mapping, policy_to_mapping
from service.domain.refusals import Refused
from service.store.published_calendar import published_years
from service.store.unit import Unit


def found(unit: Unit, town: str, name: str) -> int:
    """Publish town, areas, calendar, policy and codes; gives the number of facts.

    Runs once: a town that is founded already is refused, since its data have been edited since.
    """
    unit.actor.require(Step.EDIT_MASTER_DATA)
    if not unit.is_hub:
        raise Refused("hub_only")
    if unit.town.stated is not None:
        raise Refused("town_founded")
    facts = [*_town(town, name), *_calendar(), *_policy()]
    if not unit.node.is_county:  # it handles no opinions: townships are entered as they join
        facts += [*_areas(town), *_codes()]
    for subject, fact in facts:
        unit.record(subject, fact, scope=unit.public_scope)
    return len(facts)


def _data(name: str) -> dict[str, Any]:
    return tomllib.loads(resources.files("config").joinpath(name).read_text(encoding="utf-8"))


def _town(code: str, name: str) -> list[tuple[str, f.Fact]]:
    settings = _data("codes.toml")["town"] | {"code": code, "name": name}
    return [(f"town/{code}", f.TownStated(**settings))]


def _areas(town: str) -> list[tuple[str, f.Fact]]:
    """The statistical codes of the town; a name is shown as its code until a clerk confirms it."""
    areas = {code: name for code, name in _data("codes.toml")["areas"].items() if code.startswith(town)}
    return [(f"area/{code}", f.AreaStated(code=code, name=name or _unnamed(code), parent=town, level=_level(code)))
            for code, name in areas.items()]  # fmt: skip


def _level(code: str) -> str:
    return "village" if code[-3] != "0" else "residents"


def _unnamed(code: str) -> str:
    return f"{'村' if _level(code) == 'village' else '居委会'}{code[-3:]}"


def _codes() -> list[tuple[str, f.Fact]]:
    data = _data("codes.toml")
    reasons: list[tuple[str, f.Fact]] = [(f"reason/{r['code']}", f.ReasonStated(**r)) for r in data["reason"]]
    ranked = enumerate(data["category"], start=1)
    return reasons + [(f"category/{c['code']}", f.CategoryStated(rank=rank, **c)) for rank, c in ranked]


def _calendar() -> list[tuple[str, f.Fact]]:
    return [(f"calendar/{year.year}", calendar_fact(year)) for year in published_years()]


def calendar_fact(year: CalendarYear) -> f.CalendarStated:
    return f.CalendarStated(year=year.year, status=year.status.value, source=year.source, off=year.off,
                            work=year.work, names=dict(year.names))  # fmt: skip


def _policy() -> list[tuple[str, f.Fact]]:
    policy = policy_from_mapping(_data("policy.toml"))
    return [("policy/town", f.PolicyStated(effective_from=policy.effective_from, terms=policy_to_mapping(policy)))]
