"""Run a DAG so many times in this process, through Airflow's own task runner, and write what became of it."""

from __future__ import annotations

import json
import sys
from pathlib import Path


def main() -> None:
    dag_file, times, out, conf = sys.argv[1:5]
    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag(dag_file)
    if bag.import_errors:
        sys.exit("\n".join(bag.import_errors.values()))
    (dag,) = bag.dags.values()
    runs = []
    for _ in range(int(times)):
        run = dag.test(run_conf=json.loads(conf) or None)
        tasks = {ti.task_id: str(ti.state) for ti in run.get_task_instances()}
        runs.append({"state": str(run.state), "tasks": tasks, "run_id": run.run_id})
    Path(out).write_text(json.dumps(runs))


if __name__ == "__main__":
    main()
