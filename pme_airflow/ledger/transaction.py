"""One open transaction of the ledger: the connection, the time all workers share, and who writes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Executable, ScalarResult

from pme_airflow.ledger.run_context import RunContext

__all__ = ["ReadTransaction", "SharedNow", "WriteTransaction"]

SharedNow = Callable[[Connection], datetime]


class ReadTransaction:
    """A transaction that only reads. :meth:`~.database.Database.read` opens one.

    :param connection: the SQLAlchemy connection it runs on.
    :param shared_now: asks the time that all workers of the ledger share.
    """

    def __init__(self, connection: Connection, shared_now: SharedNow) -> None:
        self.connection = connection
        self._shared_now = shared_now

    @property
    def dialect(self) -> str:
        """The database's name: ``sqlite``, ``postgresql``, ``mysql`` or ``mariadb``."""
        return self.connection.dialect.name

    def execute(self, statement: Executable, parameters: Any = None) -> Any:
        """Execute a statement, once for each entry where ``parameters`` is a list, and return SQLAlchemy's result."""
        return self.connection.execute(statement, parameters)

    def scalars(self, statement: Executable) -> ScalarResult[Any]:
        """Execute a query and return the first column of its rows."""
        return self.connection.scalars(statement)

    def scalar(self, statement: Executable) -> Any:
        """Execute a query and return its first value; ``None`` where it has no row."""
        return self.connection.scalar(statement)

    def now(self) -> datetime:
        """Return the time all workers of this ledger share; see :meth:`~.database.Database.shared_now`."""
        return self._shared_now(self.connection)


class WriteTransaction(ReadTransaction):
    """A transaction that writes, on behalf of one run. :meth:`~.database.Database.write` opens one.

    :param run_context: who writes; needed by whatever claims or leaves a line in the audit.
    """

    def __init__(self, connection: Connection, shared_now: SharedNow, run_context: RunContext | None) -> None:
        super().__init__(connection, shared_now)
        self._run_context = run_context

    @property
    def run_context(self) -> RunContext:
        """Who writes.

        :raises RuntimeError: where the transaction was opened without one; a defect of the caller.
        """
        if self._run_context is None:
            raise RuntimeError("This transaction was opened without a run context: call database.write(run_context).")
        return self._run_context
