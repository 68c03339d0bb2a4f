"""What a ledger must do on any database. Subclass it in a test module that has a fixture `lab` (a `Lab`)."""

from datetime import timedelta

from sqlalchemy import Connection, select, update

from sync import bundle, incidents, peers
from sync.bundle import decode_segment
from sync.errors import AlreadyRecorded, BadSignature, EventTooLarge, ForkFound, MalformedEvent, OriginRevoked
from sync.events import EVENT_BODY_BYTES_MAX, Scope, Stream, Subject
from sync.identity import Identity, Vault, position_statement
from sync.limits import Limits
from sync.packing import Budget
from sync.positions import Range, behind
from sync.tables import ledger_events, ledger_held
from sync.testing.expecting import refused
from sync.testing.nodes import Lab, LabNode, draft
from sync.tracing import trace

HALL = Scope("t/s/a")
NOTE = Subject("note/1")
PLENTY = Budget(raw_bytes=10**7, events=10_000)


class MirrorVault(Vault):
    """Seals by turning the bytes around: enough to see what lies open."""

    def protects(self, subject: Subject) -> bool:
        return subject.startswith("person/")

    def seal(self, data: bytes, bound_to: bytes) -> bytes:
        return bound_to + data[::-1]

    def open(self, sealed: bytes, bound_to: bytes) -> bytes:
        if not sealed.startswith(bound_to):
            raise ValueError("sealed for another event")
        return sealed[len(bound_to) :][::-1]


def packed(node: LabNode, stream: Stream, first: int, last: int, budget: Budget = PLENTY) -> bundle.Bundle:
    """The range as its receiver unpacks it."""
    with node.engine.begin() as conn:
        made = node.ledger.pack(conn, [Range(stream, first, last)], budget, "")
    assert made is not None
    return bundle.unpack(made.data, node.replica.identity.public_key, Limits())


def faults(conn: Connection, node: LabNode) -> list[str]:
    return [problem.fault for problem in node.ledger.verify(conn)]


class LedgerContract:
    """Appending, reading, waiting subjects, accepting, erasing."""

    # --- appending ---------------------------------------------------------------------------------------------

    def test_events_are_numbered_without_gaps_and_read_back_as_written(self, lab: Lab) -> None:
        node = lab.node("a")
        first, second = node.record(HALL, draft(text="one"), draft(text="两"))
        assert (first.seq, second.seq, second.lamport) == (1, 2, 2)
        assert node.events() == [first, second]
        assert second.body == draft(text="两").body

    def test_a_rolled_back_event_leaves_no_gap(self, lab: Lab) -> None:
        node = lab.node("a")
        node.record(HALL, draft())
        with node.engine.connect() as conn, conn.begin() as transaction:
            node.ledger.append(conn, HALL, [draft()])
            transaction.rollback()
        assert node.record(HALL, draft())[0].seq == 2

    def test_each_scope_is_a_stream_of_its_own(self, lab: Lab) -> None:
        node = lab.node("a")
        node.record("t/s/a", draft())
        node.record("t/s/ab", draft())
        with node.engine.begin() as conn:
            assert [str(s.scope) for s in node.ledger.heads(conn, [Scope("t/s/a")])] == ["t/s/a"]
            assert len(node.ledger.heads(conn, [Scope("t")])) == 2
            assert not node.ledger.heads(conn, [])

    def test_a_once_key_works_once_per_scope_and_claims_nothing_when_refused(self, lab: Lab) -> None:
        node = lab.node("a")
        node.record(HALL, draft(once="card:1"))
        with node.engine.begin() as conn:
            with refused(AlreadyRecorded) as caught:
                node.ledger.append(conn, HALL, [draft(once="card:2"), draft(once="card:1")])
            node.ledger.append(conn, HALL, [draft(once="card:2")])
        assert caught[0].key == "card:1"
        assert len(node.events()) == 2
        node.record("t/s/b", draft(once="card:1"))

    def test_a_key_twice_in_one_call_is_refused(self, lab: Lab) -> None:
        node = lab.node("a")
        with node.engine.begin() as conn, refused(AlreadyRecorded):
            node.ledger.append(conn, HALL, [draft(once="k"), draft(once="k")])
        assert not node.events()

    def test_a_body_above_the_ceiling_is_refused_before_it_is_recorded(self, lab: Lab) -> None:
        with refused(EventTooLarge):
            draft(text="x" * EVENT_BODY_BYTES_MAX)

    def test_long_batches_are_chained_and_signed_at_milestones(self, lab: Lab) -> None:
        node = lab.node("a")
        node.record(HALL, *(draft(f"note/{n % 7}") for n in range(300)))
        with node.engine.begin() as conn:
            assert not node.ledger.verify(conn)
            (head,) = node.ledger.own_heads(conn).values()
        assert head.seq == 300

    # --- reading -----------------------------------------------------------------------------------------------

    def test_subjects_are_listed_once_and_page_by_page(self, lab: Lab) -> None:
        node = lab.node("a")
        node.record(HALL, *(draft(f"note/{name}") for name in "bacab"), draft("other/z"))
        with node.engine.begin() as conn:
            assert node.ledger.subjects(conn, "note/", None, 2) == ["note/a", "note/b"]
            assert node.ledger.subjects(conn, "note/", "note/b", 2) == ["note/c"]
            assert len(node.ledger.subjects(conn, "", None, 10)) == 4

    def test_many_subjects_are_read_together(self, lab: Lab) -> None:
        node = lab.node("a")
        node.record(HALL, *(draft(f"note/{n:04d}") for n in range(1200)))
        with node.engine.begin() as conn:
            names = node.ledger.subjects(conn, "note/", None, 2000)
            node.ledger.lock_subjects(conn, names[:200])
            found = node.ledger.read_subjects(conn, [*names, Subject("note/none")])
        assert len(found) == 1200
        assert all(len(events) == 1 for events in found.values())

    def test_protected_bodies_are_sealed_where_they_lie(self, lab: Lab) -> None:
        node = lab.node("a", vault=MirrorVault())
        node.record(HALL, draft("person/1", "张三"), draft("note/1", "open"))
        with node.engine.begin() as conn:
            rows = {row.subject: row for row in conn.execute(ledger_events.select())}
            assert not node.ledger.verify(conn)
        assert rows["person/1"].salt is None
        assert draft(text="张三").body not in rows["person/1"].body
        assert rows["note/1"].body == draft(text="open").body
        assert node.events("person/1")[0].body == draft(text="张三").body

    # --- waiting subjects --------------------------------------------------------------------------------------

    def test_pending_subjects_are_taken_oldest_first_and_cleared(self, lab: Lab) -> None:
        node = lab.node("a")
        with node.engine.begin() as conn:
            node.ledger.mark_pending(conn, [Subject("note/b")])
            lab.clock.advance(timedelta(seconds=1))
            node.ledger.mark_pending(conn, [Subject("note/a"), Subject("note/b")])
            assert node.ledger.pending_count(conn) == 2
            assert node.ledger.take_pending(conn, 1) == ["note/b"]
            node.ledger.clear_pending(conn, [Subject("note/b")])
            assert node.ledger.take_pending(conn, 10) == ["note/a"]

    def test_a_quarantined_subject_waits_apart_until_released(self, lab: Lab) -> None:
        node = lab.node("a")
        with node.engine.begin() as conn:
            node.ledger.mark_pending(conn, [NOTE])
            node.ledger.quarantine(conn, NOTE, "handler_crash", "r" * 2000)
            node.ledger.quarantine(conn, NOTE, "schema", "again")
            assert node.ledger.pending_count(conn) == 0
            (apart,) = node.ledger.quarantined(conn)
            assert (apart.category, apart.attempts) == ("schema", 2)
            node.ledger.release(conn, NOTE)
            assert not node.ledger.quarantined(conn)
            assert node.ledger.take_pending(conn, 1) == [NOTE]

    def test_a_subject_folded_after_all_leaves_quarantine(self, lab: Lab) -> None:
        node = lab.node("a")
        with node.engine.begin() as conn:
            node.ledger.quarantine(conn, NOTE, "schema", "…")
            node.ledger.clear_pending(conn, [NOTE])
            assert not node.ledger.quarantined(conn)

    # --- accepting ---------------------------------------------------------------------------------------------

    def test_accepting_twice_stores_once(self, lab: Lab) -> None:
        hub, station = lab.pair()
        events = station.record(HALL, *(draft(f"note/{n}") for n in range(5)))
        piece = packed(station, events[0].stream, 1, 5)
        with hub.engine.begin() as conn:
            peer = peers.get_peer(conn, station.node)
            first, again = hub.ledger.accept(conn, piece, peer), hub.ledger.accept(conn, piece, peer)
            assert (first.stored, first.known, again.stored, again.known) == (5, 0, 0, 5)
            assert hub.ledger.pending_count(conn) == 5
            assert not hub.ledger.verify(conn)
        assert [(e.seq, e.event_id, e.body) for e in hub.events("note/3")] == [
            (events[3].seq, events[3].event_id, events[3].body)
        ]

    def test_overlapping_ranges_store_what_is_new(self, lab: Lab) -> None:
        hub, station = lab.pair()
        stream = station.record(HALL, *(draft() for _ in range(10)))[0].stream
        with hub.engine.begin() as conn:
            peer = peers.get_peer(conn, station.node)
            hub.ledger.accept(conn, packed(station, stream, 1, 6), peer)
            outcome = hub.ledger.accept(conn, packed(station, stream, 4, 10), peer)
            assert (outcome.known, outcome.stored) == (3, 4)
            assert not hub.ledger.verify(conn)

    def test_a_gap_is_held_and_taken_in_once_filled(self, lab: Lab) -> None:
        hub, station = lab.pair()
        stream = station.record(HALL, *(draft() for _ in range(9)))[0].stream
        with hub.engine.begin() as conn:
            peer = peers.get_peer(conn, station.node)
            assert hub.ledger.accept(conn, packed(station, stream, 7, 9), peer).held == 3
            assert hub.ledger.accept(conn, packed(station, stream, 4, 6), peer).held == 3
            assert not hub.ledger.heads(conn, [HALL])
            outcome = hub.ledger.accept(conn, packed(station, stream, 1, 3), peer)
            assert (outcome.stored, outcome.heads[stream].seq) == (9, 9)
            assert not hub.ledger.verify(conn)
            assert hub.replica.held(conn, peer) == []

    def test_held_segments_are_bounded(self, lab: Lab) -> None:
        hub, station = lab.node("hub", limits=Limits(held_bytes_max=600)), lab.node("station")
        lab.enrol(station, hub, [HALL], [HALL])
        stream = station.record(HALL, *(draft(text="x" * 200) for _ in range(9)))[0].stream
        with hub.engine.begin() as conn:
            peer = peers.get_peer(conn, station.node)
            assert hub.ledger.accept(conn, packed(station, stream, 9, 9), peer).held == 1
            assert hub.ledger.accept(conn, packed(station, stream, 7, 8), peer).held == 0

    def test_a_fork_is_refused_and_both_branches_are_kept(self, lab: Lab) -> None:
        hub, station, other = self._forked(lab)
        with hub.engine.begin() as conn:
            peer = peers.get_peer(conn, station.node)
            stream = Stream(station.replica.identity.origin, HALL)
            hub.ledger.accept(conn, packed(station, stream, 1, 3), peer)
            outcome = hub.ledger.accept(conn, packed(other, stream, 1, 3), peer)
            assert [type(refusal) for refusal in outcome.refusals] == [ForkFound]
            assert outcome.refusals[0].data["seq"] == 2
            again = hub.ledger.accept(conn, packed(other, stream, 3, 3), peer)
            assert isinstance(again.refusals[0], ForkFound)
            incident = hub.ledger.incidents(conn)[0]
            assert (incident.code, incident.seq, incident.evidence) == ("fork_found", 2, True)
            assert not hub.ledger.verify(conn)

    def _forked(self, lab: Lab) -> tuple[LabNode, LabNode, LabNode]:
        """A hub, a station, and a copy of the station that went its own way after the first event."""
        hub, station = lab.pair()
        station.record(HALL, draft(text="shared"))
        other = lab.copy(station, "copy")
        station.record(HALL, draft(text="left"), draft())
        other.record(HALL, draft(text="right"), draft())
        return hub, station, other

    def test_other_segments_of_a_bundle_go_on_when_one_is_refused(self, lab: Lab) -> None:
        hub, station = lab.pair()
        with hub.engine.begin() as conn:
            peers.set_scopes(conn, station.node, [HALL], [HALL, Scope("t/s/b")])
            peer = peers.get_peer(conn, station.node)
        bad, good = station.record(HALL, draft("note/bad"))[0], station.record("t/s/b", draft("note/good"))[0]
        with station.engine.begin() as conn:
            made = station.ledger.pack(conn, [Range(bad.stream, 1, 1), Range(good.stream, 1, 1)], PLENTY, "")
        assert made is not None
        piece = bundle.unpack(made.data, station.replica.identity.public_key, Limits())
        forged = bundle.Segment(
            **{name: getattr(piece.segments[0], name) for name in piece.segments[0].__struct_fields__}
            | {"bodies": [b'{"forged": true}']}
        )
        with hub.engine.begin() as conn:
            outcome = hub.ledger.accept(conn, bundle.Bundle(piece.header, (forged, piece.segments[1])), peer)
            assert [type(refusal) for refusal in outcome.refusals] == [BadSignature]
            assert outcome.stored == 1
        assert not hub.events("note/bad")

    def test_lamport_numbers_must_rise_within_a_stream(self, lab: Lab) -> None:
        hub, station = lab.pair()
        swapped = self._wrongly_recorded(station)
        with hub.engine.begin() as conn:
            outcome = hub.ledger.accept(conn, swapped, peers.get_peer(conn, station.node))
            assert isinstance(outcome.refusals[0], MalformedEvent)
            assert outcome.stored == 0

    def test_what_was_recorded_wrongly_is_kept_without_what_was_erased(self, lab: Lab) -> None:
        hub, station = lab.pair()
        swapped = self._wrongly_recorded(station)
        first, second = trace(swapped.segments[0]).names()
        with hub.engine.begin() as conn:
            hub.ledger.erase(conn, [first.hex()])
            hub.ledger.accept(conn, swapped, peers.get_peer(conn, station.node))
            (incident,) = hub.ledger.incidents(conn)
            (kept,) = incidents.evidence_of(conn, incident)
            assert [body is None for body in kept.bodies] == [True, False]
            hub.ledger.erase(conn, [second.hex()])
            (kept,) = incidents.evidence_of(conn, incident)
            assert kept.bodies == [None, None]

    def _wrongly_recorded(self, station: LabNode) -> bundle.Bundle:
        """Two events in the wrong order, and signed like that."""
        stream = station.record(HALL, draft(), draft())[0].stream
        piece = packed(station, stream, 1, 2)
        segment = piece.segments[0]
        swapped = self._signed_again(station.replica.identity, segment, [segment.headers[1], segment.headers[0]])
        return bundle.Bundle(piece.header, (swapped,))

    def _signed_again(self, identity: Identity, segment: bundle.Segment, headers: list[bytes]) -> bundle.Segment:
        """The segment with other headers, signed by its own origin: what a faulty node would send."""
        parts = {name: getattr(segment, name) for name in segment.__struct_fields__} | {"headers": headers}
        chain = trace(bundle.Segment(**parts)).chains[-1]
        signature = identity.sign(position_statement(segment.stream, segment.last, chain))
        return bundle.Segment(**parts | {"signatures": [(segment.last, signature)]})

    def test_late_work_of_a_withdrawn_key_is_kept_for_review(self, lab: Lab) -> None:
        hub, station = lab.pair()
        stream = station.record(HALL, *(draft() for _ in range(5)))[0].stream
        with hub.engine.begin() as conn:
            peers.revoke(conn, station.node, {station.replica.identity.epoch: 3})
            peer = peers.get_peer(conn, station.node)
            assert hub.ledger.accept(conn, packed(station, stream, 1, 3), peer).stored == 3
            late = hub.ledger.accept(conn, packed(station, stream, 4, 5), peer)
            assert isinstance(late.refusals[0], OriginRevoked)
            assert hub.ledger.incidents(conn)[0].evidence
            assert peers.revocations(conn) == 1

    def test_unknown_kinds_are_stored_and_passed_on_byte_for_byte(self, lab: Lab) -> None:
        hub, station = lab.pair()
        other = lab.node("other")
        lab.enrol(other, hub, [HALL], [])
        event = station.record(HALL, draft(kind="未来.kind/9"))[0]
        station.exchange(hub)
        other.exchange(hub)
        (seen,) = other.events()
        assert (seen.kind, seen.event_id, seen.body) == (event.kind, event.event_id, event.body)
        with other.engine.begin() as conn:
            assert not other.ledger.verify(conn)

    # --- erasing -----------------------------------------------------------------------------------------------

    def test_an_erased_body_is_gone_and_the_chain_still_verifies(self, lab: Lab) -> None:
        node = lab.node("a", vault=MirrorVault())
        events = node.record(HALL, draft("person/1", "张三"), draft("note/1", "open"), draft("note/1", "stays"))
        with node.engine.begin() as conn:
            assert node.ledger.erase(conn, [events[0].event_id, events[1].event_id]) == 2
            assert node.ledger.erase(conn, [events[0].event_id]) == 0
            assert not node.ledger.verify(conn)
        assert node.events("person/1")[0].body is None
        assert [event.body for event in node.events()] == [None, events[2].body]

    def test_an_erased_event_travels_without_its_body(self, lab: Lab) -> None:
        hub, station = lab.pair()
        events = station.record(HALL, draft(text="private"), draft(text="public"))
        with station.engine.begin() as conn:
            station.ledger.erase(conn, [events[0].event_id])
        assert station.exchange(hub).verified
        assert [event.body for event in hub.events()] == [None, events[1].body]
        with hub.engine.begin() as conn:
            assert not hub.ledger.verify(conn)

    def test_an_old_bundle_does_not_bring_an_erased_body_back(self, lab: Lab) -> None:
        hub, station = lab.pair()
        events = station.record(HALL, draft(text="private"), draft())
        old = packed(station, events[0].stream, 1, 2)
        with hub.engine.begin() as conn:
            hub.ledger.erase(conn, [events[0].event_id])
            hub.ledger.accept(conn, old, peers.get_peer(conn, station.node))
            assert not hub.ledger.verify(conn)
        assert [event.body for event in hub.events()] == [None, events[1].body]

    def test_erasing_reaches_segments_that_wait_behind_a_gap(self, lab: Lab) -> None:
        hub, station = lab.pair()
        events = station.record(HALL, draft(), draft(text="private"), draft())
        with hub.engine.begin() as conn:
            peer = peers.get_peer(conn, station.node)
            hub.ledger.accept(conn, packed(station, events[0].stream, 2, 3), peer)
            hub.ledger.erase(conn, [events[1].event_id])
            (waiting,) = conn.execute(select(ledger_held.c.segment)).scalars()
            assert decode_segment(waiting).bodies == [None, events[2].body]
        assert station.exchange(hub).verified
        assert [event.body for event in hub.events()] == [events[0].body, None, events[2].body]

    # --- checking ----------------------------------------------------------------------------------------------

    def test_a_changed_row_is_found(self, lab: Lab) -> None:
        node = lab.node("a")
        node.record(HALL, *(draft() for _ in range(4)))
        with node.engine.begin() as conn:
            at = update(ledger_events).where(ledger_events.c.seq == 2)
            conn.execute(at.values(body=b'{"text": "changed"}'))
            assert faults(conn, node) == ["content"]

    def test_a_missing_row_is_found(self, lab: Lab) -> None:
        node = lab.node("a")
        node.record(HALL, *(draft() for _ in range(4)))
        with node.engine.begin() as conn:
            conn.execute(ledger_events.delete().where(ledger_events.c.seq == 3))
            assert faults(conn, node) == ["missing"]

    # --- packing -----------------------------------------------------------------------------------------------

    def test_the_same_range_always_gives_the_same_bytes(self, lab: Lab) -> None:
        station = lab.node("a")
        stream = station.record(HALL, *(draft() for _ in range(20)))[0].stream
        assert packed(station, stream, 3, 17).segments == packed(station, stream, 3, 17).segments

    def test_a_foreign_stream_is_cut_where_its_origin_signed(self, lab: Lab) -> None:
        hub, station = lab.pair()
        stream = station.record(HALL, *(draft() for _ in range(300)))[0].stream
        station.exchange(hub)
        small = Budget(raw_bytes=10, events=5)
        assert packed(hub, stream, 1, 300, small).segments[0].last == 128
        assert packed(station, stream, 1, 300, small).segments[0].last == 1

    def test_one_event_above_the_budget_travels_alone(self, lab: Lab) -> None:
        station = lab.node("a")
        stream = station.record(HALL, draft(text="x" * 5000), draft())[0].stream
        assert packed(station, stream, 1, 2, Budget(raw_bytes=100, events=10)).segments[0].last == 1

    def test_what_a_peer_lacks_is_packed_small_streams_first(self, lab: Lab) -> None:
        node = lab.node("a")
        node.record("t/s/a", *(draft() for _ in range(50)))
        node.record("t/s/b", draft("note/urgent"))
        with node.engine.begin() as conn:
            ranges = behind({}, node.ledger.own_heads(conn))
            made = node.ledger.pack(conn, ranges, Budget(raw_bytes=1, events=1), "")
        assert made is not None
        assert [part.stream.scope for part in made.ranges] == ["t/s/b"]
