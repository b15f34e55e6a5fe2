"""Finding the connection that can revoke a link of another client."""

from __future__ import annotations

import os
from contextlib import suppress

from pme_airflow.errors import PMEError
from pme_airflow.hooks.connection import CONN_TYPE
from pme_airflow.hooks.connection_lookup import find_connection

__all__ = ["connections_of_client", "how_to_revoke"]

_PREFIX = "AIRFLOW_CONN_"


def how_to_revoke(client_id: str) -> str:
    """Return a sentence that says which connection can revoke the links of a client."""
    conn_ids = connections_of_client(client_id)
    if not conn_ids:
        return (
            f"Only a connection with the client id {client_id} can revoke them, and none was found here. Run "
            "`pme-airflow sweep --conn-id …` with the connection that has it."
        )
    return f"The connection {' or '.join(conn_ids)} can revoke them: `pme-airflow sweep --conn-id {conn_ids[0]}`."


def connections_of_client(client_id: str) -> list[str]:
    """Return the PME connections with a client id, as far as connections can be listed here.

    Those in the environment can, and those in Airflow's database outside tasks; those of a secrets backend cannot.
    """
    return sorted({*_in_environment(client_id), *_in_database(client_id)})


def _in_environment(client_id: str) -> list[str]:
    found = []
    for name in os.environ:
        if name.startswith(_PREFIX):
            conn_id = name.removeprefix(_PREFIX).lower()
            with suppress(PMEError):
                connection = find_connection(conn_id)
                if connection.conn_type == CONN_TYPE and str(connection.login).strip() == client_id:
                    found.append(conn_id)
    return found


def _in_database(client_id: str) -> list[str]:
    if os.environ.get("_AIRFLOW_PROCESS_CONTEXT") != "server":
        return []
    try:
        from airflow import models
        from airflow.utils.session import create_session

        with create_session() as session:
            rows = session.query(models.Connection).filter_by(conn_type=CONN_TYPE)  # noqa: AIR311 - the table
            return [row.conn_id for row in rows if str(row.login).strip() == client_id]
    except Exception:  # noqa: BLE001 - Airflow's database may be down, or not there at all
        return []
