"""Lines without a network: one that always works, and one on which everything goes wrong that can."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from random import Random
from typing import Final

from sync.errors import CaptivePortal, PeerBusy, SyncError, TimedOut, Unreachable, decode_error, encode_error
from sync.responder import Responder
from sync.transport import Transport


class Crash(BaseException):
    """The process ends here. Not an Exception: nothing may catch it and carry on."""


class DirectTransport:
    """Calls the responder in the same process; refusals travel as bytes, as they do over HTTP."""

    def __init__(self, responder: Responder) -> None:
        self._responder = responder

    def post(self, verb: str, body: bytes) -> bytes:
        try:
            return self._responder.answer(verb, body)
        except SyncError as error:
            raise decode_error(encode_error(error)) from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """How often each thing happens to a request, as shares of one; the rest goes well."""

    lose_request: float = 0.05
    lose_answer: float = 0.07
    duplicate: float = 0.06
    delay: float = 0.06
    cut_request: float = 0.03
    cut_answer: float = 0.03
    flip_request: float = 0.02
    flip_answer: float = 0.02
    portal: float = 0.02
    busy: float = 0.02
    repeat_later: float = 0.02


# What `told` may hear: the faults themselves, and a request that comes after later ones.
FAULT_NAMES: Final = frozenset({*(fault.name for fault in fields(Faults)), "come_late"})


class FaultyTransport:
    """Loses, doubles, delays, reorders, cuts and changes what passes; `random` decides, so a seed repeats it.

    A delayed request arrives before some later one, from whichever caller shares `late`: that is how messages
    overtake each other; one that is repeated later may come weeks after it was answered. A peer that crashes while
    answering looks like a dead line; `revive` starts it again. `told` hears every fault by its name.
    """

    def __init__(
        self,
        inner: Transport,
        random: Random,
        faults: Faults | None = None,
        late: list[tuple[str, bytes]] | None = None,
        revive: Callable[[], None] | None = None,
        told: Callable[[str], None] | None = None,
    ) -> None:
        self._inner = inner
        self._random = random
        self._faults = faults or Faults()
        self._late = late if late is not None else []
        self._revive = revive or (lambda: None)
        self._told = told or (lambda _: None)

    def post(self, verb: str, body: bytes) -> bytes:
        self._deliver_late()
        match self._draw():
            case "lose_request":
                raise Unreachable(fault="request lost")
            case "delay":
                self._late.append((verb, body))
                raise TimedOut(fault="request delayed")
            case "portal":
                raise CaptivePortal(fault="login page")
            case "busy":
                raise PeerBusy(fault="busy")
            case "cut_request":
                return self._send(verb, self._cut(body))
            case "flip_request":
                return self._send(verb, self._flip(body))
            case "repeat_later":
                self._late.append((verb, body))
            case "duplicate":
                answer = self._send(verb, body)
                self._send_unheard(verb, body)
                return answer
            case "lose_answer":
                self._send(verb, body)
                raise TimedOut(fault="answer lost")
            case "cut_answer":
                return self._cut(self._send(verb, body))
            case "flip_answer":
                return self._flip(self._send(verb, body))
        return self._send(verb, body)

    def _draw(self) -> str | None:
        place = self._random.random()
        for fault in fields(self._faults):
            place -= getattr(self._faults, fault.name)
            if place < 0:
                self._told(fault.name)
                return fault.name
        return None

    def _send(self, verb: str, body: bytes) -> bytes:
        try:
            return self._inner.post(verb, body)
        except Crash:
            self._revive()
            raise Unreachable(fault="peer crashed") from None

    def _send_unheard(self, verb: str, body: bytes) -> None:
        """Nobody waits for this answer."""
        try:
            self._send(verb, body)
        except SyncError:
            return

    def _deliver_late(self) -> None:
        while self._late and self._random.random() < 0.5:
            self._told("come_late")
            self._send_unheard(*self._late.pop(self._random.randrange(len(self._late))))

    def _cut(self, data: bytes) -> bytes:
        return data[: self._random.randrange(len(data))]

    def _flip(self, data: bytes) -> bytes:
        place = self._random.randrange(len(data))
        return data[:place] + bytes([data[place] ^ (1 << self._random.randrange(8))]) + data[place + 1 :]
