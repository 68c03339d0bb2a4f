"""Real processes to be killed: a hub on PostgreSQL and Redis, one station on SQLite, all in a scratch folder."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from service.demo.playing import STATION, Story
from tests.chaos.stage import Stage

MONDAY_MORNING = datetime(2026, 11, 23, 1, 5, tzinfo=UTC)
SEED = 20261123


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A township that runs. Its beat looks ten times as often, because tests wait for it."""
    stage = Stage(tmp_path_factory.mktemp("township"), SEED, may_mount=False, stations=(STATION,))
    stage.beat = ("tests.chaos.quick_beat",)
    try:
        stage.open(MONDAY_MORNING)
        yield stage
    finally:
        stage.close()


@pytest.fixture(scope="module")
def story(stage: Stage) -> Story:
    """The same, with the tools to act in it."""
    return Story(township=stage, say=lambda _: None)
