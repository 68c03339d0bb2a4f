"""Whatever arrives ends in an answer or in a named refusal, never in anything else; nothing wrong is stored."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from sync import bundle, peers, wire
from sync.bundle import BundleHeader, Segment, _statement
from sync.errors import Malformed, SyncError, TooLarge
from sync.events import Scope
from sync.identity import Identity, position_statement
from sync.limits import MIB, Limits
from sync.positions import Range
from sync.testing import Lab, LabNode, draft, refused, sqlite_engine
from sync.testing.exchange_contract import HALL, Tapped, direct
from sync.testing.ledger_contract import PLENTY
from sync.tracing import trace

LIMITS = Limits(bundle_bytes_max=200_000, bundle_raw_bytes_max=MIB, message_bytes_max=100_000)
VERBS = ("hello", "push", "pull", "enrol")


@pytest.fixture(scope="module")
def talked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[LabNode, LabNode, Tapped]]:
    """A hub, a station, and everything they said to each other."""
    folder = tmp_path_factory.mktemp("talk")
    lab = Lab(lambda name: sqlite_engine(folder / f"{name}.db", durable=False), folder)
    hub, station = lab.node("hub", limits=LIMITS), lab.node("station")
    lab.enrol(station, hub, [HALL], [HALL])
    line = direct(hub)
    station.record(HALL, *(draft(f"note/{n}", "下水道" * n) for n in range(30)))
    hub.record(HALL, draft(text="received"))
    station.exchange(hub, line)
    yield hub, station, line
    lab.close()


def answer(hub: LabNode, verb: str, body: bytes) -> None:
    try:
        hub.responder.answer(verb, body)
    except SyncError:
        return


@given(verb=st.sampled_from([*VERBS, "x"]), body=st.binary(max_size=600))
def test_random_bytes(talked: tuple[LabNode, LabNode, Tapped], verb: str, body: bytes) -> None:
    hub, _, _ = talked
    answer(hub, verb, body)
    answer(hub, verb, wire.MAGIC + body)
    answer(hub, verb, wire.MAGIC + len(body).to_bytes(2, "big") + body + bytes(100))


@given(data=st.data())
def test_real_requests_cut_short_or_with_a_changed_bit(
    talked: tuple[LabNode, LabNode, Tapped], data: st.DataObject
) -> None:
    hub, _, line = talked
    verb, body = data.draw(st.sampled_from(line.requests))
    place = data.draw(st.integers(0, len(body) - 1))
    if data.draw(st.booleans()):
        answer(hub, verb, body[:place])
    else:
        flipped = body[place] ^ (1 << data.draw(st.integers(0, 7)))
        answer(hub, data.draw(st.sampled_from(VERBS)), body[:place] + bytes([flipped]) + body[place + 1 :])


_counters = iter(range(1_000_000, 2_000_000))

anything = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1), st.floats(), st.text(max_size=20),
        st.binary(max_size=40),
    ),
    lambda inner: st.lists(inner, max_size=8) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)  # fmt: skip


@given(verb=st.sampled_from(VERBS[:3]), payload=st.binary(max_size=300) | anything.map(msgspec.msgpack.encode))
def test_anything_that_a_known_station_signs(
    talked: tuple[LabNode, LabNode, Tapped], verb: str, payload: bytes
) -> None:
    """The hostile case: the envelope is right, what it holds is not."""
    hub, station, _ = talked
    head = station.replica.head(verb, station.replica.identity.epoch, hub.node, next(_counters))
    answer(hub, verb, wire.enclose(station.replica.identity, "request", head, payload))


@given(raw=st.binary(max_size=400) | anything.map(msgspec.msgpack.encode).map(bundle.frame_segment))
def test_a_signed_bundle_of_anything(talked: tuple[LabNode, LabNode, Tapped], raw: bytes) -> None:
    hub, station, _ = talked
    push(hub, station, sealed(station.replica.identity, raw, segments=1, events=1))


@given(data=st.data())
def test_a_signed_bundle_with_one_field_of_its_segment_changed(
    talked: tuple[LabNode, LabNode, Tapped], data: st.DataObject
) -> None:
    hub, station, line = talked
    fields = msgspec.msgpack.decode(msgspec.msgpack.encode(pushed_segment(line, station)))
    place = data.draw(st.integers(0, len(fields) - 1))
    fields[place] = data.draw(anything)
    raw = bundle.frame_segment(msgspec.msgpack.encode(fields))
    push(hub, station, sealed(station.replica.identity, raw, segments=1, events=30))
    with hub.engine.begin() as conn:
        assert not hub.ledger.verify(conn)


def test_event_headers_of_any_shape_are_refused_by_name(talked: tuple[LabNode, LabNode, Tapped]) -> None:
    hub, station, _ = talked
    good = [2**40, "noted", 1, "note/1", 0, "clerk", None]
    bad = [
        [*good[:3], "note/\x00", *good[4:]], [*good[:3], "no subject", *good[4:]], [*good[:4], 2**62, *good[5:]],
        [*good[:2], -1, *good[3:]], [*good[:5], "a\x00b", None], [*good[:5], "clerk", "k\x00"], good[:5], "text",
        [2**60, *good[1:]], [0, *good[1:]], [*good[:1], "", *good[2:]],
    ]  # fmt: skip
    for fields in bad:
        header = msgspec.msgpack.encode(fields)
        if isinstance(fields, list):
            header = (
                bytes([0x90 | len(fields), 0xCF])
                + fields[0].to_bytes(8, "big")
                + msgspec.msgpack.encode(fields[1:])[1:]
            )
        push(hub, station, one_event(hub, station, header))
        with hub.engine.begin() as conn:
            assert any(i.code == "malformed_event" for i in hub.ledger.incidents(conn))
            assert not hub.ledger.verify(conn)


# --- bombs -----------------------------------------------------------------------------------------------------


def test_control_characters_do_not_reach_the_database(talked: tuple[LabNode, LabNode, Tapped]) -> None:
    hub, station, _ = talked
    for trouble, software in (("a\x00b", "x"), (None, "x\x00"), ("a\nb", "x")):
        hello = wire.Hello(
            summary=bytes(32), unsent=0, oldest_unsent_us=2**62, offset_s=None, receipt_wanted=False,
            versions=wire.Versions(software=software), trouble=trouble,
        )  # fmt: skip
        head = station.replica.head("hello", station.replica.identity.epoch, hub.node, next(_counters))
        with refused(Malformed):
            hub.responder.answer("hello", wire.enclose(station.replica.identity, "request", head, wire.encode(hello)))


def test_a_frame_that_unpacks_to_more_than_it_says(talked: tuple[LabNode, LabNode, Tapped]) -> None:
    _, station, _ = talked
    for stated in (10, 10_000, 40 * MIB):
        data = sealed(station.replica.identity, bytes(40 * MIB), segments=1, events=1, raw_bytes=stated)
        with refused(SyncError):
            bundle.unpack(data, station.replica.identity.public_key, LIMITS)


def test_a_frame_without_a_stated_size(talked: tuple[LabNode, LabNode, Tapped]) -> None:
    _, station, _ = talked
    frame = zstandard.ZstdCompressor(write_content_size=False).compress(bytes(1000))
    with refused(Malformed):
        bundle.unpack(with_frame(station.replica.identity, frame, 1000), station.replica.identity.public_key, LIMITS)


def test_more_events_than_stated(talked: tuple[LabNode, LabNode, Tapped]) -> None:
    _, station, line = talked
    raw = bundle.frame_segment(bundle.encode_segment(pushed_segment(line, station)))
    for segments, events in ((1, 29), (1, 31), (2, 30), (0, 30)):
        data = sealed(station.replica.identity, raw, segments=segments, events=events)
        with refused(SyncError):
            bundle.unpack(data, station.replica.identity.public_key, LIMITS)


def test_a_bundle_at_its_ceiling_passes_and_one_byte_more_does_not(talked: tuple[LabNode, LabNode, Tapped]) -> None:
    _, station, line = talked
    raw = bundle.frame_segment(bundle.encode_segment(pushed_segment(line, station)))
    key, data = station.replica.identity.public_key, sealed(station.replica.identity, raw, segments=1, events=30)
    exact = Limits(bundle_bytes_max=len(data), bundle_raw_bytes_max=len(raw))
    assert bundle.unpack(data, key, exact).segments
    with refused(TooLarge):
        bundle.unpack(data, key, Limits(bundle_bytes_max=len(data) - 1))
    with refused(TooLarge):
        bundle.unpack(data, key, Limits(bundle_raw_bytes_max=len(raw) - 1))


def test_deep_nesting_and_huge_claims_are_refused(talked: tuple[LabNode, LabNode, Tapped]) -> None:
    hub, station, _ = talked
    for payload in (b"\x91" * 50_000, b"\xdd\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff"):
        head = station.replica.head("pull", station.replica.identity.epoch, hub.node, next(_counters))
        with refused(Malformed):
            hub.responder.answer("pull", wire.enclose(station.replica.identity, "request", head, payload))


def test_a_station_cannot_fill_the_disk_with_incidents(tmp_path: Path) -> None:
    lab = Lab(lambda name: sqlite_engine(tmp_path / f"{name}.db", durable=False), tmp_path)
    hub, station = lab.pair()
    with hub.engine.begin() as conn:
        peer = peers.get_peer(conn, station.node)
    for number in range(230):
        scope = Scope(f"t/x/{number}")
        stream = station.record(scope, draft())[0].stream
        with station.engine.begin() as conn:
            made = station.ledger.pack(conn, [Range(stream, 1, 1)], PLENTY, "")
        assert made is not None
        with hub.engine.begin() as conn:
            hub.ledger.accept(conn, bundle.unpack(made.data, station.replica.identity.public_key, Limits()), peer)
    with hub.engine.begin() as conn:
        assert len(hub.ledger.incidents(conn)) == 200
    lab.close()


# --- making bundles --------------------------------------------------------------------------------------------


def sealed(identity: Identity, raw: bytes, *, segments: int, events: int, raw_bytes: int | None = None) -> bytes:
    header = BundleHeader(
        node=identity.node, epoch=identity.epoch, recipient="", created_us=0, software="x", segments=segments,
        events=events, raw_bytes=len(raw) if raw_bytes is None else raw_bytes,
    )  # fmt: skip
    return bundle.seal_bundle(identity, header, raw)


def with_frame(identity: Identity, frame: bytes, raw_bytes: int) -> bytes:
    """A bundle around a frame that our own compressor would not make."""
    whole = sealed(identity, b"", segments=0, events=0, raw_bytes=raw_bytes)
    start = len(bundle.MAGIC) + 4
    length = int.from_bytes(whole[len(bundle.MAGIC) : start], "big")
    unsigned = whole[: start + length] + frame
    return unsigned + identity.sign(_statement(unsigned))


def push(hub: LabNode, station: LabNode, data: bytes) -> None:
    head = station.replica.head("push", station.replica.identity.epoch, hub.node, next(_counters))
    answer(hub, "push", wire.enclose(station.replica.identity, "request", head, data))


def pushed_segment(line: Tapped, station: LabNode) -> Segment:
    body = next(body for verb, body in line.requests if verb == "push")
    data = wire.open_envelope(body).payload
    return bundle.unpack(data, station.replica.identity.public_key, LIMITS).segments[0]


def one_event(hub: LabNode, station: LabNode, header: bytes) -> bytes:
    """A bundle that carries this header as the station's next event, rightly chained and signed."""
    with hub.engine.begin() as conn:
        stream, head = next(
            (s, h) for s, h in hub.ledger.heads(conn, [Scope(HALL)]).items() if s.origin.node != hub.node
        )
    identity, last = station.replica.identity, head.seq + 1
    unsigned = Segment(
        node=stream.origin.node, epoch=stream.origin.epoch, scope=HALL, first=last, base=head.chain, headers=[header],
        salts=bytes(16), bodies=[b"{}"], digests=[], signatures=[(last, bytes(64))],
    )  # fmt: skip
    signature = identity.sign(position_statement(stream, last, trace(unsigned).chains[-1]))
    raw = bundle.frame_segment(bundle.encode_segment(msgspec.structs.replace(unsigned, signatures=[(last, signature)])))
    return sealed(identity, raw, segments=1, events=1)
