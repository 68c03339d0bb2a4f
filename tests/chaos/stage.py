"""Where the damage is done: a township of real processes, each node on a disk of its own, each station on its line.

hub     gunicorn, Celery worker, beat, PostgreSQL, Redis
qd      one process, as on a village PC; its line is good as long as nobody cuts it
qn      one process; its line is a village's: 64 kbit/s, 0.8 s one way, every twentieth packet lost
zx      web process, Celery worker and beat apart, on a Redis of its own
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path

from service.demo.moving_clock import moved
from service.demo.private_server import PrivateServer, free_port
from service.demo.processes import Process
from service.demo.servers import PrivateRedis
from service.demo.township import HUB, Township
from tests.chaos.disks import SmallDisk
from tests.chaos.line import VILLAGE, Line

EMBEDDED, VILLAGER, SEPARATE = "qd", "qn", "zx"
STATIONS = (EMBEDDED, VILLAGER, SEPARATE)
STATION_REDIS = "station-redis"


class Stage(Township):
    """The township with lines and, where it may mount, small disks."""

    beat: Sequence[str] = ("celery", "-A", "workers.app", "beat")  # of the hub, what follows `python -m`

    def __init__(self, folder: Path, seed: int, *, may_mount: bool, stations: Sequence[str] = STATIONS) -> None:
        ports = [free_port() for _ in range(1 + len(stations))]
        super().__init__(folder, ports, lambda _: None, stations=stations)
        self.lines = {code: Line(free_port(), ports[0], seed + n) for n, code in enumerate(stations)}
        homes = (HUB, *stations) if may_mount else ()
        self.disks = {home: SmallDisk(self.folder / home) for home in homes}
        self._station_redis = PrivateRedis(self.folder / SEPARATE / "redis") if SEPARATE in stations else None
        self._opened = ExitStack()

    @property
    def servers(self) -> dict[str, PrivateServer]:
        return super().servers | ({STATION_REDIS: self._station_redis} if self._station_redis else {})

    def environment(self, home: str) -> dict[str, str]:
        given = super().environment(home)
        if home in self.lines:
            given["LIANXIN_HUB_URL"] = self.lines[home].address
        if home == SEPARATE and self._station_redis:
            given["LIANXIN_BROKER_URL"] = self._station_redis.url
        return given

    def open(self, now: datetime | None = None) -> None:
        """Everything up; the clock says `now`, or else the next working morning.

        The bad line becomes bad only then: enrolling is not what is tried here.
        """
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for disk in self.disks.values():
            disk.mount()
        self.clock.set_to(now or moved(self.clock(), "+1wd"))
        for line in self.lines.values():
            self._opened.enter_context(line)
        if self._station_redis:
            self._station_redis.start()
        self.start()
        for name, process in self.processes.items():
            if process.pid is None:
                assert name.startswith(SEPARATE), f"{name} has ended"
                process.start()
        if VILLAGER in self.lines:
            self.lines[VILLAGER].shape = VILLAGE

    def to_the_next_morning(self) -> None:
        """Five minutes after opening of the next working day."""
        self.clock.set_to(moved(self.clock(), "+1wd"))

    def close(self) -> None:
        self.stop()
        if self._station_redis:
            self._station_redis.stop()
        self._opened.close()

    def _define_processes(self) -> None:
        super()._define_processes()
        self.processes["hub-beat"].module = self.beat
        if SEPARATE not in self.stations:
            return
        worker = ("worker", "--concurrency=1", "--without-gossip", "--without-mingle")
        for name, words in ((f"{SEPARATE}-worker", worker), (f"{SEPARATE}-beat", ("beat",))):
            self.processes[name] = Process(
                name=name, module=("celery", "-A", "workers.app", *words), environment=self.environment(SEPARATE),
                log=self.folder / SEPARATE / f"{name}.log",
            )  # fmt: skip
