"""Stations board: whose records have been waiting longest, since when nobody has heard from a station, and why.

Ranked by the age, in working days, of the oldest record that has not arrived, because that is what a citizen waits for;
of a station that is silent nobody knows better than since when. Enrolment codes are made here: shown once, printable,
good for one computer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from flask import Blueprint, render_template

from service.domain.people import Step
from service.domain.town import Station, Town
from service.store import aside_queries, station_queries
from service.web import desk
from service.web.peer_lines import PeerLine, looked_up, standing
from service.web.words import N_
from sync import acknowledged, peers
from sync.peers import Contact, Peer

pages = Blueprint("stations_board", __name__, url_prefix="/hub/stations")
desk.signed_in_only(pages)

NAVIGATION = desk.NavItem(
    endpoint="stations_board.board", label=N_("站点状态"),
    shown=lambda actor: actor.may(Step.ENROL_NODE) or actor.may(Step.TRANSFER),
)  # fmt: skip
DOUBTS_SHOWN = 10
RUNNING = ("open", "paused")  # stations that are expected to answer


@dataclass(frozen=True, slots=True, kw_only=True)
class StationLine(PeerLine):
    """One computer of one station, or a station without any."""

    station: Station


def lines(
    town: Town,
    known: Iterable[Peer],
    contacts: Mapping[str, Contact],
    now: datetime,
    outgoing: Mapping[str, int] | None = None,
) -> list[StationLine]:
    """All stations, the one whose oldest record has waited longest first. Pure."""
    by_station: dict[str, list[Peer]] = {}
    for peer in known:
        by_station.setdefault(peer.name, []).append(peer)
    found = [
        line
        for station in town.stations.values()
        for line in _lines_of(town, station, by_station.get(station.code, []), contacts, now, outgoing or {})
    ]
    return sorted(found, key=lambda line: (*line.urgency, line.station.code))


def _lines_of(
    town: Town,
    station: Station,
    known: list[Peer],
    contacts: Mapping[str, Contact],
    now: datetime,
    outgoing: Mapping[str, int],
) -> list[StationLine]:
    bare = StationLine(station=station)
    if not known:
        expected = station.stated.status in RUNNING
        return [bare] if expected else []
    return [
        standing(bare, town, peer, contacts.get(peer.node, Contact(peer=peer.node)), now, outgoing.get(peer.node, 0))
        for peer in known
    ]


# --- pages -----------------------------------------------------------------------------------------------------


@pages.get("")
def board() -> str:
    actor = desk.actor()
    if not actor.may(Step.TRANSFER):
        actor.require(Step.ENROL_NODE)
    node = desk.node()
    with desk.looking() as look:
        known = peers.all_peers(look.connection)
        outgoing = acknowledged.outgoing(look.connection, node.identity, known)
        found = lines(look.town, known, peers.contacts(look.connection), look.now, outgoing)
        return render_template(
            "hub/stations.html", lines=looked_up(look, found), may_enrol=actor.may(Step.ENROL_NODE),
            erasures=station_queries.erasures(look.connection, node.ledger, node.identity.node),
            names={peer.node: look.town.station_name(peer.name) for peer in known},
            doubts=station_queries.doubts(look.connection, node.ledger, limit=DOUBTS_SHOWN, tree=node.settings.town),
            may_judge=actor.may(Step.JUDGE_RECORD), aside=aside_queries.count(look.connection, node.ledger),
            may_carry=actor.may(Step.CARRY_STICK), silent_wd=look.policy.limits.silent_wd, now=look.now,
            town=look.town,
        )  # fmt: skip
