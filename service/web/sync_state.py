"""同步状态: what has not gone out, since when and why; and a button that asks for an exchange now."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from flask import Blueprint, flash, redirect, render_template, url_for
from flask_babel import gettext as _
from werkzeug.wrappers import Response

from service.actions import awaiting, housekeeping
from service.actions.hub_address import hub_url
from service.actions.syncing import check_codes, request_exchange
from service.domain.people import Step
from service.store import aside_queries, station_queries, unrecognised
from service.store.aside_queries import Decision
from service.store.station_queries import WaitingRow
from service.web import desk, presenting
from service.web.desk import Look
from service.web.sync_reasons import REASONS
from service.web.words import N_

WAITING_SHOWN = 50
DOUBTS_SHOWN = 10
DECISIONS_SHOWN = 20
TOGETHER = timedelta(seconds=10)
AWAITING_SHOWN = 20

pages = Blueprint("sync_state", __name__)
desk.signed_in_only(pages)

NAVIGATION = desk.NavItem(endpoint="sync_state.show", label=N_("同步状态"), key="y", shown=lambda actor: True)


@pages.get("/sync")
def show() -> str:
    node = desk.node()
    with desk.looking() as look:
        waiting = station_queries.waiting(look.connection, node.identity, limit=WAITING_SHOWN)
        doubts = station_queries.doubts(look.connection, node.ledger, limit=DOUBTS_SHOWN)
        codes = check_codes(node, look.connection)
        limit_s = look.policy.limits.clock_offset_s
        unknown = unrecognised.count(look.connection)
        decisions = _decisions(look)
        state = presenting.page_look().exchange
        blocking = station_queries.blocking(look.connection, node.identity, state.blocked) if state else None
        files = awaiting.late(node, look.connection, AWAITING_SHOWN)
    troubles = housekeeping.health(node).warnings
    return render_template(
        "station/sync.html", codes=codes, waiting=waiting, doubts=doubts, limit_s=limit_s,
        blocking=blocking or _longest(waiting.rows), troubles=[code for code in troubles if code in REASONS],
        hub_url=hub_url(node), computer=node.identity.node, unknown=unknown, decisions=decisions,
        awaiting=files,
        may_open=desk.actor().may(Step.SEE_OPINIONS), may_carry=desk.actor().may(Step.CARRY_STICK),
    )  # fmt: skip


def _longest(rows: Sequence[WaitingRow]) -> WaitingRow | None:
    """The record that waits longest; of what was written down together, the one that has a number people know."""
    together = [row for row in rows if row.recorded_at - rows[0].recorded_at < TOGETHER]
    return next((row for row in together if row.reg_no), rows[0]) if rows else None


def _decisions(look: Look) -> list[Decision]:
    """What the hub decided about this station's records."""
    node = desk.node()
    station = node.station
    if station is None:
        return []
    scope = node.station_scope(station)
    return aside_queries.decisions(look.connection, node.ledger, scope, node.hub_nodes, DECISIONS_SHOWN)


@pages.post("/sync")
def now() -> Response:
    with desk.node().unit(desk.actor()) as unit:
        request_exchange(unit)
    flash(_("已请求立即同步。几秒后刷新本页查看结果。"), "info")
    return redirect(url_for("sync_state.show"))
