"""What every job has in common: it is a sweep, it says what it did, and it never takes its process down."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass

import structlog
from structlog.contextvars import bound_contextvars

from config.settings import NodeRole
from service.actions.housekeeping import note_run
from service.node import Node

log = structlog.get_logger(__name__)

BOTH = frozenset(NodeRole)
HUB_ONLY = frozenset({NodeRole.HUB})


@dataclass(frozen=True, slots=True, kw_only=True)
class Worked:
    """What one run did. `rings` names jobs that should look at once: itself, when more waits than one run may take."""

    count: int = 0
    outcome: str = ""
    rings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A name of `config.jobs`, the sweep behind it, and the roles it is for; elsewhere it does nothing."""

    name: str
    sweep: Callable[[Node], Worked]
    roles: frozenset[NodeRole] = BOTH
    seconds_max: int | None = None  # where Celery's workers are processes of their own; None: as for all


def run(job: Job, node: Node) -> None:
    """Run the sweep once, note it in `job_runs`, ring what it asks for.

    Nothing is raised: what failed is still due, and beat asks again.
    """
    if node.settings.role not in job.roles:
        return
    with bound_contextvars(node=node.settings.role.value, job=job.name, job_id=uuid.uuid4().hex[:8]):
        began, started_at = time.monotonic(), node.now()
        worked = _swept(job, node)
        if worked.count:
            took_ms = round((time.monotonic() - began) * 1000)
            log.info("job.done", count=worked.count, outcome=worked.outcome, took_ms=took_ms)
        try:
            note_run(node, job.name, started_at, worked.outcome, quiet=not worked.count)
        except Exception as error:  # noqa: BLE001  a database that cannot be written made the sweep fail already
            log.warning("job.not_noted", reason=type(error).__name__)
        for name in worked.rings:
            node.jobs.request(name)


def _swept(job: Job, node: Node) -> Worked:
    try:
        return job.sweep(node)
    except Exception as error:  # the edge: whatever it was, this process and the other jobs go on
        log.exception("job.failed")
        return Worked(outcome=f"failed:{type(error).__name__}")
