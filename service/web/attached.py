"""附件 of an opinion: which are here and which are still on their way, and their content for who may see the opinion.

Content is only ever named together with its opinion: whoever may not see that one does not get the picture either,
whatever digest they know. Nothing of it stands on the public pages.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from io import BytesIO

from flask import Blueprint, Response, send_file
from flask_babel import gettext as _
from sqlalchemy import Connection

from service.actions.attaching import content_of
from service.actions.syncing import hub_of
from service.domain.opinions import MEDIA_TYPES, Attachment, Opinion
from service.domain.refusals import NotFound
from service.web import desk
from sync.blobs import AGAIN, Blob, BlobState

pages = Blueprint("attached", __name__)
desk.signed_in_only(pages)

# Opened by itself, a file may do nothing at all: no script, no form, no request, no frame around it.
SANDBOX = "default-src 'none'; sandbox; frame-ancestors 'none'"


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownFile:
    """One attachment as the page tells it. `words` say how far it has come; empty when there is nothing to say."""

    digest: str
    name: str
    caption: str
    size: int
    by: str
    attached_at: datetime
    is_picture: bool
    is_here: bool
    words: str


def shown(connection: Connection, opinion: Opinion) -> list[ShownFile]:
    """The opinion's attachments, oldest first."""
    store, digests = desk.node().blobs, [bytes.fromhex(known.digest) for known in opinion.attachments]
    here = {blob.digest: blob for blob in store.find_all(connection, digests)}
    hub = None if desk.node().is_hub else hub_of(connection)  # a county gets no content
    there = store.held_by(connection, hub.node, digests) if hub else {}
    return [
        _shown(known, here.get(digest), _sent(here.get(digest), there.get(digest)) if hub else "")
        for known, digest in zip(opinion.attachments, digests, strict=True)
    ]


def _shown(known: Attachment, blob: Blob | None, sent: str) -> ShownFile:
    is_here = blob is not None and blob.state is BlobState.COMPLETE
    is_picture = known.media_type.startswith("image/")
    return ShownFile(
        digest=known.digest, name=known.name, caption=known.caption, size=known.size, by=known.by.name,
        attached_at=known.attached_at, is_picture=is_picture, is_here=is_here,
        words=sent if is_here else _lacking(blob, is_picture=is_picture),
    )  # fmt: skip


def _lacking(blob: Blob | None, *, is_picture: bool) -> str:
    if blob is not None and blob.state is BlobState.ERASED:
        return _("内容已清除")
    if blob is not None and blob.state is BlobState.REFUSED:
        return _("文件太大,没有接收")
    percent = blob.percent if blob else 0
    if is_picture:
        return _("图片还没到,已到 %(percent)s%%", percent=percent)
    return _("文件还没到,已到 %(percent)s%%", percent=percent)


def _sent(blob: Blob | None, stated: tuple[str, int] | None) -> str:
    """At a station: how far the hub has it, as it stated last."""
    state, chunks = stated or ("", 0)
    if state == BlobState.COMPLETE:
        return _("已送到乡镇")
    percent = min(99, 100 * chunks // max(1, blob.chunk_count)) if blob else 0
    if state == AGAIN:
        return _("乡镇的那份不全,正在重新送,已到 %(percent)s%%", percent=percent)
    if percent:
        return _("正在送往乡镇,已到 %(percent)s%%", percent=percent)
    return _("还没送到乡镇")


@pages.get("/opinions/<opinion_id>/attachments/<digest>")
def content(opinion_id: str, digest: str) -> Response:
    with desk.looking() as look:
        opinion = look.opinion(opinion_id, desk.actor())
        known = next((one for one in opinion.attachments if one.digest == digest), None)
    data = content_of(desk.node(), bytes.fromhex(digest)) if known else None
    if known is None or data is None:
        raise NotFound("attachment", digest[:64])
    return _served(known, data)


def _served(known: Attachment, data: bytes) -> Response:
    """Only pictures are shown in the browser, and only as what they were found to be when they were taken in."""
    is_picture = known.media_type in ("image/jpeg", "image/png")
    media_type = known.media_type if known.media_type in MEDIA_TYPES else "application/octet-stream"
    name = "".join(letter for letter in known.name if letter.isprintable())  # another node's word, in a header
    answer = send_file(
        BytesIO(data), media_type, as_attachment=not is_picture, download_name=name or _("附件"), etag=False,
        conditional=False,
    )  # fmt: skip
    answer.headers["Content-Security-Policy"] = SANDBOX
    answer.headers["Cross-Origin-Resource-Policy"] = "same-origin"
    return answer
