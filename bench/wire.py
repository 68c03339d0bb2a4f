"""Bytes and milliseconds on the line: what an event costs there, and what a station costs that has nothing to say.

Both halves speak real HTTP over loopback; every byte of request and answer counts, headers included.
"""

from __future__ import annotations

import socket
import tempfile
import threading
import time
from pathlib import Path
from statistics import median
from typing import Any

import zstandard

from bench import facts
from service.actions.syncing import replica
from service.demo.private_server import free_port
from service.demo.township import Township
from service.node import Node
from sync import peers
from sync.events import EventDraft
from sync.exchange import ExchangeReport, exchange
from sync.transport import HttpTransport

EVENTS = 20_000
IDLE_ROUNDS = 50
OVERHEAD_BYTES_BUDGET = 64
IDLE_BYTES_BUDGET, IDLE_MS_BUDGET, IDLE_REQUESTS_BUDGET = 1000, 20.0, 1
ZSTD_LEVEL = 3


def run() -> dict[str, Any]:
    """Bytes per event beyond its compressed payload; requests, bytes and milliseconds of an idle exchange."""
    with tempfile.TemporaryDirectory(prefix="lianxin-bench-") as folder:
        town = Township(Path(folder), [free_port(), free_port()], lambda _: None, stations=(facts.STATION,))
        try:
            town.start()
            town.processes[facts.STATION].stop()
            relay = CountingRelay(int(town.addresses["hub"].rpartition(":")[2]))
            with town.node(facts.STATION) as station:
                return _per_event(station, relay) | _idle(station, relay, town.addresses["hub"])
        finally:
            town.stop()


def _per_event(station: Node, relay: CountingRelay) -> dict[str, Any]:
    numbers = range(1, 1 + EVENTS // facts.EVENTS_PER_OPINION)
    drafts = list(facts.drafts(facts.at_the_station, numbers, facts.LIAISON))
    facts.append(station, station.station_scope(facts.STATION), drafts)
    line = HttpTransport(relay.address)
    _exchange(station, line)
    line.close()
    wire, payload = relay.bytes / len(drafts), _compressed(drafts) / len(drafts)
    return {
        "events": len(drafts),
        "raw_bytes_per_event": round(sum(len(draft.body) for draft in drafts) / len(drafts)),
        "payload_bytes_per_event": round(payload, 1), "wire_bytes_per_event": round(wire, 1),
        "overhead_bytes_per_event": round(wire - payload, 1),
        "overhead_bytes_per_event_budget": OVERHEAD_BYTES_BUDGET,
    }  # fmt: skip


def _compressed(drafts: list[EventDraft]) -> int:
    """Bytes of all payloads in one frame, the strictest peer: no bundle ends, no header in between."""
    return len(zstandard.ZstdCompressor(level=ZSTD_LEVEL).compress(b"".join(draft.body for draft in drafts)))


def _idle(station: Node, relay: CountingRelay, hub: str) -> dict[str, Any]:
    """Bytes through the relay, milliseconds without it."""
    line = HttpTransport(relay.address)
    _exchange(station, line)  # the connection is open from here on
    before = relay.bytes
    reports = [_exchange(station, line) for _ in range(IDLE_ROUNDS)]
    idle_bytes = (relay.bytes - before) / IDLE_ROUNDS
    line.close()
    return {
        "idle_requests": max(report.requests for report in reports), "idle_requests_budget": IDLE_REQUESTS_BUDGET,
        "idle_bytes": round(idle_bytes), "idle_bytes_budget": IDLE_BYTES_BUDGET,
        "idle_message_bytes": reports[-1].bytes_sent + reports[-1].bytes_received,
        "idle_ms": round(_idle_ms(station, hub), 2), "idle_ms_budget": IDLE_MS_BUDGET,
    }  # fmt: skip


def _idle_ms(station: Node, hub: str) -> float:
    line, took = HttpTransport(hub), []
    _exchange(station, line)
    for _ in range(IDLE_ROUNDS):
        began = time.perf_counter()
        _exchange(station, line)
        took.append((time.perf_counter() - began) * 1000)
    line.close()
    return median(took)


def _exchange(station: Node, line: HttpTransport) -> ExchangeReport:
    with station.reading() as connection:
        (peer,) = peers.all_peers(connection)
    report = exchange(replica(station), peer, line)
    assert report.verified, report
    return report


class CountingRelay:
    """A line to the hub on loopback that counts every byte it carries, in both directions."""

    def __init__(self, hub_port: int) -> None:
        self.bytes = 0
        self._hub = ("127.0.0.1", hub_port)
        self._door = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._open, daemon=True).start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._door.getsockname()[1]}"

    def close(self) -> None:
        self._door.close()

    def _open(self) -> None:
        while True:
            try:
                station, _ = self._door.accept()
            except OSError:
                return
            hub = socket.create_connection(self._hub)
            for end, other in ((station, hub), (hub, station)):
                threading.Thread(target=self._carry, args=(end, other), daemon=True).start()

    def _carry(self, end: socket.socket, other: socket.socket) -> None:
        while data := end.recv(65536):
            self.bytes += len(data)
            other.sendall(data)
        other.shutdown(socket.SHUT_WR)


if __name__ == "__main__":
    print(run())
