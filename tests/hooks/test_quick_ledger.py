"""Commands that read find the ledger without loading the hook, wherever the connection is defined."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pme_airflow.errors import PMEInputError
from pme_airflow.hooks.quick_ledger import quick_ledger
from tests.conftest import SECRET
from tests.support.home import AirflowHome, make_template, pme_in_environment
from tests.support.workers import shared


def test_ledger_of_a_connection_in_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pme_in_environment(monkeypatch, tmp_path, login="id", password=SECRET, host="http://127.0.0.1:1")
    assert quick_ledger("pme_default").engine.url.database == str(tmp_path / "pme_ledger.db")
    ledger = {"conn_type": "sqlite", "host": str(tmp_path / "other.db")}
    monkeypatch.setenv("AIRFLOW_CONN_LEDGER", json.dumps(ledger))
    pme_in_environment(monkeypatch, tmp_path, login="id", password=SECRET, extra={"ledger_conn_id": "ledger"})
    assert quick_ledger("pme_default").engine.url.database == str(tmp_path / "other.db")


def test_connection_that_cannot_be_read_is_named_as_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_PME_DEFAULT", '{"conn_type": "pme", "nonsense": 1}')
    with pytest.raises(PMEInputError, match="unknown fields: nonsense"):
        quick_ledger("pme_default")


_LOADED = (
    "import sys; from pme_airflow.cli import main\n"
    "main(['ledger', 'list', '--limit', '1', '--format', 'json'], standalone_mode=False)\n"
    "heavy = {'airflow.sdk.execution_time.supervisor', 'pme_airflow.api.client', 'alembic', 'requests'} & set(sys.modules)\n"
    "assert not heavy, heavy\n"
)


@pytest.mark.xdist_group("live")
def test_list_reads_an_encrypted_connection_of_airflows_database_and_loads_little(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    home = AirflowHome(tmp_path / "home", shared(tmp_path_factory, "airflow-home", make_template))
    fields = [
        "--conn-type",
        "pme",
        "--conn-login",
        "id",
        "--conn-password",
        SECRET,
        "--conn-host",
        "http://127.0.0.1:1",
    ]
    home.run("-m", "airflow", "connections", "add", "pme_default", *fields)
    home.run("-m", "pme_airflow.cli", "ledger", "migrate")
    done = subprocess.run(
        [sys.executable, "-c", _LOADED], env={**home.env, "AIRFLOW__LOGGING__LOGGING_LEVEL": "DEBUG"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == []
