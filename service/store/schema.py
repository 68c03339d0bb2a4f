"""Bringing a database up to this program: careful migrations for what is kept, fresh tables for what is read."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, inspect

from service.store import node_facts
from service.store.tables import READ_VERSION, read

MIGRATIONS = Path(__file__).parent / "migrations"


def upgrade(engine: Engine) -> None:
    """Run the migrations of ledger, keys and accounts; make the read tables anew when their version changed.

    Idempotent. Interrupted by a power cut it begins again at the next start.
    """
    with engine.begin() as connection:
        _migrate(connection)
        if node_facts.get(connection, "read_version") != READ_VERSION:
            read.drop_all(connection)
        read.create_all(connection)


def _migrate(connection: Connection) -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def is_current(engine: Engine) -> bool:
    """Whether the tables are there; used by readiness."""
    return inspect(engine).has_table("ledger_streams") and inspect(engine).has_table("opinions")
