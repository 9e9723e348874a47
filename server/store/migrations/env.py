"""Alembic's environment: migrations run on the connection that server.store.migrate hands over, in one transaction."""

from alembic import context

from server.store.schema import Base

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=Base.metadata, render_as_batch=True, compare_type=True, transactional_ddl=True)
with context.begin_transaction():
    context.run_migrations()
