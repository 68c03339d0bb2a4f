"""The form on the page of an opinion that adds photos and scans. The only one that may send more than texts."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, flash, redirect, request, url_for
from flask_babel import gettext as _
from werkzeug.datastructures import FileStorage
from werkzeug.wrappers import Response

from service.actions.attaching import FILES_MAX, attach
from service.documents.uploads import FILE_BYTES_MAX, Upload, cleaned
from service.domain.people import Step
from service.domain.refusals import Invalid, InvalidForm
from service.web import desk, opinions
from service.web.forms import Form

# Three large files at once or six photos of a telephone: within the 32 MB that the hub's proxy is asked to take.
FORM_BYTES_MAX = 3 * FILE_BYTES_MAX + 1024 * 1024

pages = Blueprint("attaching", __name__)
desk.signed_in_only(pages)


@pages.url_value_preprocessor
def let_files_in(_endpoint: str | None, _values: dict[str, Any] | None) -> None:
    """Before anything reads the form, and for nobody who is not signed in."""
    if desk.signed_in():
        request.max_content_length = FORM_BYTES_MAX


@pages.post("/opinions/<opinion_id>/attachments")
def add(opinion_id: str) -> Response | tuple[str, int]:
    desk.actor().require(Step.ATTACH)
    with desk.looking() as look:
        look.opinion(opinion_id, desk.actor())
    form = Form.received()
    with form.guard():
        flash(_told(_attach(opinion_id, _read(), form.text("caption"))), "success")
        return redirect(url_for("opinions.show", opinion_id=opinion_id, _anchor="files"))
    return opinions.page(opinion_id, form), form.status


def _read() -> list[Upload]:
    """Every chosen file, cleaned; what is wrong with any of them is said at once, and none is kept then."""
    chosen = [file for file in request.files.getlist("files") if file.filename]
    if not chosen:
        raise Invalid("files")
    if len(chosen) > FILES_MAX:
        raise Invalid("files", "too_many_files", limit=FILES_MAX)
    uploads: list[Upload] = []
    problems: list[Invalid] = []
    for file in chosen:
        try:
            uploads.append(_cleaned(file))
        except Invalid as problem:
            problems.append(problem)
    if problems:
        raise InvalidForm(tuple(problems))
    return uploads


def _cleaned(file: FileStorage) -> Upload:
    return cleaned(file.filename or "", file.stream.read(FILE_BYTES_MAX + 1))


def _attach(opinion_id: str, uploads: list[Upload], caption: str) -> int:
    """The number of files that were not there already."""
    with desk.node().unit(desk.actor()) as unit:
        return sum(attach(unit, opinion_id, upload, caption) for upload in uploads)


def _told(added: int) -> str:
    return _("已添加 %(n)s 个附件。", n=added) if added else _("这些附件已经添加过,没有重复保存。")
