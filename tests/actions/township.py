"""A founded town on a hub, with the people who act in it; the hub keeps its books on SQLite or PostgreSQL.

A hub on SQLite exists in tests only: what it does is the same, and it starts in milliseconds.
"""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from config.settings import NodeRole, Settings
from service.actions import escalating, following_up, founding, handling, master_data, projecting, registering, routing
from service.actions.following_up import FollowUpForm
from service.actions.handling import ReplyForm
from service.actions.registering import NewOpinion, Receipt
from service.actions.routing import Dispatch
from service.domain.opinions import Opinion, State
from service.domain.people import Actor, Role
from service.domain.town import Town
from service.jobs import NoJobs
from service.node import Node, build_node
from service.store import node_facts, schema
from service.store.unit import Unit

TOWN = "445222113"
QIANDONG, HUMEI = "445222113201", "445222113202"
MONDAY = datetime(2026, 11, 16, 2, 0, tzinfo=UTC)  # 10:00 on a working day whose year's notice is out
HOUR, DAY = timedelta(hours=1), timedelta(days=1)

# One account for each role; the second of a kind belongs to another station or unit.
PEOPLE = {
    "deputy": Actor(account="d1", name="钱代表", role=Role.DEPUTY, station="qd", deputy="qian"),
    "liaison": Actor(account="l1", name="林联络", role=Role.LIAISON, station="qd"),
    "other_liaison": Actor(account="l2", name="吴联络", role=Role.LIAISON, station="zx"),
    "chief": Actor(account="c1", name="陈站长", role=Role.CHIEF, station="qd"),
    "other_chief": Actor(account="c2", name="郑站长", role=Role.CHIEF, station="zx"),
    "clerk": Actor(account="k1", name="黄受理", role=Role.CLERK),
    "chair": Actor(account="z1", name="许主席", role=Role.CHAIR),
    "presidium": Actor(account="z2", name="主席团", role=Role.PRESIDIUM),
    "handler": Actor(account="h1", name="谢经办", role=Role.HANDLER, unit="water"),
    "other_handler": Actor(account="h2", name="何经办", role=Role.HANDLER, unit="roads"),
    "unit_head": Actor(account="u1", name="罗所长", role=Role.UNIT_HEAD, unit="water"),
    "other_head": Actor(account="u2", name="江主任", role=Role.UNIT_HEAD, unit="roads"),
    "auditor": Actor(account="a1", name="审计员", role=Role.AUDITOR),
    "admin": Actor(account="m1", name="管理员", role=Role.ADMIN),
    "system": Actor(account="system", name="系统", role=Role.SYSTEM),
}


@dataclass(slots=True)
class MovingClock:
    """A clock that stands still until it is moved."""

    at: datetime = MONDAY

    def __call__(self) -> datetime:
        return self.at

    def forward(self, by: timedelta) -> None:
        self.at += by


@dataclass(slots=True, kw_only=True)
class Township:
    """A node with its clock. Each method is one unit of work by one person, as a page would open it."""

    node: Node
    clock: MovingClock
    forms: Iterator[int] = field(default_factory=lambda: iter(range(1, 1_000_000)))

    @contextmanager
    def acting(self, who: str) -> Iterator[Unit]:
        with self.node.unit(PEOPLE[who]) as unit:
            yield unit

    def do(self, who: str, action: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        with self.acting(who) as unit:
            return action(unit, *args, **kwargs)

    def opinion(self, key: str) -> Opinion:
        with self.acting("system") as unit:
            return unit.opinion(key)

    def state(self, key: str) -> State:
        return self.opinion(key).state

    def snapshot(self) -> Town:
        with self.node.reading() as connection:
            return self.node.town(connection)

    def as_station(self) -> "Township":
        """The same database looked at by a node that is a station of this hub; the hub stays closed from then on."""
        with self.node.engine.begin() as connection:
            node_facts.put(connection, "hub_node", self.node.identity.node)
        self.node.engine.dispose()
        folder = self.node.settings.data_dir
        return open_town(Settings(role=NodeRole.STATION, data_dir=folder), self.clock)

    # --- a case, step by step; every default is a valid form -----------------------------------------------------

    def form(self, **changes: Any) -> NewOpinion:
        given = {"form": f"form-{next(self.forms)}", "title": "村口排水沟堵塞", "body": "下雨就漫水,走路都要绕开。",
                 "area": QIANDONG, "category": "water"}  # fmt: skip
        return NewOpinion(**(given | changes))

    def register(self, who: str = "liaison", station: str = "qd", **changes: Any) -> str:
        receipt: Receipt = self.do(who, registering.register, self.form(**changes), station)
        return receipt.opinion

    def route_direct(self, key: str, who: str = "clerk") -> None:
        self.do(who, routing.route_direct, key, "村规民约第三条")

    def answer(self, key: str, who: str = "chief") -> None:
        self.do(who, routing.answer, key, text="明天上午清通。", outcome="A", way="face")

    def dispatch(self, key: str, who: str = "clerk", unit: str = "water", **changes: Any) -> str:
        number: str = self.do(who, routing.dispatch, key, dispatch_form(unit=unit, **changes))
        return number

    def transfer(self, key: str, who: str = "chair", unit: str = "water", **changes: Any) -> str:
        given = {"unit": unit, "important": True, "letter_no": "钱人〔2026〕1号"}
        number: str = self.do(who, routing.transfer, key, dispatch_form(**(given | changes)))
        return number

    def explain(self, key: str, who: str = "clerk", reason: str = "N1", **changes: Any) -> None:
        given = {"channel": "人民法院", "talk": "已当面说明", "confirmed": True, "attempts": 0}
        self.do(who, routing.explain, key, reason=reason, **(given | changes))

    def sign(self, key: str, who: str = "handler") -> None:
        self.do(who, handling.sign, key)

    def progress(self, key: str, who: str = "handler") -> None:
        self.do(who, handling.report_progress, key, "已派人现场查看")

    def reply(self, key: str, who: str = "unit_head", **changes: Any) -> None:
        given = {"text": "已清通。", "outcome": "A", "evidence": "照片三张"}
        self.do(who, handling.submit_reply, key, ReplyForm(**(given | changes)))

    def reject(self, key: str, who: str = "clerk") -> None:
        self.do(who, handling.reject_reply, key, "照片不清楚")

    def deliver(self, key: str, who: str = "clerk") -> str:
        number: str = self.do(who, handling.deliver_reply, key, way="phone", proof="通话记录")
        return number

    def follow_up(self, key: str, who: str = "liaison", **changes: Any) -> None:
        given = {"way": "phone", "reached": True, "solved": True, "rating": "satisfied"}
        self.do(who, following_up.follow_up, key, FollowUpForm(**(given | changes)))

    def close(self, key: str, who: str = "liaison") -> None:
        self.do(who, following_up.close, key, "")

    def sweep(self) -> escalating.Swept:
        return escalating.sweep(self.node)

    def fold(self) -> projecting.Folded:
        return projecting.sweep(self.node)

    # --- cases that stand in a given state -------------------------------------------------------------------------

    def case_in(self, state: State) -> str:
        """A new opinion that has come as far as this state, the ordinary way."""
        key = self.register()
        for step in _WAYS[state]:
            step(self, key)
        assert self.state(key) is state
        return key

    def redispatched(self, times: int) -> str:
        """An opinion opened again this many times, waiting for the next dispatch."""
        key = self.register()
        for turn in range(times):
            self.dispatch(key, who="clerk" if turn < 2 else "chair")
            self.sign(key)
            self.reply(key)
            self.deliver(key)
            self.do("clerk", following_up.reopen, key, "群众说没有解决")
        return key


def dispatch_form(**changes: Any) -> Dispatch:
    given: dict[str, Any] = {"unit": "water", "requirement": "五日内清通并答复", "duty_basis": "排水设施管理"}
    return Dispatch(**(given | changes))


_SENT = (Township.dispatch,)
_HANDLED = (*_SENT, Township.sign)
_ANSWERED = (*_HANDLED, Township.reply)
_DELIVERED = (*_ANSWERED, Township.deliver)

_WAYS: dict[State, tuple[Callable[[Township, str], Any], ...]] = {
    State.REGISTERED: (),
    State.DIRECT: (Township.route_direct,),
    State.DISPATCHED: _SENT,
    State.HANDLING: _HANDLED,
    State.REPLY_REVIEW: _ANSWERED,
    State.REPLIED: _DELIVERED,
    State.CLOSED: (*_DELIVERED, Township.follow_up, Township.close),
    State.EXPLAINED: (Township.explain,),
    State.REOPENED: (*_DELIVERED, lambda town, key: town.do("clerk", following_up.reopen, key, "没有解决")),
}
REACHABLE = tuple(_WAYS)  # the states that this release's actions lead to


# --- making one ------------------------------------------------------------------------------------------------


def hub_settings(folder: Path, url: str | None = None) -> Settings:
    """Without an address: SQLite, which a hub in earnest refuses."""
    if url is not None:
        return Settings(role=NodeRole.HUB, data_dir=folder, database_url=SecretStr(url))
    return Settings.model_construct(role=NodeRole.HUB, data_dir=folder)


def open_town(settings: Settings, clock: MovingClock | None = None) -> Township:
    """A town that was founded before."""
    clock = clock or MovingClock()
    return Township(node=build_node(settings, jobs=NoJobs(), now=clock), clock=clock)


def found_town(settings: Settings) -> Township:
    """A new town: two stations, three units, one deputy."""
    town = open_town(settings)
    schema.upgrade(town.node.engine)
    projecting.rebuild_if_outdated(town.node)
    town.do("clerk", founding.found, TOWN, "钱坑镇")
    with town.acting("clerk") as unit:
        for code, name, area in (("zx", "中心站", QIANDONG), ("qd", "钱东村站", QIANDONG)):
            form = master_data.StationForm(name=name, tier="station", area=area, status="open",
                                           opened_on=date(2019, 1, 1))  # fmt: skip
            master_data.state_station(unit, code, form)
        for code, name in (("water", "水利所"), ("roads", "公路站"), ("party", "党政办")):
            master_data.state_unit(unit, code, master_data.UnitForm(name=name, kind="institute", duties=("排水",)))
    with town.acting("clerk") as unit:
        form = master_data.DeputyForm(name="钱代表", levels=("town",), district="第三选区", station="qd")
        master_data.state_deputy(unit, "qian", form)
    return town


def copy_folder(template: Path, folder: Path) -> Path:
    """A node's folder as it lay when the node was closed: same keys, same database."""
    shutil.copytree(template, folder)
    return folder
