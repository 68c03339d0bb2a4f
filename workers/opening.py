"""Opening a node that is about to serve: its database brought up to date, or a clear reason why it must not record."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy.exc import DBAPIError, OperationalError

from config.settings import Settings
from service.actions import doubting, scheduling
from service.actions.projecting import rebuild_if_outdated
from service.node import Node, build_node
from service.store import schema
from service.store.database import StorageUnusable, storage_problem
from sync.errors import IdentityUnusable

T = TypeVar("T")

DATABASE_PATIENCE_S = 30.0  # after a power cut the hub's PostgreSQL may still be recovering


def open_node(settings: Settings) -> Node:
    """The node: migrated, with read tables of this version, in an epoch it can trust. Raises StorageUnusable."""
    try:
        node = build_node(settings)
        _wait_for_database(node)
        schema.upgrade(node.engine)
        rebuild_if_outdated(node)
        doubting.examine(node)
        if not node.is_hub:
            scheduling.note_start(node)
    except (DBAPIError, OSError) as error:
        raise storage_problem(error) or _unreachable(error) from error
    except IdentityUnusable as error:
        raise StorageUnusable("keys_unusable", str(error)) from error
    return node


def _unreachable(error: Exception) -> StorageUnusable:
    first_line = str(error).partition("\n")[0]
    return StorageUnusable("database_unreachable", first_line)


def _wait_for_database(node: Node) -> None:
    """PostgreSQL may start later than we do; SQLite is there or it is not. Raises OperationalError in the end."""
    if node.engine.dialect.name == "postgresql":
        patiently(lambda: node.engine.connect().close())


def patiently(do: Callable[[], T]) -> T:
    """What needs a PostgreSQL that may be recovering: tried again while it is away, then its OperationalError."""
    deadline = time.monotonic() + DATABASE_PATIENCE_S
    while True:
        try:
            return do()
        except OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)
