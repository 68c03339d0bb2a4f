"""When a station exchanges with its hub: at its pace, after a failure, after a start, or because somebody asks.

Everything is answered from the database, so a PC that is switched off every night simply goes on in the morning, and
the page says the same as the worker does. What is kept between two attempts is one note on how often the same trouble
was met; a start, the button, another network and any progress make it worthless.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from random import Random
from typing import Final

import structlog
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from service.actions.hub_address import known_url
from service.node import Node
from service.store import node_facts
from sync import acknowledged, blob_lane, peers, streams
from sync.errors import LinkError, PeerBusy, SyncError
from sync.peers import Contact, Peer
from sync.transport import Transport

log = structlog.get_logger(__name__)

POLL: Final = timedelta(seconds=60)  # with nothing to send: how often the hub is asked for news
RETRY_MIN: Final = timedelta(seconds=20)
# Never longer: a person at the desk should see the line come back, and an empty room costs nobody a morning.
RETRY_MAX, RETRY_MAX_ALONE = timedelta(minutes=5), timedelta(minutes=15)
ASLEEP: Final = timedelta(hours=1)  # no pause is that long: between two such failures the computer was asleep
SOMEBODY_FOR: Final = timedelta(minutes=30)  # how long after a page somebody counts as being at the desk
NOTED_EVERY: Final = timedelta(minutes=5)
_DOUBLINGS_MAX: Final = 10
_MOVING: Final = ("push", "pull", "chunk-put", "chunk-get")

Address = Callable[[], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Failures:
    """How often in a row the same trouble was met, `at` the last time. `heard`: the hub answered something then.

    `address` is this computer's own in its network at that time.
    """

    count: int
    at: str
    heard: bool
    address: str


class Listening:
    """A transport that remembers whether the hub answered, and whether anything was moved."""

    def __init__(self, inner: Transport) -> None:
        self._inner = inner
        self.heard = False
        self.moved = False

    def post(self, verb: str, body: bytes) -> bytes:
        try:
            answer = self._inner.post(verb, body)
        except LinkError:
            raise
        except SyncError:
            self.heard = True  # a refusal is an answer, too
            raise
        self.heard = True
        self.moved = self.moved or verb in _MOVING
        return answer


# --- what is noted ---------------------------------------------------------------------------------------------------


def note_start(node: Node, random: Random | None = None) -> None:
    """This station starts: after a power cut a whole township does in one minute, so each waits a time of its own.

    What was noted about the line before is worthless now.
    """
    most, now = node.settings.boot_jitter_s, node.now()
    wait = timedelta(seconds=(random or Random()).uniform(0, most))
    with node.engine.begin() as connection:
        node_facts.put(connection, "started_at", now.isoformat())
        node_facts.put(connection, "quiet_until", (now + wait).isoformat())


def note_somebody(node: Node) -> None:
    """Somebody who is signed in opened a page. Written every few minutes only, and never in the way of the page."""
    now = node.now()
    if node.is_hub or (node.somebody_at is not None and abs(now - node.somebody_at) < NOTED_EVERY):
        return
    node.somebody_at = now
    try:
        with node.engine.begin() as connection:
            node_facts.put(connection, "somebody_at", now.isoformat())
    except SQLAlchemyError as error:
        log.warning("presence.not_noted", reason=type(error).__name__)


def note_request(connection: Connection, now: datetime) -> None:
    """立即同步: somebody asks for an exchange now, whatever the pause."""
    node_facts.put(connection, "exchange_requested_at", now.isoformat())


def note_failure(node: Node, hub: Peer, error: SyncError, line: Listening, address: Address | None = None) -> None:
    """An exchange failed: the next pause is twice as long, unless there was a sign of life."""
    with node.engine.begin() as connection:
        failed, before = peers.find_contact(connection, hub.node).last_error_at, _failures(connection)
        if failed is None:
            return
        count = 1
        if before is not None and not _is_alive(connection, before, failed, error, line):
            count = min(before.count + 1, _DOUBLINGS_MAX)
        own = (address or local_address)()
        noted = Failures(count=count, at=failed.isoformat(), heard=line.heard, address=own)
        node_facts.put(connection, "exchange_failures", json.dumps(asdict(noted)))


def _is_alive(connection: Connection, before: Failures, failed: datetime, error: SyncError, line: Listening) -> bool:
    """Whether this failure is better news than the one before: something passed, somebody answered, or a new start."""
    passed = isinstance(error, LinkError) and line.moved
    answered = line.heard and not before.heard
    last = datetime.fromisoformat(before.at)
    return passed or answered or failed - last > ASLEEP or _is_over(connection, last, failed)


def note_success(node: Node) -> None:
    """The line works: what was noted is forgotten."""
    with node.reading() as connection:
        noted = _failures(connection)
    if noted is not None:
        with node.engine.begin() as connection:
            node_facts.put(connection, "exchange_failures", "")


# --- what follows ----------------------------------------------------------------------------------------------------


def is_due(node: Node, connection: Connection, hub: Peer, address: Address | None = None) -> bool:
    """Whether the station should exchange now."""
    if known_url(node, connection) is None:
        return False  # memory sticks only
    now, contact = node.now(), peers.find_contact(connection, hub.node)
    if _was_requested(connection, contact):
        return True
    at = next_try_at(node, connection, contact, address)
    if at is not None:
        return now >= at
    if acknowledged.unsent(connection, node.identity, hub).count or blob_lane.is_due(connection, hub.node):
        return True
    last = contact.last_contact_at
    return last is None or not last <= now < last + POLL


def next_try_at(
    node: Node, connection: Connection, contact: Contact, address: Address | None = None
) -> datetime | None:
    """Before when nothing is tried by itself; None when nothing is in the way. A clock set back delays nothing."""
    now = node.now()
    quiet = _quiet_until(node, connection, now)
    failed = contact.last_error_at
    if failed is None or _is_settled(connection, contact, failed, now):
        return quiet
    if failed > now:
        return now
    at = _retry_at(node, connection, contact, failed, address)
    return at if quiet is None else max(at, quiet)


def _is_settled(connection: Connection, contact: Contact, failed: datetime, now: datetime) -> bool:
    verified = contact.last_verified_at
    return (verified is not None and verified >= failed) or _is_over(connection, failed, now)


def _is_over(connection: Connection, failed: datetime, now: datetime) -> bool:
    """Whether something happened since that makes an earlier failure say nothing any more."""
    marks = (_instant(connection, "started_at"), _instant(connection, "exchange_requested_at"))
    return any(mark is not None and failed < mark <= now for mark in marks)


def _retry_at(
    node: Node, connection: Connection, contact: Contact, failed: datetime, address: Address | None
) -> datetime:
    """After a failure: twice as long each time, scattered so that stations which failed together do not return
    together. The hub's own word goes before any of that.
    """
    stated = (contact.last_error_data or {}).get("wait_s")
    if contact.last_error_code == PeerBusy.code and isinstance(stated, int):
        return failed + min(timedelta(seconds=stated), RETRY_MAX_ALONE)
    noted = _failures(connection)
    known = noted if noted is not None and noted.at == failed.isoformat() else None
    soon = failed + RETRY_MIN
    if known is not None and _is_elsewhere(known, address):
        return soon
    longest = RETRY_MAX if _somebody_is_here(node, connection) else RETRY_MAX_ALONE
    pause = min(RETRY_MIN * (1 << (known.count if known else 1) - 1), longest)
    at = failed + pause * _scatter(node.identity.node, failed)
    # Whoever has just written something down may have seen the light of the router come back.
    recorded = streams.last_appended_at(connection, node.identity.node)
    return min(at, soon) if recorded is not None and recorded > failed else at


def _scatter(node: str, failed: datetime) -> float:
    """Between a half and one; always the same for one failure, since the page shows what follows from it."""
    return 0.5 + int.from_bytes(sha256(f"{node} {failed.isoformat()}".encode()).digest()[:4], "big") / 2**33


def _quiet_until(node: Node, connection: Connection, now: datetime) -> datetime | None:
    """The end of the pause after a start; what was written down since does not wait for it."""
    started, until = _instant(connection, "started_at"), _instant(connection, "quiet_until")
    if started is None or until is None or not started <= now < until:
        return None
    recorded = streams.last_appended_at(connection, node.identity.node)
    return None if recorded is not None and recorded > started else until


def _was_requested(connection: Connection, contact: Contact) -> bool:
    asked = _instant(connection, "exchange_requested_at")
    tries = [at for at in (contact.last_contact_at, contact.last_error_at) if at is not None]
    return asked is not None and all(asked > at for at in tries)


def _somebody_is_here(node: Node, connection: Connection) -> bool:
    seen = _instant(connection, "somebody_at")
    return seen is not None and abs(node.now() - seen) < SOMEBODY_FOR


def _is_elsewhere(noted: Failures, address: Address | None) -> bool:
    """Whether this computer came into another network since: a cable plugged in, a telephone's hotspot."""
    own = (address or local_address)()
    return own not in ("", noted.address)


def local_address() -> str:
    """This computer's address towards the outside, "" without a network. Nothing is sent, no name is looked up."""
    found = ""
    for family, somewhere in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):  # documentation only
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.connect((somewhere, 9))
                found += f"{probe.getsockname()[0]} "
        except OSError:
            continue
    return found.strip()


def _failures(connection: Connection) -> Failures | None:
    text = node_facts.get(connection, "exchange_failures")
    return Failures(**json.loads(text)) if text else None


def _instant(connection: Connection, key: str) -> datetime | None:
    text = node_facts.get(connection, key)
    return datetime.fromisoformat(text) if text else None
