"""The run of the shipped sweep in a real Airflow: what its tasks' outcomes make of its state."""

from __future__ import annotations

from pathlib import Path

from tests.support.home import ROOT, AirflowHome

#: The shipped DAG, in whose runs the sweep and the watch end one way after the other.
DAG = """
import runpy
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException
from pme_airflow.operators.pme import PMERevocationSweepOperator, PMEWatchSlotsOperator

def ends(*outcomes):
    left = list(outcomes)
    def execute(self, context):
        outcome = left.pop(0)
        if outcome is not None:
            raise outcome("for the test")
    return execute

PMERevocationSweepOperator.execute = ends(None, AirflowFailException, AirflowSkipException, None)
PMEWatchSlotsOperator.execute = ends(None, None, None, AirflowFailException)
dag = runpy.run_path({file!r})["dag"]
"""


def test_the_run_fails_if_the_sweep_or_the_watch_fails_and_the_watch_always_runs(
    home: AirflowHome, tmp_path: Path
) -> None:
    home.place("")
    file = tmp_path / "dag.py"
    file.write_text(DAG.format(file=str(ROOT / "dags" / "pme_revocation_sweep.py")))
    runs = home.run_dag(file, times=4)
    tasks = ("sweep_pme_default", "watch_pme_default")
    assert [(run["state"], *(run["tasks"][task] for task in tasks)) for run in runs] == [
        ("success", "success", "success"),
        ("failed", "failed", "success"),
        ("success", "skipped", "success"),
        ("failed", "success", "failed"),
    ]
