"""Settings: one reader of the environment, every bad key at once, secrets from files."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from config.clock import FileClock, system_now
from config.settings import BadSettings, NodeRole, load_settings, unknown_keys


def test_a_station_needs_no_setting_at_all() -> None:
    settings = load_settings({})
    assert settings.role is NodeRole.STATION
    assert settings.broker_url is None
    assert settings.sqlite_path.name == "station.sqlite3"


def test_every_bad_key_is_named_at_once() -> None:
    bad = {"LIANXIN_TOWN": "town", "LIANXIN_LISTEN_PORT": "none", "LIANXIN_LOG_FORMAT": "xml"}
    with pytest.raises(BadSettings) as caught:
        load_settings(bad)
    for key in bad:
        assert key in str(caught.value)


def test_a_hub_without_postgresql_is_refused() -> None:
    with pytest.raises(BadSettings, match="PostgreSQL"):
        load_settings({"LIANXIN_ROLE": "hub"})


def test_six_digits_are_a_county_and_no_station_belongs_to_one() -> None:
    hub = {"LIANXIN_ROLE": "hub", "LIANXIN_DATABASE_URL": "postgresql+psycopg://u@/lianxin"}
    county, town = (load_settings(hub | {"LIANXIN_TOWN": code}) for code in ("445222", "445222113"))
    assert (county.is_county, town.is_county) == (True, False)
    assert county.county == town.county == "445222"
    with pytest.raises(BadSettings, match="nine digits"):
        load_settings({"LIANXIN_TOWN": "445222"})
    with pytest.raises(BadSettings, match="LIANXIN_TOWN"):
        load_settings(hub | {"LIANXIN_TOWN": "4452"})


def test_a_secret_comes_from_a_file_and_is_never_printed(tmp_path: Path) -> None:
    secret = tmp_path / "url"
    secret.write_text("postgresql+psycopg://u:geheim@/lianxin\n", encoding="utf-8")
    settings = load_settings({"LIANXIN_ROLE": "hub", "LIANXIN_DATABASE_URL_FILE": str(secret)})
    assert settings.database_url is not None
    assert settings.database_url.get_secret_value().endswith("/lianxin")
    assert "geheim" not in repr(settings)


def test_a_missing_secret_file_is_a_named_problem(tmp_path: Path) -> None:
    with pytest.raises(BadSettings, match="LIANXIN_SECRET_KEY_FILE"):
        load_settings({"LIANXIN_SECRET_KEY_FILE": str(tmp_path / "none")})


def test_a_misspelt_key_is_reported() -> None:
    assert unknown_keys({"LIANXIN_HUB_ULR": "x", "LIANXIN_HUB_URL": "x", "HOME": "/"}) == ["LIANXIN_HUB_ULR"]


def test_settings_cannot_be_changed_after_they_were_read() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load_settings({}).town = "445222114"


def test_the_test_clock_moves_everybody_who_reads_the_file(tmp_path: Path) -> None:
    one, other = FileClock(tmp_path / "clock"), FileClock(tmp_path / "clock")
    one.set_to(datetime(2019, 9, 27, 1, 0, tzinfo=UTC))
    assert abs(other() - datetime(2019, 9, 27, 1, 0, tzinfo=UTC)) < timedelta(seconds=5)


def test_an_unreadable_test_clock_keeps_the_last_time_it_told(tmp_path: Path) -> None:
    clock = FileClock(tmp_path / "clock")
    assert abs(clock() - system_now()) < timedelta(seconds=5)
    clock.set_to(system_now() + timedelta(days=400))
    ahead = clock()
    (tmp_path / "clock").write_text("not a number", encoding="ascii")
    assert clock() >= ahead
