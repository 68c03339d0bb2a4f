"""The command line, as a person at a terminal meets it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from service import cli
from service.actions import projecting
from sync.events import EventDraft, Subject


@pytest.fixture
def station(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Environment of a fresh station."""
    monkeypatch.setenv("LIANXIN_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("LIANXIN_LOG_LEVEL", "ERROR")
    return tmp_path


@pytest.mark.parametrize(
    ("start", "term", "due"),
    [
        ("2019-09-27", "5wd", "2019-10-10"),
        ("2020-01-22", "5wd", "2020-02-06"),
        ("2019-08-31", "3mo", "2019-12-02"),
        ("2019-08-31", "6mo", "2020-03-02"),
        ("2025-08-31", "6mo", "2026-02-28"),
    ],
)
def test_the_last_date_printed_is_the_due_date(
    start: str, term: str, due: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["due", start, term]) == 0
    assert capsys.readouterr().out.split()[-1] == due


def test_a_date_beyond_the_published_calendar_is_marked(capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["due", "2026-12-28", "5wd"])
    assert "暂估" in capsys.readouterr().out


def test_every_skipped_day_names_its_reason(capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["due", "2019-09-27", "5wd"])
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("2019-09-28") and "周末" in line for line in lines)
    assert any(line.startswith("2019-09-29") and "调休上班" in line for line in lines)
    assert any(line.startswith("2019-10-01") and "国庆节" in line for line in lines)


def test_a_term_that_is_none_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["due", "2019-09-27", "soon"]) == 2
    assert "soon" in capsys.readouterr().err


def test_a_fresh_node_checks_out_and_tells_its_status(station: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["check"]) == 0
    capsys.readouterr()
    assert cli.main(["status"]) == 0
    status = json.loads(capsys.readouterr().out)
    assert (status["role"], status["station"], status["pending_subjects"]) == ("station", None, 0)


def test_bad_settings_stop_the_command_with_a_sentence(
    station: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LIANXIN_TOWN", "x")
    assert cli.main(["status"]) == 3
    assert "LIANXIN_TOWN" in capsys.readouterr().err


def test_a_damaged_database_stops_the_command_with_a_sentence(
    station: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (station / "station.sqlite3").write_bytes(b"this is not a database, but long enough to be read as one" * 40)
    assert cli.main(["status"]) == 3
    assert "database_malformed" in capsys.readouterr().err


def test_a_station_that_is_not_enrolled_says_so_when_asked_to_sync(
    station: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["sync"]) == 1
    assert "no_hub" in capsys.readouterr().err


def test_what_belongs_to_a_county_is_refused_elsewhere_by_name(
    station: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["township", "445222113", "--name", "钱坑镇"]) == 1
    assert "county_only" in capsys.readouterr().err
    assert cli.main(["sum"]) == 0
    assert "0 months recorded" in capsys.readouterr().out


def test_a_stick_needs_a_hub_to_carry_to_and_something_to_read(
    station: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["stick", "export", str(tmp_path)]) == 1
    assert "no_hub" in capsys.readouterr().err
    assert cli.main(["stick", "import", str(tmp_path)]) == 1
    assert "stick_empty" in capsys.readouterr().err
    assert cli.main(["stick", "import", str(tmp_path / "E")]) == 1
    assert "stick_unusable" in capsys.readouterr().err


def test_a_weak_password_is_refused_by_name(station: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    secret = tmp_path / "password"
    secret.write_text("12345678\n", encoding="utf-8")
    command = ["user", "boss", "--name", "管理员", "--role", "admin", "--password-file", str(secret)]
    assert cli.main(command) == 1
    assert "password_known" in capsys.readouterr().err


def test_records_that_were_set_aside_are_listed_and_tried_again(
    station: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    node = cli.open_node()
    subject = Subject("opinion/" + "a" * 32)
    draft = EventDraft(kind="opinion.registered", version=1, subject=subject, body=b"{}", occurred_at=node.now(),
                       author="liaison|l1|林联络")  # fmt: skip
    with node.engine.begin() as connection:
        node.ledger.append(connection, node.station_scope("qd"), [draft])
        node.ledger.mark_pending(connection, [subject])
    projecting.sweep(node)
    node.engine.dispose()
    assert cli.main(["quarantine", "list"]) == 0
    line = capsys.readouterr().out
    assert [word in line for word in (subject, "schema", "qd", "attempts 1")] == [True] * 4
    assert cli.main(["quarantine", "retry", subject]) == 1
    assert "1 set aside again" in capsys.readouterr().out
    assert cli.main(["quarantine", "list"]) == 0
    assert "attempts 2" in capsys.readouterr().out
    assert cli.main(["quarantine", "retry", "opinion/none"]) == 1
    assert "not set aside: opinion/none" in capsys.readouterr().err
