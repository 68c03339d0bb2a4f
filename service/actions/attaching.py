"""附件: a photo or scan is attached to an opinion, by whoever works on it."""

from __future__ import annotations

import structlog

from service.actions.routing import load, record
from service.documents.uploads import Upload
from service.domain import facts as f
from service.domain.opinions import DROPPED, Opinion
from service.domain.people import Actor, Step
from service.domain.refusals import Invalid, Refused, WrongState
from service.node import Node
from service.store import erased
from service.store.unit import Unit
from sync.blobs import BlobState
from sync.errors import BlobErased, NoSpace

log = structlog.get_logger(__name__)

FILES_MAX = 20  # of one opinion: twenty photos of half a megabyte are half an hour of a village line
CAPTION_MAX = 200


def may_attach(actor: Actor, opinion: Opinion) -> bool:
    """Whether the page offers it: also after closing, when the repaired road is photographed."""
    return actor.may(Step.ATTACH) and opinion.state not in DROPPED


def attach(unit: Unit, opinion_id: str, upload: Upload, caption: str = "") -> bool:
    """Record that the upload belongs to the opinion; False when the very same content is attached already.

    Works with the network down: content and fact are here at once, and travel one after the other.
    Raises NotAllowed, NotFound, WrongState, Invalid("files" or "caption"), Refused where the reporter's data were
    erased: nobody can tell there what a later picture would bring back.
    """
    opinion = load(unit, opinion_id, Step.ATTACH, f.Attached)
    if opinion.state in DROPPED:
        raise WrongState(Step.ATTACH.value, opinion.state.value)
    words = caption.strip()
    if len(words) > CAPTION_MAX:
        raise Invalid("caption", "too_long", limit=CAPTION_MAX)
    if opinion.registered is not None and erased.cases(unit.connection, [opinion.id]):
        raise Refused("attachments_erased")
    if any(known.digest == upload.digest for known in opinion.attachments):
        return False
    if len(opinion.attachments) >= FILES_MAX:
        raise Invalid("files", "too_many_files", limit=FILES_MAX)
    _keep(unit, upload)
    fact = f.Attached(digest=upload.digest, size=len(upload.content), media_type=upload.media_type,
                      name=upload.name, caption=words)  # fmt: skip
    record(unit, opinion, fact)
    return True


def content_of(node: Node, digest: bytes) -> bytes | None:
    """The content of an attachment; None while it is not here. What was damaged on this disk is fetched again."""
    with node.reading() as connection:
        content, blob = node.blobs.read(connection, digest), node.blobs.find(connection, digest)
    if content is None and blob is not None and blob.state is BlobState.COMPLETE:
        log.warning("attachments.damaged", digest=digest.hex())
        with node.engine.begin() as connection:
            node.blobs.look_again(connection, digest)
    return content


def _keep(unit: Unit, upload: Upload) -> None:
    try:
        unit.node.blobs.add(unit.connection, upload.content, upload.media_type)
    except NoSpace as error:
        raise Invalid("files", "no_room") from error
    except BlobErased as error:
        raise Invalid("files", "file_erased", name=upload.name) from error
