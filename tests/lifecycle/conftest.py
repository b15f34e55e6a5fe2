"""Fixtures: an emulator that makes tokens for several models, and services over a ledger of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pme_airflow.dev.emulator import Settings, World
from pme_airflow.dev.emulator.server import serving
from pme_airflow.lifecycle.services import Services
from tests.conftest import SECRET
from tests.support.rooms import services_at

SHARED_MODELS = [f"Model{index:06d}" for index in range(1000)]
MakeShared = Callable[[], Services]


@pytest.fixture
def shared_world() -> World:
    """A thousand models, and the beta mutation for tokens of several."""
    return World(Settings(client_secret=SECRET, models=dict.fromkeys(SHARED_MODELS, "a space"), shared_tokens=True))


@pytest.fixture
def make_shared(shared_world: World, tmp_path: Path) -> Iterator[MakeShared]:
    """Services as one worker process would make them; all share one ledger."""
    made: list[Services] = []
    with serving(shared_world) as address:

        def make() -> Services:
            made.append(services_at(address, f"sqlite:///{tmp_path}/ledger.db", SECRET))
            made[-1].database.prepare()
            return made[-1]

        yield make
        for services in made:
            services.client.close()


@pytest.fixture
def shared_services(make_shared: MakeShared) -> Services:
    return make_shared()
