"""The database under the ledger: whether it exists, its version, and transactions that read or write."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TypeVar

from sqlalchemy import Connection, Engine, inspect, text
from sqlalchemy.exc import SQLAlchemyError
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from pme_airflow.clock import Clock
from pme_airflow.errors import (
    LedgerConflictError,
    LedgerError,
    LedgerMissingError,
    LedgerUnavailableError,
    LedgerVersionError,
)
from pme_airflow.ledger.database_errors import in_words
from pme_airflow.ledger.engines import BUSY_SECONDS, sqlite_path
from pme_airflow.ledger.run_context import RunContext
from pme_airflow.ledger.server_locks import server_lock
from pme_airflow.ledger.tables import EPOCH, HEAD_REVISION
from pme_airflow.ledger.transaction import ReadTransaction, WriteTransaction

__all__ = ["Database"]

_VERSION_TABLE = "pme_version"
#: How often a transaction is tried that conflicts with others, at intervals of up to a second.
_CONFLICT_ATTEMPTS = 12
_NOW = {
    "postgresql": "SELECT EXTRACT(EPOCH FROM clock_timestamp()) * 1000000",
    # UTC all through: NOW() is in the session's time zone, in which an hour of each autumn comes twice.
    "mysql": "SELECT TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6))",
}

T = TypeVar("T")


class Database:
    """Transactions over one engine.

    :param engine: see :func:`~.engines.tuned`.
    :param clock: where time is taken from if the database has none that all workers share.
    :param migrate: whether a write brings tables of an earlier version up to date. Missing tables it always makes.
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

    # ---------------------------------------------------------- transactions

    @contextmanager
    def read(self) -> Iterator[ReadTransaction]:
        """Open a transaction that only reads, and blocks no writer. It makes and migrates no tables.

        :raises LedgerMissingError: if there are no tables yet.
        :raises LedgerVersionError: if the tables are of another version.
        :raises LedgerUnavailableError: if the database cannot be reached.
        """
        self.check()
        with self._translated(), self.engine.connect() as connection:
            yield ReadTransaction(connection.execution_options(pme_read_only=True), self.shared_now)

    def run(self, run_context: RunContext | None, work: Callable[[WriteTransaction], T]) -> T:
        """Run work in a transaction that writes, and run all of it again if it conflicts with another writer.

        :param run_context: who writes; what claims or leaves a line in the audit needs one.
        :param work: is called with the transaction, once or several times; only its last call's changes are kept.
        :return: what the work returned.
        :raises LedgerUnavailableError: if the database cannot be reached, is full, or went away.
        """

        def attempt() -> T:
            with self.write(run_context) as tx:
                return work(tx)

        retrying = Retrying(
            retry=retry_if_exception_type(LedgerConflictError),
            stop=stop_after_attempt(_CONFLICT_ATTEMPTS),
            wait=wait_random_exponential(multiplier=0.02, max=1),
            sleep=self._clock.sleep,
            reraise=True,
        )
        return retrying(attempt)

    @contextmanager
    def write(self, run_context: RunContext | None = None) -> Iterator[WriteTransaction]:
        """Open a transaction that writes: all of it is committed at the end, or nothing.

        A block cannot be run again: :meth:`run` is for whatever may meet other writers.

        :param run_context: who writes; what claims or leaves a line in the audit needs one.
        :raises LedgerConflictError: if it conflicts with another writer.
        :raises LedgerUnavailableError: if the database cannot be reached, is full, or went away.
        """
        self.prepare()
        with self._translated(), self.engine.connect() as connection, self._writer_lock(connection), connection.begin():
            yield WriteTransaction(connection, self.shared_now, run_context)

    @contextmanager
    def _writer_lock(self, connection: Connection) -> Iterator[None]:
        """Let writers take turns on MySQL, whose locks on gaps between rows would make two of them deadlock.

        SQLite has one writer at a time anyway, and on PostgreSQL rows are locked in one order everywhere.
        """
        refusal = f"The ledger's other writers held it for over {BUSY_SECONDS} s: try again."
        with server_lock(connection, "pme_ledger", BUSY_SECONDS, refusal):
            yield

    def shared_now(self, connection: Connection) -> datetime:
        """Return the time all workers of this ledger share: the database server's, or this machine's for SQLite."""
        name = self.engine.dialect.name
        query = _NOW.get("mysql" if name == "mariadb" else name)
        if query is None:
            return self._clock.now()
        return EPOCH + timedelta(microseconds=int(connection.scalar(text(query))))

    @contextmanager
    def _translated(self) -> Iterator[None]:
        problem: LedgerError | LedgerUnavailableError | None = None
        try:
            yield
        except SQLAlchemyError as error:
            problem = in_words(error, self.engine)
        if problem is not None:
            raise problem

    # ---------------------------------------------------------------- tables

    def check(self) -> None:
        """Check, once, that the tables are of this package's version; change nothing.

        :raises LedgerMissingError: if there are no tables yet.
        :raises LedgerVersionError: if they are older or newer.
        """
        if self._checked:
            return
        found = self._settled_revision()
        if found is None:
            raise LedgerMissingError(
                "The ledger has no tables yet. The first mint makes them; `pme-airflow ledger migrate` makes them now."
            )
        self._refuse_unless(found == HEAD_REVISION, found)
        self._checked = True

    def prepare(self) -> None:
        """Make sure, once, that the tables can be written: make them where there are none.

        :raises LedgerVersionError: if they are older and may not be migrated by a write, or newer.
        """
        if self._checked:
            return
        found = self._settled_revision()
        if found != HEAD_REVISION:
            self._refuse_unless(found is None or self._migrate, found)
            self._upgrade()
        self._checked = True

    def migrate(self) -> None:
        """Bring the tables up to this package's version; make them where there are none.

        :raises LedgerVersionError: if they are newer.
        """
        found = self.revision()
        self._refuse_unless(True, found)
        self._upgrade()
        self._checked = True

    def revision(self) -> str | None:
        """Return the version of the tables; ``None`` if there are none."""
        path = sqlite_path(self.engine)
        if path is not None and not path.exists():
            return None
        with self._translated(), self.engine.connect() as raw:
            connection = raw.execution_options(pme_read_only=True)
            if not inspect(connection).has_table(_VERSION_TABLE):
                return None
            found = connection.scalar(text(f"SELECT version_num FROM {_VERSION_TABLE}"))
            return None if found is None else str(found)

    def _settled_revision(self) -> str | None:
        """Return the version of the tables after any migration under way: on MySQL its steps are seen one by one."""
        found = self.revision()
        if found in (None, HEAD_REVISION):
            return found
        from pme_airflow.ledger.migrations import migration_lock

        with self._translated(), self.engine.connect() as connection, migration_lock(connection):
            return self.revision()

    def _upgrade(self) -> None:
        from pme_airflow.ledger.migrations import migrate

        with self._translated():
            migrate(self.engine)

    def _refuse_unless(self, allowed: bool, found: str | None) -> None:
        if allowed and found in (None, HEAD_REVISION):
            return
        from pme_airflow.ledger.migrations import known_revisions

        if found is not None and found not in known_revisions():
            raise LedgerVersionError(
                f"The ledger's tables are of version {found}, newer than this package knows ({HEAD_REVISION}). "
                "Upgrade pme-airflow on this machine: pip install --upgrade pme-airflow. To go on with this one, "
                f"restore a backup of the ledger of version {HEAD_REVISION}."
            )
        if not allowed:
            raise LedgerVersionError(
                f"The ledger's tables are of version {found}, this package wants {HEAD_REVISION}. Run "
                "`pme-airflow ledger migrate` once."
            )
