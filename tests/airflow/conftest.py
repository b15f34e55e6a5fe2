"""Airflow homes for the tests of this folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from pme_airflow.dev.emulator import World
from tests.conftest import SECRET
from tests.support.home import AirflowHome, make_template
from tests.support.workers import shared


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose database is made, to copy."""
    return shared(tmp_path_factory, "airflow-home", make_template)


@pytest.fixture
def home(tmp_path: Path, template: Path, address: str, world: World) -> AirflowHome:
    """A home of the test's own, whose PME connection leads to the emulator."""
    made = AirflowHome(tmp_path / "home", template)
    made.connect("pme_default", conn_type="pme", login=world.settings.client_id, password=SECRET, host=address)
    return made
