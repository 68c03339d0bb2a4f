"""办理 (T11, T15, T19 to T21): the unit signs, reports and answers; the hub reviews and delivers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from service.actions.routing import OUTCOMES, WAYS, NotTheHub, chosen, load, needed, record
from service.domain import facts as f
from service.domain.people import Step
from service.domain.refusals import Invalid
from service.store.unit import Unit


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyForm:
    """答复: A asks for proof, B and C for a plan and a date, D for the policy it rests on."""

    text: str
    outcome: str
    evidence: str = ""
    plan: str = ""
    promised_on: date | None = None
    policy_basis: str = ""


def sign(unit: Unit, opinion_id: str) -> None:
    """签收 (T11). The unit's term has been running since dispatch; signing does not move it."""
    opinion = load(unit, opinion_id, Step.SIGN, f.Signed)
    record(unit, opinion, f.Signed())


def report_progress(unit: Unit, opinion_id: str, text: str) -> None:
    """阶段反馈 (T15). Also counts as feedback to cards that are still waiting for it."""
    opinion = load(unit, opinion_id, Step.REPORT_PROGRESS, f.Progressed)
    words = needed("text", text)
    record(unit, opinion, f.Progressed(text=words))
    for card in opinion.cards:
        if card.level >= 1 and card.feedback_at is None and not card.revoked:
            record(unit, opinion, f.CardAnswered(clock=card.clock, level=card.level, text=words))


def submit_reply(unit: Unit, opinion_id: str, form: ReplyForm) -> None:
    """提交答复 (T19), by the unit's head."""
    opinion = load(unit, opinion_id, Step.SUBMIT_REPLY, f.ReplySubmitted)
    _check_reply(form)
    fact = f.ReplySubmitted(
        text=needed("text", form.text), outcome=form.outcome, evidence=form.evidence.strip(),
        plan=form.plan.strip(), promised_on=form.promised_on, policy_basis=form.policy_basis.strip(),
    )  # fmt: skip
    record(unit, opinion, fact)


def _check_reply(form: ReplyForm) -> None:
    chosen("outcome", form.outcome, OUTCOMES)
    if form.outcome == "A":
        needed("evidence", form.evidence)
    if form.outcome in "BC":
        needed("plan", form.plan)
        if form.promised_on is None:
            raise Invalid("promised_on")
    if form.outcome == "D":
        needed("policy_basis", form.policy_basis)


def reject_reply(unit: Unit, opinion_id: str, defects: str) -> None:
    """退回修改 (T20): the unit's clock goes on as if it had never stopped."""
    if not unit.is_hub:
        raise NotTheHub
    opinion = load(unit, opinion_id, Step.REVIEW_REPLY, f.ReplyRejected)
    record(unit, opinion, f.ReplyRejected(defects=needed("defects", defects)))


def deliver_reply(unit: Unit, opinion_id: str, *, way: str, proof: str) -> str:
    """审核通过并送达 (T21). Gives the number of the reply letter."""
    if not unit.is_hub:
        raise NotTheHub
    opinion = load(unit, opinion_id, Step.REVIEW_REPLY, f.ReplyDelivered)
    fact = f.ReplyDelivered(way=chosen("way", way, WAYS), proof=needed("proof", proof),
                            reply_no=unit.next_number(f"DF-{unit.today.year}"))  # fmt: skip
    record(unit, opinion, fact)
    return fact.reply_no
