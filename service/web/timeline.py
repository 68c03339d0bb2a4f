"""办理过程: what happened to an opinion, one line per fact, in words.

Both clocks are shown where they differ: when it happened where it was done, and when this node heard of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from flask_babel import gettext as _

from service.domain import facts as f
from service.domain.opinions import Entry, Opinion
from service.domain.town import Town
from service.web.presenting import level_name, short_day
from service.web.words import term, word

HEARD_LATER = timedelta(minutes=5)  # below this, both clocks say the same to a reader

Details = list[tuple[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelineLine:
    """`received_at` only when it differs from `at`; `fits` False for what was kept as a note."""

    at: datetime
    title: str
    by: str
    details: Details
    fits: bool
    received_at: datetime | None = None


def lines(opinion: Opinion, town: Town) -> list[TimelineLine]:
    """Oldest first, as the ledger orders them."""
    return [_line(entry, town) for entry in opinion.timeline]


def _line(entry: Entry, town: Town) -> TimelineLine:
    record = entry.record
    late = abs(record.received_at - record.occurred_at) > HEARD_LATER
    return TimelineLine(
        at=record.occurred_at, title=_title(entry, town), by=_by(entry), details=_details(entry, town),
        fits=entry.fits, received_at=record.received_at if late else None,
    )  # fmt: skip


def _title(entry: Entry, town: Town) -> str:
    fact = entry.record.fact
    if isinstance(fact, f.CardFired):
        return _("督办: %(level)s", level=level_name(fact.level))
    if isinstance(fact, f.Dispatched):
        return _("%(route)s: %(unit)s", route=word(fact.route, "route"), unit=town.unit_name(fact.unit))
    if isinstance(fact, f.Signed) and fact.deemed:
        return _("视为签收")
    return word(entry.record.kind, "fact")


def _by(entry: Entry) -> str:
    author = entry.record.author
    if author.role == "system":
        return _("系统")
    return f"{author.name} {word(author.role, 'role')}" if author.role else author.name


def _details(entry: Entry, town: Town) -> Details:
    fact = entry.record.fact
    if fact is None:
        return [("", _("内容已清除") if entry.record.erased else _("由新版本软件记录,本机升级后可见"))]
    tell = _TELL.get(type(fact))
    return [(name, text) for name, text in tell(fact, town) if text] if tell else []


def _join(codes: Sequence[str], name: Callable[[str], str]) -> str:
    return "、".join(name(code) for code in codes)


def _dispatched(fact: f.Dispatched, town: Town) -> Details:
    deputy = town.deputies.get(fact.adopted_by or "")
    return [
        (_("交办号"), fact.dispatch_no),
        (_("办理期限"), term(fact.term)),
        (_("办理要求"), fact.requirement),
        (_("职责依据"), fact.duty_basis),
        (_("会办单位"), _join(fact.co_units, town.unit_name)),
        (_("采纳为建议的代表"), deputy.name if deputy else ""),
        (_("主席团转交函号"), fact.letter_no),
    ]


def _explained(fact: f.Explained, town: Town) -> Details:
    reason = town.reasons.get(fact.reason)
    return [
        (_("不宜转交原因"), reason.name if reason else fact.reason),
        (_("告知渠道"), fact.channel),
        (_("谈话记录"), fact.record),
        ("", _("来访群众已确认") if fact.confirmed else _("联系 %(n)s 次", n=fact.attempts)),
    ]


def _reply(fact: f.ReplySubmitted, town: Town) -> Details:
    return [
        (_("结果"), word(fact.outcome, "outcome")),
        (_("答复内容"), fact.text),
        (_("佐证材料"), fact.evidence),
        (_("计划"), fact.plan),
        (_("计划完成日期"), short_day(fact.promised_on)),
        (_("政策依据"), fact.policy_basis),
    ]


def _followed_up(fact: f.FollowedUp, town: Town) -> Details:
    solved = {True: _("已解决"), False: _("未解决"), None: ""}[fact.solved]
    return [
        (_("方式"), word(fact.way, "way")),
        ("", _("已联系上") if fact.reached else _("未联系上")),
        (_("是否解决"), solved),
        ("", fact.note),
    ]


def _addressee(to: str, town: Town) -> str:
    """`handler:water` → 水利所 经办; a role alone is the hub's."""
    role, _sep, place = to.partition(":")
    where = town.units[place].name if place in town.units else town.station_name(place) if place else ""
    return f"{where} {word(role, 'role')}".strip()


def _card(fact: f.CardFired, town: Town) -> Details:
    return [
        (_("督办号"), fact.doc_no),
        (_("原因"), word(fact.reason, "card_reason") if fact.reason else ""),
        ("", _("逾期 %(n)s 个工作日", n=fact.overdue_days) if fact.overdue_days else ""),
        (_("送达"), _join(fact.addressees, lambda to: _addressee(to, town))),
        (_("反馈期限"), short_day(fact.feedback_due)),
    ]


_TELL: dict[type[f.Fact], Callable[[Any, Town], Details]] = {
    f.OpinionRegistered: lambda fact, town: [
        (_("登记号"), fact.reg_no), (_("登记站"), town.station_name(fact.station)),
    ],
    f.InfoRequested: lambda fact, town: [("", "\n".join(fact.questions))],
    f.InfoSupplied: lambda fact, town: [("", fact.answer)],
    f.Merged: lambda fact, town: [("", fact.reason)],
    f.Unmerged: lambda fact, town: [("", fact.reason)],
    f.RoutedDirect: lambda fact, town: [(_("依据"), fact.basis)],
    f.Answered: lambda fact, town: [
        (_("结果"), word(fact.outcome, "outcome")), (_("方式"), word(fact.way, "way")), (_("答复内容"), fact.text),
    ],
    f.Dispatched: _dispatched,
    f.Explained: _explained,
    f.ReturnRequested: lambda fact, town: [
        (_("原因"), town.reasons[fact.reason].name if fact.reason in town.reasons else fact.reason),
        (_("职责依据"), fact.duty_basis),
        (_("建议承办单位"), town.unit_name(fact.suggested_unit) if fact.suggested_unit else ""),
    ],
    f.ReturnGranted: lambda fact, town: [("", fact.ruling)],
    f.ReturnRefused: lambda fact, town: [("", fact.ruling)],
    f.Progressed: lambda fact, town: [("", fact.text)],
    f.ExtensionRequested: lambda fact, town: [("", fact.reason), ("", fact.done_so_far)],
    f.ExtensionDecided: lambda fact, town: [("", _("同意延期") if fact.granted else _("不同意")), ("", fact.note)],
    f.SuspensionRequested: lambda fact, town: [("", fact.reason), (_("计划"), fact.plan)],
    f.Suspended: lambda fact, town: [("", fact.reason), (_("复核日期"), short_day(fact.review_on))],
    f.Resumed: lambda fact, town: [("", fact.note)],
    f.ReplySubmitted: _reply,
    f.ReplyRejected: lambda fact, town: [(_("需修改之处"), fact.defects)],
    f.ReplyDelivered: lambda fact, town: [
        (_("答复文号"), fact.reply_no), (_("送达方式"), word(fact.way, "way")), (_("送达凭证"), fact.proof),
    ],
    f.FollowedUp: _followed_up,
    f.Rated: lambda fact, town: [
        (word(fact.by, "by"), word(fact.overall, "rating")), ("", fact.reason),
    ],
    f.ReopenRequested: lambda fact, town: [(word(fact.by, "by"), fact.reason)],
    f.Reopened: lambda fact, town: [("", fact.reason)],
    f.Closed: lambda fact, town: [("", fact.note)],
    f.Withdrawn: lambda fact, town: [("", fact.proof)],
    f.Voided: lambda fact, town: [("", fact.reason)],
    f.SolvedLater: lambda fact, town: [("", fact.proof), (_("解决日期"), short_day(fact.solved_on))],
    f.CardFired: _card,
    f.CardAnswered: lambda fact, town: [(level_name(fact.level), fact.text)],
    f.CardRevoked: lambda fact, town: [(level_name(fact.level), fact.reason)],
    f.KeySelected: lambda fact, town: [("", fact.reason)],
    f.Attached: lambda fact, town: [("", fact.name), ("", fact.caption)],
    f.RecordRetried: lambda fact, town: [("", fact.reason)],
    f.RecordSetAside: lambda fact, town: [
        (_("不计入办理的记录"), word(fact.kind, "fact")), (_("处理理由"), fact.reason),
    ],
    f.RecordCorrected: lambda fact, town: [
        (_("更正的记录"), word(fact.kind, "fact")), (_("处理理由"), fact.reason),
    ],
}  # fmt: skip
