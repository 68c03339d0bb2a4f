"""How values look on a page: dates, countdowns, names of places and people. Filters and globals of the templates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from flask import Flask, g, request, url_for
from flask_babel import get_locale, gettext
from flask_bootstrap import Bootstrap5

from service.actions.syncing import SyncState, sync_state
from service.domain.clocks import Clock, remaining_working_days
from service.domain.office_hours import local_date
from service.domain.town import Town
from service.domain.working_days import WorkCalendar
from service.store.queries import OpinionRow
from service.web import desk, language, sync_reasons, words

WEEKDAYS = ("周一", "周二", "周三", "周四", "周五", "周六", "周日")


def set_up(app: Flask) -> None:
    app.config["BOOTSTRAP_SERVE_LOCAL"] = True  # the wheel brings the files; no page asks anybody else for them
    Bootstrap5(app)
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.jinja_env.filters.update(
        moment=moment, day=day, level=level_name, short_day=short_day, word=words.word, term=words.term,
        sync_reason=sync_reasons.reason, sync_advice=sync_reasons.advice, local_day=local_day, paper_day=paper_day,
    )  # fmt: skip
    app.jinja_env.globals.update(
        choices=words.choices, countdown=countdown, row_countdown=row_countdown, page=Page(),
        languages=language.LANGUAGES, html_lang=lambda: language.HTML_LANG[language.chosen()],
        this_path=this_path, new_form=lambda: desk.node().new_id(),
    )  # fmt: skip


# --- dates -----------------------------------------------------------------------------------------------------


def _local(at: datetime) -> datetime:
    return at.astimezone(town().policy_on(at.date()).hours.zone)


def moment(at: datetime | None) -> str:
    """2026-11-23 14:05 by the town's clocks."""
    return "" if at is None else _local(at).strftime("%Y-%m-%d %H:%M")


def local_day(at: datetime | None) -> str:
    """2026-11-23 of a moment, by the town's clocks."""
    return "" if at is None else _local(at).date().isoformat()


def paper_day(on: datetime | date | None) -> str:
    """2026年11月23日, or 23 Nov 2026: as papers write it."""
    if on is None:
        return ""
    on = _local(on).date() if isinstance(on, datetime) else on
    return f"{on.day} {on:%b} {on.year}" if _english() else f"{on.year}年{on.month}月{on.day}日"


def day(on: date | None) -> str:
    """2026年11月23日 周一, or Mon 23 Nov 2026."""
    if on is None:
        return ""
    if _english():
        return f"{on:%a} {on.day} {on:%b} {on.year}"
    return f"{on.year}年{on.month}月{on.day}日 {WEEKDAYS[on.weekday()]}"


def short_day(on: date | None) -> str:
    """2026-11-23."""
    return "" if on is None else on.isoformat()


def _english() -> bool:
    return str(get_locale()) == "en"


# --- countdown -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Countdown:
    """What a badge says. The words carry the meaning; `tone` only colours them (calm, soon, today, late, still)."""

    tone: str
    words: str
    due_on: date | None = None
    provisional: bool = False


SOON_WD = 1


def countdown(clock: Clock | None, calendar: WorkCalendar, now: datetime) -> Countdown | None:
    """Of a running clock; None without a term."""
    if clock is None or clock.term is None or clock.is_stopped:
        return None
    left = remaining_working_days(clock, now, calendar)
    if left is None:
        return None
    if clock.is_paused:
        return Countdown(tone="still", words=gettext("暂停计时,余 %(n)s 个工作日", n=left.days))
    return _counting(left.days, clock.due, clock.provisional)


def row_countdown(row: OpinionRow) -> Countdown | None:
    """Of a row in a list: the same, from what the read table says."""
    look = page_look()
    if row.due_on is None or row.due_at is None:
        return None
    today = local_date(look.now, look.town.policy_on(look.now.date()).hours)
    if look.now > row.due_at:
        return _counting(-max(1, look.town.calendar.overdue(row.due_on, today).days), row.due_on, row.provisional)
    left = look.town.calendar.working_days_between(today, row.due_on).days
    return _counting(left, row.due_on, row.provisional)


def _counting(days: int, due_on: date | None, provisional: bool) -> Countdown:
    if days < 0:
        return Countdown(tone="late", words=gettext("逾期 %(n)s 个工作日", n=-days), due_on=due_on,
                         provisional=provisional)  # fmt: skip
    if days == 0:
        return Countdown(tone="today", words=gettext("今天到期"), due_on=due_on, provisional=provisional)
    tone = "soon" if days <= SOON_WD else "calm"
    return Countdown(tone=tone, words=gettext("剩余 %(n)s 个工作日", n=days), due_on=due_on, provisional=provisional)


# --- what every page knows -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class PageLook:
    """Town and moment of this page, read once."""

    town: Town
    now: datetime
    station: str | None
    exchange: SyncState | None


def page_look() -> PageLook:
    if "page_look" not in g:
        node = desk.node()
        with desk.looking() as look:
            known = None if node.is_hub else sync_state(node, look.connection)
            station = None if node.is_hub else node.station
            g.page_look = PageLook(town=look.town, now=look.now, station=station, exchange=known)
    found: PageLook = g.page_look
    return found


def town() -> Town:
    return page_look().town


class Page:
    """`page` in templates: names from the master data, and what head and foot show. Asks only when used."""

    @property
    def town_name(self) -> str:
        stated = town().stated
        return stated.name if stated else ""

    @property
    def place(self) -> str:
        """Whose desk this is: the station's name, or the township's hub."""
        if desk.node().is_hub:
            return gettext("%(town)s人大枢纽", town=self.town_name)
        code = page_look().station
        return town().station_name(code) if code else gettext("未接入")

    @property
    def is_hub(self) -> bool:
        return desk.node().is_hub

    @property
    def is_county(self) -> bool:
        return desk.node().is_county

    @property
    def board(self) -> str:
        """Address of the page on which a hub sees the nodes below it."""
        return url_for("county.board" if desk.node().is_county else "stations_board.board")

    @property
    def signed_in(self) -> bool:
        return desk.signed_in()

    @property
    def actor(self) -> Any:
        return desk.actor()

    @property
    def navigation(self) -> list[desk.NavItem]:
        return [item for item in desk.desk().navigation if item.shown(desk.actor())] if desk.signed_in() else []

    @property
    def section(self) -> desk.NavItem | None:
        """The entry of the navigation under which this page stands, if any."""
        shown = [item for item in self.navigation if item.endpoint.partition(".")[0] == request.blueprint]
        return next((item for item in shown if item.endpoint == request.endpoint), shown[0] if shown else None)

    @property
    def exchange(self) -> SyncState | None:
        return page_look().exchange

    @property
    def now(self) -> datetime:
        return page_look().now

    @property
    def town(self) -> Town:
        return town()

    # Pairs (code, name) for selects.

    @property
    def areas(self) -> list[tuple[str, str]]:
        return [(code, area.name) for code, area in town().areas.items()]

    @property
    def categories(self) -> list[tuple[str, str]]:
        return [(code, category.name) for code, category in town().categories.items()]

    @property
    def units(self) -> list[tuple[str, str]]:
        """Units that still take work."""
        return [(code, unit.name) for code, unit in town().units.items() if unit.active]

    @property
    def stations(self) -> list[tuple[str, str]]:
        return [(code, station.name) for code, station in town().stations.items()]

    def deputies(self, station: str = "") -> list[tuple[str, str]]:
        """Deputies in office, of one station or of the town."""
        known = town().deputies.items()
        return [(code, d.name) for code, d in known if d.in_office and station in ("", d.station)]

    def unit_names(self, codes: Sequence[str]) -> str:
        return "、".join(town().unit_name(code) for code in codes)

    def reasons(self, kind: str) -> list[tuple[str, str]]:
        return [(code, f"{code} {reason.name}") for code, reason in town().reasons.items() if reason.kind == kind]


def level_name(level: int) -> str:
    """What a level of the ladder is called; the names are the township's own settings."""
    terms = town().policy_on(page_look().now.date()).levels[level]
    return terms.name_en if _english() and terms.name_en else terms.name


def this_path() -> str:
    """Where a language link leads back to. Never a tracking code: that would end up in somebody's history."""
    if request.blueprint == "public":
        return url_for("public.ask")
    return request.full_path.rstrip("?") if request.method == "GET" else request.path
