"""Fixtures: an emulator that serves over HTTP, and services over a ledger of their own on each real database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from playwright.sync_api import Browser

from pme_airflow.api.client import PMEClient
from pme_airflow.clock import Clock
from pme_airflow.dev.emulator import Settings, World
from pme_airflow.dev.emulator.server import serving
from pme_airflow.lifecycle.services import Services
from pme_airflow.secrets import SecretStr
from tests.support.buckets import Bucket, bucket_server
from tests.support.chromium import chromium
from tests.support.databases import KINDS, available, drop, fresh, serving_database
from tests.support.rooms import services_at
from tests.support.workers import arrange

SECRET = 'a "secret" with \\ quotes, ünïcode & + signs'
MODELS = {f"Model{index:06d}": f"Space {index}" for index in range(40)}

MakeServices = Callable[..., Services]


def pytest_make_parametrize_id(val: object) -> str | None:
    """Name bytes by their length: a compressed text contains the time, and all processes must name a case alike."""
    return f"{len(val)}-bytes" if isinstance(val, bytes) and len(val) > 16 else None


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    arrange(items)


@pytest.fixture
def world() -> World:
    return World(Settings(client_secret=SECRET, models=MODELS))


@pytest.fixture
def address(world: World) -> Iterator[str]:
    with serving(world) as base_url:
        yield base_url


@pytest.fixture
def client(world: World, address: str) -> Iterator[PMEClient]:
    with PMEClient(world.settings.client_id, SecretStr(SECRET), address) as made:
        yield made


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as launched:
        yield launched


@pytest.fixture(scope="session")
def servers() -> Iterator[Callable[[str], str]]:
    """Starts a database server of a kind when it is first asked for."""
    with ExitStack() as stack:
        running: dict[str, str] = {}

        def of(kind: str) -> str:
            if kind not in running:
                running[kind] = stack.enter_context(serving_database(kind))
            return running[kind]

        yield of


@pytest.fixture(scope="session")
def buckets() -> Iterator[Callable[[], Bucket]]:
    """Makes empty buckets on one S3 server."""
    with bucket_server() as (client, conn_id):
        yield lambda: Bucket(client, conn_id)


@pytest.fixture
def bucket(buckets: Callable[[], Bucket]) -> Bucket:
    """An empty bucket."""
    return buckets()


@pytest.fixture(params=KINDS)
def ledger_address(request: pytest.FixtureRequest, servers: Callable[[str], str]) -> Iterator[str]:
    """An empty database of each kind that runs here."""
    missing = available(request.param)
    if missing:
        pytest.skip(missing)
    address = fresh(servers(request.param))
    yield address
    drop(address)


@pytest.fixture
def make_services(address: str, world: World, ledger_address: str) -> Iterator[MakeServices]:
    """Services as one worker process would make them; all share one ledger."""
    made: list[Services] = []

    def make(clock: Clock | None = None, **settings: object) -> Services:
        made.append(services_at(address, ledger_address, SECRET, clock, **settings))
        made[-1].database.prepare()
        return made[-1]

    yield make
    for services in made:
        services.client.close()


@pytest.fixture
def services(make_services: MakeServices) -> Services:
    return make_services()
