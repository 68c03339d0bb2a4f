"""A township on this machine: one hub on PostgreSQL and Redis, three stations on SQLite, each as it runs in earnest.

    hub       gunicorn, a Celery worker, Celery's beat, PostgreSQL, Redis   five processes and their children
    station   one process                                                   three times

Everything lives in one private folder: databases, keys, logs, the passwords (readable by its owner only) and the file
that moves the rehearsal clock. Nothing outside of it is touched; ports are on loopback.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from config.clock import FileClock
from config.settings import Settings, load_settings
from service.actions.enrolling import create_code, enrol
from service.actions.projecting import rebuild_if_outdated
from service.demo import town
from service.demo.private_server import PrivateServer
from service.demo.processes import DemoError, Process
from service.demo.servers import PrivatePostgres, PrivateRedis
from service.jobs import NoJobs
from service.node import Node, build_node
from service.store import schema

Say = Callable[[str], None]
HUB = "hub"
_LETTERS = "23456789abcdefghjkmnpqrstwxyz"  # none that look alike on a screen


class Township:
    """The folder, the processes and the addresses. `start` makes the sample town on first use.

    `ports`: the hub's first, then one for each of `stations` (codes of the sample town, all of them by default).
    `above`: address of a county's hub, which is not of this folder.
    """

    def __init__(
        self, folder: Path, ports: list[int], say: Say, stations: Sequence[str] = (), above: str | None = None
    ) -> None:
        self.stations = tuple(stations or town.stations())
        homes = [HUB, *self.stations]
        self.folder = folder.absolute()
        self.addresses = {home: f"http://127.0.0.1:{port}" for home, port in zip(homes, ports, strict=True)}
        self.clock_file = self.folder / "clock"
        self.clock = FileClock(self.clock_file)
        self.passwords: dict[str, str] = {}
        self.above = above
        self._ports = dict(zip(homes, ports, strict=True))
        self._say = say
        self._postgres = PrivatePostgres(self.folder / HUB / "postgres")
        self._redis = PrivateRedis(self.folder / HUB / "redis")
        self.processes: dict[str, Process] = {}

    # --- starting and stopping -----------------------------------------------------------------------------------

    def start(self, history: Callable[[Township], int] | None = None) -> None:
        """Everything up and enrolled; raises DemoError or private_server.ServerError with a sentence.

        `history` is played once, when the town is made: the stations are enrolled by then and do not serve yet.
        """
        self._refuse_taken_ports()
        self._open_folder()
        self._say("PostgreSQL and Redis (private, in this folder) ...")
        self._postgres.start()
        self._redis.start()
        self._define_processes()
        fresh = not self._is_made
        if fresh:
            self._found()
        self.start_hub()
        if fresh:
            self._settle(history)
        for code in self.stations:
            self.processes[code].start()
        for code in self.stations:
            self._wait_for_station(code)

    def stop(self) -> None:
        """All asked at once, then awaited; servers last, because the others use them."""
        for process in self.processes.values():
            process.ask_to_stop()
        for process in self.processes.values():
            process.stop()
        self._redis.stop()
        self._postgres.stop()

    def start_hub(self) -> None:
        self._say("hub: web, worker and beat ...")
        for name in ("hub-web", "hub-worker", "hub-beat"):
            self.processes[name].start()
        self.processes["hub-web"].wait_until_it_answers(f"{self.addresses[HUB]}/healthz")

    def stop_hub(self) -> None:
        """The hub's own processes; its databases stay up, but nothing answers any more."""
        names = ("hub-web", "hub-worker", "hub-beat")
        for name in names:
            self.processes[name].ask_to_stop()
        for name in names:
            self.processes[name].stop()

    def start_station(self, code: str) -> float:
        """Seconds until its first page."""
        self.processes[code].start()
        return self._wait_for_station(code)

    def _wait_for_station(self, code: str) -> float:
        seconds = self.processes[code].wait_until_it_answers(f"{self.addresses[code]}/login")
        self._say(f"station {code} serves at {self.addresses[code]}/")
        return seconds

    def kill_station(self, code: str) -> None:
        self.processes[code].kill()

    def kill_redis(self) -> None:
        self._redis.kill()

    def start_redis(self) -> None:
        self._redis.start()

    @property
    def servers(self) -> dict[str, PrivateServer]:
        """PostgreSQL and Redis of the hub, for those who want to see it go on without them."""
        return {server.name: server for server in (self._postgres, self._redis)}

    def ended(self) -> list[Process]:
        """Processes that should run and do not."""
        return [process for process in self.processes.values() if process.pid is None]

    # --- what processes are told -----------------------------------------------------------------------------------

    def environment(self, home: str) -> dict[str, str]:
        """The settings of one node, as an installation would have them in its environment file."""
        shared = {
            "LIANXIN_TOWN": "445222113", "LIANXIN_DATA_DIR": str(self.folder / home / "data"),
            "LIANXIN_LISTEN_HOST": "127.0.0.1", "LIANXIN_LISTEN_PORT": str(self._ports[home]),
            "LIANXIN_PUBLIC_URL": self.addresses[HUB], "LIANXIN_TEST_CLOCK": str(self.clock_file),
        }  # fmt: skip
        if home != HUB:
            return shared | {"LIANXIN_ROLE": "station", "LIANXIN_HUB_URL": self.addresses[HUB],
                             "LIANXIN_BOOT_JITTER_S": "0"}  # fmt: skip
        if self.above is not None:
            shared["LIANXIN_HUB_URL"] = self.above
        return shared | {"LIANXIN_ROLE": "hub", "LIANXIN_DATABASE_URL": self._postgres.url,
                         "LIANXIN_BROKER_URL": self._redis.url, "LIANXIN_WEB_WORKERS": "2"}  # fmt: skip

    @contextmanager
    def node(self, home: str) -> Iterator[Node]:
        """The node opened in this process, beside the one that may be serving: for preparing and for counting."""
        node = build_node(self.settings(home), jobs=NoJobs())
        try:
            yield node
        finally:
            node.engine.dispose()

    def settings(self, home: str) -> Settings:
        return load_settings(self.environment(home))

    def _define_processes(self) -> None:
        commands = {
            **{f"hub-{name}": (HUB, module) for name, module in hub_commands().items()},
            **{code: (code, ("service.cli", "serve")) for code in self.stations},
        }
        for name, (home, module) in commands.items():
            log = self.folder / home / f"{name}.log"
            self.processes[name] = Process(name=name, module=module, environment=self.environment(home), log=log)

    # --- making the town ---------------------------------------------------------------------------------------------

    def _found(self) -> None:
        with self.node(HUB) as hub:
            schema.upgrade(hub.engine)
            rebuild_if_outdated(hub)
            facts = town.found_sample(hub)
            town.create_accounts(hub, HUB, self.passwords)
        self._say(f"sample town founded: {facts} facts published")

    def _settle(self, history: Callable[[Township], int] | None) -> None:
        for code in self.stations:
            self._enrol(code)
        if history is not None:
            self._say(f"two weeks of office life: {history(self)} opinions")
        for code in self.stations:
            with self.node(code) as station:
                town.hold_receptions(station, code)
        self._remember(made=True)

    def _enrol(self, code: str) -> None:
        """As at a real installation: the hub gives a one-time code, the station enrols with it over HTTP."""
        with self.node(HUB) as hub, hub.unit(town.FOUNDER) as unit:
            one_time_code = create_code(unit, code)
        with self.node(code) as station:
            schema.upgrade(station.engine)
            rebuild_if_outdated(station)
            enrol(station, one_time_code)
            town.create_accounts(station, code, self.passwords)
        self._say(f"station {code} enrolled with a one-time code over HTTP")

    # --- the folder --------------------------------------------------------------------------------------------------

    @property
    def _notes(self) -> Path:
        return self.folder / "demo.json"

    @property
    def _is_made(self) -> bool:
        return self._notes.exists() and bool(json.loads(self._notes.read_text(encoding="utf-8"))["made"])

    def _open_folder(self) -> None:
        """A town that was not finished is begun anew: half a town would only puzzle."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self._is_made:
            self.passwords = json.loads(self._notes.read_text(encoding="utf-8"))["passwords"]
            return
        if self._notes.exists():
            self._say("an earlier start was interrupted; beginning anew")
            for home in self.addresses:
                shutil.rmtree(self.folder / home, ignore_errors=True)
        self.passwords = {account.username: new_password() for account in town.accounts()}
        self._remember(made=False)

    def _remember(self, *, made: bool) -> None:
        text = json.dumps({"made": made, "passwords": self.passwords}, ensure_ascii=False, indent=1)
        scratch = self._notes.with_suffix(".new")
        descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        scratch.replace(self._notes)

    def _refuse_taken_ports(self) -> None:
        taken = [str(port) for port in self._ports.values() if is_taken(port)]
        if taken:
            raise DemoError(
                f"port {', '.join(taken)} on 127.0.0.1 is in use. Stop what uses it (a demo that is running already?), "
                f"or choose others with LIANXIN_DEMO_PORT=9420 make demo"
            )


def hub_commands() -> dict[str, tuple[str, ...]]:
    """The processes of a hub, the web first: what follows `python -m`."""
    celery = ("celery", "-A", "workers.app")
    return {
        "web": ("service.cli", "serve"),
        "worker": (*celery, "worker", "--concurrency=2", "--without-gossip", "--without-mingle"),
        "beat": (*celery, "beat"),
    }


def new_password() -> str:
    """Twelve letters and digits in three groups."""
    return "-".join("".join(secrets.choice(_LETTERS) for _ in range(4)) for _ in range(3))


def is_taken(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False
