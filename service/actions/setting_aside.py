"""Setting a subject aside: which category its error belongs to, and when it is tried again without a person's doing."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

import structlog
from sqlalchemy import Connection, select
from sqlalchemy.exc import DataError, IntegrityError

from service.domain.policy_reading import BadPolicy
from service.domain.quarantine import Category, Impossible, MissingDependency
from service.domain.refusals import NotFound, Refused
from service.domain.working_days import BadTerm
from service.node import Node
from service.store.codec import UndecodableFact, UnreadableFact
from service.store.projectors import empty_rows
from sync.errors import BodyUnreadable
from sync.events import Subject
from sync.tables import ledger_events

log = structlog.get_logger(__name__)

# In this order: an error belongs to the first family it is of.
_CATEGORIES: tuple[tuple[Category, tuple[type[Exception], ...]], ...] = (
    (Category.UNDECODABLE, (UndecodableFact, BodyUnreadable)),
    (Category.SCHEMA, (UnreadableFact,)),
    (Category.DEPENDENCY, (MissingDependency, NotFound)),
    (Category.RULE, (Impossible, Refused, BadTerm, BadPolicy, DataError, IntegrityError)),
)


def category_of(error: Exception) -> Category:
    """What an error says about the record; whatever nobody foresaw is a mistake of ours."""
    return next((category for category, family in _CATEGORIES if isinstance(error, family)), Category.HANDLER)


def or_set_aside(node: Node, connection: Connection, subject: Subject, fold: Callable[[list[Subject]], None]) -> bool:
    """Whether this subject could be folded; else it stands in quarantine with a category and a reason."""
    try:
        with connection.begin_nested():
            fold([subject])
        return True
    except Exception as error:  # noqa: BLE001  whatever it is, it concerns this subject and stops no other
        category = category_of(error)
        # What waits for another record is no accident and needs no traceback.
        tell = log.info if category is Category.DEPENDENCY else log.exception
        tell("projection.quarantined", subject=subject, category=category.value)
        node.ledger.quarantine(connection, subject, category, f"{type(error).__name__}: {error}"[:500])
        if _holds_erased(connection, subject):
            empty_rows(connection, subject)
        return False


def _holds_erased(connection: Connection, subject: Subject) -> bool:
    """The rows of a subject that was set aside stay as they were, unless they might still say what was erased."""
    erased = select(ledger_events.c.seq).where(ledger_events.c.subject == subject, ledger_events.c.body.is_(None))
    return connection.execute(erased.limit(1)).first() is not None


def waiting_for(connection: Connection, node: Node, categories: Collection[Category]) -> list[Subject]:
    """Subjects set aside for one of these reasons."""
    return [one.subject for one in node.ledger.quarantined(connection) if one.category in categories]


def try_again(connection: Connection, node: Node, subjects: Iterable[Subject]) -> None:
    """Back among the waiting. What is known of them stays until they are folded, so that attempts go on counting."""
    node.ledger.mark_pending(connection, list(subjects))
