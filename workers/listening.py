"""A worker that has gone deaf notices, and listens anew.

When Redis goes away at the wrong moment, a Celery worker may wait for ever on a connection that is gone, although it
looks alive and messages wait for it: seen here when the acknowledgement of a message broke, and reported again and
again (celery/celery issues 8030, 9054, 10205, 10302). The hub would then fold, escalate and publish nothing until
somebody looked. Every job is rung at least each minute, so messages that wait while nothing is being done are a sign.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Any

import structlog
from celery import Celery, bootsteps, signals
from celery.worker import state
from kombu.exceptions import OperationalError

from config import jobs

log = structlog.get_logger(__name__)

LOOK_S = 10.0
DEAF_S = 30.0


class Listening(bootsteps.StartStopStep):  # type: ignore[misc]
    """Part of a worker's consumer: looks now and then whether what waits is taken, else has the connection renewed."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, consumer: Any, **kwargs: Any) -> None:
        super().__init__(consumer, **kwargs)
        self._timer: Any = None
        self._waits_since: float | None = None

    def start(self, consumer: Any) -> None:
        self._waits_since = None
        signals.task_received.connect(self._take)
        self._timer = consumer.timer.call_repeatedly(LOOK_S, self._look, (consumer,))

    def stop(self, consumer: Any) -> None:
        signals.task_received.disconnect(self._take)
        if self._timer is not None:
            self._timer.cancel()

    def _take(self, **_: object) -> None:
        self._waits_since = None

    def _look(self, consumer: Any) -> None:
        """Raises ConnectionError where messages have waited too long; the consumer then begins anew."""
        if state.reserved_requests or not _something_waits(consumer):
            self._waits_since = None
            return
        now = monotonic()
        self._waits_since = self._waits_since or now
        if now - self._waits_since >= DEAF_S:
            log.error("worker.deaf", waited_s=round(now - self._waits_since))
            raise ConnectionError("messages wait, and none arrives")


def install(app: Celery) -> None:
    """Every worker of this application watches its connection."""
    steps: dict[str, Any] = app.steps
    steps["consumer"].add(Listening)


def _something_waits(consumer: Any) -> bool:
    """Whether the queue holds messages; False where the broker cannot be asked, which the consumer notices itself."""
    connect: Callable[[], Any] = consumer.app.connection_for_read
    try:
        with connect() as connection:
            channel = connection.channel()
            return bool(channel.queue_declare(queue=jobs.QUEUE, passive=True).message_count)
    except (*consumer.connection_errors, *consumer.channel_errors, OperationalError):
        return False
