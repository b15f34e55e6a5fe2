"""A MySQL connection's extras reach PyMySQL: TLS above all, and none is dropped without a word."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pymysql
import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from pme_airflow.clock import SystemClock
from pme_airflow.dev.playground.mariadb import MISSING_MARIADB, program, serving_mariadb
from pme_airflow.errors import LedgerError, LedgerUnavailableError
from pme_airflow.ledger.database import Database
from pme_airflow.ledger.mysql import MySQLAddress, mysql_engine
from tests.support.certificates import Authority
from tests.support.ledgers import mint


class Connected(Exception):
    """Ends the attempt to connect, once the driver was called."""


def arguments(**extras: Any) -> dict[str, Any]:
    """What PyMySQL is called with."""
    address = MySQLAddress("db.test", 3307, "user", "pass", "ledger", extras)
    with mock.patch("pymysql.connect", side_effect=Connected) as connect, pytest.raises(Connected):
        mysql_engine(address).connect()
    given: dict[str, Any] = connect.call_args.kwargs
    assert {name: given.pop(name) for name in ("host", "port", "user", "password", "database")} == {
        "host": "db.test", "port": 3307, "user": "user", "password": "pass", "database": "ledger"
    }  # fmt: skip
    return {name: value for name, value in given.items() if name not in ("charset", "client_flag")}


def named(**extras: Any) -> dict[str, Any]:
    """What PyMySQL is called with, but for the time that a login may take."""
    given = arguments(**extras)
    assert (given.pop("connect_timeout"), given.pop("read_timeout")) == (10, 10)
    return given


def test_without_extras_the_driver_decides() -> None:
    assert named() == {}
    assert named(charset="", ssl=None, ssl_mode="", cursor="dictcursor") == {}


def test_a_login_takes_as_long_as_the_extra_allows_and_statements_as_long_as_theirs(clear: Path) -> None:
    assert arguments(connect_timeout=7, read_timeout="8") == {"connect_timeout": 7, "read_timeout": 7}
    for extras, seconds in (({"read_timeout": 8}, 8), ({}, None)):
        with ledger(clear, **extras).engine.connect() as connection:
            assert connection.connection.dbapi_connection._read_timeout == seconds  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("extras", "expected"),
    [
        ({"unix_socket": "/run/db.sock"}, {"unix_socket": "/run/db.sock"}),
        ({"local_infile": "false", "init_command": "SET x"}, {"local_infile": False, "init_command": "SET x"}),
        ({"ssl_ca": "/ca.pem"}, {"ssl_ca": "/ca.pem", "ssl_verify_cert": True}),
        ({"ssl_ca": "/ca.pem", "ssl_verify_cert": False}, {"ssl_ca": "/ca.pem", "ssl_verify_cert": False}),
        ({"ssl_cert": "/c.pem", "ssl_key": "/c.key", "ssl_key_password": "p"},
         {"ssl_cert": "/c.pem", "ssl_key": "/c.key", "ssl_key_password": "p"}),
        ({"ssl_verify_identity": "true"}, {"ssl_verify_identity": True}),
        ({"ssl_disabled": "1"}, {"ssl_disabled": True}),
        ({"ssl_disabled": False}, {"ssl_disabled": False}),
        ({"ssl": {"ca": "/ca.pem", "check_hostname": False}}, {"ssl": {"ca": "/ca.pem", "check_hostname": False}}),
        ({"ssl": json.dumps({"cert": "/c.pem", "key": "/c.key"})}, {"ssl": {"cert": "/c.pem", "key": "/c.key"}}),
        ({"ssl": True}, {"ssl": {"verify_mode": "none"}}),
        ({"ssl": "true"}, {"ssl": {"verify_mode": "none"}}),
        ({"ssl": "{}"}, {}),
        ({"ssl": False}, {}),
        ({"ssl_mode": "DISABLED"}, {"ssl_disabled": True}),
        ({"ssl_mode": "preferred"}, {}),
        ({"ssl_mode": "REQUIRED"}, {"ssl": {"verify_mode": "none"}}),
        ({"ssl_mode": "verify-ca"}, {"ssl_verify_cert": True}),
        ({"ssl_mode": "VERIFY_IDENTITY", "ssl_ca": "/ca.pem"},
         {"ssl_ca": "/ca.pem", "ssl_verify_cert": True, "ssl_verify_identity": True}),
        ({"ssl_mode": "DISABLED", "ssl_disabled": True}, {"ssl_disabled": True}),
    ],
    ids=str,
)  # fmt: skip
def test_an_extra_reaches_the_driver(extras: dict[str, Any], expected: dict[str, Any]) -> None:
    assert named(**extras) == expected


@pytest.mark.parametrize("charset", ["utf8", "UTF8MB3", "utf8mb4", None])
def test_the_connection_holds_every_character_whatever_the_extra_calls_it(charset: str | None) -> None:
    address = MySQLAddress(extras={} if charset is None else {"charset": charset})
    with mock.patch("pymysql.connect", side_effect=Connected) as connect, pytest.raises(Connected):
        mysql_engine(address).connect()
    assert connect.call_args.kwargs["charset"] == "utf8mb4"
    assert connect.call_args.kwargs["host"] == "localhost"


@pytest.mark.parametrize(
    ("extras", "message"),
    [
        ({"sslca": "/ca.pem", "sslmode": "require"}, "sslca, sslmode is unknown.*ssl_ca"),
        ({"charset": "latin1"}, "charset is latin1"),
        ({"connect_timeout": "soon"}, "connect_timeout must be a whole number"),
        ({"connect_timeout": True}, "connect_timeout must be a whole number"),
        ({"ssl_disabled": "maybe"}, "ssl_disabled must be true or false"),
        ({"ssl_mode": "STRICT"}, "ssl_mode is STRICT.*VERIFY_CA"),
        ({"ssl_mode": "REQUIRED", "ssl_disabled": True}, "ssl_disabled contradicts"),
        ({"ssl": {"ca": "/ca.pem"}, "ssl_disabled": True}, "ssl_disabled contradicts"),
        ({"ssl": {"cafile": "/ca.pem", "x": 1}}, "ssl has cafile, x"),
        ({"ssl": "no json"}, "ssl has no JSON object"),
        ({"ssl": "[1]"}, "ssl has no JSON object"),
        ({"ssl": 7}, "ssl has no JSON object"),
    ],
    ids=str,
)
def test_an_extra_that_is_wrong_is_named(extras: dict[str, Any], message: str) -> None:
    with pytest.raises(LedgerError, match=message):
        mysql_engine(MySQLAddress(extras=extras))


def test_no_password_stands_in_what_is_printed() -> None:
    address = MySQLAddress("db.test", 3306, "user", "pa55word", "ledger", {"ssl_key_password": "pa55word"})
    assert "pa55word" not in f"{address!r} {mysql_engine(address)!r} {mysql_engine(address).url!r}"


@pytest.mark.parametrize(
    "extras", [{"ssl_ca": "/none.pem"}, {"ssl": {"cert": "/none.pem"}}, {"ssl": {"cipher": "x"}}], ids=str
)
def test_a_file_that_cannot_be_read_is_said_in_words(extras: dict[str, Any]) -> None:
    database = Database(mysql_engine(MySQLAddress("127.0.0.1", 9, extras=extras)), SystemClock())
    with pytest.raises(LedgerError, match="file or value of the TLS extras"):
        database.prepare()


# ------------------------------------------------------------ a real server


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    made = Authority.in_folder(tmp_path_factory.mktemp("certificates"))
    for name in ("localhost", "elsewhere", "client"):
        made.issue(name)
    return made


def served(folder: Path, authority: Authority, certificate: str | None) -> Iterator[Path]:
    if program("mariadbd") is None:
        pytest.skip(MISSING_MARIADB)
    files = authority.folder
    options = ["--skip-ssl"] if certificate is None else [
        f"--ssl-ca={files}/ca.pem", f"--ssl-cert={files}/{certificate}.pem", f"--ssl-key={files}/{certificate}.key"
    ]  # fmt: skip
    with serving_mariadb(folder, *options) as (socket, address):
        with create_engine(address, poolclass=NullPool).begin() as connection:
            connection.execute(text("CREATE DATABASE ledger"))
            connection.execute(text("CREATE USER plain@localhost"))
            connection.execute(text("CREATE USER certified@localhost REQUIRE X509"))
            for user in ("plain", "certified"):
                connection.execute(text(f"GRANT ALL ON ledger.* TO {user}@localhost"))
        yield socket


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[Path]:
    yield from served(tmp_path_factory.mktemp("secure"), authority, "localhost")


@pytest.fixture(scope="module")
def misnamed(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[Path]:
    yield from served(tmp_path_factory.mktemp("misnamed"), authority, "elsewhere")


@pytest.fixture(scope="module")
def clear(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[Path]:
    yield from served(tmp_path_factory.mktemp("clear"), authority, None)


def ledger(socket: Path, user: str = "plain", **extras: Any) -> Database:
    address = MySQLAddress("localhost", None, user, None, "ledger", {"unix_socket": str(socket), **extras})
    return Database(mysql_engine(address), SystemClock(), migrate=True)


def cipher(database: Database) -> str:
    with database.engine.connect() as connection:
        return str(connection.execute(text("SHOW STATUS LIKE 'Ssl_cipher'")).one()[1])


def test_each_connection_has_the_bounds_of_its_own_extras() -> None:
    """SQLAlchemy before 2.0.37 passes the same dictionary for every connection."""
    parameters: dict[str, Any] = {"read_timeout": 8}
    engine = mysql_engine(MySQLAddress("db.test", extras=parameters))
    dialect = mock.Mock()
    for _ in range(2):
        for listener in engine.dialect.dispatch.do_connect:
            connection = listener(dialect, None, (), parameters)
        assert connection._read_timeout == 8
    assert parameters == {"read_timeout": 8}


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="Linux alone has it")
def test_a_host_that_vanished_ends_a_statement_after_a_minute() -> None:
    engine = mysql_engine(MySQLAddress("db.test"))
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as sock:
        dialect = mock.Mock()
        dialect.connect.return_value = SimpleNamespace(_sock=sock)
        for listener in engine.dialect.dispatch.do_connect:
            listener(dialect, None, (), {})
        names = ("TCP_USER_TIMEOUT", "TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT")
        found = [sock.getsockopt(socket.IPPROTO_TCP, getattr(socket, name)) for name in names]
        assert found == [60_000, 30, 10, 3]


def test_a_server_that_wants_a_certificate_is_shown_it(secure: Path, authority: Authority) -> None:
    files = authority.folder
    pair = {"ssl_cert": str(files / "client.pem"), "ssl_key": str(files / "client.key")}
    database = ledger(secure, "certified", ssl_ca=str(files / "ca.pem"), **pair)
    mint(database)
    assert cipher(database)
    in_one = {"ca": str(files / "ca.pem"), "cert": pair["ssl_cert"], "key": pair["ssl_key"]}
    assert cipher(ledger(secure, "certified", ssl=in_one))
    with pytest.raises(LedgerUnavailableError, match="refused the login"):
        ledger(secure, "certified").prepare()


@pytest.mark.parametrize("extras", [{"ssl": True}, {"ssl_mode": "REQUIRED"}], ids=str)
def test_encryption_is_made_where_it_is_demanded(secure: Path, extras: dict[str, Any]) -> None:
    assert cipher(ledger(secure, **extras))
    assert not cipher(ledger(secure, ssl_disabled=True))


@pytest.mark.parametrize("extras", [{"ssl": True}, {"ssl_mode": "REQUIRED"}, {"ssl_verify_cert": True}], ids=str)
def test_a_server_without_encryption_is_refused_where_it_is_demanded(clear: Path, extras: dict[str, Any]) -> None:
    with pytest.raises((LedgerError, LedgerUnavailableError)):
        ledger(clear, **extras).prepare()
    ledger(clear).prepare()


def test_a_driver_that_goes_on_in_clear_is_caught(clear: Path) -> None:
    """As those before 1.2 do: here the demand is taken out between the ledger and the driver."""
    database = ledger(clear, ssl_mode="REQUIRED")

    def without_demand(*args: Any, ssl: object, **named: Any) -> Any:
        return connect(*args, **named)

    connect = pymysql.connect
    with mock.patch("pymysql.connect", without_demand), pytest.raises(LedgerError, match="demand an encrypted"):
        database.prepare()


def test_an_authority_that_did_not_sign_is_refused(secure: Path, tmp_path: Path, authority: Authority) -> None:
    stranger = Authority.in_folder(tmp_path).folder / "ca.pem"
    with pytest.raises(LedgerUnavailableError):
        ledger(secure, ssl_ca=str(stranger)).prepare()
    ledger(secure, ssl_ca=str(authority.folder / "ca.pem")).prepare()


def test_another_hosts_certificate_is_refused_where_identity_is_verified(misnamed: Path, authority: Authority) -> None:
    ca = str(authority.folder / "ca.pem")
    ledger(misnamed, ssl_ca=ca, ssl_mode="VERIFY_CA").prepare()
    with pytest.raises(LedgerUnavailableError):
        ledger(misnamed, ssl_ca=ca, ssl_mode="VERIFY_IDENTITY").prepare()


@pytest.mark.parametrize("extras", [{"k3f9s8d7q2m4x6z1b5n0c8v7y": 1}, {"charset": "k3f9s8d7q2m4x6z1b5n0c8v7y"},
                                    {"ssl_mode": "k3f9s8d7q2m4x6z1b5n0c8v7y"}, {"ssl": {"k3f9s8d7q2m4x6z1b5n0c8v7y": 1}}])  # fmt: skip
def test_a_secret_that_slipped_among_the_extras_is_not_repeated(extras: dict[str, object]) -> None:
    with pytest.raises(LedgerError) as refused:
        arguments(**extras)
    assert "k3f9" not in str(refused.value).lower()


@pytest.mark.parametrize("value", ["9" * 5000, 10**400, -1, "-1", 1.5, "\u0661"])
def test_a_number_that_is_none_is_refused_by_its_name(value: object) -> None:
    with pytest.raises(LedgerError, match="connect_timeout must be a whole number"):
        arguments(connect_timeout=value)
