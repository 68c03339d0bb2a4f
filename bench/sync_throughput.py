"""The replication library by itself: how fast a station's backlog is stored and verified, and what idling costs.

A bare WSGI application around `Responder`, on waitress in a process of its own, stores into PostgreSQL; the station
reads from SQLite in this process. Everything goes over HTTP on loopback. What the web application and the folding add
is measured by `end_to_end`. A COPY of the same rows in the same run is the peer.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

import zstandard
from sqlalchemy import Engine, create_engine

from bench import copy_peer
from service.demo.private_server import free_port
from service.demo.servers import PrivatePostgres
from sync import bundle, peers
from sync.enrolment import enrol, issue_code
from sync.errors import LinkError, SyncError, encode_error
from sync.events import EventDraft, Scope, Subject
from sync.exchange import ExchangeReport, exchange
from sync.identity import Identity
from sync.ledger import Ledger
from sync.limits import Limits
from sync.packing import Budget
from sync.positions import behind
from sync.replica import Replica
from sync.responder import Responder
from sync.tables import metadata
from sync.testing import sqlite_engine
from sync.transport import HttpTransport
from sync.wire import CONTENT_TYPE

EVENTS, SUBJECTS = 20_000, 5_000
BODY_BYTES = 700
IDLE_ROUNDS = 50
RUNS = 3
HALL, PUB = Scope("445222113/s/qd"), Scope("445222113/pub")
_WORDS = "村口的下水道又堵了污水流到路上请派人来看一看老人孩子走路不方便路灯也坏了晚上很黑希望尽快修好谢谢"


def run() -> dict[str, Any]:
    """Events per second stored and verified, its parts, bytes per event, and the idle exchange."""
    with tempfile.TemporaryDirectory(prefix="lianxin-bench-") as folder:
        with PrivatePostgres(Path(folder) / "postgres") as postgres:
            url = postgres.create_database("hub")
            hub = node(Path(folder) / "hub", create_engine(url))
            station = node(Path(folder) / "station", sqlite_engine(Path(folder) / "station.db"))
            with serving(Path(folder) / "hub", url) as address, closing(HttpTransport(address)) as line:
                enrol(station, line, code_for_station(hub))
                return {**_throughput(hub, station, line), **_parts(hub, station), **_idle(station, line)}


# --- figures ---------------------------------------------------------------------------------------------------


def _throughput(hub: Replica, station: Replica, line: HttpTransport) -> dict[str, Any]:
    """The best of some runs: what else the machine does only ever adds."""
    _send(station, line, drafts(500, seed=0))  # connections open, statements prepared
    took, report, sent = min((_send(station, line, drafts(EVENTS, seed)) for seed in range(1, RUNS + 1)), key=_first)
    payload = len(zstandard.ZstdCompressor(level=3).compress(b"".join(draft.body for draft in sent)))
    wire = (report.bytes_sent + report.bytes_received) / EVENTS
    copy_per_s = copy_peer.rows_per_s(hub.engine, EVENTS)
    return {
        "events": EVENTS, "subjects": SUBJECTS, "raw_bytes_per_event": round(sum(len(d.body) for d in sent) / EVENTS),
        "stored_verified_per_s": round(EVENTS / took), "stored_verified_per_s_budget": 20_000,
        "copy_per_s": round(copy_per_s), "share_of_copy": round(EVENTS / took / copy_per_s, 3),
        "share_of_copy_budget": 0.10, "requests": report.requests,
        "wire_bytes_per_event": round(wire, 1), "payload_bytes_per_event": round(payload / EVENTS, 1),
        "overhead_bytes_per_event": round(wire - payload / EVENTS, 1), "overhead_bytes_per_event_budget": 64,
    }  # fmt: skip


def _first(measured: tuple[float, ExchangeReport, list[EventDraft]]) -> float:
    return measured[0]


def _send(
    station: Replica, line: HttpTransport, recorded: list[EventDraft]
) -> tuple[float, ExchangeReport, list[EventDraft]]:
    with station.engine.begin() as conn:
        station.ledger.append(conn, HALL, recorded)
        (hub,) = peers.all_peers(conn)
    began = time.perf_counter()
    report = exchange(station, hub, line)
    took = time.perf_counter() - began
    assert report.verified, report
    assert report.pushed == len(recorded), report
    return took, report, recorded


def _parts(hub: Replica, station: Replica) -> dict[str, Any]:
    """Seconds of each half alone, for one more backlog, without HTTP between them; and of SQLite as the receiver."""
    with station.engine.begin() as conn:
        (peer,) = peers.all_peers(conn)
        before = station.ledger.heads(conn, [HALL])
        recorded = drafts(EVENTS, seed=99)
        append_s = _timed(lambda: station.ledger.append(conn, HALL, recorded))
    bundles: list[bytes] = []

    def pack() -> None:
        theirs = before
        while True:
            with station.engine.begin() as conn:
                lacking = behind(theirs, station.ledger.heads(conn, [HALL]))
                made = station.ledger.pack(conn, lacking, Budget(raw_bytes=4_000_000, events=10_000), peer.node)
            if made is None:
                return
            bundles.append(made.data)
            with station.engine.begin() as conn:
                heads = station.ledger.heads(conn, [HALL])
            theirs = {part.stream: _at(heads[part.stream], part.last) for part in made.ranges}

    pack_s = _timed(pack)
    accept_s = _timed(lambda: _accept(hub, station, bundles))
    return {
        "append_per_s_sqlite": round(EVENTS / append_s), "pack_per_s": round(EVENTS / pack_s),
        "accept_per_s_postgresql": round(EVENTS / accept_s),
    }  # fmt: skip


def _at(head: Any, seq: int) -> Any:
    return type(head)(seq, head.chain)


def _accept(hub: Replica, station: Replica, bundles: list[bytes]) -> None:
    for data in bundles:
        opened = bundle.unpack(data, station.identity.public_key, Limits())
        with hub.engine.begin() as conn:
            outcome = hub.ledger.accept(conn, opened, peers.get_peer(conn, station.identity.node))
        assert not outcome.refusals


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _idle(station: Replica, line: HttpTransport) -> dict[str, Any]:
    with station.engine.begin() as conn:
        (hub,) = peers.all_peers(conn)
    exchange(station, hub, line)
    took, reports = [], []
    for _ in range(IDLE_ROUNDS):
        began = time.perf_counter()
        reports.append(exchange(station, hub, line))
        took.append((time.perf_counter() - began) * 1000)
    last = reports[-1]
    return {
        "idle_requests": max(report.requests for report in reports), "idle_ms": round(median(took), 2),
        "idle_ms_budget": 20.0, "idle_message_bytes": last.bytes_sent + last.bytes_received,
    }  # fmt: skip


# --- nodes -----------------------------------------------------------------------------------------------------


def system_now() -> datetime:
    return datetime.now(UTC)


def node(folder: Path, engine: Engine) -> Replica:
    metadata.create_all(engine)
    identity = Identity.load_or_create(folder)
    return Replica(engine, Ledger(identity, system_now), identity, system_now)


def code_for_station(hub: Replica) -> str:
    with hub.engine.begin() as conn:
        return issue_code(
            conn, name="qd", read_scopes=[PUB, HALL], write_scopes=[HALL], now=system_now(),
            valid_for=timedelta(hours=1),
        )  # fmt: skip


def drafts(count: int, seed: int) -> list[EventDraft]:
    """Opinions' events of about 700 bytes in a clerk's words; four per subject."""
    chosen = random.Random(seed)
    return [
        EventDraft(
            kind="opinion.registered", version=1, subject=Subject(f"opinion/{seed:08x}{n % SUBJECTS:024x}"),
            body=_body(chosen), occurred_at=system_now(), author="liaison:zhang",
        )
        for n in range(count)
    ]  # fmt: skip


def _body(chosen: random.Random) -> bytes:
    fields = {
        "reg_no": f"QD-2026-{chosen.randrange(10**6):06d}", "person": f"{chosen.getrandbits(128):032x}",
        "urgency": chosen.choice(("normal", "urgent")), "category": f"c{chosen.randrange(40)}", "text": "",
    }  # fmt: skip
    room = (BODY_BYTES - len(json.dumps(fields))) // 3
    fields["text"] = "".join(chosen.choices(_WORDS, k=room))
    return json.dumps(fields, ensure_ascii=False).encode()


# --- the hub's process -----------------------------------------------------------------------------------------


@contextmanager
def serving(folder: Path, url: str) -> Iterator[str]:
    """The hub in a process of its own; its address once it answers."""
    port = free_port()
    command = [sys.executable, "-m", "bench.sync_throughput", str(folder), url, str(port)]
    process = subprocess.Popen(command)
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_for(address)
        yield address
    finally:
        process.terminate()
        process.wait(10)


def _wait_for(address: str) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            with closing(HttpTransport(address)) as line:
                line.post("hello", b"")
        except LinkError:
            time.sleep(0.05)
        except SyncError:
            return
    raise TimeoutError(address)


def serve(folder: Path, url: str, port: int) -> None:
    """Answer until terminated."""
    import waitress

    responder = Responder(node(folder, create_engine(url)))

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        try:
            status, body = "200 OK", responder.answer(environ["PATH_INFO"].rpartition("/")[2], environ["wsgi.input"])
        except SyncError as error:
            status, body = f"{error.status} Refused", encode_error(error)
        start_response(status, [("Content-Type", CONTENT_TYPE), ("Content-Length", str(len(body)))])
        return [body]

    waitress.serve(application, host="127.0.0.1", port=port, threads=4, max_request_body_size=2**25)


if __name__ == "__main__":
    if len(sys.argv) == 4:
        serve(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
    else:
        print(json.dumps(run(), indent=1))
