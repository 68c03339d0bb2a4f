"""Township hub: count the months for the county above, and record what has changed."""

from __future__ import annotations

from config import jobs
from service.actions import summing
from service.node import Node
from workers.job import HUB_ONLY, Job, Worked


def sweep(node: Node) -> Worked:
    recorded = summing.sum_up(node)
    return Worked(count=recorded, outcome="recorded" if recorded else "", rings=(jobs.EXCHANGE,) if recorded else ())


JOB = Job(name=jobs.SUMMING, sweep=sweep, roles=HUB_ONLY)
