"""Two weeks of office life before the demo's first page, so that no board is empty. People and matters are made up.

The clock file is set back and walks forward, one working day after the other, to the real present; what people do each
day goes through the same actions as on the pages, and the stations exchange with the hub over HTTP every morning.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import date, timedelta

from config.clock import system_now
from service.actions import escalating, following_up, handling, routing
from service.actions.registering import NewOpinion, register
from service.actions.syncing import exchange_now
from service.demo import town
from service.demo.township import HUB, Township
from service.domain.office_hours import local_date, opening
from service.domain.people import Actor, Reporter
from service.domain.working_days import WorkCalendar
from service.node import Node
from service.store.published_calendar import published_years

WORKING_DAYS = 10


@dataclass(slots=True, kw_only=True)
class Office:
    """The nodes opened in this process, and the opinions by the name this file gives them."""

    nodes: dict[str, Node]
    opinions: dict[str, str] = field(default_factory=dict)

    def register(self, station: str, name: str, title: str, **more: object) -> None:
        fields = {"source": "reception", "area": _area(station), "body": f"{title},请有关单位看一看。(虚构)"}
        new = NewOpinion(form=uuid.uuid4().hex, title=f"{title}(虚构)", **(fields | more))  # type: ignore[arg-type]
        with self.nodes[station].unit(_who(f"{station}.liaison")) as unit:
            self.opinions[name] = register(unit, new, station).opinion

    def dispatch(self, name: str, unit_code: str, requirement: str) -> None:
        form = routing.Dispatch(unit=unit_code, requirement=requirement, duty_basis="属本单位职责范围(虚构)")
        with self.nodes[HUB].unit(_who("clerk")) as unit:
            routing.dispatch(unit, self.opinions[name], form)

    def sign(self, name: str, username: str) -> None:
        with self.nodes[HUB].unit(_who(username)) as unit:
            handling.sign(unit, self.opinions[name])

    def reply(self, name: str, username: str, text: str) -> None:
        form = handling.ReplyForm(text=text, outcome="A", evidence="现场照片(虚构)")
        with self.nodes[HUB].unit(_who(username)) as unit:
            handling.submit_reply(unit, self.opinions[name], form)

    def deliver(self, name: str) -> None:
        with self.nodes[HUB].unit(_who("clerk")) as unit:
            handling.deliver_reply(unit, self.opinions[name], way="phone", proof="通话记录(虚构)")

    def close(self, name: str, station: str) -> None:
        asked = following_up.FollowUpForm(way="phone", reached=True, solved=True, rating="satisfied")
        with self.nodes[station].unit(_who(f"{station}.liaison")) as unit:
            following_up.follow_up(unit, self.opinions[name], asked)
            following_up.close(unit, self.opinions[name])

    def exchange(self) -> None:
        for home, node in self.nodes.items():
            if home != HUB:
                exchange_now(node)


# What happens, by working day of the two weeks. The water office never looks at the drain.
LIFE: tuple[tuple[int, Callable[[Office], None]], ...] = (
    (0, lambda office: office.register("qd", "drain", "村口排水沟堵塞", affected=36, **_told_by("蔡阿婆(虚构)"))),
    (0, lambda office: office.register("zx", "lamp", "村道路灯不亮")),
    (1, lambda office: office.dispatch("drain", "water", "请疏通并答复群众。")),
    (1, lambda office: office.dispatch("lamp", "village-qd", "请修复路灯。")),
    (2, lambda office: office.sign("lamp", "village")),
    (4, lambda office: office.reply("lamp", "village", "已更换路灯三盏。(虚构)")),
    (5, lambda office: office.deliver("lamp")),
    (5, lambda office: office.register("qn", "canal", "灌溉水渠渗漏", urgency="urgent")),
    (6, lambda office: office.close("lamp", "zx")),
    (6, lambda office: office.dispatch("canal", "water", "请勘查渗漏处。")),
    (7, lambda office: office.sign("canal", "water")),
    (8, lambda office: office.reply("canal", "water.head", "已修补渗漏处两段。(虚构)")),
    (9, lambda office: office.register("qd", "smoke", "焚烧秸秆烟大", secrecy="unit", **_told_by("某村民(虚构)"))),
)


def live_through(township: Township) -> int:
    """Play the two weeks and leave the clock at the present; gives the number of opinions.

    The hub must serve and the stations be enrolled; their own processes need not run yet.
    """
    with ExitStack() as opened:
        homes = (HUB, *township.stations)
        office = Office(nodes={home: opened.enter_context(township.node(home)) for home in homes})
        for number, day in enumerate(_working_days_until(local_date(system_now()))):
            township.clock.set_to(opening(day) + timedelta(minutes=35))
            office.exchange()
            escalating.sweep(office.nodes[HUB])
            for when, what in LIFE:
                if when == number:
                    what(office)
            office.exchange()
        township.clock.set_to(system_now())
        return len(office.opinions)


def _working_days_until(today: date) -> Iterator[date]:
    """The last working days before today, earliest first."""
    calendar = WorkCalendar.of(published_years())
    for back in range(WORKING_DAYS, 0, -1):
        yield calendar.previous_workdays(today, back).day


def _told_by(name: str) -> dict[str, object]:
    return {"reporter": Reporter(name=name, phone="13800000000"), "notice_read": True}


def _who(username: str) -> Actor:
    """The account's actor; deeds are shown under its name."""
    account = next(one for one in town.accounts() if one.username == username)
    station = None if account.home == HUB else account.home
    return Actor(account="demo", name=account.name, role=account.role, station=station, unit=account.unit or None)


def _area(station: str) -> str:
    return str(next(row["area"] for row in town.sample()["station"] if row["code"] == station))
