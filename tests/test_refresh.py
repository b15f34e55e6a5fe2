"""Fresh links for a portal's users: only for who may see them, never cached, never too often, never the application's."""

from __future__ import annotations

import json
import re
import threading
from base64 import b64encode
from dataclasses import replace
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
from pme_airflow.lifecycle.viewer_limits import MintLimits
from pme_airflow.refresh import create_refresh_app
from pme_airflow.sealing import Sealer
from pme_airflow.secrets import SecretStr
from tests.conftest import MODELS, MakeServices
from tests.support.clocks import FakeClock
from tests.support.home import ROOT
from tests.support.rooms import mint, rows

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
    assert named.headers["Access-Control-Allow-Credentials"] == "true"
    assert named.headers["Access-Control-Expose-Headers"] == "Date"


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
    page = (ROOT / "docs" / "how-to" / "portal-users.md").read_text()
    code = "\n".join(re.findall(r"```python\n(.*?)```", page, re.DOTALL))
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


@pytest.mark.parametrize("refused", [None, "", " ", "\n", "\u200b", "\u2060\ufeff \u00ad", "\0", False, 0])
def test_no_name_and_a_blank_one_grant_nothing(services: Services, refused: object) -> None:
    mint(services, "monday", [ONE])
    app = create_refresh_app(authorize=lambda *_: refused, audience="intranet", services=lambda: services)  # type: ignore[arg-type,return-value]
    assert TestClient(app).get(f"/{ONE}").status_code == 401


@pytest.mark.parametrize("path", ["/x", "/..%2f..%2fescaped", "/javascript:alert(1)", f"/{ONE}%0a", "/" + "a" * 24])
def test_a_path_that_is_no_model_id_is_not_found_and_not_asked_about(services: Services, path: str) -> None:
    asked: list[str] = []

    def authorize(_: Any, model_id: str) -> str:
        asked.append(model_id)
        return "ada"

    app = create_refresh_app(authorize=authorize, audience="intranet", services=lambda: services)
    assert TestClient(app).get(path).status_code == 404
    assert asked == []


def test_a_secret_that_was_changed_in_the_connection_is_read_within_a_minute(
    make_services: MakeServices, world: World
) -> None:
    clock = FakeClock(start=world.now())
    services = make_services(clock)
    resealed = replace(services, sealer=Sealer.of_connection(SecretStr("the new secret")))
    mint(resealed, "monday", [ONE])
    opened: list[Services] = []

    def connection() -> Services:
        opened.append(resealed if clock.monotonic() > began + 150 else services)
        return opened[-1]

    began = clock.monotonic()
    client = TestClient(create_refresh_app(authorize=may_see, audience="intranet", services=connection))
    seen = []
    for passed in (0, 30, 31, 60, 30):
        clock.advance(passed)
        seen.append((client.get(f"/{ONE}", headers=ADA).status_code, len(opened)))
    assert seen == [(503, 1), (503, 1), (503, 2), (503, 3), (503, 3)]
    clock.advance(60)
    assert client.get(f"/{ONE}", headers=ADA).status_code == 200
    assert opened == [services] * 3 + [resealed]


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


# ------------------------------------------------------------------ a token for each user


def any_user(request: Any, model_id: str) -> str | None:
    return request.cookies.get("user") if model_id in (ONE, TWO) else None


def minting(services: Services, **options: Any) -> TestClient:
    app = create_refresh_app(authorize=any_user, audience="intranet", services=lambda: services, mint="10m", **options)
    return TestClient(app)


def as_user(name: str) -> dict[str, str]:
    return {"Cookie": f"user={name}"}


@pytest.mark.parametrize("path", [f"/{ONE}", f"/token?modelId={ONE}"])
def test_each_user_gets_a_token_of_their_own_that_is_reused(services: Services, world: World, path: str) -> None:
    client = minting(services)
    first, again, other = (client.get(path, headers=as_user(name)).json() for name in ("ada", "ada", "bob"))
    assert first["access_token"] == again["access_token"] != other["access_token"]
    assert {issued.token for issued in world.alive()} == {first["access_token"], other["access_token"]}
    assert 590 < first["expires_in"] <= 600
    assert first["link"].endswith(first["access_token"])


def test_the_guides_address_serves_the_audiences_link_without_mint(services: Services, world: World) -> None:
    mint(services, "monday", [ONE])
    client = portal(services)
    tokens = [client.get(path, headers=ADA).json()["access_token"] for path in (f"/token?modelId={ONE}", f"/{ONE}")]
    assert tokens == list(world.tokens) * 2
    assert client.get("/token", headers=ADA).status_code == 404
    assert client.get(f"/token?modelId={TWO}", headers=ADA).status_code == 401
    assert client.get(f"/token?modelId={ONE}").status_code == 401


def test_mints_are_limited_and_a_reused_token_counts_for_nothing(services: Services, world: World) -> None:
    client = minting(services, mint_limits=MintLimits(user=1, model=2, total=3))
    assert [client.get(f"/{ONE}", headers=ADA).status_code for _ in range(3)] == [200] * 3
    refused = client.get(f"/{TWO}", headers=ADA)
    assert refused.status_code == 429
    assert 1 <= int(refused.headers["Retry-After"]) <= 61
    assert [client.get(f"/{ONE}", headers=as_user(name)).status_code for name in ("bob", "eve")] == [200, 429]
    assert world.counts["minted"] == 2


def test_a_user_who_asks_for_a_model_that_is_not_theirs_costs_no_mint(services: Services, world: World) -> None:
    answer = minting(services).get("/Model000009", headers=ADA)
    assert (answer.status_code, world.counts.get("minted", 0)) == (401, 0)


def test_a_model_that_the_api_refuses_has_no_link(services: Services, world: World) -> None:
    world.models[ONE]["state"] = "inactive"
    assert minting(services).get(f"/{ONE}", headers=ADA).status_code == 404


def test_an_api_that_is_away_is_reported_after_a_short_wait(make_services: MakeServices, world: World) -> None:
    services = make_services(deadline=500.0)
    world.set_faults({"throttled": 1})
    with mock.patch("pme_airflow.refresh._MINT_PATIENCE_SECONDS", 0.2):
        answer = minting(services).get(f"/{ONE}", headers=ADA)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "15")


def test_a_name_of_ten_thousand_characters_is_served_and_not_stored(services: Services) -> None:
    app = create_refresh_app(
        authorize=lambda request, model_id: "x" * 10_000, audience="intranet", services=lambda: services, mint="10m"
    )
    assert TestClient(app).get(f"/{ONE}").status_code == 200
    (row,) = rows(services, "live")
    assert len(row.viewer or "") < 80


def test_parameters_are_appended_to_what_is_served(services: Services) -> None:
    link = minting(services, params={"play": 1, "yyHDFKzPzvN": "ss=3"}).get(f"/{ONE}", headers=ADA).json()
    assert link["link"].endswith(f"{link['access_token']}&play=1")


@pytest.mark.parametrize(
    ("options", "field"),
    [({"mint": "25h"}, "24h"), ({"mint": "soon"}, "mint"), ({"params": "auth=x"}, r"params\.auth")],
)
def test_settings_that_cannot_be_right_are_named(options: dict[str, str], field: str) -> None:
    with pytest.raises(PMEInputError, match=field):
        create_refresh_app(authorize=may_see, **options)  # type: ignore[arg-type]


def test_a_validity_that_is_too_short_for_showcase_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    create_refresh_app(authorize=may_see, mint="29s")
    assert "at least 30 s" in caplog.text
    caplog.clear()
    create_refresh_app(authorize=may_see, mint="30s")
    assert caplog.text == ""
