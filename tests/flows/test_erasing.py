"""A citizen asks to be erased: from the station, the hub, a restored backup and an old bundle."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import select

from service.actions import checking, erasing, projecting, syncing
from service.domain import facts as f
from service.domain.opinions import State
from service.domain.people import Actor, Role
from service.domain.refusals import Invalid, NotAllowed
from service.node import Node
from service.store import station_queries
from service.store.station_queries import Erasure
from sync import bundle, peers
from sync.events import Stream
from sync.limits import Limits
from sync.packing import Budget
from sync.positions import Range
from sync.tables import ledger_events
from tests.flows.conftest import CLERK, HEAD, LIAISON, Township
from tests.flows.test_offline_week import register, seen
from tests.flows.test_restored import backup, exchanged, put_back

CHIEF = Actor(account="chief", name="站长(虚构)", role=Role.CHIEF, station="qd")
WISH = "本人到站要求删除"


def person_of(node: Node, opinion: str) -> str:
    registered = seen(node, opinion).registered
    assert registered is not None
    assert registered.reporter is not None
    return registered.reporter


def bodies(node: Node, person: str) -> list[bytes | None]:
    """What lies on the disk of this person, sealed or not."""
    with node.reading() as connection:
        query = select(ledger_events.c.body).where(ledger_events.c.subject == f"person/{person}")
        return list(connection.execute(query).scalars())


def erase(node: Node, actor: Actor, opinion: str, reason: str = WISH) -> int:
    with node.unit(actor) as unit:
        return erasing.erase_reporter(unit, opinion, reason)


def erasures(node: Node) -> tuple[Erasure, ...]:
    with node.reading() as connection:
        return station_queries.erasures(connection, node.ledger, node.identity.node)


def test_erasing_at_the_hub_empties_the_station_and_both_confirm(township: Township) -> None:
    station, hub = township.station("qd"), township.hub
    opinion = register(station).opinion
    person = person_of(station, opinion)
    exchanged(township, station)
    assert all(bodies(station, person)) and all(bodies(hub, person))  # noqa: PT018
    assert erase(hub, CLERK, opinion) == 1
    assert bodies(hub, person) == [None]
    assert erasures(hub)[0].missing == {station.identity.node}, "the station has not heard of it"
    exchanged(township, station)
    assert bodies(station, person) == [None]
    assert exchanged(township, station)
    assert [(one.missing, one.reason, one.by) for one in erasures(hub)] == [(frozenset(), WISH, CLERK.name)]
    assert checking.check(hub) == checking.check(station) == [], "chains verify without the bodies"
    with station.reading() as connection:
        assert station_queries.reporter(connection, station.ledger, station.seal, person).erased


def test_a_station_that_works_on_the_case_offline_meanwhile_loses_the_person_and_nothing_else(
    township: Township,
) -> None:
    station, hub = township.station("qd"), township.hub
    opinion = register(station).opinion
    person = person_of(station, opinion)
    exchanged(township, station)
    township.line.cut()
    with station.unit(LIAISON) as unit:
        unit.record(f"opinion/{opinion}", f.Withdrawn(proof="本人签字"), scope=unit.station_scope("qd"))
    assert erase(hub, CLERK, opinion) == 1
    assert all(bodies(station, person)), "it cannot know yet"
    township.line.mend()
    exchanged(township, station)
    assert exchanged(township, station)
    for node in (hub, station):
        assert set(bodies(node, person)) == {None}
        assert seen(node, opinion).state is State.WITHDRAWN
        assert checking.check(node) == []


def test_a_station_erases_offline_and_the_rest_follows(township: Township) -> None:
    station = township.station("qd")
    opinion = register(station).opinion
    person = person_of(station, opinion)
    exchanged(township, station)
    township.line.cut()
    assert erase(station, CHIEF, opinion) == 1
    assert erase(station, CHIEF, opinion) == 0, "asked again"
    township.line.mend()
    exchanged(township, station)
    assert bodies(township.hub, person) == [None]
    assert len(erasures(township.hub)) == 1


def test_a_backup_made_before_and_an_old_bundle_do_not_bring_anybody_back(township: Township, tmp_path: Path) -> None:
    station, hub = township.station("qd"), township.hub
    opinion = register(station).opinion
    person = person_of(station, opinion)
    old = bundled(station)
    exchanged(township, station)
    kept = backup(station, tmp_path / "backup")
    erase(hub, CLERK, opinion)
    exchanged(township, station)

    restored = put_back(township, kept)
    assert all(bodies(restored, person)), "the backup has it"
    exchanged(township, restored)
    assert bodies(restored, person) == [None]
    for node in (hub, restored):
        with node.engine.begin() as connection:
            peer = peers.get_peer(connection, station.identity.node) if node is hub else None
            if peer is not None:
                node.ledger.accept(connection, bundle.unpack(old, station.identity.public_key, Limits()), peer)
        projecting.sweep(node)
        assert set(bodies(node, person)) == {None}


def test_who_never_met_the_person_refuses_the_body_on_arrival(township: Township) -> None:
    """The erasure overtakes the data: a new hub hears of both at once."""
    station, hub = township.station("qd"), township.hub
    opinion = register(station).opinion
    person = person_of(station, opinion)
    erase(station, CHIEF, opinion)
    exchanged(township, station)
    assert bodies(hub, person) == [None]


@pytest.mark.parametrize("actor", [LIAISON, HEAD], ids=["liaison", "unit head"])
def test_erasing_belongs_to_the_chief_and_the_clerk(township: Township, actor: Actor) -> None:
    station = township.station("qd")
    opinion = register(station).opinion
    with pytest.raises(NotAllowed):
        erase(station, actor, opinion)
    with pytest.raises(Invalid, match="required"):
        erase(station, CHIEF, opinion, " ")


def bundled(station: Node) -> bytes:
    """Everything the station has written, as a stick would carry it."""
    with station.reading() as connection:
        heads = station.ledger.own_heads(connection)
        parts = [Range(Stream(s.origin, s.scope), 1, head.seq) for s, head in heads.items()]
    with station.engine.begin() as connection:
        made = station.ledger.pack(connection, parts, Budget(raw_bytes=10**7, events=10_000), "")
    assert made is not None
    return made.data


def test_an_exchange_after_an_erasure_is_verified_again(township: Township) -> None:
    station = township.station("qd")
    opinion = register(station).opinion
    exchanged(township, station)
    erase(township.hub, CLERK, opinion)
    assert syncing.exchange_now(station).verified
