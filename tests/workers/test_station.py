"""The station's process as a service manager sees it: starts, stops, refuses, and tells when it must not record."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from pathlib import Path

import pytest
import requests
from sqlalchemy.exc import OperationalError

from config.settings import Settings
from service.demo.private_server import free_port
from service.store import schema
from service.store.database import StorageUnusable
from workers import opening
from workers.stopped import SENTENCES, stopped_app

PATIENCE_S = 60.0  # of a start on a busy machine


@contextmanager
def station(folder: Path, port: int) -> Iterator[subprocess.Popen[str]]:
    code = "import sys; from config.settings import load_settings; from workers.station import serve; \
sys.exit(serve(load_settings()))"
    environment = os.environ | {"LIANXIN_ROLE": "station", "LIANXIN_DATA_DIR": str(folder),
                                "LIANXIN_LISTEN_PORT": str(port)}  # fmt: skip
    process = subprocess.Popen([sys.executable, "-c", code], env=environment, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def answer(process: subprocess.Popen[str], url: str) -> requests.Response:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()[1]
        try:
            return requests.get(url, timeout=5)
        except requests.ConnectionError:
            time.sleep(0.1)
    raise AssertionError("no answer")


@pytest.mark.parametrize("word", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_and_ends_soon_after_being_asked(tmp_path: Path, word: signal.Signals) -> None:
    port = free_port()
    with station(tmp_path, port) as process:
        assert answer(process, f"http://127.0.0.1:{port}/healthz").status_code == 200
        began = time.monotonic()
        process.send_signal(word)
        assert process.wait(timeout=10) == 0
        assert time.monotonic() - began < 6.0, "about half a second on a machine that is not busy; 3 is promised"


def test_a_taken_port_gets_a_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with station(tmp_path, port) as process:
            assert process.wait(timeout=PATIENCE_S) == 69
            assert process.stderr is not None
            assert f"cannot listen on 127.0.0.1:{port}" in process.stderr.read()


def test_a_damaged_database_stops_recording_on_every_page_and_in_the_exit_code(tmp_path: Path) -> None:
    (tmp_path / "station.sqlite3").write_bytes(b"this is no database, whatever its name says" * 100)
    port = free_port()
    with station(tmp_path, port) as process:
        for path in ("/", "/opinions/new", "/healthz"):
            told = answer(process, f"http://127.0.0.1:{port}{path}")
            assert told.status_code == 503
            assert "已停止登记" in told.text
            assert "recording has stopped" in told.text
        posted = requests.post(f"http://127.0.0.1:{port}/opinions/new", data={"title": "x"}, timeout=5)
        assert posted.status_code == 503, "a form must not look as if it had been taken"
        process.terminate()
        assert process.wait(timeout=10) == 74
        assert process.stderr is not None
        assert "database_malformed" in process.stderr.read()
    assert (tmp_path / "station.sqlite3").read_bytes().startswith(b"this is no database"), "nothing was touched"


def test_a_full_disk_at_the_start_is_told_from_a_damaged_database(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: object) -> None:
        raise OperationalError("INSERT …", {}, Exception("database or disk is full"))

    monkeypatch.setattr(schema, "upgrade", full)
    with pytest.raises(StorageUnusable) as found:
        opening.open_node(settings)
    assert found.value.code == "disk_full"


def test_a_database_server_that_does_not_answer_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "DATABASE_PATIENCE_S", 0.1)
    url = f"postgresql+psycopg://nobody@127.0.0.1:{free_port()}/none"
    with pytest.raises(StorageUnusable) as found:
        opening.open_node(Settings(role="hub", data_dir=tmp_path, database_url=url))  # type: ignore[arg-type]
    assert found.value.code == "database_unreachable"


@pytest.mark.parametrize("code", SENTENCES)
def test_every_reason_has_its_page_in_both_languages(code: str) -> None:
    said: list[str] = []
    app = stopped_app(StorageUnusable(code, "…"))
    page = b"".join(app({"REQUEST_METHOD": "GET"}, lambda status, headers: said.append(status))).decode()
    assert said == ["503 Service Unavailable"]
    assert all(escape(sentence) in page for sentence in SENTENCES[code])
