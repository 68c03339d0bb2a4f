"""Where the hub above answers: as the settings say, or as it was typed when this station joined on its own page."""

from __future__ import annotations

from sqlalchemy import Connection

from service.node import Node
from service.store import node_facts

HUB_URL = "hub_url"  # among the node's own facts


def hub_url(node: Node) -> str | None:
    """The hub's address; None where only memory sticks come and go, or nothing is above."""
    if node.settings.hub_url is not None:
        return node.settings.hub_url
    with node.reading() as connection:
        return known_url(node, connection)


def known_url(node: Node, connection: Connection) -> str | None:
    """The same within a transaction of the caller's."""
    return node.settings.hub_url or node_facts.get(connection, HUB_URL)
