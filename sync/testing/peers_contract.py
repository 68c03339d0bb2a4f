"""What a node knows of its peers on any database, whom it refuses, and how one is let in."""

from dataclasses import replace
from datetime import timedelta

from sync import peers, receipts, streams, wire
from sync.enrolment import enrol, issue_code
from sync.errors import (
    CodeRefused,
    Malformed,
    NodeTaken,
    PeerRevoked,
    TooLarge,
    UnknownPeer,
    UnknownVerb,
    Unreachable,
)
from sync.events import Scope
from sync.identity import Identity
from sync.ledger import Ledger
from sync.limits import Limits
from sync.positions import check_code
from sync.replica import Replica
from sync.responder import Responder
from sync.testing.exchange_contract import HALL, PUB, direct
from sync.testing.expecting import refused
from sync.testing.nodes import Lab, LabNode, draft
from sync.testing.transports import DirectTransport


class PeersContract:
    """Inherit and give a `lab` fixture."""

    # --- what is known of the peer -----------------------------------------------------------------------------

    def test_both_sides_know_the_last_contact(self, lab: Lab) -> None:
        hub, station = lab.pair()
        station.record(HALL, draft())
        lab.clock.advance(timedelta(hours=1))
        station.exchange(hub)
        for node, other in ((hub, station), (station, hub)):
            with node.engine.begin() as conn:
                contact = peers.contacts(conn)[other.node]
            assert contact.last_contact_at == contact.last_verified_at == lab.clock()
            assert (contact.unsent_count, contact.version) == (0, "lab 1")

    def test_unsent_events_are_counted_with_the_age_of_the_oldest(self, lab: Lab) -> None:
        hub, station = lab.pair()
        station.record(HALL, draft())
        station.exchange(hub)
        since = lab.clock.advance(timedelta(hours=2))
        station.record(HALL, draft())
        lab.clock.advance(timedelta(hours=2))
        station.record(HALL, draft())
        unsent = station.unsent(hub)
        assert (unsent.count, unsent.oldest_at) == (2, since)

    def test_the_hub_learns_what_stopped_the_station_before(self, lab: Lab) -> None:
        hub, station = lab.pair()
        station.record(HALL, draft())

        def fail(verb: str, body: bytes) -> None:
            if verb == "push":
                raise Unreachable

        for _ in range(2):
            with refused(Unreachable):
                station.exchange(hub, direct(hub, fail))
        with hub.engine.begin() as conn:
            contact = peers.find_contact(conn, station.node)
        assert (contact.last_error_code, contact.unsent_count) == ("unreachable", 1)

    def test_the_hub_signs_what_it_holds(self, lab: Lab) -> None:
        hub, station = lab.pair()
        station.record(HALL, draft(), draft())
        station.exchange(hub)
        with station.engine.begin() as conn:
            signed = receipts.newest(conn, hub.node)
        assert signed is not None
        receipt = wire.open_receipt(signed, hub.replica.identity.public_key)
        assert [entry[3] for entry in receipt.heads] == [2]

    def test_both_ends_derive_the_same_check_code_and_another_one_once_something_is_missing(self, lab: Lab) -> None:
        hub, station = lab.pair()
        station.record(HALL, draft(), draft())
        station.exchange(hub)
        codes = []
        for node in (hub, station):
            with node.engine.begin() as conn:
                codes.append(check_code(streams.heads_of(conn, station.node)))
        with station.engine.begin() as conn:
            stated = receipts.stated(conn, hub.node)
        assert stated is not None
        assert codes == [check_code(stated[0])] * 2
        station.record(HALL, draft())
        with station.engine.begin() as conn:
            assert check_code(station.ledger.own_heads(conn)) not in codes

    def test_a_receipt_that_got_lost_is_asked_for_again(self, lab: Lab) -> None:
        hub, station = lab.pair()
        station.record(HALL, draft())
        station.exchange(hub)
        with station.engine.begin() as conn:
            conn.exec_driver_sql("DELETE FROM sync_receipts")
        station.exchange(hub)
        with station.engine.begin() as conn:
            assert receipts.newest(conn, hub.node) is not None

    def test_the_clock_offset_is_estimated(self, lab: Lab) -> None:
        hub, station = lab.pair()
        hub_clock = lab.clock() + timedelta(seconds=90)
        ahead = replace(hub.replica, now=lambda: hub_clock)
        report = station.exchange(hub, DirectTransport(Responder(ahead)))
        assert report.clock_offset_s is not None
        assert 89 < report.clock_offset_s < 91

    def test_widened_grants_reach_the_station_and_work_at_once(self, lab: Lab) -> None:
        hub, station = lab.pair()
        hub.record("t/s/b", draft("note/b"))
        with hub.engine.begin() as conn:
            peers.set_scopes(conn, station.node, [Scope(PUB), Scope("t/s")], [Scope(HALL)])
        assert station.exchange(hub).verified
        assert station.events("note/b")
        assert station.peer(hub).write_scopes == (PUB, "t/s")

    def test_a_hub_in_the_middle_gives_the_hub_above_what_it_wrote_there_and_nothing_it_keeps(self, lab: Lab) -> None:
        above, (hub, station) = lab.node("above"), lab.pair()
        between = replace(hub, replica=replace(hub.replica, keeps=Scope("t")))
        greedy = ["c/pub", "c/sum/t", "t/pub", HALL]
        lab.enrol(between, above, ["c/pub", *greedy], ["c/sum/t", *greedy])
        station.record(HALL, draft())
        station.exchange(hub)
        hub.record(PUB, draft("policy/town"))
        assert between.unsent(above).count == 0, "what it keeps waits for nobody above"
        hub.record("c/sum/t", draft("sums/t"))
        assert between.unsent(above).count == 1
        with above.engine.begin() as conn:
            peers.set_scopes(conn, hub.node, [Scope("c/pub"), Scope("t")], [Scope("c/sum/t"), Scope("t")])
        for _ in range(2):
            assert between.exchange(above).verified
        assert above.events("sums/t")
        assert not above.events()
        assert not above.events("policy/town")
        assert set(between.peer(above).shared_scopes) == {"c/pub", "c/sum/t"}

    # --- refusing peers ----------------------------------------------------------------------------------------

    def test_an_unknown_sender_is_refused(self, lab: Lab) -> None:
        hub, station = lab.pair()
        with hub.engine.begin() as conn:
            conn.exec_driver_sql("DELETE FROM sync_peers")
        with refused(UnknownPeer):
            station.exchange(hub)

    def test_a_withdrawn_key_is_refused(self, lab: Lab) -> None:
        hub, station = lab.pair()
        with hub.engine.begin() as conn:
            peers.revoke(conn, station.node, {})
        with refused(PeerRevoked):
            station.exchange(hub)

    def test_an_unknown_verb_is_refused(self, lab: Lab) -> None:
        hub = lab.node("hub")
        with refused(UnknownVerb):
            hub.responder.answer("drop", b"")

    def test_a_body_above_the_ceiling_is_refused_while_it_is_read(self, lab: Lab) -> None:
        hub = lab.node("hub", limits=Limits(bundle_bytes_max=100_000))

        class Endless:
            taken = 0

            def read(self, size: int) -> bytes:
                self.taken += size
                return bytes(size)

        body = Endless()
        with refused(TooLarge):
            hub.responder.answer("push", body)
        assert body.taken < 1_000_000

    def test_a_request_under_another_verb_is_refused(self, lab: Lab) -> None:
        hub, station = lab.pair()
        line = direct(hub)
        station.exchange(hub, line)
        with refused(Malformed):
            hub.responder.answer("pull", line.requests[0][1])

    # --- enrolment ---------------------------------------------------------------------------------------------

    def test_a_code_enrols_one_node_and_both_know_each_other(self, lab: Lab) -> None:
        hub, station = lab.pair()
        with hub.engine.begin() as conn:
            (row,) = peers.all_peers(conn)
        assert (row.name, row.read_scopes, row.write_scopes) == ("station", (PUB, HALL), (HALL,))
        seen = station.peer(hub)
        assert (seen.read_scopes, seen.write_scopes, seen.introduces) == ((HALL,), (PUB, HALL), True)
        assert seen.public_key == hub.replica.identity.public_key

    def test_a_code_works_once_but_its_node_may_repeat_it(self, lab: Lab) -> None:
        hub, first, second = lab.node("hub"), lab.node("first"), lab.node("second")
        code = self._code(hub, lab)
        line = DirectTransport(hub.responder)
        assert enrol(first.replica, line, code).name == "desk"
        assert enrol(first.replica, line, code.lower().replace("-", " ")).hub.node == hub.node
        with refused(CodeRefused):
            enrol(second.replica, line, code)

    def test_a_wrong_or_expired_code_is_refused(self, lab: Lab) -> None:
        hub, station = lab.node("hub"), lab.node("station")
        code = self._code(hub, lab)
        line = DirectTransport(hub.responder)
        for wrong in ("", "ABCD", "A" * 12, code[:-1] + ("3" if code[-1] == "2" else "2")):
            with refused(CodeRefused):
                enrol(station.replica, line, wrong)
        lab.clock.advance(timedelta(days=30))
        with refused(CodeRefused):
            enrol(station.replica, line, code)

    def test_a_node_id_cannot_be_taken_with_another_key(self, lab: Lab) -> None:
        hub, station = lab.pair()
        thief = Identity.from_private_key(station.replica.identity.origin, bytes(range(32)))
        ledger = Ledger(thief, lab.clock)
        replica = Replica(lab.node("thief").engine, ledger, thief, lab.clock)
        with refused(NodeTaken):
            enrol(replica, DirectTransport(hub.responder), self._code(hub, lab))

    def _code(self, hub: LabNode, lab: Lab) -> str:
        with hub.engine.begin() as conn:
            return issue_code(conn, name="desk", read_scopes=[Scope(PUB)], write_scopes=[Scope(HALL)], now=lab.clock())
