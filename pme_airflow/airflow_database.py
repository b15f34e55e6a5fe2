"""Reading one connection from Airflow's database without loading Airflow's models, which takes a second.

For commands that a person waits for. Where anything is other than expected, the caller asks Airflow itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cryptography.fernet import Fernet, MultiFernet
from sqlalchemy import column, create_engine, select, table

from pme_airflow.airflow_compat import conf

__all__ = ["connection_fields"]

_FIELDS = ("conn_type", "host", "schema", "login", "password", "port", "extra")
_ENCRYPTED = {"password": "is_encrypted", "extra": "is_extra_encrypted"}
_SQLITE = "sqlite:///"
_connection = table("connection", column("conn_id"), *map(column, (*_FIELDS, *_ENCRYPTED.values())))


def connection_fields(conn_id: str) -> dict[str, Any] | None:
    """Return the fields of a connection in Airflow's database; ``None`` if there is none, or no database."""
    address = conf.get("database", "sql_alchemy_conn")
    if address.startswith(_SQLITE) and not Path(address.removeprefix(_SQLITE).partition("?")[0]).exists():
        return None
    engine = create_engine(address, hide_parameters=True)
    try:
        with engine.connect() as connection:
            row = connection.execute(select(_connection).where(_connection.c.conn_id == conn_id)).mappings().first()
    finally:
        engine.dispose()
    return None if row is None else {name: _clear(row, name) for name in _FIELDS}


def _clear(row: Mapping[Any, Any], name: str) -> Any:
    value = row[name]
    if not value or name not in _ENCRYPTED or not row[_ENCRYPTED[name]]:
        return value
    keys = [Fernet(key.strip().encode()) for key in conf.get("core", "fernet_key").split(",")]
    return MultiFernet(keys).decrypt(value.encode()).decode()
