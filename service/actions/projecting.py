"""Folding what arrived: the sweep over pending subjects, the rebuild, and the proof that both agree.

Stored is not applied: the upload endpoint stores and marks, this sweep folds. A batch is folded at once; when one
subject in it cannot be folded, the batch is done again one by one, the bad one is set aside with a category and a
reason, and the rest goes on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import structlog
from sqlalchemy import Connection, delete

from config import jobs
from service.node import Node
from service.store import comparing, node_facts
from service.store.codec import UnreadableFact
from service.store.masters import KINDS
from service.store.projectors import CASE_KINDS, MASTER_KINDS, Folding, open_opinions, pages, project
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


def sweep(node: Node) -> Folded:
    """Fold pending subjects until none is left or the sweep's limit is reached."""
    subjects = quarantined = 0
    for _ in range(BATCHES_MAX):
        taken, bad = _fold_batch(node)
        subjects, quarantined = subjects + taken, quarantined + bad
        if taken < BATCH:
            return Folded(subjects=subjects, quarantined=quarantined)
    return Folded(subjects=subjects, quarantined=quarantined, left=True)


def _fold_batch(node: Node) -> tuple[int, int]:
    """Subjects taken and set aside."""
    try:
        with node.engine.begin() as connection:
            taken = node.ledger.take_pending(connection, BATCH)
            _fold(node, connection, taken)
            node.ledger.clear_pending(connection, taken)
        _nudge_coverage(node, taken)
        return len(taken), 0
    except Exception as error:  # noqa: BLE001  one bad subject: found and set aside one by one, below
        log.warning("projection.batch_failed", reason=type(error).__name__)
        return _fold_singly(node)


def _nudge_coverage(node: Node, folded: list[Subject]) -> None:
    """A reception or a station that has just arrived shows in the coverage view at once, not at the next beat."""
    if node.is_hub and any(subject.startswith(MOVES_COVERAGE) for subject in folded):
        node.jobs.request(jobs.COVERAGE)


def _fold_singly(node: Node) -> tuple[int, int]:
    with node.engine.begin() as connection:
        taken = node.ledger.take_pending(connection, BATCH)
        bad = sum(not _fold_one(node, connection, subject) for subject in taken)
        return len(taken), bad


def _fold_one(node: Node, connection: Connection, subject: Subject) -> bool:
    def fold(subjects: list[Subject]) -> None:
        _fold(node, connection, subjects)
        node.ledger.clear_pending(connection, subjects)

    return _or_set_aside(node, connection, subject, fold)


def _or_set_aside(node: Node, connection: Connection, subject: Subject, fold: Callable[[list[Subject]], None]) -> bool:
    """Whether this subject could be folded; else it stands in quarantine with a category and a reason."""
    try:
        with connection.begin_nested():
            fold([subject])
        return True
    except Exception as error:
        category = "schema" if isinstance(error, UnreadableFact) else "handler"
        log.exception("projection.quarantined", subject=subject, category=category)
        node.ledger.quarantine(connection, subject, category, f"{type(error).__name__}: {error}"[:500])
        return False


def _fold(node: Node, connection: Connection, subjects: list[Subject]) -> None:
    """Master data first, because opinions are folded with them."""
    node.ledger.lock_subjects(connection, subjects)
    masters = [subject for subject in subjects if subject.startswith(_MASTER_PREFIXES)]
    if masters:
        project(connection, node.ledger, masters, _folding(node, connection))
        node_facts.masters_changed(connection)
        if any(subject.startswith(_RETIMING) for subject in masters):
            node.ledger.mark_pending(connection, open_opinions(connection))
    others = [subject for subject in subjects if not subject.startswith(_MASTER_PREFIXES)]
    if others:
        project(connection, node.ledger, others, _folding(node, connection))


def _folding(node: Node, connection: Connection) -> Folding:
    return Folding(town=node.town(connection), hub_nodes=node.hub_nodes, blobs=node.blobs)


def rebuild_if_outdated(node: Node) -> bool:
    """Rebuild when the tables were made by another version of this program."""
    with node.reading() as connection:
        if node_facts.get(connection, "read_version") == READ_VERSION:
            return False
    rebuild(node)
    return True


def rebuild(node: Node) -> int:
    """Empty the read tables and fold every subject of the ledger again; gives their number. All or nothing.

    A subject that cannot be folded is set aside; one that was set aside and can be folded now comes back.
    """
    with node.engine.begin() as connection:
        for table in read.sorted_tables:
            connection.execute(delete(table))
        aside = frozenset(one.subject for one in node.ledger.quarantined(connection))
        count = 0
        for kinds in (MASTER_KINDS, CASE_KINDS):
            for page in pages(connection, node.ledger, kinds, BATCH):
                _refold(node, connection, page, aside)
                count += len(page)
            node_facts.masters_changed(connection)
        node_facts.put(connection, "read_version", READ_VERSION)
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
            _or_set_aside(node, connection, subject, fold)


def differences(node: Node) -> dict[str, int]:
    """Rows of each read table that a rebuild would change; all zero when rebuilt equals live. Changes nothing.

    Pending subjects are folded first, since a row that is about to change is not wrong.
    """
    sweep(node)
    with comparing.snapshot(node.engine) as connection:
        return comparing.differences(connection, node.ledger, _folding(node, connection))
