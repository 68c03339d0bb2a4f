"""A station with a broker address: the web process alone, and ordinary Celery processes for the same jobs."""

import time
from contextlib import ExitStack
from pathlib import Path

from sqlalchemy import select

from config import jobs
from config.settings import NodeRole, Settings
from service.demo.private_server import free_port
from service.demo.processes import Process
from service.node import Node
from service.store.tables import job_runs
from workers.opening import open_node


def test_ordinary_workers_run_the_station_s_jobs(tmp_path: Path, redis_url: str) -> None:
    environment = {"LIANXIN_ROLE": "station", "LIANXIN_DATA_DIR": str(tmp_path / "data"),
                   "LIANXIN_BROKER_URL": redis_url, "LIANXIN_LISTEN_PORT": str(free_port())}  # fmt: skip
    node = open_node(Settings(role=NodeRole.STATION, data_dir=tmp_path / "data"))
    celery = ("celery", "-A", "workers.app", "worker", "--concurrency=1", "--without-gossip", "--without-mingle")
    web = Process(name="web", module=("service.cli", "serve"), environment=environment, log=tmp_path / "web.log")
    worker = Process(name="worker", module=celery, environment=environment, log=tmp_path / "worker.log")
    with ExitStack() as running:
        for process in (web, worker):
            process.start()
            running.callback(process.stop)
        web.wait_until_it_answers(f"http://127.0.0.1:{environment['LIANXIN_LISTEN_PORT']}/healthz")
        deadline = time.monotonic() + 40
        while runs_of(node) != {beat.job for beat in jobs.STATION_BEAT}:
            assert time.monotonic() < deadline, worker.last_words()
            time.sleep(0.1)
    node.engine.dispose()


def test_a_worker_that_waits_on_a_connection_that_is_gone_listens_anew(tmp_path: Path, redis_url: str) -> None:
    environment = {"LIANXIN_ROLE": "station", "LIANXIN_DATA_DIR": str(tmp_path / "data"),
                   "LIANXIN_BROKER_URL": redis_url}  # fmt: skip
    node = open_node(Settings(role=NodeRole.STATION, data_dir=tmp_path / "data"))
    module = ("tests.workers.deaf_worker",)
    worker = Process(name="worker", module=module, environment=environment, log=tmp_path / "worker.log")
    with ExitStack() as running:
        running.callback(worker.stop)
        worker.start()
        deadline = time.monotonic() + 40
        while runs_of(node) != {beat.job for beat in jobs.STATION_BEAT}:
            assert time.monotonic() < deadline, worker.last_words()
            time.sleep(0.1)
    told = (tmp_path / "worker.log").read_text(encoding="utf-8")
    assert "deaf now" in told
    assert "worker.deaf" in told
    node.engine.dispose()


def runs_of(node: Node) -> set[str]:
    """Every job is rung once when a worker comes up."""
    with node.reading() as connection:
        return set(connection.execute(select(job_runs.c.name)).scalars())
