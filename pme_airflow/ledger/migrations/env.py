"""Alembic's way in: runs the migrations on the connection it is handed."""

from __future__ import annotations

from alembic import context

context.configure(connection=context.config.attributes["connection"], version_table="pme_version")
with context.begin_transaction():
    context.run_migrations()
