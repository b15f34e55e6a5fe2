"""Find an Airflow connection; errors say what is wrong with its definition and never quote it."""

from __future__ import annotations

import json
import os
from typing import Any

from airflow.sdk import BaseHook

from pme_airflow.airflow_compat import AirflowNotFoundException
from pme_airflow.errors import PMEConnectionError, PMEInputError
from pme_airflow.printable import plain_names

__all__ = ["find_connection"]

_FIELDS = ("conn_type", "login", "password", "host", "port", "schema", "extra", "description")


def find_connection(conn_id: str) -> Any:
    """Return an Airflow connection.

    :raises PMEInputError: if its definition in the environment cannot be read. Airflow treats one that it cannot parse
        as missing, and its errors quote it, secret included.
    :raises PMEConnectionError: if it is not found or cannot be read elsewhere, which may pass: Airflow treats a secrets
        backend that does not answer as one that lacks the connection.
    """
    found: PMEInputError
    try:
        return BaseHook.get_connection(conn_id)
    except AirflowNotFoundException:
        found = _not_found(conn_id)
    except Exception as error:  # noqa: BLE001 - a secrets backend of any author may raise anything
        problem = f"cannot be read ({type(error).__name__}). Check its definition and the secrets backend."
        found = PMEConnectionError(f"The connection {conn_id} {problem}")
    raise found


def _not_found(conn_id: str) -> PMEInputError:
    variable = f"AIRFLOW_CONN_{conn_id.upper()}"
    definition = os.environ.get(variable, "").strip()
    if not definition:
        return PMEConnectionError(
            f"The connection {conn_id} is not defined, or what defines it did not answer. Add it in Airflow, or set "
            f"{variable}; with a secrets backend check that this machine reaches it."
        )
    if definition.startswith("{"):
        problem = f"the JSON in {variable} {_mistake_in_json(definition)}."
    else:
        problem = (
            f"{variable} is no URI that Airflow can parse. Percent-encode every special character of the client secret "
            "and the API address in it, or write it as JSON."
        )
    return PMEInputError(f"The connection {conn_id} cannot be read: {problem}")


def _mistake_in_json(definition: str) -> str:
    try:
        fields = json.loads(definition)
    except json.JSONDecodeError as error:
        return f"is broken at line {error.lineno}, column {error.colno}"
    except RecursionError:
        return "is nested too deeply"
    unknown = sorted(set(fields) - set(_FIELDS)) if isinstance(fields, dict) else []
    if unknown:
        return f"has unknown fields: {plain_names(unknown)}. The fields are {', '.join(_FIELDS)}"
    wrong = [name for name in _FIELDS[:4] if not isinstance(fields.get(name), str | None)]
    if wrong:
        return f"must have strings in quotes for {', '.join(wrong)}"
    return "has a field that Airflow cannot read. The port must be a number"
