"""What a bad or crowded line must not do: let bulk delay what is urgent, send in circles, or stop what could go on."""

from collections.abc import Callable

import pytest

from sync import peers, wire
from sync.blobs import BlobState
from sync.errors import NoProgress, TimedOut, TooLarge, Unreachable
from sync.exchange import exchange
from sync.limits import CHUNK_BYTES, Limits
from sync.pace import Pace
from sync.responder import Responder
from sync.testing import Lab, LabNode, draft, refused
from sync.testing.exchange_contract import HALL, PUB, direct
from sync.transport import Transport

BACKLOG = 20_000
SMALL = Limits(batch_raw_bytes=16 * 1024, batch_raw_bytes_start=16 * 1024)  # on which a backlog takes very long


class Counted:
    """Counts round trips until something has arrived, and ends after `at_most`: the rest of the backlog can wait."""

    def __init__(self, inner: Transport, arrived: Callable[[], bool], at_most: int = 12) -> None:
        self._inner, self._arrived, self._at_most = inner, arrived, at_most
        self.trips = self.arrived_after = 0

    def post(self, verb: str, body: bytes) -> bytes:
        if self._arrived():
            self.arrived_after = self.arrived_after or self.trips
        if self.trips == self._at_most:
            raise Unreachable
        self.trips += 1
        return self._inner.post(verb, body)


def backlog(node: LabNode, scope: str, events: int = BACKLOG) -> None:
    for start in range(0, events, 4000):
        node.record(scope, *(draft(f"bulk/{n}", f"{n}") for n in range(start, start + 4000)))


def trips_until(station: LabNode, hub: LabNode, arrived: Callable[[], bool], at_most: int = 12) -> int:
    """Round trips of one exchange until something has arrived; the backlog would take many more."""
    line = Counted(direct(hub), arrived, at_most)
    with refused(Unreachable):
        station.exchange(hub, line)
    return line.arrived_after


# --- urgent before bulk ----------------------------------------------------------------------------------------------


def crowded_pair(lab: Lab) -> tuple[LabNode, LabNode]:
    hub, station = lab.node("hub"), lab.node("station", limits=SMALL)
    lab.enrol(station, hub, [PUB, HALL], [HALL])
    return hub, station


def test_a_card_of_the_hub_is_here_after_two_round_trips_although_a_station_has_20000_records_and_photos_to_send(
    sqlite_lab: Lab,
) -> None:
    hub, station = crowded_pair(sqlite_lab)
    backlog(station, HALL)
    station.attach(HALL, bytes(range(256)) * 4096)
    hub.record(HALL, draft("card/1"))
    assert trips_until(station, hub, lambda: bool(station.events("card/1"))) == 2


def test_a_card_and_an_urgent_record_pass_thousands_of_records_that_come_down(sqlite_lab: Lab) -> None:
    hub, station = crowded_pair(sqlite_lab)
    backlog(hub, PUB, 8000)
    hub.record(HALL, draft("card/1"))
    station.record(HALL, draft("urgent/1"))
    assert trips_until(station, hub, lambda: bool(station.events("card/1")), at_most=6) == 2
    station.record(HALL, draft("urgent/2"))
    hub.record(HALL, draft("card/2"))
    assert trips_until(station, hub, lambda: bool(station.events("card/2")), at_most=4) == 2
    station.record(HALL, draft("urgent/3"))
    assert trips_until(station, hub, lambda: bool(hub.events("urgent/3")), at_most=4) == 3, "hello, part, push"


def test_a_card_that_is_fired_while_a_backlog_goes_out_does_not_wait_for_its_end(sqlite_lab: Lab) -> None:
    hub, station = crowded_pair(sqlite_lab)
    backlog(station, HALL, 4000)
    seconds = iter(range(10**6))
    verbs: list[str] = []

    def fire(verb: str, body: bytes) -> None:
        verbs.append(verb)
        if len(verbs) == 3:
            hub.record(HALL, draft("card/1"))
        if station.events("card/1"):
            raise Unreachable

    with refused(Unreachable):
        exchange(station.replica, station.peer(hub), direct(hub, fire), lambda: float(next(seconds)))
    assert verbs.count("push") < 20
    assert verbs[-3:-1] == ["hello", "pull"], "both state anew what they hold, twice a minute"


def test_a_pull_that_takes_longer_than_a_round_does_not_keep_records_from_going_out(sqlite_lab: Lab) -> None:
    hub, station = crowded_pair(sqlite_lab)
    backlog(hub, PUB, 4000)
    station.record(HALL, draft("urgent/1"))
    now = [0.0]

    def slow(verb: str, body: bytes) -> None:
        now[0] += 31 if verb == "pull" else 0
        if now[0] > 100:
            raise Unreachable

    with refused(Unreachable):
        exchange(station.replica, station.peer(hub), direct(hub, slow), lambda: now[0])
    assert hub.events("urgent/1")


# --- no circles ------------------------------------------------------------------------------------------------------


def forged(station: LabNode, hub: LabNode, change: Callable[[wire.PushAnswer], wire.PushAnswer]) -> Transport:
    """A hub with a fault: its answers to pushes are changed and signed."""

    def meddle(verb: str, body: bytes) -> bytes | None:
        if verb != "push":
            return None
        envelope = wire.open_envelope(Responder(hub.replica).answer(verb, body))
        answer = change(wire.decode(envelope.payload, wire.PushAnswer))
        return wire.enclose(hub.replica.identity, "answer", envelope.head, wire.encode(answer))

    return direct(hub, meddle)


def test_a_hub_whose_level_goes_back_and_forth_ends_with_a_reason(sqlite_lab: Lab) -> None:
    hub, station = crowded_pair(sqlite_lab)
    station.record(HALL, *(draft(f"note/{n}") for n in range(400)))
    levels = iter([3, 2, 3, 2, 3, 2, 3, 2, 3, 2])

    def swing(answer: wire.PushAnswer) -> wire.PushAnswer:
        (node, epoch, scope, _, chain) = answer.heads[0]
        return wire.PushAnswer(
            stored=0, known=0, held=0, heads=[(node, epoch, scope, next(levels), chain)], refusals=[],
            receipt=answer.receipt,
        )  # fmt: skip

    with refused(NoProgress) as caught:
        station.exchange(hub, forged(station, hub, swing))
    assert caught[0].data["seq"] == 4, "the place where it stopped is named"
    assert HALL in str(caught[0].data["stream"])
    assert next(levels) == 3, "after two pushes"


def test_a_pull_that_brings_nothing_new_ends_with_a_reason(sqlite_lab: Lab) -> None:
    hub, station = crowded_pair(sqlite_lab)
    hub.record(PUB, *(draft(f"note/{n}") for n in range(300)))
    line = direct(hub)
    first: list[bytes] = []

    def same_again(verb: str, body: bytes) -> bytes | None:
        if verb != "pull":
            return None
        envelope = wire.open_envelope(Responder(hub.replica).answer(verb, body))
        first.append(envelope.payload)
        return wire.enclose(hub.replica.identity, "answer", envelope.head, first[0])

    line = direct(hub, same_again)
    with refused(NoProgress):
        station.exchange(hub, line)
    assert line.verbs.count("pull") <= 4


def test_a_hub_that_never_keeps_a_chunk_is_sent_one_and_no_more(sqlite_lab: Lab) -> None:
    hub, station = sqlite_lab.pair()
    digest = station.attach(HALL, bytes(range(256)) * (4 * CHUNK_BYTES // 256))
    hub.refer(HALL, digest, 4 * CHUNK_BYTES)

    def forget(verb: str, body: bytes) -> bytes | None:
        if verb != "chunk-put":
            return None
        envelope = wire.open_envelope(Responder(hub.replica).answer(verb, body))
        nothing = wire.BlobStanding(digest=digest, state=BlobState.PARTIAL.value)
        return wire.enclose(
            hub.replica.identity, "answer", envelope.head, wire.encode(wire.ChunkPutAnswer(standing=nothing))
        )

    line = direct(hub, forget)
    report = station.exchange(hub, line)
    assert report.verified, "records are not photos"
    assert report.blobs is not None
    assert isinstance(report.blobs.error, NoProgress)
    assert line.verbs.count("chunk-put") == 1


# --- sizes -----------------------------------------------------------------------------------------------------------


def test_one_record_too_large_for_what_lies_between_stops_its_stream_and_nothing_else(sqlite_lab: Lab) -> None:
    hub, station = sqlite_lab.pair()
    station.record(HALL, draft("note/1"), draft("note/2", "".join(f"{n:x}" for n in range(60_000))))
    hub.record(HALL, draft("card/1"))

    def proxy(verb: str, body: bytes) -> None:
        if len(body) > 50_000:
            raise TooLarge(what="request", status=413)

    with refused(TooLarge) as caught:
        station.exchange(hub, direct(hub, proxy))
    assert caught[0].data["seq"] == 2
    assert station.events("card/1")
    assert hub.events("note/1")


def test_a_line_on_which_answers_do_not_arrive_in_time_is_asked_for_less(sqlite_lab: Lab) -> None:
    """A first load at 16 kbit/s: what comes down is halved, too, until it passes, and is remembered."""
    hub, station = sqlite_lab.pair()
    hub.record(PUB, *(draft(f"note/{n}", "".join(f"{n * k:x}" for k in range(300))) for n in range(300)))

    def slow(verb: str, body: bytes) -> bytes | None:
        answer = Responder(hub.replica).answer(verb, body)
        if len(answer) > 60_000:
            raise TimedOut
        return answer

    tries = 0
    while not station.events("note/299"):
        tries += 1
        assert tries < 20
        try:
            station.exchange(hub, direct(hub, slow))
        except TimedOut:
            continue
    with station.engine.begin() as conn:
        assert (peers.get_peer(conn, hub.node).batch_bytes or 0) < Limits().batch_raw_bytes_start


def test_what_did_not_pass_is_not_tried_again_in_the_same_exchange(sqlite_lab: Lab) -> None:
    hub, station = sqlite_lab.pair()
    station.record(HALL, *(draft(f"note/{n}", "".join(f"{n * k:x}" for k in range(300))) for n in range(300)))
    refusals: list[int] = []

    def proxy(verb: str, body: bytes) -> None:
        if len(body) > 60_000:
            refusals.append(len(body))
            raise TooLarge(what="request", status=413)

    assert station.exchange(hub, direct(hub, proxy)).verified
    assert len(refusals) == len(set(refusals)) <= 3, "no size twice"


@pytest.mark.parametrize(
    ("seconds", "share", "size"), [(1.0, 1.0, 2.0), (1.0, 0.1, 1.0), (4.0, 1.0, 1.0), (6.0, 1.0, 0.5), (6.0, 0.1, 0.5)]
)
def test_the_size_aims_at_five_seconds_and_only_a_full_bundle_tells_that_a_larger_one_may_pass(
    seconds: float, share: float, size: float
) -> None:
    pace = Pace.resume(Limits(), 1024 * 1024)
    pace.took(seconds, int(pace.raw_bytes * share))
    assert pace.raw_bytes == 1024 * 1024 * size
