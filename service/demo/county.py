"""A county's hub above the demo's township: the same processes again, over databases and a Redis of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from config.clock import FileClock
from config.settings import load_settings
from service.actions.accounts import NewAccount, create_account
from service.actions.enrolling import create_code, enrol
from service.actions.founding import found
from service.actions.gathering import publish_notice, state_township
from service.actions.projecting import rebuild_if_outdated
from service.actions.summing import sum_up
from service.actions.syncing import announce_enrolled, exchange_now, hub_of
from service.demo import town
from service.demo.processes import Process
from service.demo.servers import PrivatePostgres, PrivateRedis
from service.demo.township import HUB, Township, hub_commands, new_password
from service.domain.people import Role
from service.jobs import NoJobs
from service.node import Node, build_node
from service.store import schema

CODE, NAME = "445222", "揭西县(虚构数据)"
USERNAME = "county.clerk"


class CountyOffice:
    """The county's hub in the folder `county` of the demo's. Start it before the township, join afterwards."""

    def __init__(self, folder: Path, port: int, say: Callable[[str], None]) -> None:
        self.folder = folder.absolute() / "county"
        self.address = f"http://127.0.0.1:{port}"
        self._port = port
        self._say = say
        self._clock = folder.absolute() / "clock"
        self._postgres = PrivatePostgres(self.folder / "postgres")
        self._redis = PrivateRedis(self.folder / "redis")
        self.processes: list[Process] = []

    @property
    def password(self) -> str:
        """Kept beside the databases, readable by their owner only."""
        kept = self.folder / "password"
        if not kept.exists():
            kept.touch(mode=0o600)
            kept.write_text(new_password(), encoding="ascii")
        return kept.read_text(encoding="ascii")

    @property
    def environment(self) -> dict[str, str]:
        return {
            "LIANXIN_ROLE": "hub", "LIANXIN_TOWN": CODE, "LIANXIN_DATA_DIR": str(self.folder / "data"),
            "LIANXIN_DATABASE_URL": self._postgres.url, "LIANXIN_BROKER_URL": self._redis.url,
            "LIANXIN_LISTEN_HOST": "127.0.0.1", "LIANXIN_LISTEN_PORT": str(self._port), "LIANXIN_WEB_WORKERS": "1",
            "LIANXIN_PUBLIC_URL": self.address, "LIANXIN_TEST_CLOCK": str(self._clock),
        }  # fmt: skip

    def start(self) -> None:
        """Serving, founded on first use."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._say("county: PostgreSQL, Redis, web, worker and beat ...")
        self._postgres.start()
        self._redis.start()
        with self._node() as node:
            self._found(node)
        self.processes = [
            Process(name=f"county-{name}", module=module, environment=self.environment,
                    log=self.folder / f"county-{name}.log")
            for name, module in hub_commands().items()
        ]  # fmt: skip
        for process in self.processes:
            process.start()
        self.processes[0].wait_until_it_answers(f"{self.address}/healthz")

    def join(self, township: Township) -> None:
        """Enrol the township's hub by a one-time code, once, and report what it has counted."""
        with township.node(HUB) as hub, self._node() as county:
            with hub.reading() as connection:
                if hub_of(connection) is not None:
                    return
            with county.unit(town.FOUNDER) as unit:
                code = create_code(unit, hub.settings.town)
            enrol(hub, code)
            announce_enrolled(county)
            sum_up(hub)
            exchange_now(hub)
        self._say("the township's hub enrolled at the county's with a one-time code over HTTP")

    def stop(self) -> None:
        for process in self.processes:
            process.ask_to_stop()
        for process in self.processes:
            process.stop()
        self._redis.stop()
        self._postgres.stop()

    @contextmanager
    def _node(self) -> Iterator[Node]:
        settings = load_settings(self.environment)
        node = build_node(settings, jobs=NoJobs(), now=FileClock(self._clock))
        try:
            yield node
        finally:
            node.engine.dispose()

    def _found(self, node: Node) -> None:
        schema.upgrade(node.engine)
        rebuild_if_outdated(node)
        with node.unit(town.FOUNDER) as unit:
            if unit.town.stated is not None:
                return
            found(unit, CODE, NAME)
            state_township(unit, "445222113", town.sample()["name"])
            publish_notice(unit, "演示通知", "请各镇于月底前核对接待登记。")
            new = NewAccount(username=USERNAME, name="县办(虚构)", role=Role.CLERK.value, password=self.password)
            create_account(unit, new)
