"""Keep the bookkeeping small and look at disk and database."""

from __future__ import annotations

from config import jobs
from service.actions import housekeeping
from service.node import Node
from workers.job import Job, Worked


def sweep(node: Node) -> Worked:
    kept = housekeeping.sweep(node)
    return Worked(count=kept.removed, outcome=",".join(kept.warnings)[:60])


JOB = Job(name=jobs.HOUSEKEEPING, sweep=sweep)
