"""A PME connection to the emulator, and links as a mint task returns them, without a live Airflow."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pme_airflow.dev.emulator import World
from pme_airflow.hooks.pme import PMEHook
from pme_airflow.ledger.run_context import RunContext
from tests.conftest import MODELS, SECRET
from tests.support.home import pme_in_environment

Connect = Callable[..., None]
MintItems = Callable[..., list[dict[str, Any]]]


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, world: World, address: str) -> Path:
    """An Airflow home of the test's own, whose PME connection leads to the emulator."""
    path = tmp_path / "home"
    path.mkdir()
    pme_in_environment(monkeypatch, path, login=world.settings.client_id, password=SECRET, host=address)
    return path


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Connect:
    """Define a connection in the environment."""
    return lambda conn_id, **fields: monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(fields))


@pytest.fixture
def mint_items() -> MintItems:
    """Mint links as a task of a run would, and return its XCom items."""

    def mint(*models: str, run: str = "monday", audience: str = "intranet") -> list[dict[str, Any]]:
        wanted = list(models or list(MODELS)[:1])
        return PMEHook().mint(wanted, audience=audience, run_context=RunContext(f"dag/{run}/mint/-1")).items

    return mint
