from __future__ import annotations

import asyncio
import json
import socket
from pathlib import Path
from typing import Any

import pytest

from pme_airflow.lifecycle import overview
from pme_airflow.plugin import patience
from pme_airflow.plugin.sources import Problem, Sources, configured_conn_ids
from tests.support.home import pme_in_environment
from tests.support.ledgers import ledger_at


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    pme_in_environment(monkeypatch, tmp_path, login="client-a", password="a secret")
    return tmp_path


def problems(*conn_ids: str) -> list[Problem]:
    return list(asyncio.run(Sources(conn_ids or ("pme_default",)).ask(overview.health)).problems)


@pytest.mark.parametrize(
    ("named", "conn_ids"), [(None, ["pme_default"]), ("a, b,,a", ["a", "b"]), (" ", ["pme_default"])]
)
def test_connections_come_from_the_configuration(
    monkeypatch: pytest.MonkeyPatch, named: str | None, conn_ids: list[str]
) -> None:
    monkeypatch.delenv("AIRFLOW__PME__CONN_IDS", raising=False)
    if named is not None:
        monkeypatch.setenv("AIRFLOW__PME__CONN_IDS", named)
    assert configured_conn_ids() == conn_ids


def test_a_missing_connection_and_ledger_are_sentences_and_nothing_is_made(home: Path) -> None:
    missing, nowhere = problems("pme_default", "pme_none")
    assert "no tables yet" in missing.message
    assert "pme_none is not defined" in nowhere.message
    assert not list(home.glob("*.db"))


def test_a_ledger_that_comes_later_or_is_newer_is_found(home: Path) -> None:
    sources = Sources(["pme_default"])

    def ask() -> Any:
        answers = asyncio.run(sources.ask(overview.health))
        return [found["counts"]["total"] for found in answers.found] or answers.problems[0].message

    assert "no tables yet" in ask()
    database = ledger_at(f"sqlite:///{home}/pme_ledger.db")
    database.prepare()
    assert ask() == [0]
    with database.write() as tx:
        tx.connection.exec_driver_sql("UPDATE pme_version SET version_num = '9999'")
    (problem,) = problems()
    assert "newer than this package" in problem.message


def test_what_nobody_expected_is_a_sentence_without_its_text(home: Path) -> None:
    def fail(_: object) -> None:
        raise RuntimeError("a password")

    ledger_at(f"sqlite:///{home}/pme_ledger.db").prepare()
    (problem,) = asyncio.run(Sources(["pme_default"]).ask(fail)).problems
    assert "RuntimeError" in problem.message
    assert "a password" not in problem.message


def test_a_database_that_hangs_is_a_sentence(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "WAIT_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        ledger = {"conn_type": "postgres", "host": "127.0.0.1", "port": silent.getsockname()[1], "login": "l"}
        monkeypatch.setenv("AIRFLOW_CONN_SILENT", json.dumps(ledger))
        pme_in_environment(monkeypatch, home, login="client-a", password="a secret", extra={"ledger_conn_id": "silent"})
        (problem,) = problems()
    assert problem.message.startswith("The ledger of the connection pme_default did not answer within 0.5 s.")
