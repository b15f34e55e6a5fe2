"""MySQL's named locks, which are the whole server's and last as long as a connection."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from pme_airflow.errors import LedgerUnavailableError

__all__ = ["lock_name", "server_lock"]


def lock_name(kind: str, database: str | None) -> str:
    """Return the name of a database's lock, as long as MySQL allows."""
    return f"{kind}:{database or ''}"[:64]


@contextmanager
def server_lock(connection: Connection, kind: str, seconds: int, refusal: str) -> Iterator[None]:
    """Hold a lock of the connection's database on MySQL and MariaDB; elsewhere do nothing.

    :param seconds: how long to wait for it.
    :param refusal: the message of the error where another holds it for longer.
    :raises LedgerUnavailableError: with that message.
    """
    if connection.dialect.name not in ("mysql", "mariadb"):
        yield
        return
    name = lock_name(kind, connection.engine.url.database)
    try:
        with connection.begin():
            taken = connection.scalar(text("SELECT GET_LOCK(:name, :seconds)"), {"name": name, "seconds": seconds})
        if taken != 1:
            raise LedgerUnavailableError(refusal)
        yield
    finally:
        _release(connection, name)


def _release(connection: Connection, name: str) -> None:
    """Release a lock, or close the connection: in a pool it would keep the lock for as long as it is open."""
    try:
        with connection.begin():
            connection.execute(text("SELECT RELEASE_LOCK(:name)"), {"name": name})
    except DBAPIError:
        with suppress(DBAPIError):
            connection.invalidate()
