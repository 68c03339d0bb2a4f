"""How many peers a process serves at once, and who is asked to come back later.

Only work is counted (pushes, pulls): an exchange with nothing to do always gets its answer. Who was found equal long
ago, or never, comes back soonest, so a crowd is served least recently synced first without anybody keeping a queue: a
place would be lost with the process, and a station that was switched off meanwhile would hold one.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from random import Random
from typing import Final

# (how long ago the peer was found equal, seconds to wait: at least, and as much again by chance)
_WAITS: Final = ((timedelta(minutes=10), 12), (timedelta(hours=8), 5))
_WAIT_LONG_SILENT_S: Final = 2


class Admission:
    """Counts requests that do work; one per process. `at_once` 0 admits everybody."""

    def __init__(self, at_once: int = 0, random: Random | None = None) -> None:
        self._at_once = at_once
        self._working = 0
        self._lock = threading.Lock()
        self._random = random or Random()

    @property
    def is_full(self) -> bool:
        return 0 < self._at_once <= self._working

    @contextmanager
    def working(self) -> Iterator[None]:
        """While the block runs, one more request is being worked on."""
        with self._lock:
            self._working += 1
        try:
            yield
        finally:
            with self._lock:
                self._working -= 1

    def wait_s(self, verified_at: datetime | None, now: datetime) -> int:
        """Seconds after which this peer should come back."""
        at_least = _WAIT_LONG_SILENT_S
        if verified_at is not None:
            age = abs(now - verified_at)
            at_least = next((wait for limit, wait in _WAITS if age < limit), _WAIT_LONG_SILENT_S)
        return at_least + self._random.randint(0, at_least)
