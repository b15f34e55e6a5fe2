"""The page's app over ledgers in memory, for users of Airflow's own simple auth manager."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from airflow.api_fastapi.app import create_auth_manager
from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
from airflow.models import DagModel
from airflow.models.revoked_token import RevokedToken
from starlette.testclient import TestClient

from pme_airflow.ledger.database import Database
from pme_airflow.ledger.read_model.rules import Rules
from pme_airflow.lifecycle.overview import LedgerView
from pme_airflow.plugin import reading, sources
from pme_airflow.plugin.app import create_app
from pme_airflow.plugin.sources import Sources
from pme_airflow.sealing import Sealer
from pme_airflow.secrets import SecretStr
from tests.support.clocks import FakeClock
from tests.support.ledgers import CLIENT, ledger_in_memory

SECRET_KEY = "a key for the tokens of these tests, as long as SHA-512 wants it" * 2
Login = Callable[[str], TestClient]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def ledger(clock: FakeClock) -> Iterator[Database]:
    database = ledger_in_memory(clock)
    yield database
    database.engine.dispose()


@pytest.fixture
def view(ledger: Database) -> LedgerView:
    return LedgerView("pme_default", CLIENT, ledger, Sealer.of_connection(SecretStr("a secret")), Rules())


@pytest.fixture
def login(view: LedgerView, monkeypatch: pytest.MonkeyPatch) -> Login:
    """Returns a client of the app for a role: ``viewer``, ``user``, ``admin``, or ``nobody``.

    What the auth manager would read from Airflow's database is given: no token was revoked, and DAGs have no team.
    """
    monkeypatch.setenv("AIRFLOW__API_AUTH__JWT_SECRET", SECRET_KEY)
    monkeypatch.setenv("AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS", "False")
    monkeypatch.setattr(RevokedToken, "is_revoked", lambda _jti: False)
    monkeypatch.setattr(DagModel, "get_team_name", lambda _dag_id: None)
    monkeypatch.setattr(sources, "view_of", lambda _hook, _placements: view)
    monkeypatch.setattr(reading, "dag_health", reading.DagHealth)
    app, auth_manager = create_app(Sources(["pme_default"])), create_auth_manager()

    def as_role(role: str) -> TestClient:
        client = TestClient(app, raise_server_exceptions=False)
        if role != "nobody":
            user = SimpleAuthManagerUser(username=role, role=role)
            client.headers["Authorization"] = f"Bearer {auth_manager.generate_jwt(user)}"
        return client

    return as_role
