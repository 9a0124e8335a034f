"""Alembic's entry point. The connection, and its transaction, are the caller's (`schema.migrate`)."""

from alembic import context

from mpi.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,  # SQLite alters a table by copying it
    compare_type=True,
)
with context.begin_transaction():
    context.run_migrations()
