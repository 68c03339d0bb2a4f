"""An opinion's life: the fold of its facts into a state.

The fold never refuses. A fact that does not fit the state (recorded twice at two ends, or by somebody who may
not) is kept as a note and changes nothing, so that two nodes with the same facts always show the same thing.
What may be *recorded* is decided by the actions. T1 to T26 are the transitions of the handling rule; each
handler names its own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from service.domain import facts as f
from service.domain.opinions import OPEN, Assignment, Attachment, Card, Entry, Opinion, Reply, Span, State
from service.domain.record import Recorded

# Consequential facts have one writer (the hub); from anywhere else they are notes.
HUB_ONLY = frozenset({
    f.Dispatched, f.ReplyRejected, f.ReplyDelivered, f.Reopened, f.CardFired, f.CardRevoked, f.KeySelected,
    f.ReturnGranted, f.ReturnRefused, f.ExtensionDecided, f.Suspended, f.Resumed, f.Merged, f.Unmerged,
    f.RecordRetried, f.RecordSetAside, f.RecordCorrected,
})  # fmt: skip

_DIGEST = re.compile("[0-9a-f]{64}")

Handler = Callable[[Opinion, Any, Recorded], None]
_HANDLERS: dict[type[f.Fact], tuple[frozenset[State], Handler]] = {}


def _on(kind: type[f.Fact], *states: State) -> Callable[[Handler], Handler]:
    def register(handler: Handler) -> Handler:
        _HANDLERS[kind] = (frozenset(states), handler)
        return handler

    return register


def fold(opinion_id: str, records: Iterable[Recorded]) -> Opinion:
    """The state after these facts. `records` come in ledger order (lamport, origin, seq), each once."""
    opinion = Opinion(id=opinion_id)
    for record in records:
        before = opinion.state
        fits = _apply(opinion, record)
        opinion.timeline.append(Entry(record, before, opinion.state, fits))
    return opinion


def _apply(opinion: Opinion, record: Recorded) -> bool:
    fact = record.fact
    if fact is None:
        opinion.unknown += 0 if record.erased else 1
        return False
    states, handler = _HANDLERS.get(type(fact), (frozenset(), None))
    if handler is None or opinion.state not in states:
        return False
    if type(fact) in HUB_ONLY and not record.from_hub:
        return False
    handler(opinion, fact, record)
    return True


def fits(opinion: Opinion, kind: type[f.Fact]) -> bool:
    """Whether a fact of this kind would move the opinion now."""
    return opinion.state in _HANDLERS[kind][0]


# --- clocks ----------------------------------------------------------------------------------------------------


def _start(opinion: Opinion, kind: str, at: datetime, term: str | None = None, rule: str = "") -> None:
    ordinal = 1 + sum(1 for span in opinion.spans if span.kind == kind)
    opinion.spans.append(Span(kind=kind, ordinal=ordinal, started_at=at, term=term, rule=rule))


def _stop(opinion: Opinion, at: datetime, *kinds: str) -> None:
    for span in opinion.spans:
        if span.stopped_at is None and span.kind in kinds:
            span.stopped_at = at
            span.pauses = [(start, end or at) for start, end in span.pauses]


def _pause(opinion: Opinion, at: datetime, *kinds: str) -> None:
    for span in opinion.spans:
        if span.stopped_at is None and span.kind in kinds:
            span.pauses.append((at, None))


def _resume(opinion: Opinion, at: datetime) -> None:
    for span in opinion.spans:
        if span.stopped_at is None:
            span.pauses = [(start, end or at) for start, end in span.pauses]


_WORK = ("K1", "K2", "K3", "K4", "K5")


def _end(opinion: Opinion, state: State, record: Recorded) -> None:
    _stop(opinion, record.occurred_at, "K0", *_WORK)
    opinion.state = state
    opinion.closed_at = record.occurred_at
    opinion.closed_by = record.author


# --- transitions -----------------------------------------------------------------------------------------------


@_on(f.OpinionRegistered, State.NEW)
def _registered(o: Opinion, fact: f.OpinionRegistered, r: Recorded) -> None:
    """T1"""
    o.registered, o.registered_at, o.received_at = fact, r.occurred_at, r.received_at
    o.registered_by = r.author
    o.state = State.REGISTERED
    _start(o, "K0", r.occurred_at)
    _start(o, "K1", r.occurred_at, rule="screen")


@_on(f.InfoRequested, State.REGISTERED, State.HANDLING)
def _info_requested(o: Opinion, fact: f.InfoRequested, r: Recorded) -> None:
    """T2"""
    o.paused_from, o.questions = o.state, fact.questions
    o.state = State.NEEDS_INFO
    _pause(o, r.occurred_at, "K1", "K2")


@_on(f.InfoSupplied, State.NEEDS_INFO)
def _info_supplied(o: Opinion, fact: f.InfoSupplied, r: Recorded) -> None:
    """T3"""
    o.state, o.paused_from = o.paused_from or State.REGISTERED, None
    _resume(o, r.occurred_at)


@_on(f.Merged, State.REGISTERED)
def _merged(o: Opinion, fact: f.Merged, r: Recorded) -> None:
    """T4"""
    o.master = fact.master
    o.state = State.MERGED
    _pause(o, r.occurred_at, "K1")


@_on(f.Unmerged, State.MERGED)
def _unmerged(o: Opinion, fact: f.Unmerged, r: Recorded) -> None:
    """T5"""
    o.master = None
    o.state = State.REGISTERED
    _resume(o, r.occurred_at)


@_on(f.RoutedDirect, State.REGISTERED)
def _routed_direct(o: Opinion, fact: f.RoutedDirect, r: Recorded) -> None:
    """T6"""
    o.route, o.state = "direct", State.DIRECT
    _stop(o, r.occurred_at, "K1")
    _start(o, "K3", r.occurred_at, rule="direct")


@_on(f.Answered, State.DIRECT)
def _answered(o: Opinion, fact: f.Answered, r: Recorded) -> None:
    """T7"""
    o.replies.append(Reply(text=fact.text, outcome=fact.outcome, submitted_at=r.occurred_at, by=r.author,
                           delivered_at=r.occurred_at, way=fact.way))  # fmt: skip
    _replied(o, fact.outcome, r)
    _stop(o, r.occurred_at, "K3")


def _replied(o: Opinion, outcome: str, r: Recorded) -> None:
    o.outcome, o.delivered_at, o.state = outcome, r.occurred_at, State.REPLIED
    _start(o, "K4", r.occurred_at, rule="follow_up")


@_on(f.Dispatched, State.REGISTERED, State.REOPENED, State.RETURN_PENDING)
def _dispatched(o: Opinion, fact: f.Dispatched, r: Recorded) -> None:
    """T8, T9, T13, T24: the unit's clock starts here, not at sign-off."""
    _stop(o, r.occurred_at, "K1", "K2", "K5")
    o.route, o.state = fact.route, State.DISPATCHED
    o.important, o.widespread = o.important or fact.important, o.widespread or fact.widespread
    o.assignments.append(Assignment(
        ordinal=len(o.assignments) + 1, route=fact.route, dispatch_no=fact.dispatch_no, unit=fact.unit,
        co_units=fact.co_units, requirement=fact.requirement, duty_basis=fact.duty_basis, term=fact.term,
        dispatched_at=r.occurred_at, by=r.author, hard=fact.hard, adopted_by=fact.adopted_by,
        letter_no=fact.letter_no,
    ))  # fmt: skip
    _start(o, "K5" if fact.route == "transfer" else "K2", r.occurred_at, term=fact.term)


@_on(f.Explained, State.REGISTERED)
def _explained(o: Opinion, fact: f.Explained, r: Recorded) -> None:
    """T10"""
    o.route, o.explained, o.outcome = "explain", fact, "D"
    o.delivered_at = r.occurred_at
    _end(o, State.EXPLAINED, r)


@_on(f.Signed, State.DISPATCHED)
def _signed(o: Opinion, fact: f.Signed, r: Recorded) -> None:
    """T11"""
    if o.assignment is not None:
        o.assignment.signed_at, o.assignment.deemed_signed = r.occurred_at, fact.deemed
    o.state = State.HANDLING


@_on(f.ReturnRequested, State.DISPATCHED, State.HANDLING)
def _return_requested(o: Opinion, fact: f.ReturnRequested, r: Recorded) -> None:
    """T12: the clock keeps running while the return is judged."""
    o.state = State.RETURN_PENDING


@_on(f.ReturnGranted, State.RETURN_PENDING)
def _return_granted(o: Opinion, fact: f.ReturnGranted, r: Recorded) -> None:
    """T13: the next dispatch moves it on."""


@_on(f.ReturnRefused, State.RETURN_PENDING)
def _return_refused(o: Opinion, fact: f.ReturnRefused, r: Recorded) -> None:
    """T14"""
    o.state = State.HANDLING


@_on(f.Progressed, State.HANDLING)
def _progressed(o: Opinion, fact: f.Progressed, r: Recorded) -> None:
    """T15: seen in the timeline."""


@_on(f.ExtensionRequested, State.HANDLING)
def _extension_requested(o: Opinion, fact: f.ExtensionRequested, r: Recorded) -> None:
    """T16: seen in the timeline."""


@_on(f.ExtensionDecided, State.HANDLING)
def _extension_decided(o: Opinion, fact: f.ExtensionDecided, r: Recorded) -> None:
    """T16"""
    span = o.active()
    if fact.granted and span is not None:
        span.extensions.append(fact.term)


@_on(f.SuspensionRequested, State.HANDLING)
def _suspension_requested(o: Opinion, fact: f.SuspensionRequested, r: Recorded) -> None:
    """T17: seen in the timeline."""


@_on(f.Suspended, State.HANDLING)
def _suspended(o: Opinion, fact: f.Suspended, r: Recorded) -> None:
    """T17"""
    o.state = State.SUSPENDED
    _pause(o, r.occurred_at, "K2")
    for span in o.running():
        span.resume_at_least = span.kind == "K2"


@_on(f.Resumed, State.SUSPENDED)
def _resumed(o: Opinion, fact: f.Resumed, r: Recorded) -> None:
    """T18"""
    o.state = State.HANDLING
    _resume(o, r.occurred_at)


@_on(f.ReplySubmitted, State.HANDLING)
def _reply_submitted(o: Opinion, fact: f.ReplySubmitted, r: Recorded) -> None:
    """T19: the unit's clock stops at submission."""
    o.replies.append(Reply(
        text=fact.text, outcome=fact.outcome, submitted_at=r.occurred_at, by=r.author, evidence=fact.evidence,
        plan=fact.plan, promised_on=fact.promised_on, policy_basis=fact.policy_basis,
    ))  # fmt: skip
    if o.assignment is not None:
        o.assignment.replied_at = r.occurred_at
    _stop(o, r.occurred_at, "K2", "K5")
    o.state = State.REPLY_REVIEW


@_on(f.ReplyRejected, State.REPLY_REVIEW)
def _reply_rejected(o: Opinion, fact: f.ReplyRejected, r: Recorded) -> None:
    """T20: the clock goes on as if it had not stopped; a defective reply buys no time."""
    if o.reply is not None:
        o.reply.defects = fact.defects
    if o.assignment is not None:
        o.assignment.replied_at = None
    last = next(span for span in reversed(o.spans) if span.kind in ("K2", "K5"))
    last.stopped_at = None
    o.state = State.HANDLING


@_on(f.ReplyDelivered, State.REPLY_REVIEW)
def _reply_delivered(o: Opinion, fact: f.ReplyDelivered, r: Recorded) -> None:
    """T21"""
    reply = o.reply
    if reply is not None:
        reply.delivered_at, reply.way, reply.reply_no = r.occurred_at, fact.way, fact.reply_no
        _replied(o, reply.outcome, r)


@_on(f.FollowedUp, State.REPLIED)
def _followed_up(o: Opinion, fact: f.FollowedUp, r: Recorded) -> None:
    """T22, one attempt"""
    o.follow_ups.append((r.occurred_at, fact))


@_on(f.Rated, State.REPLIED, State.CLOSED, State.EXPLAINED)
def _rated(o: Opinion, fact: f.Rated, r: Recorded) -> None:
    o.ratings.append((r.occurred_at, fact))


@_on(f.ReopenRequested, State.REPLIED, State.CLOSED, State.EXPLAINED)
def _reopen_requested(o: Opinion, fact: f.ReopenRequested, r: Recorded) -> None:
    """T23, asked for"""
    o.reopen_asked = fact


@_on(f.Reopened, State.REPLIED, State.CLOSED, State.EXPLAINED)
def _reopened(o: Opinion, fact: f.Reopened, r: Recorded) -> None:
    """T23: a new clock opens, the old result stays."""
    _stop(o, r.occurred_at, "K4")
    if o.state is not State.REPLIED:
        _start(o, "K0", r.occurred_at)
    o.reopened += 1
    o.reopen_reason = (o.reopen_asked.reason if o.reopen_asked else "") or fact.reason
    o.reopen_asked, o.closed_at, o.closed_by, o.outcome, o.solved_on = None, None, None, "", None
    o.state = State.REOPENED
    _start(o, "K1", r.occurred_at, rule="redispatch")


@_on(f.Closed, State.REPLIED)
def _closed(o: Opinion, fact: f.Closed, r: Recorded) -> None:
    """T22"""
    _end(o, State.CLOSED, r)
    if o.outcome == "A":
        o.solved_on = r.occurred_at.date()


@_on(f.Withdrawn, *OPEN)
def _withdrawn(o: Opinion, fact: f.Withdrawn, r: Recorded) -> None:
    """T25"""
    _end(o, State.WITHDRAWN, r)


@_on(f.Voided, State.REGISTERED)
def _voided(o: Opinion, fact: f.Voided, r: Recorded) -> None:
    _end(o, State.VOID, r)


@_on(f.SolvedLater, State.CLOSED)
def _solved_later(o: Opinion, fact: f.SolvedLater, r: Recorded) -> None:
    """T26"""
    o.outcome, o.solved_on = "A", fact.solved_on


@_on(f.CardFired, *(frozenset(State) - {State.NEW}))
def _card_fired(o: Opinion, fact: f.CardFired, r: Recorded) -> None:
    o.cards.append(Card(
        clock=fact.clock, level=fact.level, mark=fact.mark, fired_at=r.occurred_at, reason=fact.reason,
        doc_no=fact.doc_no, addressees=fact.addressees, feedback_due=fact.feedback_due,
        overdue_days=fact.overdue_days,
    ))  # fmt: skip


def _cards_of(o: Opinion, clock: str, level: int) -> list[Card]:
    return [card for card in o.cards if card.clock == clock and card.level == level]


@_on(f.CardAnswered, *(frozenset(State) - {State.NEW}))
def _card_answered(o: Opinion, fact: f.CardAnswered, r: Recorded) -> None:
    for card in _cards_of(o, fact.clock, fact.level):
        card.feedback, card.feedback_at = fact.text, r.occurred_at


@_on(f.CardRevoked, *(frozenset(State) - {State.NEW}))
def _card_revoked(o: Opinion, fact: f.CardRevoked, r: Recorded) -> None:
    for card in _cards_of(o, fact.clock, fact.level):
        card.revoked = fact.reason


@_on(f.KeySelected, *OPEN)
def _key_selected(o: Opinion, fact: f.KeySelected, r: Recorded) -> None:
    o.key_item = fact.reason


@_on(f.RecordRetried, *State)
def _record_retried(o: Opinion, fact: f.RecordRetried, r: Recorded) -> None:
    """Seen in the timeline."""


@_on(f.RecordSetAside, *State)
def _record_set_aside(o: Opinion, fact: f.RecordSetAside, r: Recorded) -> None:
    """Seen in the timeline: the event it names was left out before the fold began."""


@_on(f.RecordCorrected, *State)
def _record_corrected(o: Opinion, fact: f.RecordCorrected, r: Recorded) -> None:
    """Seen in the timeline: the event it names was read with other words before the fold began."""


@_on(f.Attached, *(frozenset(State) - {State.NEW}))
def _attached(o: Opinion, fact: f.Attached, r: Recorded) -> None:
    """In any state: a picture taken before the case was closed elsewhere still belongs to it. The same one once; what
    names no content stands in the timeline only."""
    if not _DIGEST.fullmatch(fact.digest) or any(known.digest == fact.digest for known in o.attachments):
        return
    o.attachments.append(Attachment(
        digest=fact.digest, size=fact.size, media_type=fact.media_type, name=fact.name, caption=fact.caption,
        attached_at=r.occurred_at, by=r.author,
    ))  # fmt: skip
