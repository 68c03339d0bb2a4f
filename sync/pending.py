"""Subjects that wait to be folded, and those whose fold failed.

Accepting marks subjects in the transaction that stores their events; a sweep takes some, folds them and clears them
in one transaction. On PostgreSQL a sweep holds its rows: who marks one of them meanwhile waits, finds it gone and
marks it anew, so no event that arrived during a fold is forgotten.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import BigInteger, Connection, Text, bindparam, delete, func, insert, literal_column, select, text

from sync import bulk
from sync.events import Subject, from_us, to_us
from sync.tables import ledger_foldings as b
from sync.tables import ledger_pending as p
from sync.tables import ledger_quarantine as q

REASON_CHARACTERS_MAX = 500

# One text instead of an array: subjects hold no line break, and a driver quotes an array element by element.
_MARK_MANY = text(
    "INSERT INTO ledger_pending (subject, generation, marked_us)"
    " SELECT unnest(string_to_array(:subjects, chr(10))), 1, :marked_us"
    " ON CONFLICT (subject) DO UPDATE SET generation = ledger_pending.generation + 1"
).bindparams(bindparam("subjects", type_=Text), bindparam("marked_us", type_=BigInteger))


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantined:
    """A subject whose fold failed; its events are kept and it is tried again when released or when more arrives."""

    subject: Subject
    category: str
    reason: str
    attempts: int
    since: datetime
    last: datetime


def mark(conn: Connection, subjects: Sequence[Subject], now: datetime) -> None:
    """Mark subjects for folding, in one statement. Sorted, so that two markers cannot block each other in a circle."""
    if not subjects:
        return
    ordered = sorted(set(subjects))
    if bulk.is_postgresql(conn):
        conn.execute(_MARK_MANY, {"subjects": "\n".join(ordered), "marked_us": to_us(now)})
        return
    again = {"generation": p.c.generation + 1}
    statement = bulk.upsert_into(conn, p).on_conflict_do_update(index_elements=[p.c.subject], set_=again)
    conn.execute(statement, [{"subject": s, "generation": 1, "marked_us": to_us(now)} for s in ordered])


def take(conn: Connection, limit: int) -> list[Subject]:
    """Up to `limit` waiting subjects, longest waiting first, held until the transaction ends."""
    query = select(p.c.subject).order_by(p.c.marked_us, p.c.subject).limit(limit).with_for_update(skip_locked=True)
    return [Subject(subject) for subject in conn.execute(query).scalars()]


def take_these(conn: Connection, subjects: Sequence[Subject]) -> list[Subject]:
    """Those of the subjects that still wait and that nobody else holds, held until the transaction ends."""
    query = select(p.c.subject).where(p.c.subject.in_(subjects)).with_for_update(skip_locked=True)
    return [Subject(subject) for subject in conn.execute(query).scalars()]


def clear(conn: Connection, subjects: Sequence[Subject]) -> None:
    """These subjects are folded."""
    for part in bulk.chunks(list(subjects)):
        conn.execute(delete(p).where(bulk.among(conn, p.c.subject, part)))


def count(conn: Connection) -> int:
    return conn.execute(select(func.count()).select_from(p)).scalar_one()


def quarantine(conn: Connection, subject: Subject, category: str, reason: str, now: datetime) -> None:
    """Set a subject aside with a category and a reason; it no longer waits, the others go on."""
    fresh = {
        "subject": subject, "category": category, "reason": reason[:REASON_CHARACTERS_MAX],
        "attempts": 1, "since_us": to_us(now), "last_us": to_us(now),
    }  # fmt: skip
    again = {name: fresh[name] for name in ("category", "reason", "last_us")} | {"attempts": q.c.attempts + 1}
    statement = bulk.upsert_into(conn, q).values(fresh).on_conflict_do_update(index_elements=[q.c.subject], set_=again)
    conn.execute(statement)
    clear(conn, [subject])


def release(conn: Connection, subject: Subject, now: datetime) -> None:
    """Out of quarantine and back among the waiting."""
    conn.execute(delete(q).where(q.c.subject == subject))
    mark(conn, [subject], now)


def settled(conn: Connection, subjects: Sequence[Subject]) -> None:
    """Subjects that were folded after all leave quarantine."""
    if _nothing_aside(conn):
        return
    for part in bulk.chunks(list(subjects)):
        conn.execute(delete(q).where(bulk.among(conn, q.c.subject, part)))


def _nothing_aside(conn: Connection) -> bool:
    """As on most days: a short question instead of one with hundreds of names."""
    return conn.execute(select(literal_column("1")).select_from(q).limit(1)).first() is None


def quarantined(conn: Connection, subjects: Sequence[Subject] | None = None) -> list[Quarantined]:
    """Everything set aside, oldest first; of some hundred subjects only, when these are given."""
    query = select(q).order_by(q.c.since_us, q.c.subject)
    if subjects is not None:
        if _nothing_aside(conn):
            return []
        query = query.where(q.c.subject.in_(subjects))
    return [
        Quarantined(
            subject=Subject(row.subject), category=row.category, reason=row.reason, attempts=row.attempts,
            since=from_us(row.since_us), last=from_us(row.last_us),
        )
        for row in conn.execute(query)
    ]  # fmt: skip


# --- folds that ended with their process -----------------------------------------------------------------------


def begin(conn: Connection, subjects: Sequence[Subject], now: datetime) -> int:
    """Note that these subjects are about to be folded; commit before folding. Gives the name of the mark."""
    mark = {"subjects": "\n".join(subjects), "begun_us": to_us(now)}
    name: int = conn.execute(insert(b).values(mark).returning(b.c.id)).scalar_one()
    return name


def end(conn: Connection, mark: int) -> None:
    """The fold ended, well or with an error: its process lived to tell."""
    conn.execute(delete(b).where(b.c.id == mark))


def unfinished(conn: Connection, subjects: Sequence[Subject]) -> Counter[Subject]:
    """How often a fold of these subjects began and did not end.

    The caller holds the subjects (`take`), so no other process is at work on them at this moment.
    """
    asked = frozenset(subjects)
    found: Counter[Subject] = Counter()
    for line in conn.execute(select(b.c.subjects)).scalars():
        found.update(asked.intersection(map(Subject, line.split("\n"))))
    return found


def forget(conn: Connection) -> None:
    """Remove marks that have told all they know: none of their subjects waits any more."""
    for row in conn.execute(select(b.c.id, b.c.subjects)).all():
        waiting = select(p.c.subject).where(p.c.subject.in_(row.subjects.split("\n"))).limit(1)
        if conn.execute(waiting).first() is None:
            end(conn, row.id)
