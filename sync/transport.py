"""The way to a peer: one request, one answer, both bytes.

Whatever sits on the line is told apart here, so that the screen can name it: no network, a slow one, a hotel's login
page, a proxy's error page, the peer's own refusal.
"""

import time
from collections.abc import Callable, Iterator
from http import HTTPStatus
from typing import Final, Protocol

import requests

from sync.errors import (
    AnswerCut,
    CaptivePortal,
    LinkError,
    Malformed,
    PeerBusy,
    PeerFailed,
    SyncError,
    TimedOut,
    TlsFailed,
    TooLarge,
    UnexpectedAnswer,
    Unreachable,
    decode_error,
)
from sync.limits import MIB
from sync.wire import CONTENT_TYPE

_CHUNK_BYTES: Final = 64 * 1024
_ERROR_BYTES_MAX: Final = 64 * 1024


class Transport(Protocol):
    """Carries a request to the peer and brings its answer. Raises the peer's refusal or a `LinkError`, by name."""

    def post(self, verb: str, body: bytes) -> bytes: ...


class HttpTransport:
    """Requests to `{base_url}/sync/v1/{verb}` over one kept connection.

    Every wait is bounded: connecting, each read, and the request as a whole (`total_s`). The environment's proxy
    settings are not looked at; a proxy is given here. `ca_file` names the certificate authority of an own hub.
    """

    def __init__(
        self,
        base_url: str,
        *,
        connect_s: float = 10,
        read_s: float = 30,
        total_s: float = 120,
        answer_bytes_max: int = 20 * MIB,
        ca_file: str | None = None,
        proxy: str | None = None,
        software: str = "lianxin",
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._base = base_url.rstrip("/") + "/sync/v1/"
        self._timeout = (connect_s, read_s)
        self.total_s = total_s
        self._answer_bytes_max = answer_bytes_max
        self._monotonic = monotonic
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.verify = ca_file or True
        self._session.proxies = {"http": proxy, "https": proxy} if proxy else {}
        self._session.headers.clear()
        self._session.headers.update({"User-Agent": software, "Content-Type": CONTENT_TYPE})

    def post(self, verb: str, body: bytes) -> bytes:
        deadline = self._monotonic() + self.total_s
        try:
            with self._session.post(
                self._base + verb, data=body, timeout=self._timeout, stream=True, allow_redirects=False
            ) as response:
                return self._answer(response, deadline)
        except requests.RequestException as error:
            raise _link_error(error) from error

    def close(self) -> None:
        self._session.close()

    def _answer(self, response: requests.Response, deadline: float) -> bytes:
        ours = response.headers.get("Content-Type", "").split(";")[0].strip() == CONTENT_TYPE
        if not ours:
            raise _stranger(response)
        if response.status_code == HTTPStatus.OK:
            return self._read(response, deadline, self._answer_bytes_max)
        raise _refusal(self._read(response, deadline, _ERROR_BYTES_MAX))

    def _read(self, response: requests.Response, deadline: float, ceiling: int) -> bytes:
        """The body as far as it came. Whatever arrived is looked at at once: a server that drips must not stretch a
        request beyond its deadline, as reading in full pieces would let it.
        """
        if "Content-Encoding" in response.headers:
            raise AnswerCut(cause="content encoding")  # nobody asked for one; a proxy is at work
        parts, size = [], 0
        while part := _arrived(response):
            size += len(part)
            if size > ceiling:
                raise TooLarge(what="answer", ceiling=ceiling)
            if self._monotonic() > deadline:
                raise TimedOut(after_s=self.total_s)
            parts.append(part)
        stated = response.headers.get("Content-Length")
        if stated is not None and stated.isdigit() and int(stated) != size:
            raise AnswerCut(bytes=size, stated=int(stated))
        return b"".join(parts)


def _refusal(body: bytes) -> SyncError:
    try:
        return decode_error(body)
    except Malformed:
        return AnswerCut(what="refusal")


def _stranger(response: requests.Response) -> SyncError:
    """An answer that our peer did not write, by its status."""
    status = response.status_code
    if status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
        return PeerBusy(status=status, wait_s=_wait_s(response))
    if status in (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.GATEWAY_TIMEOUT):
        return TimedOut(status=status)
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return TooLarge(what="request", status=status)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return PeerFailed(status=status)
    if status == HTTPStatus.NETWORK_AUTHENTICATION_REQUIRED or status < HTTPStatus.BAD_REQUEST:
        return CaptivePortal(status=status, type=response.headers.get("Content-Type", "")[:60])
    return UnexpectedAnswer(status=status)


def _wait_s(response: requests.Response) -> int | None:
    stated = response.headers.get("Retry-After", "")
    return int(stated) if stated.isdigit() and len(stated) < 7 else None


def _arrived(response: requests.Response) -> bytes:
    """What has come in since; nothing at the end."""
    try:
        return bytes(response.raw.read1(_CHUNK_BYTES))
    except Exception as error:  # urllib3's own family, which requests translates only in iter_content
        name = type(error).__name__
        raise TimedOut(cause=name) if "Timeout" in name else AnswerCut(cause=name) from error


def _link_error(error: requests.RequestException) -> LinkError:
    """By what stands behind it: a request that could not be sent in time comes as a broken connection."""
    name = type(error).__name__
    if isinstance(error, requests.exceptions.SSLError):
        return TlsFailed(cause=name)
    if isinstance(error, requests.Timeout) or any(isinstance(one, TimeoutError) for one in _behind(error)):
        return TimedOut(cause=name)
    return Unreachable(cause=name)


def _behind(error: BaseException) -> Iterator[BaseException]:
    """The error and what it was raised from; urllib3 also hides causes among the arguments."""
    yield error
    for inner in (error.__context__, *error.args):
        if isinstance(inner, BaseException):
            yield from _behind(inner)
