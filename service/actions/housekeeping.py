"""Housekeeping: bookkeeping stays small, disk and database are looked at, and jobs leave a line when they ran.

What it removes are leavings (used codes, old receipts) and, once a day, statements that were replaced long ago
(`retaining`); what it writes are notes about this node that the sync page and `/readyz` show.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from sqlalchemy import Connection, Delete, delete, func, select, text, update

from config import jobs
from config.settings import NodeRole
from service.actions import awaiting, retaining
from service.actions.checking import FREE_DISK_MIN
from service.node import Node
from service.store import database, node_facts
from service.store.tables import job_runs
from service.store.upsert import upsert
from sync.events import to_us
from sync.tables import ledger_incidents, sync_enrolment_codes, sync_receipts

log = structlog.get_logger(__name__)

CODES_KEPT = timedelta(days=30)  # so that an old code gets "expired" as its answer, not "unknown"
INCIDENTS_KEPT = timedelta(days=365)  # once resolved
RECEIPTS_PER_PEER = 4  # one for each epoch of the peer; a node that is restored often leaves many
INTEGRITY_EVERY = timedelta(hours=23)
QUIET_NOTE_EVERY = timedelta(seconds=60)
LATE_PERIODS, LATE_AT_LEAST_S = 3, 180.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """Rows removed, and warning codes: `disk_low`, `database_damaged`, `sqlite_outdated`."""

    removed: int
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """What a person should know about this node. `integrity` is "ok", what the database said, or "" before a look."""

    disk_free_bytes: int
    integrity: str
    integrity_at: datetime | None
    late_jobs: tuple[str, ...]
    warnings: tuple[str, ...]


def sweep(node: Node) -> Kept:
    """Remove leavings, look at the database once a day; runs hourly and may run at any time."""
    with node.engine.begin() as connection:
        removed = sum(connection.execute(statement).rowcount for statement in _leavings(node.now()))
        removed += _forget_receipts(connection)
        _drop_expired_keys(connection, node.now())
        removed += _look_after_attachments(node, connection)
    removed += retaining.shorten_if_due(node)
    _look_at_database(node)
    return Kept(removed=removed, warnings=health(node).warnings)


def health(node: Node) -> Health:
    """The node's own state, from what was noted last and the disk as it is now."""
    free = shutil.disk_usage(node.settings.data_dir).free
    with node.reading() as connection:
        integrity = node_facts.get(connection, "integrity") or ""
        looked = node_facts.get(connection, "integrity_at")
        late = _late_jobs(connection, node)
    return Health(
        disk_free_bytes=free, integrity=integrity, late_jobs=late, warnings=_warnings(node, free, integrity),
        integrity_at=datetime.fromisoformat(looked) if looked else None,
    )  # fmt: skip


def note_run(node: Node, name: str, started_at: datetime, outcome: str, *, quiet: bool) -> None:
    """Leave when the job ran and how it ended. A run that found nothing to do is noted once a minute at most.

    Each note is a synchronous commit: without the pause an idle village PC would write to its disk all day.
    """
    now = node.now()
    with node.reading() as connection:
        known = connection.execute(select(job_runs).where(job_runs.c.name == name)).one_or_none()
    fresh = known is not None and known.finished_at is not None and abs(now - known.finished_at) < QUIET_NOTE_EVERY
    if quiet and fresh and known is not None and known.outcome == outcome:
        return
    row = {"name": name, "started_at": started_at, "finished_at": now, "outcome": outcome[:60]}
    with node.engine.begin() as connection:
        upsert(connection, job_runs, [row])


def _leavings(now: datetime) -> list[Delete]:
    known = [beat.job for beat in (*jobs.HUB_BEAT, *jobs.STATION_BEAT)]
    codes, incidents = sync_enrolment_codes.c, ledger_incidents.c
    return [
        delete(job_runs).where(job_runs.c.name.not_in(known)),
        delete(sync_enrolment_codes).where(codes.expires_us < to_us(now - CODES_KEPT)),
        delete(ledger_incidents).where(incidents.resolved_us.is_not(None),
                                       incidents.resolved_us < to_us(now - INCIDENTS_KEPT)),
    ]  # fmt: skip


def _forget_receipts(connection: Connection) -> int:
    """Keep the newest receipts of each peer."""
    r = sync_receipts.c
    newest_first = func.row_number().over(partition_by=r.peer, order_by=r.stored_us.desc())
    ranked = select(r.peer, r.peer_epoch, newest_first.label("place")).subquery()
    old = connection.execute(select(ranked).where(ranked.c.place > RECEIPTS_PER_PEER)).all()
    for row in old:
        connection.execute(delete(sync_receipts).where(r.peer == row.peer, r.peer_epoch == row.peer_epoch))
    return len(old)


def _look_after_attachments(node: Node, connection: Connection) -> int:
    """Files and entries removed that nothing refers to. What is lacking or was lost is told to whoever watches."""
    wrong = awaiting.reconcile(node, connection)
    if wrong:
        log.warning("attachments.reconciled", count=wrong)
    swept = node.blobs.sweep(connection)
    if swept.lost:
        log.warning("attachments.lost", count=len(swept.lost))
    late = [one for one in swept.missing if node.now() - one.since > awaiting.LATE]
    if late:
        log.warning("attachments.missing", count=len(late), since=late[0].since.isoformat())
    return swept.removed


def _drop_expired_keys(connection: Connection, now: datetime) -> None:
    """A code that ran out unused serves nobody but a thief of this database."""
    c = sync_enrolment_codes.c
    ran_out = (c.expires_us < to_us(now)) & c.code_key.is_not(None)
    connection.execute(update(sync_enrolment_codes).where(ran_out).values(code_key=None))


def _look_at_database(node: Node) -> None:
    """SQLite's own check, daily: a damaged page is found while yesterday's backup is still there. PostgreSQL has its
    own checksums and administrators."""
    if node.engine.dialect.name != "sqlite" or not _is_due(node):
        return
    with node.reading() as connection:
        answer = str(connection.execute(text("PRAGMA quick_check(1)")).scalar_one())
    with node.engine.begin() as connection:
        connection.execute(text("PRAGMA optimize"))
        node_facts.put(connection, "integrity", answer[:500])
        node_facts.put(connection, "integrity_at", node.now().isoformat())


def _is_due(node: Node) -> bool:
    with node.reading() as connection:
        looked = node_facts.get(connection, "integrity_at")
    return looked is None or abs(node.now() - datetime.fromisoformat(looked)) >= INTEGRITY_EVERY


def _late_jobs(connection: Connection, node: Node) -> tuple[str, ...]:
    """Jobs that have run before but not for three of their periods. A clock set back makes none of them late."""
    beats = jobs.HUB_BEAT if node.settings.role is NodeRole.HUB else jobs.STATION_BEAT
    patience = {beat.job: max(LATE_PERIODS * beat.every_s, LATE_AT_LEAST_S) for beat in beats}
    rows = connection.execute(select(job_runs.c.name, job_runs.c.finished_at)).all()
    now = node.now()
    return tuple(sorted(
        row.name for row in rows
        if row.name in patience and row.finished_at and (now - row.finished_at).total_seconds() > patience[row.name]
    ))  # fmt: skip


def _warnings(node: Node, free: int, integrity: str) -> tuple[str, ...]:
    old_sqlite = node.engine.dialect.name == "sqlite" and database.sqlite_version() < database.SAFE_SQLITE
    checks: list[tuple[str, bool]] = [
        ("disk_low", free < FREE_DISK_MIN),
        ("database_damaged", integrity not in ("", "ok")),
        ("sqlite_outdated", old_sqlite),
    ]
    return tuple(code for code, applies in checks if applies)
