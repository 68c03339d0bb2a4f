"""A server process of one's own in a private folder: started, recognised, stopped; no other server is touched.

One object owns a folder at a time; a lock file says so. Data survives `stop`, `kill` and a reboot. A server whose owner
was killed ends with it where the system offers that, and is otherwise stopped by the folder's next owner. Linux and
macOS only.
"""

import fcntl
import os
import signal
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import IO, ClassVar, Self

import psutil

START_TIMEOUT_S = 60.0  # crash recovery after `kill` is part of starting
POLL_S = 0.02
GOODBYES = ((signal.SIGINT, 30.0), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 10.0))


class ServerError(RuntimeError):
    """A private server could not be found or started; the text is meant for the person at the terminal."""


class PrivateServer:
    """One server process and the folder it lives in; the classes below say how theirs is prepared and recognised."""

    name: ClassVar[str]

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder).absolute()
        self.log = self.folder / f"{self.name}.log"
        self._process: psutil.Popen | None = None
        self._claim: IO[str] | None = None

    @property
    def pid(self) -> int | None:
        """Process id while running, else None."""
        running = self._process is not None and self._process.poll() is None
        return self._process.pid if self._process and running else None

    def start(self) -> None:
        """Returns once the server answers; raises ServerError. After `stop` or `kill` the address stays the same."""
        if self.pid is not None:
            return
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._claim = self._claim or claim(self.folder)
        try:
            self._stop_orphan()
            self._prepare()
            self._launch()
            self._complete()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Ends the server in good order; its data and its log stay. Nothing happens when it is not running."""
        if self._process is not None:
            end(self._process)
            self._process = None
        if self._claim is not None:
            self._claim.close()
            self._claim = None

    def kill(self) -> None:
        """Ends the server as a power cut would (SIGKILL); `start` recovers it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _prepare(self) -> None:
        """Makes the folder ready for `_command`."""
        raise AssertionError(f"{type(self).__name__} does not say how it is prepared")

    def _command(self) -> list[str]:
        """The command line, the program by its full path."""
        raise AssertionError(f"{type(self).__name__} does not say how it is started")

    def _answers(self, pid: int) -> bool:
        """True once process `pid`, and no other, serves at our address."""
        raise AssertionError(f"{type(self).__name__} does not say when it is ready")

    def _orphan(self) -> psutil.Process | None:
        """The server of this folder that a killed owner left running."""
        raise AssertionError(f"{type(self).__name__} does not say how it is recognised")

    def _complete(self) -> None:
        """What is left to do once the server answers."""

    def _worth_another_try(self, last_words: str) -> bool:
        """True where the reason for not starting passes by itself."""
        return False

    def _stop_orphan(self) -> None:
        orphan = self._orphan()
        if orphan is not None:
            end(orphan)

    def _launch(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._attempt(deadline):
            time.sleep(10 * POLL_S)

    def _attempt(self, deadline: float) -> bool:
        """True once it answers, False when it ended for a reason that passes by itself."""
        with self.log.open("ab") as log:
            heard_before = log.tell()
            self._process = process = psutil.Popen(
                self._command(),
                cwd=self.folder,
                env=server_environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C in the terminal is for the owner, who then stops us in order
            )
        while process.poll() is None:
            if self._answers(process.pid):
                return True
            if time.monotonic() > deadline:
                raise self._failure(f"did not answer within {START_TIMEOUT_S:.0f} s", heard_before)
            time.sleep(POLL_S)
        if self._worth_another_try(self._last_words(heard_before)) and time.monotonic() < deadline:
            return False
        raise self._failure("did not start", heard_before)

    def _failure(self, what: str, heard_before: int) -> ServerError:
        return ServerError(f"{self.name} {what}: {self._last_words(heard_before)} (log: {self.log})")

    def _last_words(self, heard_before: int) -> str:
        said = self.log.read_bytes()[heard_before:].decode(errors="replace").strip().splitlines()
        return " / ".join(said[-4:]) or "it said nothing"


def server_environment() -> dict[str, str]:
    """The environment without what would redirect or translate a server: PGDATA, PGPORT, LC_ALL and their kin."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_", "LANG"))}
    return kept | {"LC_ALL": "C"}


def claim(folder: Path) -> IO[str]:
    """An open lock file that makes this process the folder's only owner until it is closed or the process ends."""
    lock = (folder / "owner.lock").open("a")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise ServerError(f"{folder} is already in use by another process that is still running") from None
    return lock


def free_port() -> int:
    """A loopback port that is free now; whoever binds it must still be ready to lose the race."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def running(pid: int) -> psutil.Process | None:
    """The process with this number, unless it is gone or waits to be collected."""
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process
    except psutil.NoSuchProcess:
        return None


def end(process: psutil.Process) -> None:
    """Asks a process to end, ever less politely, and returns when it has."""
    for word, patience_s in GOODBYES:
        try:
            process.send_signal(word)
            process.wait(patience_s)
            return
        except psutil.NoSuchProcess:
            return
        except psutil.TimeoutExpired:
            continue
