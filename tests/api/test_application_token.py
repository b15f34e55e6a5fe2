"""The application token: one request for many threads, renewed in time, and honest words where there is none."""

from __future__ import annotations

import threading
import traceback
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from unittest.mock import Mock
from urllib.parse import parse_qs

import pytest
import requests
import requests_mock as mocking

from pme_airflow.api.application_token import ApplicationTokenCache
from pme_airflow.api.client import PMEClient
from pme_airflow.api.messages import MintRequest
from pme_airflow.api.outcomes import HttpResponse, Made, NotMade
from pme_airflow.api.retry import RetryPolicy
from pme_airflow.dev.emulator import World
from pme_airflow.errors import PMECredentialsError, PMEError, PMEProtocolError, PMEUnavailableError, PMEUnreachableError
from pme_airflow.secrets import SecretStr
from tests.api.scripted import GRAPH, HOST, TEN_MINUTES, TOKEN, made, requests_for
from tests.conftest import MODELS, SECRET
from tests.support.clocks import FakeClock


def tokens_requested(api: mocking.Mocker) -> int:
    return sum(request.url == TOKEN for request in api.request_history)


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


@pytest.mark.parametrize(
    ("expires_in", "kept_for"),
    [
        (3599, 3539),
        (120, 90),
        (1, 0.75),
        (0, 3539),
        ("7200", 7140),
        (86400, 86340),
        (None, 3539),
        ("soon", 3539),
        (-1, 3539),
        (True, 3539),
        ("3599.5", 3539.5),
        ("inf", 3539),
        ([], 3539),
    ],
)
def test_a_token_is_used_for_as_long_as_expires_in_says_less_a_margin(
    scripted: PMEClient, api: mocking.Mocker, clock: FakeClock, expires_in: object, kept_for: float
) -> None:
    answer = {"access_token": "app", "token_type": "Bearer", "expires_in": expires_in}
    api.post(TOKEN, json={name: value for name, value in answer.items() if value is not None})
    for passed, requested in ((0, 1), (kept_for - 0.25, 1), (0.25, 2)):
        clock.advance(passed)
        scripted.check_credentials()
        assert tokens_requested(api) == requested, (passed, expires_in)


def test_a_wrong_secret_is_one_request_and_no_retry(world: World, address: str) -> None:
    client = PMEClient("emulator-client", SecretStr("not the secret"), address)
    with pytest.raises(PMECredentialsError, match="Reset") as caught:
        client.mint(requests_for(3))
    assert world.counts == {"requests:token": 1}
    assert "not the secret" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("status", [400, 401])
def test_a_token_that_ends_early_is_replaced_at_once(
    scripted: PMEClient, api: mocking.Mocker, clock: FakeClock, status: int
) -> None:
    api.post(GRAPH, [{"status_code": status, "json": {"error": "invalid_grant"}}, made()])
    (verdict,) = scripted.mint(requests_for(1))
    assert isinstance(verdict, Made)
    assert clock.slept == 0
    assert tokens_requested(api) == 2


def test_a_server_that_refuses_every_token_is_given_up_after_five_renewals(
    scripted: PMEClient, api: mocking.Mocker
) -> None:
    api.post(GRAPH, status_code=401)
    (verdict,) = scripted.mint(requests_for(1))
    assert isinstance(verdict, NotMade)
    assert isinstance(verdict.error, PMECredentialsError)
    assert api.call_count == 13


def test_a_refused_secret_is_checked_for_mistakes_before_a_reset_is_suggested(
    api: mocking.Mocker, clock: FakeClock
) -> None:
    api.post(TOKEN, status_code=401, json={"error": "invalid_client"})
    encoded = "YS1zZWNyZXQtb2YtdGhlLWNsdXN0ZXI="
    with (
        PMEClient("an-id", SecretStr(encoded), HOST, clock=clock) as client,
        pytest.raises(PMECredentialsError) as caught,
    ):
        client.check_credentials()
    message = str(caught.value)
    assert message.index("looks like base64") < message.index("Reset the secret only if it is lost")
    assert encoded not in message


def test_a_secret_that_cannot_be_right_is_named_before_anything_is_sent(api: mocking.Mocker, clock: FakeClock) -> None:
    with (
        PMEClient("an-id", SecretStr("s3cret-s3cret\n"), HOST, clock=clock) as client,
        pytest.raises(
            PMECredentialsError, match=r"ends with a newline.*need not be reset\. Nothing was sent"
        ) as caught,
    ):
        client.check_credentials()
    assert api.request_history == []
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("response", "error", "words"),
    [
        ({"status_code": 400, "json": {"error": "invalid_client"}}, PMECredentialsError, "Compare Client ID"),
        ({"status_code": 401, "json": {"error": "invalid_client"}}, PMECredentialsError, "Compare Client ID"),
        ({"status_code": 403, "json": {}}, PMECredentialsError, "Compare Client ID"),
        ({"status_code": 401, "text": "<html>"}, PMEProtocolError, "API address"),
        ({"status_code": 404, "json": {}}, PMEProtocolError, "API address"),
        ({"status_code": 200, "text": "<html>welcome</html>"}, PMEProtocolError, "API address"),
        ({"status_code": 200, "json": {"token_type": "Bearer"}}, PMEProtocolError, "API address"),
        ({"status_code": 200, "json": {"access_token": 5, "token_type": "Bearer"}}, PMEProtocolError, "API address"),
        ({"status_code": 200, "json": {"access_token": "", "token_type": "Bearer"}}, PMEProtocolError, "API address"),
        (
            {"status_code": 200, "json": {"access_token": "a\r\nX: y", "token_type": "Bearer"}},
            PMEProtocolError,
            "API address",
        ),
        (
            {"status_code": 200, "json": {"access_token": "tökén", "token_type": "Bearer"}},
            PMEProtocolError,
            "API address",
        ),
        ({"status_code": 200, "text": "[" * 5000}, PMEProtocolError, "API address"),
        ({"status_code": 302, "headers": {"Location": "https://login.test"}}, PMEProtocolError, "API address"),
        ({"status_code": 500, "text": ""}, PMEUnavailableError, "HTTP 500"),
        ({"status_code": 429, "text": ""}, PMEUnavailableError, "HTTP 429"),
        ({"status_code": 408, "text": ""}, PMEUnavailableError, "HTTP 408"),
        ({"status_code": 425, "text": ""}, PMEUnavailableError, "HTTP 425"),
    ],
)
def test_each_refusal_of_the_token_request_is_an_error_of_its_own_kind(
    scripted: PMEClient, api: mocking.Mocker, clock: FakeClock, response: dict[str, Any], error: type, words: str
) -> None:
    api.post(TOKEN, **response)
    with pytest.raises(error, match=words) as caught:
        scripted.check_credentials()
    assert type(caught.value) is error
    assert (api.call_count > 1) is (error is PMEUnavailableError)
    assert clock.slept <= 120
    assert SECRET not in str(caught.value)


def test_an_unreachable_token_endpoint_is_tried_until_the_deadline_and_then_named(
    scripted: PMEClient, api: mocking.Mocker, clock: FakeClock
) -> None:
    api.post(TOKEN, exc=requests.exceptions.ConnectTimeout)
    with pytest.raises(PMEUnreachableError, match=r"api\.example\.test was not reached"):
        scripted.check_credentials()
    assert 60 < clock.slept <= 120


def test_a_token_request_is_repeated_after_a_passing_failure(scripted: PMEClient, api: mocking.Mocker) -> None:
    good = {"json": {"access_token": "app", "token_type": "Bearer", "expires_in": 3599}}
    api.post(TOKEN, [{"status_code": 503}, {"exc": requests.exceptions.ReadTimeout}, good])
    scripted.check_credentials()
    assert api.call_count == 3


@pytest.mark.parametrize(
    ("response", "error"),
    [
        ({"exc": requests.exceptions.ConnectTimeout}, PMEUnreachableError),
        ({"status_code": 500}, PMEUnavailableError),
        ({"status_code": 401, "json": {"error": "invalid_client"}}, PMECredentialsError),
    ],
)
def test_threads_that_wait_for_a_token_share_the_failure_of_one_request(
    scripted: PMEClient, api: mocking.Mocker, clock: FakeClock, response: dict[str, Any], error: type
) -> None:
    api.post(TOKEN, **response)
    barrier = threading.Barrier(13)

    def check(_: int) -> type:
        barrier.wait(60)
        with pytest.raises(error) as caught:
            scripted.check_credentials()
        return type(caught.value)

    with ThreadPoolExecutor(13) as pool:
        assert set(pool.map(check, range(13))) == {error}
    assert clock.slept <= 120
    assert tokens_requested(api) == 1 or error is not PMECredentialsError


def test_a_failure_is_shared_for_a_second_only(scripted: PMEClient, api: mocking.Mocker, clock: FakeClock) -> None:
    api.post(TOKEN, status_code=401, json={"error": "invalid_client"})
    for passed, requested in ((0, 1), (0.9, 1), (0.1, 2)):
        clock.advance(passed)
        with pytest.raises(PMECredentialsError):
            scripted.check_credentials()
        assert tokens_requested(api) == requested


def test_the_token_is_requested_with_the_id_and_the_secret(scripted: PMEClient, api: mocking.Mocker) -> None:
    scripted.check_credentials()
    assert parse_qs(api.last_request.text) == {
        "grant_type": ["client_credentials"], "client_id": ["id"], "client_secret": [SECRET],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("exchange", "error"),
    [
        (HttpResponse(200, {}, b'{"access_token": "a', complete=False), PMEUnavailableError),
        (HttpResponse(500, {}, b"{}"), PMEUnavailableError),
        (HttpResponse(499, {}, b"{}"), PMEProtocolError),
        (HttpResponse(199, {}, b"{}"), PMEProtocolError),
    ],
)
def test_a_response_without_a_token_is_repeated_where_it_may_be_another_next_time(
    exchange: HttpResponse, error: type[PMEError]
) -> None:
    clock = FakeClock()
    network = Mock(host=HOST, post_form=lambda *_: exchange)
    tokens = ApplicationTokenCache("id", SecretStr(SECRET), network, RetryPolicy(10.0, clock), clock)
    with pytest.raises(error, match=f"HTTP {exchange.status}"):
        tokens.get()
    assert (clock.slept > 0) is (error is PMEUnavailableError)
