"""Opinions in a certain state, made by the actions themselves."""

from dataclasses import dataclass, replace
from uuid import uuid4

from service.actions import handling, routing
from service.actions.registering import NewOpinion, Receipt, register
from service.domain.people import Actor, Reporter, Role
from tests.web.conftest import Township

LIAISON = Actor(account="made-liaison", name="黄知夏", role=Role.LIAISON, station="qd")
CHIEF = Actor(account="made-chief", name="陈站长", role=Role.CHIEF, station="qd")
CLERK = Actor(account="made-clerk", name="李受理", role=Role.CLERK)
HEAD = Actor(account="made-head", name="赵所长", role=Role.UNIT_HEAD, unit="water")

WHO = Reporter(name="王小明", phone="13812345678", address="钱东村三组七号")
WORDS = "下雨就积水,小孩上学要绕路。"
NEW = NewOpinion(form="", title="村口排水沟堵塞", body=WORDS, category="water", area="445222113201", reporter=WHO,
                 notice_read=True)  # fmt: skip
DISPATCH = routing.Dispatch(unit="water", requirement="现场查看并清淤", duty_basis="排水沟渠")


@dataclass(frozen=True, slots=True)
class Cases:
    """Moves cases along, exchanging whenever the other node has to know."""

    township: Township

    def registered(self, **changes: object) -> Receipt:
        new = replace(NEW, form=uuid4().hex, **changes)  # type: ignore[arg-type]
        with self.township.station.unit(LIAISON) as unit:
            return register(unit, new, "qd")

    def dispatched(self, **changes: object) -> Receipt:
        made = self.registered(**changes)
        self.township.exchange()
        with self.township.hub.unit(CLERK) as unit:
            routing.dispatch(unit, made.opinion, DISPATCH)
        self.township.exchange()
        return made

    def replied(self, **changes: object) -> Receipt:
        made = self.dispatched(**changes)
        with self.township.hub.unit(HEAD) as unit:
            handling.sign(unit, made.opinion)
            form = handling.ReplyForm(text="已清淤并加装盖板。", outcome="A", evidence="现场照片两张")
            handling.submit_reply(unit, made.opinion, form)
        with self.township.hub.unit(CLERK) as unit:
            handling.deliver_reply(unit, made.opinion, way="phone", proof="通话记录")
        self.township.exchange()
        return made

    def answered_here(self, **changes: object) -> Receipt:
        """By the chief, on the spot; no hub needed."""
        made = self.registered(**changes)
        with self.township.station.unit(CHIEF) as unit:
            routing.answer(unit, made.opinion, text="政策如此,已当面说明。", outcome="D", way="face")
        return made
