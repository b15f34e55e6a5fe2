"""The database under the ledger: reading makes nothing, writers at once wait, and errors are explained in words."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest
from sqlalchemy import Connection, create_engine, event, inspect, text
from sqlalchemy.pool import NullPool

from pme_airflow.clock import SystemClock
from pme_airflow.dev.playground.mariadb import MISSING_MARIADB, program, serving_mariadb
from pme_airflow.errors import (
    LedgerConflictError,
    LedgerError,
    LedgerMissingError,
    LedgerUnavailableError,
    LedgerVersionError,
)
from pme_airflow.ledger import audit, links
from pme_airflow.ledger.database import Database
from pme_airflow.ledger.engines import sqlite_engine, tuned
from pme_airflow.ledger.migrations import migrate
from pme_airflow.ledger.run_context import RunContext
from pme_airflow.ledger.tables import HEAD_REVISION
from pme_airflow.ledger.transaction import WriteTransaction
from tests.support.clocks import FakeClock
from tests.support.databases import fresh
from tests.support.ledgers import begin_mint, ledger_at, task
from tests.support.together import at_once

NOW = FakeClock().now()


def add_link(tx: WriteTransaction, index: int, reason: str = "a test") -> None:
    same = {
        "client_id": "c", "model_id": "ModelAAAAAA", "audience": "a", "valid_for": 86400, "requested_at": NOW,
        "valid_until": NOW + timedelta(days=1),
    }  # fmt: skip
    links.add(tx, {"link_id": [f"lnk_{index:032x}"]}, same, NOW, reason)


@pytest.fixture
def database(ledger_address: str) -> Database:
    return ledger_at(ledger_address)


# ----------------------------------------------------- reading makes nothing


def test_reading_a_ledger_without_tables_says_so_and_makes_none(ledger_address: str) -> None:
    database = ledger_at(ledger_address)
    for _ in range(2):
        with pytest.raises(LedgerMissingError, match="ledger migrate"), database.read():
            pass
    with pytest.raises(LedgerMissingError):
        database.check()
    assert database.revision() is None
    if not ledger_address.startswith("sqlite"):
        with create_engine(ledger_address, poolclass=NullPool).connect() as connection:
            assert inspect(connection).get_table_names() == []
    database.prepare()
    with database.read() as tx:
        assert list(audit.list_links(tx)) == []


def test_reading_makes_no_file(tmp_path: Path) -> None:
    database = Database(sqlite_engine(tmp_path / "home" / "ledger.db"), SystemClock(), migrate=True)
    with pytest.raises(LedgerMissingError), database.read():
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_write_makes_the_tables(ledger_address: str) -> None:
    begin_mint(ledger_at(ledger_address, migrate=False))
    with ledger_at(ledger_address, migrate=False).read() as tx:
        assert len(list(audit.list_links(tx))) == 1


def test_reading_tables_of_an_earlier_version_says_so_and_migrates_none(ledger_address: str) -> None:
    migrate(create_engine(ledger_address, poolclass=NullPool), "0002")
    database = ledger_at(ledger_address)
    with pytest.raises(LedgerVersionError, match=r"version 0002.*ledger migrate"), database.read():
        pass
    assert database.revision() == "0002"


def test_a_write_migrates_where_it_may(ledger_address: str) -> None:
    migrate(create_engine(ledger_address, poolclass=NullPool), "0001")
    with pytest.raises(LedgerVersionError, match="ledger migrate"), ledger_at(ledger_address, migrate=False).write():
        pass
    assert ledger_at(ledger_address).revision() == "0001"
    begin_mint(ledger_at(ledger_address))
    assert ledger_at(ledger_address).revision() == HEAD_REVISION


def test_an_older_ledger_of_a_server_is_migrated_by_the_command(ledger_address: str) -> None:
    migrate(create_engine(ledger_address, poolclass=NullPool), "0001")
    database = ledger_at(ledger_address, migrate=False)
    database.migrate()
    assert database.revision() == HEAD_REVISION
    with database.read() as tx:
        assert list(audit.list_links(tx)) == []


def test_a_ledger_newer_than_the_package_is_refused_to_all(database: Database, ledger_address: str) -> None:
    with database.write() as tx:
        tx.execute(text("UPDATE pme_version SET version_num = '9999'"))
    later = ledger_at(ledger_address)
    for use in (later.check, later.prepare, later.migrate):
        with pytest.raises(LedgerVersionError, match=r"9999.*pip install --upgrade pme-airflow\..*restore a backup"):
            use()


def test_the_version_is_looked_at_once(database: Database) -> None:
    database.prepare()
    database.revision = None  # type: ignore[method-assign, assignment]
    database.check()
    database.prepare()
    with database.read(), database.write():
        pass


# ---------------------------------------------------------- writers at once


@pytest.mark.parametrize("first", ["prepare", "migrate", "check"])
def test_a_ledger_whose_version_is_known_is_not_asked_for_it_again(tmp_path: Path, first: str) -> None:
    Database(sqlite_engine(tmp_path / "ledger.db"), SystemClock()).prepare()
    database = Database(sqlite_engine(tmp_path / "ledger.db"), SystemClock())
    getattr(database, first)()
    with mock.patch.object(database, "revision", side_effect=AssertionError):
        database.prepare()
        database.check()


def _write_many(address: str, base: int, count: int) -> None:
    database = ledger_at(address)
    for index in range(count):
        with database.write(RunContext(f"writer{base}")) as tx:
            add_link(tx, base + index)


def test_processes_that_write_at_once_wait_and_do_not_fail(database: Database, ledger_address: str) -> None:
    database.prepare()
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_write_many, args=(ledger_address, base, 40)) for base in (0, 1000, 2000)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0, 0, 0]
    with database.read() as tx:
        assert len(list(audit.list_links(tx))) == 120


def test_many_first_users_at_once_make_the_tables_once(ledger_address: str) -> None:
    def run(wait: Callable[[], None]) -> None:
        wait()
        ledger_at(ledger_address).prepare()

    at_once(*[run] * 4)


def test_many_first_users_of_a_fresh_file_wait_for_one_another(tmp_path: Path) -> None:
    """Turning a file to WAL is not covered by SQLite's busy timeout: one of six was refused in one round of ten."""
    for number in range(25):
        address = f"sqlite:///{tmp_path}/{number}.db"

        def run(wait: Callable[[], None], address: str = address) -> None:
            wait()
            ledger_at(address).prepare()

        at_once(*[run] * 6)


def test_reading_blocks_no_writer_and_no_reader(ledger_address: str) -> None:
    one, two = ledger_at(ledger_address), ledger_at(ledger_address)
    one.prepare()
    with one.read() as tx:
        list(audit.list_links(tx))
        begin_mint(two)
        with two.read() as other:
            assert len(list(audit.list_links(other))) == 1


def test_what_fails_in_the_middle_is_not_done(database: Database) -> None:
    def half() -> None:
        with database.write(RunContext("x")) as tx:
            add_link(tx, 1)
            raise KeyError("half")

    with pytest.raises(KeyError, match="half"):
        half()
    with database.read() as tx:
        assert list(audit.list_links(tx)) == []


def test_a_turn_ends_with_its_transaction_and_is_refused_when_it_lasts(
    ledger_address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not ledger_address.startswith("mysql"):
        pytest.skip("only writers of MySQL take turns")
    monkeypatch.setattr("pme_airflow.ledger.database.BUSY_SECONDS", 0)
    one, two = ledger_at(ledger_address), ledger_at(ledger_address)
    one.prepare()
    with one.write(task()), pytest.raises(LedgerUnavailableError, match="other writers held it"), two.write(task()):
        pass
    with two.write(task()):
        pass


# --------------------------------------------------------------------- time


def shared(database: Database, connection: Connection) -> datetime:
    return database.shared_now(connection)


def test_all_workers_share_the_database_servers_time(ledger_address: str) -> None:
    ahead = FakeClock(lead=timedelta(days=3))
    database = ledger_at(ledger_address, ahead)
    with database.write() as tx:
        now = tx.now()
    if ledger_address.startswith("sqlite"):
        assert now == ahead.now()
    else:
        assert abs(now - datetime.now(timezone.utc)) < timedelta(minutes=1)
        assert now.tzinfo is not None


@pytest.mark.parametrize("zone", ["+00:00", "-11:00", "+05:45", "+13:00"])
def test_the_time_is_utc_in_every_session_time_zone(ledger_address: str, zone: str) -> None:
    database = ledger_at(ledger_address)
    database.prepare()
    set_zone = {"mysql": f"SET time_zone = '{zone}'", "postgresql": f"SET TIME ZONE INTERVAL '{zone}' HOUR TO MINUTE"}
    statement = set_zone.get(database.engine.dialect.name)
    with database.engine.connect() as connection:
        if statement:
            connection.execute(text(statement))
        assert abs(shared(database, connection) - datetime.now(timezone.utc)) < timedelta(minutes=1)


@pytest.fixture(scope="module")
def berlin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A MariaDB whose machine is in local time, with a change of the clock in October."""
    if program("mariadbd") is None:
        pytest.skip(MISSING_MARIADB)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "Europe/Berlin")
        with serving_mariadb(tmp_path_factory.mktemp("berlin")) as (_, address):
            yield fresh(address)


@pytest.mark.parametrize("minutes", [30, 90])
def test_an_hour_that_comes_twice_in_local_time_comes_once_here(berlin: str, minutes: int) -> None:
    """On 2026-10-25 at 01:00 UTC clocks in Berlin go from 03:00 back to 02:00."""
    before = datetime(2026, 10, 25, 0, 0, tzinfo=timezone.utc)
    database = ledger_at(berlin)
    with database.engine.connect() as connection:
        connection.execute(text(f"SET timestamp = {int((before + timedelta(minutes=minutes)).timestamp())}"))
        assert connection.scalar(text("SELECT HOUR(NOW())")) == 2
        assert shared(database, connection) == before + timedelta(minutes=minutes)


# ------------------------------------------------------------------ trouble


def test_a_database_that_is_away_says_so_without_its_password() -> None:
    engine = tuned(create_engine("postgresql+psycopg2://user:pa55word@127.0.0.1:9/ledger"))
    with pytest.raises(LedgerUnavailableError, match="ledger_conn_id") as caught:
        Database(engine, SystemClock()).prepare()
    assert "pa55word" not in str(caught.value)


def test_a_database_of_another_kind_is_refused() -> None:
    class Other:
        dialect = type("dialect", (), {"name": "oracle"})

    with pytest.raises(LedgerError, match="PostgreSQL"):
        Database(Other(), SystemClock())  # type: ignore[arg-type]


def test_a_full_disk_is_said_and_nothing_is_half_done(tmp_path: Path) -> None:
    database = Database(sqlite_engine(tmp_path / "ledger.db"), SystemClock(), migrate=True)
    database.prepare()

    def fill(pages: Callable[[int], str]) -> None:
        for index in range(100_000):
            with database.write(RunContext("x" * 600)) as tx:
                tx.execute(text(pages(tx.scalar(text("PRAGMA page_count")) or 0)))
                add_link(tx, index, "r" * 500)

    with database.read() as tx:
        limit = tx.scalar(text("PRAGMA page_count")) or 0
    with pytest.raises(LedgerUnavailableError, match="full"):
        fill(lambda _: f"PRAGMA max_page_count = {limit + 30}")
    with database.read() as tx:
        assert tx.scalar(text("PRAGMA integrity_check")) == "ok"
        ids = {row.link_id for row in audit.list_links(tx)}
        recorded = set(tx.scalars(text("SELECT link_id FROM pme_events")))
    assert ids == recorded


@pytest.mark.parametrize("step", ["GET_LOCK", "RELEASE_LOCK"])
def test_the_writers_lock_of_mysql_does_not_outlast_a_transaction_that_failed_around_it(
    step: str, servers: Callable[[str], str]
) -> None:
    if program("mariadbd") is None:
        pytest.skip(MISSING_MARIADB)
    address = fresh(servers("mariadb"))
    first = Database(tuned(create_engine(address)), SystemClock(), migrate=True)
    first.prepare()
    dialect = first.engine.dialect
    commit, seen = dialect.do_commit, []

    @event.listens_for(first.engine, "before_cursor_execute")
    def _note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        seen.append(statement)

    def do_commit(connection: object) -> None:
        if step in seen[-1]:
            raise dialect.dbapi.OperationalError(1317, "Query execution was interrupted")  # type: ignore[union-attr]
        commit(connection)  # type: ignore[arg-type]

    with mock.patch.object(dialect, "do_commit", do_commit), suppress(LedgerUnavailableError), first.write():
        pass
    with create_engine(address).connect() as other:
        assert other.scalar(text(f"SELECT IS_FREE_LOCK('pme_ledger:{first.engine.url.database}')")) == 1


# ------------------------------------------------------------- other writers


def test_work_that_others_are_in_the_way_of_is_tried_twelve_times_a_second_apart_at_most(
    ledger: Database, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("random.uniform", lambda low, high: high)
    tries: list[WriteTransaction] = []

    def conflicting(tx: WriteTransaction) -> None:
        tries.append(tx)
        raise LedgerConflictError("another writer")

    with pytest.raises(LedgerConflictError):
        ledger.run(None, conflicting)
    assert len(tries) == 12
    assert clock.slept == pytest.approx(0.02 * (2**6 - 1) + 5 * 1.0)


def test_only_conflicts_are_tried_again(ledger: Database, clock: FakeClock) -> None:
    tries: list[WriteTransaction] = []

    def failing(tx: WriteTransaction) -> None:
        tries.append(tx)
        raise LedgerUnavailableError("the disk is full")

    with pytest.raises(LedgerUnavailableError):
        ledger.run(None, failing)
    assert (len(tries), clock.slept) == (1, 0)
    assert ledger.run(None, lambda tx: 7) == 7


@pytest.mark.parametrize(
    ("kind", "words"), [("postgresql", "clock_timestamp"), ("mysql", "UTC_TIMESTAMP"), ("mariadb", "UTC_TIMESTAMP")]
)
def test_a_servers_time_is_read_in_microseconds(kind: str, words: str) -> None:
    asked: list[str] = []

    def scalar(statement: object) -> str:
        asked.append(str(statement))
        return "1777636800000001"

    engine: Any = SimpleNamespace(dialect=SimpleNamespace(name=kind))
    connection: Any = SimpleNamespace(scalar=scalar)
    found = Database(engine, FakeClock(lead=timedelta(days=3))).shared_now(connection)
    assert found == datetime(2026, 5, 1, 12, tzinfo=timezone.utc) + timedelta(microseconds=1)
    assert [words in statement for statement in asked] == [True]


def test_a_version_that_another_process_is_just_leaving_is_read_again(
    ledger: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On MySQL each step of a migration is seen, so one that is under way looks like an earlier version."""
    other = Database(ledger.engine, SystemClock())
    ledger.prepare()
    whole, seen = Database.revision, iter(["0003"])
    monkeypatch.setattr(Database, "revision", lambda self: next(seen, None) or whole(self))
    other.check()
