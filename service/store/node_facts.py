"""Small facts a node keeps about itself: which station it serves, which node is its hub, table versions."""

from __future__ import annotations

from sqlalchemy import Connection, select

from service.store.tables import node_facts
from service.store.upsert import upsert


def get(connection: Connection, key: str) -> str | None:
    query = select(node_facts.c.value).where(node_facts.c.key == key)
    return connection.execute(query).scalar()


def put(connection: Connection, key: str, value: str) -> None:
    upsert(connection, node_facts, [{"key": key, "value": value}])


def masters_changed(connection: Connection) -> None:
    """Tell every process of this node that its snapshot of the town is out of date."""
    put(connection, "masters_version", str(int(get(connection, "masters_version") or "0") + 1))
