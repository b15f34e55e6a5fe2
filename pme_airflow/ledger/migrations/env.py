"""Alembic's way in: runs the migrations on the connection it is handed."""

from __future__ import annotations

from alembic import context

from pme_airflow.ledger.migrations.resuming import resume_half_done_migrations

context.configure(connection=context.config.attributes["connection"], version_table="pme_version")
resume_half_done_migrations(context.get_context())
with context.begin_transaction():
    context.run_migrations()
