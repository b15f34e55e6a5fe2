"""Several mutations in one request, where the API takes as many, fewer, or one."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
import requests_mock as mocking

from pme_airflow.api.client import ClientSettings, PMEClient
from pme_airflow.api.messages import MintRequest
from pme_airflow.api.outcomes import Made, NotMade, NotRevoked, Revoked, Unknown
from pme_airflow.errors import PMECredentialsError
from pme_airflow.secrets import AccessToken, SecretStr
from tests.api.scripted import GRAPH, HOST, TEN_MINUTES, TOKEN, link, made
from tests.conftest import SECRET
from tests.support.clocks import FakeClock

_ALIAS = re.compile(r"(a[0-9]+): ?(?:create|delete)")
REFUSED = {"status_code": 401, "json": {"error": "invalid_client"}}
TOO_LARGE = {"errors": [{"message": "too many", "httpStatus": 400}]}


@pytest.fixture
def growing(api: mocking.Mocker, clock: FakeClock) -> Iterator[PMEClient]:
    """A client of the scripted API whose requests may become larger than ten mutations."""
    with PMEClient("id", SecretStr(SECRET), HOST, ClientSettings(largest_batch=25), clock) as client:
        yield client


def capped(most: int) -> Callable[[requests.Request, Any], dict[str, Any]]:
    """An API that refuses a request with more mutations as a whole."""

    def answer(request: Any, _: Any) -> dict[str, Any]:
        aliases = _ALIAS.findall(request.json()["query"])
        if len(aliases) > most:
            return TOO_LARGE
        minted = "createPrivateModel" in request.text
        return {"data": {alias: link(alias) if minted else True for alias in aliases}}

    return answer


def sizes(api: mocking.Mocker) -> list[int]:
    """How many mutations each request held."""
    found = [len(_ALIAS.findall(request.text)) for request in api.request_history if request.url == GRAPH]
    api.reset_mock()
    return found


def models(count: int) -> list[MintRequest]:
    return [MintRequest(f"Model{index:06d}", TEN_MINUTES) for index in range(count)]


def tokens(count: int) -> list[AccessToken]:
    return [AccessToken(f"{index:025d}") for index in range(1, count + 1)]


def test_a_larger_request_that_is_refused_is_sent_in_parts_of_the_size_that_was_taken(
    api: mocking.Mocker, growing: PMEClient
) -> None:
    api.post(GRAPH, json=capped(12))
    growing.mint(models(10))
    assert growing.batch_size.next() == 15
    assert all(isinstance(verdict, Made) for verdict in growing.mint(models(15)))
    assert sizes(api) == [10, 15, 10, 5]
    assert growing.takes_batches
    assert growing.batch_size.next() == 10
    assert all(isinstance(verdict, Revoked) for verdict in growing.revoke(tokens(15)))
    assert sizes(api) == [15, 10, 5]


def test_a_larger_revocation_that_is_refused_is_sent_in_parts_of_the_size_that_was_taken(
    api: mocking.Mocker, growing: PMEClient
) -> None:
    api.post(GRAPH, json=capped(19))
    for count in (10, 15, 20):
        assert growing.batch_size.next() == count
        assert all(isinstance(verdict, Revoked) for verdict in growing.revoke(tokens(count)))
    assert sizes(api) == [10, 15, 20, 15, 5]
    assert growing.batch_size.next() == 15


def test_where_no_batch_is_taken_each_mutation_has_its_request(api: mocking.Mocker, growing: PMEClient) -> None:
    api.post(GRAPH, json=capped(1))
    assert all(isinstance(verdict, Made) for verdict in growing.mint(models(3)))
    assert sizes(api) == [3, 1, 1, 1]
    assert not growing.takes_batches
    assert all(isinstance(verdict, Revoked) for verdict in growing.revoke(tokens(2)))
    assert sizes(api) == [1, 1]


def test_requests_grow_to_the_largest_size(api: mocking.Mocker, growing: PMEClient) -> None:
    api.post(GRAPH, json=capped(25))
    for _ in range(5):
        growing.mint(models(growing.batch_size.next()))
    assert sizes(api) == [10, 15, 20, 25, 25]


def test_no_larger_request_is_sent_after_one_that_was_lost(api: mocking.Mocker, growing: PMEClient) -> None:
    api.post(GRAPH, [{"json": capped(25)}, {"exc": requests.exceptions.ReadTimeout}, {"json": capped(25)}])
    growing.mint(models(10))
    assert all(isinstance(verdict, Unknown) for verdict in growing.mint(models(15)))
    growing.mint(models(10))
    assert growing.batch_size.next() == 10


def test_no_larger_request_is_sent_after_one_of_which_a_part_may_succeed_later(
    api: mocking.Mocker, growing: PMEClient
) -> None:
    def partial(request: Any, context: Any) -> dict[str, Any]:
        whole = capped(25)(request, context)
        late = {"message": "busy", "httpStatus": 429, "path": ["a14"]}
        return {"data": whole["data"] | {"a14": None}, "errors": [late]}

    api.post(GRAPH, [{"json": capped(25)}, {"json": partial}])
    growing.mint(models(10))
    verdicts = growing.mint(models(15))
    assert [type(verdict) for verdict in verdicts] == [Made] * 14 + [NotMade]
    assert growing.batch_size.next() == 10


def test_a_model_that_is_refused_for_good_says_nothing_about_the_size(api: mocking.Mocker, growing: PMEClient) -> None:
    def partial(request: Any, context: Any) -> dict[str, Any]:
        whole = capped(25)(request, context)
        gone = {"message": "no such model", "code": "not.found", "httpStatus": 404, "path": ["a3"]}
        return {"data": whole["data"] | {"a3": None}, "errors": [gone]}

    api.post(GRAPH, json=partial)
    growing.mint(models(10))
    assert growing.batch_size.next() == 15


def test_no_larger_request_is_sent_after_a_slow_one(api: mocking.Mocker, growing: PMEClient, clock: FakeClock) -> None:
    def slow(request: Any, context: Any) -> dict[str, Any]:
        clock.advance(3.0)
        return capped(25)(request, context)

    api.post(GRAPH, [{"json": capped(25)}, {"json": slow}])
    growing.mint(models(10))
    growing.mint(models(15))
    assert growing.batch_size.next() == 10


def test_links_that_were_made_are_kept_where_a_later_part_cannot_be_sent(
    api: mocking.Mocker, scripted: PMEClient
) -> None:
    api.post(TOKEN, [{"json": {"access_token": "app", "expires_in": 3599}}, REFUSED])
    api.post(GRAPH, [{"json": TOO_LARGE}, made(), made(), {"status_code": 401}])
    first, second, third, fourth = scripted.mint(models(4))
    assert isinstance(first, Made)
    assert isinstance(second, Made)
    for verdict in (third, fourth):
        assert isinstance(verdict, NotMade)
        assert isinstance(verdict.error, PMECredentialsError)
        assert not verdict.resend
    assert sizes(api) == [4, 1, 1, 1]


def test_revocations_that_were_confirmed_are_kept_where_a_later_part_cannot_be_sent(
    api: mocking.Mocker, scripted: PMEClient
) -> None:
    api.post(TOKEN, [{"json": {"access_token": "app", "expires_in": 3599}}, REFUSED])
    api.post(GRAPH, [{"json": TOO_LARGE}, {"json": {"data": {"a0": True}}}, {"status_code": 401}])
    first, *others = scripted.revoke(tokens(3))
    assert first == Revoked()
    assert [(type(verdict), getattr(verdict, "sent", None)) for verdict in others] == [(NotRevoked, False)] * 2


def test_a_batch_of_which_no_part_can_be_sent_is_an_error(api: mocking.Mocker, scripted: PMEClient) -> None:
    api.post(TOKEN, [{"json": {"access_token": "app", "expires_in": 3599}}, REFUSED])
    api.post(GRAPH, [{"json": TOO_LARGE}, {"status_code": 401}])
    with pytest.raises(PMECredentialsError):
        scripted.mint(models(3))
