"""What the measurements share: nodes in a scratch folder, a founded town, and realistic facts in the quantity asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from config.settings import NodeRole, Settings
from service.actions import founding
from service.actions.master_data import StationForm, UnitForm, state_station, state_unit
from service.domain import facts as f
from service.domain.people import Actor, Role
from service.jobs import NoJobs
from service.node import Node, build_node
from service.store import codec, schema
from sync.events import EventDraft, Scope, Subject

TOWN = "445222113"
VILLAGE = "445222113201"
STATION = "qd"
UNIT = "water"
CLERK = Actor(account="clerk", name="黄受理", role=Role.CLERK)
LIAISON = Actor(account="liaison", name="林联络", role=Role.LIAISON, station=STATION)
HANDLER = Actor(account="handler", name="陈经办", role=Role.HANDLER, unit=UNIT)

MONDAY = datetime(2026, 11, 16, 2, 0, tzinfo=UTC)  # 10:00 in the town
FIRST_DAY = datetime(2026, 8, 17, 1, 0, tzinfo=UTC)

_WORDS = "村口到小学那一段排水沟堵了半个多月,一下雨水就漫到路面上,老人和孩子走路都要绕开,上次报过一回没有人来看。"


@dataclass(slots=True)
class Clock:
    """A clock that stands where it is put."""

    at: datetime = MONDAY

    def __call__(self) -> datetime:
        return self.at


def open_hub(folder: Path, database_url: str, now: Callable[[], datetime]) -> Node:
    """A hub on PostgreSQL with its town founded, one station and one unit."""
    node = _open(Settings(role=NodeRole.HUB, database_url=database_url, data_dir=folder), now)
    with node.unit(CLERK) as unit:
        founding.found(unit, TOWN, "钱坑镇")
    with node.unit(CLERK) as unit:
        state_station(unit, STATION, StationForm(
            name="钱东村联络站", tier="station", area=VILLAGE, status="open", opened_on=FIRST_DAY.date(),
        ))  # fmt: skip
        state_unit(unit, UNIT, UnitForm(name="水利所", kind="institute", duties=("排水",)))
    return node


def open_station(folder: Path, now: Callable[[], datetime]) -> Node:
    """A station on SQLite that has not met its hub yet."""
    return _open(Settings(role=NodeRole.STATION, data_dir=folder), now)


def _open(settings: Settings, now: Callable[[], datetime]) -> Node:
    node = build_node(settings, jobs=NoJobs(), now=now)
    schema.upgrade(node.engine)
    return node


# --- facts -----------------------------------------------------------------------------------------------------


def registered(number: int) -> f.OpinionRegistered:
    return f.OpinionRegistered(
        reg_no=f"QD-2026-{number:04d}", tracking=f"{number:064x}", station=STATION, source="reception",
        title=f"村口排水沟堵塞 {number}", body=_WORDS * 2, wish="尽快清通,告诉我们哪天来。", category="water",
        area=VILLAGE, affected=1 + number % 40, reporter=f"{number:032x}", notice_version="2026-1",
    )  # fmt: skip


def at_the_station(number: int) -> tuple[f.Fact, ...]:
    """An opinion's life as far as a station alone may write it: four facts, in the mix of an ordinary quarter."""
    first = registered(number)
    routed, answer = f.RoutedDirect(basis=_WORDS * 4), f.Answered(text=_WORDS * 5, outcome="A", way="face")
    reached = f.FollowedUp(way="phone", reached=True, solved=True, note=_WORDS * 4)
    match number % 4:
        case 0:
            return first, routed, answer, reached
        case 1:
            return first, f.InfoRequested(questions=(_WORDS * 4,)), f.InfoSupplied(answer=_WORDS * 4), routed
        case 2:
            return first, routed, answer, f.Closed(note=_WORDS * 4)
    return first, f.InfoRequested(questions=(_WORDS * 4,)), f.InfoSupplied(answer=_WORDS * 4), f.Rated(overall="fair")


def at_the_hub(number: int) -> tuple[f.Fact, ...]:
    """An opinion's life with a unit: four facts, most of them still open."""
    first = registered(number)
    sent = f.Dispatched(
        route="assign", dispatch_no=f"JB-2026-{number:04d}", unit=UNIT, requirement=_WORDS * 4, duty_basis="排水设施管理",
        term="5wd",
    )  # fmt: skip
    signed, progress = f.Signed(), f.Progressed(text=_WORDS * 5)
    reply = f.ReplySubmitted(text=_WORDS * 5, outcome="A", evidence="照片三张")
    match number % 4:
        case 3:
            return first, sent, signed, reply
    return first, sent, signed, progress


def drafts(life: Callable[[int], tuple[f.Fact, ...]], numbers: range, author: Actor) -> Iterator[EventDraft]:
    """The facts of these opinions, in the order in which a desk writes them down over a quarter."""
    who = f"{author.role.value}|{author.account}|{author.name}"
    for number in numbers:
        began = FIRST_DAY + timedelta(minutes=25) * (number % 5000)
        for step, fact in enumerate(life(number)):
            yield EventDraft(
                kind=fact.KIND, version=fact.VERSION, subject=Subject(f"opinion/{number:032x}"),
                body=codec.encode(fact), occurred_at=began + timedelta(hours=step), author=who,
            )  # fmt: skip


def record(node: Node, scope: Scope, wanted: list[EventDraft], batch: int = 2000) -> None:
    """Append the drafts to the node's ledger and mark what they touch, as if they had just arrived."""
    for start in range(0, len(wanted), batch):
        part = wanted[start : start + batch]
        with node.engine.begin() as connection:
            node.ledger.append(connection, scope, part)
            node.ledger.mark_pending(connection, sorted({draft.subject for draft in part}))
