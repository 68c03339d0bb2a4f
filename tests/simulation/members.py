"""The nodes of a simulated township: what outlives their processes, and what the world remembers of them."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from shutil import copyfile, copytree, rmtree
from typing import Final, Literal

from sync.anchor import ANCHOR_FILE, Anchor
from sync.blobs import BlobStore
from sync.events import Event, Scope, Subject
from sync.exchange import exchange
from sync.identity import Identity
from sync.ledger import Ledger
from sync.limits import CHUNK_BYTES, Limits
from sync.positions import Heads
from sync.replica import NodeInfo, Replica
from sync.responder import Responder
from sync.testing import FixedClock
from tests.simulation import disks
from tests.simulation.disks import AtCommit

# Small on purpose: many bundles, many cuts, some events above the batch.
LIMITS: Final = Limits(
    batch_raw_bytes=12_000,
    batch_raw_bytes_start=4000,
    batch_raw_bytes_min=800,
    batch_events=60,
    snapshot_events_min=5,
    snapshot_block_events=4,
    snapshot_part_raw_bytes=2000,
    blob_lane_bytes=2 * CHUNK_BYTES,
    blob_disk_free_min=0,
    stick_blob_bytes=4 * CHUNK_BYTES,
    stick_free_min=0,
)
_ROOM: Final = 1 << 40
_CONTENTS: Final = "blobs"
SUBJECTS_MAX: Final = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What nodes are made of; a planted bug replaces one of them."""

    ledger: type[Ledger] = Ledger
    store: type[BlobStore] = BlobStore
    responder: type[Responder] = Responder
    exchange: Callable[..., object] = exchange


@dataclass(slots=True)
class Memory:
    """What a member knows it has done. It goes back with its disk; what went is kept in `Member.perhaps`."""

    recorded: dict[str, bytes] = field(default_factory=dict)
    keys: list[tuple[str, str]] = field(default_factory=list)
    folded: dict[Subject, set[str]] = field(default_factory=dict)
    contents: set[bytes] = field(default_factory=set)

    def copy(self) -> "Memory":
        folded = {name: set(ids) for name, ids in self.folded.items()}
        return Memory(dict(self.recorded), list(self.keys), folded, set(self.contents))


@dataclass(frozen=True, slots=True)
class Backup:
    """A member's disk as it was, and what its memory of itself was then."""

    folder: Path
    memory: Memory


# What becomes of attached content when a database is put back: it is copied file by file, and may be forgotten.
Contents = Literal["as they were", "as they lie", "gone"]
CONTENTS: Final[tuple[Contents, ...]] = ("as they were", "as they lie", "gone")


@dataclass(slots=True)
class Member:
    """A node of the township: its disk outlives its process. A copy has the name of its original and a "c"."""

    name: str
    scope: Scope
    file: Path
    identity: Identity
    clock: FixedClock
    parts: Parts
    at_commit: AtCommit
    attaching: bool = False
    machine: str = "one and the same"
    memory: Memory = field(default_factory=Memory)
    backups: list[Backup] = field(default_factory=list)
    perhaps: set[str] = field(default_factory=set)  # committed once, on a disk that was put back since
    revoked: bool = False
    replica: Replica = field(init=False)
    anchor: Anchor = field(init=False)

    def __post_init__(self) -> None:
        self.anchor = Anchor(self.file.parent, lambda: self.machine)
        self._open()

    def _open(self) -> None:
        ledger = self.parts.ledger(self.identity, self.clock, None, LIMITS)
        engine = disks.open_disk(self.file, self.at_commit)
        store = self.parts.store(self._contents, self.clock, LIMITS, lambda: _ROOM) if self.attaching else None
        self.replica = Replica(engine, ledger, self.identity, self.clock, LIMITS, NodeInfo(self.name, "sim"), store)

    @property
    def ledger(self) -> Ledger:
        return self.replica.ledger

    @property
    def store(self) -> BlobStore:
        assert self.replica.blobs is not None
        return self.replica.blobs

    @property
    def _contents(self) -> Path:
        return self.file.parent / _CONTENTS

    @property
    def node(self) -> str:
        return self.identity.node

    def heads(self, *scopes: Scope) -> Heads:
        with self.replica.engine.begin() as conn:
            return self.ledger.heads(conn, scopes)

    def everything(self) -> list[Event]:
        """All events on the disk, each once."""
        with self.replica.engine.begin() as conn:
            subjects = self.ledger.subjects(conn, "", None, SUBJECTS_MAX)
            return [event for events in self.ledger.read_subjects(conn, subjects).values() for event in events]

    # --- process and disk --------------------------------------------------------------------------------------

    def stop(self) -> None:
        self.replica.engine.dispose()

    def restart(self) -> None:
        """Another process on the same disk: whatever was only in memory is gone."""
        self.stop()
        self.anchor = Anchor(self.file.parent, lambda: self.machine)
        self._open()

    def back_up(self) -> None:
        """The disk as it is between two transactions."""
        folder = self.file.parent.parent / f"{self.name}.backup{len(self.backups)}"
        folder.mkdir(exist_ok=True)
        self.backups.append(Backup(folder, self.memory.copy()))
        self._copy_to(folder)

    def _copy_to(self, folder: Path) -> None:
        disks.copy_disk(self.replica.engine, folder / self.file.name)
        (folder / ANCHOR_FILE).unlink(missing_ok=True)
        if (self.file.parent / ANCHOR_FILE).exists():
            copyfile(self.file.parent / ANCHOR_FILE, folder / ANCHOR_FILE)
        _replace_folder(self._contents, folder / _CONTENTS)

    def put_back(self, backup: Backup, *, with_anchor: bool, contents: "Contents" = "as they were") -> None:
        """The disk as it was then; without its anchor, the one that lies there knows better. Attached content comes
        with it, or lies there as it does, or is gone.
        """
        self.stop()
        disks.put_back(backup.folder, self.file)
        if with_anchor and (backup.folder / ANCHOR_FILE).exists():
            copyfile(backup.folder / ANCHOR_FILE, self.file.parent / ANCHOR_FILE)
        self.perhaps |= set(self.memory.recorded) - set(backup.memory.recorded)
        self.memory = backup.memory.copy()
        if contents != "as they lie":
            _replace_folder(backup.folder / _CONTENTS if contents == "as they were" else None, self._contents)
        self.restart()
        if self.attaching:
            whole = {digest for digest, path in self.store.files.names() if path.parent.name != "parts"}
            self.memory.contents &= whole

    def clone(self, machine: str) -> "Member":
        """A second computer with a copy of the disk. What the original recorded is the original's to answer for."""
        home = self.file.parent.parent / f"{self.name}c"
        home.mkdir(exist_ok=True)
        self._copy_to(home)
        clock, memory = FixedClock(self.clock()), Memory(folded=self.memory.copy().folded)
        return replace(
            self, name=home.name, file=home / self.file.name, clock=clock, machine=machine, memory=memory, backups=[],
            perhaps=set(),
        )  # fmt: skip


def _replace_folder(source: Path | None, target: Path) -> None:
    """A copy of the one in place of the other, or nothing where there is no such folder."""
    rmtree(target, ignore_errors=True)
    if source is not None and source.is_dir():
        copytree(source, target)
