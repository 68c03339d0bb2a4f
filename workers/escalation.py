"""Hub: fire the ladder's due steps, deem unsigned dispatches signed, grant reopenings."""

from __future__ import annotations

from config import jobs
from service.actions import escalating
from service.node import Node
from workers.job import HUB_ONLY, Job, Worked


def sweep(node: Node) -> Worked:
    swept = escalating.sweep(node)
    full = swept.looked_at == escalating.CASES_MAX and not swept.failed
    outcome = f"failed_cases:{swept.failed}" if swept.failed else ""
    return Worked(count=swept.looked_at, outcome=outcome, rings=(jobs.ESCALATION,) if full else ())


JOB = Job(name=jobs.ESCALATION, sweep=sweep, roles=HUB_ONLY)
