from __future__ import annotations

import logging
import socket
import threading
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests_mock as mocking

from pme_airflow.api.answers import Made, NotMade, NotRevoked, Revoked, Unknown
from pme_airflow.api.client import ClientSettings, PMEClient
from pme_airflow.api.messages import MintRequest
from pme_airflow.dev.emulator import Settings, World
from pme_airflow.dev.emulator.server import serving
from pme_airflow.durations import Validity
from pme_airflow.errors import (
    PMECredentialsError,
    PMEInputError,
    PMENotEnabledError,
    PMEProtocolError,
    PMEUnavailableError,
)
from pme_airflow.secrets import AccessToken, SecretStr
from tests.conftest import MODELS, SECRET
from tests.support.clocks import FakeClock

HOST = "https://api.example.test"
GRAPH = f"{HOST}/api/models/graph"
TOKEN = f"{HOST}/api/oauth/token"
TEN_MINUTES = Validity(600)


def requests_for(count: int) -> list[MintRequest]:
    return [MintRequest(model_id, TEN_MINUTES) for model_id in list(MODELS)[:count]]


@pytest.fixture
def api() -> Iterator[mocking.Mocker]:
    with mocking.Mocker() as mock:
        mock.post(TOKEN, json={"access_token": "app", "token_type": "Bearer", "expires_in": 3599})
        yield mock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def mocked(api: mocking.Mocker, clock: FakeClock) -> PMEClient:
    return PMEClient("id", SecretStr(SECRET), HOST, clock=clock)


def link(alias: str) -> dict[str, str]:
    return {"accessToken": alias * 10, "application": "showcase", "link": f"https://x/?auth=Bearer+{alias}",
            "validUntil": "2026-05-01T12:10:00Z"}  # fmt: skip


# ------------------------------------------------------------- against the emulator


def test_links_are_minted_listed_and_revoked(client: PMEClient, world: World) -> None:
    verdicts = client.mint(requests_for(12))
    made = [verdict.link for verdict in verdicts if isinstance(verdict, Made)]
    assert [one.model_id for one in made] == list(MODELS)[:12]
    assert {one.access_token.reveal() for one in made} == set(world.tokens)
    assert all(isinstance(v, Revoked) for v in client.revoke([one.access_token for one in made]))
    assert world.alive() == []
    assert [model.model_id for model in client.models()] == list(MODELS)
    assert client.model("Model000003").name == "Space 3"


def test_every_page_of_models_is_read(world: World, client: PMEClient) -> None:
    world.models.update(
        {f"Extra{i:06d}": {"name": "x", "state": "active", "visibility": "private"} for i in range(777)}
    )
    assert len(list(client.models())) == len(MODELS) + 777


def test_an_expiry_met_by_sixteen_threads_costs_one_renewal(world: World, client: PMEClient) -> None:
    client.check_credentials()
    world.move_clock(4000)
    barrier = threading.Barrier(16)

    def mint(index: int) -> Any:
        barrier.wait(60)
        return client.mint([MintRequest(list(MODELS)[index], TEN_MINUTES)])[0]

    with ThreadPoolExecutor(16) as pool:
        assert all(isinstance(verdict, Made) for verdict in pool.map(mint, range(16)))
    assert world.counts["requests:token"] == 2
    assert len(world.tokens) == 16


def test_an_application_token_is_renewed_before_it_ends(world: World, address: str) -> None:
    clock = FakeClock()
    client = PMEClient("emulator-client", SecretStr(SECRET), address, clock=clock)
    client.mint(requests_for(1))
    clock.advance(3599 - 30)
    client.mint(requests_for(1))
    assert world.counts["requests:token"] == 2


def test_a_wrong_secret_is_one_request_and_no_retry(world: World, address: str) -> None:
    client = PMEClient("emulator-client", SecretStr("not the secret"), address)
    with pytest.raises(PMECredentialsError, match="Reset") as caught:
        client.mint(requests_for(3))
    assert world.counts == {"requests:token": 1}
    assert "not the secret" not in "".join(traceback.format_exception(caught.value))


def test_the_second_spelling_is_found_and_remembered() -> None:
    world = World(Settings(client_secret=SECRET, models=MODELS, second_spelling=True))
    with serving(world) as address:
        client = PMEClient("emulator-client", SecretStr(SECRET), address)
        (first,) = client.mint(requests_for(1))
        asked = world.counts["requests:graph"]
        (second,) = client.mint(requests_for(1))
    assert isinstance(first, Made)
    assert isinstance(second, Made)
    assert asked == 2
    assert world.counts["requests:graph"] == 3


def test_a_server_that_caps_aliases_is_asked_one_by_one() -> None:
    world = World(Settings(client_secret=SECRET, models=MODELS, max_aliases=1))
    with serving(world) as address:
        client = PMEClient("emulator-client", SecretStr(SECRET), address)
        verdicts = client.mint(requests_for(10))
        assert all(isinstance(verdict, Made) for verdict in verdicts)
        revoked = client.revoke([v.link.access_token for v in verdicts if isinstance(v, Made)])
    assert all(isinstance(verdict, Revoked) for verdict in revoked)
    assert world.counts["minted"] == 10


def test_what_may_have_acted_is_not_sent_again(world: World, client: PMEClient) -> None:
    client.check_credentials()
    for fault in ("lost_after", "lost_before", "bad_gateway_after", "bad_gateway"):
        world.set_faults({fault: 1.0})
        before = world.counts.get("requests:graph", 0)
        (verdict,) = client.mint(requests_for(1))
        assert isinstance(verdict, Unknown), fault
        assert world.counts["requests:graph"] == before + 1, fault


def test_a_request_that_cannot_connect_was_not_made() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        host = f"http://127.0.0.1:{taken.getsockname()[1]}"
    settings = ClientSettings(deadline=0.5)
    client = PMEClient("id", SecretStr(SECRET), host, settings)
    client._token = None
    with pytest.raises(PMEUnavailableError, match="not reached"):
        client.mint(requests_for(1))


def test_partial_success_is_judged_alias_by_alias(world: World, client: PMEClient) -> None:
    world.models["Model000001"]["state"] = "inactive"
    verdicts = client.mint([*requests_for(3), MintRequest("NoSuchModel", TEN_MINUTES)])
    kinds = [type(verdict) for verdict in verdicts]
    assert kinds == [Made, NotMade, Made, NotMade]
    assert all(not v.resend for v in verdicts if isinstance(v, NotMade))


def test_the_servers_clock_is_learnt_from_date(world: World, address: str) -> None:
    world.move_clock(600)
    client = PMEClient("emulator-client", SecretStr(SECRET), address)
    client.check_credentials()
    assert abs((client.server_clock.now() - world.now()).total_seconds()) < 2


# ---------------------------------------------------------------- scripted answers


def test_retry_after_is_waited_for(mocked: PMEClient, api: mocking.Mocker, clock: FakeClock) -> None:
    api.post(
        GRAPH,
        [
            {"status_code": 429, "headers": {"Retry-After": "17"}},
            {"json": {"data": {"a0": link("q")}}},
        ],
    )
    (verdict,) = mocked.mint(requests_for(1))
    assert isinstance(verdict, Made)
    assert 17 <= clock.slept < 25


def test_a_busy_server_is_given_up_at_the_deadline(mocked: PMEClient, api: mocking.Mocker, clock: FakeClock) -> None:
    api.post(GRAPH, status_code=503, headers={"Retry-After": "30"})
    (verdict,) = mocked.mint(requests_for(1))
    assert isinstance(verdict, NotMade)
    assert verdict.error.permanent is False
    assert clock.slept <= mocked.settings.deadline


@pytest.mark.parametrize("status", [400, 401])
def test_a_token_that_ends_early_is_replaced_at_once(
    mocked: PMEClient, api: mocking.Mocker, clock: FakeClock, status: int
) -> None:
    api.post(
        GRAPH, [{"status_code": status, "json": {"error": "invalid_grant"}}, {"json": {"data": {"a0": link("q")}}}]
    )
    (verdict,) = mocked.mint(requests_for(1))
    assert isinstance(verdict, Made)
    assert clock.slept == 0
    assert sum(request.url == TOKEN for request in api.request_history) == 2


def test_a_server_that_refuses_every_token_is_not_asked_for_ever(mocked: PMEClient, api: mocking.Mocker) -> None:
    api.post(GRAPH, status_code=401)
    (verdict,) = mocked.mint(requests_for(1))
    assert isinstance(verdict, NotMade)
    assert isinstance(verdict.error, PMECredentialsError)
    assert api.call_count < 20


def test_a_list_that_does_not_end_is_an_error(mocked: PMEClient, api: mocking.Mocker) -> None:
    api.post(GRAPH, json={"data": {"models": {"results": [], "nextOffset": "5"}}})
    with pytest.raises(PMEProtocolError, match="offset"):
        list(mocked.models())


def test_a_host_that_is_no_pme_api_is_told_apart(mocked: PMEClient, api: mocking.Mocker) -> None:
    api.post(TOKEN, text="<html>welcome</html>")
    with pytest.raises(PMEProtocolError, match="host"):
        mocked.check_enabled()


def test_an_organisation_without_pme_is_told_apart(mocked: PMEClient, api: mocking.Mocker) -> None:
    unknown = {"message": "Cannot query field 'deletePrivateModelEmbedToken'", "httpStatus": 400}
    again = {"message": "Cannot query field 'deletePrivateModelAccessToken'", "httpStatus": 400}
    api.post(GRAPH, [{"json": {"errors": [unknown]}, "status_code": 400}, {"json": {"errors": [again]}}])
    with pytest.raises(PMENotEnabledError, match="enabled"):
        mocked.check_enabled()


def test_a_redirect_is_not_followed(mocked: PMEClient, api: mocking.Mocker) -> None:
    elsewhere = api.post("https://elsewhere.test/", json={})
    api.post(GRAPH, status_code=307, headers={"Location": "https://elsewhere.test/"})
    (verdict,) = mocked.mint(requests_for(1))
    assert isinstance(verdict, Unknown)
    assert elsewhere.call_count == 0


def test_a_revocation_that_is_refused_is_denied(mocked: PMEClient, api: mocking.Mocker) -> None:
    api.post(GRAPH, json={"data": {"a0": False, "a1": True}})
    first, second = mocked.revoke([AccessToken("a" * 25), AccessToken("b" * 25)])
    assert isinstance(first, NotRevoked)
    assert isinstance(second, Revoked)


# ------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    "host", ["http://api.example.test", "ftp://x", "https://", "https://u:p@x", "https://x?y=1", "https://x:port"]
)
def test_a_host_that_cannot_be_right_is_refused_before_any_request(host: str) -> None:
    with pytest.raises(PMEInputError, match="host"):
        PMEClient("id", SecretStr(SECRET), host)


@pytest.mark.parametrize(("login", "password", "field"), [("", "x", "login"), ("x", "", "password")])
def test_missing_credentials_are_named(login: str, password: str, field: str) -> None:
    with pytest.raises(PMEInputError, match=field):
        PMEClient(login, SecretStr(password), HOST)


def test_no_secret_in_reprs_logs_or_tracebacks(world: World, address: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    client = PMEClient("emulator-client", SecretStr(SECRET), address)
    (verdict,) = client.mint(requests_for(1))
    assert isinstance(verdict, Made)
    token = verdict.link.access_token.reveal()
    shown = [repr(client), repr(verdict), str(verdict.link.access_token), repr(vars(client)), caplog.text]
    world.down = True
    (lost,) = client.mint(requests_for(1))
    shown.append(repr(lost))
    for text in shown:
        assert token not in text
        assert SECRET not in text
