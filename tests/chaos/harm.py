"""What is done to the township, in an order that the seed decides: kills, pauses, full disks, bad lines, evenings.

The seed fixes what is done, to whom and after which wait; which instruction of a process it meets is chance, and that
chance is what repetition is for. Meanwhile this file is the service manager, too: what is not running and ought to be
is started again, as systemd or Docker would do, so an end that nobody asked for is seen and counted.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta

import psutil
import requests

from service.demo.private_server import PrivateServer, ServerError
from service.demo.processes import START_PATIENCE_S, Process, answers
from service.demo.township import HUB
from tests.chaos.disks import SmallDisk
from tests.chaos.line import Line
from tests.chaos.stage import EMBEDDED, SEPARATE, STATION_REDIS, VILLAGER, Stage

# How often each is chosen. "/child" is one of its processes alone: a web worker, a pool process, a database session.
KILLS = {
    EMBEDDED: 12, VILLAGER: 8, SEPARATE: 6, f"{SEPARATE}-worker": 6, f"{SEPARATE}-beat": 2, STATION_REDIS: 5,
    "hub-web": 8, "hub-web/child": 8, "hub-worker": 10, "hub-worker/child": 6, "hub-beat": 3,
    "redis": 8, "postgres": 7, "postgres/child": 7,
}  # fmt: skip
PAUSES = {EMBEDDED: 4, VILLAGER: 3, SEPARATE: 2, f"{SEPARATE}-worker": 2, "hub-web": 4, "hub-worker": 3, "redis": 2,
          "postgres": 3}  # fmt: skip
FULL = {EMBEDDED: 3, VILLAGER: 2, SEPARATE: 2, HUB: 3}
FRESH_S = 2.0  # a process this young is starting up
HASTE = 0.3  # and is chosen before others this often
FULL_AT_START = 0.3  # the PC is switched on with a full disk
AT_ONCE = 0.15  # the next blow comes with this one
GAP_S = (0.2, 3.2)
DOWN_S = (0.0, 2.0)
SERVICE_MANAGER_S = 0.5


@dataclass(slots=True)
class Done:
    """What was done so far, for the summary."""

    kills: Counter[str] = field(default_factory=Counter)
    during_start: int = 0
    at_once: int = 0
    pauses: Counter[str] = field(default_factory=Counter)
    full_disks: Counter[str] = field(default_factory=Counter)
    line_troubles: Counter[str] = field(default_factory=Counter)
    evenings: int = 0
    weekends: int = 0
    ended_by_itself: Counter[str] = field(default_factory=Counter)
    restarted_as_the_page_says: int = 0


class Harm:
    """Does the damage and keeps up what is not meant to be down. One thread, the program's main one."""

    def __init__(self, stage: Stage, seed: int, gap_s: tuple[float, float] = GAP_S) -> None:
        self.done = Done()
        self._gap_s = gap_s
        self._stage = stage
        self._dice = random.Random(seed)
        self._servers = stage.servers
        self._known = {**self._servers, **stage.processes}
        self._down: dict[str, float] = {}  # until when
        self._born: dict[str, float] = {}
        self._frozen: dict[str, Callable[[], None]] = {}
        self._undo: list[tuple[float, Callable[[], None]]] = []

    def run(self, kills: int, say: Callable[[str], None]) -> None:
        """`kills` kills with everything else strewn in."""
        turns = self._turns(kills)
        for number, turn in enumerate(turns, 1):
            together = turn == self._kill and self._dice.random() < AT_ONCE
            self.done.at_once += together
            turn()
            if not together:
                self._live(self._dice.uniform(*self._gap_s))
            if number % 50 == 0:
                say(f"{number} of {len(turns)} blows, {self.done.kills.total()} kills")

    def _turns(self, kills: int) -> list[Callable[[], None]]:
        disks = kills // 25 + 1 if self._stage.disks else 0
        turns = [self._kill] * kills + [self._pause] * (kills // 12 + 1) + [self._fill_disk] * disks
        turns += [self._trouble_line] * (kills // 12 + 1) + [self._evening] * (kills // 25 + 1)
        turns += [self._weekend] * (kills // 100)
        self._dice.shuffle(turns)
        return turns

    def heal(self) -> None:
        """Everything runs, every disk has room, every line is as good as the machine."""
        for _, undo in self._undo:
            undo()
        self._undo.clear()
        for line in self._stage.lines.values():
            line.mend()
        self._stage.to_the_next_morning()  # the ladder rests outside working hours
        self._down = dict.fromkeys(self._down, 0.0)
        deadline = time.monotonic() + START_PATIENCE_S
        while not all(answers(f"{address}/healthz") for address in self._stage.addresses.values()):
            assert time.monotonic() < deadline, "not every node answers again"
            self._restart_stopped()
            self._live(0.2)

    def keep_up(self) -> None:
        """Start what ended."""
        self._live(0.0)

    # --- blows -----------------------------------------------------------------------------------------------------

    def _kill(self) -> None:
        up = {name: weight for name, weight in KILLS.items() if self._is_up(name)}
        starting = {name: weight for name, weight in up.items() if self._is_fresh(name)}
        name = self._choose(starting if starting and self._dice.random() < HASTE else up)
        self.done.during_start += name in starting
        if name.endswith("/child"):
            self._kill_child(name)
        else:
            self._kill_whole(name)
        self.done.kills[name] += 1

    def _kill_child(self, name: str) -> None:
        """Its parent lives on and has to notice."""
        with suppress(psutil.NoSuchProcess):
            self._dice.choice(self._children(name)).kill()

    def _kill_whole(self, name: str) -> None:
        """As a power cut; of PostgreSQL every other time the first process alone, which the others then notice."""
        if name == "postgres" and self._dice.random() < 0.5:
            for child in self._children(name):
                with suppress(psutil.NoSuchProcess):
                    child.kill()
        self._target(name).kill()
        self._thaw(name)  # children of PostgreSQL that stand still would hold its memory for good
        self._down[name] = time.monotonic() + self._dice.uniform(*DOWN_S)

    def _pause(self) -> None:
        """Nothing of it runs for some seconds, as on a machine that swaps or a virtual one that is moved."""
        name = self._choose({name: weight for name, weight in PAUSES.items() if self._may_pause(name)})
        self._stop_until(self._dice.uniform(1.0, 6.0), name)
        self.done.pauses[name] += 1

    def _stop_until(self, seconds: float, name: str) -> None:
        frozen = [psutil.Process(self._pid(name)), *self._children(name)]
        for process in frozen:
            with suppress(psutil.NoSuchProcess):
                process.suspend()

        def resume() -> None:
            for process in frozen:
                with suppress(psutil.NoSuchProcess):
                    process.resume()

        self._frozen[name] = resume
        self._after(seconds, lambda: self._thaw(name))

    def _thaw(self, name: str) -> None:
        self._frozen.pop(name, lambda: None)()

    def _fill_disk(self) -> None:
        """Full at once, or with room for a page or two, so that it is the middle of something that does not fit."""
        free = {home: weight for home, weight in FULL.items() if not self._stage.disks[home].is_full}
        disk = self._stage.disks[home := self._choose(free)]
        disk.fill(left_bytes=self._dice.choice((0, 8192, 65536)))
        if home in self._stage.stations and self._dice.random() < FULL_AT_START:
            self._stage.processes[home].kill()
            self._thaw(home)
            self._down[home] = time.monotonic()
            home += " at start"
        self._after(self._dice.uniform(2.0, 8.0), lambda: self._make_room(disk))
        self.done.full_disks[home] += 1

    def _make_room(self, disk: SmallDisk) -> None:
        disk.free()
        self._restart_stopped()

    def _trouble_line(self) -> None:
        line = self._stage.lines[self._dice.choice(self._stage.stations)]
        what = self._dice.choice(("cut", "dead", "silent"))
        if what == "cut":
            line.cut()
        elif what == "silent":
            line.fall_silent(self._dice.uniform(3.0, 40.0))
        else:
            self._kill_line(line)
        self.done.line_troubles[what] += 1

    def _kill_line(self, line: Line) -> None:
        line.set_dead(dead=True)
        self._after(self._dice.uniform(2.0, 10.0), lambda: line.set_dead(dead=False))

    def _evening(self) -> None:
        """The PC is switched off in good order, whatever it is doing, and on again the next morning."""
        code = self._dice.choice(self._stage.stations)
        self._thaw(code)
        if self._is_up(code):
            self._stage.processes[code].stop()
            self._down[code] = time.monotonic() + self._dice.uniform(*DOWN_S)
        self._stage.to_the_next_morning()
        self.done.evenings += 1

    def _weekend(self) -> None:
        """The PC hibernates with a session open; when it wakes, it is Monday."""
        code = self._dice.choice(self._stage.stations)
        if self._may_pause(code):
            self._stop_until(3.0, code)
        self._stage.clock.set_to(self._stage.clock() + timedelta(hours=63))
        self.done.weekends += 1

    # --- keeping up ------------------------------------------------------------------------------------------------

    def _live(self, seconds: float) -> None:
        """Let that much time pass, starting and undoing what is due."""
        until = time.monotonic() + seconds
        while True:
            now = time.monotonic()
            for one in [one for one in self._undo if one[0] <= now]:
                self._undo.remove(one)
                one[1]()
            self._start_due(now)
            if now >= until:
                return
            time.sleep(min(0.05, until - now))

    def _start_due(self, now: float) -> None:
        for name, target in self._known.items():
            if target.pid is None and name not in self._down:
                self.done.ended_by_itself[name] += 1
                self._down[name] = now + SERVICE_MANAGER_S
            if name in self._down and self._down[name] <= now:
                self._start(name, target)

    def _start(self, name: str, target: Process | PrivateServer) -> None:
        try:
            target.start()
        except ServerError:
            if not any(disk.is_full for disk in self._stage.disks.values()):
                raise
            self._down[name] = time.monotonic() + SERVICE_MANAGER_S
            return
        del self._down[name]
        self._born[name] = time.monotonic()

    def _restart_stopped(self) -> None:
        """A node that began on a full disk says on every page: make room, then start me again. So somebody does."""
        for code in self._stage.stations:
            if self._stage.processes[code].pid is not None and _has_stopped_recording(self._stage.addresses[code]):
                self._stage.processes[code].stop()
                self._down[code] = 0.0
                self.done.restarted_as_the_page_says += 1

    def _after(self, seconds: float, undo: Callable[[], None]) -> None:
        self._undo.append((time.monotonic() + seconds, undo))

    # --- who -------------------------------------------------------------------------------------------------------

    def _choose(self, weights: dict[str, int]) -> str:
        return self._dice.choices(list(weights), list(weights.values()))[0]

    def _target(self, name: str) -> Process | PrivateServer:
        whole = name.removesuffix("/child")
        return self._known[whole]

    def _pid(self, name: str) -> int:
        pid = self._target(name).pid
        assert pid is not None, f"{name} is not running"
        return pid

    def _is_up(self, name: str) -> bool:
        if name.removesuffix("/child") not in self._known or self._target(name).pid is None:
            return False
        return bool(self._children(name)) if name.endswith("/child") else True

    def _may_pause(self, name: str) -> bool:
        return self._is_up(name) and name not in self._frozen

    def _is_fresh(self, name: str) -> bool:
        return time.monotonic() - self._born.get(name, -FRESH_S) < FRESH_S

    def _children(self, name: str) -> list[psutil.Process]:
        try:
            return psutil.Process(self._pid(name)).children(recursive=True)
        except psutil.NoSuchProcess:
            return []


def _has_stopped_recording(address: str) -> bool:
    try:
        return requests.get(f"{address}/healthz", timeout=2).status_code == 503
    except requests.RequestException:
        return False
