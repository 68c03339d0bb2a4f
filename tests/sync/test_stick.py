"""The memory stick: what is carried arrives once, whatever happens to the stick on the way."""

import errno
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from random import Random

import msgspec
import pyrage
import pytest
from sqlalchemy import select

from sync import acknowledged, age, peers, receipts, wire
from sync.enrolment import issue_code
from sync.errors import (
    BadSignature,
    CodeRefused,
    ForkFound,
    PeerRevoked,
    StickAnswerMissing,
    StickEmpty,
    StickFileDamaged,
    StickFileMissing,
    StickForOthers,
    StickFull,
    StickPathUnsafe,
    StickReadOnly,
    StickUnusable,
    SyncError,
    UnknownPeer,
)
from sync.events import EventDraft
from sync.identity import Identity
from sync.limits import Limits
from sync.stick import Exported, Imported, Progress, enrol_by_stick, export, import_
from sync.stick.folder import MANIFEST, answer_of, outgoing, read_plain, write_whole
from sync.tables import snapshot_parts
from sync.testing import Crash, FaultyTransport, Lab, LabNode, draft, refused
from sync.testing.exchange_contract import HALL, PUB, direct, heads
from sync.testing.transports import DirectTransport, Faults
from tests.sync.test_concurrency import together

SMALL = Limits(batch_raw_bytes=16 * 1024)  # several files out of few events


@pytest.fixture(params=["sqlite_lab", "postgres_lab"])
def lab(request: pytest.FixtureRequest) -> Lab:
    found: Lab = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def stick(tmp_path: Path) -> Path:
    """A stick with somebody's photos on it, in a folder with a name people give."""
    folder = tmp_path / "可移动 磁盘"
    (folder / "照片").mkdir(parents=True)
    (folder / "照片" / "全家福.jpg").write_bytes(b"not ours" * 99)
    (folder / "LXM-notes.txt").write_bytes(b"LXM: my notes")
    return folder


def carry_out(node: LabNode, other: LabNode, stick: Path, **how: Callable[[Path, bytes], None]) -> Exported:
    return export(node.replica, node.peer(other), stick, **how)


def pair(lab: Lab) -> tuple[LabNode, LabNode]:
    """A hub and a station that have had a line once, and write small files."""
    hub, station = lab.node("hub", limits=SMALL), lab.node("station", limits=SMALL)
    lab.enrol(station, hub, [PUB, HALL], [HALL])
    station.exchange(hub)
    return hub, station


def notes(count: int, first: int = 0) -> list[EventDraft]:
    """Drafts of about 1 kB each: SMALL puts some ten of them into one file."""
    return [draft(f"note/{first + n}", "排水沟堵塞" * 70) for n in range(count)]


def files(node: LabNode, other: LabNode, stick: Path) -> list[Path]:
    return sorted(outgoing(stick, node.node, other.node).glob("*.age"))


def manifest_of(node: LabNode, other: LabNode, stick: Path) -> Path:
    return outgoing(stick, node.node, other.node) / MANIFEST


def acknowledged_at(hub: LabNode, station: LabNode) -> dict[str, int]:
    """By scope, how much of all streams there the hub knows the station to hold."""
    with hub.engine.begin() as conn:
        levels = acknowledged.levels(conn, station.node)
    return {scope: sum(head.seq for at, head in levels.items() if at.scope == scope) for scope in (HALL, PUB)}


def assert_equal(hub: LabNode, station: LabNode) -> None:
    for scope in (HALL, PUB):
        assert heads(hub, scope) == heads(station, scope)
    with hub.engine.begin() as conn:
        assert not hub.ledger.verify(conn)


# --- there and back ------------------------------------------------------------------------------------------------


def test_records_arrive_and_the_answer_brings_receipt_and_news_back(lab: Lab, stick: Path) -> None:
    hub, station = pair(lab)
    station.record(HALL, *notes(100))
    hub.record(PUB, draft("policy/town"))
    hub.record(HALL, draft("note/1", "交办"))
    written = carry_out(station, hub, stick)
    assert (written.events, written.new_events) == (100, 100)
    assert written.files > 1

    there = import_(hub.replica, stick)
    assert (there.stored, there.problems, there.unanswered) == (100, [], None)
    assert [answer.peer for answer in there.answers] == [station.node]

    back = import_(station.replica, stick)
    assert (back.stored, back.problems) == (2, [])
    assert_equal(hub, station)
    assert station.unsent(hub).count == 0
    with station.engine.begin() as conn:
        signed = receipts.newest(conn, hub.node)
        assert signed is not None
        receipt = wire.open_receipt(signed, hub.replica.identity.public_key)
        contact = peers.find_contact(conn, hub.node)
    assert [head[3] for head in receipt.heads] == [100]
    assert contact.unsent_count == 0
    report = station.exchange(hub)
    assert (report.pushed, report.pulled, report.verified) == (0, 0, True)


def test_the_answer_leaves_the_stick_without_what_the_hub_has_confirmed(sqlite_lab: Lab, stick: Path) -> None:
    hub, station = pair(sqlite_lab)
    station.record(HALL, *notes(100))
    carry_out(station, hub, stick)
    carried = files(station, hub, stick)
    import_(hub.replica, stick)
    assert files(station, hub, stick) == carried, "the hub removes nothing that is not its own"
    import_(station.replica, stick)
    assert files(station, hub, stick) == []


def test_a_stick_tells_the_hub_what_a_station_holds_so_that_it_is_not_sent_again(lab: Lab, stick: Path) -> None:
    hub, station = pair(lab)
    hub.record(PUB, draft())
    station.exchange(hub)
    hub.record(PUB, *notes(60))
    carry_out(hub, station, stick)
    import_(station.replica, stick)
    import_(hub.replica, stick)
    assert carry_out(hub, station, stick).events == 0
    hub.record(PUB, draft("policy/new"))
    assert carry_out(hub, station, stick).events == 1


def test_every_round_by_stick_confirms_what_was_recorded_before_it(lab: Lab, stick: Path) -> None:
    hub, station = pair(lab)
    for n in range(3):
        station.record(HALL, draft(f"note/{n}"))
        assert carry_out(station, hub, stick).events == 1
        import_(hub.replica, stick)
        import_(station.replica, stick)
        assert station.unsent(hub).count == 0


def test_exporting_again_adds_and_never_takes_away_what_nobody_has_confirmed(lab: Lab, stick: Path) -> None:
    hub, station = pair(lab)
    station.record(HALL, *notes(80))
    carry_out(station, hub, stick)
    first = files(station, hub, stick)
    station.record(HALL, *notes(20, first=80))
    again = carry_out(station, hub, stick)
    assert (again.events, again.new_events) == (100, 20)
    assert set(first) < set(files(station, hub, stick))
    assert import_(hub.replica, stick).stored == 100


def test_exporting_twice_changes_nothing(sqlite_lab: Lab, stick: Path) -> None:
    hub, station = pair(sqlite_lab)
    station.record(HALL, *notes(80))
    carry_out(station, hub, stick)
    before = {path: path.read_bytes() for path in stick.rglob("*") if path.is_file()}
    sqlite_lab.clock.advance(timedelta(hours=1))
    assert carry_out(station, hub, stick).new_files == 0
    assert {path: path.read_bytes() for path in stick.rglob("*") if path.is_file()} == before


def test_importing_twice_stores_once(lab: Lab, stick: Path) -> None:
    hub, station = pair(lab)
    station.record(HALL, *notes(80))
    carry_out(station, hub, stick)
    import_(hub.replica, stick)
    again = import_(hub.replica, stick)
    assert (again.stored, again.taken, again.problems) == (0, 0, [])
    assert again.files > 1


def test_a_stick_that_is_a_month_old_does_no_harm(lab: Lab, stick: Path, tmp_path: Path) -> None:
    hub, station = pair(lab)
    station.record(HALL, *notes(50))
    carry_out(station, hub, stick)
    old = shutil.copytree(stick, tmp_path / "old")
    import_(hub.replica, stick)
    import_(station.replica, stick)
    lab.clock.advance(timedelta(days=30))
    station.record(HALL, *notes(50, first=50))
    station.exchange(hub)
    assert import_(hub.replica, old).stored == 0
    assert import_(station.replica, old).problems == []
    assert station.unsent(hub).count == 0, "an old statement does not put a newer one back"
    with hub.engine.begin() as conn:
        assert peers.find_contact(conn, station.node).last_contact_at == lab.clock()
        levels = acknowledged.levels(conn, station.node)
        (level,) = [head.seq for stream, head in levels.items() if stream.origin.node == station.node]
    assert level == 100
    assert_equal(hub, station)


def test_an_older_receipt_does_not_take_the_place_of_a_newer_one(sqlite_lab: Lab, stick: Path, tmp_path: Path) -> None:
    hub, station = pair(sqlite_lab)
    station.record(HALL, draft())
    carry_out(station, hub, stick)
    import_(hub.replica, stick)
    old = shutil.copytree(stick, tmp_path / "old")
    sqlite_lab.clock.advance(timedelta(days=1))
    station.record(HALL, draft("note/2"))
    station.exchange(hub)
    import_(station.replica, old)
    with station.engine.begin() as conn:
        signed = receipts.newest(conn, hub.node)
    assert signed is not None
    assert [head[3] for head in wire.open_receipt(signed, hub.replica.identity.public_key).heads] == [2]


def test_two_generations_of_the_same_range_are_taken_in_once(lab: Lab, stick: Path, tmp_path: Path) -> None:
    hub, station = pair(lab)
    station.record(HALL, *notes(50))
    other = tmp_path / "other"
    other.mkdir()
    carry_out(station, hub, other)
    station.record(HALL, *notes(50, first=50))
    carry_out(station, hub, stick)
    shutil.copytree(other / "lianxin", stick / "lianxin - 副本")
    taken = import_(hub.replica, stick)
    assert (taken.stored, taken.problems) == (100, [])
    assert_equal(hub, station)


def test_the_same_batch_by_line_and_by_stick_at_once_is_stored_once(postgres_lab: Lab, stick: Path) -> None:
    hub, station = pair(postgres_lab)
    station.record(HALL, *notes(120))
    carry_out(station, hub, stick)

    def by_line() -> int:
        return station.exchange(hub).pushed

    def by_stick() -> int:
        return import_(hub.replica, stick).stored

    assert sum(together(by_line, by_stick, by_stick)) == 120
    assert_equal(hub, station)


def test_a_stick_carries_on_after_a_line_that_only_sometimes_works(sqlite_lab: Lab, stick: Path) -> None:
    hub, station = pair(sqlite_lab)
    line = FaultyTransport(DirectTransport(hub.responder), Random(3), Faults(lose_answer=0.5))
    for n in range(12):
        station.record(HALL, *notes(10, first=10 * n))
        hub.record(PUB, draft(f"policy/{n}"))
        try:
            station.exchange(hub, line)
        except SyncError:
            carry_out(station, hub, stick)
            import_(hub.replica, stick)
            import_(station.replica, stick)
    carry_out(station, hub, stick)
    import_(hub.replica, stick)
    import_(station.replica, stick)
    assert_equal(hub, station)


def test_a_restored_station_gets_back_by_stick_what_it_had_lost(sqlite_lab: Lab, stick: Path, tmp_path: Path) -> None:
    """Its numbers begin anew below those the hub has seen; that it says so in a new epoch is enough."""
    hub, station = pair(sqlite_lab)
    station.record(HALL, *notes(5))
    hub.record(PUB, *notes(5))
    station.exchange(hub)
    before = tmp_path / "before"
    shutil.copytree(stick, before)
    carry_out(station, hub, before)
    import_(hub.replica, before)
    again = sqlite_lab.node("again", limits=SMALL)
    reborn = Identity.from_private_key(
        replace(station.replica.identity.origin, epoch="f" * 16), station.replica.identity._key.private_bytes_raw()
    )
    ledger = type(station.ledger)(reborn, sqlite_lab.clock, None, SMALL)
    restored = LabNode("again", again.engine, replace(again.replica, identity=reborn, ledger=ledger), sqlite_lab.clock)
    with again.engine.begin() as conn:
        peers.add_peer(conn, station.peer(hub), sqlite_lab.clock())
    restored.record(HALL, draft("note/new"))
    carry_out(restored, hub, stick)
    import_(hub.replica, stick)
    assert acknowledged_at(hub, restored) == {HALL: 1, PUB: 0}, "what it stated before it was restored counts no more"
    import_(restored.replica, stick)
    assert_equal(hub, restored)
    assert restored.unsent(hub).count == 0
    import_(hub.replica, before)
    assert acknowledged_at(hub, restored)[PUB] == 0, "a stick from before does not put the old level back"
    import_(hub.replica, stick)
    hub.record(PUB, draft("policy/late"))
    carry_out(hub, restored, stick)
    import_(restored.replica, stick)
    import_(hub.replica, stick)
    assert carry_out(hub, restored, stick).events == 0, "its statements count again"


# --- what happens to a stick ---------------------------------------------------------------------------------------


def test_an_import_that_was_interrupted_goes_on_and_its_progress_never_goes_back(lab: Lab, stick: Path) -> None:
    hub, station = pair(lab)
    station.record(HALL, *notes(100))
    carry_out(station, hub, stick)
    shown: list[int] = []

    def until(limit: int, progress: Progress) -> None:
        shown.append(progress.done)
        if progress.done == limit:
            raise Crash

    with pytest.raises(Crash):
        import_(hub.replica, stick, progress=partial(until, 2))
    report = import_(hub.replica, stick, progress=partial(until, -1))
    assert shown == sorted(shown)
    assert shown[:4] == [0, 1, 2, 2]
    assert shown[-1] == report.files
    assert report.taken == report.files - 2
    assert_equal(hub, station)


def test_a_stick_pulled_out_while_it_is_written_holds_no_promise_and_is_repaired(lab: Lab, stick: Path) -> None:
    hub, station = pair(lab)
    station.record(HALL, *notes(100))
    with refused(StickUnusable):
        carry_out(station, hub, stick, write=breaking(errno.EIO, after=2))
    assert not manifest_of(station, hub, stick).exists()
    with refused(StickEmpty):
        import_(hub.replica, stick)
    carry_out(station, hub, stick)
    assert import_(hub.replica, stick).stored == 100


def test_a_program_killed_while_it_writes_leaves_nothing_that_stays(sqlite_lab: Lab, stick: Path) -> None:
    hub, station = pair(sqlite_lab)
    station.record(HALL, *notes(100))

    def killed(path: Path, data: bytes) -> None:
        if path.name == MANIFEST:
            path.with_name(".0123456789abcdef.part").write_bytes(data[:50])
            raise Crash
        write_whole(path, data)

    with pytest.raises(Crash):
        carry_out(station, hub, stick, write=killed)
    orphans = files(station, hub, stick)
    assert len(orphans) > 1
    written = carry_out(station, hub, stick)
    assert len(files(station, hub, stick)) == written.files
    assert not set(orphans) & set(files(station, hub, stick))
    assert not list(stick.rglob("*.part"))


def test_a_full_stick_says_so_and_keeps_what_an_earlier_export_wrote(lab: Lab, stick: Path) -> None:
    hub, station = pair(lab)
    station.record(HALL, *notes(40))
    carry_out(station, hub, stick)
    before = {path: path.read_bytes() for path in stick.rglob("*") if path.is_file()}
    station.record(HALL, *notes(60, first=40))
    with refused(StickFull):
        carry_out(station, hub, stick, write=breaking(errno.ENOSPC, after=1))
    assert {path: path.read_bytes() for path in stick.rglob("*") if path.is_file()} == before
    assert import_(hub.replica, stick).stored == 40


@pytest.mark.skipif(os.name == "nt", reason="no such limit")
def test_a_file_that_does_not_fit_leaves_nothing_behind(tmp_path: Path) -> None:
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64 * 1024, before[1]))
    try:
        with pytest.raises(OSError, match="too large"):
            write_whole(tmp_path / "file.age", bytes(256 * 1024))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []


def test_a_write_protected_stick_is_read_and_said_to_carry_nothing_back(lab: Lab, stick: Path) -> None:
    hub, station = pair(lab)
    station.record(HALL, *notes(10))
    carry_out(station, hub, stick)
    report = import_(hub.replica, stick, write=breaking(errno.EROFS, after=0))
    assert (report.stored, report.answers) == (10, [])
    assert isinstance(report.unanswered, StickReadOnly)
    with refused(StickReadOnly):
        carry_out(hub, station, stick, write=breaking(errno.EROFS, after=0))


def test_foreign_files_are_left_alone(sqlite_lab: Lab, stick: Path) -> None:
    hub, station = pair(sqlite_lab)
    station.record(HALL, *notes(10))
    carry_out(station, hub, stick)
    place = outgoing(stick, station.node, hub.node)
    foreign = [place / "Thumbs.db", place / "._manifest.lxs", stick / "lianxin" / "说明.txt", place / "LXM1.bin"]
    for path in foreign:
        path.write_bytes(b"LXM or not")
    report = import_(hub.replica, stick)
    assert report.stored == 10
    import_(station.replica, stick)
    assert all(path.exists() for path in foreign)
    assert (stick / "照片" / "全家福.jpg").exists()


def test_a_renamed_file_is_found_by_its_content(sqlite_lab: Lab, stick: Path) -> None:
    hub, station = pair(sqlite_lab)
    station.record(HALL, *notes(100))
    carry_out(station, hub, stick)
    for n, path in enumerate(files(station, hub, stick)):
        path.rename(path.with_name(f"新建文件 ({n}).bin"))
    place = manifest_of(station, hub, stick)
    place.rename(place.with_name("manifest (1).lxs"))
    place.parent.rename(place.parent.with_name("改了名"))
    report = import_(hub.replica, stick)
    assert (report.stored, report.problems) == (100, [])


@pytest.mark.parametrize("harm", ["cut", "flip", "missing"])
def test_a_damaged_file_is_named_the_others_go_on_and_the_next_export_repairs_it(
    lab: Lab, stick: Path, harm: str
) -> None:
    hub, station = pair(lab)
    station.record(HALL, *notes(100))
    carry_out(station, hub, stick)
    victim = outgoing(stick, station.node, hub.node) / announced(manifest_of(station, hub, stick)).files[1].name
    damage(victim, harm)
    report = import_(hub.replica, stick)
    (problem,) = report.problems
    assert isinstance(problem, StickFileMissing if harm == "missing" else StickFileDamaged)
    assert problem.data["file"] == victim.name
    assert 0 < report.stored < 100
    assert report.held > 0, "what follows the gap waits for it"
    assert report.answers, "the sender learns how far the hub got"

    import_(station.replica, stick)  # its answer takes up what the hub states, and repairs the file
    assert import_(hub.replica, stick).problems == []
    assert_equal(hub, station)


@pytest.mark.parametrize("harm", ["cut", "flip"])
def test_a_damaged_manifest_is_named_and_written_again(sqlite_lab: Lab, stick: Path, harm: str) -> None:
    hub, station = pair(sqlite_lab)
    station.record(HALL, *notes(10))
    carry_out(station, hub, stick)
    damage(manifest_of(station, hub, stick), harm)
    with refused(SyncError) as said:
        import_(hub.replica, stick)
    assert isinstance(said[0], StickFileDamaged | BadSignature)
    assert said[0].data["file"] == MANIFEST
    carry_out(station, hub, stick)
    assert import_(hub.replica, stick).stored == 10


def test_a_stick_that_goes_away_while_it_is_read_keeps_what_was_stored(sqlite_lab: Lab, stick: Path) -> None:
    hub, station = pair(sqlite_lab)
    station.record(HALL, *notes(100))
    carry_out(station, hub, stick)

    def pull_out(progress: Progress) -> None:
        if progress.done == 2:
            (stick / "lianxin").rename(stick / "gone")

    with refused(StickUnusable):
        import_(hub.replica, stick, progress=pull_out)
    (stick / "gone").rename(stick / "lianxin")
    report = import_(hub.replica, stick)
    assert report.taken == report.files - 2
    assert_equal(hub, station)


def test_a_file_that_cannot_be_read_does_not_stop_the_others(
    sqlite_lab: Lab, stick: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub, station = pair(sqlite_lab)
    station.record(HALL, *notes(100))
    carry_out(station, hub, stick)
    victim, read = files(station, hub, stick)[0], Path.read_bytes

    def bad_sector(path: Path) -> bytes:
        if path == victim:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", bad_sector)
    report = import_(hub.replica, stick)
    (problem,) = report.problems
    assert isinstance(problem, StickFileDamaged)
    assert problem.data == {"file": victim.name, "cause": "EIO"}
    assert report.stored + report.held > 80


def test_nothing_is_made_where_no_stick_is(sqlite_lab: Lab, tmp_path: Path) -> None:
    hub, station = pair(sqlite_lab)
    with refused(StickUnusable):
        carry_out(station, hub, tmp_path / "E")
    with refused(StickUnusable):
        import_(hub.replica, tmp_path / "E")
    assert not (tmp_path / "E").exists()


def test_the_folder_itself_may_be_pointed_at(sqlite_lab: Lab, stick: Path) -> None:
    hub, station = pair(sqlite_lab)
    station.record(HALL, draft())
    carry_out(station, hub, stick)
    carry_out(station, hub, stick / "lianxin")
    assert not (stick / "lianxin" / "lianxin").exists()
    assert import_(hub.replica, stick / "lianxin").stored == 1
    assert import_(station.replica, outgoing(stick, hub.node, station.node)).problems == []


# --- whose stick it is ---------------------------------------------------------------------------------------------


def test_an_empty_stick_is_named(sqlite_lab: Lab, stick: Path) -> None:
    hub, station = pair(sqlite_lab)
    with refused(StickEmpty):
        import_(hub.replica, stick)
    carry_out(station, hub, stick)
    with refused(StickEmpty):
        import_(station.replica, stick)  # only our own files: it has not been to the hub


def test_a_stick_of_another_town_is_named_and_nothing_is_stored(sqlite_lab: Lab, stick: Path) -> None:
    hub, station = pair(sqlite_lab)
    other, theirs = sqlite_lab.node("other"), sqlite_lab.node("theirs")
    sqlite_lab.enrol(theirs, other, [HALL], [HALL])
    theirs.record(HALL, draft())
    carry_out(theirs, other, stick)
    with refused(StickForOthers) as said:
        import_(hub.replica, stick)
    assert said[0].data == {"recipient": other.node, "sender": theirs.node}
    assert not hub.events()
    station.record(HALL, draft())
    carry_out(station, hub, stick)
    assert import_(hub.replica, stick).stored == 1, "one stick may serve several"


def test_a_stick_of_a_node_that_nobody_knows_is_named(sqlite_lab: Lab, stick: Path) -> None:
    hub, _ = pair(sqlite_lab)
    stranger = sqlite_lab.node("stranger")
    with stranger.engine.begin() as conn:
        known = peers.Peer(
            node=hub.node, public_key=hub.replica.identity.public_key, name="hub", read_scopes=(HALL,),
            write_scopes=(HALL,),
        )  # fmt: skip
        peers.add_peer(conn, known, sqlite_lab.clock())
    stranger.record(HALL, draft())
    carry_out(stranger, hub, stick)
    with refused(UnknownPeer):
        import_(hub.replica, stick)
    assert not hub.events()


def test_a_manifest_of_somebody_else_is_refused(sqlite_lab: Lab, stick: Path) -> None:
    hub, station = pair(sqlite_lab)
    forged = replace(station.replica, identity=Identity.from_private_key(station.replica.identity.origin, b"x" * 32))
    station.record(HALL, draft())
    export(forged, station.peer(hub), stick)
    with refused(BadSignature):
        import_(hub.replica, stick)
    assert not hub.events()


@pytest.mark.parametrize("name", ["../../../keys.age", "/etc/passwd", "..\\..\\x.age", "a/b", "NUL", "manifest.lxs"])
def test_a_manifest_that_names_files_elsewhere_is_refused_as_a_whole(sqlite_lab: Lab, stick: Path, name: str) -> None:
    hub, station = pair(sqlite_lab)
    station.record(HALL, draft())
    carry_out(station, hub, stick)
    path = manifest_of(station, hub, stick)
    manifest = announced(path)
    (file,) = manifest.files
    evil = msgspec.structs.replace(manifest, files=[file, msgspec.structs.replace(file, name=name)])
    head = station.replica.head("stick", station.replica.identity.epoch, hub.node, 99)
    path.write_bytes(wire.enclose(station.replica.identity, "stick", head, wire.encode(evil)))
    with refused(StickPathUnsafe):
        import_(hub.replica, stick)
    assert not hub.events()


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege there")
def test_links_on_a_stick_are_not_followed(sqlite_lab: Lab, stick: Path, tmp_path: Path) -> None:
    hub, station = pair(sqlite_lab)
    station.record(HALL, draft())
    carry_out(station, hub, stick)
    (file,) = files(station, hub, stick)
    file.rename(tmp_path / "elsewhere.age")
    file.symlink_to(tmp_path / "elsewhere.age")
    (problem,) = import_(hub.replica, stick).problems
    assert isinstance(problem, StickFileDamaged)
    place = outgoing(stick, hub.node, station.node)
    shutil.rmtree(place)
    (tmp_path / "target").mkdir()
    place.symlink_to(tmp_path / "target")
    with refused(StickUnusable):
        carry_out(hub, station, stick)
    assert list((tmp_path / "target").iterdir()) == []


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege there")
def test_only_plain_files_are_read(tmp_path: Path) -> None:
    plain, link = tmp_path / "plain", tmp_path / "link"
    plain.write_bytes(b"1234")
    link.symlink_to(plain)
    assert [read_plain(path, 99) for path in (plain, link, tmp_path, tmp_path / "none")] == [b"1234", None, None, None]
    assert read_plain(plain, 3) is None


def test_a_lost_stick_shows_its_finder_no_words(sqlite_lab: Lab, stick: Path) -> None:
    hub, station = pair(sqlite_lab)
    station.record(HALL, draft("person/1", "张三 13900001234"))
    carry_out(station, hub, stick)
    for path in files(station, hub, stick):
        assert path.read_bytes().startswith(b"age-encryption.org/v1\n-> X25519 ")
        with refused(StickFileDamaged):
            age.unseal(path.read_bytes(), station.replica.identity)
    assert b"13900001234" not in b"".join(path.read_bytes() for path in stick.rglob("*") if path.is_file())


def test_the_age_key_of_a_node_is_one_that_age_itself_takes(sqlite_lab: Lab) -> None:
    identity = sqlite_lab.node("hub").replica.identity
    key = pyrage.x25519.Identity.from_str(age.secret(identity))
    assert str(key.to_public()) == age.recipient(identity.public_key)
    assert pyrage.decrypt(age.seal(b"carried", identity.public_key), [key]) == b"carried"


def test_an_erased_body_does_not_stay_on_a_stick_that_is_written_again(sqlite_lab: Lab, stick: Path) -> None:
    hub, station = pair(sqlite_lab)
    (event,) = station.record(HALL, draft("person/1", "张三"))
    carry_out(station, hub, stick)
    old = files(station, hub, stick)
    with station.engine.begin() as conn:
        station.ledger.erase(conn, [event.event_id])
    carry_out(station, hub, stick)
    assert not set(old) & set(files(station, hub, stick))
    import_(hub.replica, stick)
    assert hub.events("person/1")[0].body is None


def test_a_withdrawn_key_gets_nothing_and_its_late_work_is_kept_for_review(lab: Lab, stick: Path) -> None:
    hub, station = pair(lab)
    station.record(HALL, draft())
    station.exchange(hub)
    station.record(HALL, draft("note/2"))
    carry_out(station, hub, stick)
    with hub.engine.begin() as conn:
        peers.revoke(conn, station.node, {station.replica.identity.epoch: 1})
    report = import_(hub.replica, stick)
    assert [problem.code for problem in report.problems] == ["origin_revoked"]
    assert report.answers == []
    with hub.engine.begin() as conn:
        assert [incident.evidence for incident in hub.ledger.incidents(conn)] == [True]
    with refused(PeerRevoked):
        carry_out(hub, station, stick)


def test_a_fork_that_a_stick_shows_is_named(sqlite_lab: Lab, stick: Path) -> None:
    hub, station = pair(sqlite_lab)
    twin = sqlite_lab.node("twin")
    identity = station.replica.identity
    ledger = type(station.ledger)(identity, sqlite_lab.clock)
    copy = LabNode("twin", twin.engine, replace(twin.replica, identity=identity, ledger=ledger), sqlite_lab.clock)
    with twin.engine.begin() as conn:
        peers.add_peer(conn, station.peer(hub), sqlite_lab.clock())
    station.record(HALL, draft(text="这一台"))
    copy.record(HALL, draft(text="那一台"))
    station.exchange(hub)
    carry_out(copy, hub, stick)
    problems = import_(hub.replica, stick).problems
    assert problems
    assert {type(problem) for problem in problems} == {ForkFound}
    assert len(hub.events()) == 1
    carried = files(copy, hub, stick)
    import_(copy.replica, stick)
    assert files(copy, hub, stick) == carried, "the hub holds a number one, but not this one"


def test_a_stick_without_changes_still_says_what_is_held(sqlite_lab: Lab, stick: Path) -> None:
    hub, station = pair(sqlite_lab)
    assert carry_out(station, hub, stick).files == 0
    sqlite_lab.clock.advance(timedelta(hours=2))
    report: Imported = import_(hub.replica, stick)
    assert (report.files, report.senders) == (0, [station.node])
    sqlite_lab.clock.advance(timedelta(hours=2))
    import_(station.replica, stick)
    with station.engine.begin() as conn:
        contact = peers.find_contact(conn, hub.node)
    now = sqlite_lab.clock()
    assert (contact.last_contact_at, contact.last_verified_at) == (now - timedelta(hours=2), now - timedelta(hours=2))
    assert contact.stick_read_at == now


def test_equality_is_not_claimed_while_the_hub_holds_less(sqlite_lab: Lab, stick: Path) -> None:
    hub, station = pair(sqlite_lab)
    with station.engine.begin() as conn:
        before = peers.find_contact(conn, hub.node).last_verified_at
    sqlite_lab.clock.advance(timedelta(hours=1))
    carry_out(hub, station, stick)
    station.record(HALL, draft())
    import_(station.replica, stick)
    with station.engine.begin() as conn:
        contact = peers.find_contact(conn, hub.node)
    assert (contact.last_verified_at, contact.unsent_count) == (before, 1)


def test_the_line_goes_on_after_a_stick_in_as_few_requests_as_before(sqlite_lab: Lab, stick: Path) -> None:
    hub, station = pair(sqlite_lab)
    station.record(HALL, *notes(10))
    carry_out(station, hub, stick)
    import_(hub.replica, stick)
    import_(station.replica, stick)
    line = direct(hub)
    assert station.exchange(hub, line).verified
    assert line.verbs == ["hello"]


# --- enrolment -----------------------------------------------------------------------------------------------------


def code_for(hub: LabNode, name: str = "station") -> str:
    with hub.engine.begin() as conn:
        return issue_code(conn, name=name, read_scopes=[PUB, HALL], write_scopes=[HALL], now=hub.clock())


def test_a_node_is_enrolled_in_two_ways_there_and_back(lab: Lab, stick: Path) -> None:
    hub, station = lab.node("hub"), lab.node("station")
    hub.record(PUB, draft("policy/town"))
    code = code_for(hub)
    with refused(StickAnswerMissing):
        enrol_by_stick(station.replica, stick, code)
    there = import_(hub.replica, stick, responder=hub.responder)
    assert (there.enrolled, there.problems) == (["station"], [])
    enrolled = enrol_by_stick(station.replica, stick, code)
    assert (enrolled.hub.node, enrolled.name) == (hub.node, "station")
    assert import_(station.replica, stick).stored == 1, "the town's data came beside the answer"
    assert code.encode() not in b"".join(path.read_bytes() for path in stick.rglob("*") if path.is_file())
    station.record(HALL, draft())
    carry_out(station, hub, stick)
    again = import_(hub.replica, stick, responder=hub.responder)
    assert (again.enrolled, again.stored, again.problems) == ([], 1, [])


def test_a_wrong_code_is_named_at_the_hub_and_the_next_one_works(sqlite_lab: Lab, stick: Path) -> None:
    hub, station = sqlite_lab.node("hub"), sqlite_lab.node("station")
    with refused(StickAnswerMissing):
        enrol_by_stick(station.replica, stick, "2222-2222-2222")
    with refused(CodeRefused):
        import_(hub.replica, stick, responder=hub.responder)
    code = code_for(hub)
    with refused(StickAnswerMissing):
        enrol_by_stick(station.replica, stick, code)
    import_(hub.replica, stick, responder=hub.responder)
    with refused(StickAnswerMissing):
        enrol_by_stick(station.replica, stick, code_for(hub))  # the answer is to another code: asked anew
    import_(hub.replica, stick, responder=hub.responder)


def test_an_answer_of_another_hub_is_not_believed(sqlite_lab: Lab, stick: Path) -> None:
    hub, station, stranger = (sqlite_lab.node(name) for name in ("hub", "station", "stranger"))
    code = code_for(hub)
    with refused(StickAnswerMissing):
        enrol_by_stick(station.replica, stick, code)
    import_(hub.replica, stick, responder=hub.responder)
    answer = answer_of(stick, station.node)
    genuine = wire.open_envelope(answer.read_bytes())
    said = wire.decode(genuine.payload, wire.EnrolAnswer)
    forged = msgspec.structs.replace(said, public_key=stranger.replica.identity.public_key)
    head = stranger.replica.head("enrol", stranger.replica.identity.epoch, station.node, 0)
    answer.write_bytes(wire.enclose(stranger.replica.identity, "answer", head, wire.encode(forged)))
    with refused(StickAnswerMissing):
        enrol_by_stick(station.replica, stick, code)
    with station.engine.begin() as conn:
        assert peers.all_peers(conn) == []
    assert not answer.exists()


def test_a_request_that_was_answered_long_ago_troubles_nobody(sqlite_lab: Lab, stick: Path) -> None:
    hub, station = sqlite_lab.node("hub"), sqlite_lab.node("station")
    with refused(StickAnswerMissing):
        enrol_by_stick(station.replica, stick, code_for(hub))
    import_(hub.replica, stick, responder=hub.responder)
    sqlite_lab.clock.advance(timedelta(days=30))
    with refused(StickEmpty):
        import_(hub.replica, stick, responder=hub.responder)


def test_a_station_answers_no_requests(sqlite_lab: Lab, stick: Path) -> None:
    hub, station = pair(sqlite_lab)
    new = sqlite_lab.node("new")
    with refused(StickAnswerMissing):
        enrol_by_stick(new.replica, stick, code_for(hub, "new"))
    with refused(StickEmpty):
        import_(station.replica, stick)
    assert not answer_of(stick, new.node).exists()


# --- doing harm ----------------------------------------------------------------------------------------------------


def breaking(number: int, after: int) -> Callable[[Path, bytes], None]:
    """Writes `after` files, then half of one, then fails for good."""
    written = 0

    def write(path: Path, data: bytes) -> None:
        nonlocal written
        if written == after:
            raise OSError(number, os.strerror(number))
        written += 1
        write_whole(path, data)

    return write


def damage(path: Path, harm: str) -> None:
    data = path.read_bytes()
    if harm == "missing":
        path.unlink()
    elif harm == "cut":
        path.write_bytes(data[: len(data) // 2])
    else:
        middle = len(data) // 2
        path.write_bytes(data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :])


def announced(path: Path) -> wire.StickManifest:
    """What the manifest in a file says."""
    return wire.decode(wire.open_envelope(path.read_bytes()).payload, wire.StickManifest)


# --- a history that is long, or of which some was dropped ----------------------------------------------------------

PARTS = replace(SMALL, snapshot_block_events=32, snapshot_events_min=80, snapshot_part_raw_bytes=16 * 1024)


def test_a_long_history_is_carried_in_the_parts_that_are_ready_and_goes_on_where_it_stopped(
    lab: Lab, stick: Path
) -> None:
    hub, station = lab.node("hub", limits=PARTS), lab.node("station", limits=PARTS)
    lab.enrol(station, hub, [PUB, HALL], [HALL])
    stream = hub.record(PUB, *(draft(f"policy/{n % 10}", f"{n}") for n in range(120)))[0].stream
    with hub.engine.begin() as conn:
        hub.ledger.drop(conn, stream, range(1, 70))
    carry_out(hub, station, stick)
    with hub.engine.begin() as conn:
        ready = conn.execute(select(snapshot_parts.c.first, snapshot_parts.c.last)).all()
        conn.execute(snapshot_parts.delete())
    carried = files(hub, station, stick)
    assert len(carried) > len(ready) > 2, "the tail is packed beside them"
    carried[0].unlink()
    erased = hub.events("policy/9")[-1]
    with station.engine.begin() as conn:
        station.ledger.erase(conn, [erased.event_id])
    import_(station.replica, stick)
    assert not sound_heads(hub, station)
    written = carry_out(hub, station, stick)
    assert written.new_files >= 1
    report = import_(station.replica, stick)
    assert report.problems == []
    assert_equal(hub, station)
    assert erased.body is not None
    assert station.events("policy/9")[-1].body is None, "an old stick brings nothing back"


def test_a_computer_without_a_line_is_enrolled_with_its_long_history(sqlite_lab: Lab, stick: Path) -> None:
    hub, new = sqlite_lab.node("hub", limits=PARTS), sqlite_lab.node("new", limits=PARTS)
    hub.record(PUB, *(draft(f"policy/{n % 10}", f"{n}") for n in range(120)))
    hub.record(HALL, draft("note/1", "旧电脑的记录"))
    code = code_for(hub)
    with refused(StickAnswerMissing):
        enrol_by_stick(new.replica, stick, code)
    import_(hub.replica, stick, responder=hub.responder)
    with hub.engine.begin() as conn:
        assert len(conn.execute(select(snapshot_parts.c.digest)).all()) >= 3
    enrol_by_stick(new.replica, stick, code)
    assert import_(new.replica, stick).problems == []
    assert heads(hub, PUB) == heads(new, PUB)
    assert new.events("note/1")


def test_a_file_that_does_not_lead_where_its_sender_signed_is_refused_by_name(sqlite_lab: Lab, stick: Path) -> None:
    hub, station = pair(sqlite_lab)
    hub.record(PUB, draft("policy/1"), draft("policy/2"))
    carry_out(hub, station, stick)
    place = manifest_of(hub, station, stick)
    envelope = wire.open_envelope(place.read_bytes())
    manifest = wire.decode(envelope.payload, wire.StickManifest)
    (file,) = manifest.files
    lie = msgspec.structs.replace(file, ranges=[(*one[:5], bytes(32)) for one in file.ranges])
    payload = wire.encode(msgspec.structs.replace(manifest, files=[lie]))
    place.write_bytes(wire.enclose(hub.replica.identity, "stick", envelope.head, payload))
    assert [problem.code for problem in import_(station.replica, stick).problems] == ["snapshot_differs"]
    assert station.events("policy/1") == []


def sound_heads(hub: LabNode, station: LabNode) -> bool:
    return heads(hub, PUB) == heads(station, PUB)
