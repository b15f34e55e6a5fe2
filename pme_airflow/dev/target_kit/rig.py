"""An emulated account with a ledger in a file, for nights at a place."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pme_airflow.api.client import PMEClient
from pme_airflow.dev.emulator import Settings, World
from pme_airflow.dev.emulator.server import serving
from pme_airflow.dev.target_kit.fake_clock import FakeClock
from pme_airflow.ledger.database import Database
from pme_airflow.ledger.engines import sqlite_engine
from pme_airflow.lifecycle.services import Services
from pme_airflow.sealing import Sealer
from pme_airflow.secrets import SecretStr

__all__ = ["Rig", "serving_account"]

_SECRET = "the kit's client secret"


@dataclass(frozen=True)
class Rig:
    """An emulated account, and what the use cases need of it."""

    world: World
    services: Services
    clock: FakeClock


@contextmanager
def serving_account(models: Mapping[str, str]) -> Iterator[Rig]:
    """Serve an account with some models, by id and name, in virtual time."""
    world, clock = World(Settings(client_secret=_SECRET, models=dict(models))), FakeClock()
    world.freeze_clock(clock.now())
    secret = SecretStr(_SECRET)
    with tempfile.TemporaryDirectory(prefix="pme-kit-") as folder, serving(world) as address:
        database = Database(sqlite_engine(Path(folder) / "ledger.db"), clock, migrate=True)
        with PMEClient(world.settings.client_id, secret, address, clock=clock) as client:
            yield Rig(world, Services(client, database, Sealer.of_connection(secret), clock), clock)
