"""Fresh links for a portal's users: only for who may see them, never cached, never too often, never the application's."""

from __future__ import annotations

import json
import re
import threading
from base64 import b64encode
from datetime import datetime, timedelta, timezone
from typing import Any
from unittest import mock

import pytest
from itsdangerous import TimestampSigner
from starlette.testclient import TestClient

from pme_airflow.dev.emulator import World
from pme_airflow.errors import LedgerUnavailableError, PMECredentialsError, PMEInputError, PMEUnavailableError
from pme_airflow.ledger import flags
from pme_airflow.ledger.run_context import RunContext
from pme_airflow.lifecycle.services import Services
from pme_airflow.refresh import create_refresh_app
from tests.conftest import MODELS, MakeServices
from tests.support.clocks import FakeClock
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
    body = answer.json()
    newest = next(reversed(world.tokens))
    assert body["access_token"] == newest
    assert body["link"].endswith(newest)
    assert 86_000 < body["expires_in"] <= 86_400
    assert answer.headers["Cache-Control"] == "no-store"
    assert not any(application in answer.text for application in world.applications)


@pytest.mark.parametrize("lead", [timedelta(minutes=-10), timedelta(0), timedelta(minutes=10)])
def test_the_seconds_left_are_counted_by_the_servers_clock_and_never_too_many(
    make_services: MakeServices, world: World, lead: timedelta
) -> None:
    world.freeze_clock(datetime(2026, 5, 1, 12, tzinfo=timezone.utc))
    services = make_services(FakeClock(start=world.now(), lead=lead))
    mint(services, "monday", [ONE])
    left = portal(services).get(f"/{ONE}", headers=ADA).json()["expires_in"]
    assert 86_400 - 5 < left <= 86_400 - 2


def test_a_link_that_may_have_ended_is_not_handed_out(make_services: MakeServices, world: World) -> None:
    world.freeze_clock(datetime(2026, 5, 1, 12, tzinfo=timezone.utc))
    clock = FakeClock(start=world.now())
    services = make_services(clock)
    mint(services, "monday", [ONE])
    for passed, status in ((86_390, 200), (8, 404)):
        clock.advance(passed)
        world.move_clock(passed)
        assert portal(services).get(f"/{ONE}", headers=ADA).status_code == status


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
    statuses = [client.get(f"/{ONE}", headers=ADA).status_code for _ in range(4)]
    assert statuses == [200, 200, 200, 429]
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
        ({"allow_origins": ["https://portal.test", "*"]}, "allow_origins"),
        ({"allow_origins": "https://portal.test"}, "allow_origins"),
        ({"allow_origins": ["null"]}, "allow_origins"),
        ({"allow_origins": ["http://portal.test"]}, "allow_origins"),
        ({"allow_origins": ["https://portal.test/"]}, "allow_origins"),
        ({"allow_origins": ["https://portal.test/tours"]}, "allow_origins"),
        ({"allow_origins": ["portal.test"]}, "allow_origins"),
        ({"allow_origins": ["https://*.portal.test"]}, "allow_origins"),
        ({"requests_per_minute": 1.5}, "requests_per_minute"),
        ({"requests_per_minute": 0}, "requests_per_minute"),
        ({"requests_per_minute": True}, "requests_per_minute"),
    ],
)
def test_a_setup_that_is_not_safe_is_refused(options: dict[str, Any], field: str) -> None:
    with pytest.raises(PMEInputError, match=field):
        create_refresh_app(**{"authorize": may_see, **options})


def test_the_portal_of_the_docs_lets_in_a_signed_session_alone(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (ROOT / "docs" / "embedding.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    made: dict[str, Any] = {}
    monkeypatch.setenv("PORTAL_SECRET_KEY", "the portal's own key")
    monkeypatch.setattr("pme_airflow.refresh._of_connection", lambda _: services)
    exec(code, made)
    made["MODELS_OF"]["ada"] = {ONE}
    mint(services, "monday", [ONE, TWO])

    def status(cookie: str, model_id: str = ONE) -> int:
        client = TestClient(made["portal"], base_url="https://portal.test")
        return client.get(f"/tours/{model_id}", headers={"Cookie": cookie} if cookie else {}).status_code

    assert status(session("the portal's own key", {"user": "ada"})) == 200
    assert status(session("the portal's own key", {"user": "ada"}), TWO) == 401
    assert status(session("the portal's own key", {"user": "eve"})) == 401
    assert status(session("another key", {"user": "ada"})) == 401
    unsigned = b64encode(json.dumps({"user": "ada"}).encode()).decode()
    for forged in ("", "user=ada", "session=ada", f"session={unsigned}"):
        assert status(forged) == 401


def session(key: str, content: dict[str, str]) -> str:
    """A session's cookie as Starlette's SessionMiddleware signs it."""
    signed = TimestampSigner(key).sign(b64encode(json.dumps(content).encode()))
    return f"session={signed.decode()}"


@pytest.mark.parametrize("granted", [True, 1, 1.0, b"ada", ["ada"], {"user": "ada"}, object(), ("ada",)])
def test_only_a_name_grants_access_and_what_is_none_is_logged_once(
    services: Services, caplog: pytest.LogCaptureFixture, granted: object
) -> None:
    mint(services, "monday", [ONE])

    async def later(*_: Any) -> Any:
        return granted

    for authorize in (lambda *_: granted, later):
        caplog.clear()
        client = TestClient(create_refresh_app(authorize=authorize, audience="intranet", services=lambda: services))
        for _ in range(3):
            assert client.get(f"/{ONE}").status_code == 401
        messages = [record.getMessage() for record in caplog.records if record.name == "pme_airflow.refresh"]
        assert len(messages) == 1
        assert type(granted).__name__ in messages[0]


@pytest.mark.parametrize("refused", [None, "", " ", "\n", False, 0])
def test_no_name_and_a_blank_one_grant_nothing(services: Services, refused: object) -> None:
    mint(services, "monday", [ONE])
    app = create_refresh_app(authorize=lambda *_: refused, audience="intranet", services=lambda: services)  # type: ignore[arg-type,return-value]
    assert TestClient(app).get(f"/{ONE}").status_code == 401


@pytest.mark.parametrize("path", ["/x", "/..%2f..%2fescaped", "/javascript:alert(1)", f"/{ONE}%0a", "/" + "a" * 25])
def test_a_path_that_is_no_model_id_is_not_found_and_not_asked_about(services: Services, path: str) -> None:
    asked: list[str] = []

    def authorize(_: Any, model_id: str) -> str:
        asked.append(model_id)
        return "ada"

    app = create_refresh_app(authorize=authorize, audience="intranet", services=lambda: services)
    assert TestClient(app).get(path).status_code == 404
    assert asked == []


@pytest.mark.parametrize("lead", [timedelta(minutes=-10), timedelta(minutes=10)])
def test_nobody_waits_for_an_api_that_is_away_and_no_session_outlives_its_token(
    make_services: MakeServices, world: World, lead: timedelta
) -> None:
    world.freeze_clock(datetime(2026, 5, 1, 12, tzinfo=timezone.utc))
    mint(make_services(FakeClock(start=world.now())), "monday", [ONE])
    services = make_services(FakeClock(start=world.now(), lead=lead))
    away, learning = threading.Event(), threading.Event()

    def wait_for_the_api() -> None:
        learning.set()
        assert away.wait(60)
        raise PMEUnavailableError("away")

    with mock.patch.object(services.client, "check_credentials", wait_for_the_api):
        client = portal(services)
        left = [client.get(f"/{ONE}", headers=ADA).json()["expires_in"] for _ in range(3)]
        assert learning.wait(60)
        assert [thread.daemon for thread in threading.enumerate() if thread.name == "pme-server-time"] == [True]
        away.set()
    assert set(left) == {int(86_400 - 11 * 60 - lead.total_seconds())}
    assert max(left) <= 86_400


def test_the_servers_time_is_learnt_beside_the_requests_and_anew_each_hour(
    make_services: MakeServices, world: World
) -> None:
    clock = FakeClock(start=world.now())
    services = make_services(clock)
    mint(services, "monday", [ONE])
    learnt: list[float] = []
    done = threading.Event()

    def learn() -> None:
        learnt.append(clock.monotonic())
        done.set()

    with mock.patch.object(services.client, "check_credentials", learn):
        client = portal(services)
        for passed in (0, 3599, 1, 10, 3590):
            clock.advance(passed)
            done.clear()
            assert client.get(f"/{ONE}", headers=ADA).status_code == 200
            if passed in (0, 1, 3590):
                assert done.wait(60)
    assert learnt == [0.0, 3600.0, 7200.0]


def test_refused_credentials_cost_a_line_and_no_request(
    make_services: MakeServices, caplog: pytest.LogCaptureFixture
) -> None:
    services = make_services()
    mint(services, "monday", [ONE])
    finished = threading.Event()

    def refuse() -> None:
        finished.set()
        raise PMECredentialsError("The PME API refused the client id or secret.")

    with mock.patch.object(services.client, "check_credentials", refuse):
        assert portal(services).get(f"/{ONE}", headers=ADA).status_code == 200
        assert finished.wait(60)
