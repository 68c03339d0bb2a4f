"""The words that service and workers share: every job name is registered, and beat rings nothing that nobody hears."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from config import jobs
from config.settings import NodeRole, Settings
from service.node import Node
from workers.app import JOBS, beats_of, build_app
from workers.job import Job

ROOT = Path(__file__).parents[2]


def no_node() -> Node:
    raise AssertionError("registering a job opens no node")


def settings(role: NodeRole) -> Settings:
    return Settings(role=role, database_url="postgresql+psycopg://nobody@127.0.0.1:1/none")  # type: ignore[arg-type]


@pytest.mark.parametrize("role", NodeRole)
def test_every_job_name_is_registered(role: NodeRole) -> None:
    app = build_app(settings(role), no_node)
    assert set(jobs.ALL) <= set(app.tasks)
    assert {name for name in app.tasks if not name.startswith("celery.")} == set(jobs.ALL)


@pytest.mark.parametrize("role", NodeRole)
def test_beat_rings_every_job_of_its_role_and_no_other(role: NodeRole) -> None:
    heard = {job.name for job in JOBS if role in job.roles}
    assert {beat.job for beat in beats_of(role)} == heard


def test_a_name_stands_for_one_job() -> None:
    names = [job.name for job in JOBS]
    assert sorted(names) == sorted(jobs.ALL)
    assert all(isinstance(job, Job) for job in JOBS)


def test_importing_the_workers_reads_no_environment() -> None:
    """Which node this is must not be fixed before a process says so."""
    unusable = os.environ | {"LIANXIN_ROLE": "neither"}
    subprocess.run([sys.executable, "-c", "import workers.app"], env=unusable, cwd=ROOT, check=True)
