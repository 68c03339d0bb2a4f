"""Celery's worker and its metronome as threads of the station's one process, on the in-process broker.

Embedding a worker is not documented by Celery, so all of it is in this file, with a test of its own:

- `WorkController` is used, not `app.Worker`, which would install signal handlers and change the process.
- `celery.worker.state.should_stop` and the in-process queues belong to the whole process: one worker at a time.
- The solo pool has no time limits, so whatever a job calls must have its own (HTTP and SQL do).

The metronome counts by the monotonic clock. Celery's own beat counts by the wall clock: on a village PC whose battery
is flat, the clock jumps by years at the first network contact, and beat would then wait for years, too.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

import structlog
from celery import Celery
from celery.worker import WorkController, state

from config import jobs

log = structlog.get_logger(__name__)

LOOK_EVERY_S = 1.0
RESTART_PAUSES_S = (1.0, 5.0, 30.0, 60.0)
CALM_S = 600.0  # after which an earlier death no longer lengthens the pause


class Metronome:
    """Says which jobs are to be rung now; time is `time.monotonic()`, so no change of the clock disturbs it."""

    def __init__(self, beats: Sequence[jobs.Beat], started_at: float) -> None:
        self._beats = {beat.job: beat for beat in beats}
        self._next = dict.fromkeys(self._beats, started_at)  # the first ring is at once: who knows what was missed

    def due(self, now: float) -> list[jobs.Beat]:
        """Jobs whose time has come, each once however many periods were slept through."""
        ready = [self._beats[name] for name, at in self._next.items() if at <= now]
        self._next.update({beat.job: now + beat.every_s for beat in ready})
        return ready


class EmbeddedWorker:
    """One worker thread and one watching thread, which also rings the bells and revives a worker that died."""

    def __init__(self, app: Celery, beats: Sequence[jobs.Beat]) -> None:
        self._app = app
        self._beats = beats
        self._stop = threading.Event()
        self._worker: threading.Thread | None = None
        self._watch: threading.Thread | None = None
        self._deaths: list[float] = []

    @property
    def is_working(self) -> bool:
        return self._worker is not None and self._worker.is_alive()

    def start(self) -> None:
        """Returns at once; the first jobs run a moment later."""
        self._start_worker()
        self._watch = threading.Thread(target=self._watching, name="lianxin-beat", daemon=True)
        self._watch.start()

    def stop(self, patience_s: float = 2.5) -> None:
        """End both threads. A job that takes longer is left to end with the process; its transaction is undone."""
        deadline = time.monotonic() + patience_s
        self._stop.set()
        state.should_stop = 0
        # The worker looks at the flag after each message, and once raised to it waits for one more. These two are
        # out of date before they arrive, so it drops them.
        for _ in range(2):
            self._ring(jobs.Beat(jobs.HOUSEKEEPING, 0.001))
        for thread in (self._watch, self._worker):
            if thread is not None:
                thread.join(max(0.0, deadline - time.monotonic()))

    def _start_worker(self) -> None:
        state.should_stop = None
        self._worker = threading.Thread(target=self._working, name="lianxin-worker", daemon=True)
        self._worker.start()

    def _working(self) -> None:
        self._app.set_current()  # of this thread only: the solo pool looks its tasks up in the "current" application
        try:
            WorkController(
                app=self._app, pool_cls="solo", concurrency=1, hostname="station@local", queues=[jobs.QUEUE],
                without_gossip=True, without_mingle=True, without_heartbeat=True,
            ).start()  # fmt: skip
        except Exception:  # the edge of the thread; the watch starts another one
            log.exception("worker.died")

    def _watching(self) -> None:
        metronome = Metronome(self._beats, time.monotonic())
        while not self._stop.is_set():
            for beat in metronome.due(time.monotonic()):
                self._ring(beat)
            if not self.is_working:
                self._revive()
            self._stop.wait(LOOK_EVERY_S)

    def _ring(self, beat: jobs.Beat) -> None:
        try:
            self._app.send_task(beat.job, queue=jobs.QUEUE, expires=beat.every_s, retry=False, ignore_result=True)
        except Exception as error:  # noqa: BLE001  the in-process broker has no faults to tell apart
            log.warning("beat.not_rung", job=beat.job, reason=type(error).__name__)

    def _revive(self) -> None:
        """Start another worker, after a pause that grows while they keep dying."""
        now = time.monotonic()
        self._deaths = [at for at in self._deaths if now - at < CALM_S] + [now]
        pause_s = RESTART_PAUSES_S[min(len(self._deaths), len(RESTART_PAUSES_S)) - 1]
        log.error("worker.restarting", deaths=len(self._deaths), pause_s=pause_s)
        if not self._stop.wait(pause_s):
            self._start_worker()
