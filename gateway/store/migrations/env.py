"""Run by Alembic for each upgrade. The connection comes from `gateway.store.migrate`, inside its transaction."""

from __future__ import annotations

from alembic import context

from gateway.store.schema import metadata

# Without `transactional_ddl` Alembic would take SQLite for a database whose DDL cannot be rolled back.
context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
