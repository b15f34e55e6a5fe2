"""Times are stored as whole microseconds and come back as they were; migrations make exactly the tables of the code."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import inspect, literal, select
from sqlalchemy.dialects import mysql, postgresql, sqlite

from pme_airflow.ledger.tables import EPOCH, UTCTimestamp, metadata
from tests.support.ledgers import ledger_at

DIALECTS = [sqlite.dialect(), postgresql.dialect(), mysql.dialect()]


def stored(value: datetime | None, dialect: object = DIALECTS[0]) -> int | None:
    return UTCTimestamp().bind_processor(dialect)(value)  # type: ignore[arg-type]


def loaded(value: object) -> datetime | None:
    return UTCTimestamp().result_processor(DIALECTS[0], None)(value)


@given(st.datetimes(timezones=st.just(timezone.utc) | st.timezones()))
def test_a_time_comes_back_exactly_and_in_utc(value: datetime) -> None:
    found = loaded(stored(value))
    assert found == value.astimezone(timezone.utc)
    assert found is not None
    assert found.tzinfo is timezone.utc


@pytest.mark.parametrize("dialect", DIALECTS, ids=["sqlite", "postgresql", "mysql"])
def test_every_database_is_sent_the_same_number(dialect: object) -> None:
    assert stored(EPOCH + timedelta(days=20_000, microseconds=1), dialect) == 1_728_000_000_000_001
    assert stored(EPOCH - timedelta(microseconds=1), dialect) == -1


def test_times_are_counted_from_1970() -> None:
    assert stored(datetime(2026, 1, 1, tzinfo=timezone.utc)) == 1_767_225_600_000_000
    assert loaded(0) == datetime(1970, 1, 1, tzinfo=timezone.utc)


def test_the_migrations_make_exactly_the_tables_of_the_code(ledger_address: str) -> None:
    database = ledger_at(ledger_address)
    database.prepare()
    with database.read() as tx:
        found = inspect(tx.connection)
        assert set(found.get_table_names()) == {*metadata.tables, "pme_version"}
        for name, table in metadata.tables.items():
            columns = {column["name"]: column["nullable"] for column in found.get_columns(name)}
            assert columns == {column.name: column.nullable for column in table.columns}
            lengths = {column["name"]: getattr(column["type"], "length", None) for column in found.get_columns(name)}
            assert {n: v for n, v in lengths.items() if v} == {
                c.name: c.type.length for c in table.columns if getattr(c.type, "length", None)
            }
            assert found.get_pk_constraint(name)["constrained_columns"] == table.primary_key.columns.keys()
            unique = {tuple(constraint["column_names"]) for constraint in found.get_unique_constraints(name)}
            assert unique == {(column.name,) for column in table.columns if column.unique}
            indexes = {index["name"]: index["column_names"] for index in found.get_indexes(name)}
            assert {index.name: index.columns.keys() for index in table.indexes}.items() <= indexes.items()


@pytest.mark.parametrize("name", metadata.tables)
def test_statements_over_every_table_are_compiled_once(name: str) -> None:
    table = metadata.tables[name]
    query = select(table).where(*(column == literal(None, column.type) for column in table.c))
    assert query._generate_cache_key() is not None


def test_no_time_is_stored_as_null() -> None:
    assert stored(None) is None
    assert loaded(None) is None


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(TypeError):
        stored(EPOCH.replace(tzinfo=None))


def test_a_number_is_read_whatever_type_the_driver_gives() -> None:
    assert loaded("1") == loaded(1) == EPOCH + timedelta(microseconds=1)


def test_writers_on_mysql_lock_rows_alone_and_case_matters_there() -> None:
    for table in metadata.tables.values():
        options = {key: table.dialect_options["mysql"][key] for key in ("engine", "charset", "collate")}
        assert options == {"engine": "InnoDB", "charset": "utf8mb4", "collate": "utf8mb4_bin"}, table.name
