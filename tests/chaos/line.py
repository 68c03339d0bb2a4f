"""A line that can be bad: a TCP proxy which slows down, delays, loses and cuts what passes through it.

A program above TCP never sees a lost packet; it sees the silence until the packet has been sent again, and that
nothing behind it arrives earlier. So that is what a loss is here. Where the loss does not end, the connection does.
"""

from __future__ import annotations

import asyncio
import random
import socket
import threading
import time
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

SEGMENT_BYTES = 1400
WINDOW_SEGMENTS = 32  # what may be under way in one direction of a connection: 44 kB, as small machines have it
SOCKET_BYTES = 16 * 1024  # the kernel's buffers would otherwise swallow a photo at once and call it sent
POLL_S = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """`latency_s` one way; `loss` and `cut` are probabilities for each segment of 1,400 bytes."""

    bits_per_s: float
    latency_s: float
    loss: float
    cut: float = 0.0


VILLAGE = Shape(bits_per_s=64_000, latency_s=0.8, loss=0.05, cut=0.001)


class Line:
    """From a port of its own to `target_port`, both on loopback. Everything may be changed while it is in use.

    `shape` None: as fast as the machine. `dead`: connections are refused, and those that exist are cut.
    """

    def __init__(self, port: int, target_port: int, seed: int) -> None:
        self.port = port
        self.shape: Shape | None = None
        self.cuts = 0
        self.bytes_passed = 0
        self._target_port = target_port
        self._dice = random.Random(seed)
        self._dead = False
        self._silent_until = 0.0
        self._free_at = [0.0, 0.0]  # by direction: all connections share the line
        self._open: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"line-{port}", daemon=True)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        self._thread.start()
        self._call(self._listen())

    def stop(self) -> None:
        self._call(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def cut(self) -> None:
        """Whatever is under way ends in the middle."""
        self._call(self._cut())

    def set_dead(self, *, dead: bool) -> None:
        self._dead = dead
        if dead:
            self.cut()

    def fall_silent(self, seconds: float) -> None:
        """Nothing passes, and nobody is told: what a radio link does in the rain."""
        self._silent_until = time.monotonic() + seconds

    def mend(self) -> None:
        """As fast as the machine again, alive and talking."""
        self.shape, self._dead, self._silent_until = None, False, 0.0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _call(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _listen(self) -> None:
        door = socket.create_server(("127.0.0.1", self.port))
        door.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SOCKET_BYTES)
        self._server = await asyncio.start_server(self._passing, sock=door, limit=SOCKET_BYTES)

    async def _end(self) -> None:
        self._server.close()
        await self._cut()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _cut(self) -> None:
        for writer in list(self._open):
            writer.transport.abort()
        self.cuts += bool(self._open)

    # --- one connection --------------------------------------------------------------------------------------------

    async def _passing(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._dead:
            writer.transport.abort()
            return
        self._open.add(writer)
        onward: asyncio.StreamWriter | None = None
        try:
            await asyncio.sleep(2 * self.shape.latency_s if self.shape else 0)  # the handshake
            back, onward = await asyncio.open_connection("127.0.0.1", self._target_port, limit=SOCKET_BYTES)
            self._open.add(onward)
            await asyncio.gather(self._carry(reader, onward, 0), self._carry(back, writer, 1))
        except (OSError, _Cut):
            pass  # both ends learn it below
        finally:
            for end in filter(None, (writer, onward)):
                self._open.discard(end)
                end.transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, direction: int) -> None:
        """One direction until its end; raises what ends the connection as a whole."""
        under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(WINDOW_SEGMENTS)
        delivering = asyncio.ensure_future(self._deliver(under_way, writer))
        arrived_at = 0.0
        try:
            while data := await reader.read(SEGMENT_BYTES):
                arrived_at = max(arrived_at, self._arrival(len(data), direction))
                put = asyncio.ensure_future(under_way.put((arrived_at, data)))
                await asyncio.wait({put, delivering}, return_when=asyncio.FIRST_COMPLETED)
                if delivering.done():
                    put.cancel()
                    break
            else:
                await under_way.put((arrived_at, b""))
            await delivering
        finally:
            delivering.cancel()

    async def _deliver(self, under_way: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter) -> None:
        while True:
            at, data = await under_way.get()
            while (wait_s := max(at, self._silent_until) - time.monotonic()) > 0:
                await asyncio.sleep(min(wait_s, POLL_S))
            if not data:
                with suppress(OSError):
                    writer.write_eof()
                return
            writer.write(data)
            await writer.drain()
            self.bytes_passed += len(data)

    def _arrival(self, size: int, direction: int) -> float:
        """When a segment that is handed over now is at the other end. Raises _Cut when it never is."""
        shape, now = self.shape, time.monotonic()
        if shape is None:
            return now
        sending_s = 8 * size / shape.bits_per_s
        self._free_at[direction] = max(now, self._free_at[direction]) + sending_s
        arrival, again_s = self._free_at[direction] + shape.latency_s, 2 * shape.latency_s
        while self._dice.random() < shape.loss:
            self._free_at[direction] += sending_s
            arrival += again_s
            again_s *= 2  # as TCP waits: twice as long each time
        if self._dice.random() < shape.cut:
            self.cuts += 1
            raise _Cut
        return arrival


class _Cut(Exception):
    """The connection ends here."""
