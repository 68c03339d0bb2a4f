"""Starts the same station again and again without importing everything again: one fork for each line on standard input.

Each child is a process of its own that runs the real `serve`; only the interpreter's start is spared, which
is most of what many starts would cost. While the file named on the command line exists, the database may not grow:
SQLite's own limit on pages then answers as a full disk does ("database or disk is full"), for any user on any machine.
"""

import os
import signal
import sys
from pathlib import Path
from typing import Any

from sqlalchemy import event
from sqlalchemy.pool import Pool

import service.web.app  # noqa: F401  everything that serving imports, once
from config.settings import load_settings
from workers.station import serve

NO_MORE, ANY_NUMBER = 1, 2**32 - 2  # a limit below what is there already means: not one page more


def main() -> None:
    settings, full = load_settings(), Path(sys.argv[1])

    def limit(connection: Any, *_: object) -> None:
        connection.execute(f"PRAGMA max_page_count={NO_MORE if full.exists() else ANY_NUMBER}")

    event.listen(Pool, "checkout", limit)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the system collects what was killed
    for _ in sys.stdin:
        child = os.fork()
        if child == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            os._exit(serve(settings))
        print(child, flush=True)


if __name__ == "__main__":
    main()
