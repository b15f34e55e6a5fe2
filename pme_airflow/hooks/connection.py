"""What a connection says, read once into one frozen object."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from pme_airflow.addresses import checked_base_url
from pme_airflow.api.client import DEFAULT_HOST, ClientSettings
from pme_airflow.errors import PMEInputError
from pme_airflow.secrets import SecretStr

__all__ = ["ConnectionSettings", "Extras"]

#: How many requests there may be under way at the most where the connection does not say.
_GROW_TO = 32


@dataclass(frozen=True)
class Extras:
    """The connection's extras.

    :param ledger_conn_id: the SQL connection the ledger lives in; without it, an SQLite file in ``$AIRFLOW_HOME``.
    :param seal_keys: keys that seal links at rest, newest first, besides the client secret; ``open:<key>`` only opens.
    :param batch_size: aliased mutations in one request.
    :param max_concurrency: requests under way at once, never more; ``None`` to begin with 8 and find what is welcome.
    :param requests_per_second: a hard ceiling that all tasks of the connection share, or ``None``.
    :param timeout: seconds to wait for a connection, and for each part of an answer.
    """

    ledger_conn_id: str | None = None
    seal_keys: tuple[SecretStr, ...] = ()
    batch_size: int = 10
    max_concurrency: int | None = None
    requests_per_second: float | None = None
    timeout: float = 30.0

    @classmethod
    def read(cls, extra: Mapping[str, Any]) -> Extras:
        """Read a connection's extras.

        :raises PMEInputError: for an unknown name or a value of the wrong type or range.
        """
        known = {field.name for field in fields(cls)}
        unknown = sorted(set(extra) - known)
        if unknown:
            raise PMEInputError(
                f"extra: {', '.join(unknown)} is unknown. The extras are {', '.join(sorted(known))}; take it out."
            )
        given = {name: value for name, value in extra.items() if value is not None and value != ""}
        defaults = cls()
        at_once = _if_given(given, "max_concurrency", 1, 256, whole=True)
        return cls(
            ledger_conn_id=_text(given, "ledger_conn_id"),
            seal_keys=_keys(given),
            batch_size=int(_number(given, "batch_size", defaults.batch_size, 1, 1000, whole=True)),
            max_concurrency=None if at_once is None else int(at_once),
            requests_per_second=_if_given(given, "requests_per_second", 0.001, 100_000),
            timeout=_number(given, "timeout", defaults.timeout, 0.1, 3600),
        )


@dataclass(frozen=True)
class ConnectionSettings:
    """One PME connection."""

    conn_id: str
    host: str
    client_id: str
    client_secret: SecretStr
    extras: Extras

    @classmethod
    def read(cls, connection: Any) -> ConnectionSettings:
        """Read an Airflow connection.

        :raises PMEInputError: for a missing id or secret, a host that cannot be right, or a bad extra.
        """
        return cls(
            conn_id=str(connection.conn_id),
            host=_host(connection),
            client_id=(connection.login or "").strip(),
            client_secret=SecretStr(connection.password or ""),
            extras=Extras.read(_extra_of(connection)),
        )

    @property
    def client_settings(self) -> ClientSettings:
        """How hard the client may lean on the API."""
        at_once = self.extras.max_concurrency
        return ClientSettings(
            batch_size=self.extras.batch_size,
            max_concurrency=at_once or ClientSettings.max_concurrency,
            grow_to=_GROW_TO if at_once is None else None,
            requests_per_second=self.extras.requests_per_second,
            timeout=self.extras.timeout,
        )


def _host(connection: Any) -> str:
    host = (connection.host or "").strip()
    if not host:
        return DEFAULT_HOST
    if "://" not in host and connection.schema in ("http", "https"):
        host = f"{connection.schema}://{host}"
    base = checked_base_url(host, field="host")
    parts = urlsplit(base)
    port = int(connection.port or 0) or parts.port
    if parts.port not in (None, port):
        raise PMEInputError(f"port: is {port}, and host says {parts.port}. Take it out of one of them.")
    if port in (None, parts.port, {"https": 443, "http": 80}[parts.scheme]):
        return base
    return urlunsplit(parts._replace(netloc=f"{parts.netloc}:{port}"))


def _extra_of(connection: Any) -> Mapping[str, Any]:
    text = connection.extra
    if not text:
        return {}
    try:
        extra = json.loads(text)
    except ValueError:
        extra = None
    if not isinstance(extra, dict):
        raise PMEInputError('extra: is no JSON object. Write it as {"ledger_conn_id": "…"}, or leave it empty.')
    return extra


def _text(given: Mapping[str, Any], name: str) -> str | None:
    value = given.get(name)
    if value is not None and not isinstance(value, str):
        raise PMEInputError(f"extra {name}: expected a text, got a {type(value).__name__}.")
    return value


def _number(
    given: Mapping[str, Any], name: str, default: float, least: float, most: float, *, whole: bool = False
) -> float:
    value = given.get(name, default)
    number: float | None = None
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        try:
            number = float(value)
        except ValueError:
            number = None
    if number is None or not least <= number <= most or (whole and number != int(number)):
        kind = "a whole number" if whole else "a number"
        raise PMEInputError(f"extra {name}: expected {kind} from {least:g} to {most:g}, got {_shape(value)}.")
    return number


def _if_given(given: Mapping[str, Any], name: str, least: float, most: float, *, whole: bool = False) -> float | None:
    return _number(given, name, least, least, most, whole=whole) if name in given else None


def _keys(given: Mapping[str, Any]) -> tuple[SecretStr, ...]:
    value = given.get("seal_keys", [])
    if isinstance(value, str):
        try:
            value = json.loads(value) if value.lstrip().startswith("[") else value.split(",")
        except ValueError:
            value = None
    if not isinstance(value, list) or not all(isinstance(key, str) and key.strip() for key in value):
        raise PMEInputError("extra seal_keys: expected a list of texts, newest first (or texts with commas between).")
    return tuple(SecretStr(key.strip()) for key in value)


def _shape(value: object) -> str:
    return f"{value:g}" if isinstance(value, int | float) and not isinstance(value, bool) else type(value).__name__
