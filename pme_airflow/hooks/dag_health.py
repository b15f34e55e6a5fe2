"""The state of the shipped DAGs and of the triggerer, as Airflow's database has it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pme_airflow.hooks.airflow_state import SHIPPED_DAGS, database_exists, running_processes

__all__ = ["DagHealth", "DagState", "dag_health"]


@dataclass(frozen=True)
class DagState:
    """One of the shipped DAGs.

    :param problem: what is wrong with it, as a sentence; ``None`` if nothing is.
    :param cure: what to do about it.
    :param last_run: the state of its latest run that has ended, or the run that goes on.
    """

    dag_id: str
    is_paused: bool | None = None
    last_run: str | None = None
    last_run_id: str | None = None
    last_run_at: datetime | None = None
    problem: str | None = None
    cure: str | None = None


@dataclass(frozen=True)
class DagHealth:
    """The shipped DAGs and the triggerer.

    :param problem: why nothing is known about them, if so.
    :param triggerer_problem: what is wrong with the triggerer, if anything is.
    """

    dags: tuple[DagState, ...] = ()
    triggerer_problem: str | None = None
    problem: str | None = None


def dag_health() -> DagHealth:
    """Read Airflow's database, which only the API server and commands can access."""
    os.environ.setdefault("_AIRFLOW_PROCESS_CONTEXT", "server")
    reason = "it does not exist"
    try:
        if database_exists():
            return _read()
    except Exception as error:  # noqa: BLE001 - the database of Airflow may be down, or not there at all
        reason = type(error).__name__
    return DagHealth(problem=f"Airflow's database cannot be read ({reason}), so the DAGs were not checked.")


def _read() -> DagHealth:
    from airflow.utils.session import create_session

    with create_session() as session:
        dags = tuple(_state_of(session, dag_id) for dag_id in SHIPPED_DAGS)
        return DagHealth(dags, _triggerer_problem())


def _state_of(session: Any, dag_id: str) -> DagState:
    from airflow.models import DagModel

    columns = (DagModel.dag_id, DagModel.is_paused, DagModel.is_stale, DagModel.has_import_errors)
    dag = session.query(*columns).filter(DagModel.dag_id == dag_id).one_or_none()
    if dag is None or dag.is_stale:
        return DagState(
            dag_id, problem=f"The DAG {dag_id} is missing.",
            cure="Put the shipped file into the DAGs folder, and look for import errors on Airflow's home page.",
        )  # fmt: skip
    run = _latest_run(session, dag_id)
    problem, cure = _problem_of(dag, run)
    if run is None:
        return DagState(dag_id, bool(dag.is_paused), problem=problem, cure=cure)
    return DagState(dag_id, bool(dag.is_paused), str(run.state), run.run_id, run.start_date, problem, cure)


def _latest_run(session: Any, dag_id: str) -> Any:
    from airflow.models import DagRun

    runs = session.query(DagRun.state, DagRun.run_id, DagRun.start_date).filter(DagRun.dag_id == dag_id)
    return runs.order_by(DagRun.id.desc()).first()


def _problem_of(dag: Any, run: Any) -> tuple[str | None, str | None]:
    if dag.has_import_errors:
        return (f"The file of the DAG {dag.dag_id} cannot be imported.",
                "Read the import error on Airflow's home page.")  # fmt: skip
    if dag.is_paused:
        return f"The DAG {dag.dag_id} is paused.", f"Unpause it: airflow dags unpause {dag.dag_id}"
    if run is not None and str(run.state) == "failed":
        return f"The last run of {dag.dag_id} failed.", "Open the run in Airflow and read the log of its failed task."
    return None, None


def _triggerer_problem() -> str | None:
    if running_processes()["triggerer"]:
        return None
    return (
        "No triggerer runs: sweep and keeper start by time alone, every 15 and 30 minutes, and reports in PME_REPORTS "
        "start no response. Start one: airflow triggerer"
    )
