"""SQLAlchemy engines as the ledger needs them, whatever the defaults of the server, the driver or a pooler between."""

from __future__ import annotations

import os
import sqlite3
import stat
from contextlib import suppress
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_random

from pme_airflow.ledger.storable import ASCII_ONLY

__all__ = ["BUSY_SECONDS", "CONNECT_SECONDS", "sqlite_engine", "sqlite_path", "tuned"]

#: How long a writer waits for the others.
BUSY_SECONDS = 60
#: How long a server may take to let a client in, unless the connection's extra connect_timeout says otherwise. Without
#: a limit, one that accepts a connection and never answers would be waited for without end.
CONNECT_SECONDS = 10
#: How long data that was sent may stay unacknowledged, and after how long without any the other end is asked for a sign
#: of life: a host that vanished ends a statement after a minute instead of hours.
_LOST_HOST = {"tcp_user_timeout": 60_000, "keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3}
_OWNER_ONLY = 0o600
#: Server encodings that take every character: SQL_ASCII stores bytes as they come.
_TAKE_ALL = (None, "UTF8", "SQL_ASCII")


def sqlite_engine(path: Path) -> Engine:
    """Return an engine over an SQLite file that several processes write; the file is made by the first connection."""
    return tuned(create_engine(f"sqlite:///{path}"))


def sqlite_path(engine: Engine) -> Path | None:
    """Return the file of an SQLite engine; ``None`` for another database, or one in memory."""
    name = engine.url.database
    if engine.dialect.name != "sqlite" or not name or name == ":memory:" or name.startswith("file:"):
        return None
    return Path(name)


def tuned(engine: Engine) -> Engine:
    """Set what the ledger relies on, so that it depends on no default, and hide parameters from every error.

    - Every transaction is READ COMMITTED: the ledger locks the rows it decides by, and reads them again once it has
      the lock. A stricter level would refuse such a read with a serialization failure.
    - Nothing lasts in a session from one transaction to the next, so that a pooler may change the server's session
      between them: psycopg prepares no statement.
    - A server that never answers ends the attempt to connect.
    - SQLite writes ahead (WAL), its writers wait for one another, and its files are for their owner alone. WAL needs
      shared memory: a network file system is no place for it.
    """
    engine.hide_parameters = True
    name = engine.dialect.name
    if name == "sqlite":
        _tune_sqlite(engine)
        return engine
    if name in ("postgresql", "mysql", "mariadb"):
        engine.update_execution_options(isolation_level="READ COMMITTED")
    if name == "postgresql":
        _tune_postgresql(engine)
    return engine


def _tune_postgresql(engine: Engine) -> None:
    @event.listens_for(engine, "do_connect")
    def _connecting(_dialect: Any, _record: object, _args: Any, parameters: dict[str, Any]) -> None:
        parameters["client_encoding"] = "utf8"
        for name, value in {"connect_timeout": CONNECT_SECONDS, **_LOST_HOST}.items():
            parameters.setdefault(name, value)

    @event.listens_for(engine, "connect", insert=True)
    def _connected(connection: Any, _record: object) -> None:
        if hasattr(connection, "prepare_threshold"):
            connection.prepare_threshold = None
            encoding = connection.info.parameter_status("server_encoding")
        else:
            encoding = connection.get_parameter_status("server_encoding")
        setattr(engine.dialect, ASCII_ONLY, encoding not in _TAKE_ALL)


def _tune_sqlite(engine: Engine) -> None:
    @event.listens_for(engine, "do_connect")
    def _connecting(*_: Any) -> None:
        path = sqlite_path(engine)
        if path is not None:
            _keep_private(path)

    @event.listens_for(engine, "connect")
    def _connected(connection: Any, _record: object) -> None:
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000}")
        _write_ahead(cursor)
        cursor.execute("PRAGMA synchronous = FULL")
        cursor.execute("PRAGMA secure_delete = ON")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begun(connection: Connection) -> None:
        reading = connection.get_execution_options().get("pme_read_only", False)
        connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")


def _keep_private(path: Path) -> None:
    """Create a file, or tighten an existing one of this user, so that its owner alone may read it.

    SQLite creates its WAL files, which hold the latest changes, with the same rights.
    """
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
    with suppress(OSError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, _OWNER_ONLY))
    for name in (path, Path(f"{path}-wal"), Path(f"{path}-shm")):
        with suppress(OSError):
            found = name.stat()
            if found.st_uid == os.geteuid() and stat.S_IMODE(found.st_mode) & ~_OWNER_ONLY:
                name.chmod(_OWNER_ONLY)


def _write_ahead(cursor: Any) -> None:
    """Turn a file to WAL unless it is; SQLite's busy timeout does not cover this one change, so it is retried here.

    See https://www.sqlite.org/wal.html, "Sometimes Queries Return SQLITE_BUSY In WAL Mode".
    """
    for attempt in Retrying(
        retry=retry_if_exception_type(sqlite3.OperationalError),
        stop=stop_after_delay(BUSY_SECONDS),
        wait=wait_random(0.01, 0.1),
        reraise=True,
    ):
        with attempt:
            if cursor.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
                cursor.execute("PRAGMA journal_mode = WAL")
