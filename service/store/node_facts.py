"""Small facts a node keeps about itself: which station it serves, which node is its hub, table versions."""

from __future__ import annotations

from uuid import uuid4

from sqlalchemy import Connection, select

from service.store.tables import node_facts
from service.store.upsert import upsert


def get(connection: Connection, key: str) -> str | None:
    query = select(node_facts.c.value).where(node_facts.c.key == key)
    return connection.execute(query).scalar()


def put(connection: Connection, key: str, value: str) -> None:
    upsert(connection, node_facts, [{"key": key, "value": value}])


def masters_changed(connection: Connection) -> None:
    """Tell every process of this node that its snapshot of the town is out of date.

    The version is a name, not a count: two changes at once never share one, and one that was rolled back never
    comes back.
    """
    put(connection, "masters_version", uuid4().hex)
