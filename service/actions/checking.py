"""What a node can say of itself: its state at a glance, and whether it can be trusted."""

from __future__ import annotations

import shutil
from typing import Any

from sqlalchemy import Connection

from service.actions.projecting import differences
from service.node import Node
from service.store import comparing, node_facts, unrecognised
from service.store.database import SAFE_SQLITE, sqlite_version
from sync import acknowledged, epochs, incidents, peers

FREE_DISK_MIN = 200 * 2**20  # bytes; below it a PC soon cannot record


def check(node: Node) -> list[str]:
    """Problems found, one sentence each: chains, read tables, storage. Empty when all is well.

    One moment is looked at: a hub that goes on recording meanwhile must not look damaged.
    """
    with comparing.snapshot(node.engine) as connection:
        found = [f"stream {p.stream}, number {p.seq}: {p.fault}" for p in node.ledger.verify(connection)]
        found += [f"set aside: {q.subject}, {q.category}: {q.reason}" for q in node.ledger.quarantined(connection)]
        found += [f"incident: {i.code} in {i.stream} at number {i.seq}" for i in incidents.unresolved(connection)]
    found += [f"read table {name}: {n} rows differ from a rebuild" for name, n in differences(node).items() if n]
    return found + storage_warnings(node)


def storage_warnings(node: Node) -> list[str]:
    """What about disk and database library a person should know."""
    found = []
    if node.engine.dialect.name == "sqlite" and sqlite_version() < SAFE_SQLITE:
        found.append(f"SQLite {'.'.join(map(str, sqlite_version()))} can corrupt its log in a rare race; "
                     f"install the pysqlite3 wheel")  # fmt: skip
    free = shutil.disk_usage(node.settings.data_dir).free
    if free < FREE_DISK_MIN:
        found.append(f"only {free // 2**20} MiB free on disk")
    return found


def status(node: Node) -> dict[str, Any]:
    """The node at a glance, in plain values."""
    with node.reading() as connection:
        return {
            "role": node.settings.role.value,
            "station": node.station,
            "node": node.identity.node,
            "epoch": epochs.current(connection, node.identity).epoch,
            "now": node.now().isoformat(),
            "streams": {str(s): p.seq for s, p in node.ledger.heads(connection, [node.town_scope]).items()},
            "horizons": {str(s): p.seq for s, p in node.ledger.horizons(connection).items()},
            "pending_subjects": node.ledger.pending_count(connection),
            "quarantined": len(node.ledger.quarantined(connection)),
            "unrecognised": unrecognised.count(connection),
            "incidents": len(incidents.unresolved(connection)),
            "read_version": node_facts.get(connection, "read_version"),
            "peers": [_peer(node, connection, peer) for peer in peers.all_peers(connection)],
        }


def _peer(node: Node, connection: Connection, peer: peers.Peer) -> dict[str, Any]:
    contact = peers.find_contact(connection, peer.node)
    unsent = acknowledged.unsent(connection, node.identity, peer)
    return {
        "name": peer.name, "node": peer.node, "unsent": unsent.count, "oldest_unsent_at": unsent.oldest_at,
        "last_contact_at": contact.last_contact_at, "last_verified_at": contact.last_verified_at,
        "last_error": contact.last_error_code, "clock_offset_s": contact.offset_s, "version": contact.version,
    }  # fmt: skip
