"""The Celery application: the station's web process embeds it, elsewhere the ordinary commands run it:

    celery -A workers.app worker        celery -A workers.app beat

Every task is a sweep without arguments (see config.jobs), so it may run twice, late or never; what a broker loses
costs seconds. There are no ETAs and no results: due times and outcomes live in the database.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from typing import Any

import structlog
from celery import Celery, signals
from sqlalchemy.exc import SQLAlchemyError

from config import jobs, logs
from config.settings import NodeRole, Settings, load_settings
from service.jobs import celery_client
from service.node import Node, build_node
from service.store import schema
from service.store.database import StorageUnusable
from workers import anchor, coverage, escalation, exchange, housekeeping, listening, projection, summing
from workers.job import Job, run

log = structlog.get_logger(__name__)

JOBS: tuple[Job, ...] = (
    exchange.JOB, projection.JOB, escalation.JOB, coverage.JOB, summing.JOB, anchor.JOB, housekeeping.JOB,
)  # fmt: skip


def beats_of(role: NodeRole) -> tuple[jobs.Beat, ...]:
    return jobs.HUB_BEAT if role is NodeRole.HUB else jobs.STATION_BEAT


def build_app(settings: Settings, node: Callable[[], Node]) -> Celery:
    """Every job registered under its name; `node` is asked for the node when a task runs, not before."""
    app = celery_client(settings.broker_url)
    app.conf.update(
        beat_schedule={beat.job: _entry(beat) for beat in beats_of(settings.role)},
        beat_scheduler="celery.beat:Scheduler",  # keeps no file that a power cut could damage
        result_expires=None,  # else beat adds a clean-up of results that nobody keeps
    )
    for job in JOBS:
        _register(app, job, node)
    app.finalize()
    return app


def _entry(beat: jobs.Beat) -> dict[str, Any]:
    """Expires with its period: the next ring is there by then."""
    return {"task": beat.job, "schedule": beat.every_s, "options": {"queue": jobs.QUEUE, "expires": beat.every_s}}


def _register(app: Celery, job: Job, node: Callable[[], Node]) -> None:
    # Not shared: Celery would otherwise give this task, bound to this node, to every application made later.
    @app.task(name=job.name, shared=False, **_limits(job))  # type: ignore[untyped-decorator]
    def task() -> None:
        try:
            opened = node()
        except (StorageUnusable, NotReady, SQLAlchemyError) as error:
            log.warning("job.no_node", job=job.name, reason=f"{type(error).__name__}: {error}".partition("\n")[0])
        else:
            run(job, opened)


def _limits(job: Job) -> dict[str, int]:
    """Celery ends what takes longer, first kindly; an embedded worker has no such limits."""
    if job.seconds_max is None:
        return {}
    return {"soft_time_limit": job.seconds_max, "time_limit": job.seconds_max + 20}


class NotReady(Exception):
    """The database has not been brought up to date yet; the web process does that when it starts."""


class NodeOfProcess:
    """The node of this worker process, opened when its first task runs.

    Connections and prepared statements must not cross a fork: a child that finds its parent's node opens its own.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._opened: tuple[int, Node] | None = None

    def __call__(self) -> Node:
        if self._opened is None or self._opened[0] != os.getpid():
            if self._opened is not None:
                self._opened[1].engine.dispose(close=False)  # the parent goes on using what is open
            self._opened = (os.getpid(), _ready(build_node(self._settings)))
        return self._opened[1]


def _ready(node: Node) -> Node:
    if not schema.is_current(node.engine):
        raise NotReady
    return node


def command_app() -> Celery:
    """What the command `celery -A workers.app` gets: settings from the environment, our logging."""
    settings = load_settings()

    def set_up_logging(**_: object) -> None:
        logs.set_up(settings.role.value, settings.log_format, settings.log_level)
        quiet_celery()

    def ring_everything(**_: object) -> None:
        """A worker that was away does not know what it missed, so every job looks once."""
        ring_all(app, settings.role)

    app = build_app(settings, NodeOfProcess(settings))
    listening.install(app)
    signals.setup_logging.connect(set_up_logging, weak=False)
    signals.worker_ready.connect(ring_everything, weak=False)
    return app


def ring_all(app: Celery, role: NodeRole) -> None:
    """Ring every doorbell of the role once."""
    for beat in beats_of(role):
        app.send_task(beat.job, queue=jobs.QUEUE, expires=jobs.NUDGE_EXPIRES_S, retry=False)


def quiet_celery() -> None:
    """Two lines for each ring every few seconds would bury what matters; our own jobs log what they did."""
    for name in ("celery.app.trace", "celery.worker.strategy", "celery.worker.request", "celery.beat"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("kombu.connection").setLevel(logging.ERROR)  # warns that the in-process broker has no host name


def __getattr__(name: str) -> Celery:
    """`app` is built when the celery command asks for it: importing this module reads no environment."""
    if name in ("app", "celery"):
        built = globals()["app"] = globals()["celery"] = command_app()
        return built
    raise AttributeError(name)
