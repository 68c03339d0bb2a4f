"""What a snapshot that comes in parts must do on any database, beside what every horizon must."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from itertools import count

from sqlalchemy import select, update

from sync import loading, peers, wire
from sync.asking import Asker, ExchangeReport
from sync.errors import BadSignature, SnapshotDiffers, TimedOut
from sync.events import Scope
from sync.tables import snapshot_loads, snapshot_parts
from sync.testing.exchange_contract import HALL, PUB, Tapped, direct
from sync.testing.expecting import refused
from sync.testing.horizon_contract import (
    SMALL,
    HorizonContract,
    cut_after,
    ending_at,
    kept,
    load_of,
    pair,
    sound,
    statements,
)
from sync.testing.ledger_contract import packed
from sync.testing.nodes import Lab, LabNode, draft
from sync.testing.transports import Crash


class SnapshotContract(HorizonContract):
    """The same, and what rests on the conversation alone."""

    # --- resuming ------------------------------------------------------------------------------------------------

    def test_a_load_that_is_cut_again_and_again_fetches_no_part_twice(self, lab: Lab) -> None:
        hub, station = pair(lab)
        statements(hub, 170)
        fetched: list[bytes] = []
        line = direct(hub, _every_other(fetched))
        progress: list[int] = []
        for _ in range(40):
            try:
                verified = station.exchange(hub, line).verified
            except TimedOut:
                progress.append(load_of(station, hub).done)
                station.record(HALL, draft("note/1", "照常登记"))
                continue
            break
        assert verified
        assert len(fetched) == len(set(fetched)) == load_of(station, hub).parts
        assert progress == sorted(progress)
        assert line.verbs.count("snapshot") == 1, "the manifest of the first attempt still serves"
        assert len(hub.events()) == len(progress), "what was recorded meanwhile arrived"

    def test_a_manifest_that_the_disk_has_changed_stops_nothing(self, lab: Lab) -> None:
        hub, station = pair(lab)
        statements(hub, 120)
        with refused(TimedOut):
            station.exchange(hub, direct(hub, cut_after(1)))
        with station.engine.begin() as conn:
            conn.execute(update(snapshot_loads).values(manifest=b"dust"))
        assert station.exchange(hub).verified

    def test_what_arrives_another_way_ends_the_load(self, lab: Lab) -> None:
        hub, station = pair(lab)
        stream = statements(hub, 120)
        with refused(TimedOut):
            station.exchange(hub, direct(hub, cut_after(1)))
        with station.engine.begin() as conn:
            assert loading.under_way(conn, hub.node)
            station.ledger.accept(conn, packed(hub, stream, 1, 120), peers.get_peer(conn, hub.node))
        line = direct(hub)
        assert station.exchange(hub, line).verified
        assert line.verbs == ["hello"]
        with station.engine.begin() as conn:
            assert loading.under_way(conn, hub.node) is None

    def test_a_process_that_ends_before_any_commit_goes_on_at_the_next_start(self, lab: Lab) -> None:
        hub, station = pair(lab)
        statements(hub, 120)
        for place in count(1):
            with ending_at(place, hub, station) as is_over, suppress(Crash):
                station.exchange(hub)
            if not is_over():
                break
        assert place > 5, "every exchange came one commit further than the one before"
        assert station.exchange(hub).verified
        assert sound(hub, station)

    def test_a_long_load_makes_room_for_folding_and_goes_on(self, lab: Lab) -> None:
        hub, station = pair(lab, replace(SMALL, snapshot_s=-1.0))
        statements(hub, 120)
        report = station.exchange(hub)
        assert (report.loading, report.parts, report.verified) == (True, 1, False)
        with station.engine.begin() as conn:
            assert loading.under_way(conn, hub.node)
            assert station.ledger.pending_count(conn) == 10
        while report.loading:
            report = station.exchange(hub)
        assert report.verified

    # --- one packing for all -------------------------------------------------------------------------------------

    def test_parts_are_packed_once_and_lie_sealed(self, lab: Lab) -> None:
        hub, station = pair(lab)
        statements(hub, 100, text="秘密")
        station.exchange(hub)
        with hub.engine.begin() as conn:
            before = conn.execute(select(snapshot_parts.c.digest, snapshot_parts.c.sealed)).all()
        other = lab.node("other", limits=SMALL)
        lab.enrol(other, hub, [PUB], [])
        assert other.exchange(hub).verified
        with hub.engine.begin() as conn:
            assert conn.execute(select(snapshot_parts.c.digest, snapshot_parts.c.sealed)).all() == before
        assert all(row.sealed.startswith(b"age-encryption.org") for row in before)

    def test_the_cache_keeps_its_bound_and_what_goes_is_made_again(self, lab: Lab) -> None:
        hub, station = pair(lab, replace(SMALL, snapshot_cache_bytes=1))
        statements(hub, 100)
        assert station.exchange(hub).verified
        assert kept(hub) > 0, "what was promised is kept"
        with hub.engine.begin() as conn:
            conn.execute(snapshot_parts.delete())
        other = lab.node("other", limits=SMALL)
        lab.enrol(other, hub, [PUB], [])
        assert other.exchange(hub).verified

    def test_a_peer_gets_no_part_of_what_it_may_not_read(self, lab: Lab) -> None:
        hub, station = pair(lab)
        hub.record("t/hub", *(draft(f"secret/{n}") for n in range(100)))
        chief = lab.node("chief", limits=SMALL)
        lab.enrol(chief, hub, ["t/hub"], [])
        line = direct(hub)
        chief.exchange(hub, line)
        (digest, *_) = _asked(line)
        statements(hub, 100)
        swapped = Tapped(direct(hub))
        with station.engine.begin() as conn:
            me = peers.get_peer(conn, hub.node)
        asker = Asker(station.replica, me, swapped, ExchangeReport())
        assert asker.plainly("part", wire.PartGet(digest=digest), wire.PartAnswer).data is None

    # --- what is not believed ------------------------------------------------------------------------------------

    def test_a_forged_manifest_is_refused(self, lab: Lab) -> None:
        hub, station = pair(lab)
        statements(hub, 100)
        line = direct(hub, self._answering(hub, "snapshot", _signed_by(station)))
        with refused(BadSignature):
            station.exchange(hub, line)
        line = direct(hub)
        assert station.exchange(hub, line).verified, "it goes on event by event"
        assert "snapshot" not in line.verbs

    def test_a_forged_part_is_refused(self, lab: Lab) -> None:
        hub, station = pair(lab)
        statements(hub, 100)

        def other(answer: bytes) -> bytes:
            return wire.encode(wire.PartAnswer(data=b"LXB1" + answer[10:]))

        with refused(SnapshotDiffers):
            station.exchange(hub, direct(hub, self._answering(hub, "part", other)))
        assert load_of(station, hub).refused == "snapshot_differs"
        line = direct(hub)
        assert station.exchange(hub, line).verified, "it goes on event by event"
        assert "part" not in line.verbs

    def test_a_snapshot_whose_derived_digest_is_not_the_signed_one_is_refused_by_name(self, lab: Lab) -> None:
        """The hub's own signature is on it: only deriving can tell."""
        hub, station = pair(lab)
        statements(hub, 100)

        def lie(answer: bytes) -> bytes:
            manifest = wire.decode(wire.decode(answer, wire.SnapshotAnswer).manifest, wire.SnapshotManifest)
            ends = [(*head[:4], bytes(32)) for head in manifest.heads]
            made = wire.SnapshotManifest(
                holder=manifest.holder, holder_epoch=manifest.holder_epoch, at_us=manifest.at_us, heads=ends,
                horizons=[], parts=manifest.parts,
            )  # fmt: skip
            return wire.encode(wire.sign_snapshot(hub.replica.identity, made))

        with refused(SnapshotDiffers) as caught:
            station.exchange(hub, direct(hub, self._answering(hub, "snapshot", lie)))
        assert caught[0].data["seq"] == 96
        with station.engine.begin() as conn:
            assert peers.find_contact(conn, hub.node).last_error_code == "snapshot_differs"
            assert max(at.seq for at in station.ledger.heads(conn, [Scope(PUB)]).values()) < 96
        assert sound(station)
        assert station.exchange(hub).verified

    @staticmethod
    def _answering(hub: LabNode, verb: str, change: Callable[[bytes], bytes]) -> Callable[[str, bytes], bytes | None]:
        """Changes what the hub says to a verb, with the hub's own signature under the answer."""

        def meddle(asked: str, body: bytes) -> bytes | None:
            if asked != verb:
                return None
            envelope = wire.open_envelope(hub.responder.answer(asked, body))
            return wire.enclose(hub.replica.identity, "answer", envelope.head, change(envelope.payload))

        return meddle


def _every_other(fetched: list[bytes]) -> Callable[[str, bytes], bytes | None]:
    """A line that fails before every second part; what gets through is noted."""
    turn = [0]

    def meddle(verb: str, body: bytes) -> None:
        if verb != "part":
            return
        turn[0] += 1
        if turn[0] % 2:
            raise TimedOut(after_s=1)
        fetched.append(wire.decode(wire.open_envelope(body).payload, wire.PartGet).digest)

    return meddle


def _asked(line: Tapped) -> list[bytes]:
    bodies = [body for verb, body in line.requests if verb == "part"]
    return [wire.decode(wire.open_envelope(body).payload, wire.PartGet).digest for body in bodies]


def _signed_by(other: LabNode) -> Callable[[bytes], bytes]:
    def change(answer: bytes) -> bytes:
        manifest = wire.decode(wire.decode(answer, wire.SnapshotAnswer).manifest, wire.SnapshotManifest)
        return wire.encode(wire.sign_snapshot(other.replica.identity, manifest))

    return change
