"""A throw-away Airflow home, and real runs of DAGs in it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pme_airflow.dev.playground.home import ROOT


class AirflowHome:
    """An Airflow home of a test's own, with its own database."""

    def __init__(self, path: Path, template: Path | None = None) -> None:
        self.path = path
        path.mkdir(parents=True, exist_ok=True)
        self.env = {
            "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
            "HOME": str(path),
            "AIRFLOW_HOME": str(path),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
            "PYTHONPATH": str(ROOT),
            "PYTHONWARNINGS": "ignore",
        }
        if template is not None:
            shutil.copy(template / "airflow.db", path / "airflow.db")

    def connect(self, conn_id: str, **fields: Any) -> None:
        """Define a connection in the environment."""
        self.env[f"AIRFLOW_CONN_{conn_id.upper()}"] = json.dumps(fields)

    def place(self, text: str) -> None:
        """Write the placements."""
        (self.path / "placements.yaml").write_text(text)
        self.env["PME_PLACEMENTS"] = str(self.path / "placements.yaml")

    def run(self, *command: str, check: bool = True, timeout: float = 280) -> subprocess.CompletedProcess[str]:
        """Run a command in the home."""
        done = subprocess.run(
            [sys.executable, *command], env=self.env, cwd=ROOT, capture_output=True, text=True, timeout=timeout
        )
        if check and done.returncode:
            output = f"{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
            raise AssertionError(f"{command} ended with {done.returncode}\n{output}")
        return done

    def run_dag(self, dag_file: Path, times: int = 1, **conf: Any) -> list[dict[str, Any]]:
        """Run a DAG for real, so many times; the state of each run and its tasks."""
        out = self.path / "runs.json"
        self.run(
            "-m",
            "tests.support.run_dag",
            str(dag_file),
            str(times),
            str(out),
            json.dumps(conf),
            timeout=100 + 60 * times,
        )
        return json.loads(out.read_text())

    def ledger(self) -> list[dict[str, Any]]:
        """The ledger's links, newest first."""
        return json.loads(self.run("-m", "pme_airflow.cli", "ledger", "list", "--format", "json").stdout)

    def everything(self, *leave_out: Path) -> dict[Path, bytes]:
        """Every file of the home but some; for looking for secrets."""
        return {
            path: path.read_bytes()
            for path in self.path.rglob("*")
            if path.is_file() and not any(path.is_relative_to(left) for left in leave_out)
        }


def pme_in_environment(monkeypatch: pytest.MonkeyPatch, home: Path, **fields: Any) -> None:
    """An Airflow home that is nothing but a PME connection in the environment."""
    monkeypatch.setenv("AIRFLOW_HOME", str(home))
    monkeypatch.setenv("AIRFLOW_CONN_PME_DEFAULT", json.dumps({"conn_type": "pme", **fields}))


def make_template(path: Path) -> Path:
    """A home with a migrated database, to copy."""
    home = AirflowHome(path)
    home.run("-m", "airflow", "db", "migrate")
    return path


def encoded_forms(secret: str) -> set[bytes]:
    """A secret as it may lie in a file: plain, and URL-, base64- and JSON-escaped."""
    import base64
    from urllib.parse import quote, quote_plus

    forms = {secret, quote(secret, safe=""), quote_plus(secret), json.dumps(secret)[1:-1]}
    forms.add(json.dumps(json.dumps(secret))[3:-3])
    raw = {form.encode() for form in forms}
    padded = [b" " * shift + secret.encode() for shift in range(3)]
    for shift, text in enumerate(padded):
        encoded = base64.b64encode(text)
        raw.add(encoded[(0, 2, 3)[shift] : len(encoded) - 4])
    return {form for form in raw if len(form) >= 8}


def leaks(files: dict[Path, bytes], secrets: list[str]) -> list[str]:
    """The files that contain a secret in any encoding."""
    forms = [form for secret in secrets for form in encoded_forms(secret)]
    return [f"{path}" for path, content in files.items() if any(form in content for form in forms)]


def clean_environ() -> dict[str, str]:
    """This process's environment without Airflow's."""
    return {key: value for key, value in os.environ.items() if not key.startswith("AIRFLOW")}
