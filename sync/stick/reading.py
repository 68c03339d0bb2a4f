"""Takes in what a stick brings, and answers on it.

Each file is verified and stored in a transaction of its own and is skipped when the ledger holds it, so an import that
was interrupted goes on where it stopped. What cannot be used is named, and the other files go on.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from sqlalchemy import Connection

from sync import acknowledged, age, bundle, loading, peers, receipts, wire
from sync.errors import (
    ForkFound,
    Malformed,
    NoSpace,
    NotGranted,
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
from sync.events import Scope, parse_scope, to_us, within
from sync.limits import MIB
from sync.peers import Peer
from sync.positions import Heads, digest
from sync.replica import Replica
from sync.responder import Responder
from sync.stick.contents import Chunks, has_all, stated_chunks, take, take_standings
from sync.stick.enrolling import answer_requests
from sync.stick.folder import Found, Write, can_be_listed, is_file_name, manifests, read_announced, write_whole
from sync.stick.writing import Exported, export, holds, names, span
from sync.wire import Envelope, StickContent, StickFile, StickManifest

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

    Counts of events as in `Accepted`; `contents`: attached content that became complete, `contents_waiting`: pieces
    whose record is not here yet. `enrolled`: names of nodes that were let in. `unanswered` says why nothing was
    written back.
    """

    enrolled: list[str] = field(default_factory=list)
    senders: list[str] = field(default_factory=list)
    files: int = 0
    taken: int = 0
    stored: int = 0
    known: int = 0
    held: int = 0
    contents: int = 0
    contents_waiting: int = 0
    problems: list[SyncError] = field(default_factory=list)
    answers: list[Exported] = field(default_factory=list)
    unanswered: StickError | None = None


@dataclass(frozen=True, slots=True)
class _Announced:
    """A manifest for us whose signature fits; `counts`: its sender has not begun anew since."""

    peer: Peer
    head: wire.Head
    manifest: StickManifest
    heads: Heads
    folder: Path
    counts: bool = False


def import_(
    replica: Replica,
    folder: Path,
    *,
    progress: Callable[[Progress], None] = lambda _: None,
    responder: Responder | None = None,
    fold: Callable[[], object] = lambda: None,
    write: Write = write_whole,
) -> Imported:
    """Take in everything on the stick that is meant for this node and write the answers on it.

    Attached content comes last, after `fold` had the application read the records that refer to it.

    With a `responder`, as a hub has one, requests of new nodes are answered, too. Raises `StickEmpty`,
    `StickForOthers`, `StickUnusable` when the stick goes away, or why the only manifest cannot be used; what was stored
    until then stays stored.
    """
    return _Import(replica, folder, progress, write).run(responder, fold)


class _Import:
    def __init__(self, replica: Replica, folder: Path, progress: Callable[[Progress], None], write: Write) -> None:
        self._replica = replica
        self._folder = folder
        self._progress = progress
        self._write = write
        self._report = Imported()
        self._no_room = False  # for attached content on our own disk

    def run(self, responder: Responder | None, fold: Callable[[], object]) -> Imported:
        if responder is not None:
            self._enrol(responder)
        announced = self._announced()
        self._report.senders = sorted({one.peer.node for one in announced})
        self._report.files = sum(len(one.manifest.files) + len(one.manifest.contents) for one in announced)
        announced = [self._take_statement(one) for one in announced]
        self._take_all(announced, fold)
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
        for name in names(manifest.files, manifest.contents):
            if not is_file_name(name):
                raise StickPathUnsafe(name=name[:60])
        for file in manifest.files:
            list(span(file))  # names of streams
        return _Announced(peer, envelope.head, manifest, wire.load_heads(manifest.heads), found.folder)

    # --- what the sender states --------------------------------------------------------------------------------

    def _take_statement(self, one: _Announced) -> _Announced:
        """The sender's levels, receipt and, from a hub, our grants, unless what we know is newer; from a withdrawn key
        nothing is believed. Gives it with the sender as we know it now.
        """
        replica, peer, now = self._replica, one.peer, self._replica.now()
        if peer.revoked_after is not None:
            return one
        with replica.engine.begin() as conn:
            peers.lock(conn, peer.node)
            is_news = self._is_news(conn, one)
            if is_news:
                take_standings(conn, replica, peer, one.manifest)
                if self._adopt_grants(conn, one):
                    peer = peers.get_peer(conn, peer.node)
            one = replace(one, peer=peer, counts=is_news or peers.speaks_in(conn, peer.node, one.head.epoch))
            self._acknowledge(conn, one)
            receipts.keep_newer(conn, peer, replica.identity.node, one.manifest.receipt, now)
            peers.saw_counter(conn, peer.node, one.head.counter)
            peers.skip_counter(conn, peer.node, one.manifest.seen)  # a restored node has forgotten its own
            for stream in replica.ledger.contradicted(conn, one.heads):
                self._report.problems.append(ForkFound(stream=str(stream), seq=one.heads[stream].seq))
        return one

    def _acknowledge(self, conn: Connection, one: _Announced) -> None:
        """Keep the sender's levels of streams that exist here: said again once its files were taken in, for new ones.

        Levels are ordered by the numbers of whoever asks over the line, and only a station asks its hub.
        """
        if one.counts:
            order = one.manifest.seen if one.peer.introduces else one.head.counter
            acknowledged.acknowledge(conn, one.peer.node, one.heads, order, self._replica.now())

    def _is_news(self, conn: Connection, one: _Announced) -> bool:
        """Whether the sender has said nothing later. In an epoch of its own that we had not heard of it counts anew."""
        if peers.begins_epoch(conn, one.peer.node, one.head.epoch, self._replica.now()):
            acknowledged.forget(conn, one.peer.node)
            return True
        return one.head.counter > peers.counter_seen(conn, one.peer.node)

    def _adopt_grants(self, conn: Connection, one: _Announced) -> bool:
        """Our scopes are the hub's to decide, save what we keep: whether they changed. Own records that they leave out
        are named.
        """
        peer, scopes = one.peer, one.manifest.scopes
        if not peer.introduces or scopes is None or not scopes[0]:
            return False
        read, write = (self._replica.offered(_scopes(texts)) for texts in (scopes[1], scopes[0]))
        if (set(read), set(write)) == (set(peer.read_scopes), set(peer.write_scopes)):
            return False
        peers.set_scopes(conn, peer.node, read, write)
        levels = acknowledged.levels(conn, peer.node)
        now = peers.get_peer(conn, peer.node)
        own = self._replica.ledger.own_heads(conn).items()
        left_out = [(stream, head) for stream, head in own if not within(stream.scope, read)]
        for stream, head in left_out:
            known = levels.get(stream)
            if now.is_meant_for(stream.scope) and (known is None or known.seq < head.seq):
                self._report.problems.append(NotGranted(stream=str(stream)))
        return True

    # --- files -------------------------------------------------------------------------------------------------

    def _take_all(self, announced: list[_Announced], fold: Callable[[], object]) -> None:
        """What is known counts as done before anything is shown, so a second run begins where the first stopped."""
        with self._replica.engine.begin() as conn:
            files = [(one, file) for one in announced for file in one.manifest.files if not holds(conn, file)]
            contents = [
                (one, file)
                for one in announced for file in one.manifest.contents if not has_all(conn, self._replica, file)
            ]  # fmt: skip
        total = self._report.files
        done = total - len(files) - len(contents)
        self._progress(Progress(done, total))
        for one, file in files:
            done += self._try(one, file)
            self._progress(Progress(done, total))
        if contents:
            fold()
        for one, content in contents:
            done += self._try_content(one, content)
            self._progress(Progress(done, total))

    def _try_content(self, one: _Announced, file: StickContent) -> bool:
        """Whether everything in the file is here now, or will never be."""
        if self._no_room:
            return False
        try:
            taken = take(self._replica, one.peer, one.folder, file)
        except StickUnusable:
            if not can_be_listed(one.folder):
                raise
            self._problem(StickFileDamaged(), file)
        except SyncError as refusal:
            self._no_room = isinstance(refusal, NoSpace)
            self._problem(refusal, file)
        else:
            self._report.taken += 1
            self._report.contents += taken.completed
            self._report.contents_waiting += taken.waiting
            for problem in taken.problems:
                self._problem(problem, file)
        with self._replica.engine.begin() as conn:
            return has_all(conn, self._replica, file)

    def _problem(self, problem: SyncError, file: StickContent) -> None:
        problem.data.setdefault("file", file.name)
        self._report.problems.append(problem)

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
            peers.lock(conn, peer.node)
            self._acknowledge(conn, one)
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
            self._write_for(one.peer, one.heads, stated_chunks(one.manifest))

    def _write_for(self, peer: Peer, stated: Heads | None = None, chunks: Chunks | None = None) -> None:
        try:
            answer = export(self._replica, peer, self._folder, stated=stated, chunks=chunks, write=self._write)
            self._report.answers.append(answer)
        except StickError as problem:
            self._report.unanswered = problem


def _scopes(texts: list[str]) -> tuple[Scope, ...]:
    try:
        return tuple(parse_scope(text) for text in texts)
    except ValueError:
        raise Malformed(what="scopes") from None


def _open(found: Found) -> Envelope:
    try:
        return wire.open_envelope(found.data)
    except Malformed:
        raise StickFileDamaged() from None
