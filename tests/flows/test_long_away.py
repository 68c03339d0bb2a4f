"""A station that was away for longer than everything is kept, and one that loads a long history for the first time."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import func, select

from config.settings import Settings
from service.actions import carrying, checking, enrolling, housekeeping, projecting, retaining, syncing
from service.domain import facts as f
from service.node import Node
from service.store import codec
from sync import loading, peers, wire
from sync.errors import TimedOut
from sync.events import EventDraft, Subject
from sync.exchange import exchange
from sync.tables import snapshot_parts
from sync.transport import Transport
from tests.flows.conftest import ADMIN, CLERK, LIAISON, TOWN, Township, ready
from tests.flows.test_restored import exchanged, hub_put_back, hub_tables, numbers, registered

UNITS = 40


def restated(hub: Node, times: int) -> None:
    """The clerk's lists of offices, sent in again and again: whole blocks of facts that count no more."""
    drafts = [
        EventDraft(
            kind=f.UnitStated.KIND, version=f.UnitStated.VERSION, subject=Subject(f"unit/u{n % UNITS}"),
            body=codec.encode(f.UnitStated(code=f"u{n % UNITS}", name=f"第{n}次填报的单位", kind="institute")),
            occurred_at=hub.now(), author="clerk|k1|受理员(虚构)",
        )
        for n in range(times)
    ]  # fmt: skip
    with hub.engine.begin() as connection:
        hub.ledger.append(connection, hub.public_scope, drafts)
        hub.ledger.mark_pending(connection, [Subject(f"unit/u{n}") for n in range(UNITS)])
    projecting.sweep(hub)


def horizons(node: Node) -> list[int]:
    with node.reading() as connection:
        return [at.seq for at in node.ledger.horizons(connection).values()]


def load_of(station: Node) -> loading.Load | None:
    with station.reading() as connection:
        hub = syncing.hub_of(connection)
        assert hub is not None
        return loading.find(connection, hub.node)


def units(node: Node) -> dict[str, str]:
    with node.reading() as connection:
        return {code: unit.name for code, unit in node.town(connection).units.items()}


def years_go_by(township: Township) -> None:
    """Everything is stated anew at the end, so what was stated before may go; housekeeping finds that by itself."""
    restated(township.hub, 1300)
    township.clock.go_on(days=800)
    restated(township.hub, UNITS)
    housekeeping.sweep(township.hub)
    assert horizons(township.hub)[0] > 1300


def test_a_station_away_beyond_the_horizon_is_reseeded_and_its_opinions_arrive(township: Township) -> None:
    station, hub = township.station("qd"), township.hub
    registered(station, "离线以前")
    assert exchanged(township, station)
    township.line.cut()
    registered(station, "离线时登记")
    years_go_by(township)
    registered(station, "多年以后登记")
    township.line.mend()
    assert exchanged(township, station)
    load = load_of(station)
    assert load is not None
    assert (load.reason, load.done) == ("below_horizon", load.parts)
    assert numbers(hub) == numbers(station)
    assert len(numbers(hub)) == 3
    assert units(station) == units(hub)
    assert checking.check(station) == checking.check(hub) == []
    housekeeping.sweep(station)
    assert horizons(station) == horizons(hub), "leaves need no rows at the station either"
    assert checking.check(station) == []
    assert exchanged(township, station)


def test_the_same_over_a_stick(township: Township, tmp_path: Path) -> None:
    station, hub = township.station("qd"), township.hub
    assert exchanged(township, station)
    township.line.cut()
    years_go_by(township)
    registered(station, "没有网络时登记")
    stick = tmp_path / "U盘"
    stick.mkdir()
    carrying.take_away(station, LIAISON, str(stick))
    report = carrying.bring_back(hub, CLERK, str(stick))
    assert (report.problems, report.unanswered) == ([], None)
    projecting.sweep(hub)
    with hub.reading() as connection:
        assert connection.execute(select(func.count()).select_from(snapshot_parts)).scalar_one() > 0
    back = carrying.bring_back(station, LIAISON, str(stick))
    assert (back.problems, back.files) == ([], back.taken)
    assert units(station) == units(hub)
    assert numbers(station) == numbers(hub)
    assert checking.check(station) == checking.check(hub) == []
    township.line.mend()
    assert exchanged(township, station)
    assert load_of(station) is None, "nothing was left for the line"


@dataclass
class CutLine:
    """A line that goes dead after every part."""

    inner: Transport
    fetched: list[bytes] = field(default_factory=list)
    cuts: int = 0

    def post(self, verb: str, body: bytes) -> bytes:
        if verb == "part":
            if self.cuts < len(self.fetched):
                self.cuts += 1
                raise TimedOut(after_s=30)
            self.fetched.append(wire.decode(wire.open_envelope(body).payload, wire.PartGet).digest)
        return self.inner.post(verb, body)


def test_a_new_computer_records_as_soon_as_one_part_is_here_while_the_rest_comes(township: Township) -> None:
    old, hub = township.station("qd"), township.hub
    registered(old, "旧电脑登记")
    assert exchanged(township, old)
    restated(hub, 5000)
    with hub.unit(ADMIN) as unit:
        code = enrolling.create_code(unit, "qd", replaces=old.identity.node)
    settings = Settings(data_dir=township.folder / "new", town=TOWN, hub_url=township.line.url)
    new = ready(settings, township.clock)
    township.stations["new"] = new
    first = syncing.hub_transport(new)
    enrolled = enrolling.enrol_at_hub(syncing.replica(new), first, code)
    enrolling._remember(new, enrolled, "")
    syncing.announce_enrolled(hub)

    line, attempts = CutLine(first), 0
    while True:
        attempts += 1
        try:
            with new.reading() as connection:
                peer = peers.get_peer(connection, hub.identity.node)
            report = exchange(syncing.replica(new), peer, line)
            break
        except TimedOut:
            projecting.sweep(new)
            registered(new, f"第{attempts}次断线时登记")
            with new.reading() as connection:
                state = syncing.sync_state(new, connection)
            assert state is not None
            assert state.load is not None
            assert state.load.done == len(line.fetched) <= state.load.parts
    first.close()
    assert report.verified
    assert len(set(line.fetched)) == len(line.fetched) == attempts == 4, "no part came twice"
    projecting.sweep(new)
    projecting.sweep(hub)
    assert numbers(new) == numbers(hub)
    assert len(numbers(hub)) == attempts
    assert units(new) == units(hub)
    assert checking.check(new) == checking.check(hub) == []


def test_a_hub_restored_to_before_its_horizon_goes_on(township: Township) -> None:
    station, hub = township.station("qd"), township.hub
    restated(hub, 3 * UNITS)
    assert exchanged(township, station)
    before = hub_tables(hub)
    township.clock.go_on(days=800)
    restated(hub, UNITS)
    assert retaining.shorten(hub) > 0
    registered(station, "备份以后登记")
    assert exchanged(township, station)
    names = units(hub)
    hub_put_back(hub, before)
    exchanged(township, station)
    assert exchanged(township, station)
    assert units(hub) == names == units(station)
    assert numbers(hub) == numbers(station)
    assert retaining.shorten(hub) > 0, "what it got back is as superseded as it was"
    assert checking.check(hub) == checking.check(station) == []
