"""工作台: the day of a station's desk. What to do, what is due by the same rules as at the hub, what has gone out."""

from __future__ import annotations

from dataclasses import dataclass

from flask import Blueprint, render_template

from service.domain.casework import standing
from service.domain.opinions import OPEN
from service.domain.people import Actor, Step
from service.store import queries
from service.store.queries import OpinionFilter, OpinionRow, Order
from service.web import desk
from service.web.desk import Look
from service.web.opinions import warning
from service.web.words import N_

DUE_SHOWN = 10
TO_FOLLOW_UP_SHOWN = 8

pages = Blueprint("workbench", __name__)
desk.signed_in_only(pages)


def _has_desk(actor: Actor) -> bool:
    """A station's people anywhere; at the hub the others begin elsewhere."""
    return actor.may(Step.SEE_OPINIONS) and (actor.station is not None or not desk.node().is_hub)


NAVIGATION = desk.NavItem(endpoint="workbench.show", label=N_("工作台"), key="g", shown=_has_desk)


@dataclass(frozen=True, slots=True, kw_only=True)
class DueRow:
    """`fired`: the highest card of the clock that runs now; `warning`: a higher level that the rules have reached."""

    row: OpinionRow
    fired: int | None
    warning: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """The figures on top."""

    registered_today: int
    held_today: queries.ReceptionCount
    held_this_month: queries.ReceptionCount
    to_follow_up: int
    to_answer: int
    open: int
    overdue: int


@pages.get("/workbench")
def show() -> str:
    actor = desk.actor()
    actor.require(Step.SEE_OPINIONS)
    with desk.looking() as look:
        station = desk.desk_station(look.town)
        mine = OpinionFilter.within(actor).narrowed(station=station)
        to_follow_up = queries.list_opinions(
            look.connection, mine.narrowed(states=queries.TO_FOLLOW_UP), order=Order.DUE, limit=TO_FOLLOW_UP_SHOWN
        )
        return render_template(
            "station/workbench.html", day=_day(look, mine, station), due=_due(look, mine),
            to_follow_up=to_follow_up.rows, town=look.town, today=look.today, station=look.town.station(station),
        )  # fmt: skip


def _day(look: Look, mine: OpinionFilter, station: str) -> Day:
    connection, today = look.connection, look.today
    midnight = look.now.astimezone(look.policy.hours.zone).replace(hour=0, minute=0, second=0, microsecond=0)
    states = queries.count_by_state(connection, mine)

    def held(since_day: int) -> queries.ReceptionCount:
        return queries.count_receptions(connection, station=station, since=today.replace(day=since_day), until=today)

    return Day(
        registered_today=queries.count_opinions(connection, mine.narrowed(registered_from=midnight)),
        held_today=held(today.day), held_this_month=held(1),
        to_follow_up=sum(states.get(state, 0) for state in queries.TO_FOLLOW_UP),
        to_answer=sum(states.get(state, 0) for state in queries.TO_ANSWER),
        open=sum(count for state, count in states.items() if state in OPEN),
        overdue=queries.count_opinions(connection, mine.narrowed(overdue_at=look.now, states=OPEN)),
    )  # fmt: skip


def _due(look: Look, mine: OpinionFilter) -> list[DueRow]:
    """Soonest first, with the station's own warning: the rules are the hub's, computed here, also offline."""
    found = queries.list_opinions(look.connection, mine.narrowed(states=OPEN), order=Order.DUE, limit=DUE_SHOWN)
    return [_due_row(look, row) for row in found.rows if row.due_on is not None]


def _due_row(look: Look, row: OpinionRow) -> DueRow:
    opinion = look.opinion(row.id, desk.actor())
    now = standing(opinion, look.town)
    fired = max((int(level) for level, _mark in now.fired), default=None)
    return DueRow(row=row, fired=fired, warning=warning(now, look.now))
