"""What surfaces from a withdrawn computer: shown with its station's computers, taken in or left out by a person."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from service.actions import replacing
from service.domain.people import Actor, Role
from sync import peers
from sync.bundle import unpack
from sync.errors import PeerRevoked
from sync.limits import Limits
from sync.packing import Budget
from sync.peers import Peer
from sync.positions import Range
from tests.web.cases import Cases
from tests.web.conftest import Browser, Township

AtHub = Callable[[str], Browser]
PAGE, LATE = "/hub/stations/qd/computers", "/hub/stations/qd/late"
ADMIN = Actor(account="made-admin", name="管理员(虚构)", role=Role.ADMIN)
FOUND = "旧电脑上找到的记录"


def withdrawn(township: Township) -> None:
    with township.hub.unit(ADMIN) as unit:
        replacing.withdraw(unit, township.station.identity.node, "电脑被盗")


def bring_the_last_record_alone(township: Township) -> None:
    """As from a stick of which the other files cannot be read: what precedes it stays on the lost disk."""
    station, hub = township.station, township.hub
    with station.engine.begin() as connection:
        (stream,) = [one for one in station.ledger.own_heads(connection) if one.scope == station.station_scope("qd")]
        head = station.ledger.own_heads(connection)[stream].seq
        packed = station.ledger.pack(connection, [Range(stream, head, head)], Budget(raw_bytes=10**6, events=9), "")
    assert packed is not None
    with hub.engine.begin() as connection:
        sender = peers.get_peer(connection, station.identity.node)
        brought = unpack(packed.data, sender.public_key, Limits())
        assert hub.ledger.accept(connection, brought, sender).held == 1


def another_computer(township: Township) -> str:
    """A new computer of the station, as the hub knows it."""
    hub = township.hub
    scope = hub.station_scope("qd")
    new = Peer(node="cd" * 8, public_key=b"k" * 32, name="qd", read_scopes=(hub.public_scope, scope),
               write_scopes=(scope,))  # fmt: skip
    with hub.engine.begin() as connection:
        peers.add_peer(connection, new, hub.now())
    return new.node


def test_records_that_go_on_where_the_hub_stopped_are_taken_in_at_once(at_hub: AtHub, township: Township) -> None:
    Cases(township).registered()
    withdrawn(township)
    with pytest.raises(PeerRevoked):
        township.exchange()
    clerk = at_hub("clerk")
    shown = clerk.get(PAGE).text
    assert FOUND in shown
    assert "登记</li>" not in shown, "what was registered is named"
    assert "村口排水沟堵塞" in shown
    assert "13812345678" not in shown
    done = clerk.send(PAGE, at=LATE, having="late_reason", decision="take", follow=True)
    assert "已处理" in done.text
    assert FOUND not in done.text


def test_leaving_records_out_needs_a_reason_and_they_are_not_asked_about_again(
    at_hub: AtHub, township: Township
) -> None:
    Cases(township).registered()
    withdrawn(township)
    with pytest.raises(PeerRevoked):
        township.exchange()
    clerk = at_hub("clerk")
    refused = clerk.send(PAGE, at=LATE, having="late_reason", decision="leave")
    assert refused.status_code == 422
    assert "不收下的理由" in refused.text
    left = clerk.send(PAGE, at=LATE, having="late_reason", decision="leave", late_reason="已重新登记", follow=True)
    assert FOUND not in left.text
    with pytest.raises(PeerRevoked):
        township.exchange()
    assert FOUND not in clerk.get(PAGE).text


def test_records_that_do_not_fit_are_handed_to_a_computer_of_the_station(at_hub: AtHub, township: Township) -> None:
    for title in ("水沟堵塞", "桥面破损"):
        Cases(township).registered(title=title)
    bring_the_last_record_alone(township)
    withdrawn(township)
    clerk = at_hub("clerk")
    alone = clerk.send(PAGE, at=LATE, having="late_reason", decision="take")
    assert alone.status_code == 422
    assert "请先接入一台新电脑" in alone.text
    new = another_computer(township)
    handed = clerk.send(PAGE, at=LATE, having="late_reason", decision="take", follow=True)
    assert f"已交给电脑 {new[:8]}" in handed.text
    assert "已决定收下" in handed.text
    assert 'name="late_reason"' not in handed.text, "nothing is left to decide"


def test_a_decision_about_what_is_not_there_any_more_says_so(at_hub: AtHub, township: Township) -> None:
    Cases(township).registered()
    withdrawn(township)
    with pytest.raises(PeerRevoked):
        township.exchange()
    first, second = at_hub("clerk"), at_hub("clerk")
    form = second.form(PAGE, "late_reason")
    first.send(PAGE, at=LATE, having="late_reason", decision="take")
    assert second.client.post(LATE, data={**form, "decision": "take"}).status_code == 404
