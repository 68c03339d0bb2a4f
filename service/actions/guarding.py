"""Folding in a process that may end in the middle: by a fold that eats all memory, runs for ever, or a power cut.

Before any work is done, a mark with the subjects' names is committed; it goes with the fold, and also when the fold
fails with an error. A mark that is found later belonged to a process that ended. Its subjects are then folded one by
one, so that the one that ends processes shows, and is set aside before it can do so a third time.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy import Connection

from service.domain.quarantine import ENDED, ENDED_MAX, Category
from service.node import Node
from sync.events import Subject

# Between the two transactions on SQLite another thread would take the mark for one left behind. A second process beside
# a station's is a person's command; it would have to fall three times into these milliseconds to do harm.
_one_thread = threading.Lock()

Take = Callable[[Connection], list[Subject]]


@contextmanager
def marked(node: Node, take: Take) -> Iterator[tuple[Connection, list[Subject]]]:
    """A transaction and the subjects to fold in it; that folding them began is committed already.

    On PostgreSQL the subjects are held while the mark is written beside, so that nobody takes it for one left behind.
    SQLite has one writer: the mark is written first, in a transaction of its own, and one thread does so at a time.
    """
    mark: int | None = None
    try:
        if node.engine.dialect.name == "postgresql":
            with node.engine.begin() as connection:
                taken = take(connection)
                with node.engine.begin() as beside:
                    mark = _begin(node, beside, taken)
                yield connection, taken
                _end(node, connection, mark)
        else:
            with _one_thread:
                with node.engine.begin() as connection:
                    taken = take(connection)
                    mark = _begin(node, connection, taken)
                with node.engine.begin() as connection:
                    yield connection, taken
                    _end(node, connection, mark)
    except BaseException:
        with node.engine.begin() as connection:
            _end(node, connection, mark)
        raise


def _begin(node: Node, connection: Connection, subjects: list[Subject]) -> int | None:
    return node.ledger.begin_folding(connection, subjects) if subjects else None


def _end(node: Node, connection: Connection, mark: int | None) -> None:
    if mark is not None:
        node.ledger.end_folding(connection, mark)


def suspects(node: Node, connection: Connection, taken: list[Subject]) -> dict[Subject, int]:
    """Those of the subjects whose fold ended a process before, and how often."""
    if not taken:
        return {}
    times = node.ledger.unfinished_foldings(connection, taken)
    times.update(one.subject for one in node.ledger.quarantined(connection, taken) if one.reason == ENDED)
    return dict(times)


def is_given_up(node: Node, subject: Subject, times: int) -> bool:
    """Set the subject aside when its fold has ended a process too often."""
    if times < ENDED_MAX:
        return False
    with node.engine.begin() as connection:
        node.ledger.quarantine(connection, subject, Category.HANDLER, ENDED)
    return True
