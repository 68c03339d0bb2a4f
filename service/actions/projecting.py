"""Folding what arrived: the sweep over pending subjects, the rebuild, and the proof that both agree.

Stored is not applied: the upload endpoint stores and marks, this sweep folds. A batch is folded at once; when one
subject in it cannot be folded, the batch is done again one by one, the bad one is set aside with a category and a
reason, and the rest goes on.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from functools import partial

import structlog
from sqlalchemy import Connection, delete

from config import jobs
from service.actions import erasing, guarding, setting_aside, upgrading
from service.domain.quarantine import AFTER_MASTER_DATA, ENDED, ENDED_MAX, ON_ARRIVAL
from service.node import Node
from service.store import comparing, node_facts
from service.store.masters import KINDS
from service.store.projectors import Folding, every_page, open_opinions, project
from service.store.tables import READ_VERSION, read
from service.store.unit import MOVES_COVERAGE
from sync.events import Subject

log = structlog.get_logger(__name__)

BATCH = 400
BATCHES_MAX = 50  # of one sweep: a task stays short, the next ring goes on
_MASTER_PREFIXES = tuple(f"{kind}/" for kind in sorted(KINDS))
_RETIMING = ("calendar/", "policy/")


@dataclass(frozen=True, slots=True, kw_only=True)
class Folded:
    """`left`: more was waiting when the sweep reached its limit."""

    subjects: int = 0
    quarantined: int = 0
    left: bool = False


@dataclass(slots=True)
class _Batch:
    """One round of the sweep: what it takes, what of it must be folded alone, and what it had to set aside."""

    taken: list[Subject] = field(default_factory=list)
    alone: dict[Subject, int] = field(default_factory=dict)  # and how often that ended a process
    aside: list[Subject] = field(default_factory=list)
    again: bool = False  # an erasure was carried out: subjects may be marked anew, files may have to go


def sweep(node: Node) -> Folded:
    """Fold pending subjects until none is left or the sweep's limit is reached."""
    subjects, aside = 0, set[Subject]()
    for _ in range(BATCHES_MAX):
        batch = _fold_batch(node)
        subjects += len(batch.taken)
        aside.update(batch.aside)
        if len(batch.taken) < BATCH and not batch.again:
            more = _fold_dependants(node, aside) if subjects else _Batch()
            return Folded(subjects=subjects + len(more.taken), quarantined=len(aside) + len(more.aside))
    return Folded(subjects=subjects, quarantined=len(aside), left=True)


def _fold_batch(node: Node) -> _Batch:
    batch = _Batch()

    def take(connection: Connection) -> list[Subject]:
        batch.taken = node.ledger.take_pending(connection, BATCH)
        batch.alone = guarding.suspects(node, connection, batch.taken)
        return [subject for subject in batch.taken if subject not in batch.alone]

    try:
        with guarding.marked(node, take) as (connection, together):
            _fold(node, connection, together)
            node.ledger.clear_pending(connection, together)
            batch.again = erasing.follow(node, connection, together)
    except Exception as error:  # noqa: BLE001  one bad subject: found and set aside one by one, below
        log.warning("projection.batch_failed", reason=type(error).__name__)
        with guarding.marked(node, take) as (connection, together):
            batch.aside = [subject for subject in together if not _fold_one(node, connection, subject, batch)]
    _fold_suspects(node, batch)
    if batch.again:
        node.clear_erased()
    _nudge_coverage(node, batch.taken)
    return batch


def _fold_suspects(node: Node, batch: _Batch) -> None:
    """One at a time, each in a transaction of its own: what a process dies of must not take the others with it."""
    for subject, times in batch.alone.items():
        if guarding.is_given_up(node, subject, times):
            log.error("projection.given_up", subject=subject, times=times)
            batch.aside.append(subject)
            continue
        with guarding.marked(node, partial(node.ledger.take_these, subjects=[subject])) as (connection, taken):
            batch.aside += [one for one in taken if not _fold_one(node, connection, one, batch)]
    if batch.alone:
        with node.engine.begin() as connection:
            node.ledger.forget_foldings(connection)


def _fold_dependants(node: Node, just_tried: Collection[Subject]) -> _Batch:
    """Something has arrived: it may be what subjects that were set aside for a missing record wait for."""
    with node.reading() as connection:
        waiting = setting_aside.waiting_for(connection, node, ON_ARRIVAL)
    waiting = [subject for subject in waiting if subject not in just_tried][:BATCH]
    if not waiting:
        return _Batch()
    with node.engine.begin() as connection:
        setting_aside.try_again(connection, node, waiting)
    return _fold_batch(node)


def _nudge_coverage(node: Node, folded: list[Subject]) -> None:
    """A reception or a station that has just arrived shows in the coverage view at once, not at the next beat."""
    if node.is_hub and any(subject.startswith(MOVES_COVERAGE) for subject in folded):
        node.jobs.request(jobs.COVERAGE)


def _fold_one(node: Node, connection: Connection, subject: Subject, batch: _Batch) -> bool:
    def fold(subjects: list[Subject]) -> None:
        _fold(node, connection, subjects)
        node.ledger.clear_pending(connection, subjects)
        batch.again |= erasing.follow(node, connection, subjects)

    return setting_aside.or_set_aside(node, connection, subject, fold)


def _fold(node: Node, connection: Connection, subjects: list[Subject]) -> None:
    """Master data first, because opinions are folded with them."""
    node.ledger.lock_subjects(connection, subjects)
    masters = [subject for subject in subjects if subject.startswith(_MASTER_PREFIXES)]
    if masters:
        project(connection, node.ledger, masters, _folding(node, connection))
        node_facts.masters_changed(connection)
        again = setting_aside.waiting_for(connection, node, AFTER_MASTER_DATA)
        if any(subject.startswith(_RETIMING) for subject in masters):
            again += open_opinions(connection)
        setting_aside.try_again(connection, node, (subject for subject in again if subject not in subjects))
    others = [subject for subject in subjects if not subject.startswith(_MASTER_PREFIXES)]
    if others:
        project(connection, node.ledger, others, _folding(node, connection))


def _folding(node: Node, connection: Connection) -> Folding:
    return Folding(town=node.town(connection), hub_nodes=node.hub_nodes,
                   tree=node.settings.town, blobs=node.blobs)  # fmt: skip


def rebuild_if_outdated(node: Node) -> bool:
    """Rebuild when the tables were made by another version of this program; else look again at what it knows better."""
    with node.reading() as connection:
        outdated = node_facts.get(connection, "read_version") != READ_VERSION
    if outdated:
        rebuild(node)
    upgrading.look_again(node)
    return outdated


def rebuild(node: Node) -> int:
    """Empty the read tables and fold every subject of the ledger again; gives their number. All or nothing.

    A subject that cannot be folded is set aside; one that was set aside and can be folded now comes back. When a
    process ended twice while it rebuilt, the subjects are left to the sweep, which finds the one it ended on.
    """
    if _begun_before(node) >= ENDED_MAX:
        return _rebuild_by_sweep(node)
    with node.engine.begin() as connection:
        count = 0
        aside = {one.subject: one for one in node.ledger.quarantined(connection)}
        for page in _emptied(node, connection):
            fatal = [subject for subject in page if subject in aside and aside[subject].reason == ENDED]
            setting_aside.try_again(connection, node, fatal)
            _refold(node, connection, [subject for subject in page if subject not in fatal], frozenset(aside))
            count += len(page)
        _rebuilt(node, connection)
    return count


def _begun_before(node: Node) -> int:
    """How many rebuilds began and did not end; counts this one, in a transaction of its own."""
    with node.engine.begin() as connection:
        begun = int(node_facts.get(connection, "rebuilds_begun") or 0)
        node_facts.put(connection, "rebuilds_begun", str(begun + 1))
    return begun


def _emptied(node: Node, connection: Connection) -> Iterator[list[Subject]]:
    """All subjects, page by page, for tables that hold nothing any more."""
    for table in read.sorted_tables:
        connection.execute(delete(table))
    node_facts.masters_changed(connection)
    for page in every_page(connection, node.ledger, BATCH):
        yield page
        if page[0].startswith(_MASTER_PREFIXES):
            node_facts.masters_changed(connection)


def _rebuilt(node: Node, connection: Connection) -> None:
    erasing.remind(node, connection)
    node_facts.put(connection, "read_version", READ_VERSION)
    node_facts.put(connection, "rebuilds_begun", "0")


def _rebuild_by_sweep(node: Node) -> int:
    """Slower, and safe from a fold that ends the process: every subject waits for the sweep, which is marked."""
    log.error("projection.rebuilding_by_sweep")
    with node.engine.begin() as connection:
        count = 0
        for page in _emptied(node, connection):
            node.ledger.mark_pending(connection, page)
            count += len(page)
        _rebuilt(node, connection)
    while sweep(node).left:
        pass
    return count


def _refold(node: Node, connection: Connection, page: list[Subject], aside: frozenset[Subject]) -> None:
    """Without locks, of which a whole ledger would need too many: nothing else writes while a node rebuilds."""

    def fold(subjects: list[Subject]) -> None:
        project(connection, node.ledger, subjects, _folding(node, connection))
        for subject in aside.intersection(subjects):
            node.ledger.release(connection, subject)

    try:
        with connection.begin_nested():
            fold(page)
    except Exception as error:  # noqa: BLE001  one bad subject: found and set aside one by one, below
        log.warning("projection.batch_failed", reason=type(error).__name__)
        for subject in page:
            setting_aside.or_set_aside(node, connection, subject, fold)


def differences(node: Node) -> dict[str, int]:
    """Rows of each read table that a rebuild would change; all zero when rebuilt equals live. Changes nothing.

    Pending subjects are folded first, since a row that is about to change is not wrong.
    """
    sweep(node)
    with comparing.snapshot(node.engine) as connection:
        return comparing.differences(connection, node.ledger, _folding(node, connection))
