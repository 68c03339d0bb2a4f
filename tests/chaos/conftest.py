"""Real processes to be killed: a hub on PostgreSQL and Redis, one station on SQLite, all in a scratch folder."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from service.demo.playing import Story
from service.demo.private_server import free_port
from service.demo.township import Township

MONDAY_MORNING = datetime(2026, 11, 23, 1, 5, tzinfo=UTC)


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """A township that runs, with the tools to act in it."""
    folder = tmp_path_factory.mktemp("township")
    township = Township(folder, [free_port(), free_port()], lambda _: None, stations=("qd",))
    township.clock.set_to(MONDAY_MORNING)
    try:
        township.start()
        yield Story(township=township, say=lambda _: None)
    finally:
        township.stop()
