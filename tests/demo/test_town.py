"""The sample town: complete, consistent, and nobody could take it for real."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from config.settings import NodeRole, Settings
from service.demo import town
from service.domain.people import Role
from service.jobs import NoJobs
from service.node import Node, build_node
from service.store import schema


@pytest.fixture
def hub(tmp_path: Path, postgres_url: str) -> Iterator[Node]:
    settings = Settings(role=NodeRole.HUB, data_dir=tmp_path, database_url=postgres_url)
    node = build_node(settings, jobs=NoJobs())
    schema.upgrade(node.engine)
    yield node
    node.engine.dispose()


def test_the_sample_is_accepted_by_the_same_rules_as_the_pages(hub: Node) -> None:
    town.found_sample(hub)
    with hub.reading() as connection:
        there = hub.town(connection)
    assert set(town.stations()) == set(there.stations)
    assert len(there.areas) == 14
    assert len(there.deputies) == 13
    assert {station.stated.tier for station in there.stations.values()} == {"central", "station"}
    assert all(station.posts for station in there.stations.values())


def test_every_role_can_sign_in_somewhere(hub: Node) -> None:
    everybody = town.accounts()
    assert {account.role for account in everybody} == set(Role) - {Role.SYSTEM}
    assert len({(account.home, account.username) for account in everybody}) == len(everybody)
    town.found_sample(hub)
    town.create_accounts(hub, "hub", {account.username: f"secret-of-{account.username}" for account in everybody})


def test_people_and_figures_are_marked_as_made_up() -> None:
    people = [*town.accounts(), *town.sample()["deputy"]]
    names = [person["name"] if isinstance(person, dict) else person.name for person in people]
    posts = [name for station in town.sample()["station"] for name in station["posts"].values()]
    assert all("(虚构)" in name for name in [*names, *posts])
    unmarked = [row[0] for row in town.sample()["areas"].values() if "样本" not in row[0] and "待核实" not in row[0]]
    assert unmarked == ["钱东村"], "the only name known for certain"
