"""Statements over many rows at once, compiled once, and lists of keys as one parameter.

For each row SQLAlchemy builds a dict of parameters, in 5 µs, and for each key of an ``IN`` a bind, in 3 µs: more than
SQLite takes to write the row. On SQLite the values go to the driver as they are. On PostgreSQL each column is one
parameter, an array, so that all rows are one statement: as many statements as rows take four times as long. On MySQL
the driver groups the rows of an ``INSERT``, and an ``UPDATE`` lists them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import repeat
from typing import Any

from sqlalchemy import (
    ARRAY,
    JSON,
    ColumnElement,
    Dialect,
    String,
    Table,
    Text,
    TypeDecorator,
    any_,
    bindparam,
    cast,
    column,
    func,
    insert,
    literal,
    select,
    update,
)
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.sql.dml import Insert, Update
from sqlalchemy.sql.selectable import TableValuedAlias
from sqlalchemy.types import TypeEngine

from pme_airflow.ledger.transaction import ReadTransaction, WriteTransaction

__all__ = ["insert_missing", "insert_rows", "one_of", "update_rows"]

_SQLITE = sqlite.dialect()
#: Before the names of an update's parameters, so that none is that of a column.
_PREFIX = "given_"
#: Rows of one update on MySQL: with the longest sealed texts, 64 KiB each, it is shorter than the 16 MiB allowed.
_MYSQL_ROWS = 200
_Process = Callable[[Any], Any]


@dataclass(frozen=True)
class _Compiled:
    """A statement's text for SQLite, and its parameters in order, each with what makes its values storable."""

    text: str
    parameters: tuple[tuple[str, _Process | None], ...]


def insert_rows(
    tx: WriteTransaction,
    table: Table,
    columns: Mapping[str, Sequence[Any]],
    shared: Mapping[str, Any] | None = None,
    *,
    skip_existing: bool = False,
) -> None:
    """Insert rows.

    :param columns: the values of each column, all of one length and not empty.
    :param shared: the columns whose value is the same in all rows.
    :param skip_existing: whether to skip rows whose key exists.
    """
    same = dict(shared or {})
    if tx.dialect == "postgresql":
        statement = _insert_arrays(table, tuple(columns), tuple(same), skip_existing)
        tx.execute(statement, _arrays(tx, table, columns, same))
        return
    _execute_rows(tx, _insert(table, tx.dialect if skip_existing else None), columns, same)


def update_rows(tx: WriteTransaction, table: Table, key: str, columns: Mapping[str, Sequence[Any]]) -> None:
    """Update the row of each key.

    :param key: the column whose values name the rows, the table's primary key.
    :param columns: the values of each column, the key among them, all of one length and not empty.
    """
    if tx.dialect == "postgresql":
        tx.execute(_update_arrays(table, key, tuple(columns)), _arrays(tx, table, columns, {}))
        return
    if tx.dialect in ("mysql", "mariadb"):
        _update_listed(tx, table, key, columns)
        return
    prefixed = {f"{_PREFIX}{name}": values for name, values in columns.items()}
    _execute_rows(tx, _update(table, key, tuple(columns)), prefixed, {})


def _execute_rows(
    tx: WriteTransaction, statement: Insert | Update, columns: Mapping[str, Sequence[Any]], same: dict[str, Any]
) -> None:
    """Execute a statement once for each row of values."""
    if tx.dialect != "sqlite":
        rows = zip(*columns.values(), strict=True)
        tx.execute(statement, [dict(zip(columns, row, strict=True), **same) for row in rows])
        return
    count = len(next(iter(columns.values())))
    compiled = _compiled(statement, (*columns, *same))
    values = [
        _processed(process, columns[name]) if name in columns else repeat(_processed(process, [same[name]])[0], count)
        for name, process in compiled.parameters
    ]
    tx.connection.exec_driver_sql(compiled.text, list(zip(*values)))  # noqa: B905 - a repeated value ends never


def _update_listed(tx: WriteTransaction, table: Table, key: str, columns: Mapping[str, Sequence[Any]]) -> None:
    """Update rows of MySQL or MariaDB by lists of keys and values: a statement a row takes a round trip each.

    A join with the given rows takes longer, since they become a table first. The primary key is named since the
    statistics of a table that was just filled call for reading all of it.
    """
    dialect = tx.connection.dialect
    stored = {n: _processed(_process_of(table.c[n].type, dialect), values) for n, values in columns.items()}
    all_keys = stored.pop(key)
    for start in range(0, len(all_keys), _MYSQL_ROWS):
        part = slice(start, start + _MYSQL_ROWS)
        keys = all_keys[part]
        listed = ", ".join(["%s"] * len(keys))
        changes, parameters = _listed_changes(key, keys, {name: values[part] for name, values in stored.items()})
        text = f"UPDATE {table.name} FORCE INDEX (PRIMARY) SET {', '.join(changes)} WHERE {key} IN ({listed})"
        tx.connection.exec_driver_sql(text, (*parameters, *keys))


def _listed_changes(key: str, keys: list[Any], columns: Mapping[str, list[Any]]) -> tuple[list[str], list[Any]]:
    """Return the assignments of an update, each column's value by its row's place among the keys, and parameters."""
    listed = ", ".join(["%s"] * len(keys))
    changes: list[str] = []
    parameters: list[Any] = []
    for name, values in columns.items():
        if values.count(values[0]) == len(values):
            changes.append(f"{name} = %s")
            parameters.append(values[0])
        else:
            changes.append(f"{name} = ELT(FIELD({key}, {listed}), {listed})")
            parameters += [*keys, *values]
    return changes, parameters


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


@lru_cache(maxsize=64)
def _update(table: Table, key: str, names: tuple[str, ...]) -> Update:
    def given(name: str) -> ColumnElement[Any]:
        return bindparam(f"{_PREFIX}{name}", type_=table.c[name].type)

    return update(table).where(table.c[key] == given(key)).values({n: given(n) for n in names if n != key})


@lru_cache(maxsize=64)
def _insert_arrays(table: Table, names: tuple[str, ...], shared: tuple[str, ...], skipping: bool) -> Insert:
    """Return the statement of PostgreSQL that inserts rows out of one array for each column."""
    given = _given(table, names)
    same = (cast(bindparam(_PREFIX + name, type_=table.c[name].type), _stored(table, name)) for name in shared)
    rows = select(*(_read(table, given, name) for name in names), *same).select_from(given)
    statement = postgresql.insert(table).from_select([*names, *shared], rows)
    return statement.on_conflict_do_nothing() if skipping else statement


@lru_cache(maxsize=64)
def _update_arrays(table: Table, key: str, names: tuple[str, ...]) -> Update:
    """Return the statement of PostgreSQL that updates rows out of one array for each column."""
    given = _given(table, names)
    values = {name: _read(table, given, name) for name in names if name != key}
    return update(table).where(table.c[key] == given.c[key]).values(values)


def _given(table: Table, names: Sequence[str]) -> TableValuedAlias:
    arrays = [bindparam(_PREFIX + name, type_=ARRAY(_stored(table, name))) for name in names]
    columns = [column(name, _stored(table, name)) for name in names]
    return func.unnest(*arrays).table_valued(*columns).render_derived(name="given")


def _read(table: Table, given: TableValuedAlias, name: str) -> ColumnElement[Any]:
    is_json = isinstance(_plain(table.c[name].type), JSON)
    return cast(given.c[name], JSON) if is_json else given.c[name]


def _stored(table: Table, name: str) -> TypeEngine[Any]:
    """Return the type of a column's values in an array. A text has no length there: a cast would cut it silently."""
    kind = _plain(table.c[name].type)
    return Text() if isinstance(kind, String | JSON) else kind


def _plain(kind: TypeEngine[Any]) -> TypeEngine[Any]:
    return kind.impl_instance if isinstance(kind, TypeDecorator) else kind


def _arrays(
    tx: WriteTransaction, table: Table, columns: Mapping[str, Sequence[Any]], same: Mapping[str, Any]
) -> dict[str, Any]:
    dialect = tx.connection.dialect
    arrays = {
        _PREFIX + name: _processed(_process_of(table.c[name].type, dialect), values) for name, values in columns.items()
    }
    return arrays | {_PREFIX + name: value for name, value in same.items()}
