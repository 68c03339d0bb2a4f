"""Streams that were refused: a fork, a signature that does not fit, late work of a withdrawn key.

Each place in a stream is one incident however often it is sent again, so a peer cannot fill the disk with them.
What a person needs to decide, the refused segment, is kept.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import zstandard
from sqlalchemy import BindParameter, ColumnElement, Connection, and_, exists, func, or_, select, update

from sync import bulk, erased
from sync.bundle import Segment, decode_segment, encode_segment
from sync.errors import BadSignature, ForkFound, MalformedEvent, OriginRevoked, SyncError
from sync.events import Origin, Scope, Stream, from_us, to_us
from sync.tables import ledger_incidents as t
from sync.tracing import covers

# Only these are kept with the bytes: both branches of a fork, a colleague's late work, what a node recorded wrongly.
_BRANCHES: Final = (ForkFound, OriginRevoked)
_PLACED: Final = (*_BRANCHES, MalformedEvent, BadSignature)
_OPEN: Final = (t.c.resolved_us.is_(None), t.c.evidence.is_not(None))
# A broken or hostile peer must not fill the disk: beyond this only incidents that are known already are counted on.
INCIDENTS_PER_SENDER_MAX: Final = 200
# Different branches of one place that are kept. Only of forks, each of which is signed by the stream's own node.
BRANCHES_MAX: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """A refused place in a stream. `sender` brought it; `evidence` says whether the refused events are kept.

    `taker`: a person has let them count, and this node is to take them up.
    """

    code: str
    stream: Stream
    seq: int
    sender: str
    evidence: bool
    times: int
    first_at: datetime
    last_at: datetime
    resolved_at: datetime | None
    taker: str | None = None


def record(conn: Connection, refusal: SyncError, segment: Segment, sender: str, now: datetime) -> bool:
    """Remember a refusal; a repeated one is counted, and opens a resolved incident again.

    False when the segment should be kept with it and there is no room: who sent it must not part with it.
    """
    seq = refusal.data.get("seq") if isinstance(refusal, _PLACED) else 0
    fresh = {
        "code": refusal.code, "node": segment.node, "epoch": segment.epoch, "scope": segment.scope,
        "seq": seq if isinstance(seq, int) else 0, "sender": sender, "evidence": None,
        "times": 1, "first_us": to_us(now), "last_us": to_us(now), "resolved_us": None,
    }  # fmt: skip
    place = [column == fresh[column.name] for column in (t.c.code, t.c.node, t.c.epoch, t.c.scope, t.c.seq)]
    found = conn.execute(select(t.c.evidence, t.c.resolved_us).where(*place).with_for_update()).one_or_none()
    # A place that was settled opens again with what came now: the branches that were kept have found their way.
    before = [] if found is None or found.resolved_us or not found.evidence else open_evidence(found.evidence)
    evidence: list[Segment] = []
    if isinstance(refusal, _BRANCHES):
        room = BRANCHES_MAX if isinstance(refusal, ForkFound) else 1
        evidence = _beside(before, erased.as_kept(conn, segment), room)
    elif isinstance(refusal, MalformedEvent):
        evidence = before or [erased.as_kept(conn, segment)]
    if evidence:
        fresh["evidence"] = keep_evidence(evidence)
    if found is not None:
        again = {"times": t.c.times + 1, **{name: fresh[name] for name in ("last_us", "resolved_us", "evidence")}}
        if evidence != before:  # nobody has decided about what is new
            again["taker"] = None
        conn.execute(update(t).where(*place).values(again))
    elif conn.execute(select(func.count()).where(t.c.sender == sender)).scalar_one() < INCIDENTS_PER_SENDER_MAX:
        conn.execute(bulk.upsert_into(conn, t).values(fresh).on_conflict_do_nothing())
    else:
        return False
    return not isinstance(refusal, _BRANCHES) or any(covers(kept, segment) for kept in evidence)


def _beside(kept: Sequence[Segment], segment: Segment, room: int) -> list[Segment]:
    """Different branches may part from a stream at one place. Of one branch the longest piece is kept."""
    if any(covers(one, segment) for one in kept):
        return list(kept)
    others = [one for one in kept if not covers(segment, one)]
    return [*others, segment] if len(others) < room else others


def keep_evidence(segments: Iterable[Segment]) -> bytes:
    """Refused segments in as few bytes as their bundles took, one frame each."""
    return b"".join(zstandard.ZstdCompressor().compress(encode_segment(segment)) for segment in segments)


def open_evidence(evidence: bytes) -> list[Segment]:
    """The segments that were refused; we compressed them ourselves, so their stated sizes are true."""
    segments = []
    while evidence:
        frame = zstandard.ZstdDecompressor().decompressobj()
        segments.append(decode_segment(frame.decompress(evidence)))
        evidence = frame.unused_data
    return segments


def branches_exist(node: BindParameter[str]) -> ColumnElement[bool]:
    """The condition that something is kept here for this node to take up."""
    return exists().where(*_OPEN, or_(_is_fork_of(node), t.c.taker == node))


def forks_of(conn: Connection, node: str, limit: int) -> list[tuple[Stream, int, Segment]]:
    """Branches of this node's streams that were refused here and are kept, oldest first."""
    return _branches(conn, _is_fork_of(node), limit)


def handed_to(conn: Connection, node: str, limit: int) -> list[tuple[Stream, int, Segment]]:
    """What this node is to take up in place of others, whose keys were withdrawn; oldest first."""
    return _branches(conn, t.c.taker == node, limit)


def _branches(conn: Connection, condition: ColumnElement[bool], limit: int) -> list[tuple[Stream, int, Segment]]:
    query = select(t).where(*_OPEN, condition).order_by(t.c.first_us, t.c.seq).limit(limit)
    return [
        (Stream(Origin(row.node, row.epoch), Scope(row.scope)), row.seq, segment)
        for row in conn.execute(query)
        for segment in open_evidence(row.evidence)
    ]


def _is_fork_of(node: str | BindParameter[str]) -> ColumnElement[bool]:
    return and_(t.c.code == ForkFound.code, t.c.node == node)


def hand_to(conn: Connection, incident: Incident, node: str) -> None:
    """Let this node take up what is kept with the incident."""
    conn.execute(update(t).where(*_at(incident.code, incident.stream, incident.seq)).values(taker=node))


def is_settled(conn: Connection, refusal: SyncError, segment: Segment) -> bool:
    """Whether somebody has dealt with a place where all of this segment was kept."""
    seq = refusal.data.get("seq")
    if not isinstance(seq, int):
        return False
    place = _at(refusal.code, segment.stream, seq)
    found = conn.execute(select(t.c.evidence).where(*place, t.c.resolved_us.is_not(None))).scalar()
    return found is not None and any(covers(kept, segment) for kept in open_evidence(found))


def evidence_of(conn: Connection, incident: Incident) -> list[Segment]:
    """The refused segments of an incident that keeps any."""
    place = _at(incident.code, incident.stream, incident.seq)
    return open_evidence(conn.execute(select(t.c.evidence).where(*place)).scalar_one())


def unresolved(conn: Connection) -> list[Incident]:
    """Open incidents, oldest first."""
    query = select(t).where(t.c.resolved_us.is_(None)).order_by(t.c.first_us, t.c.code)
    return [
        Incident(
            code=row.code, stream=Stream(Origin(row.node, row.epoch), Scope(row.scope)), seq=row.seq,
            sender=row.sender, evidence=row.evidence is not None, times=row.times,
            first_at=from_us(row.first_us), last_at=from_us(row.last_us), resolved_at=None, taker=row.taker,
        )
        for row in conn.execute(query)
    ]  # fmt: skip


def resolve(conn: Connection, incident: Incident, now: datetime) -> None:
    """A person has dealt with it. The evidence stays."""
    resolve_place(conn, incident.code, incident.stream, incident.seq, now)


def resolve_place(conn: Connection, code: str, stream: Stream, seq: int, now: datetime) -> None:
    """What was refused at this place is settled. The evidence stays."""
    conn.execute(update(t).where(*_at(code, stream, seq)).values(resolved_us=to_us(now)))


def resolve_for(conn: Connection, node: str, stream: Stream, seq: int, now: datetime) -> None:
    """This node has taken up what was kept for it at this place."""
    mine = or_(_is_fork_of(node), t.c.taker == node)
    conn.execute(update(t).where(*_at(None, stream, seq), *_OPEN, mine).values(resolved_us=to_us(now)))


def _at(code: str | None, stream: Stream, seq: int) -> tuple[ColumnElement[bool], ...]:
    """A place in a stream, of one kind of refusal or of any."""
    origin = stream.origin
    place = (t.c.node == origin.node, t.c.epoch == origin.epoch, t.c.scope == stream.scope, t.c.seq == seq)
    return place if code is None else (t.c.code == code, *place)
