"""The hub as it runs in the township, on PostgreSQL: one case from the inbox to its end, and every board on the way."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from pydantic import SecretStr

from config.settings import NodeRole, Settings
from service.actions import covering, escalating, projecting
from service.demo.town import found_sample
from service.domain.people import Role
from service.jobs import NoJobs
from service.node import Node, build_node
from service.store import schema
from service.web.app import create_app
from tests.web.conftest import MONDAY, Clock, Township
from tests.web.hub_cases import Cases
from tests.web.hub_seats import seat

BOARDS = {
    Role.CLERK: ("/hub/inbox", "/hub/reviews", "/hub/supervision", "/hub/stations", "/hub/coverage", "/opinions",
                 "/opinions?text=排水&state=open&order=due", "/hub/town/areas", "/hub/town/calendar"),
    Role.UNIT_HEAD: ("/hub/desk", "/hub/supervision"),
    Role.ADMIN: ("/hub/accounts", "/hub/town/units"),
}  # fmt: skip


@pytest.fixture
def hub(tmp_path: Path, postgres_url: str) -> Iterator[Node]:
    settings = Settings(role=NodeRole.HUB, data_dir=tmp_path / "hub", database_url=SecretStr(postgres_url))
    node = build_node(settings, jobs=NoJobs(), now=Clock(MONDAY))
    schema.upgrade(node.engine)
    projecting.rebuild_if_outdated(node)
    found_sample(node)
    yield node
    node.engine.dispose()


@pytest.fixture
def app(hub: Node) -> Flask:
    return create_app(hub)


def test_a_case_from_the_inbox_to_its_end(hub: Node, app: Flask) -> None:
    clock = hub.now
    assert isinstance(clock, Clock)
    cases = Cases(Township(hub, hub, clock))
    people = {role: seat(app, hub, role) for role in (Role.CLERK, Role.CHAIR, Role.HANDLER, Role.UNIT_HEAD, Role.ADMIN)}
    clerk, head = people[Role.CLERK], people[Role.UNIT_HEAD]
    opinion_id = cases.registered(category="water")

    given = {"unit": "water", "requirement": "疏通并答复", "duty_basis": "职责清单第一项"}
    sent(clerk, f"/hub/screening/{opinion_id}/assign", **given)
    while not cases.see(opinion_id).cards or cases.see(opinion_id).cards[-1].level < 2:
        clock.pass_by(days=1)
        escalating.sweep(hub)
    boards(people)
    sent(head, f"/hub/supervision/{opinion_id}/K2/1/2/answer", feedback="明日完工")
    sent(people[Role.CHAIR], f"/hub/supervision/{opinion_id}/K2/1/2/revoke", reason="已说明")
    sent(head, f"/hub/desk/{opinion_id}/progress", progress="已疏通一半")
    sent(head, f"/hub/desk/{opinion_id}/reply", text="已疏通。", outcome="A", evidence="照片")
    sent(clerk, f"/hub/reviews/{opinion_id}/reject", defects="补照片")
    sent(head, f"/hub/desk/{opinion_id}/reply", text="已疏通,附照片。", outcome="A", evidence="照片3张")
    sent(clerk, f"/hub/reviews/{opinion_id}/deliver", way="phone", proof="通话记录")
    sent(clerk, f"/opinions/{opinion_id}/steps/follow-up", way="phone", reached="yes", solved="yes", rating="satisfied")
    sent(clerk, f"/opinions/{opinion_id}/steps/close", note="群众满意")
    assert cases.state(opinion_id) == "closed"
    covering.publish_if_changed(hub)
    boards(people)
    assert not any(projecting.differences(hub).values()), "rebuilt tables equal the live ones"


def sent(somebody: FlaskClient, path: str, **typed: str) -> None:
    answer = somebody.post(path, data=typed)
    assert answer.status_code == 302, (path, answer.status_code, answer.text)


def boards(people: dict[Role, FlaskClient]) -> None:
    for role, paths in BOARDS.items():
        assert {path: people[role].get(path).status_code for path in paths} == dict.fromkeys(paths, 200)
