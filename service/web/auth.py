"""Signing in and out, and one's own password. Accounts belong to this node; sessions hold an id and a stamp only."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from flask import Blueprint, Flask, flash, redirect, render_template, request, session, url_for
from flask_babel import gettext as _
from flask_login import LoginManager, login_user, logout_user
from werkzeug.wrappers import Response

from service.actions import accounts, scheduling
from service.domain.people import Actor
from service.domain.refusals import Invalid, InvalidForm
from service.web import desk, joining
from service.web.forms import Form
from service.web.limits import limiter

LOGIN_RATE = "20 per minute;200 per hour"  # per address; guessing at one account is slowed by the account itself

pages = Blueprint("auth", __name__)


@dataclass(frozen=True, slots=True)
class Session:
    """What Flask-Login keeps: who signed in, under which stamp."""

    account: str
    stamp: str
    actor: Actor
    is_authenticated: bool = True
    is_active: bool = True
    is_anonymous: bool = False

    def get_id(self) -> str:
        return f"{self.account}:{self.stamp}"


def set_up(app: Flask) -> None:
    # No "current_user" in every template: asking who it is needs the database, and a page says when that is away.
    login = LoginManager(app, add_context_processor=False)
    login.login_view = "auth.login"
    login.login_message = None
    login.user_loader(_load)


def _load(key: str) -> Session | None:
    """The session's account as it is now: a disabled account or a changed password ends it at once."""
    account, _sep, stamp = key.partition(":")
    actor = accounts.account_actor(desk.node(), account, stamp)
    if actor is not None:
        scheduling.note_somebody(desk.node())
    return Session(account, stamp, actor) if actor is not None else None


@pages.get("/")
def start() -> Response:
    if desk.signed_in():
        return redirect(desk.home())
    return redirect(url_for("joining.show" if joining.is_offered() else "auth.login"))


@pages.route("/login", methods=["GET", "POST"])
@limiter.limit(LOGIN_RATE, methods=["POST"])
def login() -> Response | tuple[str, int] | str:
    form = Form.received()
    if not form.sent:
        return _page(form) if not desk.signed_in() else redirect(_target())
    with form.guard():
        _enter(form)
        return redirect(_target())
    form.forget("password")
    return _page(form), form.status


def _page(form: Form) -> str:
    return render_template("login.html", form=form, next=_next(), may_join=joining.is_offered())


def _enter(form: Form) -> None:
    empty = [Invalid(name) for name in ("username", "password") if not form.text(name)]
    if empty:
        raise InvalidForm(tuple(empty))
    found = accounts.authenticate(desk.node(), form.text("username"), form.raw("password"))
    session.clear()  # nothing of whoever sat here before
    login_user(Session(found.account, found.stamp, found.actor))


@pages.post("/logout")
def logout() -> Response:
    logout_user()
    session.clear()
    return redirect(url_for("auth.login"))


@pages.route("/password", methods=["GET", "POST"])
@limiter.limit(LOGIN_RATE, methods=["POST"])
def password() -> Response | tuple[str, int] | str:
    if not desk.signed_in():
        return redirect(url_for("auth.login", next=url_for("auth.password")))
    form = Form.received()
    if form.sent:
        with form.guard():
            _change(form)
            flash(_("密码已更改,其他电脑上的登录已失效。"), "success")
            return redirect(desk.home())
    form.forget("old", "new", "again")
    return render_template("password.html", form=form), form.status


def _change(form: Form) -> None:
    if form.raw("new") != form.raw("again"):
        raise Invalid("again", "not_the_same")
    actor = desk.actor()
    with desk.node().unit(actor) as unit:
        stamp = accounts.change_password(unit, form.raw("old"), form.raw("new"))
    login_user(Session(actor.account, stamp, actor))


def local_path(wanted: str) -> str:
    """The path if it is one of this site, else empty: a link to sign in here must not lead away afterwards."""
    try:
        parts = urlsplit(wanted)
    except ValueError:
        return ""
    ours = not parts.scheme and not parts.netloc and wanted.startswith("/") and not wanted.startswith(("//", "/\\"))
    return wanted if ours and wanted.isprintable() else ""


def _next() -> str:
    return local_path(request.values.get("next", ""))


def _target() -> str:
    return _next() or desk.home()
