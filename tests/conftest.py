"""What the whole suite shares: real PostgreSQL and Redis, one of each per test process, and the browser rule."""

import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Generator, Iterator
from uuid import uuid4

import hypothesis
import pytest
import redis

from service.demo.servers import PrivatePostgres, PrivateRedis
from tests.statements import share_statements

BROWSER_REQUIRED = "LIANXIN_REQUIRE_BROWSER"

# Deadlines measure the machine, not the code; a fixed seed lets a failure in CI be repeated at the desk.
hypothesis.settings.register_profile("lianxin", deadline=None, derandomize=True, print_blob=True)
hypothesis.settings.load_profile("lianxin")

share_statements()

_LONG = ("tests/chaos/", "tests/browser/", "tests/flows/", "tests/simulation/", "tests/demo/")


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivatePostgres]:
    """A PostgreSQL for this test process; ready in about a second, its folder is removed at the end.

    It never crashes and nothing outlives it; the tests that kill a PostgreSQL start one of their own, which is durable.
    """
    with PrivatePostgres(tmp_path_factory.mktemp("postgres"), durable=False) as server:
        yield server
    shutil.rmtree(server.folder)


@pytest.fixture
def postgres_url(postgres_server: PrivatePostgres) -> Iterator[str]:
    """SQLAlchemy address of an empty database that only this test sees."""
    name = f"test_{uuid4().hex}"
    yield postgres_server.create_database(name)
    postgres_server.drop_database(name)


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateRedis]:
    """A Redis for this test process."""
    with PrivateRedis(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def redis_url(redis_server: PrivateRedis) -> str:
    """Address of an empty Redis."""
    with redis.Redis.from_url(redis_server.url) as client:
        client.flushall()
    return redis_server.url


def find_chromium() -> str | None:
    """Path of a Chromium or Chrome of this machine; none is ever downloaded."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return os.environ.get("CHROMIUM_PATH") or next(filter(None, map(shutil.which, names)), None)


@functools.cache
def browser_obstacle() -> str | None:
    """Why no browser can be driven on this machine, in one sentence; None where one can."""
    if find_chromium() is None:
        return "no Chromium on this machine"
    # Playwright drives it by a node of its own, which on a bare Debian lacks libatomic1.
    driver = [sys.executable, "-m", "playwright", "--version"]
    tried = subprocess.run(driver, capture_output=True, text=True, check=False)
    return f"Playwright's driver does not start: {tried.stderr.strip()}" if tried.returncode else None


@pytest.fixture(scope="session")
def chromium_path() -> str:
    """The browser to drive; tests that use it carry `@pytest.mark.browser`."""
    path = find_chromium()
    assert path, "a test that needs Chromium lacks the mark `browser`"
    return path


def pytest_configure(config: pytest.Config) -> None:
    if os.environ.get(BROWSER_REQUIRED) and (obstacle := browser_obstacle()):
        pytest.exit(f"{BROWSER_REQUIRED} is set, but {obstacle}", returncode=1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes long in few tests begins first, so that no worker is left alone with it at the end."""
    items.sort(key=lambda item: [not item.nodeid.startswith(folder) for folder in _LONG])


def pytest_runtest_setup(item: pytest.Item) -> None:
    # Skipped from here, not by a mark, so that the summary shows one line for all of them.
    if item.get_closest_marker("browser") and (obstacle := browser_obstacle()):
        pytest.skip(f"browser tests did not run: {obstacle}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if os.environ.get(BROWSER_REQUIRED) and item.get_closest_marker("browser") and report.skipped:
        report.outcome = "failed"
        report.longrepr = f"skipped although {BROWSER_REQUIRED} is set: {report.longrepr}"
    return report
