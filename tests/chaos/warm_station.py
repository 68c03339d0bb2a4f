"""Starts the same station again and again without importing everything again: one fork for each line on standard input.

Each child is a process of its own that runs the station's real `serve`; only the interpreter's start is spared, which
is most of what 25 starts would cost.
"""

import os
import signal
import sys

import service.web.app  # noqa: F401  everything that serving imports, once
from config.settings import load_settings
from workers.station import serve


def main() -> None:
    settings = load_settings()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the system collects what was killed
    for _ in sys.stdin:
        child = os.fork()
        if child == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            os._exit(serve(settings))
        print(child, flush=True)


if __name__ == "__main__":
    main()
