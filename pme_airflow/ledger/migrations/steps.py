"""The steps of a migration. Each does nothing where an earlier try has done it already.

MySQL commits each of them by itself, so a migration that is killed there leaves a part of its steps done, and the next
one begins with the first step again. Elsewhere a migration is one transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op

__all__ = ["add_column", "create_index", "create_table", "drop_column", "drop_index", "drop_table"]


def create_table(name: str, *columns: Any, **options: Any) -> None:
    """Create a table."""
    if not _found().has_table(name):
        op.create_table(name, *columns, **options)


def drop_table(name: str) -> None:
    """Drop a table."""
    if _found().has_table(name):
        op.drop_table(name)


def add_column(table: str, column: sa.Column[Any]) -> None:
    """Add a column to a table."""
    if not _has_column(column.name, table):
        op.add_column(table, column)


def drop_column(table: str, name: str) -> None:
    """Drop a column of a table."""
    if _has_column(name, table):
        op.drop_column(table, name)


def create_index(name: str, table: str, columns: Sequence[str], **options: Any) -> None:
    """Create an index of a table."""
    if not _has_index(name, table):
        op.create_index(name, table, columns, **options)


def drop_index(name: str, table: str) -> None:
    """Drop an index of a table."""
    if _has_index(name, table):
        op.drop_index(name, table)


def _has_column(name: str, table: str) -> bool:
    found = _found()
    return found.has_table(table) and name in {known["name"] for known in found.get_columns(table)}


def _has_index(name: str, table: str) -> bool:
    found = _found()
    return found.has_table(table) and name in {known["name"] for known in found.get_indexes(table)}


def _found() -> sa.Inspector:
    """Look at the database anew: an inspector keeps what it has seen."""
    return sa.inspect(op.get_bind())
