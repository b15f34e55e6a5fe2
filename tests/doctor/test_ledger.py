"""The ledger is checked on each database, without a trace, before and after its tables exist."""

from __future__ import annotations

from sqlalchemy import create_engine, inspect

from pme_airflow.clock import SystemClock
from pme_airflow.doctor import Verdict
from pme_airflow.doctor.ledger import check_ledger
from pme_airflow.ledger.database import Database
from pme_airflow.ledger.engines import tuned


def database(address: str) -> Database:
    return Database(tuned(create_engine(address)), SystemClock())


def test_ledger_without_tables_is_good_and_none_are_made(ledger_address: str) -> None:
    found = list(check_ledger(database(ledger_address), SystemClock()))
    assert {result.verdict for result in found} == {Verdict.GOOD}
    assert "first mint makes them" in found[-1].finding
    assert inspect(create_engine(ledger_address)).get_table_names() == []


def test_good_ledger_is_good_and_nothing_is_written(ledger_address: str) -> None:
    ledger = database(ledger_address)
    ledger.prepare()
    found = {result.check: result for result in check_ledger(ledger, SystemClock())}
    assert {result.verdict for result in found.values()} == {Verdict.GOOD}, found
    assert set(found) == {"reach", "version", "write", "isolation", "clock"}
    assert "pooler" not in found["isolation"].finding
    with ledger.engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM pme_runs").scalar() == 0


def test_database_that_is_away_is_named_with_a_cure() -> None:
    away = Database(tuned(create_engine("postgresql+psycopg2://u:word-of-secret@127.0.0.1:1/x")), SystemClock())
    (bad,) = check_ledger(away, SystemClock())
    assert bad.verdict is Verdict.BAD
    assert "ledger_conn_id" in bad.cure
    assert "word-of-secret" not in f"{bad}"
