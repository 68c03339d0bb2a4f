"""A station's node on real SQLite, and the embedded worker that must leave nothing behind in the process."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from kombu.transport.memory import Channel

from config.settings import NodeRole, Settings
from service.node import Node
from workers.opening import open_node


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(role=NodeRole.STATION, data_dir=tmp_path / "data")


@pytest.fixture
def node(settings: Settings) -> Iterator[Node]:
    node = open_node(settings)
    yield node
    node.engine.dispose()


@pytest.fixture(autouse=True)
def empty_queues() -> Iterator[None]:
    """The in-process queues belong to the whole process."""
    yield
    Channel.queues.clear()


class Clock:
    """A clock the test moves."""

    def __init__(self, now: datetime = datetime(2026, 11, 23, 1, 0, tzinfo=UTC)) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()
