"""A database's errors say what is wrong and what to do, with no statement, value or password in them."""

from __future__ import annotations

import sqlite3
from typing import Any

import psycopg2
import pymysql
import pytest
from psycopg import errors as psycopg_errors
from sqlalchemy import create_engine
from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    InterfaceError,
    OperationalError,
    ProgrammingError,
    ResourceClosedError,
)

from pme_airflow.errors import LedgerConflictError, LedgerError, LedgerUnavailableError, PMEError
from pme_airflow.ledger.database_errors import in_words

ENGINE = create_engine("postgresql+psycopg2://user:pa55word@db.test/ledger?sslmode=require")


class Server(Exception):
    """An error of psycopg's kind, with a SQLSTATE."""

    def __init__(self, sqlstate: str) -> None:
        super().__init__("a secret value stands in here")
        self.sqlstate = sqlstate


class Psycopg2(Exception):
    def __init__(self, pgcode: str) -> None:
        super().__init__("a secret value stands in here")
        self.pgcode = pgcode


def translated(original: Exception, kind: type[DBAPIError] = OperationalError, **named: Any) -> PMEError:
    error = in_words(kind("SELECT 'some sql'", {"x": "a value"}, original, **named), ENGINE)
    for secret in ("pa55word", "some sql", "a value", "secret", "sslmode"):
        assert secret not in str(error)
    return error


@pytest.mark.parametrize("code", ["40001", "40P01", "55P03"])
@pytest.mark.parametrize("make", [Server, Psycopg2])
def test_a_conflict_on_postgresql_is_one_to_try_again(code: str, make: type[Exception]) -> None:
    error = translated(make(code))
    assert isinstance(error, LedgerConflictError)
    assert code in str(error)
    assert "cannot be reached" not in str(error)
    assert not error.permanent


@pytest.mark.parametrize("number", [1213, 1205, 1020])
def test_a_conflict_on_mysql_is_one_to_try_again(number: int) -> None:
    assert isinstance(translated(pymysql.err.OperationalError(number, "a secret value")), LedgerConflictError)


@pytest.mark.parametrize(("number", "message"), [(1213, "writers"), (1205, "writers"), (1020, "writers"), (1021, "make room"),
                                                 (1142, "check the rights"), (1040, "more connections")])  # fmt: skip
def test_mysqls_number_counts_where_the_driver_has_a_state_too(number: int, message: str) -> None:
    original = pymysql.err.OperationalError(number, "a secret value")
    original.sqlstate = "HY000"
    assert message in str(translated(original))


@pytest.mark.parametrize("kind", [psycopg_errors.SerializationFailure, psycopg_errors.DeadlockDetected])
def test_the_driver_names_conflicts_by_the_codes_that_are_looked_for(kind: type[Exception]) -> None:
    assert isinstance(translated(kind("a secret")), LedgerConflictError)


@pytest.mark.parametrize(
    ("original", "cure"),
    [
        (Server("53100"), "make room"),
        (Server("25006"), "check the rights"),
        (Server("42501"), "check the rights"),
        (Server("53300"), "takes no more connections"),
        (Server("57014"), "time limit"),
        (Server("25P03"), "time limit"),
        (Server("28P01"), "refused the login"),
        (Server("3D000"), "no such database"),
        (Server("57P01"), "cannot be reached or went away"),
        (Server("08006"), "cannot be reached or went away"),
        (Server("58030"), "error 58030"),
        (pymysql.err.OperationalError(1021, "a secret"), "make room"),
        (pymysql.err.OperationalError(1114, "a secret"), "make room"),
        (pymysql.err.OperationalError(1045, "a secret"), "refused the login"),
        (pymysql.err.OperationalError(1049, "a secret"), "no such database"),
        (pymysql.err.OperationalError(1142, "a secret"), "check the rights"),
        (pymysql.err.OperationalError(1290, "a secret"), "check the rights"),
        (pymysql.err.OperationalError(1040, "a secret"), "takes no more connections"),
        (pymysql.err.OperationalError(1969, "a secret"), "time limit"),
        (pymysql.err.OperationalError(2003, "a secret"), "cannot be reached or went away"),
        (pymysql.err.OperationalError(2013, "a secret"), "cannot be reached or went away"),
        (pymysql.err.OperationalError(1927, "a secret"), "cannot be reached or went away"),
        (pymysql.err.OperationalError(1317, "a secret"), "error 1317"),
        (sqlite3.OperationalError("database or disk is full"), "make room"),
        (sqlite3.OperationalError("attempt to write a readonly database"), "check the rights"),
        (sqlite3.OperationalError("unable to open database file"), "check the rights"),
        (sqlite3.OperationalError("database is locked"), "another process held it for over 60 s"),
        (psycopg2.OperationalError("connection refused"), "cannot be reached or went away"),
        (psycopg2.OperationalError('FATAL:  password authentication failed for user "user"'), "refused the login"),
        (psycopg2.OperationalError('FATAL:  database "ledger" does not exist'), "no such database"),
        (psycopg2.OperationalError('FATAL:  role "user" does not exist'), "refused the login"),
        (psycopg2.OperationalError("FATAL:  sorry, too many clients already"), "takes no more connections"),
        (psycopg2.OperationalError("ERROR: no more connections allowed (max_client_conn)"), "takes no more connections"),
        (psycopg2.OperationalError("transaction blocks not allowed in statement pooling mode"), "pool_mode"),
        (psycopg_errors.ProtocolViolation("transaction blocks not allowed in statement pooling mode"), "pool_mode"),
        (psycopg_errors.ProtocolViolation("no more connections allowed (max_client_conn)"), "no more connections"),
        (psycopg_errors.ProtocolViolation("query_wait_timeout"), "cannot be reached or went away"),
    ],
    ids=str,
)  # fmt: skip
def test_what_may_pass_is_said_with_its_cure(original: Exception, cure: str) -> None:
    error = translated(original)
    assert isinstance(error, LedgerUnavailableError)
    assert not isinstance(error, LedgerConflictError)
    assert cure in str(error)
    assert "db.test" in str(error)


@pytest.mark.parametrize("kind", [InterfaceError, DBAPIError])
def test_a_connection_that_went_away_may_come_back(kind: type[DBAPIError]) -> None:
    class InterfaceError(Exception):  # noqa: N818 - the driver's own name
        pass

    assert isinstance(translated(InterfaceError("x"), kind), LedgerUnavailableError)


def test_a_connection_that_the_driver_calls_dead_may_come_back() -> None:
    assert isinstance(translated(ValueError("x"), DBAPIError, connection_invalidated=True), LedgerUnavailableError)


@pytest.mark.parametrize("kind", [ProgrammingError, DataError, DBAPIError])
def test_a_statement_that_is_refused_is_a_defect_and_not_an_outage(kind: type[DBAPIError]) -> None:
    error = translated(Server("42P01"), kind)
    assert isinstance(error, LedgerError)
    assert "refused a statement (Server)" in str(error)


def test_rights_that_are_missing_are_said_whatever_the_drivers_class() -> None:
    assert "check the rights" in str(translated(Server("42501"), ProgrammingError))


@pytest.mark.parametrize("kind", [OperationalError, ProgrammingError])
@pytest.mark.parametrize(
    "text", ['invalid connection option "ssl_mod"', 'invalid dsn: invalid connection option "ssl_mod"\n']
)
def test_an_extra_that_the_driver_does_not_know_is_named(text: str, kind: type[DBAPIError]) -> None:
    error = translated(psycopg2.ProgrammingError(text), kind)
    assert isinstance(error, LedgerError)
    assert "the extra ssl_mod is no option" in str(error)


def test_an_error_of_sqlalchemys_own_is_one_of_the_set_up() -> None:
    error = in_words(ResourceClosedError("a secret"), ENGINE)
    assert isinstance(error, LedgerError)
    assert "ResourceClosedError" in str(error)
    assert "secret" not in str(error)
