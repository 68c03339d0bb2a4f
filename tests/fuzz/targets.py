"""What is fuzzed: every function that reads bytes from elsewhere. Only a `SyncError` may come out of it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random

from sync import bundle, wire
from sync.errors import SyncError, decode_error, encode_error
from sync.stick.folder import MANIFEST
from tests.sync.hostile import LIMITS, VERBS, Scene, repacked, scene

Target = Callable[[bytes], None]
_MESSAGES = (
    wire.Hello, wire.HelloAnswer, wire.Branch, wire.BranchAnswer, wire.PushAnswer, wire.Pull, wire.PullAnswer,
    wire.Probe, wire.ProbeAnswer, wire.Enrol, wire.EnrolAnswer, wire.Blobs, wire.BlobsAnswer, wire.ChunkPut,
    wire.ChunkPutAnswer, wire.ChunkGet, wire.ChunkGetAnswer, wire.Receipt, wire.StickManifest,
)  # fmt: skip


@contextmanager
def opened(folder: Path) -> Iterator[dict[str, tuple[Target, list[bytes]]]]:
    """Targets by name, each with inputs to begin with."""
    with scene(folder) as made:
        sound = made.payloads
        manifest = (made.stick / "lianxin" / _manifest(made)).read_bytes()
        yield {
            "bundle": (lambda data: _bundle(made, data), [sound["push"], _segment(made)]),
            "message": (_message, [bytes([n % len(_MESSAGES)]) + sound[verb] for n, verb in enumerate(VERBS)]),
            "request": (
                lambda data: _request(made, data),
                [bytes([n]) + sound[verb] for n, verb in enumerate(VERBS)],
            ),
            "manifest": (lambda data: _carried(made, data), [manifest, wire.open_envelope(manifest).payload]),
            "refusal": (_refusal, [encode_error(SyncError(stream="x", expected=1))]),
        }


def _bundle(made: Scene, data: bytes) -> None:
    """As a whole bundle with the right signature, and as what is unpacked from one."""
    identity = made.station.replica.identity
    try:
        bundle.peek(data)
        bundle.unpack(data[:-64] + identity.sign(bundle._statement(data[:-64])), identity.public_key, LIMITS)
    except SyncError:
        pass
    with suppress(SyncError):
        bundle.decode_segment(data)


def _message(data: bytes) -> None:
    """The first byte chooses the kind of message, the rest is its content."""
    with suppress(SyncError):
        wire.open_envelope(data)
    try:
        found = wire.decode(data[1:], _MESSAGES[data[0] % len(_MESSAGES)] if data else wire.Hello)
        if isinstance(found, wire.Pull | wire.HelloAnswer | wire.Receipt | wire.StickManifest):
            wire.load_heads(found.heads)
    except SyncError:
        pass


def _request(made: Scene, data: bytes) -> None:
    """The first byte chooses the verb; the rest is a payload that an enrolled station has signed."""
    if not data:
        return
    verb, payload = VERBS[data[0] % len(VERBS)], data[1:]
    if verb == "push" and data[0] & 0x80:
        payload = repacked(made.station.replica.identity, made.payloads["push"], lambda header: [*header, payload])
    made.ask(verb, payload)
    _now_and_then(made, data)


def _carried(made: Scene, data: bytes) -> None:
    """As the manifest's file, and as its content with the right signature."""
    name = _manifest(made)
    made.carry(name, data)
    envelope = wire.open_envelope((made.stick / "lianxin" / name).read_bytes())
    made.carry(name, wire.enclose(made.station.replica.identity, "stick", envelope.head, data))
    _now_and_then(made, data)


def _refusal(data: bytes) -> None:
    try:
        error = decode_error(data)
    except SyncError:
        return
    encode_error(error)
    str(error)


def _now_and_then(made: Scene, data: bytes) -> None:
    """Looking at the whole ledger after every input would leave no time for inputs."""
    if Random(data).random() < 0.01:
        made.check()


def _manifest(made: Scene) -> str:
    return next(name for name in made.stick_files() if name.startswith(made.station.node) and name.endswith(MANIFEST))


def _segment(made: Scene) -> bytes:
    unpacked = bundle.unpack(made.payloads["push"], made.station.replica.identity.public_key, LIMITS)
    return bundle.encode_segment(unpacked.segments[0])
