"""Fresh links for a portal's users: only for who may see them, never cached, never too often, never the application's."""

from __future__ import annotations

import re
from typing import Any

import pytest
from starlette.testclient import TestClient

from pme_airflow.dev.emulator import World
from pme_airflow.errors import LedgerUnavailableError, PMEInputError
from pme_airflow.ledger import flags
from pme_airflow.ledger.run_context import RunContext
from pme_airflow.lifecycle.services import Services
from pme_airflow.refresh import create_refresh_app
from tests.conftest import MODELS
from tests.support.home import ROOT
from tests.support.rooms import mint

ONE, TWO = list(MODELS)[:2]
ADA = {"Cookie": "user=ada"}


@pytest.fixture
def ledger_address(tmp_path: Any) -> str:
    return f"sqlite:///{tmp_path}/ledger.db"


def may_see(request: Any, model_id: str) -> str | None:
    return request.cookies.get("user") if model_id == ONE else None


def portal(services: Services, **options: Any) -> TestClient:
    return TestClient(create_refresh_app(authorize=may_see, audience="intranet", services=lambda: services, **options))


def test_a_user_who_may_see_a_model_gets_its_newest_link(services: Services, world: World) -> None:
    mint(services, "monday", [ONE])
    mint(services, "tuesday", [ONE])
    answer = portal(services).get(f"/{ONE}", headers=ADA)
    said = answer.json()
    newest = next(reversed(world.tokens))
    assert said["access_token"] == newest
    assert said["link"].endswith(newest)
    assert 86_000 < said["expires_in"] <= 86_400
    assert answer.headers["Cache-Control"] == "no-store"
    assert not any(application in answer.text for application in world.applications)


def test_a_flagged_link_is_not_handed_out(services: Services, world: World) -> None:
    mint(services, "monday", [ONE])
    (item,) = mint(services, "tuesday", [ONE]).items
    with services.database.write(RunContext("cli")) as tx:
        flags.flag(tx, "leaked", link_ids=[item["link_id"]])
    assert portal(services).get(f"/{ONE}", headers=ADA).json()["access_token"] == next(iter(world.tokens))


@pytest.mark.parametrize(("headers", "model_id"), [({}, ONE), (ADA, TWO)])
def test_nobody_else_gets_one(services: Services, headers: dict[str, str], model_id: str) -> None:
    mint(services, "monday", [ONE, TWO])
    answer = portal(services).get(f"/{model_id}", headers=headers)
    assert answer.status_code == 401
    assert "access_token" not in answer.text


def test_a_model_without_a_live_link_is_not_found(services: Services) -> None:
    assert portal(services).get(f"/{ONE}", headers=ADA).status_code == 404


def test_a_user_who_asks_too_often_waits_and_others_do_not(services: Services) -> None:
    mint(services, "monday", [ONE])
    client = portal(services, requests_per_minute=3)
    said = [client.get(f"/{ONE}", headers=ADA).status_code for _ in range(4)]
    assert said == [200, 200, 200, 429]
    assert client.get(f"/{ONE}", headers={"Cookie": "user=bob"}).status_code == 200


def test_other_origins_read_nothing_unless_they_are_named(services: Services) -> None:
    mint(services, "monday", [ONE])
    asked = {**ADA, "Origin": "https://portal.test"}
    closed = portal(services).get(f"/{ONE}", headers=asked)
    assert "Access-Control-Allow-Origin" not in closed.headers
    named = portal(services, allow_origins=["https://portal.test"]).get(f"/{ONE}", headers=asked)
    assert named.headers["Access-Control-Allow-Origin"] == "https://portal.test"


def test_an_async_check_is_awaited(services: Services) -> None:
    async def nobody(request: Any, model_id: str) -> None:
        return None

    client = TestClient(create_refresh_app(authorize=nobody, services=lambda: services))
    assert client.get(f"/{ONE}").status_code == 401


def test_a_ledger_that_is_away_is_a_503_without_details() -> None:
    def broken() -> Services:
        raise LedgerUnavailableError("The ledger at secret-host: it cannot be reached.")

    app = create_refresh_app(authorize=lambda request, model_id: "ada", services=broken)
    answer = TestClient(app).get(f"/{ONE}")
    assert answer.status_code == 503
    assert "secret-host" not in answer.text


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"authorize": None}, "authorize"),
        ({"allow_origins": ["*"]}, "allow_origins"),
        ({"requests_per_minute": 0}, "requests_per_minute"),
    ],
)
def test_a_setup_that_is_not_safe_is_refused(options: dict[str, Any], field: str) -> None:
    with pytest.raises(PMEInputError, match=field):
        create_refresh_app(**{"authorize": may_see, **options})


def test_the_portal_of_the_docs(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (ROOT / "docs" / "embedding.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    made: dict[str, Any] = {}
    exec(code, made)
    monkeypatch.setattr("pme_airflow.refresh._of_connection", lambda _: services)
    mint(services, "monday", [ONE])
    client = TestClient(made["portal"])
    assert client.get(f"/tours/{ONE}").status_code == 401
    assert client.get(f"/tours/{ONE}", headers=ADA).status_code == 200
