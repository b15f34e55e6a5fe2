"""Parsing a shipped DAG file loads neither the API client, nor the ledger, nor what those load."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pme_airflow.dev.playground.home import ROOT

DAGS = sorted((ROOT / "dags").glob("*.py"))
HEAVY = {"requests", "graphql", "sqlalchemy", "cryptography"}
PLACEMENTS = """
- audience: intranet
  valid_for: 24h
  models: {query: "*"}
  targets:
    - {kind: object_storage, path: "file:///srv/embeds"}
    - {kind: slack, channel: "#tours", slack_conn_id: slack_api_default}
    - {kind: wordpress, wordpress_conn_id: wordpress_default, pages: {yyHDFKzPzvN: 42}}
    - {kind: http, http_conn_id: cms, method: PATCH, endpoint: "items/spaces/{model_id}", json: {tour_url: "{link}"}}
- audience: brokers
  valid_for: 12h
  models: [yyHDFKzPzvN, SxQL3iGyoDo]
  targets:
    - {kind: object_storage, path: "s3://aws_default@spaces/brokers"}
"""
#: Prints which modules a DAG file loads beyond Airflow's SDK, in how many milliseconds, and how many tasks it makes.
PROBE = """
import importlib.util, json, sys, time
from airflow.sdk import DAG
before, start = set(sys.modules), time.perf_counter()
spec = importlib.util.spec_from_file_location("a_dag_file", sys.argv[1])
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
milliseconds = (time.perf_counter() - start) * 1000
loaded = sorted(set(sys.modules) - before)
print(json.dumps({"milliseconds": milliseconds, "modules": loaded, "tasks": len(module.dag.tasks)}))
"""


@pytest.mark.parametrize("dag_file", DAGS, ids=lambda path: path.stem)
def test_a_dag_file_loads_no_heavy_library(dag_file: Path, tmp_path: Path) -> None:
    (tmp_path / "placements.yaml").write_text(PLACEMENTS)
    env = {key: value for key, value in os.environ.items() if not key.startswith(("AIRFLOW", "PME_"))}
    env |= {
        "AIRFLOW_HOME": str(tmp_path), "PME_PLACEMENTS": str(tmp_path / "placements.yaml"),
        "PME_REPORTS": str(tmp_path / "reports"), "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore",
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", PROBE, str(dag_file)], env=env, cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    print(f"{dag_file.name}: {found['milliseconds']:.0f} ms, {len(found['modules'])} modules")
    assert found["tasks"]
    assert not HEAVY & {name.partition(".")[0] for name in found["modules"]}


def test_there_are_dag_files() -> None:
    assert len(DAGS) >= 4


def test_operators_and_transfers_import_no_timetable() -> None:
    code = (
        "import sys\nfrom airflow.sdk import BaseOperator\nbefore = set(sys.modules)\n"
        "import pme_airflow.operators.pme, pme_airflow.transfers.pme_to_object_storage\n"
        "print(*sorted({name.partition('.')[0] for name in set(sys.modules) - before}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=120
    )
    assert "pme_airflow" in done.stdout.split()
    assert not {"croniter", *HEAVY} & set(done.stdout.split())
