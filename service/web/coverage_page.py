"""网格覆盖: the map, and the same facts as a table with every figure's numerator and denominator beside it."""

from __future__ import annotations

from flask import Blueprint, render_template
from flask_babel import gettext
from markupsafe import Markup

from service.actions import covering
from service.documents.coverage_map import LANDSCAPE, NARROW, Sheet, draw
from service.domain.coverage import Coverage, FramesMixed
from service.web import desk, words
from service.web.desk import Look
from service.web.words import N_

pages = Blueprint("coverage_page", __name__, url_prefix="/hub/coverage")
desk.signed_in_only(pages)

NAVIGATION = desk.NavItem(endpoint="coverage_page.view", label=N_("网格覆盖"), shown=lambda actor: not actor.of_unit)


@pages.get("")
def view() -> str:
    """As published last; before the first publication as the data stand now."""
    with desk.looking() as look:
        try:
            coverage = covering.published(look.town) or covering.compile_now(look.connection, look.town, look.today)
        except FramesMixed as refusal:
            return render_template("hub/coverage_refused.html", sentence=words.refusal(refusal))
        return render_template(
            "hub/coverage.html", coverage=coverage, town=look.town, wide=_map(look, coverage, LANDSCAPE),
            narrow=_map(look, coverage, NARROW), measures=_measures(coverage),
        )  # fmt: skip


def _map(look: Look, coverage: Coverage, sheet: Sheet) -> Markup:
    """The drawing escapes every name it writes."""
    place = look.town.stated.name if look.town.stated else ""
    return Markup(draw(coverage, labels=gettext, link=lambda code: f"#village-{code}", sheet=sheet, place=place))


def _measures(coverage: Coverage) -> list[tuple[str, object]]:
    """The shares in the order they are read, with the label of each."""
    settings = coverage.settings
    radius = gettext("直线 %(metres)s 米内有开放的联络站", metres=settings.radius_m)
    return [
        (radius + " (R)", coverage.reach),
        (gettext("同上,%(metres)s 米 (0.9R)", metres=settings.near_radius_m), coverage.reach_near),
        (gettext("同上,%(metres)s 米 (1.1R)", metres=settings.far_radius_m), coverage.reach_far),
        (gettext("近 %(days)s 天内有接待", days=settings.window_days), coverage.recency),
        (gettext("近 %(days)s 天内有接待", days=settings.strict_window_days), coverage.recency_strict),
    ]
