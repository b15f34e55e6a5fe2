"""Create the ledger's engine from Airflow's connections and configuration."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from airflow.sdk import BaseHook

from pme_airflow.clock import Clock
from pme_airflow.errors import LedgerConnectionError, LedgerError, PMEInputError
from pme_airflow.extras import needs_extra, require_extra
from pme_airflow.hooks.connection_lookup import find_connection
from pme_airflow.ledger.database import Database
from pme_airflow.ledger.engines import sqlite_engine, tuned
from pme_airflow.ledger.mysql import MySQLAddress, mysql_engine

__all__ = ["LEDGER_FILE", "ledger_file", "ledger_in", "ledger_of"]

#: The ledger's file in ``$AIRFLOW_HOME`` if the connection names no ledger.
LEDGER_FILE = "pme_ledger.db"
#: Extras of Airflow's Postgres hook that are no options of the driver.
_NO_DRIVER_OPTIONS = frozenset({"aws_conn_id", "cluster-identifier", "cursor", "iam", "redshift"})
#: The package's extra that brings the driver, by the connection's type.
_EXTRA_OF_TYPE = {"postgres": "postgres", "mysql": "mysql", "mariadb": "mysql"}
_ONE_MACHINE = ("LocalExecutor", "SequentialExecutor", "DebugExecutor")


def ledger_of(conn_id: str | None, clock: Clock) -> Database:
    """Return the ledger in a connection's database, or in the SQLite file of this machine.

    :param conn_id: the Airflow connection; ``None`` for the file.
    :raises LedgerError: if the connection is no SQL connection, or the file would not be shared by all tasks.
    :raises LedgerConnectionError: if the connection is not found, read or opened, which may pass.
    """
    if conn_id is None:
        _refuse_many_machines()
        return ledger_file(clock)
    problem: PMEInputError
    try:
        connection = find_connection(conn_id)
    except PMEInputError as error:
        problem = error
    else:
        return ledger_in(connection, clock)
    kind = LedgerError if problem.permanent else LedgerConnectionError
    raise kind(f"ledger_conn_id: {problem}")


def ledger_file(clock: Clock) -> Database:
    """Return the ledger in the SQLite file of this machine."""
    return Database(sqlite_engine(_in_home(LEDGER_FILE)), clock, migrate=True)


def _in_home(file: str | Path) -> Path:
    """Return a file; the folder that a process works in does not count, since each would have a ledger of its own."""
    return Path(os.environ.get("AIRFLOW_HOME", "~/airflow")).expanduser() / file


def _named_file(file: str) -> Path:
    """Return the file that an SQLite connection names.

    :raises LedgerError: if it does not exist, but one of its name in the folder that this process works in does: an
        empty ledger in its place would know no link.
    """
    path = Path(file).expanduser()
    found = _in_home(path)
    if path.exists() and not found.exists():
        raise LedgerError(
            f"ledger_conn_id: a relative path counts from $AIRFLOW_HOME. {found} does not exist, but {path.resolve()} "
            "does: give the full path of the file in the connection's host."
        )
    return found


def ledger_in(connection: Any, clock: Clock) -> Database:
    """Return the ledger in the database of an Airflow connection that was read already.

    :raises LedgerError: if it is no SQL connection, or what its database needs is not installed.
    :raises LedgerConnectionError: if its hook fails: one may ask a cloud for a password, for example.
    """
    kind, problem, missing = LedgerError, "", ""
    try:
        engine = _engine_of(connection)
        if engine is not None:
            return Database(engine, clock)
        problem = "is no SQL connection"
    except LedgerError:
        raise
    except PMEInputError as error:
        missing = error.problem
    except Exception as error:  # noqa: BLE001 - a hook of any provider may raise anything, with its password in it
        kind, problem = LedgerConnectionError, f"cannot be opened ({type(error).__name__})"
    if missing:
        raise LedgerError(f"ledger_conn_id: the connection {connection.conn_id} cannot be opened: {missing}")
    raise kind(
        f"ledger_conn_id: the connection {connection.conn_id} {problem}. Name a postgres, mysql or sqlite connection "
        "whose provider or driver is installed, or leave it out for an SQLite file in $AIRFLOW_HOME."
    )


def _engine_of(connection: Any) -> Any:
    """Return an engine; MySQL and SQLite do without their providers, which need a compiler or are seldom installed."""
    extra = _EXTRA_OF_TYPE.get(connection.conn_type)
    if extra is None:
        return _make_engine(connection)
    require_extra(extra)
    with needs_extra(extra):
        return _make_engine(connection)


def _make_engine(connection: Any) -> Any:
    if connection.conn_type == "sqlite":
        return sqlite_engine(_named_file(connection.host or connection.schema or LEDGER_FILE))
    if connection.conn_type in ("mysql", "mariadb"):
        return mysql_engine(
            MySQLAddress(
                host=connection.host or None,
                port=int(connection.port) if connection.port else None,
                user=connection.login or None,
                password=connection.password or None,
                database=connection.schema or None,
                extras=connection.extra_dejson,
            )
        )
    hook = _hook_of(connection)
    make = getattr(hook, "get_sqlalchemy_engine", None)
    if make is None:
        return None
    return tuned(make({"connect_args": _driver_arguments(connection, hook), "pool_pre_ping": True}))


def _hook_of(connection: Any) -> Any:
    """Return a connection's hook; PostgreSQL's takes the connection as it is, and does not read it once more."""
    if connection.conn_type != "postgres":
        return BaseHook.get_hook(connection.conn_id)
    from airflow.providers.postgres.hooks.postgres import PostgresHook

    return PostgresHook(connection=connection)


def _driver_arguments(connection: Any, hook: Any) -> dict[str, Any]:
    """Return the extras that are options of the database's driver, such as ``sslmode``.

    The hooks of Airflow's providers pass them to the connections that they make themselves, but not to their engines.
    """
    if connection.conn_type != "postgres":
        return {}
    others = _NO_DRIVER_OPTIONS | set(getattr(hook, "ignored_extra_options", ()))
    return {name: value for name, value in connection.extra_dejson.items() if name not in others}


def _refuse_many_machines() -> None:
    spread = [name for name in _executors() if name not in _ONE_MACHINE]
    if spread:
        raise LedgerError(
            f"ledger_conn_id: is missing, and {', '.join(spread)} spreads tasks over machines that would each keep an "
            "SQLite ledger of their own. Name a postgres or mysql connection in the extra ledger_conn_id."
        )


def _executors() -> list[str]:
    """Return the names of the executors' classes.

    The pod template of Airflow's Helm chart sets ``LocalExecutor``, by which the pod runs its one task.
    """
    from pme_airflow.airflow_compat import conf

    if os.environ.get("AIRFLOW_IS_K8S_EXECUTOR_POD"):  # the KubernetesExecutor sets it in each pod
        return ["KubernetesExecutor"]
    names = (name.split(":")[-1].split(".")[-1].strip() for name in conf.get("core", "executor").split(","))
    return [name for name in names if name]
