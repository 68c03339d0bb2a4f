"""What the measurements share: nodes in a scratch folder, a founded town, and realistic facts in the quantity asked."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
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
EVENTS_PER_OPINION = 4
FIRST_DAY = datetime(2026, 8, 17, 1, 0, tzinfo=UTC)

_APPENDED_AT_ONCE = 2000
# What people say at a desk, to be mixed anew for every fact: texts that repeat would flatter the compression.
_SPOKEN = """
村口 小学门口 老祠堂 水渠 路灯 排水沟 河堤 桥头 晒谷场 垃圾屋 自来水 电线杆 变压器 公交站 卫生站
篮球场 田埂 山塘 泵房 化粪池 堵了 塌了 坏了 漏水 断电 积水 发臭 裂开 松动 生锈 停了 漫出来 没人管
没人清 太窄 太暗 太陡 盖板不见 铁丝露出来 被车压断 半个多月 三四天 从去年冬天 台风过后 每逢下雨
一到晚上 赶集那天 开学以后 春耕前 收割时 前几任 自从修路 十多户 二十来户 全村 老人 孩子 骑摩托的
上学的 种田的 开店的 外嫁女 五保户 护林员 清洁工 组长 邻居 包工头 老党员 过路司机 退休教师
走路要绕开 差点摔倒 晚上不敢出门 菜地淹了 摩托滑倒两回 水压上不来 只好自己掏钱 写过报告 打过电话
上次答应过 来看过一次 希望 请 最好 能不能 尽快 先 马上 下个月前 雨季以前 年底以前 派人 清通 修好
换一盏 加盖板 装护栏 拓宽 硬化 疏浚 定期清理 告诉我们哪天来 贴个通知 把电话留下 给个说法 列入计划
不要再拖 大家愿意出工 可以捐一点 听听我们的意见 现场看一看
"""
_WORDS = tuple(_SPOKEN.split())


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


def said(dice: random.Random, words: int) -> str:
    """Words in a new order, with the punctuation of somebody who types fast."""
    return "".join(dice.choice(_WORDS) + (",", "。", "", "")[n % 4] for n in range(words))


def opinion_id(number: int) -> str:
    """32 hex digits that look as random as those of a real one, and are the same in every run."""
    return hashlib.sha256(f"opinion {number}".encode()).hexdigest()[:32]


def registered(number: int) -> f.OpinionRegistered:
    dice = random.Random(f"registered {number}")
    return f.OpinionRegistered(
        reg_no=f"QD-2026-{number:04d}", tracking=f"{dice.getrandbits(256):064x}", station=STATION, source="reception",
        title=said(dice, 5), body=said(dice, 30), wish=said(dice, 8), category="water", area=VILLAGE,
        affected=1 + number % 40, reporter=f"{dice.getrandbits(128):032x}", notice_version="2026-1",
    )  # fmt: skip


def at_the_station(number: int) -> tuple[f.Fact, ...]:
    """An opinion's life as far as a station alone may write it: four facts, in the mix of an ordinary quarter."""
    dice, first = random.Random(f"handled {number}"), registered(number)
    routed, answer = f.RoutedDirect(basis=said(dice, 60)), f.Answered(text=said(dice, 70), outcome="A", way="face")
    match number % 4:
        case 0:
            return first, routed, answer, f.FollowedUp(way="phone", reached=True, solved=True, note=said(dice, 60))
        case 1:
            return first, routed, answer, f.Rated(overall="fair", reason=said(dice, 50))
        case 2:
            return first, routed, answer, f.Closed(note=said(dice, 60))
    return first, f.InfoRequested(questions=(said(dice, 60),)), f.InfoSupplied(answer=said(dice, 70)), routed


def at_the_hub(number: int) -> tuple[f.Fact, ...]:
    """An opinion's life with a unit: four facts, most cases still open."""
    dice, first = random.Random(f"handled {number}"), registered(number)
    sent = f.Dispatched(
        route="assign", dispatch_no=f"JB-2026-{number:04d}", unit=UNIT, requirement=said(dice, 60),
        duty_basis=said(dice, 10), term="5wd",
    )  # fmt: skip
    if number % 4:
        return first, sent, f.Signed(), f.Progressed(text=said(dice, 70))
    return first, sent, f.Signed(), f.ReplySubmitted(text=said(dice, 70), outcome="A", evidence=said(dice, 10))


def drafts(life: Callable[[int], tuple[f.Fact, ...]], numbers: range, author: Actor) -> Iterator[EventDraft]:
    """The facts of these opinions, in the order in which a desk writes them down over a quarter."""
    who = f"{author.role.value}|{author.account}|{author.name}"
    for number in numbers:
        began = FIRST_DAY + timedelta(minutes=25) * (number % 5000)
        for step, fact in enumerate(life(number)):
            yield EventDraft(
                kind=fact.KIND, version=fact.VERSION, subject=Subject(f"opinion/{opinion_id(number)}"),
                body=codec.encode(fact), occurred_at=began + timedelta(hours=step), author=who,
            )  # fmt: skip


def append(node: Node, scope: Scope, wanted: Iterable[EventDraft]) -> None:
    """Append the drafts to the node's own stream, some at a time: a million need not stand in memory."""
    drafts = iter(wanted)
    while some := list(islice(drafts, _APPENDED_AT_ONCE)):
        with node.engine.begin() as connection:
            node.ledger.append(connection, scope, some)


def mark(node: Node, wanted: Sequence[EventDraft]) -> None:
    """Let the fold sweep find what the drafts touch, as if they had just arrived."""
    subjects = sorted({draft.subject for draft in wanted})
    for start in range(0, len(subjects), _APPENDED_AT_ONCE):
        with node.engine.begin() as connection:
            node.ledger.mark_pending(connection, subjects[start : start + _APPENDED_AT_ONCE])
