"""The power fails while a file is written beside the database: the anchor, the keys, attached content, the stick."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from unittest import mock

import pytest

from service.node import _kept_secret
from service.store.vault import NodeVault
from sync import durable, epochs
from sync.anchor import Anchor
from sync.blob_files import BlobFiles, digest_of
from sync.identity import Identity
from sync.limits import CHUNK_BYTES
from sync.stick.folder import write_whole
from sync.testing import Lab, LabNode, draft, sqlite_engine
from tests.power.plain_files import Files, watched

HALL = "t/s/a"


@dataclass(slots=True)
class Cuts:
    """Every state that a power cut could leave of the files in `root`, with how much was done by then."""

    root: Path
    done: int = 0
    states: list[tuple[str, int, dict[str, bytes]]] = field(default_factory=list)
    _random: Random = field(default_factory=lambda: Random(3))

    def take(self, files: Files) -> None:
        self.states += [(what, self.done, state) for what, state in files.states(self._random)]

    def returned(self, files: Files) -> None:
        """A step has returned: from now on its caller relies on it."""
        self.done += 1
        files.look()
        self.take(files)

    def laid_out(self) -> Iterator[tuple[str, int, Path]]:
        """Description, the number of steps that had returned, and a folder with the files."""
        for number, (what, done, state) in enumerate(self.states):
            folder = self.root.with_name(f"{self.root.name}-{number}")
            folder.mkdir()
            for name, content in state.items():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes(content)
            yield f"{what}, after {done} steps, left are {sorted(state)}", done, folder


@pytest.fixture
def cuts(tmp_path: Path) -> Cuts:
    (tmp_path / "disk").mkdir()
    return Cuts(tmp_path / "disk")


# --- the anchor ------------------------------------------------------------------------------------------------


@pytest.fixture
def station(tmp_path: Path) -> Iterator[LabNode]:
    lab = Lab(lambda name: sqlite_engine(tmp_path / f"{name}.db", durable=False), tmp_path)
    yield lab.pair()[1]
    lab.close()


def anchored(cuts: Cuts, station: LabNode) -> None:
    """Three times: something is recorded, and the anchor follows."""
    kept = Anchor(cuts.root, lambda: "pc")
    with station.engine.begin() as conn:
        epochs.register(conn, station.replica.identity, station.clock())  # as every start does
    with watched(cuts.root, cuts.take) as files:
        for _ in range(3):
            station.record(HALL, draft(), draft())
            with station.engine.begin() as conn:
                kept.write(conn, station.replica.identity)
            cuts.returned(files)


def alarms(cuts: Cuts, station: LabNode) -> set[str]:
    """What the node would suspect after a cut, once its anchor was written for the first time."""
    found: set[str] = set()
    with station.engine.connect() as conn, conn.begin() as transaction:
        for _what, done, folder in cuts.laid_out():
            with conn.begin_nested() as savepoint:
                reason = Anchor(folder, lambda: "pc").examine(conn, station.replica.identity, station.clock())
                savepoint.rollback()
            if done and reason is not None:
                found.add(reason)
        transaction.rollback()
    return found


def test_a_power_cut_while_the_anchor_is_written_leaves_the_old_or_the_new_one(cuts: Cuts, station: LabNode) -> None:
    anchored(cuts, station)
    assert len(cuts.states) > 30
    assert not alarms(cuts, station), "a false alarm costs an epoch"


@pytest.mark.parametrize("forgotten", ["fsync", "replace"])
def test_an_anchor_that_is_not_flushed_or_written_in_place_is_caught(
    cuts: Cuts, station: LabNode, forgotten: str
) -> None:
    def flawed(path: Path, content: bytes) -> None:
        target = path if forgotten == "replace" else path.with_suffix(".new")
        target.write_bytes(content)
        if forgotten == "fsync":
            target.replace(path)
        durable.flush_folder(path.parent)

    with mock.patch("sync.anchor.replace_file", flawed):
        anchored(cuts, station)
    assert "anchor_missing" in alarms(cuts, station)


# --- keys ------------------------------------------------------------------------------------------------------


def test_a_power_cut_after_the_first_use_of_a_key_does_not_take_the_key(cuts: Cuts) -> None:
    data = cuts.root / "data"
    with watched(cuts.root, cuts.take) as files:
        identity = Identity.load_or_create(data)
        cuts.returned(files)
        sealed = NodeVault(data / "vault.key").seal("陈阿婆".encode(), b"event")
        cuts.returned(files)
        secret = _kept_secret(data / "session.key")
        cuts.returned(files)
    for what, done, folder in cuts.laid_out():
        after = folder / "data"
        assert done < 1 or Identity.load_or_create(after).origin == identity.origin, what
        assert done < 2 or NodeVault(after / "vault.key").open(sealed, b"event") == "陈阿婆".encode(), what
        assert done < 3 or _kept_secret(after / "session.key") == secret, what
        Identity.load_or_create(after)  # whatever was left can be started with
        NodeVault(after / "vault.key").seal(b"x", b"event")
        assert len(_kept_secret(after / "session.key")) == 64


def test_an_empty_session_key_left_by_a_power_cut_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / "session.key").touch()
    made = _kept_secret(tmp_path / "session.key")
    assert len(made) == 64
    assert _kept_secret(tmp_path / "session.key") == made


def test_two_processes_that_start_at_once_use_one_key(tmp_path: Path) -> None:
    file = tmp_path / "vault.key"

    def another_was_faster(path: Path, content: bytes) -> None:
        durable.create_file(path, b"1" * 32)
        durable.create_file(path, content)

    with mock.patch("service.store.vault.create_file", another_was_faster):
        sealed = NodeVault(file).seal(b"x", b"event")
    assert NodeVault(file).open(sealed, b"event") == b"x"


# --- attached content ------------------------------------------------------------------------------------------


def test_content_that_was_taken_in_is_whole_after_a_power_cut(cuts: Cuts) -> None:
    """What `BlobFiles` has returned from is on the disk: the database says so in the same breath."""
    photo, scan = bytes(range(256)) * 12, b"scan" * (CHUNK_BYTES // 4) + b"the end"
    blobs = BlobFiles(cuts.root / "data" / "blobs")
    with watched(cuts.root, cuts.take) as files:
        blobs.write_whole(digest_of(photo), photo)
        cuts.returned(files)
        blobs.write_chunk(digest_of(scan), 1, scan[CHUNK_BYTES:])
        cuts.returned(files)
        blobs.write_chunk(digest_of(scan), 0, scan[:CHUNK_BYTES])
        cuts.returned(files)
        blobs.finish(digest_of(scan))
        cuts.returned(files)
    for what, done, folder in cuts.laid_out():
        after = BlobFiles(folder / "data" / "blobs")
        for digest, content in ((digest_of(photo), photo), (digest_of(scan), scan)):
            assert after.read_whole(digest, len(content)) in (None, content), f"torn under its own name: {what}"
        assert done < 1 or after.read_whole(digest_of(photo), len(photo)) == photo, what
        assert done < 2 or after.read_chunk(digest_of(scan), 1, len(scan)) == scan[CHUNK_BYTES:], what
        assert done < 3 or after.read_chunk(digest_of(scan), 0, len(scan)) == scan[:CHUNK_BYTES], what
        assert done < 4 or after.read_whole(digest_of(scan), len(scan)) == scan, what


def test_a_power_cut_does_not_make_the_key_of_content_look_lost(cuts: Cuts, tmp_path: Path) -> None:
    vault = NodeVault(tmp_path / "vault.key")
    blobs = BlobFiles(cuts.root / "blobs", vault=vault)
    with watched(cuts.root, cuts.take) as files:
        blobs.note_key()
        cuts.returned(files)
    for what, _, folder in cuts.laid_out():
        assert BlobFiles(folder / "blobs", vault=vault).key_fits(), what


# --- the memory stick ------------------------------------------------------------------------------------------


def test_a_file_on_a_stick_is_whole_under_its_name_or_not_there(cuts: Cuts) -> None:
    """The manifest comes last: where it can be read, the files it names were flushed before."""
    bundle, manifest = b"bundle" * 500, b"manifest of 1"
    with watched(cuts.root, cuts.take) as files:
        write_whole(cuts.root / "0001.lxb", bundle)
        write_whole(cuts.root / "manifest", manifest)
        cuts.returned(files)
    for what, done, folder in cuts.laid_out():
        left = {name: (folder / name).read_bytes() for name in ("0001.lxb", "manifest") if (folder / name).exists()}
        assert left.get("0001.lxb", bundle) == bundle, what
        assert left.get("manifest", manifest) == manifest, what
        assert "manifest" not in left or "0001.lxb" in left, what
        assert not done or len(left) == 2, what
