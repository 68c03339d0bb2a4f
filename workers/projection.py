"""Fold what arrived into the read tables; on the hub, publish which nodes have enrolled since."""

from __future__ import annotations

from config import jobs
from service.actions import projecting, syncing
from service.node import Node
from workers.job import Job, Worked


def sweep(node: Node) -> Worked:
    folded = projecting.sweep(node)
    if node.is_hub:
        syncing.announce_enrolled(node)
    outcome = f"quarantined:{folded.quarantined}" if folded.quarantined else ""
    return Worked(count=folded.subjects, outcome=outcome, rings=(jobs.PROJECTION,) if folded.left else ())


JOB = Job(name=jobs.PROJECTION, sweep=sweep)
