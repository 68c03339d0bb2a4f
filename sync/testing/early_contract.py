"""What waits for something that nobody has any more: it must not wait for ever, and must not be given up."""

from typing import Final

from sqlalchemy import func, select

from sync import reconciling
from sync.events import Scope, Stream
from sync.limits import Limits
from sync.peers import Peer
from sync.tables import ledger_held
from sync.testing.epoch_contract import all_sound, texts
from sync.testing.ledger_contract import packed
from sync.testing.nodes import Lab, LabNode, draft

HALL: Final = Scope("t/s/a")
PUB: Final = Scope("t/pub")
POLICY: Final = "policy/town"
_NO_ROOM: Final = Limits(held_bytes_max=1)


class EarlyContract:
    """Inherit and give a `lab` fixture."""

    def test_what_a_restored_hub_wrote_comes_back_from_a_stick_with_a_gap(self, lab: Lab) -> None:
        hub, station = lab.pair()
        restored = _lost(lab, hub, station, PUB, POLICY)
        assert station.exchange(restored).verified
        assert texts(restored, POLICY) == texts(station, POLICY) == ["shared", "lost 3"]
        assert _waiting(station) == _waiting(restored) == 0
        restored.record(PUB, draft(POLICY, text="new"))
        assert station.exchange(restored).verified
        assert texts(station, POLICY) == ["shared", "lost 3", "new"]
        all_sound(lab, restored, station)

    def test_what_precedes_it_may_still_come_and_nothing_counts_twice(self, lab: Lab) -> None:
        hub, station = lab.pair()
        other = lab.node("other")
        lab.enrol(other, hub, ["t/pub", "t/s/b"], ["t/s/b"])
        restored = _lost(lab, hub, station, PUB, POLICY, whole=other)
        assert station.exchange(restored).verified
        assert other.exchange(restored).verified
        assert station.exchange(restored).verified
        for node in (restored, other, station):
            assert sorted(texts(node, POLICY)) == ["lost 2", "lost 3", "shared"]
        all_sound(lab, restored, other, station)

    def test_what_has_arrived_in_another_stream_waits_no_more(self, lab: Lab) -> None:
        hub, station = lab.pair()
        other = lab.node("other")
        lab.enrol(other, hub, ["t/pub", "t/s/b"], ["t/s/b"])
        restored = _lost(lab, hub, station, PUB, POLICY, whole=other)
        restored.record(PUB, draft(POLICY, text="new"))
        assert other.exchange(restored).verified
        assert station.exchange(restored).verified
        assert _waiting(station) == 0
        assert sorted(texts(station, POLICY)) == ["lost 2", "lost 3", "new", "shared"]
        all_sound(lab, restored, other, station)

    def test_a_third_nodes_records_reach_it_through_the_hub(self, lab: Lab) -> None:
        hub, central, restored = _three(lab)
        assert central.exchange(hub).verified
        assert _waiting(central) == 0
        assert restored.exchange(hub).verified
        assert texts(hub) == texts(restored) == ["shared", "lost 3"]
        assert _waiting(hub) == 0
        assert central.exchange(hub).verified
        assert texts(central) == ["shared", "lost 3"]
        all_sound(lab, hub, central, restored)

    def test_while_the_hub_has_no_room_for_it_it_stays_here(self, lab: Lab) -> None:
        hub, central, _ = _three(lab, limits=_NO_ROOM)
        for _ in range(2):
            assert central.exchange(hub).verified
            assert _waiting(central) == 1

    def test_parting_with_a_piece_leaves_another_branchs_piece_with_the_same_numbers(self, lab: Lab) -> None:
        hub, station = lab.pair()
        copy = lab.copy(station, "copy")
        made, other = (
            node.record(HALL, draft(text=node.name), draft(text=f"{node.name} 2")) for node in (station, copy)
        )
        assert _held_of(station, made[1].stream, 2, hub, hub.peer(station)) == 1
        (foreign,) = packed(copy, other[1].stream, 2, 2).segments
        (own,) = packed(station, made[1].stream, 2, 2).segments
        with hub.engine.begin() as conn:
            reconciling.part_with(conn, foreign)
        assert _waiting(hub) == 1
        with hub.engine.begin() as conn:
            reconciling.part_with(conn, own)
        assert _waiting(hub) == 0

    def test_our_own_records_are_taken_up_again_when_the_hub_has_lost_them_too(self, lab: Lab) -> None:
        hub, station = lab.pair()
        station.record(HALL, draft(text="shared"))
        station.exchange(hub)
        backup, restored = lab.copy(station, "backup"), lab.copy(hub, "restored")
        late = station.record(HALL, draft(text="lost 2"), draft(text="lost 3"))
        station.exchange(hub)
        assert _held_of(hub, late[-1].stream, late[-1].seq, backup, backup.peer(hub)) == 1
        assert backup.exchange(restored).verified
        assert texts(backup) == texts(restored) == ["shared", "lost 3"]
        assert _waiting(backup) == 0
        all_sound(lab, backup, restored)

    def test_what_another_exchange_may_still_bring_is_not_hurried(self, lab: Lab) -> None:
        """A hub is found equal by the hub above it, while its station has what precedes."""
        county, township, station = lab.node("county"), lab.node("township"), lab.node("station")
        lab.enrol(township, county, ["t/pub", "t/s"], ["t/s"])
        lab.enrol(station, township, ["t/pub", "t/s/a"], ["t/s/a"])
        made = station.record(HALL, *(draft(text=f"{n}") for n in range(3)))
        assert _held_of(station, made[-1].stream, 3, township, township.peer(station)) == 1
        assert township.exchange(county).verified
        assert (_waiting(township), _waiting(county)) == (1, 0)
        assert station.exchange(township).verified
        assert texts(township) == ["0", "1", "2"]


def _lost(
    lab: Lab, hub: LabNode, station: LabNode, scope: Scope, subject: str, whole: LabNode | None = None
) -> LabNode:
    """A hub restored to its first record. The station holds the third one early; `whole` has all of them."""
    hub.record(scope, draft(subject, text="shared"))
    station.exchange(hub)
    restored = lab.copy(hub, "restored")
    lost = hub.record(scope, draft(subject, text="lost 2"), draft(subject, text="lost 3"))
    assert _held_of(hub, lost[-1].stream, lost[-1].seq, station, station.peer(hub)) == 1
    if whole is not None:
        whole.exchange(hub)
    return restored


def _three(lab: Lab, limits: Limits | None = None) -> tuple[LabNode, LabNode, LabNode]:
    """A hub, a central node that reads everything and holds a station's third record early, and the station's backup.

    Of the second and third record nothing else is left.
    """
    hub, station, central = lab.node("hub", limits=limits), lab.node("station"), lab.node("central")
    lab.enrol(station, hub, ["t/pub", "t/s/a"], ["t/s/a"])
    lab.enrol(central, hub, ["t/pub", "t/s"], ["t/s/c"])
    station.record(HALL, draft(text="shared"))
    station.exchange(hub)
    central.exchange(hub)
    backup = lab.copy(station, "backup")
    lost = station.record(HALL, draft(text="lost 2"), draft(text="lost 3"))
    assert _held_of(station, lost[-1].stream, lost[-1].seq, central, central.peer(hub)) == 1
    return hub, central, backup


def _held_of(holder: LabNode, stream: Stream, seq: int, node: LabNode, sender: Peer) -> int:
    """Bring one record alone, as from a stick of which the other files cannot be read; how many are held early."""
    with node.engine.begin() as conn:
        return node.ledger.accept(conn, packed(holder, stream, seq, seq), sender).held


def _waiting(node: LabNode) -> int:
    with node.engine.begin() as conn:
        return conn.execute(select(func.count()).select_from(ledger_held)).scalar_one()
