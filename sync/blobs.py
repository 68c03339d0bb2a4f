"""Attached content (photos, scans) of one node: known in the database, lying in files, named by its SHA-256.

Events refer to content and never wait for it. It travels in chunks of 128 KiB, each checked by a hash of its own, so a
damaged chunk costs one chunk and any chunk may come from any medium, in any order, days apart. Who may have it follows
from the scopes in which an event refers to it: the application says so with `refer`, in the transaction that records
or folds the event. What a media type means is the application's business.

    referenced ──▶ partial ──▶ complete         refused: no node takes it (too large)
         ▲────────────┴──────────┘ lost         erased: emptied on purpose, and never taken again
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Row, delete, func, select, update

from sync import bulk
from sync.blob_files import BlobFiles, chunk_bytes, chunk_count, chunk_hashes, digest_of
from sync.errors import BlobErased, BlobNotReferred, ChunkDamaged, Malformed, NoSpace, TooLarge
from sync.events import DIGEST_BYTES, Scope, from_us, to_us, within
from sync.identity import Vault
from sync.limits import BLOB_BYTES_MAX, CHUNK_BYTES, Limits
from sync.tables import blob_chunks, blob_holders, blob_scopes
from sync.tables import blobs as t

EMPTY: Final = digest_of(b"")
# What nobody refers to stays this long: content is written before the event that refers to it has committed.
UNREFERRED_KEPT: Final = timedelta(days=1)


class BlobState(StrEnum):
    """How content stands here."""

    REFERENCED = "referenced"
    PARTIAL = "partial"
    COMPLETE = "complete"
    REFUSED = "refused"
    ERASED = "erased"


LACKING: Final = (BlobState.REFERENCED.value, BlobState.PARTIAL.value)
# How content stands at a peer that had more of it before: it comes anew, and the page says why its progress went back.
AGAIN: Final = "again"
AT_HAND: Final = (BlobState.PARTIAL.value, BlobState.COMPLETE.value)
# Stated by a peer: nothing more of it is to be sent there.
SETTLED: Final = (BlobState.COMPLETE.value, BlobState.ERASED.value, BlobState.REFUSED.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Blob:
    """What is known here of some content. `chunks` are the numbers that are here; `hashes` is empty until stated."""

    digest: bytes
    size: int
    media_type: str
    state: BlobState
    hashes: bytes
    chunks: frozenset[int]
    added_at: datetime

    @property
    def chunk_count(self) -> int:
        return chunk_count(self.size)

    @property
    def is_lacking(self) -> bool:
        """Whether it is wanted and not all here."""
        return self.state in (BlobState.REFERENCED, BlobState.PARTIAL)

    @property
    def missing(self) -> list[int]:
        return [number for number in range(self.chunk_count) if number not in self.chunks]

    @property
    def percent(self) -> int:
        """How much is here, 0 to 100; 100 only when it is complete."""
        if self.state is BlobState.COMPLETE:
            return 100
        return min(99, 100 * len(self.chunks) // max(1, self.chunk_count))


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """Content that an event refers to and that is not here."""

    digest: bytes
    since: datetime
    percent: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    """What a sweep found: content still lacking, longest first; digests whose file was gone or damaged and that are
    fetched again; the number of files and entries that nobody refers to and that were removed.
    """

    missing: tuple[Missing, ...]
    lost: tuple[bytes, ...]
    removed: int


class BlobStore:
    """One node's content. Threads and processes may share it; every method works in the caller's transaction."""

    def __init__(
        self,
        folder: Path,
        now: Callable[[], datetime],
        limits: Limits | None = None,
        free_bytes: Callable[[], int] | None = None,
        vault: Vault | None = None,
    ) -> None:
        self.files = BlobFiles(folder, free_bytes, vault)
        self._now = now
        self._limits = limits or Limits()

    # --- what the application says -------------------------------------------------------------------------------

    def add(self, conn: Connection, content: bytes, media_type: str) -> bytes:
        """Take in content that was made here; gives its digest. Raises TooLarge, NoSpace, BlobErased.

        The file is on the disk when this returns. If the transaction fails, the sweep removes it again.
        """
        digest, size = digest_of(content), len(content)
        if size > BLOB_BYTES_MAX:
            raise TooLarge(bytes=size, ceiling=BLOB_BYTES_MAX)
        row = self._locked(conn, digest)
        if row is not None and row.state == BlobState.ERASED:
            raise BlobErased(digest=digest.hex())
        if self.files.read_whole(digest, size) is None:  # a file that is there may have been sealed under a lost key
            self.require_space(size)
            self.files.write_whole(digest, content)
        if row is None:
            self._insert(conn, digest, size, media_type, BlobState.REFERENCED)
        self._complete(conn, digest, size, chunk_hashes(content))
        return digest

    def refer(
        self, conn: Connection, scope: Scope, digest: bytes, size: int, media_type: str, *, again: bool = False
    ) -> None:
        """An event in this scope refers to this content. May be said any number of times.

        `again`: the application knows that this reference stands, so content that was erased is wanted after all.
        """
        row, fits = self._locked(conn, digest), 0 < size <= BLOB_BYTES_MAX or digest == EMPTY
        if row is None:
            state = BlobState.REFERENCED if fits else BlobState.REFUSED
            self._insert(conn, digest, size if fits else 0, media_type, state)
        elif row.state == BlobState.REFUSED and fits:  # who referred to it first stated a wrong size
            self._set_state(conn, digest, BlobState.REFERENCED)
        elif row.state == BlobState.ERASED and again and fits:
            again_wanted = {"size": size, "media_type": media_type[:100], "state": BlobState.REFERENCED.value}
            conn.execute(update(t).where(t.c.digest == digest).values(again_wanted))
        if row is None and digest == EMPTY:
            self.add(conn, b"", media_type)  # nothing has to travel
        statement = bulk.upsert_into(conn, blob_scopes).on_conflict_do_nothing()
        conn.execute(statement, {"digest": digest, "scope": scope})

    def erase(self, conn: Connection, digest: bytes) -> None:
        """Let the content go and never take it again, whoever sends it. May be said of content that is not here.

        Who erases the event that refers to it must say this, too: afterwards nobody can tell what it referred to.
        Scopes that referred to it stay noted: their peers are told that it was erased, and stop sending. It is served
        no more from the commit on; then `clear_erased` removes the file, for a transaction that fails must find it.
        """
        if self._locked(conn, digest) is None:
            self._insert(conn, digest, 0, "", BlobState.ERASED)
        values = {"state": BlobState.ERASED.value, "hashes": None, "completed_us": None}
        conn.execute(update(t).where(t.c.digest == digest).values(values))
        conn.execute(delete(blob_chunks).where(blob_chunks.c.digest == digest))
        conn.execute(delete(blob_holders).where(blob_holders.c.digest == digest))

    def clear_erased(self, conn: Connection) -> int:
        """Remove the files of what was erased: in a transaction of its own after that of `erase`. How many there were.

        Where the process ends in between, the next sweep does it.
        """
        query = select(t.c.digest).where(t.c.state == BlobState.ERASED.value).order_by(t.c.digest).with_for_update()
        return sum(self.files.remove(bytes(digest)) for digest in conn.execute(query).scalars())

    def unrefer(self, conn: Connection, scope: Scope, digest: bytes) -> None:
        """No event in this scope refers to this content any more; its peers may not have it any longer."""
        conn.execute(delete(blob_scopes).where(blob_scopes.c.digest == digest, blob_scopes.c.scope == scope))

    # --- looking -------------------------------------------------------------------------------------------------

    def find(self, conn: Connection, digest: bytes) -> Blob | None:
        return next(iter(self.find_all(conn, [digest])), None)

    def find_all(self, conn: Connection, digests: Sequence[bytes]) -> list[Blob]:
        """What is known of each of these; those never heard of are left out."""
        rows = [row for part in bulk.chunks(digests) for row in conn.execute(select(t).where(t.c.digest.in_(part)))]
        here = self._chunks_here(conn, [row.digest for row in rows if row.state == BlobState.PARTIAL])
        return [_blob(row, here.get(bytes(row.digest), frozenset())) for row in rows]

    def read(self, conn: Connection, digest: bytes) -> bytes | None:
        """The whole content, checked; None while it is not complete, and when its file was damaged: `look_again` then
        has it fetched anew.
        """
        blob = self.find(conn, digest)
        if blob is None or blob.state is not BlobState.COMPLETE:
            return None
        content = self.files.read_whole(digest, blob.size)
        return content if content is not None and digest_of(content) == digest else None

    def referring(self, conn: Connection, digest: bytes) -> list[Scope]:
        """Scopes in which an event refers to it."""
        query = select(blob_scopes.c.scope).where(blob_scopes.c.digest == digest)
        return [Scope(scope) for scope in conn.execute(query).scalars()]

    def references(self, conn: Connection) -> list[tuple[bytes, Scope]]:
        """Every scope in which an event refers to content, by content; without what was erased."""
        query = (
            select(blob_scopes.c.digest, blob_scopes.c.scope)
            .join(t, t.c.digest == blob_scopes.c.digest)
            .where(t.c.state != BlobState.ERASED.value)
        )
        return [(bytes(row.digest), Scope(row.scope)) for row in conn.execute(query)]

    def awaited(self, conn: Connection) -> list[Blob]:
        """Content that an event refers to and that is not all here, the longest known first."""
        query = select(t.c.digest).where(t.c.state.in_(LACKING), t.c.digest.in_(select(blob_scopes.c.digest)))
        digests = [bytes(digest) for digest in conn.execute(query).scalars()]
        return sorted(self.find_all(conn, digests), key=lambda found: found.added_at)

    def is_referred(self, conn: Connection, digest: bytes, scopes: tuple[Scope, ...]) -> bool:
        """Whether an event in one of these scopes refers to it: the grant to have it, or to send it."""
        return any(within(scope, scopes) for scope in self.referring(conn, digest))

    def lacking(self, conn: Connection, scopes: tuple[Scope, ...]) -> list[bytes]:
        """Digests of content that events in these scopes refer to and that is not all here; small ones first."""
        return self._in_state(conn, LACKING, scopes)

    def at_hand(
        self, conn: Connection, scopes: tuple[Scope, ...], peer: str, settled: Collection[str] = SETTLED
    ) -> list[bytes]:
        """Content in these scopes that is here, at least in part, and of which this peer has stated none of the
        `settled` states; small ones first.
        """
        held = select(blob_holders.c.digest).where(
            blob_holders.c.peer == peer, blob_holders.c.state.in_(tuple(settled))
        )
        return self._in_state(conn, AT_HAND, scopes, t.c.digest.not_in(held))

    def standing_in(self, conn: Connection, scopes: tuple[Scope, ...], at_most: int) -> list[Blob]:
        """How content that events in these scopes refer to stands here: what is lacking first, then the newest."""
        lacking = self.lacking(conn, scopes)
        query = (
            select(t.c.digest, blob_scopes.c.scope)
            .join(blob_scopes, blob_scopes.c.digest == t.c.digest)
            .where(t.c.state.not_in(LACKING))
            .order_by(func.coalesce(t.c.completed_us, t.c.added_us).desc(), t.c.digest)
        )
        settled = (bytes(row.digest) for row in conn.execute(query) if within(row.scope, scopes))
        named = list(dict.fromkeys((*lacking, *settled)))[:at_most]
        found = {blob.digest: blob for blob in self.find_all(conn, named)}
        return [found[digest] for digest in named if digest in found]

    def mark(self, conn: Connection) -> int:
        """A number that grows whenever content was completed here."""
        return conn.execute(select(func.max(t.c.completed_us))).scalar() or 0

    def _in_state(
        self, conn: Connection, states: Collection[str], scopes: tuple[Scope, ...], *also: Any
    ) -> list[bytes]:
        query = (
            select(t.c.digest, blob_scopes.c.scope)
            .join(blob_scopes, blob_scopes.c.digest == t.c.digest)
            .where(t.c.state.in_(states), *also)
            .order_by(t.c.size, t.c.digest)
        )
        found = (bytes(row.digest) for row in conn.execute(query) if within(row.scope, scopes))
        return list(dict.fromkeys(found))

    # --- chunks --------------------------------------------------------------------------------------------------

    def learn(self, conn: Connection, digest: bytes, size: int, hashes: bytes) -> Blob:
        """Somebody states the chunks of content that is lacking here; how it stands then.

        Raises BlobNotReferred, BlobErased, Malformed, TooLarge, NoSpace. The list is believed until the whole does not
        fit its digest. A list that differs replaces the one held, and chunks that both name alike stay: whoever lied
        first does not keep the content away.
        """
        row = _wanted(self._locked(conn, digest), digest)
        if row.state == BlobState.COMPLETE:
            return _blob(row, frozenset())
        if size > BLOB_BYTES_MAX:
            raise TooLarge(bytes=size, ceiling=BLOB_BYTES_MAX)
        if not size or len(hashes) != chunk_count(size) * DIGEST_BYTES:
            raise Malformed(what="chunk list")
        blob = self._adopt(conn, row, size, hashes)
        self.require_space(len(blob.missing) * CHUNK_BYTES)
        return blob

    def put_chunk(self, conn: Connection, digest: bytes, number: int, data: bytes) -> Blob:
        """Store one chunk, from whatever medium; how the content stands then: complete with the last chunk.

        Raises BlobNotReferred (also before its chunk list was learned), BlobErased, ChunkDamaged, NoSpace.
        """
        row = _wanted(self._locked(conn, digest), digest)
        if row.state == BlobState.COMPLETE:
            return _blob(row, frozenset())
        if row.hashes is None:
            raise BlobNotReferred(digest=digest.hex(), what="chunk list")
        blob = self._as_it_lies(conn, row)
        if not _fits(blob, number, data):
            raise ChunkDamaged(digest=digest.hex(), number=number)
        if number not in blob.chunks:
            self.require_space(len(blob.missing) * CHUNK_BYTES)
            self.files.write_chunk(digest, number, data)
            conn.execute(blob_chunks.insert(), {"digest": digest, "number": number})
            self._set_state(conn, digest, BlobState.PARTIAL)
        return self._finished(conn, self._get(conn, digest))

    def read_chunk(self, conn: Connection, digest: bytes, number: int) -> bytes | None:
        """A chunk, checked; None when it is not here. One that is damaged on this disk is lacking from now on."""
        blob = self.find(conn, digest)
        if blob is None or number >= blob.chunk_count or blob.state not in AT_HAND:
            return None
        if blob.state is BlobState.PARTIAL and number not in blob.chunks:
            return None
        data = self.files.read_chunk(digest, number, blob.size)
        if data is not None and _fits(blob, number, data):
            return data
        self.look_again(conn, digest)
        return None

    def look_again(self, conn: Connection, digest: bytes) -> Blob | None:
        """Compare the files with what is noted: chunks that are gone or damaged are lacking, the others stay."""
        row = self._locked(conn, digest)
        if row is None or row.state not in (*LACKING, *AT_HAND) or row.hashes is None:
            return None if row is None else _blob(row, frozenset())
        if row.state == BlobState.COMPLETE:
            self.files.reopen(digest, row.size)
            here: Iterable[int] = range(chunk_count(row.size))
        else:
            here = self._chunks_here(conn, [digest]).get(digest, frozenset())
        known = _blob(row, frozenset(here))
        self._note_chunks(conn, known, [number for number in known.chunks if self._lies(known, number)])
        return self._finished(conn, self._get(conn, digest))

    def require_space(self, size: int) -> None:
        """Raises NoSpace when the disk could not hold this much more and still serve the database."""
        free = self.files.free_bytes() - self._limits.blob_disk_free_min
        if size > free:
            raise NoSpace(bytes=size, free=max(0, free))

    # --- what peers have -----------------------------------------------------------------------------------------

    def note_holder(self, conn: Connection, peer: str, digest: bytes, state: str, chunks: int) -> None:
        """A peer has stated how this content stands there."""
        before = self.held_by(conn, peer, [digest]).get(digest)
        if before is not None and state in LACKING and (before[0] == AGAIN or chunks < before[1]):
            state = AGAIN
        row = {"peer": peer, "digest": digest, "state": state[:64], "chunks": chunks}
        insert = bulk.upsert_into(conn, blob_holders)
        values = {name: insert.excluded[name] for name in ("state", "chunks")}
        conn.execute(insert.on_conflict_do_update(index_elements=["peer", "digest"], set_=values), row)

    def forget_holder(self, conn: Connection, peer: str, digests: Sequence[bytes]) -> None:
        """A peer lacks content that it held before."""
        h = blob_holders.c
        for part in bulk.chunks(digests):
            known = update(blob_holders).where(h.peer == peer, h.digest.in_(part))
            conn.execute(known.values(state=AGAIN, chunks=0))

    def held_by(self, conn: Connection, peer: str, digests: Sequence[bytes]) -> dict[bytes, tuple[str, int]]:
        """How each of these stands at the peer, as it stated last: its state and how many chunks it has."""
        h = blob_holders.c
        parts = (select(blob_holders).where(h.peer == peer, h.digest.in_(part)) for part in bulk.chunks(digests))
        rows = (row for query in parts for row in conn.execute(query))
        return {bytes(row.digest): (row.state, row.chunks) for row in rows}

    # --- sweeping ------------------------------------------------------------------------------------------------

    def sweep(self, conn: Connection) -> Swept:
        """Look for references without content and content without reference. May run at any time, on any node."""
        # Without their key, as after a new installation on the old disk, files are there and cannot be read.
        key_fits = self.files.key_fits()
        rows = conn.execute(select(t).where(t.c.state.in_(AT_HAND))).all()
        lost = [bytes(row.digest) for row in rows if self._gone(row) or not (key_fits or self._opens(row))]
        for digest in lost:
            self.look_again(conn, digest)
        for row in rows:
            self.files.seal_plain(row.digest, row.size)
        self.files.note_key()
        return Swept(missing=tuple(self._missing(conn)), lost=tuple(lost), removed=self._remove_unreferred(conn))

    def _gone(self, row: Row[Any]) -> bool:
        if row.state == BlobState.COMPLETE:
            return not self.files.has_whole(row.digest, row.size)
        return not self.files.has_part(row.digest)

    def _opens(self, row: Row[Any]) -> bool:
        return self.files.read_chunk(row.digest, 0, row.size) is not None

    def _missing(self, conn: Connection) -> Iterator[Missing]:
        for blob in self.awaited(conn):
            yield Missing(digest=blob.digest, since=blob.added_at, percent=blob.percent)

    def _remove_unreferred(self, conn: Connection) -> int:
        """Entries that nobody refers to, then files that no entry speaks of; erased entries stay as a refusal."""
        before = self._now() - UNREFERRED_KEPT
        referred = select(blob_scopes.c.digest)
        old = (t.c.added_us < to_us(before), t.c.state != BlobState.ERASED.value, t.c.digest.not_in(referred))
        removed = [bytes(digest) for digest in conn.execute(select(t.c.digest).where(*old)).scalars()]
        for digest in removed:
            conn.execute(delete(blob_chunks).where(blob_chunks.c.digest == digest))
            conn.execute(delete(t).where(t.c.digest == digest))
            self.files.remove(digest)
        return len(removed) + sum(self._remove_stray(conn, digest, path, before) for digest, path in self.files.names())

    def _remove_stray(self, conn: Connection, digest: bytes | None, path: Path, before: datetime) -> bool:
        query = select(t.c.state).where(t.c.digest == digest)
        state = None if digest is None else conn.execute(query).scalar()
        if state is not None and state not in (BlobState.ERASED, BlobState.COMPLETE):
            return False
        if state == BlobState.COMPLETE and path == self.files.whole(digest or b""):
            return False
        # By the disk's clock, which is the node's own unless a test says otherwise.
        if state != BlobState.ERASED and path.stat().st_mtime > before.timestamp():
            return False
        try:
            path.unlink(missing_ok=True)
        except OSError:
            return False  # another program has it open: the next sweep tries again
        return True

    # --- rows ----------------------------------------------------------------------------------------------------

    def _locked(self, conn: Connection, digest: bytes) -> Row[Any] | None:
        """The row, ours until the transaction ends: two chunks that arrive at once complete the content once."""
        return conn.execute(select(t).where(t.c.digest == digest).with_for_update()).one_or_none()

    def _get(self, conn: Connection, digest: bytes) -> Blob:
        found = self.find(conn, digest)
        assert found is not None
        return found

    def _insert(self, conn: Connection, digest: bytes, size: int, media_type: str, state: BlobState) -> None:
        row = {
            "digest": digest, "size": size, "media_type": media_type[:100], "state": state.value, "hashes": None,
            "added_us": to_us(self._now()), "completed_us": None,
        }  # fmt: skip
        conn.execute(bulk.upsert_into(conn, t).on_conflict_do_nothing(), row)

    def _set_state(self, conn: Connection, digest: bytes, state: BlobState) -> None:
        conn.execute(update(t).where(t.c.digest == digest).values(state=state.value, completed_us=None))

    def _complete(self, conn: Connection, digest: bytes, size: int, hashes: bytes) -> None:
        completed_us = max(to_us(self._now()), self.mark(conn) + 1)  # grows, whatever the clock does
        values = {"state": BlobState.COMPLETE.value, "size": size, "hashes": hashes, "completed_us": completed_us}
        changed = update(t).where(t.c.digest == digest, t.c.state != BlobState.COMPLETE.value)
        conn.execute(changed.values(values))
        conn.execute(delete(blob_chunks).where(blob_chunks.c.digest == digest))

    def _chunks_here(self, conn: Connection, digests: Sequence[bytes]) -> dict[bytes, frozenset[int]]:
        here: dict[bytes, set[int]] = {}
        for part in bulk.chunks(digests):
            for row in conn.execute(select(blob_chunks).where(blob_chunks.c.digest.in_(part))):
                here.setdefault(bytes(row.digest), set()).add(row.number)
        return {digest: frozenset(numbers) for digest, numbers in here.items()}

    def _note_chunks(self, conn: Connection, blob: Blob, numbers: Collection[int]) -> None:
        """These chunks are here and no others."""
        conn.execute(delete(blob_chunks).where(blob_chunks.c.digest == blob.digest))
        if numbers:
            conn.execute(blob_chunks.insert(), [{"digest": blob.digest, "number": n} for n in sorted(numbers)])
        self._set_state(conn, blob.digest, BlobState.PARTIAL if numbers else BlobState.REFERENCED)

    def _adopt(self, conn: Connection, row: Row[Any], size: int, hashes: bytes) -> Blob:
        known = self._as_it_lies(conn, row)
        if (known.size, known.hashes) == (size, hashes):
            return known
        conn.execute(update(t).where(t.c.digest == known.digest).values(size=size, hashes=hashes))
        stated = _blob(row, known.chunks, size=size, hashes=hashes)
        alike = [n for n in known.chunks if _hash(known, n) == _hash(stated, n) and self._lies(stated, n)]
        self._note_chunks(conn, stated, alike)
        return self._get(conn, known.digest)

    def _as_it_lies(self, conn: Connection, row: Row[Any]) -> Blob:
        """The content with its chunks; none of them when the unfinished file has vanished."""
        digest = bytes(row.digest)
        known = _blob(row, self._chunks_here(conn, [digest]).get(digest, frozenset()))
        if known.chunks and not self.files.has_part(digest):
            self._note_chunks(conn, known, ())
            return self._get(conn, digest)
        return known

    def _lies(self, blob: Blob, number: int) -> bool:
        data = self.files.read_chunk(blob.digest, number, blob.size)
        return data is not None and _fits(blob, number, data)

    def _finished(self, conn: Connection, blob: Blob) -> Blob:
        """Complete it when every chunk is here and the whole fits its digest."""
        if blob.missing or not blob.hashes:
            return blob
        if self.files.part_fits(blob.digest, blob.size):
            self.files.finish(blob.digest)
            self._complete(conn, blob.digest, blob.size, blob.hashes)
            return self._get(conn, blob.digest)
        sound = [number for number in blob.chunks if self._lies(blob, number)]
        if len(sound) == blob.chunk_count:  # each chunk fits its list, the whole does not: the list was wrong
            sound = []
            self.files.remove(blob.digest)
            conn.execute(update(t).where(t.c.digest == blob.digest).values(hashes=None))
        self._note_chunks(conn, blob, sound)
        return self._get(conn, blob.digest)


def _wanted(row: Row[Any] | None, digest: bytes) -> Row[Any]:
    if row is None or row.state == BlobState.REFUSED:
        raise BlobNotReferred(digest=digest.hex())
    if row.state == BlobState.ERASED:
        raise BlobErased(digest=digest.hex())
    return row


def _blob(row: Row[Any], chunks: frozenset[int], size: int | None = None, hashes: bytes | None = None) -> Blob:
    complete, size = row.state == BlobState.COMPLETE, row.size if size is None else size
    return Blob(
        digest=bytes(row.digest), size=size, media_type=row.media_type, state=BlobState(row.state),
        hashes=bytes(row.hashes or b"") if hashes is None else hashes, added_at=from_us(row.added_us),
        chunks=frozenset(range(chunk_count(size))) if complete else chunks,
    )  # fmt: skip


def _hash(blob: Blob, number: int) -> bytes:
    return blob.hashes[number * DIGEST_BYTES : (number + 1) * DIGEST_BYTES]


def _fits(blob: Blob, number: int, data: bytes) -> bool:
    """Whether this is the chunk: its length and its hash."""
    if not 0 <= number < blob.chunk_count or len(data) != chunk_bytes(blob.size, number):
        return False
    return sha256(data).digest() == _hash(blob, number)
