"""A station's computer is replaced or stolen; what its old disk still holds is not lost."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import select, text

from config.settings import Settings
from service.actions import checking, enrolling, projecting, replacing, syncing
from service.domain import facts as f
from service.domain.refusals import NotFound, Refused
from service.node import Node
from service.store import codec
from service.store.tables import opinions
from sync.anchor import ANCHOR_FILE
from sync.blobs import BlobState
from sync.enrolment import enrol
from sync.errors import PeerRevoked
from tests.flows.conftest import ADMIN, CLERK, TOWN, Township, ready
from tests.flows.test_erasing_attachments import reported, state
from tests.flows.test_restored import backup, exchanged, numbers, put_back, registered


def new_computer(township: Township, folder: str, code: str) -> Node:
    settings = Settings(data_dir=township.folder / folder, town=TOWN, hub_url=township.line.url)
    node = ready(settings, township.clock)
    assert enrolling.enrol(node, code) == "qd"
    syncing.announce_enrolled(township.hub)
    return node


def image_of(node: Node, township: Township) -> Path:
    """The whole disk, anchor and all: what is put back from it does not know that it is old."""
    kept = backup(node, township.folder / "image")
    shutil.copy(node.settings.data_dir / ANCHOR_FILE, kept)
    return kept


def withdrawals(node: Node) -> list[tuple[str, str, str]]:
    """Computers on record as withdrawn, with why."""
    with node.reading() as connection:
        subjects = node.ledger.subjects(connection, "withdrawal/", None, 10)
        events = [event for found in node.ledger.read_subjects(connection, subjects).values() for event in found]
    facts = [codec.decode(event.kind, event.version, event.body or b"") for event in events]
    return [(fact.node, fact.station, fact.reason) for fact in facts if isinstance(fact, f.NodeWithdrawn)]


def surfaced(township: Township, title: str) -> replacing.LateRecord:
    """What a stolen computer brings, which had recorded an opinion before it was withdrawn."""
    old, hub = township.station("qd"), township.hub
    exchanged(township, old)
    registered(old, title)
    with hub.unit(ADMIN) as unit:
        replacing.withdraw(unit, old.identity.node, "电脑被盗")
    with pytest.raises(PeerRevoked):
        syncing.exchange_now(old)
    with hub.unit(CLERK) as unit:
        (late,) = replacing.late_records(unit)
    return late


def enrolling_again(node: Node, code: str) -> bool:
    transport = syncing.hub_transport(node)
    try:
        return enrol(syncing.replica(node), transport, code).name == "qd"
    finally:
        transport.close()


def test_a_new_computer_has_the_history_and_goes_on_counting(township: Township) -> None:
    old, hub = township.station("qd"), township.hub
    assert registered(old, "路灯不亮") == "QD-2026-0001"
    exchanged(township, old)
    with hub.unit(ADMIN) as unit:
        code = enrolling.create_code(unit, "qd", replaces=old.identity.node)
    assert withdrawals(hub) == [], "the code alone withdraws nothing"
    new = new_computer(township, "new", code)
    assert enrolling_again(new, code), "the answer may have been lost"
    assert withdrawals(hub) == [(old.identity.node, "qd", replacing.SUCCEEDED.format(node=new.identity.node))]
    exchanged(township, new)
    assert withdrawals(new) == withdrawals(hub), "everybody hears of it"
    assert numbers(new) == numbers(old)
    assert registered(new, "水沟堵塞") == "QD-2026-0002"
    exchanged(township, new)
    assert checking.check(new) == checking.check(hub) == []
    new.engine.dispose()


def test_what_surfaces_from_the_old_disk_waits_for_a_person_and_can_be_taken_in(township: Township) -> None:
    old, hub = township.station("qd"), township.hub
    registered(old, "路灯不亮")
    exchanged(township, old)
    registered(old, "没有送出去的意见")
    with hub.unit(ADMIN) as unit:
        code = enrolling.create_code(unit, "qd", replaces=old.identity.node)
    new = new_computer(township, "new", code)

    with pytest.raises(PeerRevoked):
        syncing.exchange_now(old)
    assert len(numbers(hub)) == 1, "not taken in by itself"
    with hub.unit(CLERK) as unit:
        (late,) = replacing.late_records(unit)
        assert late.events == 1
        assert replacing.take_late(unit, late.place) is None, "they go on where the hub had stopped"
        assert replacing.late_records(unit) == []
    projecting.sweep(hub)
    assert len(numbers(hub)) == 2
    exchanged(township, new)
    assert len(numbers(new)) == 2
    new.engine.dispose()


def test_of_two_people_who_decide_at_once_the_second_one_sees_what_the_first_one_did(township: Township) -> None:
    hub, found = township.hub, surfaced(township, "没有送出去的意见")

    def leave_out() -> str:
        with pytest.raises(NotFound), hub.unit(CLERK) as unit:
            replacing.leave_late(unit, found.place, "已重新登记")
        return "not found"

    with ThreadPoolExecutor() as others:
        with hub.unit(CLERK) as unit:
            replacing.take_late(unit, found.place)
            second = others.submit(leave_out)
            wait_for(lambda: second.done() or somebody_waits(hub))
        assert second.result(timeout=20) == "not found"
    projecting.sweep(hub)
    assert len(numbers(hub)) == 1


def somebody_waits(hub: Node) -> bool:
    with hub.reading() as connection:
        return bool(connection.execute(text("SELECT count(*) FROM pg_locks WHERE NOT granted")).scalar())


def wait_for(come: Callable[[], bool]) -> None:
    ends = time.monotonic() + 20
    while not come() and time.monotonic() < ends:
        time.sleep(0.02)


def test_a_photo_on_the_old_disk_follows_its_record_when_the_computer_is_started_once_more(township: Township) -> None:
    old, hub = township.station("qd"), township.hub
    exchanged(township, old)
    reported(old)
    with hub.unit(ADMIN) as unit:
        code = enrolling.create_code(unit, "qd", replaces=old.identity.node)
    new = new_computer(township, "new", code)
    with pytest.raises(PeerRevoked):
        syncing.exchange_now(old)
    with hub.unit(CLERK) as unit:
        (found,) = replacing.late_records(unit)
        replacing.take_late(unit, found.place)
    projecting.sweep(hub)
    assert state(hub) is BlobState.REFERENCED, "the old computer is not asked: it has to come"
    with pytest.raises(PeerRevoked):
        syncing.exchange_now(old)
    assert state(hub) is BlobState.COMPLETE
    for _ in range(2):
        exchanged(township, new)
    assert state(new) is BlobState.COMPLETE
    new.engine.dispose()


def test_what_a_copied_disk_recorded_is_taken_up_by_the_new_computer(township: Township) -> None:
    """An image of the disk was put back, anchor and all; it goes on where the hub goes on, too, and then surfaces."""
    old, hub = township.station("qd"), township.hub
    registered(old, "路灯不亮")
    exchanged(township, old)
    kept = image_of(old, township)
    registered(old, "水沟堵塞")
    exchanged(township, old)
    with hub.unit(ADMIN) as unit:
        code = enrolling.create_code(unit, "qd", replaces=old.identity.node)
    new = new_computer(township, "new", code)
    exchanged(township, new)

    image = put_back(township, kept)
    registered(image, "桥面破损")
    with pytest.raises(PeerRevoked):
        syncing.exchange_now(image)
    with hub.unit(CLERK) as unit:
        (late,) = replacing.late_records(unit)
        assert late.taker is None
        assert replacing.take_late(unit, late.place) == new.identity.node
        (late,) = replacing.late_records(unit)
        assert late.taker == new.identity.node, "on its way"
    exchanged(township, new)
    with hub.unit(CLERK) as unit:
        assert replacing.late_records(unit) == []
    for node in (hub, new):
        with node.reading() as connection:
            titles = connection.execute(select(opinions.c.title)).scalars().all()
        assert sorted(titles) == sorted(["路灯不亮", "水沟堵塞", "桥面破损"])
        assert checking.check(node) == []
    assert exchanged(township, new)
    new.engine.dispose()


def test_what_does_not_fit_waits_until_the_station_has_a_computer_again(township: Township) -> None:
    old, hub = township.station("qd"), township.hub
    exchanged(township, old)
    kept = image_of(old, township)
    registered(old, "水沟堵塞")
    exchanged(township, old)
    with hub.unit(ADMIN) as unit:
        replacing.withdraw(unit, old.identity.node, "电脑被盗")
    image = put_back(township, kept)
    registered(image, "桥面破损")
    with pytest.raises(PeerRevoked):
        syncing.exchange_now(image)
    with pytest.raises(Refused) as refusal, hub.unit(CLERK) as unit:
        replacing.take_late(unit, replacing.late_records(unit)[0].place)
    assert refusal.value.code == "late_no_computer"
    with hub.unit(CLERK) as unit:
        assert [late.taker for late in replacing.late_records(unit)] == [None]


def test_late_records_can_be_left_out_with_a_reason(township: Township) -> None:
    hub, late = township.hub, surfaced(township, "重复登记的意见")
    with hub.unit(CLERK) as unit:
        replacing.leave_late(unit, late.place, "群众已在新电脑上重新登记")
    with hub.unit(CLERK) as unit:
        assert replacing.late_records(unit) == []
    assert numbers(hub) == {}


def test_a_stolen_computer_gets_nothing_more(township: Township) -> None:
    stolen, hub = township.station("qd"), township.hub
    exchanged(township, stolen)
    with hub.unit(ADMIN) as unit:
        replacing.withdraw(unit, stolen.identity.node, "电脑被盗")
    with stolen.reading() as connection:
        before = stolen.ledger.heads(connection, [stolen.public_scope])
    with pytest.raises(PeerRevoked):
        syncing.exchange_now(stolen)
    with stolen.reading() as connection:
        assert stolen.ledger.heads(connection, [stolen.public_scope]) == before
