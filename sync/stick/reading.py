"""Takes in what a stick brings, and answers on it.

Each file is verified and stored in a transaction of its own and is skipped when the ledger holds it, so an import that
was interrupted goes on where it stopped. What cannot be used is named, and the other files go on.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import Connection

from sync import acknowledged, age, bundle, loading, peers, receipts, wire
from sync.errors import (
    ForkFound,
    Malformed,
    SnapshotDiffers,
    StickEmpty,
    StickError,
    StickFileDamaged,
    StickForOthers,
    StickPathUnsafe,
    StickUnusable,
    SyncError,
    TooLarge,
    WrongRecipient,
)
from sync.events import to_us
from sync.limits import MIB
from sync.peers import Peer
from sync.positions import Heads, digest
from sync.replica import Replica
from sync.responder import Responder
from sync.stick.enrolling import answer_requests
from sync.stick.folder import Found, Write, can_be_listed, is_file_name, manifests, read_announced, write_whole
from sync.stick.writing import Exported, export, holds, span
from sync.wire import Envelope, StickFile, StickManifest

_VERB = "stick"
_AGE_BYTES_MAX = MIB  # what encryption adds to a bundle at most


@dataclass(frozen=True, slots=True)
class Progress:
    """Files that are in the ledger, of all that the stick announces to us. Never goes back, also when done again."""

    done: int
    files: int


@dataclass(slots=True)
class Imported:
    """What an import did: `files` announced to us, `taken` of them now; the rest was known or is among `problems`.

    Counts of events as in `Accepted`. `enrolled`: names of nodes that were let in. `unanswered` says why nothing was
    written back.
    """

    enrolled: list[str] = field(default_factory=list)
    senders: list[str] = field(default_factory=list)
    files: int = 0
    taken: int = 0
    stored: int = 0
    known: int = 0
    held: int = 0
    problems: list[SyncError] = field(default_factory=list)
    answers: list[Exported] = field(default_factory=list)
    unanswered: StickError | None = None


@dataclass(frozen=True, slots=True)
class _Announced:
    """A manifest for us whose signature fits."""

    peer: Peer
    head: wire.Head
    manifest: StickManifest
    heads: Heads
    folder: Path


def import_(
    replica: Replica,
    folder: Path,
    *,
    progress: Callable[[Progress], None] = lambda _: None,
    responder: Responder | None = None,
    write: Write = write_whole,
) -> Imported:
    """Take in everything on the stick that is meant for this node and write the answers on it.

    With a `responder`, as a hub has one, requests of new nodes are answered, too. Raises `StickEmpty`,
    `StickForOthers`, `StickUnusable` when the stick goes away, or why the only manifest cannot be used; what was stored
    until then stays stored.
    """
    return _Import(replica, folder, progress, write).run(responder)


class _Import:
    def __init__(self, replica: Replica, folder: Path, progress: Callable[[Progress], None], write: Write) -> None:
        self._replica = replica
        self._folder = folder
        self._progress = progress
        self._write = write
        self._report = Imported()

    def run(self, responder: Responder | None) -> Imported:
        if responder is not None:
            self._enrol(responder)
        announced = self._announced()
        self._report.senders = sorted({one.peer.node for one in announced})
        self._report.files = sum(len(one.manifest.files) for one in announced)
        for one in announced:
            self._take_statement(one)
        self._take_files(announced)
        for one in announced:
            self._note_contact(one)
        self._answer(announced)
        return self._report

    def _enrol(self, responder: Responder) -> None:
        """New nodes get their answer and, beside it, everything they may read."""
        report = self._report
        for peer in answer_requests(self._replica, responder, self._folder, report.problems, write=self._write):
            report.enrolled.append(peer.name)
            self._write_for(peer)

    # --- manifests ---------------------------------------------------------------------------------------------

    def _announced(self) -> list[_Announced]:
        """The manifests for us, oldest first. Without any, raises what a person should be told."""
        mine, others = [], None
        for found in manifests(self._folder):
            try:
                envelope = _open(found)
                if envelope.head.verb != _VERB or envelope.head.sender == self._replica.identity.node:
                    continue
                if envelope.head.recipient == self._replica.identity.node:
                    mine.append(self._proven(found, envelope))
                else:
                    others = StickForOthers(recipient=envelope.head.recipient, sender=envelope.head.sender)
            except SyncError as problem:
                problem.data.setdefault("file", found.name[:60])
                self._report.problems.append(problem)
        if not mine and not self._report.enrolled:
            raise next(iter(self._report.problems), others or StickEmpty(folder=str(self._folder)))
        return sorted(mine, key=lambda one: (one.peer.node, one.head.counter))

    def _proven(self, found: Found, envelope: Envelope) -> _Announced:
        """Raises `UnknownPeer`, `BadSignature`, `Malformed` or `StickPathUnsafe`; then nothing of it is used."""
        with self._replica.engine.begin() as conn:
            peer = peers.get_peer(conn, envelope.head.sender)
        envelope.verify(_VERB, peer.public_key)
        manifest = wire.decode(envelope.payload, StickManifest)
        for file in manifest.files:
            if not is_file_name(file.name):
                raise StickPathUnsafe(name=file.name[:60])
            list(span(file))  # names of streams
        return _Announced(peer, envelope.head, manifest, wire.load_heads(manifest.heads), found.folder)

    # --- what the sender states --------------------------------------------------------------------------------

    def _take_statement(self, one: _Announced) -> None:
        """The sender's levels and receipt, unless what we know is newer; from a withdrawn key nothing is believed."""
        replica, peer, now = self._replica, one.peer, self._replica.now()
        if peer.revoked_after is not None:
            return
        with replica.engine.begin() as conn:
            # Levels are ordered by the numbers of whoever asks over the line, and only a station asks its hub.
            order = one.manifest.seen if peer.introduces else one.head.counter
            acknowledged.acknowledge(conn, peer.node, one.heads, order, now)
            receipts.keep_newer(conn, peer, replica.identity.node, one.manifest.receipt, now)
            peers.saw_counter(conn, peer.node, one.head.counter)
            peers.skip_counter(conn, peer.node, one.manifest.seen)  # a restored node has forgotten its own
            for stream in replica.ledger.contradicted(conn, one.heads):
                self._report.problems.append(ForkFound(stream=str(stream), seq=one.heads[stream].seq))

    # --- files -------------------------------------------------------------------------------------------------

    def _take_files(self, announced: list[_Announced]) -> None:
        """What is known counts as done before anything is shown, so a second run begins where the first stopped."""
        wanted = [(one, file) for one in announced for file in one.manifest.files]
        with self._replica.engine.begin() as conn:
            lacking = [(one, file) for one, file in wanted if not holds(conn, file)]
        done = len(wanted) - len(lacking)
        self._progress(Progress(done, len(wanted)))
        for one, file in lacking:
            done += self._try(one, file)
            self._progress(Progress(done, len(wanted)))

    def _try(self, one: _Announced, file: StickFile) -> bool:
        """Whether the file is in the ledger now."""
        try:
            self._take(one, file)
        except StickUnusable as problem:
            if not can_be_listed(one.folder):
                raise  # the stick went away: the others cannot be read either
            self._report.problems.append(StickFileDamaged(file=file.name, cause=problem.data.get("cause")))
        except SyncError as problem:
            problem.data.setdefault("file", file.name)
            self._report.problems.append(problem)
        with self._replica.engine.begin() as conn:
            return holds(conn, file)

    def _take(self, one: _Announced, file: StickFile) -> None:
        replica, report = self._replica, self._report
        if file.bytes > replica.limits.bundle_bytes_max + _AGE_BYTES_MAX:
            raise TooLarge(what="file", bytes=file.bytes)
        data = age.unseal(read_announced(one.folder, file), replica.identity)
        if bundle.peek(data).recipient not in ("", replica.identity.node):
            raise WrongRecipient(asked=bundle.peek(data).recipient)
        unpacked = bundle.unpack(data, one.peer.public_key, replica.limits)
        with replica.engine.begin() as conn:
            outcome = replica.ledger.accept(conn, unpacked, one.peer)
            if not (outcome.refusals or outcome.contested or outcome.held):
                self._compare(conn, file)
            if outcome.refusals:
                peers.record_error(conn, one.peer.node, outcome.refusals[0], replica.now())
        report.taken += 1
        report.stored += outcome.stored
        report.known += outcome.known
        report.held += outcome.held
        report.problems += outcome.refusals

    def _compare(self, conn: Connection, file: StickFile) -> None:
        """What was derived here against what the sender has signed. Raises `SnapshotDiffers`: nothing is stored."""
        for part, chain in span(file):
            if self._replica.ledger.chains_at(conn, part.stream, [part.last]) != [chain]:
                raise SnapshotDiffers(stream=str(part.stream), seq=part.last)

    # --- afterwards --------------------------------------------------------------------------------------------

    def _note_contact(self, one: _Announced) -> None:
        """The sender was heard of: as of when it wrote this, and unless it was heard of later."""
        replica, peer, now_us = self._replica, one.peer, to_us(self._replica.now())
        said_us = min(one.head.clock_us, now_us)
        with replica.engine.begin() as conn:
            known = peers.find_contact(conn, peer.node).last_contact_at
            loading.count_again(conn, peer.node, replica.shared_heads(conn, peer), replica.now())
            said: dict[str, int | float | str | None] = {"stick_read_us": now_us}
            if known is None or to_us(known) <= said_us:
                said |= {"last_contact_us": said_us, "version": one.manifest.versions.software}
                said |= self._standing(conn, one, said_us)
            peers.record_contact(conn, peer.node, **said)

    def _standing(self, conn: Connection, one: _Announced, said_us: int) -> dict[str, int | None]:
        """What waits, and whether both held the same when the sender wrote."""
        replica, peer = self._replica, one.peer
        standing: dict[str, int | None] = {}
        if peer.introduces:
            unsent = acknowledged.unsent(conn, replica.identity, peer)
            oldest = None if unsent.oldest_at is None else to_us(unsent.oldest_at)
            standing |= {"unsent_count": unsent.count, "oldest_unsent_us": oldest}
        elif all(holds(conn, file) for file in one.manifest.files):
            standing |= {"unsent_count": 0, "oldest_unsent_us": None}
        if digest(one.heads) == digest(replica.shared_heads(conn, peer)):
            standing |= {"last_verified_us": said_us}
        return standing

    def _answer(self, announced: list[_Announced]) -> None:
        """A stick goes back with what the sender lacks and with our receipt, if anything can be written on it."""
        newest = {one.peer.node: one for one in announced if one.peer.revoked_after is None}
        for one in newest.values():
            self._write_for(one.peer, one.heads)

    def _write_for(self, peer: Peer, stated: Heads | None = None) -> None:
        try:
            answer = export(self._replica, peer, self._folder, stated=stated, write=self._write)
            self._report.answers.append(answer)
        except StickError as problem:
            self._report.unanswered = problem


def _open(found: Found) -> Envelope:
    try:
        return wire.open_envelope(found.data)
    except Malformed:
        raise StickFileDamaged() from None
