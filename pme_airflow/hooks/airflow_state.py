"""Reading from Airflow's database what the doctor judges: DAGs, import errors, and the processes that run."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pme_airflow.doctor.airflow import AirflowState, DagState
from pme_airflow.errors import PMEUnavailableError
from pme_airflow.placements import PLACEMENT_DAGS
from pme_airflow.printable import printable

__all__ = ["SHIPPED_DAGS", "airflow_state", "database_exists", "running_processes"]

#: The DAGs that come with the package.
SHIPPED_DAGS = (*PLACEMENT_DAGS, "pme_leak_response", "pme_revocation_sweep")

#: What shows that a file that cannot be imported concerns this package.
_OURS = ("pme_airflow", "pme_", "pme-airflow")
_SQLITE = "sqlite:///"
_ERROR_TYPE = re.compile(r"^([A-Za-z_][\w.]{0,80}(?:Error|Exception|Interrupt|Exit))\b", re.MULTILINE)
_RUNNERS = {"scheduler": "scheduler", "dag_processor": "dag processor", "triggerer": "triggerer"}


def airflow_state(dag_ids: Sequence[str]) -> AirflowState:
    """Return what Airflow knows of some DAGs, and which of its processes run.

    :raises PMEUnavailableError: if its database cannot be asked from here.
    """
    problem = "it does not exist"
    try:
        if database_exists():
            return _read(dag_ids)
    except Exception as error:  # noqa: BLE001 - Airflow's database may be down, not migrated, or not there at all
        problem = type(error).__name__
    raise PMEUnavailableError(
        f"Airflow's database cannot be asked from here ({problem}). Run the doctor where Airflow's configuration is, "
        "on the machine or in the container of its scheduler."
    )


def _read(dag_ids: Sequence[str]) -> AirflowState:
    from airflow.models.dag import DagModel
    from airflow.models.errors import ParseImportError
    from airflow.utils.session import create_session

    with create_session() as session:
        models = session.query(DagModel).filter(DagModel.dag_id.in_(list(dag_ids)))
        dags = {m.dag_id: DagState(bool(m.is_paused), bool(m.is_stale), bool(m.has_import_errors)) for m in models}
        errors = session.query(ParseImportError).order_by(ParseImportError.filename).all()
        failed = {printable(e.filename, 200): _type_of(e.stacktrace) for e in errors if _is_ours(e)}
    return AirflowState(dags, failed, running_processes())


def database_exists() -> bool:
    """Return whether Airflow has a database; asking a missing SQLite file would make an empty one."""
    from airflow.sdk.configuration import conf

    address = str(conf.get("database", "sql_alchemy_conn"))
    return not address.startswith(_SQLITE) or Path(address.removeprefix(_SQLITE).partition("?")[0]).exists()


def running_processes() -> dict[str, bool]:
    """Return whether scheduler, dag processor and triggerer run, by the heartbeats that Airflow's health shows."""
    from airflow.api.common.airflow_health import get_airflow_health

    health = get_airflow_health()
    return {name: (health.get(key) or {}).get("status") == "healthy" for key, name in _RUNNERS.items()}


def _is_ours(error: Any) -> bool:
    text = f"{error.filename}\n{error.stacktrace}"
    return any(name in text for name in _OURS)


def _type_of(stacktrace: object) -> str:
    """Return the type of the error that a stack trace ends with; its text may contain a secret."""
    found = _ERROR_TYPE.findall(str(stacktrace))
    return found[-1].rpartition(".")[2] if found else "an error"
