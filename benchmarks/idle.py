"""What a keeper's run costs in which nothing is due, in a live Airflow, against an empty ``PythonOperator``."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.measure import RUNS, Figure
from pme_airflow.dev.emulator import Settings, World
from pme_airflow.dev.emulator.samples import sample_models
from pme_airflow.dev.emulator.server import serving
from pme_airflow.dev.playground.home import SECRET, environment
from pme_airflow.shipped_files import shipped
from tests.support.live import DrivenAirflow

MODELS = 10
#: What the keeper took when each of its tasks imported all that any of them uses.
FORMER = 3.97
_EMPTY = """
from datetime import datetime
from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk import DAG

with DAG("empty", schedule=None, start_date=datetime(2026, 1, 1)):
    PythonOperator(task_id="nothing", python_callable=lambda: None)
"""
#: Writes the processor time of each task's process, at the end of the task; the process is forked for the task.
_PLUGIN = """
import json, time
from pathlib import Path
from types import SimpleNamespace
from airflow.listeners import hookimpl
from airflow.plugins_manager import AirflowPlugin

@hookimpl
def on_task_instance_success(previous_state, task_instance):
    line = [task_instance.dag_id, task_instance.run_id, time.process_time()]
    with Path({out!r}).open("a") as file:
        file.write(json.dumps(line) + chr(10))

class Measure(AirflowPlugin):
    name = "measure"
    listeners = [SimpleNamespace(on_task_instance_success=on_task_instance_success)]
"""
_PLACEMENTS = """
- {{audience: intranet, valid_for: 24h, models: [{first}], targets: [{{kind: object_storage, path: "file://{out}/a"}}]}}
- {{audience: brokers, valid_for: 24h, models: [{second}], targets: [{{kind: object_storage, path: "file://{out}/b"}}]}}
"""


def figures() -> Iterator[Figure]:
    """Seconds of processor time in the tasks of a run of the keeper, and of an empty operator."""
    world = World(Settings(client_secret=SECRET, models=sample_models(MODELS)))
    models = list(world.models)
    with tempfile.TemporaryDirectory(prefix="pme-bench-") as folder, serving(world) as address:
        home = Path(folder)
        placements = _PLACEMENTS.format(
            first=", ".join(models[: MODELS // 2]), second=", ".join(models[MODELS // 2 :]), out=home / "out"
        )
        env = environment(home / "airflow", address, placements, **_folders(home))
        with DrivenAirflow(home / "airflow", env) as live:
            live.wait_until_parsed("empty", "pme_nightly_rotation", "pme_link_keeper")
            live.seconds("pme_nightly_rotation")
            keeper = [_processor_time(live, home, "pme_link_keeper") for _ in range(RUNS)]
            empty = [_processor_time(live, home, "empty") for _ in range(RUNS)]
    yield Figure(f"processor time of an idle keeper of two audiences, {FORMER} s before", keeper,
                 f"at most {FORMER / 4:.2f} s", " s")  # fmt: skip
    yield Figure("processor time of an empty PythonOperator", empty, "", " s")


def _folders(home: Path) -> dict[str, str]:
    """Make the folders of DAGs and plugins; return their variables."""
    dags, plugins = home / "dags", home / "plugins"
    shutil.copytree(shipped("dags"), dags)
    (dags / "empty.py").write_text(_EMPTY)
    plugins.mkdir()
    (plugins / "measure.py").write_text(_PLUGIN.format(out=str(home / "measured")))
    return {"AIRFLOW__CORE__DAGS_FOLDER": str(dags), "AIRFLOW__CORE__PLUGINS_FOLDER": str(plugins)}


def _processor_time(live: DrivenAirflow, home: Path, dag_id: str) -> float:
    """Run a DAG; return the processor time of its tasks."""
    run_id = live.trigger(dag_id)
    state = live.wait_for(dag_id, run_id)
    measured = [json.loads(line) for line in (home / "measured").read_text().splitlines()]
    mine = [seconds for dag, run, seconds in measured if (dag, run) == (dag_id, run_id)]
    assert state == "success", f"{dag_id} {run_id}: {state}"
    assert len(mine) == (1 if dag_id == "empty" else 4), f"{len(mine)} tasks were measured"
    return float(sum(mine))
