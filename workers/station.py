"""A station: the web server, the worker and its metronome in one process, which is all a village PC has to run.

With LIANXIN_BROKER_URL set the threads stay away and ordinary Celery workers do the same jobs.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import Any, NoReturn

import structlog
from waitress import create_server

from config import logs
from config.settings import Settings
from service.node import Node
from service.store.database import StorageUnusable
from workers.app import beats_of, build_app, quiet_celery
from workers.embedded import EmbeddedWorker
from workers.opening import open_node
from workers.stopped import WSGI, sentences, stopped_app

log = structlog.get_logger(__name__)

WEB_THREADS = 4
LEAVE_S = 5.0
BODY_BYTES_MAX = 16 * 1024 * 1024  # waitress would buffer up to a gigabyte on the disk before asking us
EXIT_PORT_TAKEN = 69  # EX_UNAVAILABLE
EXIT_STOPPED_RECORDING = 74  # EX_IOERR: the service manager shows a failure, which it is


def serve(settings: Settings) -> int:
    """Run the station until it is asked to stop; gives the exit code."""
    logs.set_up(settings.role.value, settings.log_format, settings.log_level)
    quiet_celery()
    for word in (signal.SIGTERM, signal.SIGINT):
        signal.signal(word, _leave)
    try:
        node = open_node(settings)
    except StorageUnusable as problem:
        print(problem, *sentences(problem), sep="\n", file=sys.stderr)  # noqa: T201
        log.error("station.recording_stopped", code=problem.code)
        return _serve_web(settings, stopped_app(problem)) or EXIT_STOPPED_RECORDING
    return _serve_web(settings, _web(node), _worker(settings, node))


def _leave(*_: object) -> NoReturn:
    """The web server's loop ends and what stands after it is done.

    Python drops an exception that is raised while it tidies up an object, and this one may meet such a moment: then the
    process ends all the same, a little later. What was committed is on the disk.
    """
    late = threading.Timer(LEAVE_S, os._exit, [0])
    late.daemon = True
    late.start()
    raise SystemExit(0)


def _web(node: Node) -> WSGI:
    from service.web.app import create_app

    app: WSGI = create_app(node)
    return app


def _worker(settings: Settings, node: Node) -> EmbeddedWorker | None:
    if settings.broker_url is not None:
        return None
    return EmbeddedWorker(build_app(settings, lambda: node), beats_of(settings.role))


def _serve_web(settings: Settings, app: WSGI, worker: EmbeddedWorker | None = None) -> int:
    """Serve until SIGTERM or Ctrl-C. The door is opened before the worker starts, so the first page comes first."""
    try:
        server: Any = create_server(
            app, host=settings.listen_host, port=settings.listen_port, threads=WEB_THREADS, ident=None,
            max_request_body_size=BODY_BYTES_MAX, channel_timeout=60,
        )  # fmt: skip
    except OSError as error:
        where = f"{settings.listen_host}:{settings.listen_port}"
        print(f"cannot listen on {where}: {error.strerror}. Is Lianxin running already?", file=sys.stderr)  # noqa: T201
        return EXIT_PORT_TAKEN
    log.info("station.serving", host=settings.listen_host, port=settings.listen_port)
    if worker is not None:
        worker.start()
    try:
        server.run()
    finally:
        if worker is not None:
            worker.stop()
        server.close()
    log.info("station.stopped")
    return 0
