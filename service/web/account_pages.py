"""账号: who may sign in at this node, as what. Names stay with what they did after an account has ended."""

from __future__ import annotations

from flask import Blueprint, flash, redirect, render_template, url_for
from flask_babel import gettext as _
from werkzeug.wrappers import Response

from service.actions import accounts
from service.domain.people import Role, Step
from service.web import desk
from service.web.forms import Form
from service.web.words import N_, word

pages = Blueprint("account_pages", __name__, url_prefix="/hub/accounts")
desk.signed_in_only(pages)

NAVIGATION = desk.NavItem(
    endpoint="account_pages.listing", label=N_("账号"), shown=lambda actor: actor.may(Step.MANAGE_ACCOUNTS)
)

Page = str | Response | tuple[str, int]


@pages.get("")
def listing() -> str:
    with desk.node().unit(desk.actor()) as unit:
        return render_template("hub/accounts.html", rows=accounts.list_accounts(unit), town=unit.town,
                               own=desk.actor().account, now=unit.now)  # fmt: skip


@pages.route("/new", methods=["GET", "POST"])
def create() -> Page:
    actor, form = desk.actor(), Form.received()
    actor.require(Step.MANAGE_ACCOUNTS)
    if form.sent:
        with form.guard():
            with desk.node().unit(actor) as unit:
                accounts.create_account(unit, _new(form))
            flash(_("账号已建立,请把密码当面交给本人,并请其登录后更改。"), "success")
            return redirect(url_for("account_pages.listing"))
    form.forget("password")
    with desk.looking() as look:
        page = render_template("hub/account_new.html", form=form, town=look.town, roles=_roles())
    return page, form.status


def _new(form: Form) -> accounts.NewAccount:
    return accounts.NewAccount(
        username=form.text("username"), name=form.text("name"), role=form.text("role"),
        password=form.raw("password"), station=form.text("station"), unit=form.text("unit"),
        deputy=form.text("deputy"),
    )  # fmt: skip


def _roles() -> list[tuple[str, str]]:
    return [(role.value, word(role.value, "role")) for role in Role if role is not Role.SYSTEM]


@pages.post("/<account_id>/disable")
def disable(account_id: str) -> Page:
    with desk.node().unit(desk.actor()) as unit:
        accounts.disable_account(unit, account_id)
    flash(_("账号已停用,其登录已失效。"), "success")
    return redirect(url_for("account_pages.listing"))


@pages.route("/<account_id>/password", methods=["GET", "POST"])
def reset(account_id: str) -> Page:
    actor, form = desk.actor(), Form.received()
    actor.require(Step.MANAGE_ACCOUNTS)
    if form.sent:
        with form.guard():
            with desk.node().unit(actor) as unit:
                accounts.reset_password(unit, account_id, form.raw("password"))
            flash(_("密码已重设,请当面告知本人,并请其登录后更改。"), "success")
            return redirect(url_for("account_pages.listing"))
    form.forget("password")
    with desk.node().unit(actor) as unit:
        row = next((row for row in accounts.list_accounts(unit) if row.id == account_id), None)
    return render_template("hub/account_password.html", form=form, row=row), form.status
