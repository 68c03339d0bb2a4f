"""An application on a port of its own in this process, opened and closed as often as a test wants."""

import threading
from dataclasses import dataclass
from typing import Any

from flask import Flask
from waitress import wasyncore
from waitress.server import create_server

_PATIENCE_S = 5


@dataclass(slots=True)
class Served:
    """`port` 0 takes a free one at the first opening; `close` also hangs up on whoever keeps a connection."""

    app: Flask
    port: int = 0
    threads: int = 4
    _server: Any = None
    _loop: threading.Thread | None = None

    def open(self) -> None:
        self._server = create_server(self.app, host="127.0.0.1", port=self.port, threads=self.threads)
        self.port = self._server.effective_port
        self._loop = threading.Thread(target=self._server.run, daemon=True)
        self._loop.start()

    def close(self) -> None:
        """What is being worked on ends first."""
        if self._loop is None:
            return
        self._server.task_dispatcher.shutdown(timeout=_PATIENCE_S)
        # In the loop's own thread: a socket that another one closes may be in the middle of its select.
        self._server.trigger.pull_trigger(self._hang_up)
        self._loop.join(_PATIENCE_S)
        assert not self._loop.is_alive(), "the server did not stop"
        self._loop = None

    def _hang_up(self) -> None:
        wasyncore.close_all(self._server._map, ignore_all=True)
