"""A founded town for each test, copied from one that was founded once."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from structlog.typing import EventDict

from service.demo.servers import PrivatePostgres
from tests.actions.township import Township, copy_folder, found_town, hub_settings, open_town


@pytest.fixture(autouse=True)
def log() -> Iterator[list[EventDict]]:
    """What the code logged, in order; nothing is printed."""
    with structlog.testing.capture_logs() as entries:
        yield entries


@pytest.fixture(scope="session")
def town_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a founded hub on SQLite, closed."""
    folder = tmp_path_factory.mktemp("town") / "hub"
    found_town(hub_settings(folder)).node.engine.dispose()
    return folder


@pytest.fixture
def town(town_folder: Path, tmp_path: Path) -> Iterator[Township]:
    """A founded town on SQLite."""
    town = open_town(hub_settings(copy_folder(town_folder, tmp_path / "hub")))
    yield town
    town.node.engine.dispose()


@pytest.fixture(scope="session")
def pg_town_folder(postgres_server: PrivatePostgres, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a founded hub on PostgreSQL, closed. Its database is called as `_template` says."""
    folder = tmp_path_factory.mktemp("pgtown") / "hub"
    found_town(hub_settings(folder, postgres_server.create_database(_template(folder)))).node.engine.dispose()
    return folder


def _template(folder: Path) -> str:
    """One for each folder: two packages of tests use this fixture and found a town each."""
    return f"template_{folder.parent.name}"


@pytest.fixture
def pg_town(postgres_server: PrivatePostgres, pg_town_folder: Path, tmp_path: Path) -> Iterator[Township]:
    """A founded town on PostgreSQL."""
    name = f"town_{tmp_path.name}"[:60]
    url = postgres_server.create_database(name, _template(pg_town_folder))
    town = open_town(hub_settings(copy_folder(pg_town_folder, tmp_path / "hub"), url))
    yield town
    town.node.engine.dispose()
    postgres_server.drop_database(name)


@pytest.fixture(params=["sqlite", "postgresql"])
def any_town(request: pytest.FixtureRequest) -> Township:
    """A founded town on either database."""
    name = "town" if request.param == "sqlite" else "pg_town"
    return request.getfixturevalue(name)  # type: ignore[no-any-return]
