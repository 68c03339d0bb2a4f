"""督办: cases by the level their running clock has reached, the form that goes out, its answer and its revocation."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from flask import Blueprint, flash, redirect, render_template, url_for
from flask_babel import gettext as _
from werkzeug.wrappers import Response

from service.actions import escalating
from service.domain import facts as f
from service.domain.casework import clock_of
from service.domain.clocks import Clock, ClockKind
from service.domain.opinion_fold import fits
from service.domain.opinions import Card, Opinion
from service.domain.people import Actor, Step
from service.domain.refusals import NotFound
from service.store import queries
from service.store.queries import CardRow
from service.web import desk
from service.web.desk import Look
from service.web.field_names import shown_as
from service.web.forms import Form
from service.web.sent_twice import sent_before
from service.web.words import N_, word

pages = Blueprint("supervision", __name__, url_prefix="/hub/supervision")
desk.signed_in_only(pages)

NAVIGATION = desk.NavItem(
    endpoint="supervision.board", label=N_("督办"), shown=lambda actor: actor.may(Step.SEE_OPINIONS)
)
LEVELS_DOWN = (4, 3, 2, 1, 0)
ROWS_MAX = 100
REVOKED_DAYS = 90

Page = str | Response | tuple[str, int]


def may_select_key(actor: Actor, opinion: Opinion) -> bool:
    return actor.may(Step.SELECT_KEY) and fits(opinion, f.KeySelected) and not opinion.key_item


NEXT_STEP = desk.NextStep(
    endpoint="supervision.select_key", label=N_("选为重点督办"), offered=may_select_key, kinds=(f.KeySelected,)
)


# --- the board -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardLine:
    """A case on the board and who owes the next step; days are working days, `feedback_late` past the day asked for."""

    card: CardRow
    owner: str
    overdue: int
    feedback_late: int


@pages.get("")
def board() -> str:
    actor = desk.actor()
    actor.require(Step.SEE_OPINIONS)
    unit = (actor.unit or "-") if actor.of_unit else None
    with desk.looking() as look:
        found = {
            level: queries.supervised(look.connection, level, unit=unit, station=actor.station, limit=ROWS_MAX)
            for level in LEVELS_DOWN
        }
        revoked = queries.revoked_cards(look.connection, since=look.now - timedelta(days=REVOKED_DAYS))
        return render_template(
            "hub/supervision.html", town=look.town,
            sections=[(level, [board_line(look, card) for card in found[level]]) for level in LEVELS_DOWN],
            counts=queries.count_supervised(look.connection, unit=unit, station=actor.station),
            revoked=() if unit is not None or actor.station is not None else revoked,
            may_revoke=actor.may(Step.REVOKE_CARD),
        )  # fmt: skip


def board_line(look: Look, card: CardRow) -> BoardLine:
    calendar, today = look.town.calendar, look.today
    overdue = calendar.overdue(card.due_on, today).days if card.due_on else 0
    waits = card.awaits_feedback() and card.feedback_due is not None
    late = calendar.overdue(card.feedback_due, today).days if waits and card.feedback_due else 0
    return BoardLine(
        card=card,
        owner=_owner(look, card.station, card.clock.split(":")[1], card.unit),
        overdue=overdue,
        feedback_late=late,
    )


def _owner(look: Look, station: str, clock_kind: str, unit: str) -> str:
    """Units owe what they were given, the township's desk the screening, the station answers and follow-ups."""
    if clock_kind == ClockKind.SCREENING:
        return _("乡镇受理台")
    of_unit = clock_kind in (ClockKind.HANDLING, ClockKind.STATUTORY)
    return look.town.unit_name(unit) if of_unit else look.town.station_name(station)


@pages.app_template_global()
def card_url(card: CardRow) -> str:
    """Where a card of a list is shown."""
    opinion, kind, ordinal = card.clock.split(":")
    return _address(CardKey(opinion, kind, int(ordinal), card.level))


# --- one card --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CardKey:
    """Which card: the clock's kind and ordinal within the opinion, and the level."""

    opinion: str
    kind: str
    ordinal: int
    level: int

    @property
    def clock(self) -> str:
        return f"{self.opinion}:{self.kind}:{self.ordinal}"


_CARD = "/<opinion_id>/<kind>/<int:ordinal>/<int:level>"


@pages.get(_CARD)
def card(opinion_id: str, kind: str, ordinal: int, level: int) -> Page:
    return _card_page("hub/card.html", CardKey(opinion_id, kind, ordinal, level), Form.received())


@pages.get(_CARD + "/print")
def note(opinion_id: str, kind: str, ordinal: int, level: int) -> Page:
    return _card_page("hub/card_note.html", CardKey(opinion_id, kind, ordinal, level), Form.received())


@pages.post(_CARD + "/answer")
def answer(opinion_id: str, kind: str, ordinal: int, level: int) -> Page:
    key, form = CardKey(opinion_id, kind, ordinal, level), Form.received()
    with form.guard():
        with desk.node().unit(desk.actor()) as unit, shown_as(text="feedback"):
            if not sent_before(unit, opinion_id, form, f.CardAnswered):
                escalating.answer_card(unit, opinion_id, key.clock, level, form.text("feedback"))
        flash(_("反馈已记录。"), "success")
        return redirect(_address(key))
    return _card_page("hub/card.html", key, form)


@pages.post(_CARD + "/revoke")
def revoke(opinion_id: str, kind: str, ordinal: int, level: int) -> Page:
    key, form = CardKey(opinion_id, kind, ordinal, level), Form.received()
    with form.guard():
        with desk.node().unit(desk.actor()) as unit:
            if not sent_before(unit, opinion_id, form, f.CardRevoked):
                escalating.revoke_card(unit, opinion_id, key.clock, level, form.text("reason"))
        flash(_("已撤销,记录保留。"), "success")
        return redirect(_address(key))
    return _card_page("hub/card.html", key, form)


def _address(key: CardKey) -> str:
    return url_for("supervision.card", opinion_id=key.opinion, kind=key.kind, ordinal=key.ordinal, level=key.level)


def _card_page(template: str, key: CardKey, form: Form) -> Page:
    actor = desk.actor()
    actor.require(Step.SEE_OPINIONS)
    with desk.looking() as look:
        opinion = look.opinion(key.opinion, actor)
        found = _find(opinion, key)
        reg, given = opinion.registered, opinion.assignment
        assert reg is not None
        waits = found.level >= 1 and not found.revoked
        page = render_template(
            template, opinion=opinion, reg=reg, assignment=given, card=found, key=key,
            form=form, town=look.town, clock=_clock(look, opinion, key),
            owner=_owner(look, reg.station, key.kind, given.unit if given else ""),
            may_answer=waits and actor.may(Step.ANSWER_CARD), may_revoke=waits and actor.may(Step.REVOKE_CARD),
            addressees=[_addressee(look, text) for text in found.addressees],
        )  # fmt: skip
    return page, form.status


def _find(opinion: Opinion, key: CardKey) -> Card:
    """The card, the newest where a level has several marks. Raises NotFound."""
    found = [card for card in opinion.cards if card.clock == key.clock and card.level == key.level]
    if not found:
        raise NotFound("card", f"{key.clock}:{key.level}")
    return found[-1]


def _clock(look: Look, opinion: Opinion, key: CardKey) -> Clock | None:
    span = opinion.span(key.clock)
    return clock_of(opinion, span, look.town) if span else None


def _addressee(look: Look, text: str) -> str:
    """`unit_head:water` → 承办单位负责人(水务所)."""
    role, _sep, key = text.partition(":")
    deputy = look.town.deputies.get(key)
    names = {"chief": look.town.station_name(key), "deputy": deputy.name if deputy else ""}
    place = names.get(role, look.town.unit_name(key)) if key else ""
    return f"{word(role, 'role')}({place})" if place else word(role, "role")


# --- key items -------------------------------------------------------------------------------------------------


@pages.route("/key/<opinion_id>", methods=["GET", "POST"])
def select_key(opinion_id: str) -> Page:
    actor, form = desk.actor(), Form.received()
    actor.require(Step.SELECT_KEY)
    if form.sent:
        with form.guard():
            with desk.node().unit(actor) as unit:
                if not sent_before(unit, opinion_id, form, f.KeySelected):
                    escalating.select_key_item(unit, opinion_id, form.text("reason"))
            flash(_("已选为重点督办。"), "success")
            return redirect(url_for("opinions.show", opinion_id=opinion_id))
    with desk.looking() as look:
        opinion = look.opinion(opinion_id, actor)
        page = render_template("hub/select_key.html", opinion=opinion, reg=opinion.registered, form=form)
    return page, form.status
