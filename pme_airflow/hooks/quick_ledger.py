"""The ledger of a connection for commands that only read it, found without loading the API client and the hook."""

from __future__ import annotations

import json
import os
from typing import Any

from pme_airflow.airflow_compat import conf
from pme_airflow.clock import SystemClock
from pme_airflow.hooks.connection import ConnectionSettings
from pme_airflow.hooks.connection_lookup import find_connection
from pme_airflow.hooks.ledger_engines import ledger_in, ledger_of
from pme_airflow.ledger.database import Database

__all__ = ["quick_ledger"]


def quick_ledger(conn_id: str) -> Database:
    """Return the ledger of a PME connection.

    :raises PMEInputError: if the connection cannot be right.
    :raises LedgerError: if the ledger cannot be used as it is set up.
    """
    settings = ConnectionSettings.read(_quick_connection(conn_id) or find_connection(conn_id))
    ledger_conn_id = settings.extras.ledger_conn_id
    found = _quick_connection(ledger_conn_id) if ledger_conn_id else None
    return ledger_of(ledger_conn_id, SystemClock()) if found is None else ledger_in(found, SystemClock())


def _quick_connection(conn_id: str) -> Any:
    """Return a connection of the environment or of Airflow's database; ``None`` where Airflow has to be asked."""
    try:
        if conf.get("secrets", "backend", fallback=""):
            return None
        return _in_environment(conn_id) or _in_database(conn_id)
    except Exception:  # noqa: BLE001 - Airflow says better what is wrong with a definition, a key or a database
        return None


def _in_environment(conn_id: str) -> Any:
    definition = os.environ.get(f"AIRFLOW_CONN_{conn_id.upper()}", "").strip()
    if not definition:
        return None
    from airflow.sdk import Connection

    if definition.startswith("{"):
        return Connection.from_json(definition, conn_id=conn_id)
    return Connection.from_uri(definition, conn_id=conn_id)


def _in_database(conn_id: str) -> Any:
    from pme_airflow.airflow_database import connection_fields

    fields = connection_fields(conn_id)
    if fields is None:
        return None
    from airflow.sdk import Connection

    if isinstance(fields["extra"], dict):
        fields["extra"] = json.dumps(fields["extra"])
    return Connection(conn_id=conn_id, **fields)
