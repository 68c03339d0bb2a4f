"""The doorbell: ask for a job by name, after the commit, and never mind if nobody hears.

Facts never travel here. A nudge that is lost costs the seconds until beat looks anyway, so sending must never
hold up or fail the page that has just recorded something.
"""

from __future__ import annotations

from typing import Protocol

import structlog
from celery import Celery

from config import jobs

log = structlog.get_logger(__name__)


class Jobs(Protocol):
    """Whoever can be asked to look now."""

    def request(self, name: str) -> None: ...


class NoJobs:
    """Nobody: commands and tests sweep themselves."""

    def request(self, name: str) -> None:
        return


class CeleryJobs:
    """Sends the name to the broker in one short try."""

    def __init__(self, app: Celery) -> None:
        self._app = app

    def request(self, name: str) -> None:
        try:
            self._app.send_task(name, queue=jobs.QUEUE, expires=jobs.NUDGE_EXPIRES_S, retry=False, ignore_result=True)
        except Exception as error:  # noqa: BLE001  any broker fault at all: the sweep will find the work
            log.warning("nudge.lost", job=name, reason=type(error).__name__)


def celery_client(broker_url: str | None) -> Celery:
    """The Celery application that web and workers share: JSON only, no results, no remote control.

    Without a broker address it rings inside this process. The Redis options bring a worker back from a
    connection that went silent; with the defaults it would hang for good.
    """
    in_process = broker_url is None
    app = Celery("lianxin", broker=broker_url or "memory://", set_as_current=False)
    app.conf.update(
        accept_content=["json"], task_serializer="json", result_backend=None, task_ignore_result=True,
        task_acks_late=True, task_reject_on_worker_lost=True, worker_prefetch_multiplier=1,
        task_default_queue=jobs.QUEUE, task_track_started=False, timezone="UTC", enable_utc=True,
        broker_connection_retry_on_startup=True, broker_connection_max_retries=None,
        worker_send_task_events=False, worker_enable_remote_control=False, worker_hijack_root_logger=False,
        broker_transport_options={"polling_interval": 0.2} if in_process else _REDIS_OPTIONS,
    )  # fmt: skip
    if not in_process:
        app.conf.update(task_time_limit=120, task_soft_time_limit=90, worker_max_tasks_per_child=1000,
                        worker_max_memory_per_child=250_000, worker_soft_shutdown_timeout=20)  # fmt: skip
    return app


_REDIS_OPTIONS = {
    "visibility_timeout": 300,
    "unacked_restore_interval": 10,
    "unacked_restore_throttle": 1,
    "socket_timeout": 10,
    "socket_connect_timeout": 5,
    "socket_keepalive": True,
    "health_check_interval": 10,
    "retry_on_timeout": True,
}
