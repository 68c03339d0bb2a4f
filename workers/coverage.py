"""Hub: compile the coverage view and publish it to the stations when a figure changed."""

from __future__ import annotations

from config import jobs
from service.actions import covering
from service.node import Node
from workers.job import HUB_ONLY, Job, Worked


def sweep(node: Node) -> Worked:
    published = covering.publish_if_changed(node)
    return Worked(count=int(published), outcome="published" if published else "")


JOB = Job(name=jobs.COVERAGE, sweep=sweep, roles=HUB_ONLY)
