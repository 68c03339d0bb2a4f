"""Stations board: whose records have been waiting longest, since when nobody has heard from a station, and why.

Ranked by the age of the oldest record that has not arrived, because that is what a citizen waits for. Enrolment codes
are made here: shown once, printable, good for one computer.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from flask import Blueprint, render_template

from service.domain.office_hours import local_date
from service.domain.people import Step
from service.domain.policy import Policy
from service.domain.town import Station, Town
from service.store import aside_queries, station_queries, unrecognised
from service.web import desk, words
from service.web.desk import Look
from service.web.words import N_
from sync import peer_epochs, peers, streams
from sync.errors import BelowHorizon, FirstLoad
from sync.peers import Contact, Peer
from sync.positions import check_code

pages = Blueprint("stations_board", __name__, url_prefix="/hub/stations")
desk.signed_in_only(pages)

NAVIGATION = desk.NavItem(
    endpoint="stations_board.board", label=N_("站点状态"),
    shown=lambda actor: actor.may(Step.ENROL_NODE) or actor.may(Step.TRANSFER),
)  # fmt: skip
DOUBTS_SHOWN = 10
CALM = (FirstLoad.code, BelowHorizon.code)  # nothing failed, and nobody need do anything
RUNNING = ("open", "paused")  # stations that are expected to answer


@dataclass(frozen=True, slots=True, kw_only=True)
class StationLine:
    """One computer of one station, or a station without any. `days` are working days up to today."""

    station: Station
    node: str = ""
    contact: Contact | None = None
    state: str = "not_enrolled"  # a code of hub_words "contact"
    silent_days: int = 0
    waiting_days: int = 0
    offset_flagged: bool = False
    revoked: bool = False
    check_code: str = ""
    unrecognised: int = 0  # its records that this hub's program cannot read yet

    @property
    def alarming(self) -> bool:
        code = self.contact.last_error_code if self.contact else None
        return self.state in ("silent", "never", "copied") or bool(code and code not in CALM)

    def sentence(self) -> str:
        """The reason in words: a named refusal first, then the state of the line."""
        code = self.contact.last_error_code if self.contact else None
        if code and self.state != "copied":
            return words.word(code, "peer_error") if code in words.LABELS["peer_error"] else words.sync_error(code)
        count = self.contact.unsent_count or 0 if self.contact else 0
        days = self.silent_days if self.state == "silent" else self.waiting_days
        return words.word(self.state, "contact", days=days, count=count)


def lines(town: Town, known: Iterable[Peer], contacts: dict[str, Contact], now: datetime) -> list[StationLine]:
    """All stations, the one whose oldest record has waited longest first. Pure."""
    by_station: dict[str, list[Peer]] = {}
    for peer in known:
        by_station.setdefault(peer.name, []).append(peer)
    found = [line for station in town.stations.values()
             for line in _lines_of(town, station, by_station.get(station.code, []), contacts, now)]  # fmt: skip
    return sorted(found, key=_urgency)


def _urgency(line: StationLine) -> tuple[bool, int, int, bool, str]:
    return (not line.alarming, -line.waiting_days, -line.silent_days, not line.node, line.station.code)


def _lines_of(
    town: Town, station: Station, known: list[Peer], contacts: dict[str, Contact], now: datetime
) -> list[StationLine]:
    if not known:
        expected = station.stated.status in RUNNING
        return [StationLine(station=station)] if expected else []
    return [_line(town, station, peer, contacts.get(peer.node, Contact(peer=peer.node)), now) for peer in known]


def _line(town: Town, station: Station, peer: Peer, contact: Contact, now: datetime) -> StationLine:
    policy = town.policy_on(now.date())
    silent = _working_days(town, policy, contact.last_contact_at, now)
    return StationLine(
        station=station, node=peer.node, contact=contact, silent_days=silent,
        state=_state(contact, silent, policy.limits.silent_wd),
        waiting_days=_working_days(town, policy, contact.oldest_unsent_at if contact.unsent_count else None, now),
        offset_flagged=abs(contact.offset_s or 0) > policy.limits.clock_offset_s,
        revoked=peer.revoked_after is not None,
    )  # fmt: skip


def _state(contact: Contact, silent_days: int, silent_wd: int) -> str:
    if contact.last_contact_at is None:
        return "never"
    if silent_days >= silent_wd:
        return "silent"
    if contact.unsent_count:
        return "waiting"
    verified = contact.last_verified_at
    return "verified" if verified is not None and verified >= contact.last_contact_at else "unverified"


def _working_days(town: Town, policy: Policy, since: datetime | None, now: datetime) -> int:
    """Working days after the day of `since`, up to today; a station's clock may run ahead, hence never negative."""
    if since is None:
        return 0
    begun, today = local_date(since, policy.hours), local_date(now, policy.hours)
    return max(0, town.calendar.working_days_between(begun, today).days) if begun < today else 0


# --- pages -----------------------------------------------------------------------------------------------------


@pages.get("")
def board() -> str:
    actor = desk.actor()
    if not actor.may(Step.TRANSFER):
        actor.require(Step.ENROL_NODE)
    with desk.looking() as look:
        return render_template(
            "hub/stations.html", lines=_all_lines(look), may_enrol=actor.may(Step.ENROL_NODE),
            erasures=station_queries.erasures(look.connection, desk.node().ledger, desk.node().identity.node),
            names={peer.node: look.town.station_name(peer.name) for peer in peers.all_peers(look.connection)},
            doubts=station_queries.doubts(look.connection, desk.node().ledger, limit=DOUBTS_SHOWN),
            may_judge=actor.may(Step.JUDGE_RECORD), aside=aside_queries.count(look.connection, desk.node().ledger),
            may_carry=actor.may(Step.CARRY_STICK), silent_wd=look.policy.limits.silent_wd, now=look.now,
            town=look.town,
        )  # fmt: skip


def _all_lines(look: Look) -> list[StationLine]:
    found = lines(look.town, peers.all_peers(look.connection), peers.contacts(look.connection), look.now)
    copied, by_node = peer_epochs.shared_keys(look.connection, look.now), unrecognised.by_node(look.connection)
    return [
        replace(
            line,
            check_code=_check_code(look, line),
            unrecognised=by_node.get(line.node, 0),
            state="copied" if line.node in copied else line.state,
        )
        for line in found
    ]


def _check_code(look: Look, line: StationLine) -> str:
    """Of what we hold of this computer: the station's page shows the same when nothing is missing."""
    heads = streams.heads_of(look.connection, line.node) if line.node else {}
    return check_code(heads) if heads else ""
