"""One process of the demo: started with its own environment, watched by its log, stopped kindly or killed."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import requests

import service
from service.demo.launching import launcher

START_PATIENCE_S = 40.0
STOP_PATIENCE_S = 12.0
ROOT = Path(service.__file__).parents[1]


class DemoError(Exception):
    """The demo cannot go on; the text is meant for the person at the terminal."""


@dataclass(slots=True, kw_only=True)
class Process:
    """A command of ours. Its output goes to `log`; it ends when the demo's own process does."""

    name: str
    module: Sequence[str]  # what follows `python -m`
    environment: Mapping[str, str]
    log: Path
    _running: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def pid(self) -> int | None:
        return self._running.pid if self._running is not None and self._running.poll() is None else None

    def start(self) -> None:
        """Returns once the process is launched, not once it answers."""
        assert self.pid is None, f"{self.name} runs already"
        self.log.parent.mkdir(parents=True, exist_ok=True)
        command = [*launcher(unprivileged=False), sys.executable, "-m", *self.module]
        with self.log.open("ab") as log:
            # A session of its own: Ctrl-C at the terminal reaches the demo alone, which then stops all in good order.
            self._running = subprocess.Popen(
                command, env=inherited() | dict(self.environment), cwd=ROOT, stdout=log, stderr=log,
                stdin=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip

    def ask_to_stop(self) -> None:
        if self._running is not None and self.pid is not None:
            self._running.send_signal(signal.SIGTERM)

    def stop(self) -> int | None:
        """Ends the process kindly, or else hard; gives its exit code."""
        if self._running is None:
            return None
        self.ask_to_stop()
        try:
            return self._running.wait(STOP_PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.kill()
            return -signal.SIGKILL

    def kill(self) -> None:
        """As a power cut: SIGKILL to the whole group, also to what the process has forked."""
        if self._running is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._running.pid, signal.SIGKILL)
            self._running.wait()

    def last_words(self) -> str:
        """The end of the log, for a sentence about what went wrong."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines() if self.log.exists() else []
        return "\n".join(f"    {line}" for line in lines[-6:]) or "    (it said nothing)"

    def wait_until_it_answers(self, url: str) -> float:
        """Seconds until `url` answered 200; raises DemoError when the process ends or says nothing for too long."""
        began = time.monotonic()
        while time.monotonic() - began < START_PATIENCE_S:
            if self.pid is None:
                raise DemoError(f"{self.name} ended while starting:\n{self.last_words()}\n    (log: {self.log})")
            if answers(url):
                return time.monotonic() - began
            time.sleep(0.05)
        raise DemoError(f"{self.name} does not answer at {url}:\n{self.last_words()}\n    (log: {self.log})")


def answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=2).status_code == 200
    except requests.RequestException:
        return False


def inherited() -> dict[str, str]:
    """Our environment without settings of another node that the person at the terminal may have set."""
    return {name: value for name, value in os.environ.items() if not name.startswith("LIANXIN_")}
