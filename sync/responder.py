"""The answering half: checks who asks, does one thing in one transaction, answers with a signature.

Everything a peer can send ends in an answer or in a `SyncError`; the web layer turns the latter into its HTTP status.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Final, Protocol

from sqlalchemy import Connection

from sync import acknowledged, bundle, enrolment, peers, reconciling, wire
from sync.admission import Admission
from sync.blob_answers import BlobAnswers
from sync.bundle import Bundle, encode_segment
from sync.errors import (
    BelowHorizon,
    FirstLoad,
    Malformed,
    NotGranted,
    PeerRevoked,
    StreamError,
    SyncError,
    TooLarge,
    UnknownVerb,
    WrongRecipient,
)
from sync.events import Origin, Scope, Stream, from_us, to_us
from sync.packing import Budget
from sync.peers import Peer
from sync.positions import behind, digest
from sync.replica import NodeInfo, Replica
from sync.snapshots import Snapshots
from sync.wire import Envelope

_CHUNK_BYTES: Final = 256 * 1024
_ENVELOPE_BYTES: Final = 4096
# A replaced computer gets nothing any more, but what it never sent must not be lost: it may say, compare, hand over.
_ALSO_REVOKED: Final = frozenset({"hello", "probe", "push", "blobs", "chunk-put"})


class Readable(Protocol):
    """A request body that is read piece by piece."""

    def read(self, size: int, /) -> bytes: ...


class Responder:
    """Answers peers. Any number of threads and processes may answer for one node; they share only the database."""

    def __init__(
        self,
        replica: Replica,
        info: NodeInfo | None = None,
        replaced: enrolment.Replaced = lambda _conn, _old, _new: None,
    ) -> None:
        self._replica = replica
        self._replaced = replaced
        self._info = info or replica.info
        self.admission = Admission(replica.limits.working_at_once)
        self._answers: dict[str, Callable[[Connection, Peer, Envelope], bytes]] = {
            "hello": self._hello,
            "push": self._push,
            "pull": self._pull,
            "probe": self._probe,
            "branch": self._branch,
        }
        self._blobs = None if replica.blobs is None else BlobAnswers(replica.blobs)
        self._blob_verbs = {} if self._blobs is None else self._blobs.verbs
        self._answers |= self._blob_verbs
        self._snapshots = Snapshots(replica)
        self._answers |= self._snapshots.verbs

    def answer(self, verb: str, body: bytes | Readable) -> bytes:
        """The answer to one request. Raises `SyncError`, and nothing else for whatever a peer may send."""
        if verb not in self._answers and verb != "enrol":
            raise UnknownVerb(verb=verb[:16])
        envelope = wire.open_envelope(self._read(verb, body))
        if envelope.head.verb != verb:
            raise Malformed(what="verb")
        if verb == "enrol":
            return self._enrol(envelope)
        if envelope.head.recipient != self._replica.identity.node:
            raise WrongRecipient(asked=envelope.head.recipient)
        # A photo takes nobody's place: its chunks are small, and records are not turned away because of them.
        if verb == "hello" or verb in self._blob_verbs:
            return self._answer_peer(envelope)
        with self.admission.working():
            return self._answer_peer(envelope)

    def _read(self, verb: str, body: bytes | Readable) -> bytes:
        limits = self._replica.limits
        ceiling = limits.bundle_bytes_max + _ENVELOPE_BYTES if verb == "push" else limits.message_bytes_max
        return _bounded(body, ceiling)

    def _answer_peer(self, envelope: Envelope) -> bytes:
        """One transaction for the whole request; when it is refused, a second one remembers why."""
        head, replica, proven = envelope.head, self._replica, False
        try:
            with replica.engine.begin() as conn:
                envelope.verify("request", peers.get_peer(conn, head.sender).public_key)
                proven = True
                peer = peers.admit(
                    conn,
                    head.sender,
                    head.epoch,
                    head.counter,
                    replica.now(),
                    may_be_revoked=head.verb in _ALSO_REVOKED,
                )
                payload = self._answers[head.verb](conn, peer, envelope)
                epoch = replica.epoch(conn)
        except SyncError as error:
            if proven:  # nobody else may write into a station's contact
                with replica.engine.begin() as conn:
                    peers.record_error(conn, head.sender, error, replica.now())
            raise
        return wire.enclose(replica.identity, "answer", self._head(envelope, epoch), payload)

    def _head(self, envelope: Envelope, epoch: str) -> wire.Head:
        return self._replica.head(envelope.head.verb, epoch, envelope.head.sender, envelope.head.counter)

    # --- the verbs ---------------------------------------------------------------------------------------------

    def _hello(self, conn: Connection, peer: Peer, envelope: Envelope) -> bytes:
        hello, now, replica = wire.decode(envelope.payload, wire.Hello), self._replica.now(), self._replica
        heads = replica.shared_heads(conn, peer)
        if peer.revoked_after is not None:
            if not hello.unsent:
                raise PeerRevoked(node=peer.node)
            heads = {stream: head for stream, head in heads.items() if stream.origin.node == peer.node}
        equal = hello.summary == digest(heads)
        self._note_hello(conn, envelope, hello, equal, now)
        if not equal and self.admission.is_full:
            return self._come_back(conn, peers.find_contact(conn, peer.node).last_verified_at, now)
        if equal:
            acknowledged.acknowledge(conn, peer.node, heads, envelope.head.counter, now)
        sending = None if equal else envelope.head.epoch
        answer = wire.HelloAnswer(
            equal=equal, heads=[] if equal else wire.dump_heads(heads),
            held=[] if equal else replica.held(conn, peer),
            read_scopes=[] if equal else list(peer.read_scopes),
            write_scopes=[] if equal else list(peer.write_scopes),
            name=self._info.name, versions=replica.versions(conn),
            receipt=replica.receipt(conn, peer) if equal and hello.receipt_wanted else None,
            branches=[
                (stream.origin.epoch, stream.scope, seq)
                for stream, seq in reconciling.settle(conn, peer.node, sending, wire.BRANCHES_MAX, now)
            ],
            blobs_wanted=self._blobs.wanted(conn, peer) if self._blobs and equal else b"",
            blobs_mark=replica.blobs.mark(conn) if replica.blobs and equal else 0,
        )  # fmt: skip
        return wire.encode(answer)

    def _come_back(self, conn: Connection, verified_at: datetime | None, now: datetime) -> bytes:
        """Too many are being served: this one comes back later, and loses nothing but that time."""
        answer = wire.HelloAnswer(
            equal=False, heads=[], held=[], read_scopes=[], write_scopes=[], name=self._info.name,
            versions=self._replica.versions(conn), wait_s=self.admission.wait_s(verified_at, now),
        )  # fmt: skip
        return wire.encode(answer)

    def _note_hello(self, conn: Connection, envelope: Envelope, hello: wire.Hello, equal: bool, now: datetime) -> None:
        """What the sender said about itself. Equality settles whatever stopped it before."""
        said: dict[str, int | float | str | None] = {
            "last_contact_us": to_us(now), "unsent_count": hello.unsent, "version": hello.versions.software,
            "oldest_unsent_us": _instant(hello.oldest_unsent_us),
            "offset_s": (envelope.head.clock_us - to_us(now)) / 1e6,
        }  # fmt: skip
        if equal:
            said |= {"last_verified_us": to_us(now), **peers.NO_ERROR}
        elif hello.trouble is not None:
            said |= {"last_error_code": hello.trouble, "last_error_us": to_us(now)}
            if peers.find_contact(conn, envelope.head.sender).last_error_code != hello.trouble:
                said["last_error_data"] = None  # the particulars of another trouble
        peers.record_contact(conn, envelope.head.sender, **said)

    def _push(self, conn: Connection, peer: Peer, envelope: Envelope) -> bytes:
        replica, now = self._replica, self._replica.now()
        outcome = replica.ledger.accept(conn, self._bundle(conn, peer, envelope.payload), peer)
        peers.record_contact(conn, peer.node, last_contact_us=to_us(now))
        if outcome.refusals:
            peers.record_error(conn, peer.node, outcome.refusals[0], now)
        answer = wire.PushAnswer(
            stored=outcome.stored, known=outcome.known, held=outcome.held, heads=wire.dump_heads(outcome.heads),
            refusals=[(refusal.code, refusal.data) for refusal in outcome.refusals[:1000]],
            receipt=replica.receipt(conn, peer),
        )  # fmt: skip
        return wire.encode(answer)

    def _bundle(self, conn: Connection, peer: Peer, data: bytes) -> Bundle:
        """The pushed bundle. Its producer may be the sender or any node whose key is known here."""
        header = bundle.peek(data)
        if header.recipient not in ("", self._replica.identity.node):
            raise WrongRecipient(asked=header.recipient)
        key = peer.public_key
        if header.node != peer.node:
            key = peers.get_peer(conn, header.node).public_key
        return bundle.unpack(data, key, self._replica.limits)

    def _pull(self, conn: Connection, peer: Peer, envelope: Envelope) -> bytes:
        replica, limits = self._replica, self._replica.limits
        asked = wire.decode(envelope.payload, wire.Pull)
        lacking = behind(wire.load_heads(asked.heads), replica.readable_heads(conn, peer))
        budget = Budget(
            raw_bytes=max(limits.batch_raw_bytes_min, min(asked.raw_bytes, limits.batch_raw_bytes)),
            events=max(1, min(asked.events, limits.batch_events)),
        )
        peers.record_contact(conn, peer.node, last_contact_us=to_us(replica.now()))
        reseed = self._snapshots.reseed(conn, lacking) if asked.snapshots else None
        if reseed is not None:
            self._note_reseed(conn, peer, reseed.why)
        if reseed is not None and reseed.worthwhile:
            # What is shorter than a part goes first: a card does not wait for years of history.
            short = [part for part in lacking if part.last - part.first < limits.snapshot_block_events]
            lacking = [part for part in short if part.stream not in reseed.horizons]
            if not lacking:
                horizons = wire.dump_heads(reseed.horizons)
                return wire.encode(wire.PullAnswer(bundle=None, reseed=reseed.why.code, horizons=horizons))
        packed = replica.ledger.pack(conn, lacking, budget, peer.node)
        return wire.encode(wire.PullAnswer(bundle=packed.data if packed else None))

    def _note_reseed(self, conn: Connection, peer: Peer, why: StreamError) -> None:
        """So that the board can say it; a refusal that is known stands, since somebody has to do something about it."""
        known = peers.find_contact(conn, peer.node).last_error_code
        if known in (None, FirstLoad.code, BelowHorizon.code):
            peers.record_error(conn, peer.node, why, self._replica.now())

    def _probe(self, conn: Connection, peer: Peer, envelope: Envelope) -> bytes:
        asked = wire.decode(envelope.payload, wire.Probe)
        try:
            stream = Stream(Origin(asked.node, asked.epoch), Scope(asked.scope))
        except ValueError:
            raise Malformed(what="stream") from None
        if not peer.may_read(stream):
            raise NotGranted(stream=str(stream))
        if peer.revoked_after is not None and asked.node != peer.node:
            raise PeerRevoked(node=peer.node)
        chains = self._replica.ledger.chains_at(conn, stream, asked.seqs)
        return wire.encode(wire.ProbeAnswer(chains=chains))

    def _branch(self, conn: Connection, peer: Peer, envelope: Envelope) -> bytes:
        """A node may have back what it wrote itself, wherever it lies; and what a person lets it take up."""
        asked = wire.decode(envelope.payload, wire.Branch)
        place = (asked.epoch, asked.scope, asked.seq)
        found = reconciling.kept_at(conn, peer.node, envelope.head.epoch, place, wire.BRANCHES_MAX)
        if found is None:
            return wire.encode(wire.BranchAnswer(segment=None))
        key = None if found.node == peer.node else peers.known_key(conn, self._replica.identity, found.node)
        keys = [] if key is None else [(found.node, key)]
        return wire.encode(wire.BranchAnswer(segment=encode_segment(found), keys=keys))

    def _enrol(self, envelope: Envelope) -> bytes:
        """A new node has no peer row yet: its own key signs, the code vouches for the key."""
        replica = self._replica
        asked = wire.decode(envelope.payload, wire.Enrol)
        envelope.verify("request", asked.public_key)
        with replica.engine.begin() as conn:
            sender, now = envelope.head.sender, replica.now()
            name = self._info.name
            answer = enrolment.redeem(conn, replica.identity, name, sender, asked, now, self._replaced)
            epoch = replica.epoch(conn)
        return wire.enclose(replica.identity, "answer", self._head(envelope, epoch), wire.encode(answer))


def _bounded(body: bytes | Readable, ceiling: int) -> bytes:
    """The whole body, refused as soon as it is above the ceiling."""
    if isinstance(body, bytes):
        if len(body) > ceiling:
            raise TooLarge(bytes=len(body), ceiling=ceiling)
        return body
    parts, size = [], 0
    while part := body.read(_CHUNK_BYTES):
        size += len(part)
        if size > ceiling:
            raise TooLarge(ceiling=ceiling)
        parts.append(part)
    return b"".join(parts)


def _instant(microseconds: int | None) -> int | None:
    """The instant if it is one that a calendar can show."""
    try:
        return None if microseconds is None else to_us(from_us(microseconds))
    except OverflowError:
        return None
