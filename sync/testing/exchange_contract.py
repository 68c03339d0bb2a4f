"""What an exchange must do on any database. Subclass it in a test module that has a fixture `lab` (a `Lab`)."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from random import Random

from sync import epochs, peers
from sync.admission import Admission
from sync.errors import (
    CounterTooLow,
    NotGranted,
    PeerBusy,
    TimedOut,
    TooLarge,
    UnknownOrigin,
    WrongRecipient,
)
from sync.events import Scope, Subject
from sync.exchange import exchange
from sync.limits import Limits
from sync.responder import Responder
from sync.testing.expecting import refused
from sync.testing.ledger_contract import packed
from sync.testing.nodes import Lab, LabNode, draft
from sync.testing.transports import DirectTransport
from sync.transport import Transport

HALL, PUB = "t/s/a", "t/pub"


class Tapped:
    """A line that remembers what passed and lets a test interfere."""

    def __init__(self, inner: Transport, meddle: Callable[[str, bytes], bytes | None] | None = None) -> None:
        self.requests: list[tuple[str, bytes]] = []
        self.answers: list[bytes] = []
        self._inner = inner
        self._meddle = meddle or (lambda verb, body: None)

    def post(self, verb: str, body: bytes) -> bytes:
        self.requests.append((verb, body))
        self.answers.append(self._meddle(verb, body) or self._inner.post(verb, body))
        return self.answers[-1]

    @property
    def verbs(self) -> list[str]:
        return [verb for verb, _ in self.requests]

    @property
    def size(self) -> int:
        return sum(len(body) for _, body in self.requests) + sum(map(len, self.answers))


def direct(hub: LabNode, meddle: Callable[[str, bytes], bytes | None] | None = None) -> Tapped:
    return Tapped(DirectTransport(hub.responder), meddle)


def heads(node: LabNode, scope: str) -> bytes:
    with node.engine.begin() as conn:
        return node.ledger.digest(node.ledger.heads(conn, [Scope(scope)]))


class ExchangeContract:
    """Both halves of the conversation, and enrolment."""

    # --- moving events -----------------------------------------------------------------------------------------

    def test_both_sides_end_with_the_same_events(self, lab: Lab) -> None:
        hub, station = lab.pair()
        station.record(HALL, draft(text="下水道堵了"), draft("note/2"))
        hub.record(PUB, draft("policy/town"))
        hub.record(HALL, draft(text="assigned"))
        report = station.exchange(hub)
        assert (report.pushed, report.pulled, report.verified) == (2, 2, True)
        assert heads(hub, HALL) == heads(station, HALL)
        assert [event.body for event in hub.events()] == [event.body for event in station.events()]
        with hub.engine.begin() as conn:
            assert set(hub.ledger.take_pending(conn, 9)) == {"note/1", "note/2"}
        with station.engine.begin() as conn:
            assert set(station.ledger.take_pending(conn, 9)) == {"note/1", "policy/town"}

    def test_with_nothing_to_do_one_small_request_is_enough(self, lab: Lab) -> None:
        hub, station = lab.pair()
        station.record(HALL, *(draft(f"note/{n}") for n in range(300)))
        station.exchange(hub)
        line = direct(hub)
        report = station.exchange(hub, line)
        assert report.verified
        assert line.verbs == ["hello"]
        assert line.size < 1000
        assert report.bytes_sent + report.bytes_received == line.size

    def test_a_station_gets_nothing_outside_its_scopes(self, lab: Lab) -> None:
        hub, station = lab.pair()
        for scope in ("t/s/b", "t/hub", "t/s/ab", "t/s"):
            hub.record(scope, draft("secret/1"))
        hub.record("t/s/a/desk", draft("own/1"))
        assert station.exchange(hub).verified
        assert not station.events("secret/1")
        assert station.events("own/1")

    def test_a_station_may_not_write_outside_its_scopes(self, lab: Lab) -> None:
        hub, station = lab.pair()
        station.record("t/s/b", draft("note/b"))
        station.record(HALL, draft())
        with refused(NotGranted):
            station.exchange(hub)
        assert hub.events()
        assert not hub.events("note/b")
        assert station.unsent(hub).count == 1

    def test_a_push_outside_the_granted_scopes_is_refused_by_the_hub_itself(self, lab: Lab) -> None:
        hub, station = lab.pair()
        station.record(PUB, draft("policy/town"))
        with station.engine.begin() as conn:
            peers.set_scopes(conn, hub.node, [Scope(HALL), Scope(PUB)], [Scope(HALL), Scope(PUB)])
            believes = replace(peers.get_peer(conn, hub.node), introduces=False)
            peers.add_peer(conn, believes, lab.clock())
        with refused(NotGranted):
            station.exchange(hub)
        assert not hub.events("policy/town")
        with hub.engine.begin() as conn:
            assert hub.ledger.incidents(conn)[0].code == "not_granted"

    def test_a_third_station_reads_and_verifies_a_stream_it_was_granted(self, lab: Lab) -> None:
        hub, station = lab.pair()
        central = lab.node("central")
        lab.enrol(central, hub, [PUB, "t/s"], ["t/s/central"])
        station.record(HALL, *(draft(f"note/{n}") for n in range(200)))
        station.exchange(hub)
        assert central.exchange(hub).verified
        with central.engine.begin() as conn:
            assert not central.ledger.verify(conn)
        assert central.events("note/199")[0].stream.origin == station.replica.identity.origin

    def test_streams_of_an_unknown_origin_are_not_taken(self, lab: Lab) -> None:
        hub, station = lab.pair()
        central = lab.node("central")
        lab.enrol(central, hub, [PUB, "t/s"], [])
        doubted = replace(central.peer(hub), introduces=False)
        with central.engine.begin() as conn:
            peers.add_peer(conn, doubted, lab.clock())
        station.record(HALL, draft())
        hub.record(PUB, draft("policy/town"))
        station.exchange(hub)
        with refused(UnknownOrigin):
            central.exchange(hub)
        assert central.events("policy/town")
        assert not central.events()

    def test_a_hub_that_lost_its_database_gets_everything_back(self, lab: Lab) -> None:
        hub, station = lab.pair()
        station.record(HALL, *(draft() for _ in range(20)))
        hub.record(PUB, *(draft("policy/town") for _ in range(20)))
        station.exchange(hub)
        again = self._emptied(lab, hub, station)
        assert station.exchange(again).verified
        assert len(again.events("policy/town")) == 20
        assert self._doubts(again) == ["peer_knows_more"]
        assert again.record(PUB, draft())[0].seq == 1, "in a new epoch: numbers it no longer knows of may be used up"
        assert station.exchange(again).verified

    def test_a_station_that_lost_its_database_gets_its_past_back(self, lab: Lab) -> None:
        hub, station = lab.pair()
        station.record(HALL, *(draft() for _ in range(20)))
        station.exchange(hub)
        again = self._emptied(lab, station, hub)
        assert again.exchange(hub).pulled == 20
        assert self._doubts(again) == ["peer_knows_more"]
        assert again.record(HALL, draft())[0].seq == 1
        assert again.exchange(hub).verified

    def _doubts(self, node: LabNode) -> list[str]:
        with node.engine.begin() as conn:
            return [one.reason for one in epochs.opened(conn)]

    def _emptied(self, lab: Lab, lost: LabNode, other: LabNode) -> LabNode:
        """The node with its keys and peers, and an empty ledger."""
        with lost.engine.begin() as conn:
            peer = peers.get_peer(conn, other.node)
        folder = lab.folder / "again"
        folder.mkdir()
        for file in (lab.folder / lost.name).iterdir():
            (folder / file.name).write_bytes(file.read_bytes())
        again = lab.node("again")
        with again.engine.begin() as conn:
            peers.add_peer(conn, peer, lab.clock())
        return again

    # --- failing lines -----------------------------------------------------------------------------------------

    def test_an_answer_lost_after_the_commit_costs_nothing(self, lab: Lab) -> None:
        hub, station = lab.pair()
        station.record(HALL, draft(), draft())

        def lose_push(verb: str, body: bytes) -> None:
            if verb == "push":
                hub.responder.answer(verb, body)
                raise TimedOut

        with refused(TimedOut):
            station.exchange(hub, direct(hub, lose_push))
        assert station.unsent(hub).count == 2
        with station.engine.begin() as conn:
            assert peers.find_contact(conn, hub.node).last_error_code == "timed_out"
        report = station.exchange(hub)
        assert (report.pushed, report.verified) == (0, True)
        assert len(hub.events()) == 2
        assert station.unsent(hub).count == 0
        with station.engine.begin() as conn:
            assert peers.find_contact(conn, hub.node).last_error_code is None

    def test_a_replayed_request_is_refused(self, lab: Lab) -> None:
        hub, station = lab.pair()
        station.record(HALL, draft())
        line = direct(hub)
        station.exchange(hub, line)
        for verb, body in line.requests:
            with refused(CounterTooLow):
                hub.responder.answer(verb, body)

    def test_a_station_that_forgot_its_counter_goes_on(self, lab: Lab) -> None:
        hub, station = lab.pair()
        for _ in range(3):
            station.exchange(hub)
        with station.engine.begin() as conn:
            conn.exec_driver_sql("UPDATE sync_peers SET counter_sent = 0")
        assert station.exchange(hub).verified

    def test_a_statement_that_would_use_up_the_counter_is_not_believed(self, lab: Lab) -> None:
        hub, station = lab.pair()

        def forge(verb: str, body: bytes) -> None:
            raise CounterTooLow(seen=2**62)

        with refused(CounterTooLow):
            station.exchange(hub, direct(hub, forge))
        assert station.exchange(hub).verified

    def test_a_request_for_another_hub_is_refused(self, lab: Lab) -> None:
        hub, station = lab.pair()
        other = lab.node("other")
        with refused(WrongRecipient):
            station.exchange(hub, DirectTransport(other.responder))

    def test_events_recorded_during_the_exchange_travel_as_well(self, lab: Lab) -> None:
        hub, station = lab.pair()
        station.record(HALL, draft())

        def record_meanwhile(verb: str, body: bytes) -> None:
            if verb == "push":
                station.record(HALL, draft())

        line = direct(hub, record_meanwhile)
        report = station.exchange(hub, line)
        assert report.verified == (len(hub.events()) == len(station.events()))

    def test_two_exchanges_of_one_station_at_once_store_each_event_once(self, lab: Lab) -> None:
        hub, station = lab.pair()
        station.record(HALL, *(draft() for _ in range(10)))

        def exchange_meanwhile(verb: str, body: bytes) -> None:
            if verb == "push" and not hub.events():
                station.exchange(hub)

        line = direct(hub, exchange_meanwhile)
        assert station.exchange(hub, line).verified
        assert len(hub.events()) == 10

    def test_a_backlog_travels_in_several_bundles(self, lab: Lab) -> None:
        small = Limits(batch_raw_bytes=4000, batch_raw_bytes_start=4000, batch_raw_bytes_min=500)
        hub, station = lab.node("hub"), lab.node("station", limits=small)
        lab.enrol(station, hub, [HALL], [HALL])
        station.record(HALL, *(draft(f"note/{n}", "x" * 200) for n in range(100)))
        line = direct(hub)
        assert station.exchange(hub, line).verified
        assert line.verbs.count("push") > 5

    def test_what_waits_at_the_hub_behind_a_gap_is_not_sent_again(self, lab: Lab) -> None:
        hub, station = lab.pair()
        stream = station.record(HALL, *(draft(f"note/{n}", f"{n}" * 500) for n in range(50)))[0].stream
        with hub.engine.begin() as conn:
            peer = peers.get_peer(conn, station.node)
            hub.ledger.accept(conn, packed(station, stream, 4, 50), peer)
        line = direct(hub)
        report = station.exchange(hub, line)
        assert (report.pushed, report.verified) == (50, True)
        assert max(len(body) for _, body in line.requests) < 1500

    def test_a_bundle_too_large_for_the_peer_is_sent_smaller(self, lab: Lab) -> None:
        hub, station = lab.pair()
        station.record(HALL, *(draft(f"note/{n}", f"{n}" * 300) for n in range(400)))

        def refuse_large(verb: str, body: bytes) -> None:
            if len(body) > 20_000:
                raise TooLarge

        assert station.exchange(hub, direct(hub, refuse_large)).verified

    def test_a_refused_event_names_the_ceiling_and_ends(self, lab: Lab) -> None:
        hub, station = lab.pair()
        station.record(HALL, draft())

        def refuse(verb: str, body: bytes) -> None:
            if verb == "push":
                raise TooLarge

        with refused(TooLarge):
            station.exchange(hub, direct(hub, refuse))

    # --- crowds ------------------------------------------------------------------------------------------------

    def test_a_crowded_hub_asks_to_come_back_and_still_answers_who_has_nothing_to_do(self, lab: Lab) -> None:
        hub, station = lab.pair()
        station.exchange(hub)
        responder = Responder(replace(hub.replica, limits=Limits(working_at_once=1)))
        line = DirectTransport(responder)
        with responder.admission.working():
            assert station.exchange(hub, line).verified
            station.record(HALL, draft())
            with refused(PeerBusy) as caught:
                station.exchange(hub, line)
            assert isinstance(caught[0].data["wait_s"], int)
            assert station.unsent(hub).count == 1
        assert station.exchange(hub, line).verified

    def test_who_was_not_served_for_long_is_asked_back_first(self, lab: Lab) -> None:
        admission, now = Admission(1, Random(1)), lab.clock()
        ages = (None, timedelta(days=3), timedelta(hours=1), timedelta(minutes=1))
        waits = [[admission.wait_s(None if age is None else now - age, now) for _ in range(50)] for age in ages]
        assert max(waits[0]) == max(waits[1]) < min(waits[2]) <= max(waits[2]) < min(waits[3])

    def test_an_exchange_ends_when_its_time_is_over_and_the_next_one_goes_on(self, lab: Lab) -> None:
        hub = lab.node("hub")
        station = lab.node("station", limits=Limits(batch_raw_bytes=2000, batch_raw_bytes_start=2000, exchange_s=60))
        lab.enrol(station, hub, ["t/s/a"], ["t/s/a"])
        station.record(HALL, *(draft(text="x" * 1500) for _ in range(20)))
        seconds = iter(range(0, 100_000, 4))
        line = DirectTransport(hub.responder)
        first = exchange(station.replica, station.peer(hub), line, lambda: float(next(seconds)))
        assert 0 < first.pushed < 20
        assert not first.verified
        pushed = first.pushed
        while not (report := exchange(station.replica, station.peer(hub), line, lambda: float(next(seconds)))).verified:
            assert report.pushed > 0, "every exchange brings something"
            pushed += report.pushed
        assert pushed + report.pushed == 20

    # --- after accepting ---------------------------------------------------------------------------------------

    def test_a_second_once_key_from_elsewhere_is_kept_but_cannot_be_claimed_again(self, lab: Lab) -> None:
        hub, station = lab.pair()
        station.record(HALL, draft("card/1", once="card:1"))
        hub.record(HALL, draft("card/1", once="card:1"))
        assert station.exchange(hub).verified
        assert len(hub.events("card/1")) == len(station.events("card/1")) == 2

    def test_lamport_numbers_follow_what_was_received(self, lab: Lab) -> None:
        hub, station = lab.pair()
        station.record(HALL, *(draft() for _ in range(5)))
        station.exchange(hub)
        reply = hub.record(HALL, draft(text="reply"))[0]
        assert reply.lamport == 6
        assert hub.events()[-1] == reply
        with hub.engine.begin() as conn:
            assert hub.ledger.take_pending(conn, 5) == [Subject("note/1")]
