"""What a power cut may leave of files: everything that was flushed, and any part of what was not."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from random import Random

from tests.power.disk import Step

Image = dict[str, bytes]  # files by name, with their content


@dataclass(slots=True)
class _File:
    """`flushed` is what lies there for certain; None as long as not even its name does."""

    flushed: bytes | None = None
    waiting: list[Step] = field(default_factory=list)
    before: "_File | None" = None  # of the same name, deleted or replaced; the folder may still show it


@dataclass(slots=True)
class Platter:
    """The files after some steps, with what is certain and what is not."""

    files: dict[str, _File] = field(default_factory=dict)

    def take(self, step: Step) -> None:
        """One more step was done."""
        if step.kind == "mark":
            return
        if step.kind in ("create", "delete"):
            self.files[step.file] = _File(before=self.files.get(step.file))
            if step.kind == "delete":
                self.files[step.file].waiting.append(step)
                if step.data:
                    self._flush_names()
            return
        file = self.files.setdefault(step.file, _File())
        if step.kind != "sync":
            file.waiting.append(step)
            return
        if file.flushed is None:
            self._flush_names()
        file.flushed, file.waiting = _applied(file.flushed or b"", file.waiting), []

    def _flush_names(self) -> None:
        """SQLite flushes the folder together with a new journal or WAL: what was deleted before stays deleted."""
        for name, file in list(self.files.items()):
            file.before = None
            if _gone(file):
                del self.files[name]

    def certain(self, of: str) -> Image:
        """Nothing of what was not flushed has reached the disk of files that begin with `of`."""
        found = {name: _oldest(file).flushed for name, file in self._of(of)}
        return {name: content for name, content in found.items() if content is not None}

    def everything(self, of: str) -> Image:
        """All of it has: what a killed process leaves."""
        return {name: _applied(file.flushed or b"", file.waiting) for name, file in self._of(of) if not _gone(file)}

    def something(self, of: str, random: Random) -> Image:
        """Any part of it has, in any order, sector by sector: also writes of which only a part is there."""
        sector, share = random.choice((512, 4096)), random.choice((0.1, 0.5, 0.9))
        image: Image = {}
        for name, file in self._of(of):
            while file.before is not None and random.random() < 0.5:
                file = file.before
            kept = [part for step in file.waiting for part in _parts(step, sector) if random.random() < share]
            if file.flushed is not None or kept:
                image[name] = _applied(file.flushed or b"", kept)
            if any(step.kind == "delete" for step in kept) or (_gone(file) and file.before is None):
                image.pop(name, None)
        return image

    def _of(self, of: str) -> Iterator[tuple[str, _File]]:
        return ((name, file) for name, file in self.files.items() if name.startswith(of))


def _gone(file: _File) -> bool:
    return any(step.kind == "delete" for step in file.waiting)


def _oldest(file: _File) -> _File:
    while file.before is not None:
        file = file.before
    return file


def _parts(step: Step, sector: int) -> Iterator[Step]:
    """A write in pieces that end where a sector ends; any other step as it is."""
    if step.kind != "write":
        yield step
        return
    place, end = step.offset, step.offset + len(step.data)
    while place < end:
        until = min(end, (place // sector + 1) * sector)
        yield Step("write", step.file, place, step.data[place - step.offset : until - step.offset])
        place = until


def _applied(content: bytes, steps: Sequence[Step]) -> bytes:
    after = bytearray(content)
    for step in steps:
        if step.kind == "write":
            after.extend(bytes(max(0, step.offset - len(after))))
            after[step.offset : step.offset + len(step.data)] = step.data
        elif step.kind == "truncate":
            del after[step.offset :]
    return bytes(after)
