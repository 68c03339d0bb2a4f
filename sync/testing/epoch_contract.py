"""What restoring, copying and losing databases must never cost: the same on every database.

A restored node is a copy that was made earlier (`Lab.copy`) and now takes the original's place.
"""

from datetime import timedelta
from functools import partial
from typing import Final

from sync import anchor, epochs, incidents, late, peer_epochs, peers, replacing
from sync.anchor import Anchor
from sync.errors import EpochsExhausted, ForkFound, PeerRevoked, UnknownPeer
from sync.events import Event, Scope, Subject
from sync.testing.expecting import refused
from sync.testing.ledger_contract import packed
from sync.testing.nodes import Lab, LabNode, draft

HALL: Final = Scope("t/s/a")
PUB: Final = Scope("t/pub")


class EpochContract:
    """Inherit and give a `lab` fixture."""

    # --- a station restored from its backup --------------------------------------------------------------------

    def test_a_restored_station_gets_its_lost_records_back_and_goes_on_in_a_new_epoch(self, lab: Lab) -> None:
        hub, station, backup = _backed_up(lab)
        lost = station.record(HALL, *(draft(text=f"lost {n}") for n in range(5)))
        station.exchange(hub)
        restored = backup
        assert restored.exchange(hub).verified
        assert texts(restored) == texts(hub) == ["shared", *(f"lost {n}" for n in range(5))]
        assert _reasons(restored) == ["peer_knows_more"]
        new = restored.record(HALL, draft(text="new"))[0]
        assert new.stream.origin.epoch != lost[0].stream.origin.epoch
        assert restored.exchange(hub).verified
        assert texts(hub)[-1] == "new"

    def test_a_stick_ahead_of_a_restored_station_comes_back_although_what_precedes_it_is_gone(self, lab: Lab) -> None:
        hub, station, backup = _backed_up(lab)
        lost = station.record(HALL, *(draft(text=f"lost {n}") for n in range(1, 4)))
        ahead = packed(station, lost[-1].stream, lost[-1].seq, lost[-1].seq)
        sender = hub.peer(station)
        with hub.engine.begin() as conn:
            assert hub.ledger.accept(conn, ahead, sender).held == 1
        assert backup.exchange(hub).verified
        assert texts(backup) == texts(hub) == ["shared", "lost 3"]
        backup.record(HALL, draft(text="new"))
        assert backup.exchange(hub).verified
        all_sound(lab, hub, backup)

    def test_another_branchs_piece_in_the_way_is_taken_up_within_the_same_exchange(self, lab: Lab) -> None:
        hub, station, backup = _backed_up(lab)
        station.record(HALL, *(draft(text=f"here {n}") for n in range(1, 4)))
        other = backup.record(HALL, *(draft(text=f"there {n}") for n in range(1, 4)))
        ahead = packed(backup, other[-1].stream, other[1].seq, other[-1].seq)
        sender = hub.peer(station)
        with hub.engine.begin() as conn:
            assert hub.ledger.accept(conn, ahead, sender).held == 2
        assert station.exchange(hub).verified, "not only at the next one"
        assert set(texts(hub)) == {"shared", "here 1", "here 2", "here 3", "there 2", "there 3"}
        all_sound(lab, hub, station)

    def test_what_a_restored_station_recorded_before_it_was_told_survives_beside_what_it_lost(self, lab: Lab) -> None:
        hub, station, backup = _backed_up(lab)
        station.record(HALL, draft(text="lost 1", once="form:1"), draft(text="lost 2"))
        station.exchange(hub)
        again = backup.record(
            HALL, draft(text="offline 1", once="form:2"), draft(text="offline 2"), draft(text="offline 3")
        )
        report = backup.exchange(hub)
        assert report.verified
        assert len(report.reconciled) == 1
        assert sorted(texts(hub)) == sorted(texts(backup))
        assert set(texts(hub)) == {"shared", "lost 1", "lost 2", "offline 1", "offline 2", "offline 3"}
        moved = [event for event in hub.events() if event.event_id in {one.event_id for one in again}]
        assert [(e.occurred_at, e.lamport, e.once) for e in moved] == [
            (e.occurred_at, e.lamport, e.once) for e in again
        ]
        assert {e.stream.origin.epoch for e in moved} != {again[0].stream.origin.epoch}
        all_sound(lab, hub, backup)

    def test_a_shorter_branch_than_the_hubs_yields_as_well(self, lab: Lab) -> None:
        hub, station, backup = _backed_up(lab)
        station.record(HALL, *(draft(text=f"lost {n}") for n in range(300)))
        station.exchange(hub)
        backup.record(HALL, draft(text="offline"))
        assert backup.exchange(hub).verified
        assert len(texts(hub)) == 302
        all_sound(lab, hub, backup)

    def test_nothing_of_the_hubs_copy_is_ever_rewritten(self, lab: Lab) -> None:
        hub, station, backup = _backed_up(lab)
        station.record(HALL, draft(text="lost"))
        station.exchange(hub)
        before = {(str(e.stream), e.seq): e.event_id for e in hub.events()}
        backup.record(HALL, draft(text="a"), draft(text="b"))
        backup.exchange(hub)
        after = {(str(e.stream), e.seq): e.event_id for e in hub.events()}
        assert before.items() <= after.items()

    def test_restored_twice_to_different_points(self, lab: Lab) -> None:
        hub, station, first = _backed_up(lab)
        station.record(HALL, draft(text="one"))
        station.exchange(hub)
        second = lab.copy(station, "second")
        station.record(HALL, draft(text="two"))
        station.exchange(hub)
        second.record(HALL, draft(text="from the second"))
        assert second.exchange(hub).verified
        first.record(HALL, draft(text="from the first"))
        assert first.exchange(hub).verified
        assert set(texts(hub)) == {"shared", "one", "two", "from the second", "from the first"} == set(texts(first))
        all_sound(lab, hub, first)

    def test_a_fork_at_the_very_first_event_and_one_at_the_acknowledged_head(self, lab: Lab) -> None:
        hub, station = lab.pair()
        empty = lab.copy(station, "empty")
        station.record(HALL, draft(text="first"))
        station.exchange(hub)
        at_head = lab.copy(station, "at_head")
        station.record(HALL, draft(text="second"))
        station.exchange(hub)
        at_head.record(HALL, draft(text="other second"))
        assert at_head.exchange(hub).verified
        empty.record(HALL, draft(text="other first"))
        assert empty.exchange(hub).verified
        assert set(texts(hub)) == {"first", "second", "other second", "other first"}

    def test_an_event_that_both_branches_hold_is_at_the_hub_once(self, lab: Lab) -> None:
        """It went to the hub by way of a moved branch before: its id tells."""
        hub, station, backup = _backed_up(lab)
        station.record(HALL, draft(text="lost"))
        station.exchange(hub)
        third = lab.copy(backup, "third")
        backup.record(HALL, draft(text="offline"))
        backup.exchange(hub)
        third.exchange(hub)
        assert sorted(texts(hub)) == sorted(texts(third)) == sorted(["shared", "lost", "offline"])

    def test_an_erased_body_is_not_kept_with_a_branch_and_the_rest_of_the_branch_is(self, lab: Lab) -> None:
        hub, station = lab.pair()
        station.record(HALL, draft(text="shared"))
        station.exchange(hub)
        twin = lab.copy(station, "twin")
        station.record(HALL, draft(text="here"))
        station.exchange(hub)
        lost = twin.record(HALL, draft(text="private 1"), draft(text="private 2"), draft(text="there"))
        with hub.engine.begin() as conn:
            peer = peers.get_peer(conn, station.node)
            hub.ledger.erase(conn, [lost[0].event_id])
            refused_branch = hub.ledger.accept(conn, packed(twin, lost[0].stream, 2, 4), peer)
            assert isinstance(refused_branch.refusals[0], ForkFound)
            hub.ledger.erase(conn, [lost[1].event_id])
            (branch,) = incidents.evidence_of(conn, hub.ledger.incidents(conn)[0])
            assert branch.bodies == [None, None, lost[2].body]
        assert station.exchange(hub).verified
        there = {event.event_id: event.body for event in hub.events()}
        assert [there[event.event_id] for event in lost] == [None, None, lost[2].body]

    def test_of_several_branches_at_one_place_all_are_kept_and_of_one_the_longest(self, lab: Lab) -> None:
        hub, station = lab.pair()
        station.record(HALL, draft(text="shared"))
        station.exchange(hub)
        twins = [lab.copy(station, f"twin{n}") for n in (1, 2)]
        station.record(HALL, draft(text="here"))
        station.exchange(hub)
        stream = station.events()[0].stream
        for twin in twins:
            twin.record(HALL, *(draft(text=f"{twin.name} {n}") for n in (1, 2, 3)))
        with hub.engine.begin() as conn:
            peer = peers.get_peer(conn, station.node)
            for twin, last in ((twins[0], 2), (twins[1], 3), (twins[0], 4), (twins[0], 3), (twins[1], 4)):
                hub.ledger.accept(conn, packed(twin, stream, 2, last), peer)
            kept = incidents.evidence_of(conn, hub.ledger.incidents(conn)[0])
            assert sorted(segment.last for segment in kept) == [4, 4]
        assert station.exchange(hub).verified
        assert set(texts(hub)) == {"shared", "here", *(f"twin{t} {n}" for t in (1, 2) for n in (1, 2, 3))}

    # --- a hub restored from its backup ------------------------------------------------------------------------

    def test_a_restored_hub_is_refilled_by_its_stations(self, lab: Lab) -> None:
        hub, station = lab.pair()
        station.record(HALL, draft(text="early"))
        hub.record(PUB, draft("policy/town", text="early"))
        station.exchange(hub)
        restored = lab.copy(hub, "restored")
        station.record(HALL, draft(text="late"))
        hub.record(PUB, draft("policy/town", text="late"))
        station.exchange(hub)
        assert station.exchange(restored).verified
        assert texts(restored) == ["early", "late"]
        assert texts(restored, "policy/town") == ["early", "late"]
        assert _reasons(restored) == ["peer_knows_more"]
        restored.record(PUB, draft("policy/town", text="after"))
        assert station.exchange(restored).verified
        assert texts(station, "policy/town") == ["early", "late", "after"]

    def test_a_computer_whose_key_was_withdrawn_fills_a_restored_hub_before_it_rests(self, lab: Lab) -> None:
        hub, station = lab.pair()
        station.record(HALL, draft(text="early"))
        station.exchange(hub)
        restored = lab.copy(hub, "restored")
        station.record(HALL, draft(text="late"))
        station.exchange(hub)
        with restored.engine.begin() as conn:
            assert replacing.withdraw(conn, station.node, lab.clock())
        for _ in range(2):
            with refused(PeerRevoked):
                station.exchange(restored)
        with restored.engine.begin() as conn:
            (found,) = late.waiting(conn)
            (segment,) = incidents.evidence_of(conn, found)
            assert restored.ledger.take_late(conn, segment).stored == 1
        assert texts(restored) == ["early", "late"]

    def test_a_restored_hub_that_went_on_recording_loses_neither_branch(self, lab: Lab) -> None:
        self._loses_neither_branch(lab, lost=200, new=2)

    def test_a_restored_hub_that_recorded_more_than_it_lost_loses_neither_branch(self, lab: Lab) -> None:
        self._loses_neither_branch(lab, lost=1, new=5)

    def _loses_neither_branch(self, lab: Lab, lost: int, new: int) -> None:
        hub, station = lab.pair()
        hub.record(PUB, draft("policy/town", text="early"))
        station.exchange(hub)
        restored = lab.copy(hub, "restored")
        branches = [f"lost {n}" for n in range(lost)], [f"new {n}" for n in range(new)]
        hub.record(PUB, *(draft("policy/town", text=text) for text in branches[0]))
        hub.record(HALL, draft(text="card", once="card:1"))
        station.exchange(hub)
        restored.record(PUB, *(draft("policy/town", text=text) for text in branches[1]))
        assert station.exchange(restored).verified
        there = texts(restored, "policy/town")
        assert sorted(there) == sorted(["early", *branches[0], *branches[1]])
        assert sorted(texts(station, "policy/town")) == sorted(there)
        assert texts(restored) == ["card"]
        with station.engine.begin() as conn:
            assert not station.ledger.incidents(conn), "superseded is settled, not open"
        all_sound(lab, restored, station)

    def test_a_station_that_had_the_new_branch_and_one_that_had_the_old_one_end_equal(self, lab: Lab) -> None:
        hub, old = lab.pair()
        other = lab.node("other")
        lab.enrol(other, hub, ["t/pub", "t/s/b"], ["t/s/b"])
        hub.record(PUB, draft("policy/town", text="early"))
        old.exchange(hub)
        restored = lab.copy(hub, "restored")
        hub.record(PUB, draft("policy/town", text="lost"))
        old.exchange(hub)
        restored.record(PUB, draft("policy/town", text="new"))
        assert other.exchange(restored).verified
        assert old.exchange(restored).verified
        assert other.exchange(restored).verified
        assert sorted(texts(old, "policy/town")) == sorted(texts(other, "policy/town")) == ["early", "lost", "new"]
        assert old.exchange(restored).verified

    def test_a_hub_restored_to_before_a_station_was_enrolled_takes_it_in_again(self, lab: Lab) -> None:
        """Its people give it a new code; the station keeps its key, and everything comes back."""
        hub = lab.node("hub")
        before = lab.copy(hub, "before")
        station = lab.node("station")
        lab.enrol(station, hub, ["t/pub", "t/s/a"], ["t/s/a"])
        station.record(HALL, draft(text="early"))
        hub.record(HALL, draft(text="answer"))
        station.exchange(hub)
        station.record(HALL, draft(text="late"))
        with refused(UnknownPeer):
            station.exchange(before)
        assert station.unsent(hub).count == 1
        lab.enrol(station, before, ["t/pub", "t/s/a"], ["t/s/a"])
        assert station.exchange(before).verified
        assert sorted(texts(before)) == ["answer", "early", "late"]
        all_sound(lab, before, station)

    def test_hub_and_station_both_restored(self, lab: Lab) -> None:
        hub, station = lab.pair()
        station.record(HALL, draft(text="shared"))
        hub.record(HALL, draft(text="answer"))
        station.exchange(hub)
        old_hub, old_station = lab.copy(hub, "old_hub"), lab.copy(station, "old_station")
        station.record(HALL, draft(text="lost by both"))
        old_station.record(HALL, draft(text="offline"))
        old_hub.record(HALL, draft(text="a clerk went on"))
        assert old_station.exchange(old_hub).verified
        assert sorted(texts(old_hub)) == sorted(["shared", "answer", "offline", "a clerk went on"])
        assert station.exchange(old_hub).verified, "the old disk turns up after all"
        assert "lost by both" in texts(old_hub)
        all_sound(lab, old_hub, station)

    # --- copies ------------------------------------------------------------------------------------------------

    def test_two_computers_with_one_disk_lose_nothing_and_are_recognised(self, lab: Lab) -> None:
        hub, station, copy = _backed_up(lab)
        for round_ in range(3):
            for node in (station, copy):
                node.record(HALL, draft(text=f"{node.name} {round_}"))
                assert node.exchange(hub).verified
        assert len(texts(hub)) == 7
        with hub.engine.begin() as conn:
            assert peer_epochs.shared_keys(conn, lab.clock()) == {station.node}
        assert len(_reasons(station)) + len(_reasons(copy)) == 1, "the later one doubts itself, once"

    def test_a_copy_that_slept_for_weeks_wakes_and_loses_nothing(self, lab: Lab) -> None:
        hub, station, copy = _backed_up(lab)
        for week in range(5):
            lab.clock.advance(timedelta(days=7))
            station.record(HALL, draft(text=f"week {week}"))
            assert station.exchange(hub).verified
        copy.record(HALL, draft(text="woke up"))
        assert copy.exchange(hub).verified
        station.record(HALL, draft(text="went on"))
        assert station.exchange(hub).verified
        assert copy.exchange(hub).verified
        expected = {"shared", *(f"week {week}" for week in range(5)), "woke up", "went on"}
        assert set(texts(hub)) == set(texts(station)) == set(texts(copy)) == expected
        assert len(texts(hub)) == len(expected)
        all_sound(lab, hub, station, copy)

    def test_a_restored_station_alone_is_not_taken_for_two(self, lab: Lab) -> None:
        hub, station, backup = _backed_up(lab)
        station.record(HALL, draft(text="lost"))
        station.exchange(hub)
        for round_ in range(4):
            backup.record(HALL, draft(text=f"{round_}"))
            backup.exchange(hub)
        with hub.engine.begin() as conn:
            assert not peer_epochs.shared_keys(conn, lab.clock())

    def test_a_hundred_epochs_do_not_make_an_idle_exchange_larger(self, lab: Lab) -> None:
        hub, station, _ = _backed_up(lab)
        idle = station.exchange(hub)
        for number in range(100):
            lab.clock.advance(timedelta(days=1))
            with station.engine.begin() as conn:
                epochs.open_new(conn, station.replica.identity, "test", lab.clock())
            station.record(HALL, draft(text=f"{number}"))
        assert station.exchange(hub).verified
        after = station.exchange(hub)
        assert (after.requests, after.verified) == (1, True)
        assert after.bytes_sent + after.bytes_received <= idle.bytes_sent + idle.bytes_received + 16

    def test_a_node_that_doubts_itself_all_the_time_stops_and_says_so(self, lab: Lab) -> None:
        _, station, _ = _backed_up(lab)
        with station.engine.begin() as conn:
            for _ in range(epochs.EPOCHS_PER_DAY_MAX):
                epochs.open_new(conn, station.replica.identity, "test", lab.clock())
            with refused(EpochsExhausted):
                epochs.open_new(conn, station.replica.identity, "test", lab.clock())
        assert station.record(HALL, draft(text="recording goes on"))

    # --- the anchor --------------------------------------------------------------------------------------------

    def test_an_anchor_ahead_of_the_database_opens_an_epoch_before_anything_is_recorded(self, lab: Lab) -> None:
        hub, station, backup = _backed_up(lab)
        station.record(HALL, draft(text="lost"))
        station.exchange(hub)
        kept = _written(lab, station)
        assert _examine(kept, station) is None
        assert _examine(Anchor(kept.folder, lambda: "pc"), backup) == "database_older"
        backup.record(HALL, draft(text="offline"))
        report = backup.exchange(hub)
        assert report.verified
        assert not report.reconciled, "nothing was recorded under a number that was used up"
        assert set(texts(hub)) == {"shared", "lost", "offline"}

    def test_an_anchor_of_another_branch_is_told_from_an_older_one(self, lab: Lab) -> None:
        _, station, backup = _backed_up(lab)
        station.record(HALL, draft(text="left"))
        backup.record(HALL, draft(text="right"), draft(text="more"))
        kept = _written(lab, station)
        assert _examine(Anchor(kept.folder, lambda: "pc"), backup) == "database_differs"

    def test_a_missing_or_damaged_anchor_is_a_reason_only_where_there_is_a_past(self, lab: Lab) -> None:
        _, station = lab.pair()
        kept = _anchor(lab, station)
        assert _examine(kept, station) is None, "nothing recorded yet"
        station.record(HALL, draft())
        file = kept.folder / anchor.ANCHOR_FILE
        for damaged in (None, b"{", b""):
            file.unlink() if damaged is None else file.write_bytes(damaged)
            assert _examine(Anchor(kept.folder, lambda: "pc"), station) == "anchor_missing"
            assert _examine(Anchor(kept.folder, lambda: "pc"), station) is None, "once"

    def test_an_anchor_that_lags_behind_is_no_reason(self, lab: Lab) -> None:
        _, station = lab.pair()
        station.record(HALL, draft())
        kept = _written(lab, station)
        station.record(HALL, draft(), draft())
        assert _examine(Anchor(kept.folder, lambda: "pc"), station) is None

    def test_another_machine_is_a_reason_until_it_changes_all_the_time(self, lab: Lab) -> None:
        _, station = lab.pair()
        station.record(HALL, draft())
        folder = _anchor(lab, station).folder
        with station.engine.begin() as conn:
            Anchor(folder, lambda: "pc").write(conn, station.replica.identity)
        machines = iter(f"container {number}" for number in range(5))
        found = [_examine(Anchor(folder, partial(str, machine)), station) for machine in machines]
        assert found == ["machine_changed"] * anchor.MACHINE_ALARMS_MAX + [None, None]
        assert _examine(Anchor(folder, lambda: ""), station) is None, "a machine that does not say who it is"

    def test_the_anchor_is_written_only_when_something_changed(self, lab: Lab) -> None:
        _, station = lab.pair()
        kept = _anchor(lab, station)
        station.record(HALL, draft())
        with station.engine.begin() as conn:
            assert kept.write(conn, station.replica.identity)
            assert not kept.write(conn, station.replica.identity)


def _backed_up(lab: Lab) -> tuple[LabNode, LabNode, LabNode]:
    """A hub, a station that exchanged one record, and a copy of the station as it was then."""
    hub, station = lab.pair()
    station.record(HALL, draft(text="shared"))
    station.exchange(hub)
    return hub, station, lab.copy(station, "backup")


def texts(node: LabNode, subject: str = "note/1") -> list[str]:
    return [_text(event) for event in node.events(subject)]


def _text(event: Event) -> str:
    assert event.body is not None
    return event.body.decode().removeprefix('{"text": "').removesuffix('"}')


def _reasons(node: LabNode) -> list[str]:
    with node.engine.begin() as conn:
        return [one.reason for one in epochs.opened(conn)]


def _anchor(lab: Lab, node: LabNode) -> Anchor:
    return Anchor(lab.folder / node.name, lambda: "pc")


def _written(lab: Lab, node: LabNode) -> Anchor:
    kept = _anchor(lab, node)
    with node.engine.begin() as conn:
        kept.write(conn, node.replica.identity)
    return kept


def _examine(kept: Anchor, node: LabNode) -> str | None:
    with node.engine.begin() as conn:
        return kept.examine(conn, node.replica.identity, node.clock())


def all_sound(lab: Lab, *nodes: LabNode) -> None:
    """Chains verify, and no event is there twice."""
    for node in nodes:
        with node.engine.begin() as conn:
            assert not node.ledger.verify(conn)
            subjects = node.ledger.subjects(conn, "", None, 1000)
            found = node.ledger.read_subjects(conn, [Subject(name) for name in subjects])
        ids = [event.event_id for events in found.values() for event in events]
        assert len(ids) == len(set(ids))
