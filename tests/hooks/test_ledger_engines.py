"""Where the ledger lives: what a connection says of its database reaches the driver, and nothing of it is dropped."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import psycopg
import pytest
from airflow.sdk import BaseHook
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from pme_airflow.clock import SystemClock
from pme_airflow.dev.playground.mariadb import program
from pme_airflow.errors import (
    LedgerConnectionError,
    LedgerError,
    LedgerMissingError,
    LedgerUnavailableError,
    LedgerVersionError,
)
from pme_airflow.hooks.ledger_engines import LEDGER_FILE, ledger_of
from pme_airflow.ledger.database import Database
from pme_airflow.ledger.engines import tuned
from pme_airflow.ledger.migrations import migrate
from tests.support.databases import fields_of, fresh
from tests.support.ledgers import mint
from tests.support.pooler import MISSING_PGBOUNCER, pooled, serving_pgbouncer

Define = Callable[..., Database]


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def define(monkeypatch: pytest.MonkeyPatch, home: Path) -> Define:
    """The ledger of a connection with these fields."""

    def of(**fields: Any) -> Database:
        monkeypatch.setenv("AIRFLOW_CONN_LEDGER", json.dumps(fields))
        return ledger_of("ledger", SystemClock())

    return of


def test_a_ledger_lives_in_the_database_of_a_connection(define: Define, ledger_address: str) -> None:
    database = define(**fields_of(ledger_address))
    mint(database)
    assert make_url(ledger_address).database == database.engine.url.database


def test_a_connections_database_is_migrated_by_command_alone(define: Define, ledger_address: str) -> None:
    migrate(define(**fields_of(ledger_address)).engine, "0001")
    with pytest.raises(LedgerVersionError):
        mint(define(**fields_of(ledger_address)))


@pytest.mark.parametrize(
    ("fields", "file"),
    [({"schema": "srv/l.db"}, "srv/l.db"), ({}, LEDGER_FILE), ({"host": "/srv/l.db"}, "/srv/l.db")],
)
def test_a_file_that_is_no_absolute_path_is_the_same_from_every_folder(
    define: Define, home: Path, fields: dict[str, Any], file: str
) -> None:
    assert define(conn_type="sqlite", **fields).engine.url.database == str(home / file)


def test_a_file_in_the_home_folder_may_be_named_by_a_tilde(
    define: Define, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(home / "me"))
    assert define(conn_type="sqlite", host="~/l.db").engine.url.database == str(home / "me" / "l.db")


def test_a_ledger_that_lies_in_the_folder_of_the_process_is_not_replaced_by_an_empty_one(
    define: Define, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = home / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    (here / "l.db").touch()
    with pytest.raises(
        LedgerError, match=f"{home / 'l.db'} does not exist, but {here / 'l.db'} does: give the full path"
    ):
        define(conn_type="sqlite", host="l.db")
    (home / "l.db").touch()
    assert define(conn_type="sqlite", host="l.db").engine.url.database == str(home / "l.db")


def test_without_a_connection_it_is_a_file_that_migrates_itself(home: Path) -> None:
    database = ledger_of(None, SystemClock())
    with pytest.raises(LedgerMissingError):
        database.check()
    migrate(database.engine, "0001")
    mint(ledger_of(None, SystemClock()))
    assert (home / LEDGER_FILE).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("name", ["CeleryExecutor", "airflow.providers.x.KubernetesExecutor", "Local,CeleryExecutor"])
def test_a_file_is_refused_where_tasks_are_spread_over_machines(
    home: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", name)
    with pytest.raises(LedgerError, match=name.rsplit(".", 1)[-1].rsplit(",", 1)[-1]):
        ledger_of(None, SystemClock())


def test_a_file_is_refused_in_a_pod_of_a_task_whose_template_names_the_local_executor(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So does the pod template of Airflow's Helm chart; the KubernetesExecutor sets the other variable in each pod."""
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "LocalExecutor")
    monkeypatch.setenv("AIRFLOW_IS_K8S_EXECUTOR_POD", "True")
    with pytest.raises(LedgerError, match="is missing, and KubernetesExecutor spreads tasks over machines"):
        ledger_of(None, SystemClock())


@pytest.mark.parametrize("name", ["LocalExecutor", "my:LocalExecutor", "SequentialExecutor"])
def test_a_file_is_taken_where_all_tasks_run_on_one_machine(
    home: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", name)
    assert ledger_of(None, SystemClock()).engine.url.database == str(home / LEDGER_FILE)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"conn_type": "http", "host": "x.test"}, "ledger is no SQL connection"),
        ({"conn_type": "nonsense"}, "ledger cannot be opened"),
        ({"conn_type": "mysql", "extra": {"sslca": "/ca.pem"}}, "sslca is unknown"),
    ],
)
def test_what_is_no_ledger_is_named_with_the_cure(define: Define, fields: dict[str, Any], message: str) -> None:
    with pytest.raises(LedgerError, match=message):
        define(**fields)


@pytest.mark.parametrize(
    ("place", "problem"),
    [("get_connection", "cannot be read"), ("get_hook", "cannot be opened")],
)
def test_a_connection_whose_backend_or_hook_fails_may_be_tried_again(
    define: Define, monkeypatch: pytest.MonkeyPatch, place: str, problem: str
) -> None:
    """A backend of secrets, or a cloud that is asked for a database's password, may be away for a moment."""

    def fails(_: str) -> Any:
        raise RuntimeError("s3cret")

    monkeypatch.setattr(BaseHook, place, fails)
    with pytest.raises(LedgerConnectionError, match=problem) as caught:
        define(conn_type="nonsense")
    assert not caught.value.permanent
    assert "s3cret" not in str(caught.value)


def test_a_connection_that_is_not_defined_is_named(home: Path) -> None:
    with pytest.raises(LedgerConnectionError, match="ledger_conn_id: The connection nowhere is not defined"):
        ledger_of("nowhere", SystemClock())


def test_a_mysql_connections_fields_and_extras_reach_the_driver(define: Define) -> None:
    extra = {"ssl_ca": "/ca.pem", "connect_timeout": 5}
    database = define(
        conn_type="mysql", host="db.test", port=3307, login="user", password="pa55", schema="ledger", extra=extra
    )
    with mock.patch("pymysql.connect", side_effect=OSError) as connect, pytest.raises(LedgerError):
        database.prepare()
    given = connect.call_args.kwargs
    expected = {"host": "db.test", "port": 3307, "user": "user", "password": "pa55", "database": "ledger",
                "ssl_ca": "/ca.pem", "connect_timeout": 5}  # fmt: skip
    assert {name: given[name] for name in expected} == expected


class Connected(Exception):
    pass


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        ({"sslmode": "verify-full", "sslrootcert": "/ca.pem"}, {"sslmode": "verify-full", "sslrootcert": "/ca.pem"}),
        ({"connect_timeout": 3, "application_name": "pme"}, {"connect_timeout": 3, "application_name": "pme"}),
        ({"options": "-c statement_timeout=9s", "cursor": "dictcursor"}, {"options": "-c statement_timeout=9s"}),
        ({"iam": False, "aws_conn_id": "x"}, {}),
    ],
    ids=str,
)
@pytest.mark.parametrize("scheme", ["postgresql+psycopg", "postgresql+psycopg2"])
def test_a_postgres_connections_extras_reach_the_driver(
    define: Define, extra: dict[str, Any], expected: dict[str, Any], scheme: str
) -> None:
    """The provider's hook hands them to its own connections, and not to its engine."""
    database = define(conn_type="postgres", host="db.test", login="user", schema="ledger",
                      extra={**extra, "sqlalchemy_scheme": scheme})  # fmt: skip
    driver = "psycopg2.connect" if scheme.endswith("2") else "psycopg.connect"
    with mock.patch(driver, side_effect=Connected) as connect, pytest.raises(Connected):
        database.engine.connect()
    given = dict(connect.call_args.kwargs)
    own = {"client_encoding": "utf8", "tcp_user_timeout": 60_000, "connect_timeout": 10,
           "keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3}  # fmt: skip
    given = {name: value for name, value in given.items() if name != "context" and own.get(name) != value}
    fields = {name: given.pop(name) for name in ("host", "user", "dbname")}
    assert fields == {"host": "db.test", "user": "user", "dbname": "ledger"}
    assert given == expected


def test_a_pooled_connection_that_the_server_ended_is_replaced(define: Define, servers: Callable[[str], str]) -> None:
    """As after a restart: a mint that learns of it in its transaction loses the tokens that it was about to record."""
    database = define(**fields_of(fresh(servers("postgresql"))))
    mint(database)
    with database.engine.connect() as one, database.engine.connect() as other:
        ended = other.scalar(text("SELECT pg_backend_pid()"))
        other.commit()
        other.close()
        one.execute(text(f"SELECT pg_terminate_backend({ended})"))
    for _ in range(2):
        mint(database)


@pytest.mark.skipif(program("pgbouncer") is None, reason=MISSING_PGBOUNCER)
def test_a_postgres_server_without_tls_is_refused_where_the_connection_demands_it(
    define: Define, servers: Callable[[str], str]
) -> None:
    """PgBouncer is a server that listens on TCP; on a Unix socket libpq demands nothing."""
    with serving_pgbouncer(servers("postgresql")) as pooler:
        url = make_url(pooled(fresh(servers("postgresql")), pooler))
        fields: dict[str, Any] = {"conn_type": "postgres", "host": url.host, "port": url.port, "login": url.username,
                                  "schema": url.database}  # fmt: skip
        mint(define(**fields))
        with pytest.raises(LedgerUnavailableError):
            mint(define(**fields, extra={"sslmode": "require"}))


def test_an_extra_that_postgres_does_not_know_is_named(define: Define, servers: Callable[[str], str]) -> None:
    database = define(**{**fields_of(fresh(servers("postgresql"))), "extra": {"ssl_mode": "require"}})
    with pytest.raises(LedgerError, match="ssl_mode"):
        database.prepare()


def test_the_engine_of_the_providers_hook_prepares_no_statements(define: Define, ledger_address: str) -> None:
    if not ledger_address.startswith("postgresql"):
        pytest.skip("it is about PostgreSQL")
    database = define(**fields_of(ledger_address))
    with database.engine.connect() as connection:
        raw = connection.connection.driver_connection
        assert isinstance(raw, psycopg.Connection)
        assert raw.prepare_threshold is None
        for _ in range(10):
            connection.execute(text("SELECT 1 + :one"), {"one": 1})
        assert connection.scalar(text("SELECT count(*) FROM pg_prepared_statements")) == 0


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        yield silent.getsockname()[1]


@pytest.mark.parametrize("kind", ["postgres", "mysql"])
def test_a_server_that_never_answers_a_login_is_waited_for_as_long_as_the_connection_allows(
    define: Define, silent_port: int, kind: str
) -> None:
    fields = {"conn_type": kind, "host": "127.0.0.1", "port": silent_port, "login": "u", "password": "p", "schema": "s"}
    database = define(**fields, extra={"connect_timeout": 2})
    with pytest.raises(LedgerUnavailableError, match="cannot be reached or went away"):
        database.revision()


@pytest.mark.parametrize("driver", ["psycopg2", "psycopg"])
def test_postgresql_is_waited_for_ten_seconds_unless_the_connection_says_otherwise(driver: str) -> None:
    class Connected(Exception):
        pass

    def given(**extras: object) -> dict[str, Any]:
        with mock.patch(f"{driver}.connect", side_effect=Connected) as connect, pytest.raises(Connected):
            tuned(create_engine(f"postgresql+{driver}://h/s", connect_args=extras)).connect()
        return dict(connect.call_args.kwargs)

    assert given()["connect_timeout"] == 10
    assert given()["tcp_user_timeout"] == 60_000
    assert given(connect_timeout=3)["connect_timeout"] == 3
