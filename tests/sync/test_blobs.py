"""Attached content and its lane, on both databases: pieces, media, damage, erasing, and events that pass it."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from functools import partial
from hashlib import sha256
from random import Random
from typing import Any

import pytest
from sqlalchemy import select

from sync import blob_lane, peers, wire
from sync.blob_files import chunk_hashes
from sync.blobs import Blob, BlobState, BlobStore
from sync.errors import BlobErased, BlobNotReferred, ChunkDamaged, NoSpace, TimedOut, TooLarge
from sync.events import Scope
from sync.exchange import exchange
from sync.limits import BLOB_BYTES_MAX, CHUNK_BYTES, Limits
from sync.tables import blobs as blobs_table
from sync.testing import Crash, DirectTransport, Lab, LabNode, draft, refused
from sync.testing.exchange_contract import HALL, PUB, Tapped, direct

PHOTO = Random(1).randbytes(4 * CHUNK_BYTES + 77)
CHUNKS = 5
ONE_CHUNK = Limits(blob_lane_bytes=CHUNK_BYTES)


def chunk(content: bytes, number: int) -> bytes:
    return content[number * CHUNK_BYTES : (number + 1) * CHUNK_BYTES]


def shared(station: LabNode, hub: LabNode, content: bytes = PHOTO) -> bytes:
    """Content attached at the station by an event that the hub has read."""
    digest = station.attach(HALL, content)
    station.record(HALL, draft(f"note/{digest.hex()[:8]}"))
    station.exchange(hub)
    hub.refer(HALL, digest, len(content))
    return digest


def content_of(node: LabNode, digest: bytes) -> bytes | None:
    with node.engine.begin() as conn:
        return node.blobs.read(conn, digest)


def error_of(node: LabNode, peer: LabNode) -> str | None:
    with node.engine.begin() as conn:
        return peers.find_contact(conn, peer.node).last_error_code


def puts(line: Tapped) -> list[int]:
    """Numbers of the chunks that were sent over the line, in order."""
    bodies = [wire.open_envelope(body).payload for verb, body in line.requests if verb == "chunk-put"]
    return [wire.decode(body, wire.ChunkPut).number for body in bodies]


class BlobContract:
    # --- moving --------------------------------------------------------------------------------------------------

    def test_a_photo_travels_to_the_hub_once_the_event_was_read_there(self, lab: Lab) -> None:
        hub, station = lab.pair()
        digest = shared(station, hub)
        report = station.exchange(hub)
        assert report.blobs is not None
        assert (report.blobs.sent, report.blobs.completed, report.blobs.error) == (CHUNKS, 1, None)
        assert content_of(hub, digest) == PHOTO
        assert not hub.blobs.files.has_part(digest)

    def test_a_paper_of_the_hub_travels_to_the_station(self, lab: Lab) -> None:
        hub, station = lab.pair()
        digest = hub.attach(PUB, PHOTO)
        station.refer(PUB, digest, len(PHOTO))
        report = station.exchange(hub)
        assert report.blobs is not None
        assert (report.blobs.received, report.blobs.completed) == (CHUNKS, 1)
        assert content_of(station, digest) == PHOTO

    def test_with_everything_moved_an_idle_exchange_is_one_small_request(self, lab: Lab) -> None:
        hub, station = lab.pair()
        shared(station, hub)
        station.exchange(hub)
        line = direct(hub)
        assert station.exchange(hub, line).blobs is None
        assert line.verbs == ["hello"]
        assert line.size < 1000

    def test_before_the_hub_has_read_the_event_nothing_is_sent_and_asking_is_not_repeated(self, lab: Lab) -> None:
        hub, station = lab.pair()
        digest = station.attach(HALL, PHOTO)
        first = station.exchange(hub)
        assert first.blobs is not None
        assert (first.blobs.sent, first.blobs.waiting) == (0, True)
        line = direct(hub)
        station.exchange(hub, line)
        assert line.verbs == ["hello"]
        hub.refer(HALL, digest, len(PHOTO))
        station.exchange(hub)
        assert content_of(hub, digest) == PHOTO

    def test_what_nobody_has_is_asked_for_hourly_and_when_the_peer_got_something_new(self, lab: Lab) -> None:
        hub, station = lab.pair()
        wanted = sha256(PHOTO).digest()
        station.refer(PUB, wanted, len(PHOTO))
        station.exchange(hub)
        quiet = direct(hub)
        station.exchange(hub, quiet)
        assert quiet.verbs == ["hello"]
        lab.clock.advance(timedelta(hours=1))
        hourly = direct(hub)
        station.exchange(hub, hourly)
        assert hourly.verbs == ["hello", "blobs"]
        hub.attach(PUB, PHOTO)
        station.exchange(hub)
        assert content_of(station, wanted) == PHOTO

    def test_an_older_peer_is_not_asked_for_what_it_does_not_know(self, lab: Lab) -> None:
        hub, station = lab.pair()
        shared(station, hub)
        object.__setattr__(hub.replica, "blobs", None)
        line = direct(hub)
        assert station.exchange(hub, line).verified
        assert line.verbs == ["hello"]

    def test_many_tiny_ones_travel_in_one_exchange(self, lab: Lab) -> None:
        hub, station = lab.node("hub"), lab.node("station", limits=Limits(blob_lane_s=600))
        lab.enrol(station, hub, [PUB, HALL], [HALL])
        contents = [f"picture {n}".encode() for n in range(2 * wire.BLOBS_AT_ONCE + 1)]
        digests = [station.attach(HALL, content) for content in contents]
        for digest, content in zip(digests, contents, strict=True):
            hub.refer(HALL, digest, len(content))
        line = direct(hub)
        report = station.exchange(hub, line)
        assert report.blobs is not None
        assert report.blobs.completed == len(contents)
        assert line.verbs.count("blobs") == 3
        assert [content_of(hub, digest) for digest in digests] == contents

    def test_empty_content_needs_no_journey_and_an_empty_file_is_not_taken_for_a_photo(self, lab: Lab) -> None:
        hub, station = lab.pair()
        empty, digest = station.attach(HALL, b""), shared(station, hub)
        hub.refer(HALL, empty, 0)
        assert hub.blob(empty).state is BlobState.COMPLETE
        station.exchange(hub)
        hub.blobs.files.whole(digest).write_bytes(b"")  # what a power cut leaves of a careless write
        assert content_of(hub, digest) is None
        with hub.engine.begin() as conn:
            assert hub.blobs.sweep(conn).lost == (digest,)
        station.exchange(hub)
        assert content_of(hub, digest) == PHOTO

    def test_a_size_that_cannot_be_is_refused_until_somebody_states_a_better_one(self, lab: Lab) -> None:
        hub = lab.node("hub")
        digest = sha256(PHOTO).digest()
        hub.refer(HALL, digest, 0)
        assert hub.blob(digest).state is BlobState.REFUSED
        hub.refer(HALL, digest, BLOB_BYTES_MAX + 1)
        assert hub.blob(digest).state is BlobState.REFUSED
        hub.refer(HALL, digest, len(PHOTO))
        assert hub.blob(digest).state is BlobState.REFERENCED
        with hub.engine.begin() as conn, refused(TooLarge):
            hub.blobs.learn(conn, digest, BLOB_BYTES_MAX + 1, b"")

    # --- in pieces -----------------------------------------------------------------------------------------------

    def test_a_transfer_goes_on_after_days_where_it_stood(self, lab: Lab) -> None:
        hub, station = lab.node("hub"), lab.node("station", limits=ONE_CHUNK)
        lab.enrol(station, hub, [PUB, HALL], [HALL])
        digest = shared(station, hub)
        sent: list[int] = []
        for day in range(CHUNKS):
            assert hub.blob(digest).percent == day * 20
            line = direct(hub)
            report = station.exchange(hub, line)
            assert report.blobs is not None
            assert report.blobs.more == (day < CHUNKS - 1)
            sent += puts(line)
            lab.clock.advance(timedelta(days=1))
        assert sent == list(range(CHUNKS))
        assert content_of(hub, digest) == PHOTO

    def test_what_is_left_makes_the_next_exchange_due(self, lab: Lab) -> None:
        hub, station = lab.node("hub"), lab.node("station", limits=ONE_CHUNK)
        lab.enrol(station, hub, [PUB, HALL], [HALL])
        digest = shared(station, hub)

        def due() -> bool:
            with station.engine.begin() as conn:
                return blob_lane.is_due(conn, hub.node)

        seen = []
        for _ in range(CHUNKS):
            station.exchange(hub)
            seen.append(due())
        assert seen == [True] * (CHUNKS - 1) + [False]
        assert hub.blob(digest).percent == 100

    def test_the_lane_ends_with_its_time(self, lab: Lab) -> None:
        hub, station = lab.pair()
        shared(station, hub)
        seconds = iter(range(0, 1000, 4))
        with station.engine.begin() as conn:
            peer = peers.get_peer(conn, hub.node)
        report = exchange(station.replica, peer, DirectTransport(hub.responder), lambda: next(seconds))
        assert report.verified
        assert report.blobs is not None
        assert report.blobs.more
        assert 0 < report.blobs.sent < CHUNKS

    def test_half_by_wire_and_half_by_another_medium(self, lab: Lab) -> None:
        hub, station = lab.node("hub"), lab.node("station", limits=Limits(blob_lane_bytes=2 * CHUNK_BYTES))
        lab.enrol(station, hub, [PUB, HALL], [HALL])
        digest = shared(station, hub)
        station.exchange(hub)
        stick = lab.folder / "stick.bin"
        stick.write_bytes(PHOTO)
        for number in (4, 2):
            with hub.engine.begin() as conn:
                hub.blobs.put_chunk(conn, digest, number, chunk(stick.read_bytes(), number))
        line = direct(hub)
        station.exchange(hub, line)
        assert puts(line) == [3]
        assert content_of(hub, digest) == PHOTO

    def test_all_of_it_by_another_medium_leaves_nothing_to_send(self, lab: Lab) -> None:
        hub, station = lab.pair()
        digest = shared(station, hub)
        with hub.engine.begin() as conn:
            hub.blobs.learn(conn, digest, len(PHOTO), chunk_hashes(PHOTO))
            for number in reversed(range(CHUNKS)):
                hub.blobs.put_chunk(conn, digest, number, chunk(PHOTO, number))
        line = direct(hub)
        station.exchange(hub, line)
        assert puts(line) == []
        assert content_of(hub, digest) == PHOTO

    def test_two_stations_with_the_same_content_send_it_once(self, lab: Lab) -> None:
        hub, station = lab.pair()
        other = lab.node("other")
        lab.enrol(other, hub, ["t/s/b"], ["t/s/b"])
        digest = shared(station, hub)
        station.exchange(hub)
        other.attach("t/s/b", PHOTO)
        hub.refer("t/s/b", digest, len(PHOTO))
        line = direct(hub)
        other.exchange(hub, line)
        assert puts(line) == []
        assert len(list(hub.blobs.files.names())) == 1

    # --- damage --------------------------------------------------------------------------------------------------

    def test_a_damaged_chunk_is_refused_and_the_others_stay(self, lab: Lab) -> None:
        hub, station = lab.pair()
        digest = shared(station, hub)
        with hub.engine.begin() as conn:
            hub.blobs.learn(conn, digest, len(PHOTO), chunk_hashes(PHOTO))
            hub.blobs.put_chunk(conn, digest, 0, chunk(PHOTO, 0))
            for wrong in (bytes(CHUNK_BYTES), chunk(PHOTO, 1)[:-1], chunk(PHOTO, 2), b""):
                with refused(ChunkDamaged):
                    hub.blobs.put_chunk(conn, digest, 1, wrong)
        assert hub.blob(digest).chunks == {0}

    def test_a_chunk_that_goes_bad_on_the_receivers_disk_costs_one_chunk(self, lab: Lab) -> None:
        hub, station = lab.node("hub"), lab.node("station", limits=Limits(blob_lane_bytes=3 * CHUNK_BYTES))
        lab.enrol(station, hub, [PUB, HALL], [HALL])
        digest = shared(station, hub)
        station.exchange(hub)
        with hub.blobs.files.part(digest).open("r+b") as file:
            file.seek(CHUNK_BYTES)
            file.write(b"bad sector")
        station.exchange(hub)
        assert hub.blob(digest).missing == [1]
        line = direct(hub)
        station.exchange(hub, line)
        assert puts(line) == [1]
        assert content_of(hub, digest) == PHOTO

    def test_a_chunk_that_goes_bad_on_the_senders_disk_is_fetched_back(self, lab: Lab) -> None:
        hub, station = lab.pair()
        digest = shared(station, hub)
        station.exchange(hub)
        with station.blobs.files.whole(digest).open("r+b") as file:
            file.write(b"bad sector")
        with station.engine.begin() as conn:
            assert station.blobs.read_chunk(conn, digest, 0) is None
        assert station.blob(digest).missing == [0]
        report = station.exchange(hub)
        assert report.blobs is not None
        assert report.blobs.received == 1
        assert content_of(station, digest) == PHOTO

    def test_a_receiver_that_lost_its_unfinished_file_gets_all_of_it(self, lab: Lab) -> None:
        hub, station = lab.node("hub"), lab.node("station", limits=Limits(blob_lane_bytes=3 * CHUNK_BYTES))
        lab.enrol(station, hub, [PUB, HALL], [HALL])
        digest = shared(station, hub)
        station.exchange(hub)
        assert hub.blob(digest).chunks == {0, 1, 2}
        hub.blobs.files.part(digest).unlink()
        again = direct(hub)
        station.exchange(hub, again)
        assert puts(again) == [0, 1, 2]
        station.exchange(hub)
        assert content_of(hub, digest) == PHOTO

    def test_progress_that_goes_back_is_told_from_progress(self, lab: Lab) -> None:
        hub, station = lab.pair()
        digest = shared(station, hub)
        with station.engine.begin() as conn:
            for state, chunks, kept in (
                ("referenced", 0, "referenced"), ("partial", 3, "partial"), ("partial", 1, "again"),
                ("partial", 2, "again"), ("complete", 5, "complete"), ("partial", 4, "again"),
            ):  # fmt: skip
                station.blobs.note_holder(conn, hub.node, digest, state, chunks)
                assert station.blobs.held_by(conn, hub.node, [digest]) == {digest: (kept, chunks)}

    def test_a_hub_that_lost_all_files_gets_them_back(self, lab: Lab) -> None:
        hub, station = lab.pair()
        digest = shared(station, hub)
        station.exchange(hub)
        hub.blobs.files.whole(digest).unlink()
        with hub.engine.begin() as conn:
            swept = hub.blobs.sweep(conn)
        assert swept.lost == (digest,)
        assert [missing.percent for missing in swept.missing] == [0]
        station.exchange(hub)
        assert content_of(hub, digest) == PHOTO

    def test_a_hub_that_lost_its_own_papers_gets_them_back_from_whoever_read_them(self, lab: Lab) -> None:
        hub, station = lab.pair()
        digest = hub.attach(PUB, PHOTO)
        station.refer(PUB, digest, len(PHOTO))
        station.exchange(hub)
        quiet = direct(hub)
        station.exchange(hub, quiet)
        assert quiet.verbs == ["hello"], "what came from there is not offered there"
        hub.blobs.files.whole(digest).unlink()
        with hub.engine.begin() as conn:
            hub.blobs.sweep(conn)
        station.exchange(hub)
        assert content_of(hub, digest) == PHOTO

    def test_a_false_chunk_list_does_not_keep_the_content_away(self, lab: Lab) -> None:
        hub, station = lab.pair()
        digest = shared(station, hub)
        false = bytes(CHUNK_BYTES) * 4 + PHOTO[-77:]
        with hub.engine.begin() as conn:
            hub.blobs.learn(conn, digest, len(false), chunk_hashes(false))
            for number in range(CHUNKS):
                hub.blobs.put_chunk(conn, digest, number, chunk(false, number))
        assert hub.blob(digest).state is BlobState.REFERENCED
        with hub.engine.begin() as conn:
            hub.blobs.learn(conn, digest, len(false), chunk_hashes(false))
            hub.blobs.put_chunk(conn, digest, 4, chunk(false, 4))
            hub.blobs.put_chunk(conn, digest, 0, chunk(false, 0))
        line = direct(hub)
        station.exchange(hub, line)
        assert puts(line) == [0, 1, 2, 3]  # what both lists name alike stays
        assert content_of(hub, digest) == PHOTO

    def test_a_power_cut_while_storing_a_chunk_costs_that_chunk(
        self, lab: Lab, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        hub, station = lab.pair()
        digest = shared(station, hub)
        store, stored = BlobStore.put_chunk, []

        def cut_at_the_third(blobs: BlobStore, *chunk: Any) -> Blob:
            stored.append(store(blobs, *chunk))
            if len(stored) == 3:
                raise Crash
            return stored[-1]

        monkeypatch.setattr(BlobStore, "put_chunk", cut_at_the_third)
        with pytest.raises(Crash):
            station.exchange(hub)
        assert hub.blob(digest).chunks == {0, 1}
        line = direct(hub)
        station.exchange(hub, line)
        assert puts(line) == [2, 3, 4]
        assert content_of(hub, digest) == PHOTO

    # --- rights and room -----------------------------------------------------------------------------------------

    def test_content_outside_a_peers_scopes_is_neither_given_nor_taken(self, lab: Lab) -> None:
        hub, station = lab.pair()
        digest = hub.attach("t/s/b", PHOTO)
        station.refer(HALL, digest, len(PHOTO))  # a digest alone opens nothing
        station.exchange(hub)
        assert station.blob(digest).state is BlobState.REFERENCED
        secret = station.attach(HALL, b"unasked")
        hub.refer("t/s/b", secret, 7)
        station.exchange(hub)
        assert hub.blob(secret).state is BlobState.REFERENCED
        hub.refer(HALL, digest, len(PHOTO))
        hub.refer(HALL, secret, 7)
        station.exchange(hub)
        assert (content_of(station, digest), content_of(hub, secret)) == (PHOTO, b"unasked")

    def test_a_chunk_of_content_that_nothing_refers_to_is_not_taken(self, lab: Lab) -> None:
        hub = lab.node("hub")
        with hub.engine.begin() as conn, refused(BlobNotReferred):
            hub.blobs.put_chunk(conn, sha256(b"?").digest(), 0, b"?")
        assert list(hub.blobs.files.names()) == []

    def test_what_the_disk_cannot_hold_is_refused_before_anything_is_written(self, lab: Lab) -> None:
        free = [len(PHOTO)]
        hub = lab.node("hub", limits=Limits(blob_disk_free_min=CHUNK_BYTES), free_bytes=lambda: free[0])
        station = lab.node("station")
        lab.enrol(station, hub, [PUB, HALL], [HALL])
        with hub.engine.begin() as conn, refused(NoSpace):
            hub.blobs.add(conn, PHOTO, "image/jpeg")
        digest = shared(station, hub)
        report = station.exchange(hub)
        assert report.verified
        assert report.blobs is not None
        assert isinstance(report.blobs.error, NoSpace)
        assert list(hub.blobs.files.names()) == []
        assert (error_of(station, hub), error_of(hub, station)) == (None, None)
        quiet = direct(hub)
        station.exchange(hub, quiet)
        assert quiet.verbs == ["hello"]
        free[0] = 10 * len(PHOTO)
        lab.clock.advance(timedelta(hours=1))
        station.exchange(hub)
        assert content_of(hub, digest) == PHOTO

    def test_a_full_disk_at_the_station_stops_its_fetching_only(self, lab: Lab) -> None:
        hub = lab.node("hub")
        station = lab.node("station", free_bytes=lambda: 0)
        lab.enrol(station, hub, [PUB, HALL], [HALL])
        digest = hub.attach(PUB, PHOTO)
        station.refer(PUB, digest, len(PHOTO))
        hub.record(PUB, draft("policy/town"))
        report = station.exchange(hub)
        assert (report.verified, report.pulled) == (True, 1)
        assert report.blobs is not None
        assert isinstance(report.blobs.error, NoSpace)

    # --- erasing -------------------------------------------------------------------------------------------------

    def test_content_erased_while_it_is_uploaded_is_gone_and_not_offered_again(self, lab: Lab) -> None:
        hub, station = lab.pair()
        digest = shared(station, hub)

        def erase(verb: str, body: bytes) -> None:
            if verb == "chunk-put" and hub.blob(digest).chunks == {0, 1}:
                hub.erase(digest)

        line = direct(hub, erase)
        report = station.exchange(hub, line)
        assert report.blobs is not None
        assert (len(puts(line)), report.blobs.error) == (3, None)
        assert list(hub.blobs.files.names()) == []
        later = direct(hub)
        station.exchange(hub, later)
        assert later.verbs == ["hello"]

    def test_an_erasure_that_does_not_commit_leaves_the_content(self, lab: Lab) -> None:
        station = lab.node("station")
        digest = station.attach(HALL, PHOTO)
        with suppress(Crash), station.engine.begin() as conn:
            station.blobs.erase(conn, digest)
            raise Crash
        with station.engine.begin() as conn:
            assert station.blobs.clear_erased(conn) == 0
        assert content_of(station, digest) == PHOTO

    def test_a_process_that_ends_after_an_erasure_leaves_the_file_to_the_sweep_and_serves_it_no_more(
        self, lab: Lab
    ) -> None:
        station = lab.node("station")
        digest = station.attach(HALL, PHOTO)
        with station.engine.begin() as conn:
            station.blobs.erase(conn, digest)
        assert content_of(station, digest) is None
        with station.engine.begin() as conn:
            assert station.blobs.read_chunk(conn, digest, 0) is None
            assert station.blobs.sweep(conn).removed == 1
        assert list(station.blobs.files.names()) == []

    def test_erased_content_does_not_come_back_by_any_way(self, lab: Lab) -> None:
        hub, station = lab.pair()
        digest = shared(station, hub)
        station.exchange(hub)
        hub.erase(digest)
        with hub.engine.begin() as conn:
            hub.blobs.refer(conn, Scope(HALL), digest, len(PHOTO), "image/jpeg")
            for again in (
                partial(hub.blobs.put_chunk, conn, digest, 0, chunk(PHOTO, 0)),
                partial(hub.blobs.learn, conn, digest, len(PHOTO), chunk_hashes(PHOTO)),
                partial(hub.blobs.add, conn, PHOTO, "image/jpeg"),
            ):
                with refused(BlobErased):
                    again()
        assert content_of(hub, digest) is None
        assert list(hub.blobs.files.names()) == []

    # --- beside the events ---------------------------------------------------------------------------------------

    def test_a_line_that_dies_under_a_photo_leaves_the_events_verified(self, lab: Lab) -> None:
        hub, station = lab.pair()
        digest = shared(station, hub)

        def cut(verb: str, body: bytes) -> None:
            if verb == "chunk-put" and 1 in hub.blob(digest).chunks:
                raise TimedOut

        station.record(HALL, draft())
        report = station.exchange(hub, direct(hub, cut))
        assert report.verified
        assert report.blobs is not None
        assert isinstance(report.blobs.error, TimedOut)
        assert (error_of(station, hub), error_of(hub, station)) == (None, None)
        line = direct(hub)
        station.exchange(hub, line)
        assert puts(line) == [2, 3, 4]

    def test_a_lane_that_was_cut_short_is_not_taken_for_settled(self, lab: Lab) -> None:
        hub, station = lab.pair()
        digest = shared(station, hub)

        def stop(verb: str, body: bytes) -> None:
            if verb == "blobs":
                raise Crash

        with suppress(Crash):
            station.exchange(hub, direct(hub, stop))
        station.exchange(hub)
        assert content_of(hub, digest) == PHOTO

    def test_an_event_recorded_meanwhile_passes_the_rest_of_the_photo(self, lab: Lab) -> None:
        hub, station = lab.pair()
        digest = shared(station, hub)

        def record_once(verb: str, body: bytes) -> None:
            if verb == "chunk-put" and not station.events("note/urgent"):
                station.record(HALL, draft("note/urgent"))

        report = station.exchange(hub, direct(hub, record_once))
        assert report.blobs is not None
        assert (report.blobs.sent, report.blobs.more) == (1, True)
        line = direct(hub)
        station.exchange(hub, line)
        assert line.verbs.index("push") < line.verbs.index("chunk-put")
        assert hub.events("note/urgent")
        assert content_of(hub, digest) == PHOTO

    def test_hostile_messages_about_content_are_refused_by_name(self, lab: Lab) -> None:
        hub, station = lab.pair()
        digest = shared(station, hub)

        def garble(verb: str, body: bytes) -> bytes | None:
            if verb != "blobs":
                return None
            answer = wire.open_envelope(hub.responder.answer(verb, body))
            offer = wire.BlobOffer(digest=digest, size=3, hashes=b"x" * 5, chunks=b"\xff" * 64)
            every = wire.BlobStanding(digest=digest, state="referenced", chunks=b"\xff" * 64)
            false = wire.BlobsAnswer(standings=[every], offers=[offer], wants=[bytes(32)])
            return wire.enclose(hub.replica.identity, "answer", answer.head, wire.encode(false))

        report = station.exchange(hub, direct(hub, garble))
        assert report.verified
        assert station.blob(digest).state is BlobState.COMPLETE
        assert content_of(station, digest) == PHOTO

    # --- sweeping ------------------------------------------------------------------------------------------------

    def test_a_sweep_names_references_without_content_and_removes_content_without_reference(self, lab: Lab) -> None:
        hub, station = lab.pair()
        digest = shared(station, hub)
        with hub.engine.begin() as conn:
            orphan = hub.blobs.add(conn, b"its event was rolled back", "image/png")
            fresh = hub.blobs.sweep(conn)
        assert [missing.digest for missing in fresh.missing] == [digest]
        assert (fresh.removed, content_of(hub, orphan)) == (0, b"its event was rolled back")
        lab.clock.advance(timedelta(days=2))
        with hub.engine.begin() as conn:
            swept = hub.blobs.sweep(conn)
        assert swept.removed == 1
        assert swept.missing[0].since == lab.clock() - timedelta(days=2)
        assert list(hub.blobs.files.names()) == []

    def test_content_made_here_that_had_arrived_in_part_leaves_no_second_file(self, lab: Lab) -> None:
        hub, station = lab.node("hub"), lab.node("station", limits=ONE_CHUNK)
        lab.enrol(station, hub, [PUB, HALL], [HALL])
        digest = shared(station, hub)
        station.exchange(hub)
        hub.attach(HALL, PHOTO)
        assert content_of(hub, digest) == PHOTO
        assert len(list(hub.blobs.files.names())) == 1
        stale = hub.blobs.files.part(digest)
        stale.write_bytes(b"of a process that died between two steps")
        old = (lab.clock() - timedelta(days=2)).timestamp()
        os.utime(stale, (old, old))
        with hub.engine.begin() as conn:
            assert hub.blobs.sweep(conn).removed == 1
        assert content_of(hub, digest) == PHOTO

    def test_a_sweep_removes_files_that_no_entry_speaks_of(self, lab: Lab) -> None:
        node = lab.node("a")
        kept = node.attach(HALL, PHOTO)
        stray = node.blobs.files.part(sha256(b"rolled back").digest())
        stray.parent.mkdir(parents=True, exist_ok=True)
        half = stray.with_name("half.new")
        for path in (stray, half):
            path.write_bytes(b"x")
            old = (lab.clock() - timedelta(days=2)).timestamp()
            os.utime(path, (old, old))
        with node.engine.begin() as conn:
            assert node.blobs.sweep(conn).removed == 2
        assert [name for name, _ in node.blobs.files.names()] == [kept]


class TestOnSqlite(BlobContract):
    @pytest.fixture
    def lab(self, sqlite_lab: Lab) -> Lab:
        return sqlite_lab


class TestOnPostgresql(BlobContract):
    @pytest.fixture
    def lab(self, postgres_lab: Lab) -> Lab:
        return postgres_lab


def test_chunks_that_arrive_at_once_by_several_ways_complete_the_content_once(postgres_lab: Lab) -> None:
    hub = postgres_lab.node("hub")
    digest = sha256(PHOTO).digest()
    hub.refer(HALL, digest, len(PHOTO))
    with hub.engine.begin() as conn:
        hub.blobs.learn(conn, digest, len(PHOTO), chunk_hashes(PHOTO))
    gate = threading.Barrier(2 * CHUNKS)

    def put(number: int) -> Blob:
        gate.wait(10)
        with hub.engine.begin() as conn:
            return hub.blobs.put_chunk(conn, digest, number, chunk(PHOTO, number))

    with ThreadPoolExecutor(2 * CHUNKS) as pool:
        found = list(pool.map(put, [*range(CHUNKS), *range(CHUNKS)]))
    assert any(blob.state is BlobState.COMPLETE for blob in found)
    assert content_of(hub, digest) == PHOTO
    with hub.engine.begin() as conn:
        assert conn.execute(select(blobs_table.c.state)).scalars().all() == ["complete"]
