"""The tables and the database under them: versions, migrations, writers at once, and trouble in words."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import create_engine, insert, inspect, select, text
from sqlalchemy.pool import NullPool

from pme_airflow.clock import SystemClock
from pme_airflow.errors import LedgerError, LedgerUnavailableError, LedgerVersionError
from pme_airflow.ledger import audit, links
from pme_airflow.ledger.database import Database
from pme_airflow.ledger.engines import sqlite_engine, tuned
from pme_airflow.ledger.migrations import known_revisions, migrate
from pme_airflow.ledger.run_context import RunContext
from pme_airflow.ledger.tables import HEAD_REVISION, metadata
from pme_airflow.ledger.tables import links as link_table
from tests.support.clocks import FakeClock
from tests.support.together import at_once

NOW = FakeClock().now()


def open_ledger(address: str, *, migrate: bool = True) -> Database:
    return Database(tuned(create_engine(address, poolclass=NullPool)), SystemClock(), migrate=migrate)


def link(index: int, state: str = "minting", age: timedelta = timedelta(0)) -> dict[str, object]:
    return {
        "link_id": f"lnk_{index:032x}", "client_id": "c", "model_id": "ModelAAAAAA", "audience": "a", "valid_for": 86400,
        "requested_at": NOW - age, "valid_until": NOW - age + timedelta(days=1), "state": state, "run": "r",
        "run_uid": "u", "revoke_attempts": 0, "irrevocable": False,
    }  # fmt: skip


@pytest.fixture
def database(ledger_address: str) -> Database:
    return open_ledger(ledger_address)


def test_the_migrations_make_exactly_the_tables_of_the_code(database: Database) -> None:
    database.prepare()
    with database.read() as tx:
        found = inspect(tx.connection)
        for name, table in metadata.tables.items():
            columns = {column["name"]: column["nullable"] for column in found.get_columns(name)}
            assert columns == {column.name: column.nullable for column in table.columns}
            indexes = {index["name"] for index in found.get_indexes(name)}
            assert {index.name for index in table.indexes} <= indexes


@pytest.mark.parametrize("revision", sorted(known_revisions()))
def test_an_upgrade_from_every_earlier_revision_keeps_its_rows(ledger_address: str, revision: str) -> None:
    engine = create_engine(ledger_address, poolclass=NullPool)
    migrate(engine, revision)
    with engine.begin() as connection:
        names = {column["name"] for column in inspect(connection).get_columns("pme_links")}
        row = {key: value for key, value in link(1, "live").items() if key in names}
        connection.execute(insert(link_table), row)
    database = open_ledger(ledger_address)
    database.migrate()
    assert database.revision() == HEAD_REVISION
    with database.read() as tx:
        (kept,) = audit.list_links(tx)
    assert (kept.link_id, kept.state.value) == (row["link_id"], "live")


def test_an_older_ledger_of_a_server_is_migrated_by_command_alone(ledger_address: str) -> None:
    migrate(create_engine(ledger_address, poolclass=NullPool), "0001")
    with pytest.raises(LedgerVersionError, match="ledger migrate"):
        open_ledger(ledger_address, migrate=False).prepare()
    open_ledger(ledger_address, migrate=False).migrate()
    open_ledger(ledger_address, migrate=False).prepare()


def test_a_ledger_newer_than_the_package_is_refused(database: Database, ledger_address: str) -> None:
    database.prepare()
    with database.write() as tx:
        tx.execute(text("UPDATE pme_version SET version_num = '9999'"))
    with pytest.raises(LedgerVersionError, match="Upgrade pme-airflow"):
        open_ledger(ledger_address).prepare()


def _write_many(address: str, base: int, count: int) -> None:
    database = open_ledger(address)
    for index in range(count):
        with database.write(RunContext(f"writer{base}")) as tx:
            links.add(tx, [link(base + index)], NOW, "a test")


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


def _migrate(address: str) -> None:
    open_ledger(address).prepare()


def test_two_first_users_at_once_make_the_tables_once(ledger_address: str) -> None:
    context = multiprocessing.get_context("spawn")
    users = [context.Process(target=_migrate, args=(ledger_address,)) for _ in range(3)]
    for user in users:
        user.start()
    for user in users:
        user.join()
    assert [user.exitcode for user in users] == [0, 0, 0]


def test_many_first_users_of_a_fresh_file_wait_for_one_another(tmp_path: Path) -> None:
    """Turning a file to WAL is not covered by SQLite's busy timeout: one of six was refused in one round of ten."""
    for number in range(25):
        address = f"sqlite:///{tmp_path}/{number}.db"

        def run(wait: Callable[[], None], address: str = address) -> None:
            wait()
            _migrate(address)

        at_once(*[run] * 6)


def test_a_purge_drops_what_is_long_over_and_never_what_may_be_alive(database: Database) -> None:
    old = timedelta(days=100)
    states = ("revoked", "expired", "failed", "live", "minting", "unaccounted")
    with database.write() as tx:
        tx.execute(insert(link_table), [link(index, state, old) for index, state in enumerate(states)])
        tx.execute(insert(link_table), [link(50, "revoked")])
        dropped = audit.purge(tx, NOW - timedelta(days=90))
    assert dropped == 3
    with database.read() as tx:
        left = sorted(tx.scalars(select(link_table.c.state)))
    assert left == ["live", "minting", "revoked", "unaccounted"]


def test_what_fails_in_the_middle_is_not_done(database: Database) -> None:
    def half() -> None:
        with database.write(RunContext("x")) as tx:
            links.add(tx, [link(1)], NOW, "a test")
            raise KeyError("half")

    with pytest.raises(KeyError, match="half"):
        half()
    with database.read() as tx:
        assert list(audit.list_links(tx)) == []


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


def test_a_full_disk_is_told_and_nothing_is_half_done(tmp_path: Path) -> None:
    database = Database(sqlite_engine(tmp_path / "ledger.db"), SystemClock(), migrate=True)
    database.prepare()

    def fill(pages: Callable[[int], str]) -> None:
        for index in range(100_000):
            with database.write(RunContext("x" * 600)) as tx:
                tx.execute(text(pages(tx.scalar(text("PRAGMA page_count")) or 0)))
                links.add(tx, [link(index)], NOW, "r" * 500)

    with database.read() as tx:
        limit = tx.scalar(text("PRAGMA page_count")) or 0
    with pytest.raises(LedgerUnavailableError, match="full"):
        fill(lambda _: f"PRAGMA max_page_count = {limit + 30}")
    with database.read() as tx:
        assert tx.scalar(text("PRAGMA integrity_check")) == "ok"
        ids = {row.link_id for row in audit.list_links(tx)}
        told = set(tx.scalars(text("SELECT link_id FROM pme_events")))
    assert ids == told
