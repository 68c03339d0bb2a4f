"""Scopes are given and taken back while stations work: nothing recorded is lost, nothing leaves by mistake."""

from collections.abc import Sequence
from contextlib import suppress

import msgspec

from sync import bundle, peers, wire
from sync.bundle import BundleHeader
from sync.errors import BadSignature, NoProgress, NotGranted, PeerRevoked
from sync.events import Scope
from sync.identity import position_statement
from sync.limits import Limits
from sync.testing import DirectTransport, Lab, LabNode, draft, refused
from sync.testing.exchange_contract import HALL, PUB, direct, heads
from sync.testing.ledger_contract import packed
from sync.tracing import trace

NEXT_DOOR = "t/s/b"


def grant(hub: LabNode, station: LabNode, read: Sequence[str], write: Sequence[str]) -> None:
    with hub.engine.begin() as conn:
        peers.set_scopes(conn, station.node, [Scope(s) for s in read], [Scope(s) for s in write])


def test_a_scope_given_taken_back_and_given_again(sqlite_lab: Lab) -> None:
    hub, station = sqlite_lab.pair()
    hub.record(NEXT_DOOR, draft("note/b", "one"))
    for given, expected in ((True, 1), (False, 1), (True, 2)):
        scopes = [PUB, HALL, NEXT_DOOR] if given else [PUB, HALL]
        grant(hub, station, scopes, scopes)
        assert station.exchange(hub).verified
        assert len(station.events("note/b")) == expected, "what it had it keeps, what comes later it does not get"
        if not given:
            hub.record(NEXT_DOOR, draft("note/b", "two"))
    assert heads(station, NEXT_DOOR) == heads(hub, NEXT_DOOR)


def test_a_scope_taken_back_while_something_in_it_waits_keeps_what_waits(sqlite_lab: Lab) -> None:
    """It stays recorded, is counted as unsent, is named, and leaves as soon as the scope is given again."""
    hub, station = sqlite_lab.pair()
    both = [PUB, HALL, NEXT_DOOR]
    grant(hub, station, both, both)
    station.exchange(hub)
    station.record(NEXT_DOOR, draft("note/b", "not sent yet"))
    grant(hub, station, [PUB, HALL], [HALL])
    station.record(HALL, draft())
    with refused(NotGranted) as caught:
        station.exchange(hub)
    assert NEXT_DOOR in str(caught[0].data["stream"])
    assert hub.events(), "the rest went on"
    assert station.unsent(hub).count == 1
    grant(hub, station, both, both)
    assert station.exchange(hub).verified
    assert hub.events("note/b")


def test_two_stations_that_are_merged_have_one_history(sqlite_lab: Lab) -> None:
    """The room stays, its records go on at the other computer: a grant, and no record is rewritten."""
    hub, one = sqlite_lab.pair()
    other = sqlite_lab.node("other")
    sqlite_lab.enrol(other, hub, [PUB, NEXT_DOOR], [NEXT_DOOR])
    before = other.record(NEXT_DOOR, *(draft(f"note/{n}") for n in range(3)))
    other.exchange(hub)
    grant(hub, other, [], [])
    both = [PUB, HALL, NEXT_DOOR]
    grant(hub, one, both, both)
    assert one.exchange(hub).verified
    assert [event.event_id for n in range(3) for event in one.events(f"note/{n}")] == [e.event_id for e in before]
    one.record(NEXT_DOOR, draft("note/0", "goes on"))
    assert one.exchange(hub).verified
    assert len(hub.events("note/0")) == 2


def test_two_computers_of_one_station_share_its_book(sqlite_lab: Lab) -> None:
    hub, first = sqlite_lab.pair()
    second = sqlite_lab.node("second")
    sqlite_lab.enrol(second, hub, [PUB, HALL], [HALL])
    for computer in (first, second):
        computer.record(HALL, draft(f"note/{computer.name}"), draft(text=f"from {computer.name}"))
    for computer in (first, second, first):
        assert computer.exchange(hub).verified
    assert heads(first, HALL) == heads(second, HALL) == heads(hub, HALL)
    assert [e.body for e in first.events()] == [e.body for e in second.events()] == [e.body for e in hub.events()]
    assert len(hub.events()) == 2


def test_a_station_cannot_write_in_the_name_of_another(sqlite_lab: Lab) -> None:
    """It may pass on what another has signed; what it signs itself under another's name is refused."""
    hub, station = sqlite_lab.pair()
    other = sqlite_lab.node("other")
    sqlite_lab.enrol(other, hub, [PUB, HALL], [HALL])
    other.record(HALL, draft(text="true"))
    other.exchange(hub)
    forged = other.record(HALL, draft(text="forged"))[0]
    segment = packed(other, forged.stream, 2, 2).segments[0]
    identity = station.replica.identity
    signature = identity.sign(position_statement(forged.stream, 2, trace(segment).chains[-1]))
    segment = msgspec.structs.replace(segment, signatures=[(2, signature)])
    raw = bundle.frame_segment(bundle.encode_segment(segment))
    header = BundleHeader(node=station.node, epoch=identity.epoch, recipient=hub.node, created_us=0, software="x",
                          segments=1, events=1, raw_bytes=len(raw))  # fmt: skip
    piece = bundle.unpack(bundle.seal_bundle(identity, header, raw), identity.public_key, Limits())
    with hub.engine.begin() as conn:
        outcome = hub.ledger.accept(conn, piece, peers.get_peer(conn, station.node))
    assert [type(refusal) for refusal in outcome.refusals] == [BadSignature]
    assert len(hub.events()) == 1


def test_a_key_withdrawn_in_the_middle_of_an_exchange_ends_it_by_name(sqlite_lab: Lab) -> None:
    hub, station = sqlite_lab.pair()
    hub.record(PUB, draft("policy/town"))

    def withdraw(verb: str, body: bytes) -> None:
        if verb == "pull":
            with hub.engine.begin() as conn:
                peers.revoke(conn, station.node, {})

    with refused(PeerRevoked):
        station.exchange(hub, direct(hub, withdraw))
    assert not station.events("policy/town")


def test_a_peer_with_which_nothing_ever_changes_is_left_with_a_reason(sqlite_lab: Lab) -> None:
    """Neither a loop nor a false "verified": the exchange ends after as few requests as show that nothing moves."""
    hub, station = sqlite_lab.pair()
    station.record(HALL, draft())

    def forget(verb: str, body: bytes) -> bytes | None:
        """A hub that takes everything and states afterwards that it holds nothing."""
        if verb != "hello":
            return None
        envelope = wire.open_envelope(DirectTransport(hub.responder).post(verb, body))
        answer = wire.decode(envelope.payload, wire.HelloAnswer)
        nothing = msgspec.structs.replace(answer, equal=False, heads=[], read_scopes=[PUB, HALL], write_scopes=[HALL])
        return wire.enclose(hub.replica.identity, "answer", envelope.head, wire.encode(nothing))

    line = direct(hub, forget)
    with suppress(NoProgress):
        assert not station.exchange(hub, line).verified
    with station.engine.begin() as conn:
        assert peers.find_contact(conn, hub.node).last_verified_at is None
    assert len(line.requests) <= 2 * station.replica.limits.rounds_max
