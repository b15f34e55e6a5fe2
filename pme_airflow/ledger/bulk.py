"""Statements over many rows at once, compiled once, and lists of keys as one parameter.

For each row SQLAlchemy builds a dict of parameters, in 5 µs, and for each key of an ``IN`` a bind, in 3 µs: more than
SQLite takes to write the row. On SQLite the values go to the driver as they are. Other databases have round trips to
save rather than processor time, and SQLAlchemy groups their rows.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import repeat
from typing import Any

from sqlalchemy import ARRAY, ColumnElement, Dialect, Table, any_, func, insert, literal, select
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.sql.dml import Insert, Update
from sqlalchemy.types import TypeEngine

from pme_airflow.ledger.transaction import ReadTransaction, WriteTransaction

__all__ = ["execute_rows", "insert_missing", "insert_rows", "one_of"]

_SQLITE = sqlite.dialect()
_Process = Callable[[Any], Any]


@dataclass(frozen=True)
class _Compiled:
    """A statement's text for SQLite, and its parameters in order, each with what makes its values storable."""

    text: str
    parameters: tuple[tuple[str, _Process | None], ...]


def execute_rows(
    tx: WriteTransaction,
    statement: Insert | Update,
    columns: Mapping[str, Sequence[Any]],
    shared: Mapping[str, Any] | None = None,
) -> None:
    """Execute a statement once for each row of values.

    :param statement: one that is kept, so that it is compiled once.
    :param columns: the values of each parameter, all of one length and not empty.
    :param shared: the parameters whose value is the same in all rows.
    """
    same = dict(shared or {})
    count = len(next(iter(columns.values())))
    if tx.dialect != "sqlite":
        rows = zip(*columns.values(), strict=True)
        tx.execute(statement, [dict(zip(columns, row, strict=True), **same) for row in rows])
        return
    compiled = _compiled(statement, (*columns, *same))
    values = [
        _processed(process, columns[name]) if name in columns else repeat(_processed(process, [same[name]])[0], count)
        for name, process in compiled.parameters
    ]
    tx.connection.exec_driver_sql(compiled.text, list(zip(*values)))  # noqa: B905 - a repeated value ends never


def insert_rows(
    tx: WriteTransaction,
    table: Table,
    columns: Mapping[str, Sequence[Any]],
    shared: Mapping[str, Any] | None = None,
    *,
    skip_existing: bool = False,
) -> None:
    """Insert rows; see :func:`execute_rows` for the parameters.

    :param skip_existing: whether to skip rows whose key exists.
    """
    execute_rows(tx, _insert(table, tx.dialect if skip_existing else None), columns, shared)


def insert_missing(tx: WriteTransaction, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows and skip those whose key exists."""
    if rows:
        insert_rows(tx, table, {name: [row[name] for row in rows] for name in rows[0]}, skip_existing=True)


def one_of(tx: ReadTransaction, column: ColumnElement[Any], keys: Iterable[Any]) -> ColumnElement[bool]:
    """Return whether a column is one of some keys, as a condition whose text does not depend on how many there are."""
    wanted = list(keys)
    if tx.dialect == "sqlite":
        storable = _processed(_process_of(column.type, _SQLITE), wanted)
        return column.in_(select(func.json_each(json.dumps(storable)).table_valued("value").c.value))
    if tx.dialect == "postgresql":
        return column == any_(literal(wanted, ARRAY(column.type)))
    return column.in_(wanted)


def _processed(process: _Process | None, values: Iterable[Any]) -> list[Any]:
    return list(values) if process is None else [process(value) for value in values]


def _process_of(kind: TypeEngine[Any], dialect: Dialect) -> _Process | None:
    return kind.dialect_impl(dialect).bind_processor(dialect)


@lru_cache(maxsize=128)
def _compiled(statement: Insert | Update, names: tuple[str, ...]) -> _Compiled:
    compiled: Any = statement.compile(dialect=_SQLITE, column_keys=list(names))
    types = {name: compiled.binds[name].type for name in compiled.positiontup}
    parameters = tuple((name, _process_of(types[name], _SQLITE)) for name in compiled.positiontup)
    return _Compiled(str(compiled), parameters)


@lru_cache(maxsize=64)
def _insert(table: Table, skipping_on: str | None) -> Insert:
    if skipping_on is None:
        return insert(table).inline()
    if skipping_on == "postgresql":
        return postgresql.insert(table).on_conflict_do_nothing()
    if skipping_on == "sqlite":
        return sqlite.insert(table).on_conflict_do_nothing().inline()
    return mysql.insert(table).prefix_with("IGNORE")
