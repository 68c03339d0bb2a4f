"""The demo's folder, ports and clock, without starting anything."""

import socket
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from config.clock import FileClock
from service.demo import town
from service.demo.moving_clock import move, moved
from service.demo.private_server import free_port
from service.demo.processes import DemoError, Process
from service.demo.township import Township

FRIDAY = datetime(2026, 11, 27, 6, 0, tzinfo=UTC)  # 14:00 in the town


def township(folder: Path) -> Township:
    return Township(folder, [free_port() for _ in range(1 + len(town.stations()))], lambda _: None)


def test_a_port_in_use_is_named_before_anything_starts(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        ports = [taken, *(free_port() for _ in town.stations())]
        with pytest.raises(DemoError, match=f"port {taken} on 127.0.0.1 is in use"):
            Township(tmp_path / "demo", ports, lambda _: None).start()
    assert not (tmp_path / "demo").exists()


def test_passwords_are_kept_for_the_next_start_and_readable_by_their_owner_only(tmp_path: Path) -> None:
    first = township(tmp_path)
    first._open_folder()
    first._remember(made=True)
    again = township(tmp_path)
    again._open_folder()
    assert again.passwords == first.passwords
    assert len(set(first.passwords.values())) == len(town.accounts())
    assert stat.S_IMODE((tmp_path / "demo.json").stat().st_mode) == 0o600


def test_a_start_that_was_interrupted_begins_anew(tmp_path: Path) -> None:
    first = township(tmp_path)
    first._open_folder()
    (tmp_path / "qd" / "data").mkdir(parents=True)
    again = township(tmp_path)
    again._open_folder()
    assert not (tmp_path / "qd").exists()
    assert again.passwords != first.passwords


@pytest.mark.parametrize(
    ("wish", "expected"),
    [
        ("+2wd", datetime(2026, 12, 1, 0, 35, tzinfo=UTC)),  # Tuesday 08:35: the weekend does not count
        ("+1wd", datetime(2026, 11, 30, 0, 35, tzinfo=UTC)),
        ("+3d", FRIDAY + timedelta(days=3)),
        ("+90m", FRIDAY + timedelta(minutes=90)),
    ],
)
def test_the_clock_moves_by_working_days_or_plain_time(wish: str, expected: datetime) -> None:
    assert moved(FRIDAY, wish) == expected


def test_a_wish_that_is_no_step_in_time_is_refused_with_examples(tmp_path: Path) -> None:
    with pytest.raises(DemoError, match="working days"):
        moved(FRIDAY, "tomorrow")
    with pytest.raises(DemoError, match="there is no demo"):
        move(tmp_path, "+2wd")


def test_moving_the_clock_of_a_demo_moves_its_file(tmp_path: Path) -> None:
    (tmp_path / "demo.json").write_text("{}", encoding="utf-8")
    move(tmp_path, "+3d")
    ahead = FileClock(tmp_path / "clock")() - datetime.now(UTC)
    assert abs(ahead - timedelta(days=3)) < timedelta(seconds=5)


def test_a_process_that_ends_while_starting_is_reported_with_its_last_words(tmp_path: Path) -> None:
    process = Process(name="broken", module=["no_such_module_here"], environment={}, log=tmp_path / "broken.log")
    process.start()
    with pytest.raises(DemoError, match="No module named no_such_module_here"):
        process.wait_until_it_answers("http://127.0.0.1:9/")
    process.stop()
