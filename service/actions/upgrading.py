"""After the program changed: what it could not read, or failed on, is looked at once more.

Compared are the program that looked last, noted in the database, and this one: its release and the (kind, version)
pairs it can read. A rebuild of the read tables is another matter, and comes before.
"""

from __future__ import annotations

from importlib.metadata import version

import structlog

from service.actions import setting_aside
from service.domain import upcasts
from service.domain.quarantine import AFTER_UPGRADE
from service.node import Node
from service.store import node_facts, unrecognised
from service.store.projectors import MASTER_KINDS, pages
from sync.events import Subject

log = structlog.get_logger(__name__)
_PAGE = 400


def look_again(node: Node) -> int:
    """Mark what this program may understand better than the one before; the number of subjects, 0 when it is the same.

    These are subjects with facts that were unknown, those set aside by a mistake or a shape the program did not read,
    and all master data, which are few and are read by everybody.
    """
    with node.engine.begin() as connection:
        known, release = _known(), version("lianxin")
        if node_facts.get(connection, "known_kinds") == known and node_facts.get(connection, "release") == release:
            return 0
        again: set[Subject] = set(unrecognised.now_known(connection))
        again.update(setting_aside.waiting_for(connection, node, AFTER_UPGRADE))
        for page in pages(connection, node.ledger, MASTER_KINDS, _PAGE):
            again.update(page)
        setting_aside.try_again(connection, node, sorted(again))
        node_facts.put(connection, "known_kinds", known)
        node_facts.put(connection, "release", release)
    log.info("upgrade.looked_again", subjects=len(again))
    return len(again)


def _known() -> str:
    """Every kind and version that can be read, in one line of text."""
    return " ".join(f"{kind}:{number}" for kind, number in sorted(upcasts.known()))
