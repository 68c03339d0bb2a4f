"""分流与交办 (T6 to T10, T24): decide which way an opinion goes, and send it there.

Only the hub dispatches. A station's chief may answer directly or explain; a deputy may answer by word of mouth but
neither dispatches nor decides (they suggest, they do not handle).
"""

from __future__ import annotations

from dataclasses import dataclass

from service.domain import facts as f
from service.domain.opinion_fold import fits
from service.domain.opinions import Opinion, State
from service.domain.people import Role, Step
from service.domain.policy import Policy
from service.domain.refusals import Invalid, NotAllowed, Refused, WrongState
from service.domain.working_days import Term
from service.store.unit import Unit

OUTCOMES = ("A", "B", "C", "D")
WAYS = ("face", "phone", "letter", "sms")
CHAIR_ONLY_REASONS = frozenset({"N3", "N10"})  # accusations and secrets are explained by the chair alone


class NotTheHub(Refused):
    """Dispatch happens at the hub only: one writer for every consequential fact."""

    def __init__(self) -> None:
        super().__init__("hub_only")


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispatch:
    """The dispatch form. For a transfer: an adopting deputy or the presidium's letter, and why it goes that way."""

    unit: str
    requirement: str
    duty_basis: str
    co_units: tuple[str, ...] = ()
    is_complex: bool = False
    important: bool = False
    widespread: bool = False
    hard: bool = False
    adopted_by: str = ""
    letter_no: str = ""


def load(unit: Unit, opinion_id: str, step: Step, kind: type[f.Fact]) -> Opinion:
    """The opinion, if this actor may take this step on it now. Raises NotAllowed, NotFound, WrongState."""
    unit.actor.require(step)
    opinion = unit.opinion(opinion_id)
    within_reach(unit, opinion)
    if not fits(opinion, kind):
        raise WrongState(step.value, opinion.state.value)
    return opinion


def within_reach(unit: Unit, opinion: Opinion) -> None:
    """A station's people act on their station's cases, a unit's people on what was dispatched to them."""
    actor, reg, assignment = unit.actor, opinion.registered, opinion.assignment
    if actor.station is not None and (reg is None or reg.station != actor.station):
        raise NotAllowed("other_station", actor.role.value)
    if actor.of_unit and (assignment is None or assignment.unit != actor.unit):
        raise NotAllowed("other_unit", actor.role.value)


def record(unit: Unit, opinion: Opinion, fact: f.Fact, once: str | None = None) -> None:
    """Append a fact of the opinion, in the scope of the station that registered it."""
    assert opinion.registered is not None
    unit.record(f"opinion/{opinion.id}", fact, scope=unit.station_scope(opinion.registered.station), once=once)


def route_direct(unit: Unit, opinion_id: str, basis: str) -> None:
    """直接答复: what is known can be answered here (T6)."""
    opinion = load(unit, opinion_id, Step.ROUTE_DIRECT, f.RoutedDirect)
    record(unit, opinion, f.RoutedDirect(basis=needed("basis", basis)))


def answer(unit: Unit, opinion_id: str, *, text: str, outcome: str, way: str) -> None:
    """答复 (T7). From 已登记 it routes and answers in one go: on the spot."""
    unit.actor.require(Step.ANSWER)
    opinion = unit.opinion(opinion_id)
    within_reach(unit, opinion)
    fact = f.Answered(text=needed("text", text), outcome=chosen("outcome", outcome, OUTCOMES),
                      way=chosen("way", way, WAYS))  # fmt: skip
    if opinion.state is State.REGISTERED and unit.actor.may(Step.ROUTE_DIRECT):
        record(unit, opinion, f.RoutedDirect(basis=text[:200]))
    elif opinion.state is not State.DIRECT:
        raise WrongState(Step.ANSWER.value, opinion.state.value)
    record(unit, opinion, fact)


def explain(
    unit: Unit, opinion_id: str, *, reason: str, channel: str, talk: str, confirmed: bool, attempts: int
) -> None:
    """解释说明 (T10): the reason and the right channel were told, and the reporter confirmed or two tries failed."""
    opinion = load(unit, opinion_id, Step.EXPLAIN, f.Explained)
    known = unit.town.reasons.get(reason)
    if known is None or known.kind != "not_passed_on":
        raise Invalid("reason", "required" if not reason else "unknown_choice")
    if reason in CHAIR_ONLY_REASONS and unit.actor.role is not Role.CHAIR:
        raise Invalid("reason", "chair_only")
    if not confirmed and attempts < 2:
        raise Invalid("attempts", "two_attempts")
    fact = f.Explained(reason=reason, channel=needed("channel", channel), record=needed("talk", talk),
                       confirmed=confirmed, attempts=attempts)  # fmt: skip
    record(unit, opinion, fact)


def dispatch(unit: Unit, opinion_id: str, form: Dispatch) -> str:
    """交办 (T8) or 二次交办 (T24): to a unit within its duties. Gives the number of the 交办单."""
    opinion = _dispatchable(unit, opinion_id, Step.DISPATCH)
    return _send(unit, opinion, form, "assign", str(assign_term(unit.policy, opinion, is_complex=form.is_complex)))


def transfer(unit: Unit, opinion_id: str, form: Dispatch) -> str:
    """依法转交 (T9): important or widespread matters, by the chair, to answer within the statutory months."""
    opinion = _dispatchable(unit, opinion_id, Step.TRANSFER)
    if not (form.important or form.widespread):
        raise Invalid("important", "important_or_widespread")
    if not form.adopted_by and not form.letter_no.strip():
        raise Invalid("letter_no", "deputy_or_letter")
    if form.adopted_by and form.adopted_by not in unit.town.deputies:
        raise Invalid("adopted_by", "unknown_choice")
    return _send(unit, opinion, form, "transfer", str(transfer_term(unit.policy, opinion, form)))


def assign_term(policy: Policy, opinion: Opinion, *, is_complex: bool) -> Term:
    """Working days the unit has: by urgency and complexity, or the term of a second dispatch (T23)."""
    assert opinion.registered is not None
    if opinion.reopened:
        return policy.terms.reopened_assign
    return policy.handling_term(opinion.registered.urgency, is_complex=is_complex)


def transfer_term(policy: Policy, opinion: Opinion, form: Dispatch) -> Term:
    """Statutory months once a deputy adopts it as a suggestion; one month for a plain transfer."""
    if opinion.reopened:
        return policy.terms.reopened_transfer
    return policy.transfer_term(hard=form.hard, adopted=bool(form.adopted_by))


def _dispatchable(unit: Unit, opinion_id: str, step: Step) -> Opinion:
    if not unit.is_hub:
        raise NotTheHub
    opinion = load(unit, opinion_id, step, f.Dispatched)
    assert opinion.registered is not None
    if opinion.registered.sensitive:
        raise Refused("locked_category")
    if opinion.reopened > 1 and unit.actor.role is not Role.CHAIR:
        raise NotAllowed("second_redispatch", unit.actor.role.value)
    return opinion


def _send(unit: Unit, opinion: Opinion, form: Dispatch, route: str, term: str) -> str:
    receiver = unit.town.units.get(form.unit)
    if receiver is None or not receiver.active:
        raise Invalid("unit", "required" if not form.unit else "unknown_choice")
    number = unit.next_number(f"JB-{unit.today.year}")
    fact = f.Dispatched(
        route=route, dispatch_no=number, unit=form.unit, requirement=needed("requirement", form.requirement),
        duty_basis=needed("duty_basis", form.duty_basis), term=term,
        co_units=tuple(code for code in form.co_units if code in unit.town.units and code != form.unit),
        important=form.important, widespread=form.widespread, hard=form.hard,
        adopted_by=form.adopted_by or None, letter_no=form.letter_no.strip(),
        ordinal=len(opinion.assignments) + 1,
    )  # fmt: skip
    record(unit, opinion, fact)
    return number


def needed(name: str, text: str, limit: int = 5000) -> str:
    """The text without outer blanks; raises Invalid when empty or too long."""
    stripped = text.strip()
    if not stripped:
        raise Invalid(name)
    if len(stripped) > limit:
        raise Invalid(name, "too_long", limit=limit)
    return stripped


def chosen(name: str, value: str, allowed: tuple[str, ...]) -> str:
    """The value if it is one of `allowed`; raises Invalid."""
    if value not in allowed:
        raise Invalid(name, "required" if not value else "unknown_choice")
    return value
