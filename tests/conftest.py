"""Fixtures: an emulator that serves over HTTP, and services over a ledger of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pme_airflow.api.client import ClientSettings, PMEClient
from pme_airflow.api.clock import SystemClock
from pme_airflow.api.values import Hidden
from pme_airflow.emulator import Settings, World
from pme_airflow.emulator.server import serving
from pme_airflow.ledger.database import Database, sqlite_engine
from pme_airflow.rotation.services import Services
from pme_airflow.sealing import Sealer

SECRET = 'a "secret" with \\ quotes, ünïcode & + signs'
MODELS = {f"Model{index:06d}": f"Space {index}" for index in range(40)}


@pytest.fixture
def world() -> World:
    return World(Settings(client_secret=SECRET, models=MODELS))


@pytest.fixture
def address(world: World) -> Iterator[str]:
    with serving(world) as base_url:
        yield base_url


@pytest.fixture
def client(world: World, address: str) -> Iterator[PMEClient]:
    with PMEClient(world.settings.client_id, Hidden(SECRET), address) as made:
        yield made


@pytest.fixture
def make_services(address: str, world: World, tmp_path: Path) -> Callable[..., Services]:
    """Services as one worker process would make them; all share one ledger."""

    def make(**settings: object) -> Services:
        client = PMEClient(world.settings.client_id, Hidden(SECRET), address, ClientSettings(**settings))  # type: ignore[arg-type]
        database = Database(sqlite_engine(tmp_path / "ledger.db"), SystemClock(), migrate=True)
        return Services(client, database, Sealer.of_connection(Hidden(SECRET)), SystemClock())

    return make


@pytest.fixture
def services(make_services: Callable[..., Services]) -> Services:
    return make_services()
