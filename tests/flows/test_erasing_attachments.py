"""Erasing a person empties what was attached to their opinion, on every holder and for good."""

from __future__ import annotations

import shutil
from hashlib import sha256
from pathlib import Path
from random import Random

import pytest

from service.actions import checking, housekeeping, projecting, syncing
from service.actions.attaching import attach
from service.documents.uploads import Upload
from service.domain import facts as f
from service.domain.people import SYSTEM
from service.domain.refusals import Refused
from service.node import Node
from sync.blobs import Blob, BlobState
from sync.limits import CHUNK_BYTES
from tests.flows.conftest import CLERK, LIAISON, Township
from tests.flows.test_erasing import CHIEF, erase, erasures, person_of
from tests.flows.test_offline_week import register, seen
from tests.flows.test_photo_on_a_bad_line import on_chunks
from tests.flows.test_restored import backup, exchanged, put_back

PHOTO = Upload(content=Random(9).randbytes(3 * CHUNK_BYTES - 5), media_type="image/jpeg", name="张三的身份证.jpg")
DIGEST = sha256(PHOTO.content).digest()


def reported(station: Node, upload: Upload = PHOTO) -> str:
    opinion = register(station).opinion
    add(station, opinion, upload)
    return opinion


def add(station: Node, opinion: str, upload: Upload = PHOTO) -> None:
    with station.unit(LIAISON) as unit:
        attach(unit, opinion, upload, "张三本人")


def blob(node: Node, digest: bytes = DIGEST) -> Blob | None:
    with node.reading() as connection:
        return node.blobs.find(connection, digest)


def state(node: Node, digest: bytes = DIGEST) -> BlobState | None:
    found = blob(node, digest)
    return None if found is None else found.state


def files(node: Node) -> list[Path]:
    return [path for _, path in node.blobs.files.names()]


def settled(township: Township, station: Node) -> None:
    for _ in range(3):
        exchanged(township, station)


def test_erasing_empties_files_names_and_captions_everywhere_and_counts_only_when_content_is_gone(
    township: Township,
) -> None:
    station, hub = township.station("qd"), township.hub
    opinion = reported(station)
    settled(township, station)
    assert (state(station), state(hub)) == (BlobState.COMPLETE, BlobState.COMPLETE)
    erase(hub, CLERK, opinion)
    projecting.sweep(hub)
    assert (files(hub), state(hub)) == ([], BlobState.ERASED)
    assert erasures(hub)[0].missing == {station.identity.node}
    settled(township, station)
    assert (files(station), state(station)) == ([], BlobState.ERASED)
    assert [(one.missing, one.contents, one.kept) for one in erasures(hub)] == [(frozenset(), 1, 0)]
    for node in (station, hub):
        assert seen(node, opinion).attachments == []
        assert checking.check(node) == []
        assert set(projecting.differences(node).values()) == {0}
        with pytest.raises(Refused, match="attachments_erased"), node.unit(CLERK if node is hub else CHIEF) as unit:
            attach(unit, opinion, PHOTO)
    quiet = syncing.exchange_now(station)
    assert (quiet.requests, quiet.blobs) == (1, None), "nobody asks for it again"
    projecting.rebuild(hub)
    projecting.sweep(hub)
    assert state(hub) is BlobState.ERASED


def test_a_confirmation_that_names_no_content_does_not_count(township: Township) -> None:
    """As an earlier program writes it: the words are gone there, the picture lies there still."""
    station, hub = township.station("qd"), township.hub
    opinion = reported(station)
    settled(township, station)
    erase(hub, CLERK, opinion)
    node = station.identity.node
    said = f.PersonErasureConfirmed(person=person_of(hub, opinion), node=node, emptied=1)
    with hub.unit(SYSTEM) as unit:
        unit.record(f"erasure/{said.person}", said, scope=unit.station_scope("qd"))
    assert erasures(hub)[0].missing == {node}


def test_what_is_attached_while_the_line_is_dead_goes_when_both_meet(township: Township) -> None:
    station, hub = township.station("qd"), township.hub
    opinion = register(station).opinion
    settled(township, station)
    erase(hub, CLERK, opinion)
    add(station, opinion)  # it has not heard of it
    settled(township, station)
    assert (state(station), state(hub)) == (BlobState.ERASED, BlobState.ERASED)
    assert files(station) == files(hub) == []
    assert [one.missing for one in erasures(hub)] == [frozenset()]
    assert seen(hub, opinion).attachments == seen(station, opinion).attachments == []


def test_an_upload_under_way_is_refused_with_that_reason_and_leaves_nothing(township: Township) -> None:
    opinions: list[str] = []
    partial: list[int] = []

    def erase_at_the_second(n: int) -> None:
        if n == 2:
            found = blob(township.hub)
            partial.append(found.percent if found else -1)
            erase(township.hub, CLERK, opinions[0])

    on_chunks(township, erase_at_the_second)
    station, hub = township.station("qd"), township.hub
    opinions.append(reported(station))
    exchanged(township, station)
    exchanged(township, station)
    assert partial == [33]
    assert files(hub) == []
    with station.reading() as connection:
        there = station.blobs.held_by(connection, hub.identity.node, [DIGEST])
    assert there == {DIGEST: ("erased", 0)}
    settled(township, station)
    assert files(station) == []


def test_a_backup_with_its_pictures_does_not_bring_them_back(township: Township, tmp_path: Path) -> None:
    station, hub = township.station("qd"), township.hub
    opinion = reported(station)
    settled(township, station)
    kept = backup(station, tmp_path / "backup")
    shutil.copytree(station.settings.data_dir / "blobs", kept / "blobs")
    erase(station, CHIEF, opinion)
    settled(township, station)
    restored = put_back(township, kept)
    assert state(restored) is BlobState.COMPLETE, "the backup has it"
    settled(township, restored)
    assert (files(restored), state(restored), state(hub)) == ([], BlobState.ERASED, BlobState.ERASED)
    assert [one.missing for one in erasures(hub)] == [frozenset()]


def test_who_lost_the_fact_that_names_the_content_learns_it_from_the_others(township: Township) -> None:
    """A branch of the hub's may have taken the place of ours, already emptied: only the file is left."""
    station, hub = township.station("qd"), township.hub
    opinion = reported(station)
    settled(township, station)
    with hub.reading() as connection:
        (subject,) = {f"opinion/{opinion}"}
        attached = [e for e in hub.ledger.read_subjects(connection, [subject])[subject] if e.kind == f.Attached.KIND]
    with hub.engine.begin() as connection:
        hub.ledger.erase(connection, [event.event_id for event in attached])
        hub.ledger.mark_pending(connection, [subject])
    projecting.sweep(hub)
    assert state(hub) is BlobState.COMPLETE
    erase(station, CHIEF, opinion)
    settled(township, station)
    assert (files(hub), state(hub)) == ([], BlobState.ERASED)
    assert [one.missing for one in erasures(hub)] == [frozenset()]


def test_the_same_content_stays_where_another_citizens_case_has_it(township: Township) -> None:
    station, hub = township.station("qd"), township.hub
    gone, other = reported(station), reported(station)
    settled(township, station)
    erase(hub, CLERK, gone)
    settled(township, station)
    for node in (station, hub):
        assert state(node) is BlobState.COMPLETE
        assert seen(node, gone).attachments == []
        assert len(seen(node, other).attachments) == 1
    assert [(one.missing, one.contents, one.kept) for one in erasures(hub)] == [(frozenset(), 1, 1)]
    erase(hub, CLERK, other)
    settled(township, station)
    assert (state(station), state(hub)) == (BlobState.ERASED, BlobState.ERASED)


def test_a_case_that_stands_gets_content_back_that_went_with_another_one(township: Township) -> None:
    """Attached offline where nobody knew: every node comes to the same, whichever it heard of first."""
    station, hub = township.station("qd"), township.hub
    gone = reported(station)
    settled(township, station)
    erase(hub, CLERK, gone)
    assert state(hub) is BlobState.ERASED
    other = reported(station)
    settled(township, station)
    assert (state(station), state(hub)) == (BlobState.COMPLETE, BlobState.COMPLETE)
    assert len(seen(hub, other).attachments) == 1


def test_the_hourly_look_removes_what_an_erasure_left_half_done(township: Township) -> None:
    station = township.station("qd")
    opinion = reported(station)
    erase(station, CHIEF, opinion)
    left = station.blobs.files.whole(DIGEST)
    left.parent.mkdir(parents=True, exist_ok=True)
    left.write_bytes(PHOTO.content)
    housekeeping.sweep(station)
    assert files(station) == []
