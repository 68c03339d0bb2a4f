"""How a hub stands with a node below it, in one line: a station's computer, or at a county a township's hub."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeVar

from flask_babel import gettext

from service.domain.office_hours import local_date
from service.domain.policy import Policy
from service.domain.town import Town
from service.store import unrecognised
from service.web import sync_reasons, words
from service.web.desk import Look
from sync import peer_epochs, streams
from sync.errors import LinkError, by_code
from sync.peers import Contact, Peer
from sync.positions import check_code


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerLine:
    """One node below, or a place without any. `days` are working days up to today; `state` a code of "contact".

    `outgoing`: records of the hub that this node has not stated to hold.
    """

    node: str = ""
    contact: Contact | None = None
    state: str = "not_enrolled"
    silent_days: int = 0
    waiting_days: int = 0
    offset_flagged: bool = False
    revoked: bool = False
    check_code: str = ""
    outgoing: int = 0
    unrecognised: int = 0  # its records that this hub's program cannot read yet

    @property
    def alarming(self) -> bool:
        """Trouble of the line passes by itself; anything else that has a name is for a person."""
        return self.state in ("silent", "never", "copied") or bool(self.code and not _passes(self.code))

    @property
    def age_days(self) -> int:
        """Working days for which something may have been waiting."""
        return max(self.waiting_days, self.silent_days if self.state == "silent" else 0)

    @property
    def urgency(self) -> tuple[int, bool, int, bool]:
        """What comes first: what waited longest, what alarms, who lacks most."""
        return (-self.age_days, not self.alarming, -self.outgoing, not self.node)

    @property
    def code(self) -> str:
        """Of the error that stopped the last exchange, "" for none."""
        return (self.contact.last_error_code if self.contact else None) or ""

    def sentence(self, group: str = "contact") -> str:
        """The reason in words: a named refusal first, then the state of the line in the words of this group."""
        if self.code and self.state != "copied" and not _passes(self.code):
            return _named(self.code)
        count = self.contact.unsent_count or 0 if self.contact else 0
        count = self.outgoing if self.state == "outgoing" else count
        days = self.silent_days if self.state == "silent" else self.waiting_days
        known = group if self.state in words.LABELS[group] else "contact"
        return words.word(self.state, known, days=days, count=count)

    def particulars(self) -> list[str]:
        """What the line was like when it last failed, and the record at which the station's stream stopped."""
        found = []
        if self.code and _passes(self.code):
            found.append(gettext("上次中断:%(reason)s", reason=sync_reasons.reason(self.code)))
        seq = (self.contact.last_error_data or {}).get("seq") if self.contact and self.code else None
        if seq:
            found.append(gettext("卡在该站的第 %(seq)s 条记录,代码 %(code)s", seq=seq, code=self.code))
        return found


def _passes(code: str) -> bool:
    known = by_code(code)
    return known is not None and issubclass(known, LinkError)


def _named(code: str) -> str:
    """The hub's own words for what it refused; the station's where the station told."""
    if code in words.LABELS["peer_error"]:
        return words.word(code, "peer_error")
    return gettext("该站报告:%(reason)s 该站页面的提示:%(advice)s", reason=sync_reasons.reason(code),
                   advice=sync_reasons.advice(code))  # fmt: skip


_Line = TypeVar("_Line", bound=PeerLine)


def standing(line: _Line, town: Town, peer: Peer, contact: Contact, now: datetime, outgoing: int = 0) -> _Line:
    """The line with what is known of the peer. Pure."""
    policy = town.policy_on(now.date())
    silent = _working_days(town, policy, contact.last_contact_at, now)
    return replace(
        line, node=peer.node, contact=contact, silent_days=silent, outgoing=outgoing,
        state=_state(contact, silent, policy.limits.silent_wd, outgoing),
        waiting_days=_working_days(town, policy, contact.oldest_unsent_at if contact.unsent_count else None, now),
        offset_flagged=abs(contact.offset_s or 0) > policy.limits.clock_offset_s,
        revoked=peer.revoked_after is not None,
    )  # fmt: skip


def looked_up(look: Look, lines: list[_Line]) -> list[_Line]:
    """The lines with what only the ledger tells: check codes, copied disks, records that cannot be read yet."""
    copied, by_node = peer_epochs.shared_keys(look.connection, look.now), unrecognised.by_node(look.connection)
    return [
        replace(
            line, check_code=_check_code(look, line), unrecognised=by_node.get(line.node, 0),
            state="copied" if line.node in copied else line.state,
        )
        for line in lines
    ]  # fmt: skip


def _check_code(look: Look, line: PeerLine) -> str:
    """Of what we hold of this node: its own page shows the same when nothing is missing."""
    heads = streams.heads_of(look.connection, line.node) if line.node else {}
    return check_code(heads) if heads else ""


def _state(contact: Contact, silent_days: int, silent_wd: int, outgoing: int) -> str:
    """Verified is only who was found equal at the last contact, with nothing recorded for it since."""
    if contact.last_contact_at is None:
        return "never"
    if silent_days >= silent_wd:
        return "silent"
    if contact.unsent_count:
        return "waiting"
    verified = contact.last_verified_at
    if verified is None or verified < contact.last_contact_at:
        return "unverified"
    return "outgoing" if outgoing else "verified"


def _working_days(town: Town, policy: Policy, since: datetime | None, now: datetime) -> int:
    """Working days after the day of `since`, up to today; a node's clock may run ahead, hence never negative."""
    if since is None:
        return 0
    begun, today = local_date(since, policy.hours), local_date(now, policy.hours)
    return max(0, town.calendar.working_days_between(begun, today).days) if begun < today else 0
