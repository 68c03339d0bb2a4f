"""Opinions at any stage, brought there by the same actions that the pages call."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import uuid4

from service.actions import handling, registering, routing
from service.actions.registering import NewOpinion
from service.domain.opinions import Opinion
from service.domain.people import Actor, Reporter, Role
from service.node import Node
from service.store import station_queries
from service.store.queries import OpinionFilter
from tests.web.conftest import Township

LIAISON = Actor(account="l", name="联络员(测试)", role=Role.LIAISON, station="qd")
CLERK = Actor(account="c", name="受理员(测试)", role=Role.CLERK)
CHAIR = Actor(account="p", name="主席(测试)", role=Role.CHAIR)
HANDLER = Actor(account="h", name="经办(测试)", role=Role.HANDLER, unit="water")
HEAD = Actor(account="u", name="负责人(测试)", role=Role.UNIT_HEAD, unit="water")

VILLAGE = "445222113201"
REPORTER = Reporter(name="欧阳秘密(虚构)", phone="13912348888", address="钱东村七组")


@dataclass(slots=True)
class Cases:
    """Makes cases at the hub of a township."""

    township: Township

    @property
    def hub(self) -> Node:
        return self.township.hub

    def registered(self, **changes: object) -> str:
        """Written down at the hub's own desk; gives the id."""
        with self.hub.unit(CLERK) as unit:
            return registering.register(unit, new_opinion(**changes), "qd").opinion

    def from_station(self, **changes: object) -> str:
        """Written down at the station qd and received by the hub."""
        with self.township.station.unit(LIAISON) as unit:
            made = registering.register(unit, new_opinion(**changes), "qd")
        self.township.exchange()
        return made.opinion

    def dispatched(self, opinion_id: str = "", unit_code: str = "water", **changes: object) -> str:
        made = opinion_id or self.registered(**changes)
        with self.hub.unit(CLERK) as unit:
            routing.dispatch(unit, made, dispatch_form(unit_code))
        return made

    def handling(self, opinion_id: str = "", **changes: object) -> str:
        made = self.dispatched(opinion_id, **changes)
        with self.hub.unit(HANDLER) as unit:
            handling.sign(unit, made)
        return made

    def in_review(self, opinion_id: str = "", **changes: object) -> str:
        made = self.handling(opinion_id, **changes)
        with self.hub.unit(HEAD) as unit:
            handling.submit_reply(unit, made, REPLY)
        return made

    def replied(self, opinion_id: str = "", **changes: object) -> str:
        made = self.in_review(opinion_id, **changes)
        with self.hub.unit(CLERK) as unit:
            handling.deliver_reply(unit, made, way="phone", proof="通话记录")
        return made

    def see(self, opinion_id: str) -> Opinion:
        with self.hub.reading() as connection:
            found = station_queries.case(connection, self.hub.ledger, self.hub.hub_nodes, opinion_id, OpinionFilter())
        assert found is not None
        return found

    def state(self, opinion_id: str) -> str:
        return self.see(opinion_id).state.value


def new_opinion(**changes: object) -> NewOpinion:
    given = {"form": uuid4().hex, "title": "排水沟堵塞", "body": "门口的水沟堵了三天。", "area": VILLAGE, **changes}
    return NewOpinion(**given)  # type: ignore[arg-type]


def dispatch_form(unit_code: str = "water") -> routing.Dispatch:
    return routing.Dispatch(unit=unit_code, requirement="疏通并答复群众", duty_basis="职责清单第一项")


REPLY = handling.ReplyForm(text="已疏通。", outcome="A", evidence="照片两张")
