"""Asking a ledger's database what the ledger relies on: writing, time, isolation, and a pooler between."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy import Connection, delete, insert, text
from sqlalchemy.exc import SQLAlchemyError

from pme_airflow.errors import LedgerUnavailableError
from pme_airflow.ledger.database import Database
from pme_airflow.ledger.database_errors import in_words
from pme_airflow.ledger.engines import sqlite_path
from pme_airflow.ledger.tables import runs

__all__ = ["LedgerTrial", "check_creatable", "try_writing"]


@dataclass(frozen=True)
class LedgerTrial:
    """What a few transactions showed.

    :param seconds: the time of the slowest of them.
    :param now: the time that all workers of the ledger share.
    :param isolation: the transactions' isolation, such as ``read committed``.
    :param pooled: whether a pooler stands between this machine and the server.
    """

    seconds: float
    now: datetime
    isolation: str
    pooled: bool


def try_writing(database: Database) -> LedgerTrial:
    """Write a row and delete it again, in each of three transactions; nothing of it remains.

    :raises LedgerError: if the ledger cannot be used; likewise LedgerUnavailableError.
    """
    seconds = []
    for _ in range(3):
        started = time.monotonic()
        with database.write() as tx:
            now, run_uid = tx.now(), f"check-{uuid.uuid4().hex}"
            row = {"run_uid": run_uid, "run": "pme-airflow doctor", "started_at": now, "seen_at": now}
            tx.execute(insert(runs), [row])
            tx.execute(delete(runs).where(runs.c.run_uid == run_uid))
            isolation, pooled = tx.connection.get_isolation_level(), _is_pooled(tx.connection)
        seconds.append(time.monotonic() - started)
    return LedgerTrial(max(seconds), now, isolation.lower(), pooled)


def check_creatable(database: Database) -> None:
    """Check that the ledger's tables can be made, without making them.

    :raises LedgerUnavailableError: if they cannot.
    """
    path = sqlite_path(database.engine)
    if path is not None and not path.exists():
        folder = _nearest(path.absolute().parent)
        if not os.access(folder, os.W_OK | os.X_OK, effective_ids=True):
            raise LedgerUnavailableError(f"The ledger's file {path} cannot be made. Allow writing to {folder}.")
        return
    name = f"pme_check_{uuid.uuid4().hex[:12]}"
    problem: Exception | None = None
    try:
        with database.engine.connect() as connection, _rolled_back(connection):
            connection.execute(text(f"CREATE TABLE {name} (id INTEGER)"))
            if database.engine.dialect.name in ("mysql", "mariadb"):  # they commit it at once
                connection.execute(text(f"DROP TABLE {name}"))
    except SQLAlchemyError as error:
        problem = in_words(error, database.engine)
    if problem is not None:
        raise problem


@contextmanager
def _rolled_back(connection: Connection) -> Iterator[None]:
    transaction = connection.begin()
    try:
        yield
    finally:
        transaction.rollback()


def _nearest(folder: Path) -> Path:
    """Return a folder, or the nearest one above it that exists."""
    return next((place for place in (folder, *folder.parents) if place.exists()), folder)


def _is_pooled(connection: Connection) -> bool:
    """Return whether the process that serves the connection is another than the one that the driver was given.

    A pooler answers for the server when a connection is opened, with a process number of its own.
    """
    if connection.dialect.name != "postgresql":
        return False
    given = getattr(getattr(connection.connection.driver_connection, "info", None), "backend_pid", None)
    return given is not None and given != connection.scalar(text("SELECT pg_backend_pid()"))
