"""What arrives in part, empty, or exactly at a limit."""

from dataclasses import replace

import pytest

from sync import bundle, wire
from sync.bundle import BundleHeader
from sync.errors import AnswerCut, EventTooLarge, Malformed, SyncError, TooLarge, Unreachable
from sync.events import EVENT_BODY_BYTES_MAX, EventDraft
from sync.limits import BUNDLE_EVENTS_MAX, BUNDLE_SEGMENTS_MAX, Limits
from sync.testing import Lab, draft, refused
from sync.testing.exchange_contract import HALL, Tapped, direct, heads
from sync.testing.transports import DirectTransport
from sync.transport import Transport


class Cut:
    """A line that breaks once at a place of the first push, on the way there or back."""

    def __init__(self, inner: Transport, place: float, back: bool) -> None:
        self._inner, self._place, self._back, self._broken = inner, place, back, False

    def post(self, verb: str, body: bytes) -> bytes:
        if verb != "push" or self._broken:
            return self._inner.post(verb, body)
        self._broken = True
        if self._back:
            answer = self._inner.post(verb, body)
            return answer[: int(len(answer) * self._place)]
        try:
            self._inner.post(verb, body[: int(len(body) * self._place)])
        except SyncError:
            raise Unreachable from None  # a proxy that had half a request has lost its line, too
        raise AssertionError("half a request was answered")


# Nothing; inside the magic bytes; the head; the signature; the frame; before the trailer; all but one byte.
@pytest.mark.parametrize("place", [0.0, 0.002, 0.05, 0.2, 0.5, 0.97, 0.9999])
@pytest.mark.parametrize("back", [False, True], ids=["request", "answer"])
def test_a_push_cut_anywhere_is_stored_once_by_the_next_exchange(sqlite_lab: Lab, place: float, back: bool) -> None:
    hub, station = sqlite_lab.pair()
    station.record(HALL, *(draft(f"note/{n}", f"{n}" * 40) for n in range(40)))
    with refused(AnswerCut if back else Unreachable):
        station.exchange(hub, Cut(DirectTransport(hub.responder), place, back))
    assert len(hub.events("note/7")) == (1 if back else 0), "whole or not at all"
    assert station.exchange(hub).verified
    assert heads(hub, HALL) == heads(station, HALL)
    assert len(hub.events("note/7")) == 1


def test_a_bundle_of_nothing_is_answered_and_stores_nothing(sqlite_lab: Lab) -> None:
    hub, station = sqlite_lab.pair()
    identity = station.replica.identity
    header = BundleHeader(node=station.node, epoch=identity.epoch, recipient=hub.node, created_us=0, software="x",
                          segments=0, events=0, raw_bytes=0)  # fmt: skip
    line = Tapped(DirectTransport(hub.responder))
    head = station.replica.head("push", identity.epoch, hub.node, 50)
    body = wire.enclose(identity, "request", head, bundle.seal_bundle(identity, header, b""))
    answer = wire.decode(wire.open_envelope(line.post("push", body)).payload, wire.PushAnswer)
    assert (answer.stored, answer.known, answer.held, answer.refusals) == (0, 0, 0, [])
    with station.engine.begin() as conn:
        station.ledger.append(conn, HALL, [])
        assert not station.ledger.own_heads(conn)
    assert station.exchange(hub).verified


@pytest.mark.parametrize(
    ("field", "limit"), [("events", BUNDLE_EVENTS_MAX), ("segments", BUNDLE_SEGMENTS_MAX)], ids=["events", "segments"]
)
def test_a_bundles_counts_may_reach_their_limits_and_not_pass_them(sqlite_lab: Lab, field: str, limit: int) -> None:
    identity = sqlite_lab.node("a").replica.identity
    for stated, passes in ((limit - 1, True), (limit, True), (limit + 1, False)):
        fields = {"segments": 1, "events": 1, field: stated}
        header = BundleHeader(node=identity.node, epoch=identity.epoch, recipient="", created_us=0, software="x",
                              raw_bytes=0, **fields)  # fmt: skip
        data = bundle.seal_bundle(identity, header, b"")
        if passes:
            assert getattr(bundle.peek(data), field) == stated
        else:
            with refused(Malformed):
                bundle.peek(data)


def sized(size: int) -> EventDraft:
    """A draft whose body has exactly this many bytes."""
    return replace(draft(), body=b'"' + b"x" * (size - 2) + b'"')


def test_a_body_at_its_limit_travels_and_one_byte_more_is_refused_where_it_is_written(sqlite_lab: Lab) -> None:
    hub, station = sqlite_lab.pair()
    station.record(HALL, sized(EVENT_BODY_BYTES_MAX - 1), sized(EVENT_BODY_BYTES_MAX))
    assert station.exchange(hub).verified
    assert [len(event.body or b"") for event in hub.events()] == [EVENT_BODY_BYTES_MAX - 1, EVENT_BODY_BYTES_MAX]
    with refused(EventTooLarge):
        sized(EVENT_BODY_BYTES_MAX + 1)


def test_a_message_at_the_ceiling_is_read_and_one_byte_more_is_not(sqlite_lab: Lab) -> None:
    hub, station = sqlite_lab.pair()
    line = direct(hub)
    station.exchange(hub, line)
    (verb, body) = line.requests[-1]
    for ceiling, error in ((len(body), SyncError), (len(body) - 1, TooLarge)):
        node = sqlite_lab.node(f"hub-{ceiling}", limits=Limits(message_bytes_max=ceiling))
        with refused(error) as caught:
            node.responder.answer(verb, body)
        assert isinstance(caught[0], TooLarge) == (error is TooLarge)
