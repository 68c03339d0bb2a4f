"""The hub's half of the exchange: POST /sync/v1/<verb>, bytes in, bytes out.

No cookies, no CSRF token, no pages: who is asking is proven by the signature inside the body. Whatever a peer sends,
it gets a named error with a 4xx status; only a fault of our own is a 5xx, and then nothing has been stored. Stored is
not applied: the projection job is rung and folds what came.
"""

from __future__ import annotations

from typing import Protocol

import structlog
from flask import Blueprint, Response, request
from sqlalchemy.exc import OperationalError
from werkzeug.exceptions import HTTPException

from config import jobs
from service.node import Node
from sync.errors import Malformed, PeerBusy, SyncError, TooLarge, encode_error
from sync.limits import Limits
from sync.wire import CONTENT_TYPE

log = structlog.get_logger(__name__)

CHUNK_BYTES = 64 * 1024
ENVELOPE_BYTES = 64 * 1024  # what a push carries around its bundle
_BUNDLE_VERBS = frozenset({"push"})


class Answers(Protocol):
    """`sync.exchange.Responder`, as far as this page needs it."""

    def answer(self, verb: str, body: bytes) -> bytes:
        """Raises SyncError for whatever is refused."""
        ...


def blueprint(node: Node, responder: Answers, limits: Limits) -> Blueprint:
    """The one route, bound to this hub."""
    api = Blueprint("sync_api", __name__, url_prefix="/sync/v1")

    @api.post("/<verb>")
    def answer(verb: str) -> Response:
        try:
            reply = responder.answer(verb, _body(_ceiling(verb, limits)))
        except SyncError as error:
            log.info("sync.refused", verb=verb[:16], code=error.code)
            return _refusal(error)
        except OperationalError:
            log.exception("sync.database_unavailable", verb=verb[:16])
            return _refusal(PeerBusy())
        if verb in _BUNDLE_VERBS:
            node.jobs.request(jobs.PROJECTION)
        return _bytes(reply, 200)

    return api


def _ceiling(verb: str, limits: Limits) -> int:
    return limits.bundle_bytes_max + ENVELOPE_BYTES if verb in _BUNDLE_VERBS else limits.message_bytes_max


def _body(ceiling: int) -> bytes:
    """The request's body, never more than `ceiling` bytes of it. Raises TooLarge, Malformed."""
    if request.mimetype != CONTENT_TYPE:
        raise Malformed(what="content_type")
    if (request.content_length or 0) > ceiling:
        raise TooLarge(bytes=request.content_length, ceiling=ceiling)
    request.max_content_length = None  # the ceiling of forms is not ours; ours is counted below
    try:
        return _read(ceiling)
    except (HTTPException, OSError) as error:
        raise Malformed(what="body") from error  # the sender went away, or its chunks do not add up


def _read(ceiling: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    while part := request.stream.read(CHUNK_BYTES):
        size += len(part)
        if size > ceiling:
            raise TooLarge(bytes=size, ceiling=ceiling)
        parts.append(part)
    return b"".join(parts)


def _refusal(error: SyncError) -> Response:
    response = _bytes(encode_error(error), error.status)
    if isinstance(error, TooLarge):
        response.headers["Connection"] = "close"  # the rest of the body is not read
    return response


def _bytes(body: bytes, status: int) -> Response:
    response = Response(body, status=status, content_type=CONTENT_TYPE)
    response.headers["Cache-Control"] = "no-store"
    return response
