"""What surfaces from the disk of a computer whose key was withdrawn, and has gone another way than the hub's copy."""

from contextlib import suppress
from dataclasses import replace
from typing import Final

from sync import enrolment, epochs, late, peers, replacing, wire
from sync.asking import Asker, ExchangeReport
from sync.blobs import BlobState
from sync.errors import BadSignature, ForkFound, OriginRevoked, PeerRevoked
from sync.events import Scope
from sync.exchange import exchange
from sync.incidents import Incident
from sync.late import Taken
from sync.limits import CHUNK_BYTES, Limits
from sync.testing.epoch_contract import all_sound, texts
from sync.testing.exchange_contract import Tapped
from sync.testing.expecting import refused
from sync.testing.ledger_contract import packed
from sync.testing.nodes import Lab, LabNode, draft
from sync.testing.transports import DirectTransport

HALL: Final = Scope("t/s/a")
PUB: Final = Scope("t/pub")
PHOTO: Final = bytes(2 * CHUNK_BYTES + 77)


class LateContract:
    """Inherit and give a `lab` fixture."""

    def test_a_branch_of_a_withdrawn_key_is_taken_up_by_the_successor_once_a_person_says_so(self, lab: Lab) -> None:
        hub, new = _replaced(lab, there=1)
        (one,) = _undecided(hub)
        assert one.code == ForkFound.code
        assert new.exchange(hub).verified
        assert "there 0" not in texts(hub) + texts(new), "not by itself"

        taken = _take(hub, one)
        assert taken == Taken(taker=hub.peer(new))
        assert _undecided(hub) == []
        new.record(HALL, draft(text="new"))
        assert new.exchange(hub).verified
        assert sorted(texts(hub)) == sorted(texts(new)) == ["here 0", "here 1", "new", "shared", "there 0"]
        assert {event.stream.origin.node for event in hub.events() if b"there" in (event.body or b"")} == {new.node}
        with hub.engine.begin() as conn:
            assert late.waiting(conn) == []
        with new.engine.begin() as conn:
            assert [found.reason for found in epochs.opened(conn)] == ["taken_over"]
        all_sound(lab, hub, new)

    def test_a_branch_that_is_longer_than_what_the_hub_had_ends_in_the_same_way(self, lab: Lab) -> None:
        hub, new = _replaced(lab, there=5)
        (one,) = _undecided(hub)
        assert one.code == OriginRevoked.code
        assert _take(hub, one) == Taken(taker=hub.peer(new))
        assert new.exchange(hub).verified
        assert sorted(texts(hub)) == ["here 0", "here 1", "shared", *(f"there {n}" for n in range(5))]
        all_sound(lab, hub, new)

    def test_what_a_person_has_left_out_is_not_asked_about_again(self, lab: Lab) -> None:
        hub, new = _replaced(lab, there=2)
        (one,) = _undecided(hub)
        with hub.engine.begin() as conn:
            late.leave(conn, one, hub.clock())
        copy = lab.made[-1]
        with refused(PeerRevoked):
            copy.exchange(hub)
        assert _undecided(hub) == []
        copy.record(HALL, draft(text="more"))
        with refused(PeerRevoked):
            copy.exchange(hub)
        assert len(_undecided(hub)) == 1, "there is more of it"
        assert new.exchange(hub).verified

    def test_where_nobody_records_any_more_it_waits_for_a_new_computer(self, lab: Lab) -> None:
        hub, new = _replaced(lab, there=1)
        _withdraw(hub, new)
        (one,) = _undecided(hub)
        assert _take(hub, one) is None
        assert _undecided(hub) == [one]
        third = lab.node("third")
        lab.enrol(third, hub, [PUB, HALL], [HALL])
        assert _take(hub, one) == Taken(taker=hub.peer(third))
        assert third.exchange(hub).verified
        assert "there 0" in texts(hub)

    def test_a_person_is_asked_again_when_the_one_to_take_it_is_withdrawn_too(self, lab: Lab) -> None:
        hub, new = _replaced(lab, there=1)
        (one,) = _undecided(hub)
        _take(hub, one)
        _withdraw(hub, new)
        (again,) = _undecided(hub)
        assert (again.stream, again.seq) == (one.stream, one.seq)

    def test_a_decision_holds_for_what_was_looked_at_and_not_for_what_comes_later(self, lab: Lab) -> None:
        hub, new = _replaced(lab, there=1)
        (one,) = _undecided(hub)
        _take(hub, one)
        other = lab.made[-1]
        other.record(HALL, draft(text="afterwards"))
        with refused(PeerRevoked):
            other.exchange(hub)
        (again,) = _undecided(hub)
        assert again.taker is None
        assert new.exchange(hub).verified
        assert not {"there 0", "afterwards"} & set(texts(hub))

    def test_what_a_stick_brought_does_not_keep_from_review_what_precedes_it(self, lab: Lab) -> None:
        hub, station = lab.pair()
        station.record(HALL, draft(text="0"))
        station.exchange(hub)
        made = station.record(HALL, *(draft(text=f"{n}") for n in range(1, 5)))
        new = lab.node("new")
        _succeed(hub, station, new)
        sender = hub.peer(station)
        with hub.engine.begin() as conn:
            hub.ledger.accept(conn, packed(station, made[0].stream, 4, 5), sender)
        with refused(PeerRevoked):
            station.exchange(hub)
        both = _undecided(hub)
        assert [one.seq for one in both] == [3, 1]
        assert [_take(hub, one) for one in both] == [Taken(taker=hub.peer(new)), Taken(stored=4)]
        assert new.exchange(hub).verified
        assert texts(hub) == texts(new) == [f"{n}" for n in range(5)]
        with hub.engine.begin() as conn:
            assert late.waiting(conn) == []
        all_sound(lab, hub, new)

    def test_what_another_computer_took_up_is_not_stored_again_under_the_old_key(self, lab: Lab) -> None:
        """The old disk goes on where the hub stopped, after its records were taken up one place further on."""
        hub, station = lab.pair()
        station.record(HALL, draft(text="shared"))
        station.exchange(hub)
        made = station.record(HALL, draft(text="gap"), draft(text="late"))
        new = lab.node("new")
        _succeed(hub, station, new)
        sender = hub.peer(station)
        with hub.engine.begin() as conn:
            hub.ledger.accept(conn, packed(station, made[1].stream, 3, 3), sender)
        (one,) = _undecided(hub)
        assert _take(hub, one) == Taken(taker=hub.peer(new)), "what precedes it may never come"
        assert new.exchange(hub).verified
        with refused(PeerRevoked):
            station.exchange(hub)
        (one,) = _undecided(hub)
        assert _take(hub, one) == Taken(taker=hub.peer(new))
        assert new.exchange(hub).verified
        assert sorted(texts(hub)) == sorted(texts(new)) == ["gap", "late", "shared"]

    def test_what_waited_for_a_computers_next_record_waits_for_a_person_when_its_key_is_withdrawn(
        self, lab: Lab
    ) -> None:
        hub, station = lab.pair()
        made = station.record(HALL, *(draft(text=f"{n}") for n in range(3)))
        sender = hub.peer(station)
        with hub.engine.begin() as conn:
            assert hub.ledger.accept(conn, packed(station, made[2].stream, 3, 3), sender).held == 1
        new = lab.node("new")
        _succeed(hub, station, new)
        (one,) = _undecided(hub)
        assert _take(hub, one) == Taken(taker=hub.peer(new))
        assert new.exchange(hub).verified
        assert texts(hub) == texts(new) == ["2"]

    def test_the_photo_of_a_late_record_follows_once_a_person_lets_the_record_count(self, lab: Lab) -> None:
        hub, station = lab.pair()
        new = lab.node("new")
        _succeed(hub, station, new)
        photo = station.attach(HALL, PHOTO)
        station.record(HALL, draft(text="late"))
        _comes_back(station, hub)
        with hub.engine.begin() as conn:
            assert hub.blobs.find(conn, photo) is None, "nothing that counts refers to it yet"
        (one,) = _undecided(hub)
        assert _take(hub, one) == Taken(stored=1)
        hub.refer(HALL, photo, len(PHOTO))
        _comes_back(station, hub)
        assert hub.blob(photo).state is BlobState.COMPLETE
        new.exchange(hub)
        new.refer(HALL, photo, len(PHOTO))
        new.exchange(hub)
        assert new.blob(photo).state is BlobState.COMPLETE

    def test_a_photo_that_was_still_on_its_way_when_the_key_was_withdrawn_goes_on_where_it_stood(
        self, lab: Lab
    ) -> None:
        hub, station = lab.pair()
        photo = station.attach(HALL, PHOTO)
        station.record(HALL, draft())
        station.exchange(hub)
        hub.refer(HALL, photo, len(PHOTO))
        slow = replace(station.replica, limits=Limits(blob_lane_bytes=CHUNK_BYTES))
        exchange(slow, station.peer(hub), DirectTransport(hub.responder))
        assert hub.blob(photo).chunks == {0}
        _succeed(hub, station, lab.node("new"))
        station.record(HALL, draft(text="late"))
        line = _comes_back(station, hub)
        assert line.verbs.count("chunk-put") == 2
        assert hub.blob(photo).state is BlobState.COMPLETE
        assert "blobs" not in _comes_back(station, hub).verbs, "nothing is outstanding"

    def test_a_withdrawn_key_is_given_no_content_and_not_told_what_is_lacking(self, lab: Lab) -> None:
        hub, station = lab.pair()
        paper, lacking = hub.attach(PUB, PHOTO), bytes(range(32))
        hub.refer(HALL, lacking, 5)
        station.refer(PUB, paper, len(PHOTO))
        _withdraw(hub, station)
        asker = Asker(station.replica, station.peer(hub), DirectTransport(hub.responder), ExchangeReport())
        answer = asker.plainly("blobs", wire.Blobs(offers=[], wants=[paper]), wire.BlobsAnswer)
        assert (answer.offers, answer.wants) == ([], [])
        with refused(PeerRevoked):
            asker.plainly("chunk-get", wire.ChunkGet(digest=paper, number=0), wire.ChunkGetAnswer)

    def test_nobody_but_the_hub_hands_on_what_another_signed_and_only_where_we_write(self, lab: Lab) -> None:
        hub, station = lab.pair()
        stranger = lab.node("stranger")
        lab.enrol(stranger, hub, [PUB, "t/s/b"], ["t/s/b"])
        made = station.record(HALL, draft())
        theirs = packed(station, made[0].stream, 1, 1).segments[0]
        at_hub, above = hub.peer(stranger), stranger.peer(hub)
        with hub.engine.begin() as conn, refused(BadSignature):
            hub.ledger.take_back(conn, theirs, at_hub)
        with stranger.engine.begin() as conn:
            peers.introduce(conn, [(station.node, station.replica.identity.public_key)], above, lab.clock())
            with refused(BadSignature):
                stranger.ledger.take_back(conn, theirs, above)


def _replaced(lab: Lab, there: int) -> tuple[LabNode, LabNode]:
    """A hub and a new computer in place of one whose disk had been copied. The copy, which recorded so many of its own,
    has tried to exchange; it is the last node made.
    """
    hub, station = lab.pair()
    station.record(HALL, draft(text="shared"))
    station.exchange(hub)
    new = lab.node("new")
    copy = lab.copy(station, "copy")
    station.record(HALL, *(draft(text=f"here {n}") for n in range(2)))
    station.exchange(hub)
    _succeed(hub, station, new)
    copy.record(HALL, *(draft(text=f"there {n}") for n in range(there)))
    with refused(PeerRevoked):
        copy.exchange(hub)
    return hub, new


def _comes_back(old: LabNode, hub: LabNode) -> Tapped:
    """The old computer is started once more and tries to exchange; what went over the line."""
    line = Tapped(DirectTransport(hub.responder))
    with suppress(PeerRevoked):  # it is told so only when nothing of its own is left to say
        old.exchange(hub, line)
    return line


def _succeed(hub: LabNode, old: LabNode, new: LabNode) -> None:
    """The new computer takes the old one's place, by a code."""
    with hub.engine.begin() as conn:
        code = enrolment.issue_code(
            conn, name=old.name, read_scopes=[PUB, HALL], write_scopes=[HALL], now=hub.clock(), successor_of=old.node,
        )  # fmt: skip
    enrolment.enrol(new.replica, DirectTransport(hub.responder), code)


def _withdraw(hub: LabNode, node: LabNode) -> None:
    with hub.engine.begin() as conn:
        replacing.withdraw(conn, node.node, hub.clock())


def _undecided(hub: LabNode) -> list[Incident]:
    with hub.engine.begin() as conn:
        return late.undecided(conn)


def _take(hub: LabNode, incident: Incident) -> Taken | None:
    with hub.engine.begin() as conn:
        return late.take(conn, hub.ledger, incident, hub.clock())
