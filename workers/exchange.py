"""Compare with the hub above and send and fetch what is missing, when that is due; a hub at the top has none."""

from __future__ import annotations

from config import jobs
from service.actions import syncing
from service.node import Node
from workers.job import Job, Worked


def sweep(node: Node) -> Worked:
    report = syncing.exchange_if_due(node)
    if report is None:
        return Worked()
    return Worked(
        count=report.pushed + report.pulled, outcome="verified" if report.verified else "unequal",
        # Photos of a whole reception day go on at once, each time behind whatever was recorded meanwhile.
        rings=(jobs.EXCHANGE,) if report.blobs and report.blobs.more else (),
    )  # fmt: skip


# An exchange ends itself after four minutes, its last request after two more.
JOB = Job(name=jobs.EXCHANGE, sweep=sweep, seconds_max=400)
