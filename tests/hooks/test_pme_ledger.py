"""The ledger lives where ``ledger_conn_id`` says: on each database, through a plain Airflow connection."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pme_airflow.dev.emulator import World
from pme_airflow.errors import LedgerError
from pme_airflow.hooks.pme import PMEHook
from tests.conftest import MODELS, SECRET
from tests.support.databases import fields_of
from tests.support.home import pme_in_environment


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, world: World, address: str) -> Any:
    def made(ledger: dict[str, Any], **extra: Any) -> PMEHook:
        fields = {"login": world.settings.client_id, "password": SECRET, "host": address, "extra": extra}
        pme_in_environment(monkeypatch, tmp_path, **fields)
        if ledger:
            monkeypatch.setenv("AIRFLOW_CONN_LEDGER", json.dumps(ledger))
        return PMEHook()

    return made


def test_links_are_minted_into_it(connect: Any, ledger_address: str) -> None:
    hook = connect(fields_of(ledger_address), ledger_conn_id="ledger")
    good, message = hook.test_connection()
    assert good, message
    assert len(hook.mint(list(MODELS)[:3]).items) == 3
    assert hook.database.engine.dialect.name in ledger_address.replace("mariadb", "mysql")


@pytest.mark.parametrize(
    ("ledger", "problem"),
    [
        ({}, "is not defined"),
        ({"conn_type": "http", "host": "x.test"}, "is no SQL connection"),
        ({"conn_type": "nonsense"}, "cannot be opened"),
    ],
)
def test_what_is_no_ledger_is_named_with_the_cure(connect: Any, ledger: dict[str, Any], problem: str) -> None:
    hook = connect(ledger, ledger_conn_id="ledger")
    with pytest.raises(LedgerError, match=problem):
        _ = hook.database
    good, message = hook.test_connection()
    assert not good
    assert "ledger" in message


def test_a_local_ledger_is_refused_where_tasks_are_spread_over_machines(
    connect: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook = connect({})
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "CeleryExecutor")
    with pytest.raises(LedgerError, match="CeleryExecutor"):
        _ = hook.database
