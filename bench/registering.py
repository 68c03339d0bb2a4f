"""Registering an opinion: from the POST to the redirect that says it is on the disk, through a station's real process.

The peer is what no web application can go below: an empty Flask request through the same web server, plus one SQLite
commit that reached the disk. All three are measured in turn, so that a busy machine slows them alike, and after a
pause: the exchange that a registration sets off must not fall into the next one, as it does not at a desk.
"""

from __future__ import annotations

import multiprocessing
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import requests

from bench import facts
from service.demo.browser import Browser
from service.demo.private_server import free_port
from service.demo.township import Township

ROUNDS, WARM_UP = 100, 10
PAUSE_S = 0.3
PEERS_BUDGET = 4.0


def run() -> dict[str, Any]:
    """Medians in milliseconds, and how many times its peer a registration takes."""
    with tempfile.TemporaryDirectory(prefix="lianxin-bench-") as folder:
        town = Township(Path(folder), [free_port(), free_port()], lambda _: None, stations=(facts.STATION,))
        try:
            town.start()
            with _empty_application() as address, _commits(Path(folder) / "peer.sqlite3") as commit:
                return _measured(_desk(town), address, commit)
        finally:
            town.stop()


def _desk(town: Township) -> Browser:
    browser = Browser(town.addresses[facts.STATION])
    browser.sign_in(f"{facts.STATION}.liaison", town.passwords[f"{facts.STATION}.liaison"])
    return browser


def _measured(desk: Browser, empty: str, commit: Callable[[], None]) -> dict[str, Any]:
    session = requests.Session()
    session.trust_env = False
    registered, asked, committed = [], [], []
    for number in range(WARM_UP + ROUNDS):
        time.sleep(PAUSE_S)
        registered.append(_registered_ms(desk, number))
        time.sleep(PAUSE_S)
        asked.append(_ms(lambda: session.post(empty, data={"title": "x"}, allow_redirects=False, timeout=30)))
        committed.append(_ms(commit))
    medians = [median(sample[WARM_UP:]) for sample in (registered, asked, committed)]
    return {
        "registrations": ROUNDS,
        "register_ms": round(medians[0], 2),
        "empty_request_ms": round(medians[1], 2), "fsynced_commit_ms": round(medians[2], 2),
        "times_its_peers": round(medians[0] / (medians[1] + medians[2]), 2), "times_its_peers_budget": PEERS_BUDGET,
    }  # fmt: skip


def _registered_ms(desk: Browser, number: int) -> float:
    """Milliseconds of one POST; the form was opened before, as a clerk would have it open."""
    form = desk.open("/opinions/new").form("/opinions/new")
    typed = {"title": f"村口排水沟堵塞 {number}", "body": facts.registered(number).body}
    began = time.perf_counter()
    leads_to = desk.post(form, **typed)
    took = (time.perf_counter() - began) * 1000
    assert "/receipt" in leads_to, f"not registered, but sent to {leads_to!r}"
    return took


def _ms(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1000


# --- the peers -------------------------------------------------------------------------------------------------


def _serve_empty(port: int) -> None:
    import flask
    from waitress import serve

    app = flask.Flask("empty")
    app.add_url_rule("/", "empty", lambda: flask.redirect("/there"), methods=["POST"])
    serve(app, host="127.0.0.1", port=port, threads=4)


@contextmanager
def _empty_application() -> Iterator[str]:
    """Address of an application that answers every POST with a redirect, in a process of its own."""
    port = free_port()
    process = multiprocessing.get_context("spawn").Process(target=_serve_empty, args=(port,), daemon=True)
    process.start()
    address = f"http://127.0.0.1:{port}/"
    deadline = time.monotonic() + 30
    while not _answers(address):
        assert time.monotonic() < deadline, "the empty application did not start"
        time.sleep(0.05)
    yield address
    process.terminate()
    process.join()


def _answers(address: str) -> bool:
    try:
        return requests.post(address, allow_redirects=False, timeout=5).status_code == 302
    except requests.ConnectionError:
        return False


@contextmanager
def _commits(path: Path) -> Iterator[Callable[[], None]]:
    """One row written and synced to the disk, each time it is called."""
    connection = sqlite3.connect(path, isolation_level=None)
    for statement in ("PRAGMA journal_mode=WAL", "PRAGMA synchronous=FULL", "CREATE TABLE rows (body TEXT)"):
        connection.execute(statement)

    def commit() -> None:
        connection.execute("INSERT INTO rows VALUES (?)", ("漫水" * 100,))

    yield commit
    connection.close()


if __name__ == "__main__":
    print(run())
