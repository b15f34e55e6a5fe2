"""Executing documents: the two pairs of mutation names, and what is repeated."""

from __future__ import annotations

from typing import Any

import pytest
import requests
import requests_mock as mocking

from pme_airflow.api.client import PMEClient
from pme_airflow.api.outcomes import Made, NotMade, Unknown
from pme_airflow.dev.emulator import Settings, World
from pme_airflow.dev.emulator.server import serving
from pme_airflow.errors import PMEProtocolError, PMEUnavailableError
from pme_airflow.secrets import SecretStr
from tests.api.scripted import GRAPH, made, requests_for
from tests.conftest import MODELS, SECRET
from tests.support.clocks import FakeClock


def unknown_field(name: str) -> dict[str, Any]:
    return {"status_code": 400, "json": {"errors": [{"message": f"Cannot query field '{name}' on type 'Mutation'.",
            "extensions": {"code": "GRAPHQL_VALIDATION_FAILED"}}]}}  # fmt: skip


FIRST, SECOND = unknown_field("createPrivateModelEmbedLink"), unknown_field("createPrivateModelAccessLink")


def graph_requests(api: mocking.Mocker) -> list[str]:
    return [request.text for request in api.request_history if request.url == GRAPH]


def test_the_second_names_are_found_and_remembered() -> None:
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


def test_the_second_names_are_found_after_a_query_and_after_a_lost_response(
    scripted: PMEClient, api: mocking.Mocker
) -> None:
    models = {"json": {"data": {"models": {"results": []}}}}
    api.post(GRAPH, [models, {"exc": requests.exceptions.ReadTimeout}, FIRST, made()])
    assert list(scripted.models()) == []
    (lost,) = scripted.mint(requests_for(1))
    assert isinstance(lost, Unknown)
    (verdict,) = scripted.mint(requests_for(1))
    assert isinstance(verdict, Made)
    assert "createPrivateModelAccessLink" in graph_requests(api)[-1]


def test_names_that_worked_once_are_not_given_up_for_a_message_that_mentions_them(
    scripted: PMEClient, api: mocking.Mocker
) -> None:
    api.post(GRAPH, [made(), FIRST, made()])
    kinds = [type(scripted.mint(requests_for(1))[0]) for _ in range(3)]
    assert kinds == [Made, NotMade, Made]
    assert all("createPrivateModelEmbedLink" in text for text in graph_requests(api))


def test_a_server_that_knows_neither_pair_of_names_is_asked_twice_and_then_given_up(
    scripted: PMEClient, api: mocking.Mocker
) -> None:
    api.post(GRAPH, [FIRST, SECOND, FIRST, made()])
    (refused,) = scripted.mint(requests_for(1))
    assert isinstance(refused, NotMade)
    assert isinstance(refused.error, PMEProtocolError)
    assert len(graph_requests(api)) == 2
    (verdict,) = scripted.mint(requests_for(1))
    assert isinstance(verdict, Made)


def test_an_executed_refusal_confirms_the_names(scripted: PMEClient, api: mocking.Mocker) -> None:
    refused = {"json": {"data": {"a0": None}, "errors": [{"path": ["a0"], "httpStatus": 404}]}}
    api.post(GRAPH, [refused, FIRST])
    assert [type(scripted.mint(requests_for(1))[0]) for _ in range(2)] == [NotMade, NotMade]
    assert len(graph_requests(api)) == 2


def test_a_query_is_repeated_whatever_happened_to_it(scripted: PMEClient, api: mocking.Mocker) -> None:
    page = {"json": {"data": {"models": {"results": [{"id": "Model000000"}], "nextOffset": None}}}}
    broken = [
        {"exc": requests.exceptions.ReadTimeout},
        {"status_code": 502, "text": "<html>"},
        {"json": {"data": None}},
    ]
    api.post(GRAPH, [*broken, page])
    assert [model.model_id for model in scripted.models()] == ["Model000000"]
    assert len(graph_requests(api)) == 4


def test_a_query_without_an_answer_ends_at_the_deadline(
    scripted: PMEClient, api: mocking.Mocker, clock: FakeClock
) -> None:
    api.post(GRAPH, status_code=502, text="<html>")
    with pytest.raises(PMEUnavailableError, match="models"):
        list(scripted.models())
    assert 60 < clock.slept <= 120


def test_a_refused_query_is_not_repeated(scripted: PMEClient, api: mocking.Mocker) -> None:
    api.post(GRAPH, status_code=400, json={"errors": [{"message": "x", "httpStatus": 400}]})
    with pytest.raises(PMEProtocolError):
        list(scripted.models())
    assert len(graph_requests(api)) == 1


@pytest.mark.parametrize("status", [401, 403])
def test_a_field_is_still_asked_for_after_a_request_that_the_account_was_denied(
    scripted: PMEClient, api: mocking.Mocker, status: int
) -> None:
    errors = [
        *FIRST["json"]["errors"],
        *unknown_field("validUntil")["json"]["errors"],
        {"message": "no", "httpStatus": status},
    ]
    api.post(GRAPH, [{"status_code": 400, "json": {"errors": errors}}, made()])
    (verdict,) = scripted.mint(requests_for(1))
    assert isinstance(verdict, Made)
    assert [text.count("validUntil") for text in graph_requests(api)] == [1, 1]
