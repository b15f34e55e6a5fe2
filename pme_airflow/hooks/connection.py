"""Reading a PME connection into one frozen object."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from pme_airflow.addresses import checked_base_url
from pme_airflow.api.settings import DEFAULT_HOST, ClientSettings
from pme_airflow.errors import PMEInputError
from pme_airflow.hooks.connection_fields import API_ADDRESS, CLIENT_ID, CLIENT_SECRET, EXTRAS, PORT, extra_label
from pme_airflow.printable import plain_names, shape_of
from pme_airflow.secrets import SecretStr

__all__ = ["CONN_TYPE", "ConnectionSettings", "Extras"]

CONN_TYPE = "pme"
#: The most concurrent requests if the connection sets no limit.
_GROW_TO = 32
#: The most mutations in one request if the connection names no batch size.
_LARGEST_BATCH = 25
#: The key under which Airflow's URI form stores an extra with nested values.
_NESTED_EXTRA = "__extra__"
_CONN_TYPE = re.compile(r"[A-Za-z0-9_-]{1,20}")


@dataclass(frozen=True)
class Extras:
    """The connection's extras.

    :param ledger_conn_id: the SQL connection the ledger lives in; without it, an SQLite file in ``$AIRFLOW_HOME``.
    :param seal_keys: keys that seal links at rest, newest first, besides the client secret; ``open:<key>`` only opens.
    :param batch_size: mutations in one request; ``None`` to begin with 10 and adapt.
    :param max_concurrency: the most requests at once; ``None`` to begin with 8 and adapt.
    :param requests_per_second: a limit that all tasks of the connection share, or ``None``.
    :param timeout: seconds to wait for a connection, and for each part of a response.
    """

    ledger_conn_id: str | None = None
    seal_keys: tuple[SecretStr, ...] = ()
    batch_size: int | None = None
    max_concurrency: int | None = None
    requests_per_second: float | None = None
    timeout: float = 30.0

    @classmethod
    def read(cls, extra: Mapping[str, Any]) -> Extras:
        """Read a connection's extras.

        :raises PMEInputError: for an unknown name or a value of the wrong type or range.
        """
        unknown = sorted(set(map(str, extra)) - set(EXTRAS))
        if unknown:
            verb = "are" if len(unknown) > 1 else "is"
            raise PMEInputError(
                f"Extra: {plain_names(unknown)} {verb} unknown. The extras are {', '.join(EXTRAS)}; remove it."
            )
        given = {name: value for name, value in extra.items() if value is not None and value != ""}
        batch_size, concurrency = (_optional_number(given, name) for name in ("batch_size", "max_concurrency"))
        return cls(
            ledger_conn_id=_text(given, "ledger_conn_id"),
            seal_keys=_keys(given),
            batch_size=None if batch_size is None else int(batch_size),
            max_concurrency=None if concurrency is None else int(concurrency),
            requests_per_second=_optional_number(given, "requests_per_second"),
            timeout=_number(given, "timeout", cls.timeout),
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

        :raises PMEInputError: for a connection of another type, an invalid address, or an invalid extra.
        """
        if str(connection.conn_type).strip().lower() != CONN_TYPE:
            found = str(connection.conn_type or "none")
            shown = found if _CONN_TYPE.fullmatch(found) else "another kind"
            raise PMEInputError(
                f"The connection {connection.conn_id} is of type {shown}, not {CONN_TYPE}. "
                "Name a connection of type Matterport Private Model Embed, or change its type."
            )
        return cls(
            conn_id=str(connection.conn_id),
            host=_host(connection),
            client_id=_credential(connection.login, CLIENT_ID).strip(),
            client_secret=SecretStr(_credential(connection.password, CLIENT_SECRET)),
            extras=Extras.read(_extra_of(connection)),
        )

    @property
    def client_settings(self) -> ClientSettings:
        """The API client's sizes and limits."""
        batch_size, concurrency = self.extras.batch_size, self.extras.max_concurrency
        return ClientSettings(
            batch_size=batch_size or ClientSettings.batch_size,
            largest_batch=_LARGEST_BATCH if batch_size is None else None,
            max_concurrency=concurrency or ClientSettings.max_concurrency,
            grow_to=_GROW_TO if concurrency is None else None,
            requests_per_second=self.extras.requests_per_second,
            timeout=self.extras.timeout,
        )


def _credential(value: object, label: str) -> str:
    if value is not None and not isinstance(value, str):
        raise PMEInputError(f"{label}: expected a string, got {shape_of(value)}. Write it in quotes.")
    return value or ""


def _host(connection: Any) -> str:
    host = connection.host or ""
    if not isinstance(host, str):
        raise PMEInputError(f"{API_ADDRESS}: expected a string, got {shape_of(host)}.")
    port = _port(connection.port)
    if not host.strip():
        return DEFAULT_HOST
    if "://" not in host and connection.schema in ("http", "https"):
        host = f"{connection.schema}://{host.strip()}"
    base = checked_base_url(host, field=API_ADDRESS)
    parts = urlsplit(base)
    port = port or parts.port
    if parts.port not in (None, port):
        raise PMEInputError(f"{PORT}: is {port}, but {API_ADDRESS} has {parts.port}. Remove one of them.")
    if port in (None, parts.port, {"https": 443, "http": 80}[parts.scheme]):
        return base
    return urlunsplit(parts._replace(netloc=f"{parts.netloc}:{port}"))


def _port(value: object) -> int | None:
    """Return a port; ``None`` for none, and for 0, which Airflow's form sends for an empty field."""
    if value in (None, "", 0, "0"):
        return None
    text = str(value)
    if not text.isascii() or not text.isdecimal() or not 0 < int(text) < 65536:
        raise PMEInputError(f"{PORT}: expected a number from 1 to 65535. Leave it empty for the usual one.")
    return int(text)


def _extra_of(connection: Any) -> Mapping[str, Any]:
    extra = _json_object(connection.extra)
    if set(extra) == {_NESTED_EXTRA}:
        return _json_object(extra[_NESTED_EXTRA])
    return extra


def _json_object(value: object) -> Mapping[str, Any]:
    """Return a JSON object, also one that was encoded as a string once more."""
    for _ in range(2):
        if value is None or (isinstance(value, str) and not value.strip()):
            return {}
        if isinstance(value, str):
            value = _json(value)
    if not isinstance(value, Mapping):
        raise PMEInputError(
            f'Extra: expected a JSON object, got {shape_of(value)}. Write it as {{"ledger_conn_id": "…"}}, or leave it '
            "empty."
        )
    return value


def _json(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _text(given: Mapping[str, Any], name: str) -> str | None:
    value = given.get(name)
    if value is not None and not isinstance(value, str):
        raise PMEInputError(f"{extra_label(name)}: expected a string, got {shape_of(value)}.")
    return value.strip() or None if value is not None else None


def _number(given: Mapping[str, Any], name: str, default: float) -> float:
    value, field = given.get(name, default), EXTRAS[name]
    whole = field.kind == "integer"
    number: float | None = None
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        try:
            number = float(value)
        except (ValueError, OverflowError):
            number = None
    if number is None or not field.least <= number <= field.most or (whole and number != int(number)):
        kind = "a whole number" if whole else "a number"
        raise PMEInputError(
            f"{extra_label(name)}: expected {kind} from {field.least:g} to {field.most:g}, got {shape_of(value)}."
        )
    return number


def _optional_number(given: Mapping[str, Any], name: str) -> float | None:
    return _number(given, name, EXTRAS[name].least) if name in given else None


def _keys(given: Mapping[str, Any]) -> tuple[SecretStr, ...]:
    value = given.get("seal_keys", [])
    if isinstance(value, str):
        value = _json(value) if value.lstrip().startswith("[") else value.split(",")
    if not isinstance(value, list) or not all(isinstance(key, str) and key.strip() for key in value):
        raise PMEInputError(
            f"{extra_label('seal_keys')}: expected a list of strings, newest first (or strings separated by commas)."
        )
    return tuple(SecretStr(key.strip()) for key in value)
