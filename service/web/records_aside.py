"""待处理记录: records that could not be taken in, why, and what the hub's people can do about each.

Nothing is deleted here. A decision is recorded as a fact beside the record; the sweep then tries the subject again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields
from typing import Any

from flask import Blueprint, flash, redirect, render_template, url_for
from flask_babel import gettext as _
from werkzeug.wrappers import Response

from service.actions import judging
from service.domain import facts as f
from service.domain.people import Step
from service.domain.refusals import Invalid, NotFound, Refused
from service.store import aside_queries
from service.store.aside_queries import AsideEvent, AsideRow
from service.web import desk
from service.web.desk import Look
from service.web.forms import Form

pages = Blueprint("records_aside", __name__, url_prefix="/hub/stations/aside")
desk.signed_in_only(pages)

Page = str | Response | tuple[str, int]


@pages.get("")
def listing() -> str:
    desk.actor().require(Step.JUDGE_RECORD)
    with desk.looking() as look:
        rows = aside_queries.rows(look.connection, desk.node().ledger)
        return render_template("hub/aside.html", rows=rows, town=look.town, most=aside_queries.SHOWN_MAX)


@pages.get("/<kind>/<path:key>")
def show(kind: str, key: str) -> Page:
    return _subject_page(f"{kind}/{key}", Form.received())


@pages.post("/<kind>/<path:key>/retry")
def retry(kind: str, key: str) -> Response:
    with desk.node().unit(desk.actor()) as unit:
        judging.retry(unit, f"{kind}/{key}")
    return _decided(_("已安排重新整理,几秒后刷新本页查看结果。"))


@pages.post("/<kind>/<path:key>/reject")
def reject(kind: str, key: str) -> Page:
    subject, form = f"{kind}/{key}", Form.received()
    with form.guard():
        with desk.node().unit(desk.actor()) as unit:
            if not form.text("event"):
                raise Invalid("event")
            judging.set_aside(unit, subject, form.text("event"), form.text("why"))
        return _decided(_("已退回,不计入办理;记录本身永久保留,该站会看到理由。"))
    return _subject_page(subject, form)


@pages.route("/<kind>/<path:key>/correct/<event>", methods=["GET", "POST"])
def correct(kind: str, key: str, event: str) -> Page:
    subject, actor = f"{kind}/{key}", desk.actor()
    actor.require(Step.JUDGE_RECORD)
    actor.require(Step.SEE_OPINIONS)
    with desk.looking() as look:
        row, record = _aside(look, subject), _record(look, subject, event)
        shape = f.shape(record.kind)
        if shape is None or record.kind.startswith("record."):
            raise Refused("kind_not_correctable")
        form = _filled(look, subject, event, shape)
        if form.sent:
            with form.guard():
                with desk.node().unit(actor) as unit:
                    judging.correct(unit, subject, event, _typed(form, shape), form.text("why"))
                return _decided(_("已按更正内容采用;原记录永久保留,该站会看到理由。"))
        page = render_template("hub/aside_correct.html", row=row, record=record, form=form, town=look.town,
                               inputs=[(field.name, _input(field)) for field in _fields(shape)])  # fmt: skip
    return page, form.status


def _subject_page(subject: str, form: Form) -> Page:
    actor = desk.actor()
    actor.require(Step.JUDGE_RECORD)
    with desk.looking() as look:
        page = render_template(
            "hub/aside_subject.html", row=_aside(look, subject), form=form, town=look.town,
            events=aside_queries.events(look.connection, desk.node().ledger, subject),
            may_read=actor.may(Step.SEE_OPINIONS), correctable=_correctable,
        )  # fmt: skip
    return page, form.status


def _decided(sentence: str) -> Response:
    flash(sentence, "success")
    return redirect(url_for("records_aside.listing"))


def _aside(look: Look, subject: str) -> AsideRow:
    rows = aside_queries.rows(look.connection, desk.node().ledger)
    found = next((row for row in rows if row.subject == subject), None)
    if found is None:
        raise NotFound("record", subject)
    return found


def _record(look: Look, subject: str, event_id: str) -> AsideEvent:
    events = aside_queries.events(look.connection, desk.node().ledger, subject)
    found = next((event for event in events if event.event_id == event_id), None)
    if found is None:
        raise NotFound("record", event_id)
    return found


def _correctable(event: AsideEvent) -> bool:
    return not event.decided and not event.kind.startswith("record.") and f.shape(event.kind) is not None


# --- a fact as a form ----------------------------------------------------------------------------------------------


def _fields(shape: type[f.Fact]) -> tuple[Field[Any], ...]:
    return fields(shape)  # type: ignore[arg-type]


def _input(field: Field[Any]) -> str:
    """How a field is typed: flag, lines, json, long or text."""
    kind = str(field.type).removesuffix(" | None")
    if kind in ("bool", "date", "int", "float"):
        return {"bool": "flag"}.get(kind, "text")
    if kind.startswith("tuple"):
        return "lines"
    if kind.startswith("dict"):
        return "json"
    return "long" if field.name in ("body", "text", "record", "requirement") else "text"


def _filled(look: Look, subject: str, event: str, shape: type[f.Fact]) -> Form:
    """The form as sent; at first with what the record says, as far as it can be read."""
    form = Form.received()
    if not form.sent:
        written = aside_queries.written(look.connection, desk.node().ledger, subject, event)
        for field in _fields(shape):
            form.typed[field.name] = _shown(written.get(field.name))
    return form


def _shown(value: Any) -> str:
    if value is None or value is False:
        return ""
    if value is True:
        return "1"
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return "\n".join(value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _typed(form: Form, shape: type[f.Fact]) -> Mapping[str, Any]:
    """The fields as plain values; what was left empty keeps its default. Raises Invalid for a needed one."""
    values: dict[str, Any] = {}
    for field in _fields(shape):
        value = _value(form, field)
        if value is not None:
            values[field.name] = value
        elif field.default is MISSING and field.default_factory is MISSING:
            raise Invalid(field.name)
    return values


def _value(form: Form, field: Field[Any]) -> Any:
    """What was typed; None for nothing."""
    match _input(field):
        case "flag":
            return form.flag(field.name)
        case "lines":
            return form.text(field.name).splitlines()
        case "json":
            return _json(form, field.name)
        case _:
            return form.text(field.name) or None


def _json(form: Form, name: str) -> Any:
    try:
        return json.loads(form.text(name) or "{}")
    except ValueError:
        raise Invalid(name, "does_not_fit") from None
