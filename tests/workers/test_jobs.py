"""Names, schedules and what a run leaves behind."""

import subprocess
import sys
from datetime import timedelta

import pytest
from sqlalchemy import select

from config import jobs
from config.settings import NodeRole, Settings
from service.actions import housekeeping
from service.node import Node
from service.store.tables import job_runs
from sync.limits import Limits
from sync.transport import HttpTransport
from tests.workers.conftest import Clock
from workers.app import JOBS, NodeOfProcess, beats_of, build_app
from workers.job import Job, Worked, run


def runs_of(node: Node) -> dict[str, str]:
    with node.reading() as connection:
        return {row.name: row.outcome for row in connection.execute(select(job_runs))}


def test_every_name_that_can_be_sent_is_registered(settings: Settings) -> None:
    app = build_app(settings, lambda: pytest.fail("no task runs here"))
    assert {name for name in app.tasks if name.startswith("lianxin.")} == set(jobs.ALL)
    assert {job.name for job in JOBS} == set(jobs.ALL)


@pytest.mark.parametrize("role", list(NodeRole))
def test_beat_rings_only_what_the_role_may_run_and_its_rings_expire_with_their_period(role: NodeRole) -> None:
    may = {job.name for job in JOBS if role in job.roles}
    assert {beat.job for beat in beats_of(role)} == may
    app = build_app(Settings.model_construct(role=role, broker_url=None), lambda: pytest.fail("not run"))
    for entry in app.conf.beat_schedule.values():
        assert entry["options"] == {"queue": jobs.QUEUE, "expires": entry["schedule"]}


def test_the_application_takes_json_only_keeps_no_results_and_acknowledges_late(settings: Settings) -> None:
    conf = build_app(settings, lambda: pytest.fail("not run")).conf
    assert conf.accept_content == ["json"]
    assert conf.task_serializer == "json"
    assert conf.task_acks_late
    assert conf.task_reject_on_worker_lost
    assert conf.task_ignore_result
    assert conf.result_backend is None
    assert conf.worker_prefetch_multiplier == 1


def test_celery_leaves_an_exchange_the_time_that_it_leaves_itself(settings: Settings) -> None:
    task = build_app(settings, lambda: pytest.fail("not run")).tasks[jobs.EXCHANGE]
    longest = Limits().exchange_s + HttpTransport("http://hub").total_s + Limits().blob_lane_s
    assert longest < task.soft_time_limit < task.time_limit


def test_two_applications_in_one_process_keep_their_own_nodes(settings: Settings) -> None:
    """A shared task would run with the node of whichever application was made first."""
    first, second = (build_app(settings, lambda: pytest.fail("not run")) for _ in range(2))
    assert first.tasks[jobs.PROJECTION] is not second.tasks[jobs.PROJECTION]
    assert first.tasks[jobs.PROJECTION].app is first


def test_a_run_leaves_its_time_and_outcome(node: Node) -> None:
    run(Job(name=jobs.PROJECTION, sweep=lambda _: Worked(count=3, outcome="quarantined:1")), node)
    assert runs_of(node) == {jobs.PROJECTION: "quarantined:1"}


def test_a_failing_sweep_is_noted_and_raises_nothing(node: Node, caplog: pytest.LogCaptureFixture) -> None:
    def broken(_: Node) -> Worked:
        raise ZeroDivisionError

    run(Job(name=jobs.PROJECTION, sweep=broken), node)
    assert runs_of(node) == {jobs.PROJECTION: "failed:ZeroDivisionError"}


def test_a_job_of_the_hub_does_nothing_at_a_station(node: Node) -> None:
    escalation = next(job for job in JOBS if job.name == jobs.ESCALATION)
    run(escalation, node)
    assert runs_of(node) == {}


def test_work_that_is_left_rings_again(node: Node) -> None:
    rung: list[str] = []

    class Doorbell:
        def request(self, name: str) -> None:
            rung.append(name)

    node.jobs = Doorbell()
    run(Job(name=jobs.PROJECTION, sweep=lambda _: Worked(count=1, rings=(jobs.PROJECTION,))), node)
    assert rung == [jobs.PROJECTION]


def test_quiet_runs_are_noted_once_a_minute(node: Node, clock: Clock) -> None:
    node.now = clock

    def noted(quiet: bool, outcome: str = "") -> object:
        housekeeping.note_run(node, jobs.PROJECTION, clock(), outcome, quiet=quiet)
        with node.reading() as connection:
            return connection.execute(select(job_runs.c.finished_at)).scalar()

    first = noted(quiet=True)
    clock.now += timedelta(seconds=10)
    assert noted(quiet=True) == first
    assert noted(quiet=False) == clock.now
    clock.now += timedelta(seconds=10)
    assert noted(quiet=True, outcome="failed:X") == clock.now
    clock.now += timedelta(seconds=61)
    assert noted(quiet=True, outcome="failed:X") == clock.now


def test_a_worker_process_opens_one_node_and_not_before_the_database_is_up_to_date(settings: Settings) -> None:
    from workers.app import NotReady
    from workers.opening import open_node

    of_process = NodeOfProcess(settings)
    with pytest.raises(NotReady):
        of_process()
    open_node(settings).engine.dispose()
    assert of_process() is of_process()
    of_process().engine.dispose()


def test_importing_the_tasks_reads_no_environment_and_builds_no_node() -> None:
    """`LIANXIN_ROLE` is wrong on purpose: only the celery command may notice."""
    code = "import workers.app, sys; sys.exit('flask' in sys.modules or 'gunicorn' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], env={"LIANXIN_ROLE": "nonsense"}, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
