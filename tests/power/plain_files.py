"""A recorder for files that are written by Python itself, and what a power cut may leave of them.

The operating system promises three things: what was in a file when it was flushed is there; a name is there once its
folder was flushed; a name changes at once or not at all. Everything else may or may not have happened, in any order.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from random import Random
from typing import Any, Final
from unittest import mock

_SECTOR: Final = 512
_FOLDER: Final = b"<folder>"


@dataclass(slots=True)
class _Names:
    """A change of the folders: these names now mean these files, None for no file. Kept whole or not at all."""

    changed: dict[str, int | None]
    flushed: set[str] = field(default_factory=set)  # folders of it that were flushed since

    @property
    def folders(self) -> set[str]:
        return {os.path.dirname(name) for name in self.changed}


@dataclass(slots=True)
class _Content:
    flushed: bytes = b""
    waiting: list[bytes] = field(default_factory=list)


class Files:
    """Watches the files below `root`. `cut` is called after every step that a power cut could follow."""

    def __init__(self, root: Path, cut: Callable[["Files"], None]) -> None:
        self.root, self._cut = root, cut
        self._new_id = count()
        self._known: dict[str, int] = {}  # names as they are now
        self._contents: dict[int, _Content] = {}
        self._certain: dict[str, int] = {}  # names that were flushed
        self._waiting: list[_Names] = []
        self.look()
        for content in self._contents.values():
            content.flushed, content.waiting = content.waiting[-1] if content.waiting else b"", []
        self._certain, self._waiting = dict(self._known), []

    # --- what happens --------------------------------------------------------------------------------------------

    def wrap(self, name: str) -> Callable[..., Any]:
        original = getattr(os, name)

        def wrapped(*args: Any, **kwargs: Any) -> Any:
            self.look()
            path = self._of_descriptor(args[0]) if name == "fsync" else self._name(args[0])
            result = original(*args, **kwargs)
            if path is not None:
                getattr(self, f"_{name}")(path, *(self._name(arg) for arg in args[1:2]))
                self.look()
                self._cut(self)
            return result

        return wrapped

    def _fsync(self, path: str) -> None:
        known = self._known.get(path)
        if path == "" or (known is not None and self._contents[known].flushed == _FOLDER):
            for change in [one for one in self._waiting if path in one.folders]:
                self._settle(change)
        elif known is not None:
            content = self._contents[known]
            content.flushed, content.waiting = (content.waiting or [content.flushed])[-1], []

    def _settle(self, change: _Names) -> None:
        self._waiting.remove(change)
        for name, meant in change.changed.items():
            self._certain.pop(name, None)
            if meant is not None:
                self._certain[name] = meant

    def _replace(self, old: str, new: str) -> None:
        self._known[new] = self._known.pop(old)
        self._waiting.append(_Names({new: self._known[new], old: None}))

    def _link(self, old: str, new: str) -> None:
        self._known[new] = self._known[old]
        self._waiting.append(_Names({new: self._known[new]}))

    def _unlink(self, path: str, *_: str) -> None:
        if self._known.pop(path, None) is not None:
            self._waiting.append(_Names({path: None}))

    def _mkdir(self, path: str, *_: str) -> None:
        """Seen by looking."""

    def look(self) -> None:
        """Notes what was created and written since."""
        for path in sorted(self.root.rglob("*")):
            name, content = self._name(path), _FOLDER if path.is_dir() else path.read_bytes()
            if name not in self._known:
                self._known[name] = next(self._new_id)
                self._contents[self._known[name]] = _Content(_FOLDER if content == _FOLDER else b"")
                self._waiting.append(_Names({name: self._known[name]}))
            one = self._contents[self._known[name]]
            if content != (one.waiting or [one.flushed])[-1]:
                one.waiting.append(content)

    def _name(self, path: Any) -> str:
        """As it is called below the root; "" for the root itself."""
        try:
            relative = Path(path).relative_to(self.root)
        except (TypeError, ValueError):
            return str(path)
        return "" if relative == Path() else str(relative)

    def _of_descriptor(self, descriptor: int) -> str | None:
        asked = os.fstat(descriptor)
        paths = ["", *self._known]
        return next((name for name in paths if os.path.samestat(asked, (self.root / name).stat())), None)

    # --- what a power cut leaves ---------------------------------------------------------------------------------

    def states(self, random: Random) -> Iterator[tuple[str, dict[str, bytes]]]:
        """Files by name with their content, in the three ways in which a cut can take what was not flushed."""
        yield "only what was flushed", self._state(lambda _: False, lambda one: one.flushed)
        yield "names only", self._state(lambda _: True, lambda one: one.flushed)
        yield "all of it", self._state(lambda _: True, lambda one: (one.waiting or [one.flushed])[-1])
        yield "some of it", self._state(lambda _: random.random() < 0.5, lambda one: _torn(one, random))

    def _state(self, keeps: Callable[[_Names], bool], content: Callable[[_Content], bytes]) -> dict[str, bytes]:
        names = dict(self._certain)
        for change in self._waiting:
            if keeps(change):
                for name, meant in change.changed.items():
                    names.pop(name, None)
                    if meant is not None:
                        names[name] = meant
        found = {name: content(self._contents[meant]) for name, meant in names.items()}
        return {name: data for name, data in found.items() if data != _FOLDER and _reachable(name, names)}


def _reachable(name: str, names: dict[str, int]) -> bool:
    return all(str(folder) in names for folder in Path(name).parents if folder != Path())


def _torn(one: _Content, random: Random) -> bytes:
    """Sectors of what was there and of what was written, and a length that may be either's or nothing."""
    old, new = one.flushed, (one.waiting or [one.flushed])[-1]
    length = random.choice((len(old), len(new), random.randrange(len(new) + 1))) if one.waiting else len(old)
    torn = bytearray()
    for start in range(0, length, _SECTOR):
        source = random.choice((old, new))
        torn += source[start : start + _SECTOR].ljust(min(_SECTOR, length - start), b"\0")[: length - start]
    return bytes(torn)


@contextmanager
def watched(root: Path, cut: Callable[[Files], None]) -> Iterator[Files]:
    """Everything that Python does to files below `root` in here, with `cut` called after every step."""
    files = Files(root, cut)
    names = ("fsync", "replace", "link", "unlink", "mkdir")
    with mock.patch.multiple(os, **{name: files.wrap(name) for name in names}):
        yield files
