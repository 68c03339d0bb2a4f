"""Bringing a database up to this program: careful migrations for what is kept, fresh tables for what is read."""

from __future__ import annotations

import functools
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, inspect

from service.store import node_facts
from service.store.database import StorageUnusable
from service.store.tables import READ_VERSION, read

MIGRATIONS = Path(__file__).parent / "migrations"


def upgrade(engine: Engine) -> None:
    """Run the migrations of ledger, keys and accounts; make the read tables anew when their version changed.

    Idempotent. Interrupted by a power cut it begins again at the next start. Raises StorageUnusable, and touches
    nothing, when a newer program has worked with this database: what it wrote must not be lost or misread.
    """
    with engine.begin() as connection:
        _refuse_newer(connection)
        _migrate(connection)
        if node_facts.get(connection, "read_version") != READ_VERSION:
            read.drop_all(connection)
        read.create_all(connection)


def _refuse_newer(connection: Connection) -> None:
    unknown = _unknown_revisions(connection)
    if unknown:
        raise _newer(f"its tables are of revision {', '.join(unknown)}, which this program does not know")
    if not inspect(connection).has_table("node_facts"):
        return
    made = node_facts.get(connection, "read_version") or ""
    if made.isdecimal() and int(made) > int(READ_VERSION):
        raise _newer(f"its read tables are of version {made}, and this program makes {READ_VERSION}")


def _unknown_revisions(connection: Connection) -> list[str]:
    """Revisions this database stands at that are not among our migrations."""
    ours = {script.revision for script in _scripts().walk_revisions()}
    return sorted(set(MigrationContext.configure(connection).get_current_heads()) - ours)


@functools.cache
def _scripts() -> ScriptDirectory:
    """Our migrations, read once per process: reading them takes longer than looking where a database stands."""
    return ScriptDirectory(str(MIGRATIONS))


def _newer(why: str) -> StorageUnusable:
    advice = "Start the newer program again, or restore the backup made before the upgrade. Nothing was changed."
    return StorageUnusable("database_newer", f"a newer program has worked with this database: {why}. {advice}")


def _migrate(connection: Connection) -> None:
    if MigrationContext.configure(connection).get_current_heads() == tuple(_scripts().get_heads()):
        return
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def is_current(engine: Engine) -> bool:
    """Whether the tables are there; used by readiness."""
    return inspect(engine).has_table("ledger_streams") and inspect(engine).has_table("opinions")
