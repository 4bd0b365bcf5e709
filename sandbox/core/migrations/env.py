"""Alembic's entry: runs on the connection and in the transaction that ``core.migrate`` holds."""

from alembic import context

from sandbox.core.database import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, render_as_batch=False)
context.run_migrations()
