"""The one source of "now". Everything that needs the time is handed one of these callables."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path


def system_now() -> datetime:
    """The machine's clock, aware, in UTC."""
    return datetime.now(UTC)


class FileClock:
    """Real time plus an offset of seconds that stands in a file; for rehearsals only.

    Several processes given the same file share one time. A file that is missing or half written counts as the
    last offset that could be read, because a rehearsal moves the clock while others read it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset_s = 0.0

    def __call__(self) -> datetime:
        with suppress(OSError, ValueError):
            self._offset_s = float(self._path.read_text(encoding="ascii").strip() or 0)
        return system_now() + timedelta(seconds=self._offset_s)

    def set_to(self, instant: datetime) -> None:
        """Move every process that reads this file to `instant` (aware)."""
        offset = (instant - system_now()).total_seconds()
        scratch = self._path.with_suffix(".new")
        scratch.write_text(f"{offset:.3f}", encoding="ascii")
        scratch.replace(self._path)
