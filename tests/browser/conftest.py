"""One browser for all tests of a process, and per file a township of its own."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from uuid import uuid4

import pytest
from playwright.sync_api import Browser, sync_playwright

from service.demo.servers import PrivatePostgres
from tests.browser.stage import Stage, built
from tests.browser.visiting import ARGUMENTS


@pytest.fixture(scope="session")
def browser(chromium_path: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=chromium_path, args=list(ARGUMENTS))
        yield running
        running.close()


@pytest.fixture(scope="module")
def stage(postgres_server: PrivatePostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """The sample town with the station 钱东村; the tests of one file share it."""
    name, folder = f"browser_{uuid4().hex}", tmp_path_factory.mktemp("stage")
    with built(folder, postgres_server.create_database(name)) as made:
        yield made
    postgres_server.drop_database(name)
    shutil.rmtree(folder)
