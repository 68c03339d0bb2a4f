"""向县报送: how a township's hub stands with its county's, what it has reported, and what the county told it."""

from __future__ import annotations

from flask import Blueprint, flash, redirect, render_template, url_for
from flask_babel import gettext as _
from werkzeug.wrappers import Response

from service.actions.syncing import check_codes, request_exchange, sync_state
from service.domain.people import Actor, Step
from service.store import sums_queries
from service.web import desk
from service.web.words import N_

MONTHS_SHOWN = 6
NOTICES_SHOWN = 10

pages = Blueprint("upper", __name__, url_prefix="/hub/upper")
desk.signed_in_only(pages)


def _shown(actor: Actor) -> bool:
    """Where nothing is above, there is nothing to show."""
    return desk.node().settings.hub_url is not None and (actor.may(Step.ENROL_NODE) or actor.may(Step.TRANSFER))


NAVIGATION = desk.NavItem(endpoint="upper.show", label=N_("向县报送"), shown=_shown)


@pages.get("")
def show() -> str:
    actor, node = desk.actor(), desk.node()
    if not actor.may(Step.TRANSFER):
        actor.require(Step.ENROL_NODE)
    township = node.settings.town
    with desk.looking() as look:
        months = sums_queries.months(look.connection, limit=MONTHS_SHOWN)
        return render_template(
            "hub/upper.html", state=sync_state(node, look.connection), codes=check_codes(node, look.connection),
            rows=[row for month in months if (row := sums_queries.sums_of(look.connection, township, month))],
            notices=sums_queries.last_notices(look.connection, limit=NOTICES_SHOWN), hub_url=node.settings.hub_url,
            may_carry=actor.may(Step.CARRY_STICK),
        )  # fmt: skip


@pages.post("")
def now() -> Response:
    actor = desk.actor()
    if not actor.may(Step.TRANSFER):
        actor.require(Step.ENROL_NODE)
    with desk.node().unit(actor) as unit:
        request_exchange(unit)
    flash(_("已请求立即同步。几秒后刷新本页查看结果。"), "info")
    return redirect(url_for("upper.show"))
