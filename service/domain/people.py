"""Who acts: roles and the hard rules of what each may do.

The rules are law before they are software: a deputy suggests but does not handle the matter (Deputies Law 2025,
Art. 31), so a deputy's account can neither dispatch, nor decide a return, nor close. The map below is the only
place that grants a step to a role; actions ask it, pages merely hide what it would refuse.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from service.domain.refusals import NotAllowed


class Role(StrEnum):
    """Roles of accounts. A person may hold several accounts, never two roles in one."""

    DEPUTY = "deputy"  # 代表
    LIAISON = "liaison"  # 联络员
    CHIEF = "chief"  # 站长
    CLERK = "clerk"  # 枢纽受理员(镇人大办)
    CHAIR = "chair"  # 人大主席/副主席
    PRESIDIUM = "presidium"  # 主席团
    HANDLER = "handler"  # 承办单位经办
    UNIT_HEAD = "unit_head"  # 承办单位负责人
    AUDITOR = "auditor"  # 审计员
    ADMIN = "admin"  # 管理员
    SYSTEM = "system"  # the node itself: sweeps and deemed sign-off


class Step(StrEnum):
    """Steps that need a role. Names are those of the actions."""

    REGISTER = "register"
    ATTACH = "attach"
    SEE_OPINIONS = "see_opinions"
    SEE_REPORTER = "see_reporter"
    ROUTE_DIRECT = "route_direct"
    ANSWER = "answer"
    DISPATCH = "dispatch"
    TRANSFER = "transfer"
    EXPLAIN = "explain"
    SIGN = "sign"
    REPORT_PROGRESS = "report_progress"
    SUBMIT_REPLY = "submit_reply"
    REVIEW_REPLY = "review_reply"
    DELIVER = "deliver"
    DECIDE_RETURN = "decide_return"
    FOLLOW_UP = "follow_up"
    RATE = "rate"
    ASK_REOPEN = "ask_reopen"
    REOPEN = "reopen"
    CLOSE = "close"
    FIRE_CARD = "fire_card"
    ANSWER_CARD = "answer_card"
    REVOKE_CARD = "revoke_card"
    SELECT_KEY = "select_key"
    HOLD_RECEPTION = "hold_reception"
    EDIT_MASTER_DATA = "edit_master_data"
    ENROL_NODE = "enrol_node"
    MANAGE_ACCOUNTS = "manage_accounts"
    ERASE_PERSON = "erase_person"
    JUDGE_RECORD = "judge_record"
    CARRY_STICK = "carry_stick"


_GRANTS: dict[Role, frozenset[Step]] = {
    Role.DEPUTY: frozenset({Step.REGISTER, Step.ATTACH, Step.SEE_OPINIONS, Step.ANSWER, Step.RATE, Step.ASK_REOPEN}),
    Role.LIAISON: frozenset(
        {
            Step.REGISTER,
            Step.ATTACH,
            Step.SEE_OPINIONS,
            Step.SEE_REPORTER,
            Step.FOLLOW_UP,
            Step.RATE,
            Step.ASK_REOPEN,
            Step.CLOSE,
            Step.HOLD_RECEPTION,
            Step.CARRY_STICK,
        }
    ),
    Role.CHIEF: frozenset(
        {
            Step.REGISTER,
            Step.ATTACH,
            Step.SEE_OPINIONS,
            Step.SEE_REPORTER,
            Step.ROUTE_DIRECT,
            Step.ANSWER,
            Step.EXPLAIN,
            Step.FOLLOW_UP,
            Step.RATE,
            Step.ASK_REOPEN,
            Step.CLOSE,
            Step.HOLD_RECEPTION,
            Step.MANAGE_ACCOUNTS,
            Step.ERASE_PERSON,
            Step.CARRY_STICK,
        }
    ),
    Role.CLERK: frozenset(
        {
            Step.REGISTER,
            Step.ATTACH,
            Step.SEE_OPINIONS,
            Step.SEE_REPORTER,
            Step.ROUTE_DIRECT,
            Step.ANSWER,
            Step.DISPATCH,
            Step.EXPLAIN,
            Step.REVIEW_REPLY,
            Step.DELIVER,
            Step.DECIDE_RETURN,
            Step.FOLLOW_UP,
            Step.RATE,
            Step.ASK_REOPEN,
            Step.REOPEN,
            Step.CLOSE,
            Step.EDIT_MASTER_DATA,
            Step.ENROL_NODE,
            Step.ERASE_PERSON,
            Step.JUDGE_RECORD,
            Step.CARRY_STICK,
        }
    ),
    Role.CHAIR: frozenset(
        {
            Step.REGISTER,
            Step.ATTACH,
            Step.SEE_OPINIONS,
            Step.SEE_REPORTER,
            Step.DISPATCH,
            Step.TRANSFER,
            Step.EXPLAIN,
            Step.DECIDE_RETURN,
            Step.REOPEN,
            Step.FIRE_CARD,
            Step.REVOKE_CARD,
            Step.SELECT_KEY,
        }
    ),
    Role.PRESIDIUM: frozenset({Step.SEE_OPINIONS, Step.SELECT_KEY}),
    Role.HANDLER: frozenset({Step.SEE_OPINIONS, Step.ATTACH, Step.SIGN, Step.REPORT_PROGRESS, Step.ANSWER_CARD}),
    Role.UNIT_HEAD: frozenset(
        {Step.SEE_OPINIONS, Step.ATTACH, Step.SIGN, Step.REPORT_PROGRESS, Step.SUBMIT_REPLY, Step.ANSWER_CARD}
    ),
    Role.AUDITOR: frozenset({Step.SEE_OPINIONS}),
    Role.ADMIN: frozenset(
        {Step.EDIT_MASTER_DATA, Step.ENROL_NODE, Step.MANAGE_ACCOUNTS, Step.JUDGE_RECORD, Step.CARRY_STICK}
    ),
    Role.SYSTEM: frozenset({Step.SIGN, Step.FIRE_CARD, Step.ENROL_NODE, Step.EDIT_MASTER_DATA}),
}


class Secrecy(StrEnum):
    """How far a reporter's name may travel."""

    OPEN = "open"  # 公开姓名: the unit may know whom to answer
    UNIT = "unit"  # 对承办单位保密
    ANONYMOUS = "anonymous"  # 全程匿名


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Somebody signed in. `station` and `unit` bound what they see; None means the whole town."""

    account: str
    name: str
    role: Role
    station: str | None = None
    unit: str | None = None
    deputy: str | None = None

    def may(self, step: Step) -> bool:
        return step in _GRANTS[self.role]

    def require(self, step: Step) -> None:
        """Raise NotAllowed unless this role may take the step."""
        if not self.may(step):
            raise NotAllowed(step.value, self.role.value)

    def require_station(self, station: str) -> None:
        """Raise NotAllowed for a station's people who would write in another station's book."""
        if self.station is not None and self.station != station:
            raise NotAllowed("other_station", self.role.value)

    @property
    def of_unit(self) -> bool:
        return self.role in (Role.HANDLER, Role.UNIT_HEAD)


SYSTEM = Actor(account="system", name="系统", role=Role.SYSTEM)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reporter:
    """A citizen as the station wrote them down. Lives only in bodies of `person` subjects."""

    name: str = ""
    phone: str = ""
    address: str = ""
    gender: str = ""


def masked_name(name: str) -> str:
    """张三丰 → 张**; an empty name stays empty."""
    return name[:1] + "*" * (len(name) - 1) if name else ""


def masked_phone(phone: str) -> str:
    """13812345678 → 138****5678; numbers too short to keep both ends are hidden whole."""
    return phone[:3] + "****" + phone[-4:] if len(phone) >= 8 else "*" * len(phone)


def may_see_reporter(actor: Actor, secrecy: Secrecy, station: str) -> bool:
    """Whether the actor may unmask the reporter of an opinion registered at `station`.

    A unit sees open names only. Secret ones stay with the station that wrote them down: not even the hub's
    clerk has them in clear (privacy rule 4).
    """
    if actor.of_unit:
        return secrecy is Secrecy.OPEN
    if not actor.may(Step.SEE_REPORTER) or secrecy is Secrecy.ANONYMOUS:
        return False
    if actor.station is not None:
        return actor.station == station
    return secrecy is Secrecy.OPEN
