"""Let a migration go on where an earlier attempt ended, on databases that commit each change of a table by itself.

PostgreSQL and SQLite undo a migration that fails. MySQL and MariaDB keep what was done before the failure: the next
attempt meets columns, tables and indexes that are there already, and would fail at each of them for ever.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from alembic.ddl.impl import DefaultImpl
from alembic.ddl.mysql import MySQLImpl
from alembic.runtime.migration import MigrationContext
from sqlalchemy.exc import DBAPIError

__all__ = ["resume_half_done_migrations"]

#: Errors of a change that was made before: a table (1050), column (1060) or index (1061) exists, or no longer exists
#: (tables 1051, columns and indexes 1091).
_DONE_BEFORE = frozenset({1050, 1051, 1060, 1061, 1091})


class _ResumingMySQL(MySQLImpl):
    """Takes a change that an earlier attempt made for done."""

    def add_column(self, *args: Any, **options: Any) -> None:
        with _done_before():
            super().add_column(*args, **options)

    def drop_column(self, *args: Any, **options: Any) -> None:
        with _done_before():
            super().drop_column(*args, **options)

    def create_table(self, *args: Any, **options: Any) -> None:
        with _done_before():
            super().create_table(*args, **options)

    def drop_table(self, *args: Any, **options: Any) -> None:
        with _done_before():
            super().drop_table(*args, **options)

    def create_index(self, *args: Any, **options: Any) -> None:
        with _done_before():
            super().create_index(*args, **options)

    def drop_index(self, *args: Any, **options: Any) -> None:
        with _done_before():
            super().drop_index(*args, **options)


def resume_half_done_migrations(context: MigrationContext) -> None:
    """Let the migrations of a context skip what an earlier attempt did, where the database kept it."""
    made = context.impl
    if isinstance(made, MySQLImpl):
        context.impl = _resuming(made)


def _resuming(made: DefaultImpl) -> DefaultImpl:
    return _ResumingMySQL(
        made.dialect, made.connection, made.as_sql, made.transactional_ddl, made.output_buffer, made.context_opts
    )


@contextmanager
def _done_before() -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        number = error.orig.args[0] if error.orig is not None and error.orig.args else None
        if number not in _DONE_BEFORE:
            raise
