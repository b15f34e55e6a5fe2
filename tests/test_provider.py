"""What the package declares to Airflow, and that Airflow accepts it."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from importlib.metadata import entry_points
from pathlib import Path

import airflow
import jsonschema
import pytest

from pme_airflow.provider import get_provider_info
from tests.support.home import AirflowHome


def test_the_metadata_validates_against_airflows_own_schema() -> None:
    schema = json.loads((Path(airflow.__file__).parent / "provider_info.schema.json").read_text())
    jsonschema.validate(get_provider_info(), schema)


def test_the_entry_point_is_the_one_airflow_looks_for() -> None:
    (found,) = [e for e in entry_points(group="apache_airflow_provider") if e.value.startswith("pme_airflow")]
    assert found.load() is get_provider_info


def test_airflow_lists_the_provider_its_connection_type_and_its_page(tmp_path: Path) -> None:
    home = AirflowHome(tmp_path / "home")
    assert "pme-airflow" in home.run("-m", "airflow", "providers", "list").stdout
    hooks = home.run("-m", "airflow", "providers", "hooks", "-o", "json").stdout
    hooks = json.loads(hooks[hooks.index("[") :])
    (ours,) = [hook for hook in hooks if hook["connection_type"] == "pme"]
    assert ours["hook_name"] == "Matterport Private Model Embed"
    assert str(ours.get("error", "")) in ("", "None")


MODULES = [
    "pme_airflow.operators.pme",
    "pme_airflow.hooks.pme",
    "pme_airflow.provider",
    *(f"pme_airflow.transfers.pme_to_{where}" for where in ("object_storage", "slack", "wordpress", "http")),
]


@pytest.mark.parametrize("module", MODULES)
def test_importing_logs_no_deprecation(module: str) -> None:
    code = f"import airflow.sdk, warnings; warnings.simplefilter('error'); import {module}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "eprecat" not in done.stderr


def test_operators_are_made_without_a_deprecation() -> None:
    from airflow.sdk import DAG

    from pme_airflow.operators.pme import PMEFlagTokensOperator, PMEMintLinksOperator, PMERevocationSweepOperator

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with DAG("d", schedule=None):
            PMEMintLinksOperator(task_id="mint", models=["yyHDFKzPzvN"])
            PMEFlagTokensOperator(task_id="flag", models=["yyHDFKzPzvN"])
            PMERevocationSweepOperator(task_id="sweep")
