"""The folder of attached content: whole files by digest, unfinished ones beside them. Knows no database.

    <folder>/ab/abcd…        content that is complete, named by its SHA-256
    <folder>/parts/abcd…     chunks that have arrived, each at its place; holes where one is lacking
    <folder>/parts/….new     being written

Whatever is acknowledged is on the disk first: chunks are flushed before the database says that they are here, whole
files are written under another name and renamed.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Final

from sync.durable import flush_folder, make_folder
from sync.limits import CHUNK_BYTES

_PARTS: Final = "parts"


def digest_of(content: bytes) -> bytes:
    """The name of content: its SHA-256."""
    return sha256(content).digest()


def chunk_count(size: int) -> int:
    return -(-size // CHUNK_BYTES)


def chunk_bytes(size: int, number: int) -> int:
    """How long this chunk is: all are of one length, the last one has the rest."""
    return min(CHUNK_BYTES, size - number * CHUNK_BYTES)


def chunk_hashes(content: bytes) -> bytes:
    """The chunks' digests, one after the other."""
    starts = range(0, len(content), CHUNK_BYTES)
    return b"".join(sha256(content[start : start + CHUNK_BYTES]).digest() for start in starts)


class BlobFiles:
    """Reads and writes the folder. `free_bytes` tells how much room its disk has; by default the disk is asked."""

    def __init__(self, folder: Path, free_bytes: Callable[[], int] | None = None) -> None:
        self.folder = folder
        self._free_bytes = free_bytes

    def free_bytes(self) -> int:
        if self._free_bytes is not None:
            return self._free_bytes()
        make_folder(self.folder)
        return shutil.disk_usage(self.folder).free

    def whole(self, digest: bytes) -> Path:
        name = digest.hex()
        return self.folder / name[:2] / name

    def part(self, digest: bytes) -> Path:
        return self.folder / _PARTS / digest.hex()

    def has_whole(self, digest: bytes, size: int) -> bool:
        """Whether the file is there with the right length; a power cut can leave one that is empty."""
        return _size(self.whole(digest)) == size

    def has_part(self, digest: bytes) -> bool:
        return self.part(digest).exists()

    # --- writing -----------------------------------------------------------------------------------------------

    def write_whole(self, digest: bytes, content: bytes) -> None:
        """Put content in its place in one step: there is never a file that has only half of it."""
        part = self.part(digest)
        make_folder(part.parent)
        scratch = part.with_name(f"{part.name}.{os.urandom(4).hex()}.new")
        with os.fdopen(_create(scratch), "wb") as file:
            file.write(content)
            _flush(file.fileno(), file.flush)
        self._place(scratch, digest)
        part.unlink(missing_ok=True)

    def write_chunk(self, digest: bytes, number: int, data: bytes) -> None:
        """Put a chunk at its place. Two writers may do so at once: both have the same bytes."""
        part = self.part(digest)
        make_folder(part.parent)
        with os.fdopen(_create(part), "r+b") as file:
            file.seek(number * CHUNK_BYTES)
            file.write(data)
            _flush(file.fileno(), file.flush)
        flush_folder(part.parent)

    def finish(self, digest: bytes) -> None:
        """The unfinished file is whole."""
        self._place(self.part(digest), digest)

    def reopen(self, digest: bytes) -> None:
        """A whole file is not sound: it becomes an unfinished one, whose good chunks still serve."""
        part = self.part(digest)
        make_folder(part.parent)
        if self.whole(digest).exists():
            self.whole(digest).replace(part)

    def remove(self, digest: bytes) -> None:
        for path in (self.whole(digest), self.part(digest)):
            path.unlink(missing_ok=True)

    def _place(self, path: Path, digest: bytes) -> None:
        whole = self.whole(digest)
        make_folder(whole.parent)
        path.replace(whole)
        flush_folder(whole.parent)
        flush_folder(self.folder)

    # --- reading -----------------------------------------------------------------------------------------------

    def read_whole(self, digest: bytes) -> bytes | None:
        return _read(self.whole(digest))

    def read_chunk(self, digest: bytes, number: int, size: int) -> bytes | None:
        """The chunk as it lies there, from the whole file or the unfinished one; None when the file is gone."""
        for path in (self.whole(digest), self.part(digest)):
            data = _read(path, number * CHUNK_BYTES, chunk_bytes(size, number))
            if data is not None:
                return data
        return None

    def part_fits(self, digest: bytes, size: int) -> bool:
        """Whether the unfinished file's content is what its name says."""
        path, taken = self.part(digest), sha256()
        if _size(path) != size:
            return False
        with path.open("rb") as file:
            while piece := file.read(CHUNK_BYTES):
                taken.update(piece)
        return taken.digest() == digest

    def names(self) -> Iterator[tuple[bytes | None, Path]]:
        """Every file with the digest it is named after; None for one that was being written when the power failed."""
        for path in sorted(self.folder.glob("*/*")):
            try:
                yield bytes.fromhex(path.name), path
            except ValueError:
                yield None, path


def _create(path: Path) -> int:
    """Open for writing, readable by this user alone; what is there stays."""
    return os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o600)


def _flush(descriptor: int, flush: Callable[[], None]) -> None:
    flush()
    os.fsync(descriptor)


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return None


def _read(path: Path, start: int = 0, length: int = -1) -> bytes | None:
    try:
        with path.open("rb") as file:
            file.seek(start)
            return file.read(length)
    except FileNotFoundError:
        return None
