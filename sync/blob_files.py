"""The folder of attached content: whole files by digest, unfinished ones beside them. Knows no database.

    <folder>/ab/abcd…        content that is complete, named by its SHA-256
    <folder>/parts/abcd…     chunks that have arrived, each at its place; holes where one is lacking
    <folder>/parts/….new     being written

Whatever is acknowledged is on the disk first: chunks are flushed before the database says that they are here, whole
files are written under another name and renamed.

With a vault each chunk lies sealed, bound to its content and place, in a slot that is longer by what sealing adds;
names stay those of the plain content. So a file is read, written and completed chunk by chunk, whatever its size.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Final

from sync.durable import flush_folder, make_folder, replace_file
from sync.identity import Vault
from sync.limits import CHUNK_BYTES

_PARTS: Final = "parts"
_KEY_CHECK: Final = "sealed-under"  # opens with the key that the files were sealed under, and says nothing else
_KEY_CHECK_BOUND: Final = b"lianxin/blob-key/1"


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
    """Reads and writes the folder. `free_bytes` tells how much room its disk has; by default the disk is asked.

    With a `vault` everything that is written is sealed; what was written before there was one can still be read.
    """

    def __init__(self, folder: Path, free_bytes: Callable[[], int] | None = None, vault: Vault | None = None) -> None:
        self.folder = folder
        self._free_bytes = free_bytes
        self._vault = vault
        self._added = len(vault.seal(b"", b"")) if vault else 0  # what sealing adds to a chunk
        self._key_noted = False

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
        return _size(self.whole(digest)) in (self._lying(size), size)

    def has_part(self, digest: bytes) -> bool:
        return self.part(digest).exists()

    # --- writing -----------------------------------------------------------------------------------------------

    def write_whole(self, digest: bytes, content: bytes) -> None:
        """Put content in its place in one step: there is never a file that has only half of it."""
        part = self.part(digest)
        make_folder(part.parent)
        scratch = part.with_name(f"{part.name}.{os.urandom(4).hex()}.new")
        with os.fdopen(_create(scratch), "wb") as file:
            for number in range(chunk_count(len(content))):
                start = number * CHUNK_BYTES
                file.write(self._seal(digest, number, content[start : start + CHUNK_BYTES]))
            _flush(file.fileno(), file.flush)
        self._place(scratch, digest)
        part.unlink(missing_ok=True)

    def write_chunk(self, digest: bytes, number: int, data: bytes) -> None:
        """Put a chunk at its place. Two writers may do so at once: both have the same bytes."""
        part = self.part(digest)
        make_folder(part.parent)
        with os.fdopen(_create(part), "r+b") as file:
            file.seek(number * self._slot)
            file.write(self._seal(digest, number, data))
            _flush(file.fileno(), file.flush)
        flush_folder(part.parent)

    def finish(self, digest: bytes) -> None:
        """The unfinished file is whole."""
        self._place(self.part(digest), digest)

    def reopen(self, digest: bytes, size: int) -> None:
        """A whole file is not sound: it becomes an unfinished one, whose good chunks still serve."""
        self.seal_plain(digest, size)
        part = self.part(digest)
        make_folder(part.parent)
        if self.whole(digest).exists():
            self.whole(digest).replace(part)

    def seal_plain(self, digest: bytes, size: int) -> bool:
        """Seal a whole file that was written before there was a vault; whether it was one."""
        if not self._lies_plain(digest, size):
            return False
        content = _read(self.whole(digest))
        if content is not None:
            self.write_whole(digest, content)
        return content is not None

    def key_fits(self) -> bool:
        """Whether what lies here was sealed under today's key; True where nothing was sealed yet."""
        noted = _read(self.folder / _KEY_CHECK)
        return noted is None or self._vault is None or self._open(noted, _KEY_CHECK_BOUND) is not None

    def note_key(self) -> None:
        """Everything that lies here is sealed under today's key; said once what another key had sealed was seen to."""
        if self._vault is not None and not (self._key_noted and self.key_fits()):
            self._note_key(self._vault)

    def _note_key(self, vault: Vault) -> None:
        path = self.folder / _KEY_CHECK
        if not path.exists() or not self.key_fits():
            make_folder(self.folder)
            replace_file(path, vault.seal(b"", _KEY_CHECK_BOUND))  # an empty one would say that the key is lost
        self._key_noted = True

    def remove(self, digest: bytes) -> bool:
        """Nothing of it is left, not even what was being written when the power failed; whether anything was."""
        part = self.part(digest)
        lying = [path for path in (self.whole(digest), part, *part.parent.glob(f"{part.name}.*.new")) if path.exists()]
        for path in lying:
            path.unlink(missing_ok=True)
        return bool(lying)

    def _place(self, path: Path, digest: bytes) -> None:
        whole = self.whole(digest)
        make_folder(whole.parent)
        path.replace(whole)
        flush_folder(whole.parent)
        flush_folder(self.folder)

    # --- reading -----------------------------------------------------------------------------------------------

    def read_whole(self, digest: bytes, size: int) -> bytes | None:
        """The content of the whole file, unchecked; None when it is gone or was sealed under another key."""
        if not self.has_whole(digest, size):
            return None
        pieces = [self.read_chunk(digest, number, size) for number in range(chunk_count(size))]
        return None if None in pieces else b"".join(piece for piece in pieces if piece is not None)

    def read_chunk(self, digest: bytes, number: int, size: int) -> bytes | None:
        """The chunk as it lies there, from the whole file or the unfinished one; None when it cannot be had."""
        length = chunk_bytes(size, number)
        if self._lies_plain(digest, size):
            return _read(self.whole(digest), number * CHUNK_BYTES, length)
        for path in (self.whole(digest), self.part(digest)):
            sealed = _read(path, number * self._slot, length + self._added)
            data = None if sealed is None else self._open(sealed, _bound(digest, number))
            if data is not None:
                return data
        return None

    def part_fits(self, digest: bytes, size: int) -> bool:
        """Whether the unfinished file's content is what its name says."""
        path, taken = self.part(digest), sha256()
        if _size(path) != self._lying(size):
            return False
        with path.open("rb") as file:
            for number in range(chunk_count(size)):
                sealed = file.read(chunk_bytes(size, number) + self._added)
                taken.update(self._open(sealed, _bound(digest, number)) or b"")
        return taken.digest() == digest

    def names(self) -> Iterator[tuple[bytes | None, Path]]:
        """Every file with the digest it is named after; None for one that was being written when the power failed."""
        for path in sorted(self.folder.glob("*/*")):
            try:
                yield bytes.fromhex(path.name), path
            except ValueError:
                yield None, path

    # --- sealing -----------------------------------------------------------------------------------------------

    @property
    def _slot(self) -> int:
        return CHUNK_BYTES + self._added

    def _lying(self, size: int) -> int:
        """How long the file of content of this size is."""
        return size + chunk_count(size) * self._added

    def _lies_plain(self, digest: bytes, size: int) -> bool:
        return self._vault is not None and size > 0 and _size(self.whole(digest)) == size

    def _seal(self, digest: bytes, number: int, data: bytes) -> bytes:
        if self._vault is None:
            return data
        if not self._key_noted and not (self.folder / _KEY_CHECK).exists():
            self._note_key(self._vault)
        return self._vault.seal(data, _bound(digest, number))

    def _open(self, sealed: bytes, bound_to: bytes) -> bytes | None:
        """None for what was damaged, cut short, never written, or sealed under another key."""
        if self._vault is None:
            return sealed
        try:
            return self._vault.open(sealed, bound_to)
        except Exception:  # noqa: BLE001  the vault is the caller's: whatever it raises means the same here
            return None


def _bound(digest: bytes, number: int) -> bytes:
    """What a sealed chunk is bound to: no chunk can be put in the place of another."""
    return b"lianxin/blob/1" + digest + number.to_bytes(4, "big")


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
