"""The contract of horizons and snapshots, on both databases."""

import pytest

from sync.errors import PeerBusy
from sync.snapshots import Snapshots
from sync.testing import HorizonContract, Lab, SnapshotContract, refused
from sync.testing.exchange_contract import PUB, direct, heads
from sync.testing.horizon_contract import load_of, pair, statements


class TestOnSqlite(SnapshotContract):
    @pytest.fixture
    def lab(self, sqlite_lab: Lab) -> Lab:
        return sqlite_lab


class TestOnPostgresql(HorizonContract):
    @pytest.fixture
    def lab(self, postgres_lab: Lab) -> Lab:
        return postgres_lab


def test_of_a_crowd_one_has_the_parts_made_and_the_others_come_back_or_get_what_is_ready(postgres_lab: Lab) -> None:
    hub, station = pair(postgres_lab)
    statements(hub, 100)
    makes = Snapshots(hub.replica)
    with hub.engine.begin() as somebody:
        assert makes.may_pack(somebody)
        line = direct(hub)
        with refused(PeerBusy) as caught:
            station.exchange(hub, line)
        assert 0 < caught[0].data["wait_s"] <= 10
    with hub.engine.begin() as conn:
        makes.manifest(conn, hub.peer(station), {}, packing=True)
    statements(hub, 100)
    with hub.engine.begin() as somebody:
        assert makes.may_pack(somebody)
        with refused(PeerBusy):
            station.exchange(hub)
    assert load_of(station, hub).done >= 3, "what was ready has come"
    assert station.exchange(hub).verified
    assert heads(hub, PUB) == heads(station, PUB)
