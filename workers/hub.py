"""The hub's web servers: gunicorn with threads. Jobs run in `celery -A workers.app worker` and `beat` beside it."""

from __future__ import annotations

import sys
from typing import Any

from gunicorn.app.base import BaseApplication
from gunicorn.glogging import Logger

from config import logs
from config.settings import Settings
from service.node import build_node
from service.store.database import StorageUnusable
from workers.opening import open_node, patiently
from workers.stopped import sentences

THREADS = 8
EXIT_STOPPED_RECORDING = 74


class HubWeb(BaseApplication):  # type: ignore[misc]
    """gunicorn, told by our settings instead of by a file or a command line."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        super().__init__()

    def load_config(self) -> None:
        for name, value in _options(self._settings).items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        """Called in each web process, after the fork: connections must not cross it.

        gunicorn gives up altogether when one process cannot start, and one may be born while PostgreSQL recovers.
        """
        from service.web.app import create_app

        node = build_node(self._settings)
        return patiently(lambda: create_app(node))


class _OneLog(Logger):  # type: ignore[misc]
    """gunicorn's own lines go where all others go, in the same form."""

    def setup(self, cfg: Any) -> None:
        self.cfg = cfg
        self.error_log.propagate = True
        self.error_log.handlers.clear()


def _options(settings: Settings) -> dict[str, Any]:
    return {
        "bind": f"{settings.listen_host}:{settings.listen_port}",
        "workers": settings.web_workers,
        "worker_class": "gthread",
        "threads": THREADS,
        "timeout": 120,  # an upload over a village line is slow, not stuck
        "graceful_timeout": 5,
        "keepalive": 5,
        "max_requests": 20_000,  # a slow leak never becomes an outage
        "max_requests_jitter": 2_000,
        "accesslog": None,
        "logger_class": _OneLog,
        "loglevel": settings.log_level.lower(),
        "control_socket_disable": True,
        "proc_name": "lianxin-hub",
    }


def serve(settings: Settings) -> int:
    """Run the hub's web servers until asked to stop; gives the exit code. The database is brought up to date first."""
    logs.set_up(settings.role.value, settings.log_format, settings.log_level)
    try:
        node = open_node(settings)
    except StorageUnusable as problem:
        print(problem, *sentences(problem), sep="\n", file=sys.stderr)  # noqa: T201
        return EXIT_STOPPED_RECORDING
    node.engine.dispose()
    HubWeb(settings).run()
    return 0
