"""The doctor reads a real Airflow's database: DAGs it knows, paused ones, import errors, processes that do not run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from pme_airflow.dev.playground.home import ROOT
from tests.support.home import AirflowHome, make_template
from tests.support.workers import shared


@pytest.fixture
def home(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> AirflowHome:
    """A home whose database is made."""
    return AirflowHome(tmp_path / "home", shared(tmp_path_factory, "airflow-home", make_template))


def airflow_checks(home: AirflowHome) -> dict[str, dict[str, Any]]:
    done = home.run(
        "-m", "pme_airflow.cli", "doctor", "--only", "airflow", "--format", "json", check=False
    )  # fmt: skip
    return {f"{check['check']} {check['verdict']}": check for check in json.loads(done.stdout)["checks"]}


@pytest.mark.xdist_group("live")
def test_state_of_a_real_airflow_is_read(home: AirflowHome) -> None:
    home.place("[]")
    assert "does not know pme_nightly_rotation" in airflow_checks(home)["DAGs bad"]["finding"]
    folder = home.path / "dags"
    shutil.copytree(ROOT / "dags", folder)
    (folder / "pme_broken.py").write_text(
        "import pme_airflow  # an Airflow DAG\nraise ValueError('a secret of the file')\n"
    )
    home.env["AIRFLOW__CORE__DAGS_FOLDER"] = str(folder)
    home.run("-m", "airflow", "dag-processor", "--num-runs", "1")
    found = airflow_checks(home)
    assert "pme_nightly_rotation, pme_link_keeper" in found["DAGs bad"]["finding"]
    assert "are paused" in found["DAGs bad"]["finding"]
    assert "pme_broken.py could not be imported (ValueError)" in found["import errors bad"]["finding"]
    assert "a secret of the file" not in json.dumps(found)
    assert {"scheduler bad", "triggerer bad", "dag processor bad"} <= set(found)
