"""The worker inside the station's process: it runs jobs, ends quickly, and comes back when it dies."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import celery.worker.state
import pytest
from celery import Celery

from config.jobs import HOUSEKEEPING, PROJECTION, QUEUE, Beat
from service.jobs import CeleryJobs, celery_client
from workers import embedded
from workers.embedded import EmbeddedWorker, Metronome


class Seen:
    """Counts runs of the jobs of a small application."""

    def __init__(self) -> None:
        self.app = celery_client(None)
        self.runs: list[str] = []
        self.threads: set[str] = set()
        for name in (PROJECTION, HOUSEKEEPING):
            self.app.task(name=name, shared=False)(self._noting(name))
        self.app.finalize()

    def _noting(self, name: str) -> Callable[[], None]:
        def task() -> None:
            self.runs.append(name)
            self.threads.add(threading.current_thread().name)

        return task

    def reaches(self, count: int, within_s: float = 5.0) -> bool:
        return wait_until(lambda: len(self.runs) >= count, within_s)


def wait_until(condition: Callable[[], bool], within_s: float = 5.0) -> bool:
    deadline = time.monotonic() + within_s
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return condition()


@contextmanager
def running(app: Celery, *beats: Beat) -> Iterator[EmbeddedWorker]:
    worker = EmbeddedWorker(app, beats)
    worker.start()
    try:
        yield worker
    finally:
        worker.stop()


def test_every_job_is_rung_at_start() -> None:
    seen = Seen()
    with running(seen.app, Beat(PROJECTION, 3600), Beat(HOUSEKEEPING, 3600)):
        assert seen.reaches(2)
    assert set(seen.runs) >= {PROJECTION, HOUSEKEEPING}
    assert seen.threads == {"lianxin-worker"}


def test_a_nudge_from_another_client_of_the_process_is_heard_within_a_second() -> None:
    seen = Seen()
    with running(seen.app):
        assert wait_until(lambda: threading.active_count() > 2)
        CeleryJobs(celery_client(None)).request(PROJECTION)
        assert seen.reaches(1, within_s=3.0)


def test_stop_is_quick_and_leaves_no_thread() -> None:
    seen = Seen()
    with running(seen.app, Beat(PROJECTION, 3600)) as worker:
        assert seen.reaches(1)
        began = time.monotonic()
        worker.stop()
        assert time.monotonic() - began < 3.0
        assert not worker.is_working
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("lianxin-")]


def test_a_worker_that_died_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "RESTART_PAUSES_S", (0.05,))
    monkeypatch.setattr(embedded, "LOOK_EVERY_S", 0.05)
    seen = Seen()
    with running(seen.app, Beat(PROJECTION, 0.5)) as worker:
        assert seen.reaches(1)
        celery.worker.state.should_stop = 0  # the worker ends as if something had told it to
        assert wait_until(lambda: not worker.is_working)
        assert wait_until(lambda: worker.is_working)
        before = len(seen.runs)
        assert seen.reaches(before + 2)


def test_stopping_does_not_stop_the_next_worker_of_the_process() -> None:
    for _ in range(2):
        seen = Seen()
        with running(seen.app, Beat(PROJECTION, 3600)):
            assert seen.reaches(1)


def test_messages_without_a_worker_expire_instead_of_piling_up_work() -> None:
    seen = Seen()
    seen.app.send_task(PROJECTION, queue=QUEUE, expires=0.01)
    time.sleep(0.05)
    with running(seen.app, Beat(HOUSEKEEPING, 3600)):
        assert seen.reaches(1)
    assert PROJECTION not in seen.runs


def test_the_metronome_rings_once_for_all_the_periods_slept_through() -> None:
    beats = (Beat(PROJECTION, 10), Beat(HOUSEKEEPING, 3600))
    metronome = Metronome(beats, started_at=100.0)
    assert {beat.job for beat in metronome.due(100.0)} == {PROJECTION, HOUSEKEEPING}
    assert metronome.due(109.9) == []
    assert [beat.job for beat in metronome.due(1000.0)] == [PROJECTION]
    assert metronome.due(1009.9) == []
    assert [beat.job for beat in metronome.due(1010.0)] == [PROJECTION]
