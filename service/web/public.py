"""群众查询: progress by tracking code. The code is the whole authority, so nothing personal is ever on these pages.

The code travels in the body of a form; only the QR link carries it in a path, and such a page sends no referrer, is
never stored, and leads on without it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime

from flask import Blueprint, Response, flash, make_response, render_template
from flask_babel import gettext as _

from service.actions.following_up import ask_reopen, rate_by_code
from service.actions.registering import tracking_hash
from service.domain import facts as f
from service.domain.casework import standing
from service.domain.opinions import Opinion, State
from service.domain.people import SYSTEM
from service.domain.refusals import Invalid, Refused
from service.domain.town import Town
from service.store import queries, station_queries
from service.store.queries import OpinionFilter, OpinionRow
from service.store.unit import Unit
from service.web import desk
from service.web.field_names import shown_as
from service.web.forms import Form
from service.web.limits import limiter
from service.web.steps import taken_before
from service.web.words import word

ASK_RATE = "20 per minute;200 per hour"  # per address; the code itself has 57 bits
ANSWERED = (State.REPLIED, State.CLOSED, State.EXPLAINED)

pages = Blueprint("public", __name__, url_prefix="/p")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A stage of the way; `at` when it was reached, None if not yet. `now` marks the one it stands at."""

    label: str
    at: datetime | None
    now: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """All a code holder gets to see. No name, no words, no place below the station."""

    reg_no: str
    station: str
    sentence: str
    stages: tuple[Stage, ...]
    expected_on: date | None
    late: bool
    provisional: bool
    outcome: str
    replied_at: datetime | None
    may_rate: bool
    may_ask_reopen: bool
    reopen_asked: bool
    rating: str


@pages.after_request
def keep_quiet(response: Response) -> Response:
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["X-Robots-Tag"] = "noindex, nofollow"
    return response


@pages.get("")
def ask() -> str:
    return render_template("public/ask.html", form=Form.received(code=""))


@pages.get("/<code>")
@limiter.limit(ASK_RATE)
def by_link(code: str) -> Response | tuple[str, int]:
    """The QR code's address."""
    return _answer(Form.received(), code, None)


@pages.post("")
@limiter.limit(ASK_RATE)
def by_code() -> Response | tuple[str, int]:
    form = Form.received()
    return _answer(form, form.text("code"), None)


@pages.post("/rating")
@limiter.limit(ASK_RATE)
def rate() -> Response | tuple[str, int]:
    """我要评价."""

    def act(unit: Unit, opinion: str, form: Form) -> None:
        with shown_as(reason="rating_reason"):  # two forms on one page ask for a reason
            rate_by_code(unit, opinion, overall=form.raw("overall"), reason=form.text("rating_reason"))

    form = Form.received()
    return _answer(form, form.text("code"), _once((f.Rated,), act, _("已收到您的评价,谢谢。")))


@pages.post("/reopening")
@limiter.limit(ASK_RATE)
def reopening() -> Response | tuple[str, int]:
    """申请重新办理."""

    def act(unit: Unit, opinion: str, form: Form) -> None:
        ask_reopen(unit, opinion, form.text("reason"), by_code=True)

    form = Form.received()
    return _answer(form, form.text("code"), _once((f.ReopenRequested,), act, _("已收到您的申请,乡镇将作出决定。")))


Act = Callable[[Unit, str, Form], None]


def _once(kinds: tuple[type[f.Fact], ...], act: Act, thanks: str) -> Callable[[str, Form], None]:
    """The action as a unit of its own, done once however often the form is sent."""

    def do(opinion_id: str, form: Form) -> None:
        with desk.node().unit(SYSTEM) as unit:
            if not taken_before(unit.opinion(opinion_id), kinds, form.raw("opened"), SYSTEM.account):
                act(unit, opinion_id, form)
        flash(thanks, "success")
        form.forget("overall", "rating_reason", "reason")

    return do


def _answer(form: Form, code: str, do: Callable[[str, Form], None] | None) -> Response | tuple[str, int]:
    """The progress page; with a message on the asking page when no opinion has this code."""
    row = None
    with form.guard():
        row = _find(code)
    if row is None:
        return render_template("public/ask.html", form=form), form.status
    if do is not None:
        with form.guard():
            do(row.id, form)
    return make_response(_page(form, code, row.id), form.status)


def _find(code: str) -> OpinionRow:
    """Raises Refused: empty, or known to nobody here."""
    if not code:
        raise Invalid("code")
    with desk.node().reading() as connection:
        row = queries.opinion_by_tracking(connection, tracking_hash(code[:60]))
    if row is None:
        raise Refused("unknown_code", "code")
    return row


def _page(form: Form, code: str, opinion_id: str) -> str:
    node = desk.node()
    with desk.looking() as look:
        opinion = station_queries.case(look.connection, node.ledger, node.hub_nodes, opinion_id, OpinionFilter())
        assert opinion is not None
        return render_template(
            "public/progress.html", form=form, code=code, progress=progress(opinion, look.town, look.now),
            opened=str(look.now.timestamp()), here=look.town.stated,
        )  # fmt: skip


# --- what is told ------------------------------------------------------------------------------------------------


def progress(opinion: Opinion, town: Town, at: datetime) -> Progress:
    """What the holder of the code may know."""
    registered, now = opinion.registered, standing(opinion, town)
    assert registered is not None
    unit = town.unit_name(opinion.assignment.unit) if opinion.assignment else ""
    rating = opinion.rating
    return Progress(
        reg_no=registered.reg_no, station=town.station_name(registered.station),
        sentence=word(opinion.state.value, "public_state", unit=unit), stages=_stages(opinion),
        expected_on=now.due_on if _awaits_reply(opinion) else None, provisional=now.provisional,
        late=_awaits_reply(opinion) and now.due_at is not None and at > now.due_at,
        outcome=opinion.outcome if opinion.state in ANSWERED else "",
        replied_at=opinion.delivered_at if opinion.state in ANSWERED else None,
        may_rate=opinion.state in ANSWERED, may_ask_reopen=opinion.state in ANSWERED and opinion.reopen_asked is None,
        reopen_asked=opinion.reopen_asked is not None, rating=rating.overall if rating else "",
    )  # fmt: skip


def _awaits_reply(opinion: Opinion) -> bool:
    """The date is promised once it is known who answers; before that only the screening has a term."""
    return opinion.state in (State.DIRECT, State.DISPATCHED, State.HANDLING, State.RETURN_PENDING)


def _stages(opinion: Opinion) -> tuple[Stage, ...]:
    assignment = opinion.assignment
    sent = assignment.dispatched_at if assignment else None
    routed = sent or _routed_at(opinion)
    reached = [(_("登记"), opinion.registered_at), (_("筛选分流"), routed)]
    if assignment is not None:
        reached += [(_("交办"), sent), (_("签收办理"), assignment.signed_at)]
    done = opinion.state in ANSWERED
    reached += [(_("答复"), opinion.delivered_at if done else None), (_("办结"), opinion.closed_at)]
    waiting = next((n for n, (_label, at) in enumerate(reached) if at is None), None)
    return tuple(Stage(label=label, at=at, now=n == waiting) for n, (label, at) in enumerate(reached))


def _routed_at(opinion: Opinion) -> datetime | None:
    decided = (f.RoutedDirect, f.Explained, f.Merged)
    found = (entry.record.occurred_at for entry in opinion.timeline if isinstance(entry.record.fact, decided))
    return next(found, None)
