"""What identifies a citizen: sealed on the disk, secret reporters closed to everybody but their station."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, inspect, select, text

from config.settings import NodeRole, Settings
from service.domain import facts as f
from service.domain.people import Reporter
from service.jobs import NoJobs
from service.node import build_node
from service.store import codec, schema, tables
from service.store.vault import CannotOpen, StationSeal
from sync.events import Subject
from sync.tables import metadata as ledger
from tests.actions.township import MovingClock, Township

NAME, PHONE, ADDRESS = "欧阳守密", "13812345678", "钱东村七巷九号"
CANARIES = [word.encode() for word in (NAME, PHONE, ADDRESS)]
SECRET = Reporter(name=NAME, phone=PHONE, address=ADDRESS)


def register(town: Township, secrecy: str) -> str:
    return town.register(reporter=SECRET, secrecy=secrecy, notice_read=True)


def person_of(town: Township, key: str) -> str:
    registered = town.opinion(key).registered
    assert registered is not None
    assert registered.reporter is not None
    return registered.reporter


def stored_values(engine: Engine) -> Iterator[tuple[str, bytes]]:
    """Every value of every table, as bytes."""
    with engine.connect() as connection:
        for name in inspect(engine).get_table_names():
            for row in connection.execute(text(f"SELECT * FROM {name}")):
                for value in row:
                    yield name, value if isinstance(value, bytes) else str(value).encode()


@pytest.mark.parametrize("secrecy", ["open", "unit", "anonymous"])
def test_no_table_holds_a_reporter_in_clear(any_town: Township, secrecy: str) -> None:
    register(any_town, secrecy)
    found = [name for name, value in stored_values(any_town.node.engine) for canary in CANARIES if canary in value]
    assert found == []


@pytest.mark.parametrize("secrecy", ["open", "unit", "anonymous"])
def test_no_file_of_the_node_holds_a_reporter_in_clear(town: Township, secrecy: str) -> None:
    """Database, write-ahead log and shared memory, while it is open and after it was closed."""
    register(town, secrecy)
    folder = town.node.settings.data_dir
    while_open = [file for file in folder.iterdir() for canary in CANARIES if canary in file.read_bytes()]
    assert any(file.name.endswith("-wal") for file in folder.iterdir())
    town.node.engine.dispose()
    assert while_open == []
    assert [file for file in folder.iterdir() for canary in CANARIES if canary in file.read_bytes()] == []


@pytest.mark.parametrize("secrecy", ["unit", "anonymous"])
def test_a_secret_reporter_is_not_in_clear_in_any_body_that_leaves_the_station(
    any_town: Township, secrecy: str
) -> None:
    """Bodies are opened when they are sent: what is left then is what the station's seal closed before."""
    key = register(any_town, secrecy)
    person = person_of(any_town, key)
    with any_town.node.reading() as connection:
        subjects = [Subject(f"person/{person}"), Subject(f"opinion/{key}")]
        events = any_town.node.ledger.read_subjects(connection, subjects)
    bodies = [event.body or b"" for found in events.values() for event in found]
    assert len(bodies) == 2
    assert [canary for canary in CANARIES for body in bodies if canary in body] == []
    (fact,) = (codec.decode(event.kind, event.version, event.body or b"") for event in events[subjects[0]])
    assert isinstance(fact, f.PersonRecorded)
    assert PHONE.encode() in any_town.node.seal.open(fact.sealed, person)


def test_another_stations_seal_opens_nothing(town: Township, tmp_path: Path) -> None:
    person = "a" * 32
    closed = town.node.seal.close(PHONE.encode(), person)
    with pytest.raises(CannotOpen):
        StationSeal(tmp_path / "other.key").open(closed, person)
    with pytest.raises(CannotOpen):
        town.node.seal.open(closed, "b" * 32)  # moved to another person


def test_an_open_name_is_read_by_who_receives_it(any_town: Township) -> None:
    key = register(any_town, "open")
    with any_town.node.reading() as connection:
        subject = Subject(f"person/{person_of(any_town, key)}")
        (event,) = any_town.node.ledger.read_subjects(connection, [subject])[subject]
    assert NAME.encode() in (event.body or b"")


def test_what_the_opinion_says_of_its_reporter_is_a_number(town: Township) -> None:
    key = register(town, "anonymous")
    with town.node.reading() as connection:
        row = connection.execute(select(tables.opinions)).mappings().one()
    assert row["id"] == key
    assert not set(row) & {"name", "phone", "address", "reporter"}


def test_the_keys_lie_beside_the_database_and_are_for_this_user_alone(tmp_path: Path) -> None:
    settings = Settings(role=NodeRole.STATION, data_dir=tmp_path / "station")
    node = build_node(settings, jobs=NoJobs(), now=MovingClock())
    schema.upgrade(node.engine)
    keys = [file for file in settings.data_dir.iterdir() if file.suffix == ".key"]
    node.engine.dispose()
    assert {file.name for file in keys} >= {"vault.key", "station-seal.key"}
    assert {file.stat().st_mode & 0o077 for file in keys} == {0}
    database = settings.sqlite_path.read_bytes()
    assert [file.name for file in keys if file.read_bytes() in database] == []


def test_every_table_that_migrations_keep_was_looked_at(any_town: Township) -> None:
    """The search above walks all tables; this one makes sure that it found them."""
    register(any_town, "open")
    walked = {name for name, _ in stored_values(any_town.node.engine)}
    assert {"ledger_events", "opinions", "numbers", "masters"} <= walked
    assert set(inspect(any_town.node.engine).get_table_names()) >= set(ledger.tables)
