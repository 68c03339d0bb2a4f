"""An opinion's life, from its facts."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import permutations

from hypothesis import given, settings
from hypothesis import strategies as st

from service.domain import facts as f
from service.domain.opinion_fold import fold
from service.domain.opinions import Opinion, State
from service.domain.record import Author, Recorded

START = datetime(2026, 9, 14, 1, 0, tzinfo=UTC)
CLERK = Author(role="clerk", account="c1", name="李办事员(虚构)")


def record(fact: f.Fact | None, day: int = 0, *, hub: bool = True, kind: str = "") -> Recorded:
    at = START + timedelta(days=day)
    return Recorded(event_id=f"{day:032d}", kind=kind or (fact.KIND if fact else "opinion.later"), fact=fact,
                    occurred_at=at, received_at=at, author=CLERK, from_hub=hub)  # fmt: skip


def registered() -> f.OpinionRegistered:
    return f.OpinionRegistered(reg_no="QD-2026-0001", tracking="0" * 64, station="qd", source="reception",
                               title="排水沟堵塞", body="门口的水沟堵了三天。", area="445222113201")  # fmt: skip


def dispatched(route: str = "assign", term: str = "5wd") -> f.Dispatched:
    return f.Dispatched(route=route, dispatch_no="JB-2026-0001", unit="water", requirement="疏通",
                        duty_basis="职责清单", term=term)  # fmt: skip


def story(*facts: f.Fact) -> Opinion:
    return fold("o1", [record(fact, day) for day, fact in enumerate(facts)])


REPLY = f.ReplySubmitted(text="已疏通", outcome="A", evidence="照片")
DELIVERED = f.ReplyDelivered(way="phone", proof="通话记录")
REACHED = f.FollowedUp(way="phone", reached=True, solved=True)
MAIN_LINE = (
    registered(), dispatched(), f.Signed(), REPLY, DELIVERED, REACHED, f.Rated(overall="satisfied"), f.Closed(),
)  # fmt: skip


def test_the_main_line_ends_closed_and_solved_with_every_clock_stopped() -> None:
    opinion = story(*MAIN_LINE)
    assert opinion.state is State.CLOSED
    assert (opinion.outcome, opinion.route) == ("A", "assign")
    assert opinion.running() == []
    assert [span.kind for span in opinion.spans] == ["K0", "K1", "K2", "K4"]
    assert all(entry.fits for entry in opinion.timeline)


def test_the_units_clock_starts_at_dispatch_not_at_sign_off() -> None:
    opinion = story(registered(), dispatched(), f.Signed())
    assert opinion.span("o1:K2:1").started_at == START + timedelta(days=1)  # type: ignore[union-attr]


def test_a_fact_that_does_not_fit_is_kept_as_a_note_and_changes_nothing() -> None:
    opinion = story(registered(), f.Closed())
    assert opinion.state is State.REGISTERED
    assert [entry.fits for entry in opinion.timeline] == [True, False]


def test_a_dispatch_recorded_by_a_station_has_no_effect() -> None:
    opinion = fold("o1", [record(registered(), 0, hub=False), record(dispatched(), 1, hub=False)])
    assert opinion.state is State.REGISTERED
    assert opinion.assignments == []


def test_a_rejected_reply_buys_the_unit_no_time() -> None:
    opinion = story(registered(), dispatched(), f.Signed(), REPLY, f.ReplyRejected(defects="无照片"))
    span = opinion.span("o1:K2:1")
    assert opinion.state is State.HANDLING
    assert span is not None
    assert (span.stopped_at, span.pauses) == (None, [])


def test_reopening_opens_a_new_clock_and_keeps_the_old_result() -> None:
    opinion = story(*MAIN_LINE, f.Reopened(reason="又堵了"), dispatched())
    assert opinion.state is State.DISPATCHED
    assert [span.ordinal for span in opinion.spans if span.kind == "K2"] == [1, 2]
    assert [span.ordinal for span in opinion.spans if span.kind == "K0"] == [1, 2]
    assert opinion.replies[0].outcome == "A"


def test_a_transfer_runs_the_statutory_clock() -> None:
    opinion = story(registered(), dispatched("transfer", "3mo"))
    assert [span.kind for span in opinion.running()] == ["K0", "K5"]


def test_waiting_for_information_pauses_the_screening_clock_only() -> None:
    opinion = story(registered(), f.InfoRequested(questions=("哪一段?",)), f.InfoSupplied(answer="学校旁"))
    k0, k1 = opinion.spans
    assert opinion.state is State.REGISTERED
    assert k0.pauses == []
    assert k1.pauses == [(START + timedelta(days=1), START + timedelta(days=2))]


def test_a_fact_of_a_newer_version_is_counted_and_does_not_stop_the_fold() -> None:
    opinion = fold("o1", [record(registered()), record(None, 1), record(dispatched(), 2)])
    assert opinion.unknown == 1
    assert opinion.state is State.DISPATCHED


def test_two_failed_attempts_count_once_per_day() -> None:
    missed = f.FollowedUp(way="phone", reached=False)
    opinion = fold("o1", [record(fact, day) for day, fact in enumerate(MAIN_LINE[:5])]
                   + [record(missed, 6), record(missed, 6), record(missed, 7)])  # fmt: skip
    assert opinion.failed_attempt_days() == 2


def test_a_later_solution_turns_outcome_b_into_a() -> None:
    reply = f.ReplySubmitted(text="已立项", outcome="B", plan="年内", promised_on=date(2026, 12, 1))
    opinion = story(registered(), dispatched(), f.Signed(), reply, DELIVERED, REACHED, f.Closed(),
                    f.SolvedLater(proof="验收单", solved_on=date(2026, 11, 1)))  # fmt: skip
    assert (opinion.outcome, opinion.solved_on) == ("A", date(2026, 11, 1))


def test_cards_are_kept_after_closing_and_after_being_revoked() -> None:
    card = f.CardFired(clock="o1:K2:1", level=2, reason="no_feedback", doc_no="DB-2026-0001")
    opinion = story(registered(), dispatched(), card, f.CardRevoked(clock="o1:K2:1", level=2, reason="系统误发"))
    assert [(c.level, c.revoked) for c in opinion.cards] == [(2, "系统误发")]


FACTS = [*MAIN_LINE, f.Reopened(reason="x"), f.ReplyRejected(defects="y"), f.Withdrawn(proof="z"),
         f.InfoRequested(questions=()), f.InfoSupplied(answer=""), f.Merged(master="m", reason=""),
         f.Unmerged(reason=""), f.Suspended(reason="H1", review_on=date(2026, 12, 1)), f.Resumed(note=""),
         f.ReturnRequested(reason="R1", duty_basis=""), f.ReturnRefused(ruling=""), f.Voided(reason="")]  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(range(len(FACTS))), max_size=30), st.booleans())
def test_any_sequence_of_facts_folds_and_leaves_the_clocks_consistent(picks: list[int], hub: bool) -> None:
    opinion = fold("o1", [record(FACTS[pick], day, hub=hub) for day, pick in enumerate(picks)])
    assert len(opinion.timeline) == len(picks)
    assert sum(span.kind != "K0" for span in opinion.running()) <= 1
    if opinion.state in (State.CLOSED, State.EXPLAINED, State.WITHDRAWN, State.VOID):
        assert opinion.running() == []
    assert all(span.stopped_at is None or span.stopped_at >= span.started_at for span in opinion.spans)


def test_the_order_in_which_notes_arrive_does_not_matter_for_the_state() -> None:
    strays = [record(f.Closed(), 1), record(f.Signed(), 2), record(DELIVERED, 3)]
    states = {fold("o1", [record(registered()), *order]).state for order in permutations(strays)}
    assert states == {State.REGISTERED}
