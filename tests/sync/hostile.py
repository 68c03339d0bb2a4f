"""A hub and a station, everything they can say to each other, and what must hold whatever is said instead.

Used by the property tests of this folder and by the coverage-guided ones of `tests/fuzz`.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from shutil import rmtree
from typing import Any

import msgspec

from sync import acknowledged, bundle, peers, receipts, wire
from sync.enrolment import issue_code
from sync.errors import StickAnswerMissing, SyncError
from sync.events import Scope
from sync.exchange import exchange
from sync.identity import Identity, position_statement, verify
from sync.limits import MIB, Limits
from sync.packing import chain_at
from sync.stick import enrol_by_stick, export, import_
from sync.streams import everything
from sync.tables import ledger_signatures
from sync.testing import DirectTransport, Lab, LabNode, draft, sqlite_engine
from sync.testing.exchange_contract import HALL, PUB, Tapped, direct

LIMITS = Limits(bundle_bytes_max=200_000, bundle_raw_bytes_max=MIB, message_bytes_max=100_000)
PHOTO = b"a photo of the drain" * 50
VERBS = ("hello", "push", "pull", "probe", "branch", "blobs", "chunk-put", "chunk-get", "snapshot", "part", "enrol")


class Broken(AssertionError):
    """What a peer sent did something that nobody may do."""


@dataclass(slots=True, repr=False)
class Scene:
    """`payloads` holds a sound payload of every verb; `recorded` what the two have really written."""

    lab: Lab
    hub: LabNode
    station: LabNode
    stranger: LabNode
    line: Tapped
    stick: Path
    payloads: dict[str, bytes] = field(default_factory=dict)
    recorded: frozenset[str] = frozenset()
    _counter: int = 1_000_000

    def ask(self, verb: str, payload: bytes, **head: Any) -> None:
        """The station signs this payload and the hub answers or refuses."""
        identity = self.station.replica.identity
        self._counter += 1
        recipient = "" if verb == "enrol" else self.hub.node
        stated = self.station.replica.head(verb, identity.epoch, recipient, self._counter)
        request = wire.enclose(identity, "request", msgspec.structs.replace(stated, **head), payload)
        with named_refusals():
            self.hub.responder.answer(verb, request)

    def send(self, verb: str, body: bytes) -> None:
        """Bytes as they are."""
        with named_refusals():
            self.hub.responder.answer(verb, body)

    def hear(self, change: Callable[[str, bytes], bytes]) -> None:
        """The station exchanges with a hub whose payloads are changed and rightly signed."""

        def meddle(verb: str, body: bytes) -> bytes:
            envelope = wire.open_envelope(DirectTransport(self.hub.responder).post(verb, body))
            return wire.enclose(self.hub.replica.identity, "answer", envelope.head, change(verb, envelope.payload))

        with named_refusals():
            exchange(self.station.replica, self.station.peer(self.hub), direct(self.hub, meddle))
        with self.station.engine.begin() as conn:  # what the hub may say about grants, it may
            peers.set_scopes(conn, self.hub.node, [Scope(PUB), Scope(HALL)], [Scope(PUB), Scope(HALL)])

    def carry(self, name: str, content: bytes) -> None:
        """Both sides are given a stick on which this file was replaced."""
        with replaced(self.stick / "lianxin" / name, content):
            for node, responder in ((self.hub, self.hub.responder), (self.station, None)):
                with named_refusals():
                    import_(node.replica, self.stick, responder=responder, write=lambda _path, _data: None)
            with named_refusals():
                enrol_by_stick(self.stranger.replica, self.stick, "ABCD-EFGH-JKLM-NPQR", write=lambda _p, _d: None)

    def refer_to_a_photo(self, name: str) -> None:
        """New content at the station, which the hub wants."""
        content = PHOTO + name.encode()
        self.hub.refer(HALL, self.station.attach(HALL, content), len(content))

    def stick_files(self) -> list[str]:
        """Every file on the stick: manifests, bundles, a new node's request and the hub's answer."""
        root = self.stick / "lianxin"
        return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())

    def check(self) -> None:
        """Raises `Broken` when anything that nobody signed is held, or when what was stored cannot be read."""
        for node, other in ((self.hub, self.station), (self.station, self.hub)):
            with node.engine.begin() as conn:
                if problems := node.ledger.verify(conn):
                    raise Broken(f"{node.name}: {problems[0]}")
                for row in everything(conn):
                    _signed_to_the_end(conn, node, row)
                subjects = node.ledger.subjects(conn, "", None, 1000)
                held = node.ledger.read_subjects(conn, subjects).values()
                if foreign := {event.event_id for events in held for event in events} - self.recorded:
                    raise Broken(f"{node.name} holds {foreign}, which nobody has written")
                peers.contacts(conn)
                receipts.stated(conn, other.node)
                acknowledged.levels(conn, other.node)
                node.ledger.unsent(conn, peers.get_peer(conn, other.node))
                node.ledger.incidents(conn)


def _signed_to_the_end(conn: Any, node: LabNode, row: Any) -> None:
    """The origin has signed the last event of its stream, and with it all others."""
    origin = row.stream.origin.node
    if not row.seq or origin == node.node:
        return
    s = ledger_signatures.c
    found = conn.execute(ledger_signatures.select().where(s.stream_id == row.id, s.seq == row.seq)).one_or_none()
    if found is None:
        raise Broken(f"{row.stream}: nobody has signed {row.seq}")
    statement = position_statement(row.stream, row.seq, chain_at(conn, row, row.seq))
    verify(peers.get_peer(conn, origin).public_key, found.signature, statement)


@contextmanager
def named_refusals() -> Iterator[None]:
    """A refusal by name is an answer; anything else is ours to mend."""
    with suppress(SyncError):
        yield


@contextmanager
def replaced(path: Path, content: bytes) -> Iterator[None]:
    before = path.read_bytes()
    path.write_bytes(content)
    try:
        yield
    finally:
        path.write_bytes(before)


@contextmanager
def scene(folder: Path) -> Iterator[Scene]:
    """The two have talked, and a stick with everything that can lie on one lies beside them."""
    lab = Lab(lambda name: sqlite_engine(folder / f"{name}.db", durable=False), folder)
    hub, station = lab.node("hub", limits=LIMITS), lab.node("station", limits=LIMITS)
    stranger = lab.node("stranger")
    lab.enrol(station, hub, [PUB, HALL], [HALL])
    line = direct(hub)
    made = Scene(lab, hub, station, stranger, line, folder / "stick")
    written = station.record(HALL, *(draft(f"note/{n}", "下水道" * n) for n in range(12)))
    written += hub.record(HALL, draft(text="received"))
    digest = station.attach(HALL, PHOTO)
    hub.refer(HALL, digest, len(PHOTO))
    _ask_on_stick(made)
    station.exchange(hub, line)
    made.payloads = dict(_payloads(made, digest))
    written += station.record(HALL, draft("note/late"))
    _fill_stick(made)
    made.recorded = frozenset(event.event_id for event in written)
    yield made
    lab.close()
    rmtree(made.stick)


def _payloads(made: Scene, digest: bytes) -> Iterator[tuple[str, bytes]]:
    for verb, body in made.line.requests:
        yield verb, wire.open_envelope(body).payload
    origin = made.station.replica.identity.origin
    yield "probe", wire.encode(wire.Probe(node=origin.node, epoch=origin.epoch, scope=HALL, seqs=[1, 5]))
    yield "branch", wire.encode(wire.Branch(epoch=origin.epoch, scope=HALL, seq=1))
    yield "chunk-get", wire.encode(wire.ChunkGet(digest=digest, number=0))
    yield "chunk-put", wire.encode(wire.ChunkPut(digest=digest, number=0, data=PHOTO))
    yield "snapshot", wire.encode(wire.Snapshot(heads=[]))
    yield "part", wire.encode(wire.PartGet(digest=digest))
    versions = wire.Versions(software="x")
    yield "enrol", wire.encode(
        wire.Enrol(code_id=bytes(16), public_key=made.station.replica.identity.public_key, mac=bytes(32),
                   versions=versions)
    )  # fmt: skip


def _ask_on_stick(made: Scene) -> None:
    """A new node's request and the hub's answer."""
    made.stick.mkdir()
    with made.hub.engine.begin() as conn:
        code = issue_code(conn, name="new", now=made.hub.clock(), read_scopes=[Scope(PUB)], write_scopes=[])
    try:
        enrol_by_stick(made.stranger.replica, made.stick, code)
    except StickAnswerMissing:
        import_(made.hub.replica, made.stick, responder=made.hub.responder)


def _fill_stick(made: Scene) -> None:
    """Manifests and bundles in both directions; the hub has not seen the last one from the station."""
    for node, other in ((made.station, made.hub), (made.hub, made.station)):
        export(node.replica, node.peer(other), made.stick, stated={})


# --- changing messages -----------------------------------------------------------------------------------------


def places(value: Any, path: Sequence[Any] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a decoded message."""
    yield tuple(path)
    if isinstance(value, list):
        for number, inner in enumerate(value):
            yield from places(inner, (*path, number))
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from places(inner, (*path, key))


def with_other(value: Any, path: tuple[Any, ...], other: Any) -> Any:
    """The message with something else in one place."""
    if not path:
        return other
    copy = list(value) if isinstance(value, list) else dict(value)
    copy[path[0]] = with_other(value[path[0]], path[1:], other)
    return copy


def repacked(identity: Identity, data: bytes, change: Callable[[Any], Any]) -> bytes:
    """A bundle whose header was changed, rightly sealed."""
    start = len(bundle.MAGIC) + 4
    length = int.from_bytes(data[len(bundle.MAGIC) : start], "big")
    head = msgspec.msgpack.encode(change(msgspec.msgpack.decode(data[start : start + length])))
    unsigned = bundle.MAGIC + len(head).to_bytes(4, "big") + head + data[start + length : -64]
    return unsigned + identity.sign(bundle._statement(unsigned))
