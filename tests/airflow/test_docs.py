"""The code of the docs runs as it is printed."""

from __future__ import annotations

import re

from pme_airflow.dev.emulator import World
from tests.conftest import MODELS
from tests.support.home import ROOT, AirflowHome

BLOCKS = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "how-to" / "write-a-target.md").read_text(), re.DOTALL)
NIGHTLY = ROOT / "dags" / "pme_nightly_rotation.py"


def test_the_target_of_the_docs_publishes_from_placements(home: AirflowHome, world: World) -> None:
    modules = home.path / "modules"
    modules.mkdir()
    (modules / "my_targets.py").write_text(BLOCKS[0])
    home.env["PYTHONPATH"] += f":{modules}"
    links = home.path / "links"
    links.mkdir()
    models = list(MODELS)[:3]
    home.place(
        f"audience: intranet\nmodels: [{', '.join(models)}]\n"
        f"targets:\n  - {{kind: custom, class: my_targets.TextFiles, options: {{folder: {links}}}}}\n"
    )
    (run,) = home.run_dag(NIGHTLY)
    assert run["state"] == "success"
    alive = {issued.model_id: issued.token for issued in world.alive()}
    for model_id in models:
        assert (links / f"{model_id}.txt").read_text().endswith(alive[model_id])


def test_the_task_of_the_docs_shows_and_records(home: AirflowHome) -> None:
    (code,) = (block for block in BLOCKS if "def show(" in block)
    code = code.replace("/srv/shown/", f"{home.path}/")
    dag_file = home.path / "dags" / "own.py"
    dag_file.parent.mkdir()
    model_id = next(iter(MODELS))
    dag_file.write_text(
        f"from pathlib import Path\nfrom airflow.sdk import dag\n{code}\n"
        "from pme_airflow.operators.pme import PMEMintLinksOperator\n\n\n"
        f'@dag(schedule=None)\ndef own():\n    show(PMEMintLinksOperator(task_id="mint", models=["{model_id}"]).output)\n\n\n'
        "own()\n"
    )
    home.env["AIRFLOW__CORE__DAGS_FOLDER"] = str(dag_file.parent)
    first, second = home.run_dag(dag_file, times=2)
    assert first["state"] == second["state"] == "success"
    newest, oldest = home.ledger()
    assert newest["retire_at"] is None
    assert oldest["retire_at"] is not None
    assert (home.path / f"{model_id}.url").exists()
