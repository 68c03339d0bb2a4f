"""接入 / 换电脑: the first page of a new computer. It joins the town with a code, over the line or by memory stick.

Only while this node serves no station, and only from the computer itself or for who may enrol computers: whoever sits
elsewhere in the network must not be able to give a fresh station to another hub. "From the computer itself" means the
address of the connection and the name in the address bar: a page of the internet that has its name answer with
127.0.0.1 keeps its own name. What comes through a proxy says so, or the proxy is set up to send people's own names.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from flask import Blueprint, redirect, render_template, request, session, url_for
from flask_babel import gettext as _
from sqlalchemy import func, select
from werkzeug.wrappers import Response

from service.actions import carrying, enrolling
from service.actions.hub_address import hub_url
from service.domain.people import Actor, Role, Step
from service.domain.refusals import Invalid, InvalidForm, NotAllowed, NotFound
from service.store import tables
from service.web import desk, sync_reasons
from service.web.forms import Form
from service.web.limits import limiter
from sync import peers
from sync.errors import CodeRefused, LinkError, SyncError
from sync.tables import ledger_streams

TRIES = "20 per minute"  # codes are too long to guess; this keeps a stuck key from filling the hub's log
ADDRESS_MAX = 300
JOINED = "joined"  # in the session
AT_THE_PC = Actor(account="setup", name="本机", role=Role.ADMIN)
_PROXIED = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP", "Via")
_OWN_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})

pages = Blueprint("joining", __name__, url_prefix="/join")


@dataclass(slots=True)
class Outcome:
    """What the last try came to: why not, whether the stick is the way now, and whether the request lies on it."""

    problem: str = ""
    try_stick: bool = False
    carried: bool = False


def is_offered() -> bool:
    """Whether this node still has to be enrolled, and whoever asks may do so."""
    node = desk.node()
    return not node.is_hub and node.station is None and _may_join()


def _may_join() -> bool:
    if desk.signed_in() and desk.actor().may(Step.ENROL_NODE):
        return True
    if any(name in request.headers for name in _PROXIED):
        return False
    return _is_loopback(request.remote_addr or "") and (urlsplit(f"//{request.host}").hostname or "") in _OWN_NAMES


def _is_loopback(address: str) -> bool:
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return False


def _require_open() -> None:
    """Raises NotFound once this node serves a station, NotAllowed from elsewhere."""
    if desk.node().station is not None:
        raise NotFound("page", request.path)
    if not _may_join():
        raise NotAllowed(Step.ENROL_NODE.value, "")


@pages.get("")
def show() -> Response | tuple[str, int]:
    if desk.node().station is not None:
        return redirect(url_for("auth.login"))
    _require_open()
    return _page(Form.received(hub_address=hub_url(desk.node()) or "", join_code="", folder="", stick=""), Outcome())


@pages.post("/line")
@limiter.limit(TRIES)
def by_line() -> Response | tuple[str, int]:
    _require_open()
    form, outcome = Form.received(), Outcome()
    with form.guard():
        address = _address(form)
        try:
            enrolling.enrol(desk.node(), _code(form), address=address, fetch=False)
            return _joined()
        except SyncError as error:
            outcome.problem = _said(error, sync_reasons.both(error.code))
            outcome.try_stick = isinstance(error, LinkError)
    return _page(form, outcome)


@pages.post("/stick")
@limiter.limit(TRIES)
def by_stick() -> Response | tuple[str, int]:
    _require_open()
    form, outcome = Form.received(), Outcome(try_stick=True)
    with form.guard():
        folder = form.text("folder") or form.text("stick")
        address = _address(form) if form.text("hub_address") else ""
        try:
            station = enrolling.enrol_by_stick(desk.node(), AT_THE_PC, _code(form), folder, address=address)
            if station is not None:
                return _joined()
            outcome.carried = True
        except SyncError as error:
            outcome.problem = _said(error, sync_reasons.stick_problem(error))
    if desk.node().station is not None:  # enrolled, and only the rest of the stick could not be read
        return _joined()
    return _page(form, outcome)


@pages.get("/joined")
def joined() -> Response | str:
    """How far the station's history has come, for the browser that joined; refreshed without a script."""
    node = desk.node()
    if node.station is None or not (desk.signed_in() or session.get(JOINED)):
        return redirect(url_for("auth.login"))
    with desk.looking() as look:
        contact = next(iter(peers.contacts(look.connection).values()), None)
        records = look.connection.execute(select(func.coalesce(func.sum(ledger_streams.c.seq), 0))).scalar_one()
        accounts = look.connection.execute(select(func.count()).select_from(tables.accounts)).scalar_one()
        name = look.town.station_name(node.station)
    complete = contact is not None and contact.last_verified_at is not None
    reason = contact.last_error_code if contact is not None else None
    return render_template(
        "station/joined.html", name=name, code=node.station, records=records, complete=complete, accounts=accounts,
        problem=sync_reasons.both(reason) if reason and not complete else "",
    )  # fmt: skip


def _joined() -> Response:
    session[JOINED] = True
    return redirect(url_for("joining.joined"))


def _address(form: Form) -> str:
    """The hub's address as it is kept. What is set for this computer counts; a typed one must be a web address."""
    typed = desk.node().settings.hub_url or form.text("hub_address")
    if not typed:
        raise Invalid("hub_address")
    whole = typed if "://" in typed else f"https://{typed}"
    try:
        parts = urlsplit(whole)
        fits = parts.scheme in ("https", "http") and parts.hostname and (parts.port or 1) and not parts.username
    except ValueError:
        fits = False
    if not fits or len(whole) > ADDRESS_MAX or not whole.isprintable() or any(sign in whole for sign in " ?#"):
        raise Invalid("hub_address", "not_an_address")
    return whole.rstrip("/")


def _code(form: Form) -> str:
    if not form.text("join_code"):
        raise InvalidForm((Invalid("join_code"),))
    return form.text("join_code")


def _said(error: SyncError, otherwise: str) -> str:
    """Why it did not work, for who typed a code."""
    if isinstance(error, CodeRefused) and error.data.get("fault") == "spelling":
        return _("接入码抄写有误:应为 12 个字母和数字(没有 0、1、I、O)。请对照原件再输一遍。")
    if isinstance(error, CodeRefused):
        return _("这个接入码不对、已经用过,或已过期。请向乡镇要一个新的接入码。")
    return otherwise


def _page(form: Form, outcome: Outcome) -> tuple[str, int]:
    node = desk.node()
    sticks = [(str(folder), f"{folder.name} ({folder})") for folder in carrying.sticks(node.settings)]
    page = render_template(
        "station/join.html", form=form, outcome=outcome, folders=sticks, fixed_address=node.settings.hub_url or ""
    )
    return page, 422 if outcome.problem else form.status
