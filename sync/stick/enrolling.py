"""Enrolment where there is no line at all: the request is carried to the hub, the answer carried back.

The files are the very messages of an enrolment over a line (`sync/enrolment.py`); neither holds the code, and both
sides prove with it whose they are. The hub writes the town's data beside its answer, so two ways are enough.
"""

from collections.abc import Iterator
from pathlib import Path

from sync import peers, wire
from sync.enrolment import Enrolled, enrol
from sync.errors import AnswerCut, BadSignature, StickAnswerMissing, SyncError
from sync.peers import Peer
from sync.replica import Replica
from sync.responder import Responder
from sync.stick.folder import (
    MANIFEST_BYTES_MAX,
    Found,
    Write,
    answer_of,
    manifests,
    naming_faults,
    read_plain,
    remove,
    request_of,
    write_whole,
)

_VERB = "enrol"


def enrol_by_stick(replica: Replica, folder: Path, code: str, *, write: Write = write_whole) -> Enrolled:
    """Enrol with the hub's answer on the stick.

    Without one, or with one to another code, the request is written and `StickAnswerMissing` raised: carry the stick to
    the hub and do this again. Raises `CodeRefused` for a code that cannot be one, and `StickError`.
    """
    post = _Carried(replica, folder, write)
    with naming_faults(folder, writing=True):
        try:
            enrolled = enrol(replica, post, code)
        except (AnswerCut, BadSignature):
            remove(post.answer)  # to an earlier code, or damaged
            enrolled = enrol(replica, post, code)
        for path in (post.request, post.answer):
            remove(path)
    return enrolled


class _Carried:
    """A line of one question, whose answer comes by hand."""

    def __init__(self, replica: Replica, folder: Path, write: Write) -> None:
        self.request = request_of(folder, replica.identity.node)
        self.answer = answer_of(folder, replica.identity.node)
        self._write = write

    def post(self, _verb: str, body: bytes) -> bytes:
        answer = read_plain(self.answer, MANIFEST_BYTES_MAX)
        if answer is not None:
            return answer
        self.request.parent.parent.stat()  # a stick that is not there must not become a folder on the disk
        self.request.parent.mkdir(exist_ok=True)
        self._write(self.request, body)
        raise StickAnswerMissing(file=self.request.name)


def answer_requests(
    replica: Replica, responder: Responder, folder: Path, problems: list[SyncError], *, write: Write = write_whole
) -> list[Peer]:
    """At the hub: answer every request on the stick; the nodes that are enrolled now. Refusals go to `problems`."""
    enrolled = []
    for found, head in _requests(folder):
        try:
            answer = responder.answer(_VERB, found.data)
        except SyncError as refusal:
            if not _is_known(replica, head.sender):  # else the request was answered long ago
                refusal.data.setdefault("file", found.name[:60])
                problems.append(refusal)
            continue
        with naming_faults(folder, writing=True):
            write(answer_of(folder, head.sender), answer)
        with replica.engine.begin() as conn:
            enrolled.append(peers.get_peer(conn, head.sender))
    return enrolled


def _requests(folder: Path) -> Iterator[tuple[Found, wire.Head]]:
    """Messages that ask to be enrolled: they alone name no recipient."""
    for found in manifests(folder):
        try:
            head = wire.open_envelope(found.data).head
        except SyncError:
            continue
        if head.verb == _VERB and not head.recipient:
            yield found, head


def _is_known(replica: Replica, node: str) -> bool:
    with replica.engine.begin() as conn:
        return peers.find_peer(conn, node) is not None
