"""At a county's hub: which townships it gathers, and what it tells them all."""

from __future__ import annotations

import re

from service.actions.routing import needed
from service.domain import facts as f
from service.domain.people import Step
from service.domain.refusals import Invalid, NotFound, Refused
from service.domain.town import Town
from service.store.unit import Unit
from sync.events import Scope

TOWN_LEVEL = "town"
NAME_MAX, TITLE_MAX, TEXT_MAX = 60, 60, 2000
_CODE = re.compile(r"\d{9}")


def townships(town: Town) -> dict[str, f.AreaStated]:
    """The townships of a county, by code."""
    return {code: area for code, area in town.areas.items() if area.level == TOWN_LEVEL}


def state_township(unit: Unit, code: str, name: str) -> None:
    """Enter a township, or correct its name. Raises NotAllowed, Invalid, Refused at another level's hub."""
    unit.actor.require(Step.EDIT_MASTER_DATA)
    _require_county(unit)
    words = needed("township_name", name, NAME_MAX)
    county = unit.node.settings.town
    if not (_CODE.fullmatch(code) and code.startswith(county)):
        raise Invalid("township", "not_of_county", county=county)
    fact = f.AreaStated(code=code, name=words, name_status="confirmed", level=TOWN_LEVEL, parent=county)
    unit.record(f"area/{code}", fact, scope=unit.public_scope)


def publish_notice(unit: Unit, title: str, text: str) -> str:
    """Tell all townships' hubs; gives the notice's id. Raises NotAllowed, Invalid, Refused at another level's hub."""
    unit.actor.require(Step.EDIT_MASTER_DATA)
    _require_county(unit)
    notice = unit.new_id()
    fact = f.NoticePublished(title=needed("notice_title", title, TITLE_MAX), text=needed("notice_text", text, TEXT_MAX))
    unit.record(f"notice/{notice}", fact, scope=unit.public_scope)
    return notice


def scope_of(unit: Unit, code: str) -> Scope:
    """Where this township writes its sums. Raises NotFound for one that was not entered."""
    if code not in townships(unit.town):
        raise NotFound("township", code)
    return unit.node.sums_scope(code)


def _require_county(unit: Unit) -> None:
    if not (unit.is_hub and unit.node.is_county):
        raise Refused("county_only")
