"""Alembic's entry: runs on the connection it is given, in that connection's transaction."""

from __future__ import annotations

from alembic import context

from service.store.tables import kept
from sync.tables import metadata as ledger

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=[ledger, kept],
    render_as_batch=True,
    transactional_ddl=True,
)
context.run_migrations()
