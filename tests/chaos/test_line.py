"""The bad line is as bad as it says: slow, late, lossy, and cut in the middle."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from service.demo.private_server import free_port
from tests.chaos.line import Line, Shape

CONTENT = bytes(range(256)) * 20  # 5 kB
SLOW = Shape(bits_per_s=400_000, latency_s=0.05, loss=0.0)


@pytest.fixture
def line() -> Iterator[Line]:
    """A line to a door that sends back what it is sent, for one connection after the other."""
    with socket.create_server(("127.0.0.1", 0)) as door:
        threading.Thread(target=_echo, args=(door,), daemon=True).start()
        with Line(free_port(), door.getsockname()[1], seed=1) as line:
            yield line
        door.shutdown(socket.SHUT_RDWR)


def _echo(door: socket.socket) -> None:
    try:
        while True:
            with closing(door.accept()[0]) as visitor:
                while data := visitor.recv(4096):
                    visitor.sendall(data)
    except OSError:
        return


def _there_and_back(line: Line) -> tuple[bytes, float]:
    """What came back, and after how many seconds."""
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", line.port), timeout=10) as connection:
        connection.sendall(CONTENT)
        connection.shutdown(socket.SHUT_WR)
        parts = []
        while data := connection.recv(4096):
            parts.append(data)
    return b"".join(parts), time.monotonic() - began


def test_an_unshaped_line_changes_nothing(line: Line) -> None:
    back, took_s = _there_and_back(line)
    assert back == CONTENT
    assert took_s < 1


def test_a_shaped_line_takes_the_time_of_its_bits_and_of_its_way(line: Line) -> None:
    line.shape = SLOW
    back, took_s = _there_and_back(line)
    assert back == CONTENT
    at_least = 4 * SLOW.latency_s + 8 * len(CONTENT) / SLOW.bits_per_s  # handshake, there, back; both ways overlap
    assert at_least <= took_s < at_least + 2


def test_what_is_lost_arrives_later_and_in_order(line: Line) -> None:
    line.shape = Shape(bits_per_s=4_000_000, latency_s=0.02, loss=0.4)
    back, took_s = _there_and_back(line)
    assert back == CONTENT
    assert took_s > 0.12, "nothing was sent again"


@pytest.mark.parametrize("way", ["dead", "cut"])
def test_a_cut_line_brings_less_than_was_sent(line: Line, way: str) -> None:
    if way == "dead":
        line.set_dead(dead=True)
    else:
        line.shape = Shape(bits_per_s=4_000_000, latency_s=0.0, loss=0.0, cut=0.99)
    try:
        back, _ = _there_and_back(line)
    except OSError:
        back = b""
    assert len(back) < len(CONTENT)
    line.set_dead(dead=False)
    line.shape = None
    assert _there_and_back(line)[0] == CONTENT, "the next connection is whole again"


def test_a_silent_line_says_nothing_and_goes_on_afterwards(line: Line) -> None:
    line.fall_silent(0.5)
    back, took_s = _there_and_back(line)
    assert back == CONTENT
    assert took_s >= 0.5
