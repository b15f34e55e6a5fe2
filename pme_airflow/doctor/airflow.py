"""Judging what Airflow says about itself: DAGs that are missing, paused or broken, and processes that do not run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from pme_airflow.checks import CheckResult

__all__ = ["AirflowState", "DagState", "check_airflow"]

_START = {
    "scheduler": "Start one: `airflow scheduler`.",
    "dag processor": "Start one: `airflow dag-processor`.",
    "triggerer": "Start one: `airflow triggerer`.",
}
_WITHOUT = {
    "scheduler": "no task is started",
    "dag processor": "no DAG is read",
    "triggerer": "asset watchers see no event, and deferred tasks wait without end",
}


@dataclass(frozen=True)
class DagState:
    """One DAG as Airflow knows it.

    :param stale: whether its file is gone.
    :param broken: whether its file could not be imported the last time.
    """

    paused: bool = False
    stale: bool = False
    broken: bool = False


@dataclass(frozen=True)
class AirflowState:
    """What Airflow's database says.

    :param dags: the package's DAGs that Airflow knows.
    :param import_errors: files that could not be imported, each with the type of the error.
    :param running: whether each kind of process has sent a heartbeat lately.
    """

    dags: Mapping[str, DagState] = field(default_factory=dict)
    import_errors: Mapping[str, str] = field(default_factory=dict)
    running: Mapping[str, bool] = field(default_factory=dict)


def check_airflow(state: AirflowState, needed: Sequence[str]) -> Iterator[CheckResult]:
    """Judge Airflow's state.

    :param needed: the ids of the DAGs that are to run.
    """
    for name, error in state.import_errors.items():
        finding = f"{name} could not be imported ({error})."
        cure = "Read the error with `airflow dags list-import-errors`, and correct the file or install what it lacks."
        yield CheckResult.bad("import errors", finding, cure)
    yield from _check_dags(state, needed)
    for process, cure in _START.items():
        if state.running.get(process):
            yield CheckResult.good(process, f"A {process} is running.")
        else:
            yield CheckResult.bad(process, f"No {process} is running, so {_WITHOUT[process]}.", cure)


def _check_dags(state: AirflowState, needed: Sequence[str]) -> Iterator[CheckResult]:
    missing = [dag_id for dag_id in needed if dag_id not in state.dags or state.dags[dag_id].stale]
    known = [dag_id for dag_id in needed if dag_id not in missing]
    paused = [dag_id for dag_id in known if state.dags[dag_id].paused]
    broken = [dag_id for dag_id in known if state.dags[dag_id].broken]
    if missing:
        cure = "Copy the DAG files and placements.yaml into the DAGs folder; a new file is read within minutes."
        yield CheckResult.bad("DAGs", f"Airflow does not know {', '.join(missing)}.", cure)
    if broken:
        cure = "Read the error with `airflow dags list-import-errors`."
        yield CheckResult.bad("DAGs", f"The file of {', '.join(broken)} cannot be imported any more.", cure)
    if paused:
        finding = f"{', '.join(paused)} {'is' if len(paused) == 1 else 'are'} paused, so nothing runs."
        yield CheckResult.bad("DAGs", finding, f"Run {' and '.join(f'`airflow dags unpause {d}`' for d in paused)}.")
    if not missing and not paused and not broken:
        yield CheckResult.good("DAGs", f"Airflow knows {', '.join(known)}, and none is paused.")
