"""Writes a stick: everything a peer lacks above what it has stated to hold, and our own statement.

What already lies there and is whole stays. It goes only when the peer has stated, signed, that it holds it.
"""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from sqlalchemy import Connection

from sync import acknowledged, age, peers, streams, wire
from sync.errors import Malformed, PeerRevoked, SyncError, TooLarge
from sync.events import Origin, Scope, Stream, to_us
from sync.limits import STICK_FILES_MAX
from sync.packing import Budget, Packed, chain_at
from sync.peers import Peer
from sync.positions import Heads, Position, Range, behind, merge
from sync.replica import Replica
from sync.snapshots import Snapshots, place
from sync.stick.contents import Chunks, load, standings
from sync.stick.folder import (
    MANIFEST,
    MANIFEST_BYTES_MAX,
    Write,
    file_name,
    make,
    naming_faults,
    outgoing,
    read_intact,
    read_plain,
    remove,
    tidy,
    write_whole,
)
from sync.wire import StickContent, StickFile, StickManifest

_VERB = "stick"


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """What lies on the stick for the peer now, and how much of it this export has written."""

    peer: str
    folder: Path
    files: int
    events: int
    new_files: int
    new_events: int
    contents: int = 0  # pieces of attached content that lie there, in part or whole
    contents_left: int = 0  # and those for which there was no room: they go with a later stick


def export(
    replica: Replica,
    peer: Peer,
    folder: Path,
    *,
    stated: Heads | None = None,
    chunks: Chunks | None = None,
    write: Write = write_whole,
) -> Exported:
    """Write what the peer lacks into `folder`, the top of a stick; done twice it changes nothing.

    `stated` and `chunks` are what the peer says on this very stick about records and about attached content; without
    them the newest statement counts. Raises `StickError` by name, then what lay there before is still whole, and
    `PeerRevoked`.
    """
    with naming_faults(folder, writing=True):
        return _Export(replica, peer, folder, write).run(stated, chunks or {})


def names(files: Iterable[StickFile], contents: Iterable[StickContent]) -> frozenset[str]:
    """The files that a manifest announces."""
    return frozenset([*(file.name for file in files), *(content.name for content in contents)])


def span(file: StickFile) -> Iterator[tuple[Range, bytes]]:
    """The ranges of a file, each with the chain after its last event. Raises `Malformed` for a name that is none."""
    for node, epoch, scope, first, last, chain in file.ranges:
        try:
            yield Range(Stream(Origin(node, epoch), Scope(scope)), first, last), chain
        except ValueError:
            raise Malformed(what="ranges") from None


def holds(conn: Connection, file: StickFile) -> bool:
    """Whether everything in the file lies in the ledger, with the same chain."""
    return all(_has(conn, part, chain) for part, chain in span(file))


def _has(conn: Connection, part: Range, chain: bytes) -> bool:
    row = streams.find(conn, part.stream)
    return row is not None and 0 < part.last <= row.seq and chain_at(conn, row, part.last) == chain


class _Export:
    def __init__(self, replica: Replica, peer: Peer, folder: Path, write: Write) -> None:
        self._replica = replica
        self._place = outgoing(folder, replica.identity.node, peer.node)
        self._write = write
        self._written: list[Path] = []
        with replica.engine.begin() as conn:
            self._peer = peers.get_peer(conn, peer.node)
        if self._peer.revoked_after is not None:
            raise PeerRevoked(node=peer.node)

    def run(self, stated: Heads | None, chunks: Chunks) -> Exported:
        make(self._place)
        before = self._before()
        reached = self._stated(stated)
        kept = self._kept(before, reached)
        try:
            new = list(self._new(reached, STICK_FILES_MAX - len(kept)))
            files = [*kept, *new]
            loading = load(self._replica, self._peer, self._place, self._contents(before), chunks, self._put)
            self._announce(files, loading.files, before)
        except OSError:
            self._take_back()
            raise
        tidy(self._place, names(files, loading.files))
        return Exported(
            peer=self._peer.node, folder=self._place, files=len(files), events=_events(files), new_files=len(new),
            new_events=_events(new), contents=loading.contents, contents_left=loading.left,
        )  # fmt: skip

    def _take_back(self) -> None:
        """Remove what this export has written and no manifest announces."""
        with suppress(OSError):  # the stick may be gone
            lying = self._before()
            announced = names(lying.files, lying.contents) if lying else frozenset()
            for path in self._written:
                if path.name not in announced:
                    remove(path)

    # --- what lies there ---------------------------------------------------------------------------------------

    def _before(self) -> StickManifest | None:
        """Our own last manifest for this peer; None when there is none that can be used."""
        data = read_plain(self._place / MANIFEST, MANIFEST_BYTES_MAX)
        if data is None:
            return None
        try:
            envelope = wire.open_envelope(data)
            envelope.verify(_VERB, self._replica.identity.public_key)
            return wire.decode(envelope.payload, StickManifest)
        except SyncError:
            return None  # damaged: everything is written again

    def _stated(self, stated: Heads | None) -> Heads:
        if stated is not None:
            return dict(stated)
        with self._replica.engine.begin() as conn:
            return acknowledged.levels(conn, self._peer.node)

    def _kept(self, before: StickManifest | None, reached: Heads) -> list[StickFile]:
        """Files that stay: whole, not confirmed yet, and joining on to each other. `reached` moves up to their ends.

        After an erasure none stays, since any may hold an erased body. A statement that contradicts us confirms
        nothing: the peer then holds something else under these numbers.
        """
        if before is None:
            return []
        whole = [file for file in before.files if read_intact(self._place / file.name, file) is not None]
        kept = []
        with self._replica.engine.begin() as conn:
            if before.versions.erasures != self._replica.versions(conn).erasures:
                return []
            torn = set(self._replica.ledger.contradicted(conn, reached))
            for file in whole:
                if _joins(file, reached) and _is_wanted(file, reached, torn) and holds(conn, file):
                    kept.append(file)
                    _move(reached, list(span(file)))
        return kept

    def _contents(self, before: StickManifest | None) -> list[StickContent]:
        """Files of attached content that lie there; none after an erasure, as with records."""
        with self._replica.engine.begin() as conn:
            if before is None or before.versions.erasures != self._replica.versions(conn).erasures:
                return []
        return before.contents

    # --- what is added -----------------------------------------------------------------------------------------

    def _new(self, reached: Heads, room: int) -> Iterator[StickFile]:
        """One file after the other, each written before the next is packed: memory holds one at a time.

        Who lacks much gets the parts of a snapshot, which are ready; what is beyond them is packed.
        """
        for part in self._parts(reached)[:room]:
            if (file := self._put_part(part)) is not None:
                room -= 1
                yield file
                _move(reached, list(span(file)))
        limits = self._replica.limits
        budget = Budget(raw_bytes=limits.batch_raw_bytes, events=limits.batch_events)
        with self._replica.engine.begin() as conn:
            ours = self._replica.readable_heads(conn, self._peer)
        for _ in range(room):
            with self._replica.engine.begin() as conn:
                packed = self._replica.ledger.pack(conn, behind(reached, ours), budget, self._peer.node)
                if packed is None:
                    return
                ends = _ends(conn, packed)
            yield self._put_bundle(packed.data, ends)
            _move(reached, ends)

    def _parts(self, reached: Heads) -> list[wire.SnapshotPart]:
        """Parts of a snapshot that go on from there; only a hub makes any."""
        if self._peer.introduces:
            return []
        replica, made = self._replica, Snapshots(self._replica)
        with replica.engine.begin() as conn:
            reseed = made.reseed(conn, behind(reached, replica.readable_heads(conn, self._peer)))
            if reseed is None or not reseed.worthwhile:
                return []
            return list(made.manifest(conn, self._peer, reached, packing=made.may_pack(conn)).parts)

    def _put_part(self, part: wire.SnapshotPart) -> StickFile | None:
        """The part as a file; None when it has gone since: then its events are packed with the rest."""
        with self._replica.engine.begin() as conn:
            found = Snapshots(self._replica).read(conn, part.digest)
        return None if found is None else self._put_bundle(found[1], [(place(part), part.chain)])

    def _put(self, data: bytes) -> tuple[Path, bytes]:
        """Write this, encrypted to the peer: the file and what is in it now."""
        sealed = age.seal(data, self._peer.public_key)
        path = self._place / file_name(sealed)
        self._written.append(path)
        self._write(path, sealed)
        return path, sealed

    def _put_bundle(self, data: bytes, ends: list[tuple[Range, bytes]]) -> StickFile:
        path, sealed = self._put(data)
        ranges = [
            (part.stream.origin.node, part.stream.origin.epoch, str(part.stream.scope), part.first, part.last, chain)
            for part, chain in ends
        ]
        return StickFile(name=path.name, bytes=len(sealed), sha256=sha256(sealed).digest(), ranges=ranges)

    # --- the manifest ------------------------------------------------------------------------------------------

    def _announce(self, files: list[StickFile], contents: list[StickContent], before: StickManifest | None) -> None:
        """Sign and write the manifest, unless the one that is there says the same."""
        replica, peer = self._replica, self._peer
        with replica.engine.begin() as conn:
            manifest = self._manifest(conn, files, contents)
            if before is not None and _says(manifest) == _says(before):
                return
            counter = peers.next_counter(conn, peer.node)
            # Read once the counter is ours: nothing that carries a higher one can state less.
            manifest, epoch = self._manifest(conn, files, contents), replica.epoch(conn)
        head = replica.head(_VERB, epoch, peer.node, counter)
        data = wire.enclose(replica.identity, _VERB, head, wire.encode(manifest))
        if len(data) > MANIFEST_BYTES_MAX:
            raise TooLarge(what="manifest", bytes=len(data), ceiling=MANIFEST_BYTES_MAX)
        self._write(self._place / MANIFEST, data)
        with replica.engine.begin() as conn:
            peers.record_contact(conn, peer.node, stick_written_us=to_us(replica.now()))

    def _manifest(self, conn: Connection, files: list[StickFile], contents: list[StickContent]) -> StickManifest:
        replica, peer = self._replica, self._peer
        return StickManifest(
            files=files, heads=wire.dump_heads(replica.shared_heads(conn, peer)), receipt=replica.receipt(conn, peer),
            seen=peers.counter_seen(conn, peer.node), versions=replica.versions(conn), contents=contents,
            standings=standings(conn, replica, peer),
            scopes=None if peer.introduces else (list(peer.read_scopes), list(peer.write_scopes)),
        )  # fmt: skip


def _joins(file: StickFile, reached: Heads) -> bool:
    """Whether the file goes on from there in every stream."""
    return all(part.first <= _level(reached, part.stream) + 1 for part, _ in span(file))


def _is_wanted(file: StickFile, reached: Heads, torn: set[Stream]) -> bool:
    return any(part.last > _level(reached, part.stream) or part.stream in torn for part, _ in span(file))


def _level(reached: Heads, stream: Stream) -> int:
    head = reached.get(stream)
    return head.seq if head else 0


def _move(reached: Heads, ends: list[tuple[Range, bytes]]) -> None:
    reached.update(merge(reached, {part.stream: Position(part.last, chain) for part, chain in ends}))


def _ends(conn: Connection, packed: Packed) -> list[tuple[Range, bytes]]:
    """The packed ranges, each with the chain after its last event."""
    found = []
    for part in packed.ranges:
        row = streams.find(conn, part.stream)
        assert row is not None  # it was packed in this transaction
        found.append((part, chain_at(conn, row, part.last)))
    return found


def _says(manifest: StickManifest) -> tuple[object, ...]:
    """What a manifest states, whenever it was signed."""
    return (
        manifest.files, manifest.heads, manifest.seen, manifest.versions, manifest.contents, manifest.standings,
        manifest.scopes,
    )  # fmt: skip


def _events(files: list[StickFile]) -> int:
    return sum(part.last - part.first + 1 for file in files for part, _ in span(file))
