"""A busy fortnight: opinions in every state a page can show, recorded by the actions behind the pages."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from service.actions import escalating, following_up, handling, registering, routing
from service.actions.following_up import FollowUpForm
from service.actions.handling import ReplyForm
from service.actions.registering import NewOpinion, Receipt
from service.actions.routing import Dispatch
from service.demo import town
from service.domain.people import Actor, Reporter
from tests.browser.stage import HUB, Stage

QIANDONG = "445222113201"
REPORTER = Reporter(name="欧阳阿婆(虚构)", phone="13800005678", address="钱东村样本巷5号")
# As long as the form lets it be, and a word that no line can break: neither may push a page sideways.
LONG_TITLE = (
    "村道K0+300至K1+850段路面破损严重且夜间无照明,学生上下学及摩托车通行多次摔伤,请求修复路面并加装路灯事项(第二次反映)"
)
UNBROKEN = "https://example.invalid/" + "a" * 120


@dataclass(slots=True)
class Cases:
    """Receipts by a name that says what the case is there for."""

    stage: Stage
    made: dict[str, Receipt] = field(default_factory=dict)

    def id(self, name: str) -> str:
        return self.made[name].opinion

    def code(self, name: str) -> str:
        return self.made[name].tracking_code

    def register(self, name: str, title: str, **values: Any) -> None:
        usual = {"body": f"{title}。已经好几天了,请镇里来人看看。", "area": QIANDONG, "category": "water"}
        new = NewOpinion(form=f"case-{name}", title=title, **{**usual, **values})
        with self.stage.stations["qd"].node.unit(actor("qd.liaison")) as unit:
            self.made[name] = registering.register(unit, new, "qd")
        self.stage.clock.go_on(minutes=3)

    def do(self, username: str, act: Callable[..., object], name: str, *args: object, **values: object) -> None:
        """One action by one account, at the node where the account belongs."""
        home = next(account.home for account in town.accounts() if account.username == username)
        with self.stage.house(home).node.unit(actor(username)) as unit:
            act(unit, self.id(name), *args, **values)
        self.stage.clock.go_on(minutes=3)


def actor(username: str) -> Actor:
    account = next(account for account in town.accounts() if account.username == username)
    station = None if account.home == HUB else account.home
    return Actor(account=username, name=account.name, role=account.role, station=station, unit=account.unit or None,
                 deputy=account.deputy or None)  # fmt: skip


def busy_fortnight(stage: Stage) -> Cases:
    """From Monday to the Monday after next: every state, a yellow card, a secret reporter, a wish to reopen."""
    cases = Cases(stage)
    first_monday(cases)
    stage.exchange("qd")
    sort_them(cases)
    stage.days_pass(4)
    answer_some(cases)
    stage.exchange("qd")
    follow_some_up(cases)
    stage.days_pass(10)
    second_monday(cases)
    stage.exchange("qd")
    for name in ("unsigned", "handled"):
        cases.do("clerk", routing.dispatch, name, assignment("water"))
    cases.do("water", handling.sign, "handled")
    cases.do("presidium", escalating.select_key_item, "overdue", "群众反映强烈,主席团会议选定。")
    cases.do("qd.deputy", following_up.ask_reopen, "closed", "垃圾池又满了,请再处理。")
    stage.compile_coverage()
    stage.exchange("qd")
    stage.sweep()
    stage.exchange("qd")
    cases.register("not_sent", "祠堂前路灯不亮", category="power")
    return cases


def first_monday(cases: Cases) -> None:
    cases.register("overdue", "村口排水沟堵塞,下雨积水进屋", affected=12, reporter=REPORTER, notice_read=True)
    cases.register("direct", "咨询高龄津贴如何申领", category="welfare")
    cases.register("transferred", LONG_TITLE, category="road", affected=60, body=f"见附图 {UNBROKEN}")
    cases.register("explained", "邻里宅基地边界诉讼", category="housing")
    cases.register("review", "机耕路涵管断裂", category="farming")
    cases.register("replied", "自来水浑浊")
    cases.register("closed", "垃圾池满溢", category="sanitation")
    cases.register("dissatisfied", "灌溉渠放水时间太短", category="farming")


def sort_them(cases: Cases) -> None:
    for name in ("overdue", "review", "replied", "closed", "dissatisfied"):
        cases.do("clerk", routing.dispatch, name, assignment("water", co_units=("agri",)))
    adopted = assignment("agri", important=True, adopted_by="d03", letter_no="钱人主〔2026〕3号")
    cases.do("chair", routing.transfer, "transferred", adopted)
    cases.do("clerk", routing.explain, "explained", reason="N1", channel="到县人民法院钱坑法庭咨询",
             talk="已当面说明正在诉讼,不便转交。", confirmed=True, attempts=0)  # fmt: skip
    cases.do("qd.chief", routing.route_direct, "direct", "按县高龄津贴办法第四条可直接答复。")
    for name in ("review", "replied"):
        cases.do("water.head", handling.sign, name)
    cases.do("water", handling.report_progress, "review", "已到现场查看,涵管材料已订购。")


def answer_some(cases: Cases) -> None:
    solved = ReplyForm(text="已清理完毕,现场恢复正常。", outcome="A", evidence="前后照片4张")
    for name in ("replied", "closed", "dissatisfied"):
        cases.do("water.head", handling.submit_reply, name, solved)
        cases.do("clerk", handling.deliver_reply, name, way="face", proof="当面签收")
    planned = ReplyForm(text="已列入下月维修计划。", outcome="B", plan="更换涵管", promised_on=date(2026, 10, 20))
    cases.do("water.head", handling.submit_reply, "review", planned)


def follow_some_up(cases: Cases) -> None:
    pleased = FollowUpForm(way="phone", reached=True, solved=True, rating="satisfied", note="本人表示满意")
    angry = FollowUpForm(way="face", reached=True, solved=False, rating="dissatisfied", reason="放水还是不够")
    cases.do("qd.liaison", following_up.follow_up, "closed", pleased)
    cases.do("qd.liaison", following_up.close, "closed")
    cases.do("qd.liaison", following_up.follow_up, "dissatisfied", angry)
    cases.do("qd.liaison", following_up.follow_up, "replied", FollowUpForm(way="phone", reached=False, note="无人接听"))


def second_monday(cases: Cases) -> None:
    cases.register("waiting", "学校门口没有斑马线", category="school")
    cases.register("secret", "粮站旧仓库有异响", category="order", urgency="urgent", reporter=REPORTER,
                   notice_read=True, secrecy="unit")  # fmt: skip
    cases.register("locked", "举报事项(样本)", category="accusation", secrecy="anonymous")
    cases.register("unsigned", "溪边护栏缺失", urgency="critical", reporter=REPORTER, notice_read=True)
    cases.register("handled", "抽水站电机损坏")


def assignment(unit: str, **values: Any) -> Dispatch:
    return Dispatch(unit=unit, requirement="三日内到现场查看并处理,当面答复来访群众。",
                    duty_basis="职责清单第2项", **values)  # fmt: skip
