"""The README's DAG runs as it is printed, with its path alone put elsewhere."""

from __future__ import annotations

import re

from pme_airflow.dev.emulator import World
from tests.support.home import ROOT, AirflowHome


def test_the_dag_of_the_readme_runs_as_printed(home: AirflowHome, world: World) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert len([line for line in code.splitlines() if line.strip()]) <= 15
    for model_id in ("yyHDFKzPzvN", "SxQL3iGyoDo"):
        world.models[model_id] = {"name": model_id, "state": "active", "visibility": "private"}
    dag_file = home.path / "dags" / "my_spaces.py"
    dag_file.parent.mkdir()
    home.env["AIRFLOW__CORE__DAGS_FOLDER"] = str(dag_file.parent)
    dag_file.write_text(code.replace("/srv/my-spaces", str(home.path / "my-spaces")))
    first, second = home.run_dag(dag_file, times=2)
    assert first["state"] == second["state"] == "success"
    assert {issued.model_id for issued in world.alive()} == {"yyHDFKzPzvN", "SxQL3iGyoDo"}
    assert world.counts["minted"] == 2
    for model_id in ("yyHDFKzPzvN", "SxQL3iGyoDo"):
        assert (home.path / "my-spaces" / model_id / "embed.html").exists()
