"""PostgreSQL and Redis of one's own: in a private folder, stopped by whoever started them, no other server touched.

with PrivatePostgres(folder / "postgres") as postgres, PrivateRedis(folder / "redis") as redis:
    ...  # postgres.url, redis.url
"""

import os
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType

import psutil
import psycopg
from psycopg import sql
from sqlalchemy import URL

from service.demo.launching import launcher, owned_folder
from service.demo.private_server import PrivateServer, ServerError, free_port, running, server_environment
from service.demo.programs import postgres_programs, redis_program

SOCKET_PATH_BYTES_MAX = 103  # sun_path without its final zero: 103 on macOS, 107 on Linux


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
        # Copying files needs a checkpoint before and after: quick where nothing waits for the disk, slow elsewhere.
        how = sql.SQL("WAL_LOG" if self._durable else "FILE_COPY")
        names = sql.Identifier(name), sql.Identifier(template)
        self._execute(sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY {}").format(*names, how))
        return self.url_of(name)

    def drop_database(self, name: str) -> None:
        """Drops a database, cutting the connections that are still open."""
        self._execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def _complete(self) -> None:
        try:
            if not self._exists(self.database):
                self.create_database(self.database)
        except psycopg.OperationalError as error:  # it took our connection and could not serve it, as with a full disk
            raise ServerError(f"{self.name} is up and does not serve: {error}") from error

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
