"""A recorder beneath SQLite: every write, truncation and flush that reaches a database's files, in their order.

SQLite talks to files through a table of functions, its VFS. The recorder puts a copy of the default table before it
whose functions note what they were asked and then ask the original. It works on the very library that the product
opens its databases with, and needs nothing but ctypes.
"""

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, Final

_OK: Final = 0
# sqlite3.h: the files that hold what was committed. Temporary files and the -shm are rebuilt, never read after a crash.
_MAIN_DB, _MAIN_JOURNAL, _WAL = 0x100, 0x800, 0x80000
_KEPT: Final = _MAIN_DB | _MAIN_JOURNAL | _WAL


@dataclass(frozen=True, slots=True)
class Step:
    """One thing done to a disk. `kind`: create, write, truncate, sync, delete (with data: its folder was
    flushed as well), or mark (a word of the test's own).
    """

    kind: str
    file: str
    offset: int = 0
    data: bytes = b""
    mark: Any = None


@dataclass(slots=True)
class Disk:
    """What was done to the files of the databases below `folder`; paths are relative to it."""

    folder: Path
    steps: list[Step] = field(default_factory=list)

    def mark(self, what: Any) -> None:
        """From here on the test relies on something: it was promised to a person or to a peer."""
        self.steps.append(Step("mark", "", mark=what))

    def note(self, kind: str, path: str, offset: int = 0, data: bytes = b"") -> None:
        if Path(path).is_relative_to(self.folder):
            self.steps.append(Step(kind, str(Path(path).relative_to(self.folder)), offset, data))


class _Methods(ctypes.Structure):
    """struct sqlite3_io_methods, version 3."""

    _fields_ = (
        ("iVersion", ctypes.c_int),
        *((name, ctypes.c_void_p) for name in (
            "xClose", "xRead", "xWrite", "xTruncate", "xSync", "xFileSize", "xLock", "xUnlock", "xCheckReservedLock",
            "xFileControl", "xSectorSize", "xDeviceCharacteristics", "xShmMap", "xShmLock", "xShmBarrier", "xShmUnmap",
            "xFetch", "xUnfetch",
        )),
    )  # fmt: skip


class _Vfs(ctypes.Structure):
    """struct sqlite3_vfs, version 3."""

    _fields_ = (
        ("iVersion", ctypes.c_int), ("szOsFile", ctypes.c_int), ("mxPathname", ctypes.c_int),
        ("pNext", ctypes.c_void_p), ("zName", ctypes.c_char_p), ("pAppData", ctypes.c_void_p),
        *((name, ctypes.c_void_p) for name in (
            "xOpen", "xDelete", "xAccess", "xFullPathname", "xDlOpen", "xDlError", "xDlSym", "xDlClose", "xRandomness",
            "xSleep", "xCurrentTime", "xGetLastError", "xCurrentTimeInt64", "xSetSystemCall", "xGetSystemCall",
            "xNextSystemCall",
        )),
    )  # fmt: skip


_int, _ptr = ctypes.c_int, ctypes.c_void_p
# Names are passed on as addresses: SQLite keeps them, so a copy would be freed under its feet.
_OPEN = ctypes.CFUNCTYPE(_int, _ptr, _ptr, _ptr, _int, _ptr)
_DELETE = ctypes.CFUNCTYPE(_int, _ptr, _ptr, _int)
_WRITE = ctypes.CFUNCTYPE(_int, _ptr, _ptr, _int, ctypes.c_int64)
_TRUNCATE = ctypes.CFUNCTYPE(_int, _ptr, ctypes.c_int64)
_SYNC = ctypes.CFUNCTYPE(_int, _ptr, _int)
_CLOSE = ctypes.CFUNCTYPE(_int, _ptr)


def library(module: ModuleType) -> ctypes.CDLL | None:
    """The SQLite that a driver such as `sqlite3` calls; None where it does not show its functions (as on Windows)."""
    inner = "_sqlite3" if module.__name__ == "sqlite3" else f"{module.__name__}._sqlite3"
    found = ctypes.CDLL(str(import_module(inner).__file__))
    return found if hasattr(found, "sqlite3_vfs_register") else None


@contextmanager
def recorded(sqlite: ctypes.CDLL, folder: Path) -> Iterator[Disk]:
    """Everything that databases opened in here do to files below `folder`. Close them before leaving."""
    recorder = _Recorder(sqlite, Disk(folder))
    _kept_alive.append(recorder)
    sqlite.sqlite3_vfs_register(ctypes.byref(recorder.vfs), 1)
    try:
        yield recorder.disk
    finally:
        sqlite.sqlite3_vfs_register(ctypes.c_void_p(recorder.original), 1)
        sqlite.sqlite3_vfs_unregister(ctypes.byref(recorder.vfs))


# A connection that was forgotten still calls the recorder; it must not find freed memory there.
_kept_alive: "list[_Recorder]" = []


class _Recorder:
    def __init__(self, sqlite: ctypes.CDLL, disk: Disk) -> None:
        sqlite.sqlite3_vfs_find.restype = ctypes.c_void_p
        self.disk = disk
        self.original = sqlite.sqlite3_vfs_find(None)
        self.vfs = _Vfs.from_buffer_copy(_Vfs.from_address(self.original))
        self._open, self._delete = _OPEN(self.vfs.xOpen), _DELETE(self.vfs.xDelete)
        self._callbacks: list[Any] = [_OPEN(self._on_open), _DELETE(self._on_delete)]
        self.vfs.zName = b"recorder"
        self.vfs.xOpen, self.vfs.xDelete = map(_address, self._callbacks)
        self._paths: dict[int, str] = {}  # open files by their address
        self._tables: dict[int, _Methods] = {}  # our table of functions for each of SQLite's own

    def _on_open(self, _vfs: int, name: int | None, file: int, flags: int, out: int) -> int:
        path = _text(name)
        is_new = not Path(path).exists()
        code = self._open(self.original, name, file, flags, out)
        if code == _OK and flags & _KEPT and path:
            self._paths[file] = path
            if is_new:
                self.disk.note("create", path)
            methods = ctypes.c_void_p.from_address(file)
            methods.value = ctypes.addressof(self._table(methods.value or 0))
        return int(code)

    def _on_delete(self, _vfs: int, name: int, folder_too: int) -> int:
        code = self._delete(self.original, name, folder_too)
        if code == _OK:
            self.disk.note("delete", _text(name), data=b"flushed" if folder_too else b"")
        return int(code)

    def _table(self, original: int) -> _Methods:
        if original not in self._tables:
            table = _Methods.from_buffer_copy(_Methods.from_address(original))
            write, truncate = _WRITE(table.xWrite), _TRUNCATE(table.xTruncate)
            sync, close = _SYNC(table.xSync), _CLOSE(table.xClose)

            def on_write(file: int, data: int, length: int, offset: int) -> int:
                self.disk.note("write", self._paths[file], offset, ctypes.string_at(data, length))
                return int(write(file, data, length, offset))

            def on_truncate(file: int, length: int) -> int:
                self.disk.note("truncate", self._paths[file], length)
                return int(truncate(file, length))

            def on_sync(file: int, flags: int) -> int:
                self.disk.note("sync", self._paths[file])
                return int(sync(file, flags))

            def on_close(file: int) -> int:
                del self._paths[file]
                return int(close(file))

            hooks: list[Any] = [_WRITE(on_write), _TRUNCATE(on_truncate), _SYNC(on_sync), _CLOSE(on_close)]
            table.xWrite, table.xTruncate, table.xSync, table.xClose = map(_address, hooks)
            self._callbacks += hooks
            self._tables[original] = table
        return self._tables[original]


def _text(name: int | None) -> str:
    return os.fsdecode(ctypes.string_at(name)) if name else ""


def _address(callback: Any) -> int | None:
    return ctypes.cast(callback, ctypes.c_void_p).value
