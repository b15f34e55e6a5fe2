"""MySQL's named locks: one of each kind and database, given back whatever happens, and never left in a pool."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy.exc import DBAPIError, OperationalError

from pme_airflow.errors import LedgerUnavailableError
from pme_airflow.ledger.server_locks import lock_name, server_lock


def broken(*_: object) -> object:
    raise OperationalError("SELECT", {}, Exception("gone away"))


class Connection:
    """A connection to MySQL that answers a request for a lock, and remembers what it was sent."""

    def __init__(self, taken: int | None = 1, dialect: str = "mysql") -> None:
        self.dialect = SimpleNamespace(name=dialect)
        self.engine = SimpleNamespace(url=SimpleNamespace(database="ledger"))
        self.sent: list[tuple[str, dict[str, Any]]] = []
        self.transactions = 0
        self.invalidated = 0
        self._taken = taken

    @contextmanager
    def begin(self) -> Iterator[None]:
        self.transactions += 1
        yield

    def scalar(self, statement: object, parameters: dict[str, Any]) -> int | None:
        self.sent.append((str(statement), parameters))
        return self._taken

    def execute(self, statement: object, parameters: dict[str, Any]) -> None:
        self.sent.append((str(statement), parameters))

    def invalidate(self) -> None:
        self.invalidated += 1


TAKEN = ("SELECT GET_LOCK(:name, :seconds)", {"name": "pme_x:ledger", "seconds": 9})
RELEASED = ("SELECT RELEASE_LOCK(:name)", {"name": "pme_x:ledger"})


def hold(connection: Any, work: Any = lambda: None) -> None:
    with server_lock(connection, "pme_x", 9, "another has it"):
        work()


@pytest.mark.parametrize("dialect", ["mysql", "mariadb"])
def test_a_lock_is_held_for_the_work_and_released(dialect: str) -> None:
    connection = Connection(dialect=dialect)
    hold(connection, lambda: connection.sent.append(("work", {})))
    assert connection.sent == [TAKEN, ("work", {}), RELEASED]
    assert (connection.transactions, connection.invalidated) == (2, 0)


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
def test_elsewhere_nothing_is_locked(dialect: str) -> None:
    connection, done = Connection(dialect=dialect), []
    hold(connection, lambda: done.append(True))
    assert (connection.sent, done) == ([], [True])


@pytest.mark.parametrize("taken", [0, None])
def test_work_is_not_done_without_its_lock(taken: int | None) -> None:
    connection = Connection(taken)
    with pytest.raises(LedgerUnavailableError, match="another has it"):
        hold(connection, lambda: pytest.fail("the work was done"))
    assert connection.sent == [TAKEN, RELEASED]


def test_a_lock_is_released_after_work_that_failed() -> None:
    connection = Connection()
    with pytest.raises(DBAPIError):
        hold(connection, broken)
    assert connection.sent == [TAKEN, RELEASED]


def test_a_connection_that_may_keep_its_lock_is_closed() -> None:
    connection = Connection()
    connection.execute = broken  # type: ignore[assignment,method-assign]
    hold(connection)
    assert connection.invalidated == 1
    connection.invalidate = broken  # type: ignore[assignment,method-assign]
    hold(connection)


def test_a_name_is_of_its_database_and_as_long_as_mysql_allows() -> None:
    assert lock_name("pme_x", "ledger") == "pme_x:ledger"
    assert lock_name("pme_x", None) == "pme_x:"
    assert lock_name("pme_x", "d" * 100) == f"pme_x:{'d' * 58}"
