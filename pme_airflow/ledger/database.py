"""The database under the ledger: opening it, transactions, and its errors in words."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_random

from pme_airflow.clock import Clock
from pme_airflow.errors import LedgerError, LedgerUnavailableError, LedgerVersionError
from pme_airflow.ledger.run_context import RunContext
from pme_airflow.ledger.tables import EPOCH, HEAD_REVISION
from pme_airflow.ledger.transaction import ReadTransaction, WriteTransaction

__all__ = ["Database", "sqlite_engine", "tuned"]

_BUSY_SECONDS = 60
_VERSION_TABLE = "pme_version"


def sqlite_engine(path: Path) -> Engine:
    """An engine over an SQLite file, made for several processes that write."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return tuned(create_engine(f"sqlite:///{path}", hide_parameters=True))


def tuned(engine: Engine) -> Engine:
    """Make writers wait for one another: WAL and a busy timeout on SQLite; hide parameters from every error.

    A host where SQLite's database lies on a network file system is not for this: WAL needs shared memory.
    """
    engine.hide_parameters = True
    if engine.dialect.name != "sqlite":
        return engine

    @event.listens_for(engine, "connect")
    def _connected(connection: Any, _record: object) -> None:
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout = {_BUSY_SECONDS * 1000}")
        _write_ahead(cursor)
        cursor.execute("PRAGMA synchronous = FULL")
        cursor.execute("PRAGMA secure_delete = ON")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begun(connection: Connection) -> None:
        reading = connection.get_execution_options().get("pme_read_only", False)
        connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")

    return engine


def _write_ahead(cursor: Any) -> None:
    """Turn a file to WAL unless it is; SQLite's busy timeout does not cover this one change, so it is tried again here.

    See https://www.sqlite.org/wal.html, "Sometimes Queries Return SQLITE_BUSY In WAL Mode".
    """
    for attempt in Retrying(
        retry=retry_if_exception_type(sqlite3.OperationalError),
        stop=stop_after_delay(_BUSY_SECONDS),
        wait=wait_random(0.01, 0.1),
        reraise=True,
    ):
        with attempt:
            if cursor.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
                cursor.execute("PRAGMA journal_mode = WAL")


_Problem = LedgerError | LedgerUnavailableError


class Database:
    """Transactions over one engine.

    :param engine: see :func:`tuned`.
    :param clock: what time is taken from where the database has none that all workers share.
    :param migrate: whether tables of an earlier version are brought up to date by themselves (empty databases always).
    """

    def __init__(self, engine: Engine, clock: Clock, *, migrate: bool = False) -> None:
        if engine.dialect.name not in ("sqlite", "postgresql", "mysql", "mariadb"):
            raise LedgerError(
                f"ledger_conn_id: {engine.dialect.name} is no database the ledger runs on. Use PostgreSQL, MySQL, "
                "MariaDB or SQLite."
            )
        self.engine = engine
        self._clock = clock
        self._migrate = migrate
        self._checked = False

    @contextmanager
    def write(self, run_context: RunContext | None = None) -> Iterator[WriteTransaction]:
        """Open a transaction that writes: all of it is committed at the end, or nothing.

        :param run_context: who writes; what claims or leaves a line in the audit needs one.
        :raises LedgerUnavailableError: where the database cannot be reached, is full, or went away.
        """
        self.check()
        with self._translated(), self.engine.connect() as connection, self._turn(connection), connection.begin():
            yield WriteTransaction(connection, self.shared_now, run_context)

    @contextmanager
    def _turn(self, connection: Connection) -> Iterator[None]:
        """Let writers take turns on MySQL, whose locks on gaps between rows would make two of them deadlock.

        SQLite has one writer at a time anyway, and on PostgreSQL rows are locked in one order everywhere.
        """
        if self.engine.dialect.name not in ("mysql", "mariadb"):
            yield
            return
        name = f"pme_ledger:{self.engine.url.database or ''}"[:64]
        with connection.begin():
            taken = connection.scalar(
                text("SELECT GET_LOCK(:name, :seconds)"), {"name": name, "seconds": _BUSY_SECONDS}
            )
        if taken != 1:
            raise LedgerUnavailableError(f"The ledger's other writers held it for over {_BUSY_SECONDS} s: try again.")
        try:
            yield
        finally:
            with suppress(DBAPIError), connection.begin():
                connection.execute(text("SELECT RELEASE_LOCK(:name)"), {"name": name})

    @contextmanager
    def read(self) -> Iterator[ReadTransaction]:
        """Open a transaction that only reads, and blocks no writer.

        :raises LedgerUnavailableError: where the database cannot be reached.
        """
        self.check()
        with self._translated(), self.engine.connect() as connection:
            yield ReadTransaction(connection.execution_options(pme_read_only=True), self.shared_now)

    def shared_now(self, connection: Connection) -> datetime:
        """Return the time all workers of this ledger share: the database server's, or this machine's for SQLite."""
        name = self.engine.dialect.name
        if name == "postgresql":
            microseconds = connection.scalar(text("SELECT EXTRACT(EPOCH FROM clock_timestamp()) * 1000000"))
        elif name in ("mysql", "mariadb"):
            microseconds = connection.scalar(text("SELECT UNIX_TIMESTAMP(NOW(6)) * 1000000"))
        else:
            return self._clock.now()
        return EPOCH + timedelta(microseconds=int(microseconds))

    def check(self) -> None:
        """Make sure, once, that the tables are of this package's version.

        :raises LedgerVersionError: where they are older and may not be migrated by themselves, or newer.
        """
        if self._checked:
            return
        found = self.revision()
        if found != HEAD_REVISION:
            from pme_airflow.ledger.migrations import known_revisions, migrate

            if found is not None and found not in known_revisions():
                raise LedgerVersionError(
                    f"The ledger's tables are of version {found}, newer than this package knows ({HEAD_REVISION}). "
                    "Upgrade pme-airflow on this machine."
                )
            if found is not None and not self._migrate:
                raise LedgerVersionError(
                    f"The ledger's tables are of version {found}, this package wants {HEAD_REVISION}. Run "
                    "`pme-airflow ledger migrate` once."
                )
            with self._translated():
                migrate(self.engine)
        self._checked = True

    def migrate(self) -> None:
        """Bring the tables up to this package's version.

        :raises LedgerVersionError: where they are newer.
        """
        self._migrate = True
        self._checked = False
        self.check()

    def revision(self) -> str | None:
        """The version of the tables; ``None`` where there are none."""
        with self._translated(), self.engine.connect() as raw:
            connection = raw.execution_options(pme_read_only=True)
            if not inspect(connection).has_table(_VERSION_TABLE):
                return None
            found = connection.scalar(text(f"SELECT version_num FROM {_VERSION_TABLE}"))
            return None if found is None else str(found)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        problem: _Problem | None = None
        try:
            yield
        except OperationalError as error:
            problem = LedgerUnavailableError(_in_words(error, self.engine))
        except DBAPIError as error:
            kind = type(error.orig).__name__
            if error.connection_invalidated or kind in ("InterfaceError", "InternalError", "AdminShutdown"):
                problem = LedgerUnavailableError(_in_words(error, self.engine))
            else:
                problem = LedgerError(f"The ledger's database refused a statement ({kind}). Nothing was changed.")
        except SQLAlchemyError as error:
            problem = LedgerError(f"The ledger's database cannot be used ({type(error).__name__}).")
        if problem is not None:
            raise problem


def _in_words(error: DBAPIError, engine: Engine) -> str:
    place = make_url(engine.url).render_as_string(hide_password=True).split("?")[0]
    said = str(error.orig).lower()
    if "full" in said or "no space" in said:
        cure = "its disk is full: make room"
    elif "readonly" in said or "read-only" in said or "permission" in said:
        cure = "it cannot be written: check the rights"
    elif "locked" in said or "deadlock" in said or "lock wait" in said:
        cure = f"another process held it for over {_BUSY_SECONDS} s: try again"
    else:
        cure = "it cannot be reached or went away: check that it runs and that ledger_conn_id names it"
    return f"The ledger at {place}: {cure}. What was not committed was not done."
