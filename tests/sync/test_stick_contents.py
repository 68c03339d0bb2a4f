"""Attached content on the memory stick: after all records, in pieces, by either way, nothing lost or brought back."""

import errno
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from random import Random

import pytest

from sync import late, peers, replacing, wire
from sync.blob_files import chunk_hashes
from sync.blobs import BlobState
from sync.errors import StickFileDamaged
from sync.events import Scope
from sync.limits import CHUNK_BYTES, MIB, Limits
from sync.stick import Imported, Progress, contents, export, import_
from sync.stick.folder import MANIFEST, outgoing, write_whole
from sync.testing import Crash, Lab, LabNode, draft
from sync.testing.databases import sqlite_engine
from sync.testing.exchange_contract import HALL, PUB, direct, heads

PHOTO = Random(5).randbytes(3 * CHUNK_BYTES + 9)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    made = Lab(lambda name: sqlite_engine(tmp_path / f"{name}.db", durable=False), tmp_path)
    yield made
    made.close()


@pytest.fixture
def stick(tmp_path: Path) -> Path:
    folder = tmp_path / "可移动 磁盘"
    folder.mkdir()
    return folder


def pair(lab: Lab, limits: Limits | None = None) -> tuple[LabNode, LabNode]:
    hub, station = lab.node("hub", limits=limits), lab.node("station", limits=limits)
    lab.enrol(station, hub, [PUB, HALL], [HALL])
    station.exchange(hub)
    return hub, station


def attached(node: LabNode, content: bytes = PHOTO, scope: str = HALL) -> bytes:
    digest = node.attach(scope, content)
    node.record(scope, draft(f"note/{digest.hex()[:8]}"))
    return digest


def carry_in(node: LabNode, stick: Path, *named: bytes, scope: str = HALL) -> Imported:
    """Import, where the application reads the records that name this content."""

    def fold() -> None:
        for digest in named:
            node.refer(scope, digest, len(PHOTO))

    return import_(node.replica, stick, fold=fold)


def carry_out(node: LabNode, other: LabNode, stick: Path) -> int:
    return export(node.replica, node.peer(other), stick).contents


def content_of(node: LabNode, digest: bytes) -> bytes | None:
    with node.engine.begin() as conn:
        return node.blobs.read(conn, digest)


def state_at(node: LabNode, peer: LabNode, digest: bytes) -> str | None:
    with node.engine.begin() as conn:
        return node.blobs.held_by(conn, peer.node, [digest]).get(digest, (None, 0))[0]


def manifest(node: LabNode, other: LabNode, stick: Path) -> wire.StickManifest:
    data = (outgoing(stick, node.node, other.node) / MANIFEST).read_bytes()
    return wire.decode(wire.open_envelope(data).payload, wire.StickManifest)


def content_files(node: LabNode, other: LabNode, stick: Path) -> list[Path]:
    place = outgoing(stick, node.node, other.node)
    return [place / file.name for file in manifest(node, other, stick).contents]


def test_a_photo_arrives_and_leaves_the_stick_only_after_the_receipt(lab: Lab, stick: Path) -> None:
    hub, station = pair(lab)
    digest = attached(station)
    assert carry_out(station, hub, stick) == 1
    (file,) = content_files(station, hub, stick)
    assert PHOTO[:64] not in file.read_bytes()
    report = carry_in(hub, stick, digest)
    assert (report.contents, report.contents_waiting, report.problems) == (1, 0, [])
    assert content_of(hub, digest) == PHOTO
    assert carry_out(station, hub, stick) == 1, "the station has not read the receipt"
    assert file.exists()
    import_(station.replica, stick)
    assert (file.exists(), state_at(station, hub, digest)) == (False, "complete")
    assert carry_out(station, hub, stick) == 0
    again = carry_in(hub, stick, digest)
    assert (again.contents, again.problems) == (0, [])


def test_a_photo_of_the_hub_rides_back_with_the_answer(lab: Lab, stick: Path) -> None:
    hub, station = pair(lab)
    digest = attached(hub)
    carry_out(station, hub, stick)
    import_(hub.replica, stick)
    assert carry_in(station, stick, digest).contents == 1
    assert content_of(station, digest) == PHOTO
    carry_in(hub, stick)
    assert content_files(hub, station, stick) == []


def test_half_by_wire_and_half_by_stick(lab: Lab, stick: Path) -> None:
    hub, station = pair(lab, Limits(blob_lane_bytes=2 * CHUNK_BYTES))
    digest = attached(station)
    station.exchange(hub)
    hub.refer(HALL, digest, len(PHOTO))
    station.exchange(hub)
    assert hub.blob(digest).missing == [2, 3]
    carry_out(hub, station, stick)  # states what it has
    import_(station.replica, stick)
    ((_, bits),) = manifest(station, hub, stick).contents[0].pieces
    assert wire.load_chunks(bits) == {2, 3}
    assert carry_in(hub, stick).contents == 1
    assert content_of(hub, digest) == PHOTO


def test_the_line_sends_nothing_of_what_the_stick_has_brought(lab: Lab, stick: Path) -> None:
    hub, station = pair(lab)
    digest = attached(station)
    carry_out(station, hub, stick)
    carry_in(hub, stick, digest)
    import_(station.replica, stick)
    line = direct(hub)
    station.exchange(hub, line)
    assert "chunk-put" not in line.verbs


def test_a_record_that_has_not_arrived_leaves_its_photo_for_the_next_time(lab: Lab, stick: Path) -> None:
    hub, station = pair(lab)
    digest = attached(station)
    carry_out(station, hub, stick)
    report = import_(hub.replica, stick)
    assert (report.contents, report.contents_waiting, report.problems) == (0, 1, [])
    assert list(hub.blobs.files.names()) == []
    import_(station.replica, stick)
    assert content_files(station, hub, stick), "not confirmed: it stays"
    assert carry_in(hub, stick, digest).contents == 1


def test_the_stick_of_a_withdrawn_computer_brings_the_photo_once_its_record_counts(lab: Lab, stick: Path) -> None:
    hub, station = pair(lab)
    digest = attached(station)
    carry_out(station, hub, stick)
    with hub.engine.begin() as conn:
        replacing.withdraw(conn, station.node, hub.clock())
    first = carry_in(hub, stick)
    assert (first.contents, first.contents_waiting) == (0, 1)
    with hub.engine.begin() as conn:
        (one,) = late.undecided(conn)
        assert late.take(conn, hub.ledger, one, hub.clock()) == late.Taken(stored=1)
    assert carry_in(hub, stick, digest).contents == 1
    assert content_of(hub, digest) == PHOTO


def test_records_go_first_and_a_budget_leaves_the_rest_for_later(lab: Lab, stick: Path) -> None:
    hub, station = pair(lab, Limits(stick_blob_bytes=9 * MIB))
    small = [attached(station, Random(n).randbytes(5)) for n in range(3)]
    large = [attached(station, Random(n).randbytes(40 * CHUNK_BYTES)) for n in (8, 9)]
    first = export(station.replica, station.peer(hub), stick)
    assert first.contents_left == 1
    assert first.events == 5
    named = (*small, *large)
    assert carry_in(hub, stick, *named).problems == []
    assert all(content_of(hub, digest) for digest in small)
    import_(station.replica, stick)
    carry_in(hub, stick, *named)
    assert all(content_of(hub, digest) for digest in named)
    import_(station.replica, stick)
    assert export(station.replica, station.peer(hub), stick).contents_left == 0
    assert all(file.bytes < 12 * MIB for file in manifest(station, hub, stick).contents)


def test_a_full_stick_carries_the_records_and_says_what_it_left(lab: Lab, stick: Path) -> None:
    hub, station = pair(lab)
    attached(station)

    def full(path: Path, data: bytes) -> None:
        if len(data) > 2 * CHUNK_BYTES:
            raise OSError(errno.ENOSPC, "full")
        write_whole(path, data)

    written = export(station.replica, station.peer(hub), stick, write=full)
    assert (written.events, written.contents, written.contents_left) == (1, 0, 1)
    assert import_(hub.replica, stick).stored == 1


def test_a_stick_with_too_little_left_keeps_it_for_records(
    lab: Lab, stick: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub, station = pair(lab)
    attached(station)
    monkeypatch.setattr(contents, "free_bytes", lambda _place: 33 * MIB - 1)
    assert export(station.replica, station.peer(hub), stick).contents == 1
    monkeypatch.setattr(contents, "free_bytes", lambda _place: 32 * MIB)
    other = stick.with_name("small")
    other.mkdir()
    assert export(station.replica, station.peer(hub), other).contents_left == 1


def test_a_damaged_or_foreign_content_file_harms_nothing_and_is_written_again(lab: Lab, stick: Path) -> None:
    hub, station = pair(lab)
    digest = attached(station)
    carry_out(station, hub, stick)
    (file,) = content_files(station, hub, stick)
    file.write_bytes(file.read_bytes()[:-7])
    report = carry_in(hub, stick, digest)
    assert [type(problem) for problem in report.problems] == [StickFileDamaged]
    assert report.stored == 1
    assert heads(hub, HALL) == heads(station, HALL)
    assert hub.blob(digest).state is BlobState.REFERENCED
    carry_out(station, hub, stick)
    assert carry_in(hub, stick, digest).contents == 1


@pytest.mark.parametrize("harm", ["no pack", "another's chunks", "not its to send"])
def test_a_pack_that_lies_costs_itself(lab: Lab, stick: Path, monkeypatch: pytest.MonkeyPatch, harm: str) -> None:
    hub, station = pair(lab)
    digest = attached(station)
    hub_only = hub.attach("t/hub", b"of the hub alone")
    false = Random(6).randbytes(len(PHOTO))

    def lying(pack: wire.StickPack) -> bytes:
        if harm == "no pack":
            return b"\xc1"
        data, name = (false, digest) if harm == "another's chunks" else (b"of the hub alone", hub_only)
        offer = wire.BlobOffer(digest=name, size=len(data), hashes=chunk_hashes(data), chunks=b"\x0f")
        pieces = [data[start : start + CHUNK_BYTES] for start in range(0, len(data), CHUNK_BYTES)]
        chunks = [wire.ChunkPut(digest=name, number=n, data=piece) for n, piece in enumerate(pieces)]
        return real(wire.StickPack(offers=[offer], chunks=chunks))

    real = wire.encode
    with monkeypatch.context() as patched:
        patched.setattr(wire, "encode", lambda one: lying(one) if isinstance(one, wire.StickPack) else real(one))
        carry_out(station, hub, stick)
    report = carry_in(hub, stick, digest)
    assert report.stored == 1
    assert report.contents == 0
    assert content_of(hub, digest) is None
    station.exchange(hub)
    assert content_of(hub, digest) == PHOTO, "the truth still gets through"


def test_progress_counts_content_and_goes_on_after_an_interruption(
    lab: Lab, stick: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub, station = pair(lab)
    monkeypatch.setattr(contents, "STICK_CHUNKS_MAX", 2)
    digests = [attached(station, Random(n).randbytes(2 * CHUNK_BYTES)) for n in range(3)]
    carry_out(station, hub, stick)
    shown: list[int] = []

    def until(limit: int, progress: Progress) -> None:
        shown.append(progress.done)
        if progress.done == limit:
            raise Crash

    def fold() -> None:
        for digest in digests:
            hub.refer(HALL, digest, 2 * CHUNK_BYTES)

    with pytest.raises(Crash):
        import_(hub.replica, stick, fold=fold, progress=partial(until, 2))
    report = import_(hub.replica, stick, fold=fold, progress=partial(until, -1))
    assert shown == [0, 1, 2, 2, 3, 4]
    assert (report.files, report.taken, report.contents) == (4, 2, 2)


def test_an_old_stick_does_not_bring_back_what_was_erased_and_a_new_one_does_not_carry_it(
    lab: Lab, stick: Path
) -> None:
    hub, station = pair(lab)
    digest = attached(station)
    carry_out(station, hub, stick)
    (file,) = content_files(station, hub, stick)
    hub.refer(HALL, digest, len(PHOTO))
    for node in (hub, station):
        node.erase(digest)
    report = import_(hub.replica, stick)
    assert (report.contents, report.problems, report.stored) == (0, [], 1)
    assert list(hub.blobs.files.names()) == []
    carry_out(station, hub, stick)
    assert not file.exists()


def test_what_the_sender_lost_is_carried_to_it_again(lab: Lab, stick: Path) -> None:
    hub, station = pair(lab)
    digest = attached(station)
    carry_out(station, hub, stick)
    carry_in(hub, stick, digest)
    import_(station.replica, stick)
    station.blobs.files.whole(digest).unlink()
    with station.engine.begin() as conn:
        station.blobs.sweep(conn)
    carry_out(station, hub, stick)
    import_(hub.replica, stick)
    assert import_(station.replica, stick).contents == 1
    assert content_of(station, digest) == PHOTO


def test_an_older_statement_about_content_does_not_put_a_newer_one_back(lab: Lab, stick: Path, tmp_path: Path) -> None:
    hub, station = pair(lab)
    digest = attached(station)
    carry_out(station, hub, stick)
    import_(hub.replica, stick)  # states that it lacks it
    old = (outgoing(stick, hub.node, station.node) / MANIFEST).read_bytes()
    carry_in(hub, stick, digest)
    import_(station.replica, stick)
    assert state_at(station, hub, digest) == "complete"
    (outgoing(stick, hub.node, station.node) / MANIFEST).write_bytes(old)
    import_(station.replica, stick)
    assert state_at(station, hub, digest) == "complete"


# --- grants --------------------------------------------------------------------------------------------------------


def grants(node: LabNode, hub: LabNode) -> tuple[set[str], set[str]]:
    peer = node.peer(hub)
    return set(peer.read_scopes), set(peer.write_scopes)


def regranted(hub: LabNode, station: LabNode, read: list[str], write: list[str]) -> None:
    with hub.engine.begin() as conn:
        peers.set_scopes(conn, station.node, [Scope(s) for s in read], [Scope(s) for s in write])


def test_a_station_that_has_only_the_stick_learns_wider_rights_and_gets_what_they_open_at_once(
    lab: Lab, stick: Path
) -> None:
    hub, station = pair(lab)
    hub.record("t/s/b", draft("note/of-b"))
    regranted(hub, station, [PUB, HALL, "t/s/b"], [HALL])
    carry_out(hub, station, stick)
    report = import_(station.replica, stick)
    assert (report.stored, report.problems) == (1, [])
    assert grants(station, hub) == ({HALL}, {PUB, HALL, "t/s/b"})
    assert heads(station, "t/s/b") == heads(hub, "t/s/b")


def test_narrower_rights_arrive_and_own_records_that_wait_are_named_and_kept(lab: Lab, stick: Path) -> None:
    hub, station = pair(lab)
    station.record(HALL, draft("note/unsent"))
    regranted(hub, station, [PUB], [])
    carry_out(hub, station, stick)
    report = import_(station.replica, stick)
    assert [problem.code for problem in report.problems] == ["not_granted"]
    assert grants(station, hub) == (set(), {PUB})
    assert len(station.events("note/unsent")) == 1


def test_an_old_stick_does_not_put_older_rights_back(lab: Lab, stick: Path) -> None:
    hub, station = pair(lab)
    carry_out(hub, station, stick)
    place = outgoing(stick, hub.node, station.node) / MANIFEST
    old = place.read_bytes()
    regranted(hub, station, [PUB, HALL, "t/s/b"], [HALL])
    carry_out(hub, station, stick)
    import_(station.replica, stick)
    place.write_bytes(old)
    import_(station.replica, stick)
    assert "t/s/b" in grants(station, hub)[1]


def test_a_station_decides_about_nobodys_rights(lab: Lab, stick: Path) -> None:
    hub, station = pair(lab)
    carry_out(station, hub, stick)
    assert manifest(station, hub, stick).scopes is None
    before = grants(hub, station)
    import_(hub.replica, stick)
    assert grants(hub, station) == before
