"""A database is asked what it allows without a trace; a pooler in front of it is seen."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest
from sqlalchemy import create_engine, event, inspect, select, text

from pme_airflow.clock import SystemClock
from pme_airflow.dev.playground.mariadb import program
from pme_airflow.errors import LedgerUnavailableError
from pme_airflow.ledger import inspection
from pme_airflow.ledger.database import Database
from pme_airflow.ledger.engines import sqlite_engine, tuned
from pme_airflow.ledger.inspection import LedgerTrial, check_creatable, try_writing
from pme_airflow.ledger.tables import runs
from tests.support.clocks import FakeClock
from tests.support.databases import drop, fresh
from tests.support.pooler import MISSING_PGBOUNCER, serving_pgbouncer
from tests.support.unprivileged import public_folder, unprivileged


@pytest.fixture
def statements(ledger: Database) -> list[str]:
    """What is sent to the ledger of the test."""
    ledger.prepare()
    sent: list[str] = []
    event.listen(ledger.engine, "before_cursor_execute", lambda *args: sent.append(args[2]))
    return sent


@pytest.mark.parametrize(("dialect", "is_dropped"), [("sqlite", False), ("mysql", True), ("mariadb", True)])
def test_table_of_the_check_is_dropped_where_it_is_committed_at_once(
    ledger: Database, statements: list[str], monkeypatch: pytest.MonkeyPatch, dialect: str, is_dropped: bool
) -> None:
    monkeypatch.setattr(ledger.engine.dialect, "name", dialect)
    check_creatable(ledger)
    monkeypatch.undo()
    created, *dropped = [text for text in statements if "TABLE" in text]
    name = re.fullmatch(r"CREATE TABLE (pme_check_[0-9a-f]{12}) \(id INTEGER\)", created)
    assert name is not None
    assert dropped == ([f"DROP TABLE {name[1]}"] if is_dropped else [])
    assert not [table for table in inspect(ledger.engine).get_table_names() if table.startswith("pme_check")]


def test_database_that_allows_no_table_says_so(ledger: Database) -> None:
    with ledger.engine.connect() as connection:
        connection.execute(text("PRAGMA query_only = ON"))
    with pytest.raises(LedgerUnavailableError, match="cannot be opened or written: check the rights"):
        check_creatable(ledger)


def test_trial_writes_three_rows_and_leaves_none(
    ledger: Database, clock: FakeClock, statements: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = iter([10.0, 11.0, 20.0, 25.0, 30.0, 32.0])
    monkeypatch.setattr(inspection, "time", SimpleNamespace(monotonic=lambda: next(seconds)))
    trial = try_writing(ledger)
    assert trial == LedgerTrial(5.0, clock.now(), "serializable", False)
    assert len([text for text in statements if text.startswith("INSERT INTO pme_runs")]) == 3
    with ledger.read() as tx:
        assert tx.scalars(select(runs.c.run_uid)).all() == []


@pytest.mark.parametrize(
    ("dialect", "given", "is_pooled"),
    [("postgresql", 7, False), ("postgresql", 8, True), ("postgresql", None, False), ("mysql", 8, False)],
)
def test_pooler_is_another_process_than_the_one_that_serves(dialect: str, given: int | None, is_pooled: bool) -> None:
    driver = SimpleNamespace(driver_connection=SimpleNamespace(info=SimpleNamespace(backend_pid=given)))
    connection: Any = SimpleNamespace(
        dialect=SimpleNamespace(name=dialect), connection=driver, scalar=lambda statement: 7
    )
    assert inspection._is_pooled(connection) is is_pooled


def test_driver_that_does_not_name_its_process_has_no_pooler() -> None:
    connection: Any = SimpleNamespace(
        dialect=SimpleNamespace(name="postgresql"), connection=SimpleNamespace(driver_connection=object()),
        scalar=lambda statement: 7,
    )  # fmt: skip
    assert not inspection._is_pooled(connection)


@pytest.mark.skipif(program("pgbouncer") is None, reason=MISSING_PGBOUNCER)
def test_pooler_is_seen(servers: Callable[[str], str]) -> None:
    address = fresh(servers("postgresql"))
    try:
        direct = Database(tuned(create_engine(address)), SystemClock())
        direct.prepare()
        assert not try_writing(direct).pooled
        with serving_pgbouncer(address) as pooled_address:
            engine = tuned(create_engine(pooled_address))
            trial = try_writing(Database(engine, SystemClock()))
            engine.dispose()
        direct.engine.dispose()
        assert trial.pooled
        assert trial.isolation == "read committed"
    finally:
        drop(address)


def test_file_that_cannot_be_made_is_named_and_none_is_left() -> None:
    with public_folder() as folder, unprivileged():
        place = Path(folder) / "home" / "ledger.db"
        with pytest.raises(LedgerUnavailableError, match="Allow writing to"):
            check_creatable(Database(sqlite_engine(place), SystemClock()))
        assert list(folder.iterdir()) == []


def test_file_that_is_there_is_asked_itself(tmp_path: Path) -> None:
    database = Database(sqlite_engine(tmp_path / "ledger.db"), SystemClock())
    database.prepare()
    check_creatable(database)
    assert not [table for table in inspect(database.engine).get_table_names() if table.startswith("pme_check")]
    with database.engine.begin() as connection:
        connection.execute(text("CREATE TABLE pme_check_000000000000 (id INTEGER)"))
    with (
        mock.patch.object(uuid, "uuid4", return_value=SimpleNamespace(hex="0" * 32)),
        pytest.raises(LedgerUnavailableError),
    ):
        check_creatable(database)


def test_file_that_can_be_made_is_not_made(tmp_path: Path) -> None:
    place = tmp_path / "home" / "of" / "a ledger" / "ledger.db"
    check_creatable(Database(sqlite_engine(place), SystemClock()))
    assert list(tmp_path.iterdir()) == []
