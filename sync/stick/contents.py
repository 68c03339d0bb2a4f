"""Attached content on a stick: the same chunks as over a line, in files of their own, after all records.

A file holds at most 64 chunks and is encrypted like a bundle. Each side states in its manifest how content stands with
it, so a chunk goes by whichever way comes first, and a file stays until the other side has said that it needs it no
longer. What a file claims is proven by the content's own digest: a foreign or damaged one costs itself.
"""

import errno
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Final

from sqlalchemy import Connection

from sync import age, wire
from sync.blob_answers import offer_of, standing_of
from sync.blobs import LACKING, Blob, BlobState, BlobStore
from sync.errors import BlobErased, BlobNotReferred, NoSpace, SyncError, TooLarge
from sync.limits import CHUNK_BYTES, MIB, STICK_CHUNKS_MAX, STICK_CONTENTS_MAX, STICK_STANDINGS_MAX
from sync.peers import Peer
from sync.replica import Replica
from sync.stick.folder import free_bytes, read_announced, read_intact, remove
from sync.wire import StickContent, StickManifest, StickPack

# By digest, the chunks that the other side has stated to hold.
Chunks = Mapping[bytes, frozenset[int]]
Put = Callable[[bytes], tuple[Path, bytes]]

_FILE_BYTES_MAX: Final = STICK_CHUNKS_MAX * (CHUNK_BYTES + 32 * 1024) + MIB
_NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_STATES: Final = frozenset(state.value for state in BlobState)


# --- writing ---------------------------------------------------------------------------------------------------


@dataclass(slots=True, kw_only=True)
class Loading:
    """Files of attached content for one node. `contents` counts what lies in them, `left` what found no room."""

    files: list[StickContent] = field(default_factory=list)
    left: int = 0

    @property
    def contents(self) -> int:
        return len({digest for file in self.files for digest, _ in file.pieces})


def load(replica: Replica, peer: Peer, place: Path, before: list[StickContent], theirs: Chunks, put: Put) -> Loading:
    """Write what the peer lacks, small content first, until the budget or the stick is full.

    Files that lie there whole and are still of use stay. A full stick is no error: the records are on it.
    """
    store = replica.blobs
    if store is None:
        return Loading()
    with replica.engine.begin() as conn:
        wanted = store.at_hand(conn, peer.read_scopes, peer.node)
        kept = [file for file in before if _is_of_use(conn, store, place, file, frozenset(wanted), theirs)]
    loading = Loading(files=kept)
    carried = {digest: set(theirs.get(digest, ())) for digest in wanted}
    for file in kept:
        for digest, bits in file.pieces:
            carried.setdefault(digest, set()).update(wire.load_chunks(bits))
    _load_new(_Room(replica, place, kept), loading, _lacking(replica, store, wanted, carried), store, put)
    return loading


def standings(conn: Connection, replica: Replica, peer: Peer) -> list[wire.BlobStanding]:
    """How the content that the peer may send stands here: what it need not carry any more, and what it should."""
    if replica.blobs is None:
        return []
    return [standing_of(blob) for blob in replica.blobs.standing_in(conn, peer.write_scopes, STICK_STANDINGS_MAX)]


@dataclass(slots=True)
class _Room:
    """What may still be written."""

    replica: Replica
    place: Path
    kept: list[StickContent]

    def has(self, files: list[StickContent], size: int) -> bool:
        limits = self.replica.limits
        within_budget = sum(file.bytes for file in files) + size <= limits.stick_blob_bytes
        return (
            within_budget and len(files) < STICK_CONTENTS_MAX and free_bytes(self.place) - size >= limits.stick_free_min
        )


def _is_of_use(
    conn: Connection, store: BlobStore, place: Path, file: StickContent, wanted: frozenset[bytes], theirs: Chunks
) -> bool:
    """Whether a file that lies there may stay: whole, not confirmed, and without anything that was erased since."""
    here = store.find_all(conn, [digest for digest, _ in file.pieces])
    if len(here) != len(file.pieces) or any(blob.state is BlobState.ERASED for blob in here):
        return False
    lacking = (
        digest in wanted and not wire.load_chunks(bits) <= theirs.get(digest, frozenset())
        for digest, bits in file.pieces
    )  # fmt: skip
    return any(lacking) and read_intact(place / file.name, file) is not None


def _lacking(
    replica: Replica, store: BlobStore, wanted: list[bytes], carried: Mapping[bytes, set[int]]
) -> Iterator[tuple[Blob, list[int]]]:
    """Content in order, each with the chunks that are here and go with this stick."""
    for digest in wanted:
        with replica.engine.begin() as conn:
            blob = store.find(conn, digest)
        numbers = sorted(blob.chunks - carried[digest]) if blob is not None and blob.hashes else []
        if blob is not None and numbers:
            yield blob, numbers


def _load_new(
    room: _Room, loading: Loading, lacking: Iterator[tuple[Blob, list[int]]], store: BlobStore, put: Put
) -> None:
    """One file after the other; memory holds one at a time."""
    full = False
    for batch in _batches(lacking):
        size = sum(len(numbers) for _, numbers in batch) * CHUNK_BYTES
        full = full or not room.has(loading.files, size)
        if not full:
            try:
                file = _write(room.replica, store, batch, put)
                loading.files += [file] if file is not None else []
            except OSError as error:
                if error.errno not in _NO_ROOM:
                    raise
                full = True
                _make_room(room, loading)
        if full:
            loading.left += len(batch)


def _make_room(room: _Room, loading: Loading) -> None:
    """The stick is full to the brim: give up the last new file, so that the manifest fits."""
    if len(loading.files) > len(room.kept):
        given_up = loading.files.pop()
        loading.left += len(given_up.pieces)
        remove(room.place / given_up.name)


def _batches(lacking: Iterator[tuple[Blob, list[int]]]) -> Iterator[list[tuple[Blob, list[int]]]]:
    """What goes into one file each: at most as many chunks as one may hold."""
    batch: list[tuple[Blob, list[int]]] = []
    room = STICK_CHUNKS_MAX
    for blob, numbers in lacking:
        while numbers:
            taken, numbers = numbers[:room], numbers[room:]
            batch.append((blob, taken))
            room -= len(taken)
            if not room:
                yield batch
                batch, room = [], STICK_CHUNKS_MAX
    if batch:
        yield batch


def _write(replica: Replica, store: BlobStore, batch: list[tuple[Blob, list[int]]], put: Put) -> StickContent | None:
    """Write these chunks, as far as they are sound on our own disk; None when none is."""
    offers, chunks, pieces = [], [], []
    with replica.engine.begin() as conn:
        for blob, numbers in batch:
            read = [(number, store.read_chunk(conn, blob.digest, number)) for number in numbers]
            sound = [wire.ChunkPut(digest=blob.digest, number=n, data=data) for n, data in read if data is not None]
            if sound:
                offers.append(offer_of(blob))
                chunks += sound
                pieces.append((blob.digest, wire.dump_chunks(chunk.number for chunk in sound)))
    if not chunks:
        return None
    path, sealed = put(wire.encode(StickPack(offers=offers, chunks=chunks)))
    return StickContent(name=path.name, bytes=len(sealed), sha256=sha256(sealed).digest(), pieces=pieces)


# --- reading ---------------------------------------------------------------------------------------------------


@dataclass(slots=True, kw_only=True)
class Taken:
    """What a file brought: content completed, pieces whose record is not here (yet), and what could not be used."""

    completed: int = 0
    waiting: int = 0
    problems: list[SyncError] = field(default_factory=list)


def take(replica: Replica, peer: Peer, folder: Path, file: StickContent) -> Taken:
    """Take in what a file brings and is lacking here, in one transaction.

    Raises `SyncError` for the file as a whole, `NoSpace` when our own disk is full.
    """
    if file.bytes > _FILE_BYTES_MAX:
        raise TooLarge(what="file", bytes=file.bytes)
    store, taken = replica.blobs, Taken()
    if store is None:
        return taken
    data = age.unseal(read_announced(folder, file), replica.identity)
    pack = wire.decode(data, StickPack)
    chunks: dict[bytes, list[wire.ChunkPut]] = {}
    for chunk in pack.chunks:
        chunks.setdefault(chunk.digest, []).append(chunk)
    try:
        with replica.engine.begin() as conn:
            # In one order: two imports must not wait for each other in a circle.
            for offer in sorted(pack.offers, key=lambda offer: offer.digest):
                _take_one(conn, store, peer, offer, chunks.get(offer.digest, []), taken)
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise NoSpace(bytes=file.bytes) from error
        raise
    return taken


def _take_one(
    conn: Connection, store: BlobStore, peer: Peer, offer: wire.BlobOffer, chunks: list[wire.ChunkPut], taken: Taken
) -> None:
    if not store.is_referred(conn, offer.digest, peer.write_scopes):
        taken.waiting += 1
        return
    try:
        blob = store.learn(conn, offer.digest, offer.size, offer.hashes)
        lacked = blob.state is not BlobState.COMPLETE
        for chunk in chunks if lacked else ():
            blob = store.put_chunk(conn, chunk.digest, chunk.number, chunk.data)
    except NoSpace:
        raise
    except (BlobErased, BlobNotReferred):
        return  # it was emptied on purpose, or is too large for anybody
    except SyncError as problem:
        taken.problems.append(problem)
    else:
        taken.completed += lacked and blob.state is BlobState.COMPLETE


def has_all(conn: Connection, replica: Replica, file: StickContent) -> bool:
    """Whether nothing in the file is lacking here: all of it has come, or will never be taken."""
    if replica.blobs is None:
        return True
    here = {blob.digest: blob for blob in replica.blobs.find_all(conn, [digest for digest, _ in file.pieces])}
    return all(_has(here.get(digest), wire.load_chunks(bits)) for digest, bits in file.pieces)


def _has(blob: Blob | None, chunks: frozenset[int]) -> bool:
    return blob is not None and (blob.state not in LACKING or chunks <= blob.chunks)


def stated_chunks(manifest: StickManifest) -> Chunks:
    """The chunks that the sender says it has, of content that is not complete there."""
    return {one.digest: wire.load_chunks(one.chunks) for one in manifest.standings if one.state in LACKING}


def take_standings(conn: Connection, replica: Replica, peer: Peer, manifest: StickManifest) -> None:
    """Keep what the sender states of content that is known here."""
    store = replica.blobs
    if store is None:
        return
    stated = {one.digest: one for one in manifest.standings if one.state in _STATES}
    for blob in store.find_all(conn, sorted(stated)):
        one = stated[blob.digest]
        store.note_holder(conn, peer.node, one.digest, one.state, len(wire.load_chunks(one.chunks)))
