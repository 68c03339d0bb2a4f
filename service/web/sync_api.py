"""The hub's half of the exchange: POST /sync/v1/<verb>, bytes in, bytes out.

No cookies, no CSRF token, no pages: who is asking is proven by the signature inside the body. Whatever a peer sends,
it gets a named error with a 4xx status; only a fault of our own is a 5xx, and then nothing has been stored. Stored is
not applied: the projection job is rung and folds what came.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import IO

import structlog
from flask import Blueprint, Response, request
from sqlalchemy.exc import OperationalError
from werkzeug.exceptions import HTTPException

from config import jobs
from service.actions.syncing import announce_enrolled
from service.node import Node
from service.web.limits import limiter
from sync.errors import Malformed, PeerBusy, SyncError, TooLarge, encode_error
from sync.exchange import Responder
from sync.limits import Limits
from sync.wire import CONTENT_TYPE

log = structlog.get_logger(__name__)

ENVELOPE_BYTES = 64 * 1024  # more than what a push carries around its bundle


def blueprint(node: Node, responder: Responder, limits: Limits) -> Blueprint:
    """The one route, bound to this hub."""
    api = Blueprint("sync_api", __name__, url_prefix="/sync/v1")

    @api.post("/<verb>")
    @limiter.exempt  # a whole township may stand behind one address; codes and signatures are too long to guess
    def answer(verb: str) -> Response:
        try:
            reply = responder.answer(verb, _body(limits.bundle_bytes_max))
        except SyncError as error:
            log.info("sync.refused", verb=verb[:16], code=error.code)
            return _bytes(encode_error(error), error.status)
        except OperationalError:
            log.exception("sync.database_unavailable", verb=verb[:16])
            return _bytes(encode_error(PeerBusy()), PeerBusy.status)
        _after(node, verb)
        return _bytes(reply, 200)

    return api


def _after(node: Node, verb: str) -> None:
    """What to do once the answer's transaction has committed. Losing it costs seconds: sweeps do the same."""
    if verb == "push":
        node.jobs.request(jobs.PROJECTION)
    elif verb == "enrol":
        announce_enrolled(node)


@dataclass(frozen=True, slots=True)
class _Body:
    """The request's body, read piece by piece; the responder stops reading at its ceiling."""

    stream: IO[bytes]

    def read(self, size: int, /) -> bytes:
        try:
            return self.stream.read(size)
        except (HTTPException, OSError) as error:
            raise Malformed(what="body") from error  # the sender went away, or its chunks do not add up


def _body(ceiling: int) -> _Body:
    """Raises Malformed for what no node of ours sends, TooLarge before a byte is read that is not worth it."""
    if request.mimetype != CONTENT_TYPE:
        raise Malformed(what="content_type")
    if (request.content_length or 0) > ceiling + ENVELOPE_BYTES:
        raise TooLarge(bytes=request.content_length, ceiling=ceiling)
    # The application's ceiling is made for forms. A number, since None would only bring that one back.
    request.max_content_length = ceiling + ENVELOPE_BYTES
    return _Body(request.stream)


def _bytes(body: bytes, status: int) -> Response:
    return Response(body, status=status, content_type=CONTENT_TYPE)
