"""Engines depend on no default of the server, the driver or the file system."""

from __future__ import annotations

import os
import sqlite3
import stat
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import pytest
from sqlalchemy import create_engine, insert, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.pool import NullPool

from pme_airflow.clock import SystemClock
from pme_airflow.ledger import revocations
from pme_airflow.ledger.database import Database
from pme_airflow.ledger.engines import _write_ahead, sqlite_engine, sqlite_path, tuned
from pme_airflow.ledger.storable import ASCII_ONLY
from pme_airflow.ledger.tables import flags
from tests.support.ledgers import ledger_at, mint, task

SEALED = "pme-sealed:v1:erased:text"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_sqlites_files_are_their_owners_alone_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        database = Database(sqlite_engine(tmp_path / "home" / "ledger.db"), SystemClock())
        mint(database)
    finally:
        os.umask(before)
    files = {path.name: mode(path) for path in (tmp_path / "home").iterdir()}
    assert set(files) >= {"ledger.db", "ledger.db-wal", "ledger.db-shm"}
    assert set(files.values()) == {0o600}


def test_files_that_others_may_read_are_tightened(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    first = Database(sqlite_engine(path), SystemClock())
    mint(first)
    for name in ("ledger.db", "ledger.db-wal", "ledger.db-shm"):
        (tmp_path / name).chmod(0o666)
    mint(Database(sqlite_engine(path), SystemClock()))
    assert {mode(tmp_path / name) for name in ("ledger.db", "ledger.db-wal", "ledger.db-shm")} == {0o600}


def test_a_file_that_is_tighter_still_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    mint(Database(sqlite_engine(path), SystemClock()))
    path.chmod(0o400)
    with Database(sqlite_engine(path), SystemClock()).read():
        assert mode(path) == 0o400


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_the_file_of_another_user_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    mint(Database(sqlite_engine(path), SystemClock()))
    os.chown(path, 65534, 65534)
    path.chmod(0o666)
    mint(Database(sqlite_engine(path), SystemClock()))
    assert mode(path) == 0o666


def test_erased_texts_are_erased_in_sqlites_file_too(tmp_path: Path) -> None:
    def connect() -> sqlite3.Connection:
        """SQLite as it is by default; some distributions turn secure_delete on."""
        connection = sqlite3.connect(tmp_path / "ledger.db")
        connection.execute("PRAGMA secure_delete = OFF")
        return connection

    database = Database(tuned(create_engine(f"sqlite:///{tmp_path}/ledger.db", creator=connect)), SystemClock())
    row = mint(database)
    with database.write() as tx:
        tx.execute(text("UPDATE pme_links SET sealed = :sealed"), {"sealed": SEALED})
    with database.write(task()) as tx:
        revocations.revoked(tx, [row], {})
    with database.engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA secure_delete").scalar() == 1
    database.engine.dispose()
    with sqlite3.connect(tmp_path / "ledger.db") as raw:
        raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert SEALED.encode() not in (tmp_path / "ledger.db").read_bytes()


def test_sqlite_writes_ahead_and_waits(tmp_path: Path) -> None:
    with sqlite_engine(tmp_path / "ledger.db").connect() as connection:
        values = [connection.exec_driver_sql(f"PRAGMA {name}").scalar()
                  for name in ("journal_mode", "busy_timeout", "synchronous", "secure_delete")]  # fmt: skip
    assert values == ["wal", 60_000, 2, 1]


class Locked:
    """A cursor of a file that another process is turning to WAL: so many statements are refused."""

    def __init__(self, refusals: int, mode: str = "delete") -> None:
        self.statements: list[str] = []
        self._refusals, self._mode = refusals, mode

    def execute(self, statement: str) -> Locked:
        self.statements.append(statement)
        if self._refusals:
            self._refusals -= 1
            raise sqlite3.OperationalError("database is locked")
        return self

    def fetchone(self) -> tuple[str]:
        return (self._mode,)


def test_a_file_that_another_process_is_turning_to_wal_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    cursor = Locked(2)
    _write_ahead(cursor)
    assert cursor.statements == ["PRAGMA journal_mode"] * 3 + ["PRAGMA journal_mode = WAL"]
    cursor = Locked(0, "wal")
    _write_ahead(cursor)
    assert cursor.statements == ["PRAGMA journal_mode"]
    monkeypatch.setattr("pme_airflow.ledger.engines.BUSY_SECONDS", 0)
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        _write_ahead(Locked(1000))


def test_no_error_holds_what_was_written(ledger_address: str) -> None:
    engine = tuned(create_engine(ledger_address, poolclass=NullPool))
    database = Database(engine, SystemClock())
    database.prepare()
    row = {"fingerprint": "f", "flagged_at": SystemClock().now(), "reason": "a secret reason", "run": "r"}
    with engine.begin() as connection:
        connection.execute(insert(flags), row)
    with pytest.raises(IntegrityError) as caught, engine.begin() as connection:
        connection.execute(insert(flags), row)
    assert "a secret reason" not in str(caught.value)
    assert "hidden due to hide_parameters" in str(caught.value)


@pytest.mark.parametrize(
    ("address", "path"),
    [
        ("sqlite:////srv/ledger.db", "/srv/ledger.db"),
        ("sqlite://", None),
        ("sqlite:///:memory:", None),
        ("sqlite:///file:x?mode=memory&uri=true", None),
        ("postgresql+psycopg2://h/db", None),
    ],
)
def test_only_sqlite_has_a_file(address: str, path: str | None) -> None:
    assert sqlite_path(create_engine(address)) == (None if path is None else Path(path))


@pytest.mark.parametrize("driver", ["psycopg2", "psycopg"])
def test_transactions_are_read_committed_whatever_the_default(ledger_address: str, driver: str) -> None:
    if not ledger_address.startswith("postgresql"):
        pytest.skip("PostgreSQL has two drivers")
    engine = tuned(create_engine(ledger_address.replace("psycopg2", driver), poolclass=NullPool))
    with engine.begin() as connection:
        assert connection.scalar(text("SHOW transaction_isolation")) == "read committed"
        assert connection.scalar(text("SHOW client_encoding")).lower() in ("utf8", "unicode")


def test_mysql_is_read_committed_whatever_the_default(ledger_address: str) -> None:
    if not ledger_address.startswith("mysql"):
        pytest.skip("it is about MySQL")
    with ledger_at(ledger_address).write() as tx:
        assert tx.scalar(text("SELECT @@tx_isolation")) == "READ-COMMITTED"


# ------------------------------------------------------------ without a server


class Connected(Exception):
    """Ends the attempt to connect, once the driver was called."""


def given_to_driver(address: str) -> dict[str, object]:
    """What PostgreSQL's driver is called with."""
    with mock.patch("psycopg2.connect", side_effect=Connected) as connect, pytest.raises(Connected):
        tuned(create_engine(address)).connect()
    return dict(connect.call_args.kwargs)


def test_a_server_that_vanished_is_noticed_and_a_login_ends() -> None:
    assert given_to_driver("postgresql+psycopg2://ada@db.test/ledger") == {
        "host": "db.test", "user": "ada", "dbname": "ledger", "client_encoding": "utf8", "connect_timeout": 10,
        "tcp_user_timeout": 60_000, "keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3,
    }  # fmt: skip
    asked = given_to_driver("postgresql+psycopg2://ada@db.test/ledger?connect_timeout=3&keepalives_idle=5")
    assert (asked["connect_timeout"], asked["keepalives_idle"]) == ("3", "5")


@pytest.mark.parametrize("address", ["postgresql+psycopg2://db.test/x", "mysql+pymysql://db.test/x"])
def test_transactions_are_read_committed_and_no_error_has_a_parameter(address: str) -> None:
    engine = tuned(create_engine(address))
    assert engine.get_execution_options()["isolation_level"] == "READ COMMITTED"
    assert engine.hide_parameters


@pytest.mark.parametrize(
    ("encoding", "ascii_only"), [("UTF8", False), ("SQL_ASCII", False), (None, False), ("LATIN1", True)]
)
def test_no_statement_is_prepared_and_characters_are_escaped_where_the_server_has_no_room_for_them(
    encoding: str | None, ascii_only: bool
) -> None:
    asked: list[str] = []

    def status(name: str) -> str | None:
        asked.append(name)
        return encoding

    newer = SimpleNamespace(prepare_threshold=5, info=SimpleNamespace(parameter_status=status))
    older = SimpleNamespace(get_parameter_status=status)
    for connection in (newer, older):
        engine = tuned(create_engine("postgresql+psycopg2://db.test/x"))
        connected = next(iter(engine.pool.dispatch.connect))
        connected(connection, None)
        assert getattr(engine.dialect, ASCII_ONLY) is ascii_only
    assert newer.prepare_threshold is None
    assert asked == ["server_encoding"] * 2
