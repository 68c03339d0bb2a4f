"""Settings: read once from the environment, frozen, handed down. No other module reads the environment.

Every setting is LIANXIN_<NAME>; a secret may also come from a file named by LIANXIN_<NAME>_FILE (for container
secrets). Bad values stop the start and are listed all at once; unknown LIANXIN_ names are reported, because a
misspelt setting that is silently ignored is how a backup never runs.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

PREFIX = "LIANXIN_"
COUNTY_DIGITS = 6  # of the nine that name a town


class NodeRole(StrEnum):
    """What this node is."""

    HUB = "hub"
    STATION = "station"


class BadSettings(Exception):
    """The settings cannot be used; the message lists every bad key."""


class Settings(BaseSettings):
    """All there is to set. Paths are made absolute; times are seconds."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore")

    role: NodeRole = NodeRole.STATION
    town: str = Field(
        default="445222113", pattern=r"^\d{6}(\d{3})?$",
        description="statistical code of the town, nine digits; of the county at a county's hub, six",
    )  # fmt: skip
    data_dir: Path = Field(default=Path("data"), description="keys, SQLite database, anchor file")
    database_url: SecretStr | None = Field(default=None, description="hub: PostgreSQL; station: left empty")
    broker_url: str | None = Field(default=None, description="Redis; a station without one works in-process")
    secret_key: SecretStr | None = Field(default=None, description="signs sessions; made at install if empty")
    hub_url: str | None = Field(default=None, description="where the hub above answers: the station's, or the county's")
    hub_ca_file: Path | None = Field(default=None, description="certificate authority of an own hub")
    public_url: str | None = Field(default=None, description="address printed on receipts and QR codes")
    stick_dirs: str = Field(
        default=os.pathsep.join(("/media", "/run/media", "/mnt")),
        description="folders under which memory sticks appear, separated as in PATH",
    )
    boot_jitter_s: int = Field(
        default=120, ge=0, le=3600, description="station: first exchange after a start, at most so many seconds later"
    )
    listen_host: str = "127.0.0.1"
    listen_port: int = Field(default=8421, ge=0, le=65535)
    web_workers: int = Field(default=2, ge=1, le=64)
    https: bool = Field(default=False, description="cookies only over TLS; set it behind the proxy")
    trusted_proxies: int = Field(default=0, ge=0, le=5)
    language: Literal["zh", "en"] = "zh"
    log_format: Literal["json", "console"] = "console"
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    test_clock: Path | None = Field(default=None, description="rehearsals only: file with an offset in seconds")

    @property
    def is_county(self) -> bool:
        """Whether this is a county's code (GB/T 2260): then the nodes below are townships' hubs, not stations."""
        return len(self.town) == COUNTY_DIGITS

    @property
    def county(self) -> str:
        """Code of the county that the town belongs to; its own at a county's hub."""
        return self.town[:COUNTY_DIGITS]

    @model_validator(mode="after")
    def _stations_belong_to_towns(self) -> Settings:
        if self.role is NodeRole.STATION and self.is_county:
            raise ValueError("town: a station belongs to a town, whose code has nine digits")
        return self

    @model_validator(mode="after")
    def _hub_needs_postgresql(self) -> Settings:
        url = self.database_url.get_secret_value() if self.database_url else ""
        if self.role is NodeRole.HUB and not url.startswith("postgresql"):
            raise ValueError("database_url: a hub needs a PostgreSQL address (postgresql+psycopg://…)")
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what `load_settings` gathered: one reader of the environment, so that tests can hand in theirs."""
        return (init_settings,)

    @property
    def stick_places(self) -> tuple[Path, ...]:
        return tuple(Path(part) for part in self.stick_dirs.split(os.pathsep) if part)

    @property
    def sqlite_path(self) -> Path:
        return self.data_dir / "station.sqlite3"


def load_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """Settings from the environment; raises BadSettings naming every bad key."""
    source = dict(os.environ if environ is None else environ)
    given, problems = _given(source)
    try:
        settings = Settings(**given)
    except ValidationError as error:
        problems += [_sentence(item) for item in error.errors()]
    if problems:
        raise BadSettings("settings cannot be used:\n" + "\n".join(f"  - {line}" for line in problems))
    return settings


def unknown_keys(environ: Mapping[str, str]) -> list[str]:
    """LIANXIN_ names that set nothing, most likely misspelt."""
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    given = (key for key in environ if key.startswith(PREFIX))
    return sorted(key for key in given if key not in known and key.removesuffix("_FILE") not in known)


def _given(source: dict[str, str]) -> tuple[dict[str, Any], list[str]]:
    given: dict[str, Any] = {}
    problems: list[str] = []
    for name in Settings.model_fields:
        key = PREFIX + name.upper()
        if key in source:
            given[name] = source[key] or None
        elif f"{key}_FILE" in source:
            try:
                given[name] = Path(source[f"{key}_FILE"]).read_text(encoding="utf-8").strip()
            except OSError as error:
                problems.append(f"{key}_FILE: {error.strerror}")
    return {name: value for name, value in given.items() if value is not None}, problems


def _sentence(item: Mapping[str, Any]) -> str:
    where = PREFIX + str(item["loc"][0]).upper() + ": " if item["loc"] else ""
    return where + str(item["msg"])
