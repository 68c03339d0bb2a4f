"""Bytes that earlier versions wrote are read for ever. A file is added with each format, never changed."""

from datetime import datetime
from pathlib import Path

import msgspec
import pytest

from sync import bundle, peers, wire
from sync.accepting import Accepted
from sync.bundle import Segment
from sync.events import Origin, Scope, Stream
from sync.identity import Identity
from sync.limits import Limits
from sync.packing import Budget
from sync.peers import Peer
from sync.positions import Range
from sync.testing import Lab, LabNode

GOLDEN = sorted((Path(__file__).parent / "golden").glob("*.lxb"))
ORIGIN = Origin("00000000000000aa", "00000000000000bb")
PUBLIC_KEY = Identity.from_private_key(ORIGIN, bytes(range(32))).public_key


@pytest.mark.parametrize("file", GOLDEN, ids=lambda file: file.stem)
def test_a_bundle_of_an_earlier_version_is_stored_and_verified(file: Path, sqlite_lab: Lab) -> None:
    hub = sqlite_lab.node("hub")
    old = Peer(node=ORIGIN.node, public_key=PUBLIC_KEY, name="old", read_scopes=(), write_scopes=(Scope("t/s/a"),))
    opened = bundle.unpack(file.read_bytes(), PUBLIC_KEY, Limits())
    with hub.engine.begin() as conn:
        peers.add_peer(conn, old, sqlite_lab.clock())
        outcome = hub.ledger.accept(conn, opened, old)
        assert (outcome.stored, outcome.refusals) == (130, [])
        assert not hub.ledger.verify(conn)
    (first, *_, last) = hub.events()
    assert (first.body, last.body) == ('{"text": "下水道堵了 0"}'.encode(), None)
    assert hub.events("note/2")[0].once == "card:2"


# --- from programs that are newer than this one --------------------------------------------------------------------

NEWER = Path(__file__).parent / "golden" / "newer" / "fields-kinds-versions.lxb"


def as_sent() -> Segment:
    """The stream as its origin wrote it. Bundle, segment and event headers carry fields of a later version, the events
    a kind and a version nobody here has heard of."""
    (segment,) = bundle.unpack(NEWER.read_bytes(), PUBLIC_KEY, Limits()).segments
    return segment


def accepted(hub: LabNode, at: datetime) -> Accepted:
    newer = Peer(node=ORIGIN.node, public_key=PUBLIC_KEY, name="new", read_scopes=(), write_scopes=(Scope("t/s/a"),))
    with hub.engine.begin() as conn:
        peers.add_peer(conn, newer, at)
        return hub.ledger.accept(conn, bundle.unpack(NEWER.read_bytes(), PUBLIC_KEY, Limits()), newer)


def test_a_bundle_of_a_newer_version_is_stored_whole(sqlite_lab: Lab) -> None:
    hub = sqlite_lab.node("hub")
    outcome = accepted(hub, sqlite_lab.clock())
    assert (outcome.stored, outcome.refusals) == (4, [])
    kinds = [(event.kind, event.version) for event in (*hub.events("note/1"), *hub.events("picture/9"))]
    assert kinds == [("noted", 1), ("noted", 7), ("pictured", 1)]
    assert (hub.events("picture/9")[0].body, hub.events("picture/9")[0].once) == (
        b'{"blob": "sha256:00", "size": 12}', "picture:9",
    )  # fmt: skip
    with hub.engine.begin() as conn:
        assert hub.ledger.verify(conn) == []


@pytest.mark.parametrize("lab", ["sqlite_lab", "postgres_lab"])
def test_what_a_newer_version_wrote_is_passed_on_byte_for_byte(lab: str, request: pytest.FixtureRequest) -> None:
    """A hub of today between two newer nodes: neither can tell that it did not understand."""
    made: Lab = request.getfixturevalue(lab)
    hub, reader = made.node("hub"), made.node("reader")
    made.enrol(reader, hub, ["t/s/a"], [])
    accepted(hub, made.clock())
    assert reader.exchange(hub).verified
    (sent, passed_on, arrived) = as_sent(), packed(hub), packed(reader)
    for segment in (passed_on, arrived):
        assert segment.headers == sent.headers
        assert segment.bodies == sent.bodies
        assert segment.salts == sent.salts
        assert segment.base == sent.base
        assert segment.signatures == sent.signatures


def packed(node: LabNode) -> Segment:
    """The stream as this node would send it."""
    budget = Budget(raw_bytes=2**20, events=100)
    with node.engine.begin() as conn:
        sent = node.ledger.pack(conn, [Range(Stream(ORIGIN, Scope("t/s/a")), 1, 4)], budget, "")
    assert sent is not None
    (segment,) = bundle.unpack(sent.data, node.replica.identity.public_key, Limits()).segments
    return segment


MESSAGES = [
    wire.Head(verb="pull", sender="0" * 16, epoch="1" * 16, recipient="2" * 16, counter=7, clock_us=1),
    wire.Versions(software="lianxin 9.0"),
    wire.SignedReceipt(receipt=b"r", signature=b"s" * 64),
    wire.HelloAnswer(equal=True, heads=[], held=[], read_scopes=[], write_scopes=[], name="hub",
                     versions=wire.Versions(software="lianxin 9.0")),
    wire.Pull(heads=[], raw_bytes=1, events=2),
    wire.PullAnswer(bundle=None),
    wire.Receipt(holder="0" * 16, holder_epoch="1" * 16, node="2" * 16, at_us=1, heads=[]),
]  # fmt: skip


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_a_message_with_fields_of_a_later_version_is_read_as_far_as_it_is_known(message: wire._Message) -> None:
    fields = msgspec.msgpack.decode(wire.encode(message))
    # A field that has a default may be left out by an older version, so the later one's stands behind all of ours.
    longer = msgspec.msgpack.encode([*fields, {"later": [1, 2]}, "more"])
    assert wire.decode(longer, type(message)) == message
