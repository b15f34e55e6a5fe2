"""MySQL and MariaDB as the ledger's home: an Airflow connection's fields and extras, as PyMySQL takes them."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import URL, Engine, create_engine, event

from pme_airflow.errors import LedgerError
from pme_airflow.ledger.engines import CONNECT_SECONDS, tuned
from pme_airflow.printable import plain_names

__all__ = ["MySQLAddress", "mysql_engine"]

#: Extras that PyMySQL takes by the same name.
_TEXTS = ("unix_socket", "bind_address", "init_command", "program_name", "read_default_file", "read_default_group",
          "server_public_key", "sql_mode", "collation", "ssl_ca", "ssl_cert", "ssl_key",
          "ssl_key_password")  # fmt: skip
_NUMBERS = ("connect_timeout", "read_timeout", "write_timeout", "max_allowed_packet")
_FLAGS = ("local_infile", "ssl_disabled", "ssl_verify_cert", "ssl_verify_identity")
#: Extras of Airflow's MySQL hook that say nothing about the connection, only how its rows are returned.
_WITHOUT_EFFECT = ("cursor",)
_KNOWN = frozenset((*_TEXTS, *_NUMBERS, *_FLAGS, *_WITHOUT_EFFECT, "charset", "ssl", "ssl_mode"))
_SSL_KEYS = frozenset({"ca", "capath", "cert", "key", "password", "cipher", "check_hostname", "verify_mode"})
#: What MySQL's words for ``ssl_mode`` mean to PyMySQL. Encryption without verification is demanded by a dictionary.
_MODES: dict[str, dict[str, Any]] = {
    "DISABLED": {"ssl_disabled": True},
    "PREFERRED": {},
    "REQUIRED": {"ssl": {"verify_mode": "none"}},
    "VERIFY_CA": {"ssl_verify_cert": True},
    "VERIFY_IDENTITY": {"ssl_verify_cert": True, "ssl_verify_identity": True},
}
_SHORT_WORD = re.compile(r"[A-Za-z0-9_-]{1,16}")
_NUMBER = re.compile(r"[0-9]{1,9}", re.ASCII)
#: What others call a part of the encoding that the ledger's tables have.
_CHARSETS = ("utf8", "utf8mb3", "utf8mb4")


#: Options of TCP sockets by which a host that vanished is noticed: data stays unacknowledged for at most 60 s (in ms),
#: and after 30 s without any the other end is asked for a sign of life, every 10 s, three times.
_LOST_HOST = {"TCP_USER_TIMEOUT": 60_000, "TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3}


@dataclass(frozen=True)
class MySQLAddress:
    """Where a MySQL or MariaDB database is, and how it is connected to.

    :param extras: the Airflow connection's extras.
    """

    host: str | None = None
    port: int | None = None
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    database: str | None = None
    extras: Mapping[str, Any] = field(default_factory=dict, repr=False)


def mysql_engine(address: MySQLAddress) -> Engine:
    """Return an engine over a MySQL or MariaDB database.

    :raises LedgerError: for an extra that is unknown, has no usable value, or contradicts another.
    """
    url = URL.create(
        "mysql+pymysql", address.user, address.password, address.host or "localhost", address.port, address.database
    )
    arguments = _arguments(address.extras)
    engine = create_engine(url, pool_pre_ping=True, hide_parameters=True, connect_args=arguments)
    _connect_in_time(engine)
    if _demands_tls(arguments):
        _require_tls(engine)
    return tuned(engine)


def _arguments(extras: Mapping[str, Any]) -> dict[str, Any]:
    unknown = sorted(set(map(str, extras)) - _KNOWN)
    if unknown:
        raise LedgerError(
            f"ledger_conn_id: the extra {plain_names(unknown)} is unknown for MySQL. Known are "
            f"{', '.join(sorted(_KNOWN - set(_WITHOUT_EFFECT)))}; remove it or correct it."
        )
    given = {name: value for name, value in extras.items() if value is not None and value != ""}
    charset = str(given.get("charset", "utf8mb4")).lower()
    if charset not in _CHARSETS:
        raise LedgerError(
            f"ledger_conn_id: the extra charset is {_shown(charset)}, which cannot hold every reason and name. Remove "
            "it; the ledger uses utf8mb4."
        )
    arguments: dict[str, Any] = {"charset": "utf8mb4"}
    arguments.update((name, str(given[name])) for name in _TEXTS if name in given)
    arguments.update((name, _number(name, given[name])) for name in _NUMBERS if name in given)
    arguments.update((name, _flag(name, given[name])) for name in _FLAGS if name in given)
    return _with_tls(arguments, given)


def _with_tls(arguments: dict[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Add the extras ``ssl`` and ``ssl_mode``.

    A certificate authority that is named is always checked against, as MySQL's own client does; PyMySQL would not.
    """
    tls = _ssl_extra(given.get("ssl"))
    mode = str(given.get("ssl_mode", "PREFERRED")).upper().replace("-", "_")
    if mode not in _MODES:
        raise LedgerError(f"ledger_conn_id: the extra ssl_mode is {_shown(mode)}. Give one of {', '.join(_MODES)}.")
    if arguments.get("ssl_disabled") and (tls or mode not in ("DISABLED", "PREFERRED")):
        raise LedgerError("ledger_conn_id: the extra ssl_disabled contradicts ssl or ssl_mode. Remove one of them.")
    if "ssl_ca" in arguments:
        arguments.setdefault("ssl_verify_cert", True)
    for name, value in _MODES[mode].items():
        arguments[name] = value
    if tls:
        arguments["ssl"] = tls
    return arguments


def _ssl_extra(value: Any) -> dict[str, Any]:
    """Return the extra ``ssl`` as PyMySQL takes it: a JSON object, or ``true`` for encryption without verification."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            value = "no JSON"
    if value is None or value is False:
        return {}
    if value is True:
        return dict(_MODES["REQUIRED"]["ssl"])
    if not isinstance(value, dict) or set(value) - _SSL_KEYS:
        unknown = plain_names(sorted(map(str, set(value) - _SSL_KEYS))) if isinstance(value, dict) else "no JSON object"
        raise LedgerError(
            f"ledger_conn_id: the extra ssl has {unknown}. Give a JSON object of {', '.join(sorted(_SSL_KEYS))}."
        )
    return dict(value)


def _demands_tls(arguments: Mapping[str, Any]) -> bool:
    named = ("ssl", "ssl_ca", "ssl_cert", "ssl_key", "ssl_verify_cert", "ssl_verify_identity")
    return not arguments.get("ssl_disabled") and any(arguments.get(name) for name in named)


def _connect_in_time(engine: Engine) -> None:
    """Bound the login, and say in words that a file of the TLS extras cannot be read.

    PyMySQL's connect_timeout ends with the TCP connection: a server that never sends its greeting would be waited for
    without end. And it lets the bare error of a file through.
    """

    @event.listens_for(engine, "do_connect")
    def _connecting(dialect: Any, _record: object, args: Any, parameters: dict[str, Any]) -> Any:
        problem = ""
        given = dict(parameters)  # SQLAlchemy before 2.0.37 passes the same dictionary for every connection
        seconds = given.setdefault("connect_timeout", CONNECT_SECONDS)
        for_statements = given.pop("read_timeout", None)
        try:
            connection = dialect.connect(*args, read_timeout=seconds, **given)
            connection._read_timeout = for_statements  # PyMySQL has no public way to change it
            _notice_lost_host(connection._sock)
            return connection
        except (OSError, ValueError, TypeError) as error:
            problem = type(error).__name__
        raise LedgerError(
            f"ledger_conn_id: a file or value of the TLS extras cannot be used ({problem}). Check ssl_ca, ssl_cert, "
            "ssl_key and ssl, and that this machine has the files."
        )


def _notice_lost_host(sock: Any) -> None:
    """Let a host that vanished end a statement after a minute, where the platform can; a Unix socket has no host."""
    if getattr(sock, "family", None) not in (socket.AF_INET, socket.AF_INET6):
        return
    for name, value in _LOST_HOST.items():
        option = getattr(socket, name, None)
        if option is not None:
            sock.setsockopt(socket.IPPROTO_TCP, option, value)


def _require_tls(engine: Engine) -> None:
    """Refuse a connection that is not encrypted: drivers before 1.2 went on in clear where the server has no TLS."""

    @event.listens_for(engine, "connect", insert=True)
    def _connected(connection: Any, _record: object) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SHOW STATUS LIKE 'Ssl_cipher'")
            cipher = (cursor.fetchone() or ("", ""))[1]
        if not cipher:
            raise LedgerError(
                "ledger_conn_id: its TLS extras demand an encrypted connection, and the server made none. Turn TLS on "
                "there, or take the extras out."
            )


def _number(name: str, value: Any) -> int:
    text = value.strip() if isinstance(value, str) else str(value) if isinstance(value, int) else ""
    if isinstance(value, bool) or not _NUMBER.fullmatch(text):
        raise LedgerError(f"ledger_conn_id: the extra {name} must be a whole number of at most 9 digits.")
    return int(text)


def _flag(name: str, value: Any) -> bool:
    word = str(value).strip().lower()
    if word not in ("true", "false", "1", "0", "yes", "no"):
        raise LedgerError(f"ledger_conn_id: the extra {name} must be true or false.")
    return word in ("true", "1", "yes")


def _shown(value: str) -> str:
    """Return a value for an error message; one that is no short word may be a secret."""
    return value if _SHORT_WORD.fullmatch(value) else "of an unknown form"
