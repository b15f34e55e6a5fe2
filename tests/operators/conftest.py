"""Operators run without an Airflow: over an emulator, a ledger of the test's own, and a task instance in memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pme_airflow.dev.emulator import World
from pme_airflow.operators import alerts
from tests.conftest import SECRET
from tests.support.home import pme_in_environment
from tests.support.tasks import FakeTask


@pytest.fixture
def fields(world: World, address: str) -> dict[str, Any]:
    """The fields of the connection, for a test to change."""
    return {"login": world.settings.client_id, "password": SECRET, "host": address}


@pytest.fixture(autouse=True)
def connect(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, fields: dict[str, Any]) -> Callable[..., None]:
    """Defines the connection; call it to define another."""

    def define(**changed: Any) -> None:
        pme_in_environment(monkeypatch, tmp_path / "home", **{**fields, **changed})

    define()
    return define


@pytest.fixture
def task() -> FakeTask:
    return FakeTask()


@pytest.fixture
def metrics(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """The sums of what is emitted to Airflow's metrics."""
    emitted: dict[str, float] = {}

    def add(name: str, value: float = 1, **_: Any) -> None:
        emitted[name] = emitted.get(name, 0) + value

    for method in ("incr", "gauge", "timing"):
        monkeypatch.setattr(alerts.Stats, method, add)
    return emitted
