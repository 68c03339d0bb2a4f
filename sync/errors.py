"""Everything the library refuses, by name.

SyncError
├── LinkError              the line or what sits on it; nothing is known about the peer's data
│   ├── Unreachable            no connection
│   ├── TimedOut               connected, but no complete answer in time
│   ├── TlsFailed              the secure connection could not be set up
│   ├── CaptivePortal          something other than the peer answered
│   ├── AnswerCut              the answer ended early or was damaged on the way
│   ├── PeerBusy               429 or 503: come back later
│   └── PeerFailed             5xx: the peer has a fault of its own
├── WireError              what arrived cannot be used
│   ├── Malformed              not in the agreed format
│   ├── FormatUnsupported      a newer format than this node reads
│   ├── UnknownVerb            no such request
│   ├── TooLarge               above a ceiling (events, bytes or raw bytes)
│   ├── ChunkDamaged           a chunk of content does not fit its hash
│   └── UnexpectedAnswer       an HTTP status nobody agreed on
├── Refusal                understood, and not allowed
│   ├── UnknownPeer            the sender is not enrolled here
│   ├── PeerRevoked            the sender's key was withdrawn
│   ├── BadSignature           a signature does not fit
│   ├── CounterTooLow          a request that was seen already
│   ├── WrongRecipient         meant for another node
│   ├── NotGranted             outside the peer's scopes
│   ├── CodeRefused            enrolment code wrong, used or expired
│   ├── NodeTaken              the node id belongs to another key
│   ├── BlobNotReferred        no event in a shared scope refers to this content
│   ├── BlobErased             the content was erased and is not taken again
│   └── RefusedByPeer          refused with a code this version does not know
├── StreamError            one stream stops, the others go on
│   ├── ForkFound              same number, different content
│   ├── UnknownOrigin          no key to check the stream with
│   ├── OriginRevoked          signed after the key was withdrawn
│   ├── MalformedEvent         an event's header cannot be read or breaks the rules of its stream
│   ├── SnapshotDiffers        what was derived from a snapshot is not what its holder signed
│   ├── FirstLoad              nothing failed: the history is coming in parts
│   └── BelowHorizon           nothing failed: the same, as this node was away for longer than all is kept
├── StickError             a memory stick, or what lies on it
│   ├── StickUnusable          the folder cannot be read or written, or went away
│   ├── StickReadOnly          nothing can be written there
│   ├── StickFull              no room left
│   ├── StickEmpty             nothing of any node lies there
│   ├── StickForOthers         what lies there is meant for other nodes
│   ├── StickAnswerMissing     the hub's answer to an enrolment is not there yet
│   ├── StickFileMissing       a file that was announced is not there
│   ├── StickFileDamaged       a file is not what was announced, or cannot be decrypted
│   └── StickPathUnsafe        a name that leads out of the stick's folder
└── LocalError             this node cannot do what was asked
    ├── AlreadyRecorded        a fact with this key is in the ledger already
    ├── EventTooLarge          the body is above the ceiling
    ├── IdentityUnusable       key or epoch file missing, unreadable or inconsistent
    ├── BodyUnreadable         a sealed body cannot be opened
    ├── NoSpace                the disk has no room for attached content
    ├── EpochsExhausted        this node suspected its own past too often
    └── NoProgress             both sides differ and neither has anything to send

A class's docstring is its message. `retry` answers "may the machine simply try again?", `hint` answers "what should
a person do?", `data` carries the particulars. `status` is the HTTP status a responder uses for it.
"""

from collections.abc import Iterator
from typing import ClassVar

import msgspec

Datum = str | int | float | bool | None


class SyncError(Exception):
    """The exchange failed."""

    code: ClassVar[str] = "sync"
    retry: ClassVar[bool] = False
    hint: ClassVar[str] = "Report this to the operator of the hub."
    status: ClassVar[int] = 400

    def __init__(self, **data: Datum) -> None:
        self.data = data
        super().__init__(self._message())

    def _message(self) -> str:
        text = (self.__class__.__doc__ or "").strip().splitlines()[0]
        if not self.data:
            return text
        return f"{text} ({', '.join(f'{name}={value}' for name, value in self.data.items())})"


class LinkError(SyncError):
    """The line to the peer failed."""

    code = "link"
    retry = True
    hint = "Nothing is lost. The next attempt is automatic; check the network if this lasts."
    status = 502


class Unreachable(LinkError):
    """The peer cannot be reached."""

    code = "unreachable"
    hint = "Check cable, router and the peer's address. Recording goes on; the next attempt is automatic."


class TimedOut(LinkError):
    """The peer did not answer in time."""

    code = "timed_out"
    hint = "The line is slow. The next attempt is automatic and sends less at once."
    status = 504


class TlsFailed(LinkError):
    """The secure connection could not be set up."""

    code = "tls_failed"
    retry = False
    hint = "Check this computer's date and time first, then the certificate of the hub."


class CaptivePortal(LinkError):
    """Something other than the peer answered."""

    code = "captive_portal"
    hint = "Open a web page on this computer: the network probably wants a login. Also check the hub's address."


class AnswerCut(LinkError):
    """The peer's answer arrived damaged or incomplete."""

    code = "answer_cut"


class PeerBusy(LinkError):
    """The peer is busy and asks to come back later."""

    code = "peer_busy"
    status = 503


class PeerFailed(LinkError):
    """The peer has a fault of its own."""

    code = "peer_failed"
    hint = "The hub reports an internal fault. The next attempt is automatic; tell the hub's operator if it lasts."


class WireError(SyncError):
    """What arrived cannot be used."""

    code = "wire"


class Malformed(WireError):
    """What arrived is not in the agreed format."""

    code = "malformed"
    hint = "If it happens again, compare the software versions of both nodes."


class FormatUnsupported(WireError):
    """The peer writes a newer format than this node reads."""

    code = "format_unsupported"
    hint = "Update this node's software; nothing recorded is lost meanwhile."


class UnknownVerb(WireError):
    """There is no such request."""

    code = "unknown_verb"
    hint = "Compare the software versions of both nodes."
    status = 404


class TooLarge(WireError):
    """More arrived than the ceiling allows."""

    code = "too_large"
    retry = True
    hint = "The next attempt is automatic and sends less at once."
    status = 413


class ChunkDamaged(WireError):
    """A chunk of attached content does not fit its hash."""

    code = "chunk_damaged"
    retry = True
    hint = "Only this chunk is sent again; everything else stays."


class UnexpectedAnswer(WireError):
    """The peer answered with an unexpected HTTP status."""

    code = "unexpected_answer"
    hint = "Check the hub's address: a proxy or another server may be answering."


class Refusal(SyncError):
    """The peer does not allow this."""

    code = "refusal"
    status = 403


class UnknownPeer(Refusal):
    """The sender is not enrolled here."""

    code = "unknown_peer"
    hint = "Ask the hub for an enrolment code and enrol this node."
    status = 401


class PeerRevoked(Refusal):
    """The sender's key was withdrawn."""

    code = "peer_revoked"
    hint = "This node was replaced. Keep its disk: what it recorded can still be imported for review."


class BadSignature(Refusal):
    """A signature does not fit the bytes it covers."""

    code = "bad_signature"
    hint = "Nothing was stored. If it happens again, the node's key or the line cannot be trusted: tell the hub."
    status = 401


class CounterTooLow(Refusal):
    """This request, or a later one, was answered already."""

    code = "counter_too_low"
    retry = True
    hint = "The next attempt is automatic. If it never succeeds, a second node may be using the same key."
    status = 409


class WrongRecipient(Refusal):
    """The request was meant for another node."""

    code = "wrong_recipient"
    hint = "Check the hub's address: another hub answered."
    status = 421


class NotGranted(Refusal):
    """The scope is outside what the peer may use."""

    code = "not_granted"
    hint = "Ask the hub to widen the scopes of this node, or to take the records over."


class CodeRefused(Refusal):
    """The enrolment code is wrong, used or expired."""

    code = "code_refused"
    hint = "Ask the hub for a new code; each works once and for a short time."


class NodeTaken(Refusal):
    """The node id is already enrolled with another key."""

    code = "node_taken"
    hint = "Remove the identity folder of the new installation and enrol again."
    status = 409


class RefusedByPeer(Refusal):
    """The peer refused for a reason this version does not know."""

    code = "refused_by_peer"
    hint = "Update this node's software to see the reason in words."


class BlobNotReferred(Refusal):
    """No event in a shared scope refers to this content."""

    code = "blob_not_referred"
    retry = True
    hint = "The event that refers to it may not have been read there yet; the next attempt is automatic."


class BlobErased(Refusal):
    """This content was erased and is not taken again."""

    code = "blob_erased"
    hint = "Nothing to do: the content is gone on purpose."
    status = 410


class StreamError(SyncError):
    """One stream cannot go on."""

    code = "stream"
    status = 409


class ForkFound(StreamError):
    """The same number in a stream carries different content."""

    code = "fork_found"
    hint = "Two computers may share one identity, or one was restored from a copy. Stop the copy and tell the hub."


class UnknownOrigin(StreamError):
    """There is no key to check this stream with."""

    code = "unknown_origin"
    hint = "Exchange with the hub first: it introduces the keys of other nodes."


class OriginRevoked(StreamError):
    """These events were signed after their key was withdrawn."""

    code = "origin_revoked"
    hint = "They are kept for review at the hub."


class MalformedEvent(StreamError):
    """An event breaks the rules of its stream."""

    code = "malformed_event"
    hint = "The rest goes on. Tell the hub which software version recorded it."


class SnapshotDiffers(StreamError):
    """What was derived from a snapshot is not what its holder signed."""

    code = "snapshot_differs"
    retry = True
    hint = "Nothing of it was stored. The next exchange goes on event by event; if this lasts, check the hub's ledger."


class FirstLoad(StreamError):
    """The history of this node's scopes is coming in parts."""

    code = "first_load"
    retry = True
    hint = "Nothing to do: recording goes on meanwhile. A memory stick is faster on a very slow line."


class BelowHorizon(StreamError):
    """This node was away for longer than everything is kept, and is being brought up to date by a snapshot."""

    code = "below_horizon"
    retry = True
    hint = "Nothing to do: what it recorded meanwhile is kept and sent. A memory stick is faster on a very slow line."


class StickError(SyncError):
    """The memory stick cannot be used."""

    code = "stick"


class StickUnusable(StickError):
    """The memory stick's folder cannot be read or written."""

    code = "stick_unusable"
    retry = True
    hint = "Put the stick in again and repeat; what was taken in stays. If it happens again, use another stick."


class StickReadOnly(StickError):
    """Nothing can be written to the memory stick."""

    code = "stick_read_only"
    hint = "Move its write protection switch, or mount it so that this program may write; or use another stick."


class StickFull(StickError):
    """There is no room left on the memory stick."""

    code = "stick_full"
    hint = "Make room on the stick, or use a larger one. What an earlier export wrote is still whole."


class StickEmpty(StickError):
    """Nothing of this system lies on the memory stick."""

    code = "stick_empty"
    hint = "Check that the right stick and folder were chosen: it should hold a folder named lianxin."


class StickForOthers(StickError):
    """What lies on the memory stick is meant for other nodes."""

    code = "stick_for_others"
    hint = "This may be the stick of another town or station. Nothing was stored."
    status = 421


class StickAnswerMissing(StickError):
    """The memory stick does not hold the hub's answer to the enrolment yet."""

    code = "stick_answer_missing"
    hint = "The request lies on the stick now: carry it to the hub, have it imported there, and do this again."


class StickFileMissing(StickError):
    """A file that the memory stick should hold is not there."""

    code = "stick_file_missing"
    hint = "The others were taken in. The next export of the sender writes it again."


class StickFileDamaged(StickError):
    """A file on the memory stick is damaged."""

    code = "stick_file_damaged"
    hint = "The others were taken in. The next export of the sender writes it again; if it lasts, use another stick."


class StickPathUnsafe(StickError):
    """A name on the memory stick leads out of its folder."""

    code = "stick_path_unsafe"
    hint = "Nothing of it was read. Somebody has changed this stick: do not use it, and tell the operator of the hub."


class LocalError(SyncError):
    """This node cannot do what was asked."""

    code = "local"
    status = 500


class AlreadyRecorded(LocalError):
    """A fact with this key is in the ledger already."""

    code = "already_recorded"
    hint = "Nothing to do: it was recorded before."
    status = 409

    def __init__(self, key: str, **data: Datum) -> None:
        self.key = key
        super().__init__(key=key, **data)


class EventTooLarge(LocalError):
    """The event's body is above the ceiling."""

    code = "event_too_large"
    hint = "Shorten the text or attach it as a file."
    status = 413


class IdentityUnusable(LocalError):
    """The node's key or epoch file is missing, unreadable or inconsistent."""

    code = "identity_unusable"
    hint = "Restore the identity folder from the backup, or enrol this computer as a new node."


class BodyUnreadable(LocalError):
    """A sealed body cannot be opened with this node's key."""

    code = "body_unreadable"
    hint = "Restore the key folder that belongs to this database."


class NoSpace(LocalError):
    """The disk has no room for this content."""

    code = "no_space"
    retry = True
    hint = "Records still travel. Make room on the disk: what is attached follows by itself."
    status = 507


class EpochsExhausted(LocalError):
    """This node had reason to doubt its own records too often within a day."""

    code = "epochs_exhausted"
    hint = "Recording goes on here. Two computers may run from one disk's copy: stop one of them and tell the hub."


class NoProgress(LocalError):
    """Both nodes differ, yet neither has anything it may send."""

    code = "no_progress"
    hint = "Compare the scopes of this node on both sides and look at the list of incidents."


def _family(root: type[SyncError]) -> Iterator[type[SyncError]]:
    yield root
    for child in root.__subclasses__():
        yield from _family(child)


def by_code(code: str) -> type[SyncError] | None:
    """The error class with this code, or None for a code of a newer version."""
    return next((error for error in _family(SyncError) if error.code == code), None)


def encode_error(error: SyncError) -> bytes:
    """The refusal as the responder's HTTP body: msgpack [code, data]."""
    return msgspec.msgpack.encode([error.code, error.data])


def decode_error(body: bytes) -> SyncError:
    """The named error a peer answered with; `RefusedByPeer` for codes of a newer version.

    Raises `Malformed` when the body is no refusal at all.
    """
    try:
        code, data = msgspec.msgpack.decode(body, type=tuple[str, dict[str, Datum]])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise Malformed(what="refusal") from None
    return decode_refusal(code, data)


def decode_refusal(code: str, data: dict[str, Datum]) -> SyncError:
    """The named error a peer stated; `RefusedByPeer` for codes of a newer version."""
    known = by_code(code)
    if known is None:
        return RefusedByPeer(reason=code[:64])
    if known is AlreadyRecorded:
        return AlreadyRecorded(str(data.get("key")))
    return known(**data)
