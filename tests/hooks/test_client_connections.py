"""The connection that can revoke another client's links is found where connections can be listed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pme_airflow.hooks.client_connections import connections_of_client, how_to_revoke
from tests.support.home import AirflowHome


@pytest.fixture(autouse=True)
def connections(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("_AIRFLOW_PROCESS_CONTEXT", raising=False)
    for conn_id, fields in {
        "TEAM_B": {"conn_type": "pme", "login": " client-1 ", "password": "x"},
        "TEAM_A": {"conn_type": "pme", "login": "client-1", "password": "x"},
        "OTHER": {"conn_type": "pme", "login": "client-2", "password": "x"},
        "HTTP": {"conn_type": "http", "login": "client-1"},
    }.items():
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id}", json.dumps(fields))
    monkeypatch.setenv("AIRFLOW_CONN_BROKEN", "{")
    monkeypatch.setenv("AIRFLOW_CONN_EMPTY", "")


def test_connections_of_the_environment_are_found_by_client_id() -> None:
    assert connections_of_client("client-1") == ["team_a", "team_b"]
    assert connections_of_client("client-3") == []


def test_the_sentence_names_the_connections_or_the_client_id() -> None:
    assert how_to_revoke("client-1") == (
        "The connection team_a or team_b can revoke them: `pme-airflow sweep --conn-id team_a`."
    )
    assert how_to_revoke("client-3").startswith("Only a connection with the client id client-3 can revoke them")


def test_a_database_that_is_away_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails() -> Any:
        raise RuntimeError("the database is away")

    monkeypatch.setenv("_AIRFLOW_PROCESS_CONTEXT", "server")
    monkeypatch.setattr("airflow.utils.session.create_session", fails)
    assert connections_of_client("client-2") == ["other"]


PROBE = """
import os
os.environ["_AIRFLOW_PROCESS_CONTEXT"] = "server"
from pme_airflow.hooks.client_connections import connections_of_client
print("FOUND", connections_of_client("client-1"))
"""


def test_connections_of_airflows_database_are_found(tmp_path: Path) -> None:
    home = AirflowHome(tmp_path / "home")
    home.run("-m", "airflow", "db", "migrate")
    for conn_id, fields in {
        "stored": {"conn_type": "pme", "login": "client-1"},
        "another": {"conn_type": "pme", "login": "client-2"},
    }.items():
        home.run("-m", "airflow", "connections", "add", conn_id, "--conn-json", json.dumps(fields))
    assert "FOUND ['stored']" in home.run("-c", PROBE).stdout
