"""Remember beside the database how far this node has come, so that a restored database is recognised."""

from __future__ import annotations

from config import jobs
from service.actions import doubting
from service.node import Node
from workers.job import Job, Worked


def sweep(node: Node) -> Worked:
    announced = doubting.announce(node)
    return Worked(count=announced, outcome="written" if doubting.remember(node) else "")


JOB = Job(name=jobs.ANCHOR, sweep=sweep)
