"""Attached content on the disk: sealed chunk by chunk, named by what it is, and lost without its key, not for ever."""

from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from random import Random

import pytest

from service.store.vault import NodeVault
from sync.blob_files import chunk_hashes
from sync.blobs import BlobState, BlobStore
from sync.errors import ChunkDamaged
from sync.events import Scope
from sync.limits import CHUNK_BYTES
from sync.testing import Lab, LabNode, draft
from sync.testing.databases import sqlite_engine
from sync.testing.exchange_contract import HALL, PUB

PHOTO = Random(3).randbytes(2 * CHUNK_BYTES + 501)
CHUNKS = 3


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    made = Lab(lambda name: sqlite_engine(tmp_path / f"{name}.db", durable=False), tmp_path)
    yield made
    made.close()


def vault(lab: Lab, name: str) -> NodeVault:
    return NodeVault(lab.folder / f"{name}.vault")


def sealed_pair(lab: Lab) -> tuple[LabNode, LabNode]:
    """A hub and a station, each sealing under a key of its own."""
    hub, station = lab.node("hub", vault=vault(lab, "hub")), lab.node("station", vault=vault(lab, "station"))
    lab.enrol(station, hub, [PUB, HALL], [HALL])
    return hub, station


def carried(station: LabNode, hub: LabNode, content: bytes = PHOTO) -> bytes:
    digest = station.attach(HALL, content)
    station.record(HALL, draft(f"note/{digest.hex()[:8]}"))
    station.exchange(hub)
    hub.refer(HALL, digest, len(content))
    station.exchange(hub)
    return digest


def read(node: LabNode, digest: bytes) -> bytes | None:
    with node.engine.begin() as conn:
        return node.blobs.read(conn, digest)


def lying(node: LabNode) -> bytes:
    """Everything on the node's disk that may be content."""
    return b"".join(path.read_bytes() for _, path in node.blobs.files.names())


def rekeyed(lab: Lab, node: LabNode) -> LabNode:
    """The node after its key was lost: a new one was made, the files are the old ones."""
    (lab.folder / f"{node.name}.vault").unlink()
    node.blobs.files._vault = vault(lab, node.name)
    node.blobs.files._key_noted = False
    return node


def test_what_lies_on_either_disk_shows_nothing_and_is_named_by_the_plain_content(lab: Lab) -> None:
    hub, station = sealed_pair(lab)
    digest = carried(station, hub)
    for node in (hub, station):
        assert node.blobs.files.whole(digest).name == sha256(PHOTO).hexdigest()
        assert read(node, digest) == PHOTO
        for start in range(0, len(PHOTO), 4096):
            assert PHOTO[start : start + 32] not in lying(node)
    assert lying(hub) != lying(station), "each disk has its own key"


def test_an_unfinished_file_is_sealed_too_and_goes_on_after_a_torn_write(lab: Lab) -> None:
    hub, _ = sealed_pair(lab)
    digest = sha256(PHOTO).digest()
    hub.refer(HALL, digest, len(PHOTO))
    pieces = [PHOTO[n * CHUNK_BYTES : (n + 1) * CHUNK_BYTES] for n in range(CHUNKS)]
    with hub.engine.begin() as conn:
        hub.blobs.learn(conn, digest, len(PHOTO), chunk_hashes(PHOTO))
        hub.blobs.put_chunk(conn, digest, 2, pieces[2])
        hub.blobs.put_chunk(conn, digest, 0, pieces[0])
        with pytest.raises(ChunkDamaged):
            hub.blobs.put_chunk(conn, digest, 1, pieces[0])
    assert pieces[2][:32] not in lying(hub)
    with hub.blobs.files.part(digest).open("r+b") as file:  # power failed in the middle of a chunk
        file.seek(100)
        file.write(b"\0" * 9)
    with hub.engine.begin() as conn:
        hub.blobs.put_chunk(conn, digest, 1, pieces[1])
        assert hub.blobs.find(conn, digest).missing == [0]  # type: ignore[union-attr]
        hub.blobs.put_chunk(conn, digest, 0, pieces[0])
    assert read(hub, digest) == PHOTO


def test_chunks_cannot_change_places_on_the_disk(lab: Lab) -> None:
    hub, station = sealed_pair(lab)
    digest = carried(station, hub, PHOTO[:CHUNK_BYTES] * 2)
    path = hub.blobs.files.whole(digest)
    data, slot = path.read_bytes(), path.stat().st_size // 2
    path.write_bytes(data[slot:] + data[:slot])
    assert read(hub, digest) is None


@pytest.mark.parametrize("who", [0, 1], ids=["hub", "station"])
def test_content_whose_key_was_lost_comes_back_from_the_other_side(lab: Lab, who: int) -> None:
    pair = sealed_pair(lab)
    digest = carried(pair[1], pair[0])
    poor, hub = rekeyed(lab, pair[who]), pair[0]
    assert read(poor, digest) is None
    poor.attach(HALL, b"written under the new key before anybody looked")
    with poor.engine.begin() as conn:
        assert poor.blobs.sweep(conn).lost == (digest,)
        assert poor.blobs.sweep(conn).lost == ()
    assert poor.blob(digest).state is BlobState.REFERENCED
    pair[1].exchange(hub)
    pair[1].exchange(hub)
    assert read(poor, digest) == PHOTO


def test_content_is_taken_in_again_where_a_file_under_a_lost_key_is_in_its_place(lab: Lab) -> None:
    _, station = sealed_pair(lab)
    digest = station.attach(HALL, PHOTO)
    rekeyed(lab, station)
    assert station.attach(HALL, PHOTO) == digest
    assert read(station, digest) == PHOTO


def test_files_from_before_there_was_sealing_are_read_and_then_sealed(lab: Lab) -> None:
    station = lab.node("station", vault=vault(lab, "station"))
    plain = BlobStore(station.blobs.files.folder, lab.clock)
    with station.engine.begin() as conn:
        digest = plain.add(conn, PHOTO, "image/jpeg")
        plain.refer(conn, Scope(HALL), digest, len(PHOTO), "image/jpeg")
    assert PHOTO[:32] in lying(station)
    assert read(station, digest) == PHOTO
    with station.engine.begin() as conn:
        assert station.blobs.sweep(conn).lost == ()
    assert PHOTO[:32] not in lying(station)
    assert read(station, digest) == PHOTO


def test_reading_and_completing_hold_one_chunk_at_a_time(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    hub, station = sealed_pair(lab)
    largest: list[int] = []
    open_one: Callable[[bytes, bytes], bytes | None] = hub.blobs.files._open

    def watched(sealed: bytes, bound_to: bytes) -> bytes | None:
        largest.append(len(sealed))
        return open_one(sealed, bound_to)

    monkeypatch.setattr(hub.blobs.files, "_open", watched)
    carried(station, hub)
    assert largest
    assert max(largest) <= CHUNK_BYTES + 28
