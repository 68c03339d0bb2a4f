"""Folders and files on a stick: found, read and written so that foreign, damaged or hostile ones do no harm.

Nothing follows a link, nothing leads out of the folder, nothing is read that is larger than was agreed. A file appears
under its name whole or not at all; the manifest comes last, so that a stick pulled out half-way holds no promise.
"""

import errno
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice
from pathlib import Path
from stat import S_ISREG
from typing import Final

from sync import wire
from sync.errors import StickError, StickFileDamaged, StickFileMissing, StickFull, StickReadOnly, StickUnusable
from sync.limits import MIB

ROOT: Final = "lianxin"
MANIFEST: Final = "manifest.lxs"
MANIFEST_BYTES_MAX: Final = 4 * MIB
_FILE_NAME: Final = re.compile(r"[0-9a-f]{16}\.age")
_DRAFT_ENDING: Final = ".part"
# A stick may hold a whole photo collection; ours lie near the top.
_ENTRIES_MAX: Final = 10_000

_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_NO_WRITING: Final = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})
# File systems that cannot flush a folder say so in one of these ways; the file itself is on the stick by then.
_NO_FOLDER_SYNC: Final = frozenset({errno.EINVAL, errno.ENOTSUP, errno.ENOSYS, errno.EBADF, errno.EACCES})

Write = Callable[[Path, bytes], None]


@dataclass(frozen=True, slots=True)
class Found:
    """A file that begins like a manifest; `folder` holds it and what it announces."""

    folder: Path
    name: str
    data: bytes


def outgoing(folder: Path, producer: str, recipient: str) -> Path:
    """Where one node's files for another lie."""
    return _root(folder) / f"{producer}-{recipient}"


def request_of(folder: Path, node: str) -> Path:
    """Where a new node asks to be enrolled."""
    return _root(folder) / f"enrol-{node}.lxe"


def answer_of(folder: Path, node: str) -> Path:
    """Where the hub answers it."""
    return _root(folder) / f"enrol-{node}.lxa"


def _root(folder: Path) -> Path:
    top = folder.parent if folder.name.lower() == ROOT else folder  # somebody may point at our own folder
    return top / ROOT


def file_name(sealed: bytes) -> str:
    return f"{sha256(sealed).hexdigest()[:16]}.age"


def is_file_name(name: str) -> bool:
    """Whether an export could have given this name. Any other, and above all one with a path in it, is refused."""
    return _FILE_NAME.fullmatch(name) is not None


@contextmanager
def naming_faults(folder: Path, *, writing: bool) -> Iterator[None]:
    """What the operating system says, as a `StickError`."""
    try:
        yield
    except OSError as error:
        raise _named(error, folder, writing) from error


def _named(error: OSError, folder: Path, writing: bool) -> StickError:
    cause = errno.errorcode.get(error.errno or 0, type(error).__name__)
    if error.errno in _NO_ROOM:
        return StickFull(folder=str(folder), cause=cause)
    if writing and error.errno in _NO_WRITING:
        return StickReadOnly(folder=str(folder), cause=cause)
    return StickUnusable(folder=str(folder), cause=cause)


# --- reading ---------------------------------------------------------------------------------------------------


def manifests(folder: Path) -> list[Found]:
    """Every file that may be a manifest, in a fixed order. Raises `StickUnusable` when the folder cannot be read."""
    with naming_faults(folder, writing=False):
        return [found for place in _places(folder) for found in _manifests_in(place)]


def read_announced(folder: Path, file: wire.StickFile | wire.StickContent) -> bytes:
    """The announced bytes, also when somebody has renamed the file.

    Raises `StickFileMissing`, `StickFileDamaged`, or `StickUnusable` when the stick went away.
    """
    with naming_faults(folder, writing=False):
        present = folder / file.name
        for path in (present, *(Path(entry.path) for entry in _entries(folder))):
            data = read_intact(path, file)
            if data is not None:
                return data
        if present.exists():
            raise StickFileDamaged(file=file.name)
    raise StickFileMissing(file=file.name)


def read_intact(path: Path, file: wire.StickFile | wire.StickContent) -> bytes | None:
    """The announced bytes; None when anything else lies there. What has another size is not even read."""
    data = read_plain(path, file.bytes, at_least=file.bytes)
    return data if data is not None and sha256(data).digest() == file.sha256 else None


def can_be_listed(folder: Path) -> bool:
    """Whether the stick is still there."""
    try:
        return bool(_entries(folder))
    except OSError:
        return False


def _places(folder: Path) -> list[Path]:
    """The folder itself, folders named like ours in it (copies too), and one level below these."""
    ours = [Path(entry.path) for entry in _folders(folder) if ROOT in entry.name.lower()]
    if ROOT in folder.name.lower():
        ours.append(folder)
    below = [Path(entry.path) for place in ours for entry in _folders(place)]
    return sorted({folder, *ours, *below})


def _manifests_in(place: Path) -> Iterator[Found]:
    for entry in sorted(_entries(place), key=lambda entry: entry.name):
        plain = entry.is_file(follow_symlinks=False)
        if plain and _begins_like_ours(Path(entry.path)):
            yield Found(place, entry.name, read_plain(Path(entry.path), MANIFEST_BYTES_MAX) or b"")


def _begins_like_ours(path: Path) -> bool:
    """Also in a newer format, which is to be named and not to be overlooked."""
    with path.open("rb") as file:
        start = file.read(len(wire.MAGIC))
    return start[:-1] == wire.MAGIC[:-1] and start[-1:].isdigit()


def _folders(folder: Path) -> Iterator[os.DirEntry[str]]:
    return (entry for entry in _entries(folder) if entry.is_dir(follow_symlinks=False))


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        return list(islice(entries, _ENTRIES_MAX))


def read_plain(path: Path, at_most: int, *, at_least: int = 0) -> bytes | None:
    """The bytes of a plain file of such a size; None for anything else."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        return None
    if not S_ISREG(status.st_mode) or not at_least <= status.st_size <= at_most:
        return None
    return path.read_bytes()


# --- writing ---------------------------------------------------------------------------------------------------


def free_bytes(place: Path) -> int:
    """How much room the stick has left."""
    return shutil.disk_usage(place).free


def make(place: Path) -> None:
    """The place of `outgoing`; a stick that is not there must not become a folder on the disk."""
    place.parent.parent.stat()
    for part in (place.parent, place):
        part.mkdir(exist_ok=True)
        if part.is_symlink():
            raise StickUnusable(folder=str(part), cause="link")


def write_whole(path: Path, data: bytes) -> None:
    """The file under its name, whole and on the stick; when that fails, nothing of it is left."""
    draft = path.with_name(f".{secrets.token_hex(8)}{_DRAFT_ENDING}")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
    except OSError:
        remove(draft)
        raise
    _sync_folder(path.parent)


def tidy(place: Path, keep: frozenset[str]) -> None:
    """Remove files of ours that no manifest announces: confirmed ones, and what an interrupted export left."""
    with suppress(OSError):  # untidy is not wrong; the next export tries again
        for entry in _entries(place):
            ours = is_file_name(entry.name) or entry.name.endswith(_DRAFT_ENDING)
            if ours and entry.name not in keep and entry.is_file(follow_symlinks=False):
                remove(Path(entry.path))


def remove(path: Path) -> None:
    """Remove a file if it can be removed."""
    with suppress(OSError):
        path.unlink()


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_FOLDER_SYNC:
            raise
    finally:
        os.close(descriptor)
