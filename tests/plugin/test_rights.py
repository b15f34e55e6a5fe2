"""No route without a check: each one is asked for by nobody, a viewer, a user, and with a stranger's token."""

from __future__ import annotations

import time

import jwt
import pytest
from fastapi.routing import APIRoute
from starlette.testclient import TestClient

from pme_airflow.plugin.app import create_app
from pme_airflow.plugin.sources import Sources
from tests.plugin.conftest import Login

PARAMETERS = {"{link_id}": "lnk_1", "{name}": "main.js"}
FINGERPRINT = {"text": f"sha256:{7:064x}"}


def routes() -> list[tuple[str, str]]:
    found = []
    for route in create_app(Sources(["pme_default"])).routes:
        path = route.path  # type: ignore[attr-defined]
        for name, value in PARAMETERS.items():
            path = path.replace(name, value)
        assert isinstance(route, APIRoute), f"{path} is served by something that no test walks"
        found += [(method, path) for method in sorted(route.methods)]
    return sorted(found)


def status(client: TestClient, method: str, path: str) -> int:
    return client.request(method, path, json=FINGERPRINT if method == "POST" else None).status_code


def test_every_route_is_walked() -> None:
    assert {path for _, path in routes()} == {
        "/", "/static/main.js", "/api/slots", "/api/timeline", "/api/leaks", "/api/health", "/api/links/lnk_1",
        "/api/me", "/api/fingerprint",
    }  # fmt: skip


@pytest.mark.parametrize(("method", "path"), routes())
def test_nobody_reads_or_acts_without_a_login(login: Login, method: str, path: str) -> None:
    client = login("nobody")
    assert status(client, method, path) == 401
    client.cookies.set("_token", "nonsense")
    assert status(client, method, path) in (401, 403)


@pytest.mark.parametrize(("method", "path"), routes())
def test_a_strangers_token_opens_nothing(login: Login, method: str, path: str) -> None:
    client = login("nobody")
    claims = {"sub": "admin", "role": "ADMIN", "iat": int(time.time()), "nbf": 0, "exp": int(time.time()) + 600}
    for audience in ("apache-airflow", "urn:airflow.apache.org:task"):
        stranger = jwt.encode(
            {**claims, "aud": audience}, "a key of somebody else, as long as SHA-512 wants it" * 2, "HS512"
        )
        client.headers["Authorization"] = f"Bearer {stranger}"
        assert status(client, method, path) == 403


@pytest.mark.parametrize(("method", "path"), routes())
def test_a_viewer_looks_and_does_not_act(login: Login, method: str, path: str) -> None:
    assert status(login("viewer"), method, path) == (403 if method == "POST" else 404 if "lnk_1" in path else 200)


@pytest.mark.parametrize(("method", "path"), routes())
@pytest.mark.parametrize("role", ["user", "admin"])
def test_who_may_start_the_response_may_act(login: Login, role: str, method: str, path: str) -> None:
    assert status(login(role), method, path) == (404 if "lnk_1" in path else 200)


@pytest.mark.parametrize(("role", "may_act"), [("viewer", False), ("user", True), ("admin", True)])
def test_the_page_offers_what_the_user_may_do(login: Login, role: str, may_act: bool) -> None:
    assert login(role).get("/api/me").json()["may_act"] is may_act
