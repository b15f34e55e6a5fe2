"""Executing documents: the two pairs of mutation names, and what is repeated."""

from __future__ import annotations

from typing import Any
from unittest import mock

import pytest
import requests
import requests_mock as mocking

from pme_airflow.api.client import PMEClient
from pme_airflow.api.dialect import DialectMemory, MutationNames
from pme_airflow.api.outcomes import Made, NotMade, Unknown
from pme_airflow.dev.emulator import Settings, World
from pme_airflow.dev.emulator.server import serving
from pme_airflow.errors import PMECredentialsError, PMEModelError, PMEProtocolError, PMEUnavailableError
from pme_airflow.secrets import AccessToken, SecretStr
from tests.api.scripted import GRAPH, HOST, TOKEN, made, requests_for
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


FIRST_PAGE = {"json": {"data": {"models": {"results": [{"id": "Model000000"}], "nextOffset": "1"}}}}
LAST_PAGE = {"json": {"data": {"models": {"results": [{"id": "Model000001"}], "nextOffset": None}}}}


@pytest.mark.parametrize(
    "part",
    [
        {"text": '{"data": {"models": {"results": [{"id": "Model000001"}'},
        {"text": '{"data": {"models": {"results": [], "nextOffset": null}}'},
        {"json": {"data": {"models": None}, "errors": [{"path": ["models"], "httpStatus": 429}]}},
        {"json": {"data": {"models": None}, "errors": [{"path": ["models"], "httpStatus": 408}]}},
        {"json": {"data": {"models": None}, "errors": [{"path": ["models"], "httpStatus": 401}]}},
        {"json": {"data": {"models": {"results": [{"id": "Model000009"}], "nextOffset": None}},
                  "errors": [{"path": ["models", "nextOffset"], "httpStatus": 500}]}},
        {"json": {"data": {"models": {"results": None, "nextOffset": None}},
                  "errors": [{"path": ["models", "results"], "httpStatus": 404}]}},
    ],
)  # fmt: skip
def test_a_page_of_which_a_part_was_read_is_asked_for_again(
    scripted: PMEClient, api: mocking.Mocker, part: dict[str, Any]
) -> None:
    api.post(GRAPH, [FIRST_PAGE, part, LAST_PAGE])
    assert [model.model_id for model in scripted.models()] == ["Model000000", "Model000001"]
    assert len(graph_requests(api)) == 3


def test_a_page_is_whole_where_a_field_of_one_model_is_missing(scripted: PMEClient, api: mocking.Mocker) -> None:
    error = {"path": ["models", "results", 0, "name"], "httpStatus": 500}
    api.post(GRAPH, json={**LAST_PAGE["json"], "errors": [error]})
    assert [model.model_id for model in scripted.models()] == ["Model000001"]


def test_a_list_that_the_api_refuses_is_empty(scripted: PMEClient, api: mocking.Mocker) -> None:
    api.post(GRAPH, json={"data": {"models": None}, "errors": [{"path": ["models"], "httpStatus": 404}]})
    assert list(scripted.models()) == []


def test_a_body_that_broke_off_is_no_page_whatever_was_read_of_it(scripted: PMEClient, api: mocking.Mocker) -> None:
    whole = {"content": b'{"data": {"models": {"results": [], "nextOffset": null}}}'}
    cut = {**whole, "headers": {"Content-Encoding": "gzip"}}
    api.post(GRAPH, [cut, LAST_PAGE])
    assert [model.model_id for model in scripted.models()] == ["Model000001"]


def denied(status: int = 401) -> dict[str, Any]:
    return {"json": {"data": {"a0": None}, "errors": [{"path": ["a0"], "httpStatus": status}]}}


def test_a_secret_that_was_reset_is_refused_and_not_the_model(scripted: PMEClient, api: mocking.Mocker) -> None:
    refused = {"status_code": 401, "json": {"error": "invalid_client"}}
    api.post(TOKEN, [{"json": {"access_token": "app", "expires_in": 3599}}, refused])
    api.post(GRAPH, [denied()])
    with pytest.raises(PMECredentialsError):
        scripted.mint(requests_for(1))
    assert len(graph_requests(api)) == 1


def test_a_model_that_is_refused_with_another_token_too_is_refused(scripted: PMEClient, api: mocking.Mocker) -> None:
    api.post(TOKEN, [{"json": {"access_token": f"app{number}", "expires_in": 3599}} for number in range(9)])
    api.post(GRAPH, [denied(), denied()])
    (verdict,) = scripted.mint(requests_for(1))
    assert isinstance(verdict, NotMade)
    assert isinstance(verdict.error, PMEModelError)
    used = [request.headers["Authorization"] for request in api.request_history if request.url == GRAPH]
    assert used == ["Bearer app0", "Bearer app1"]


def test_a_token_that_expires_is_renewed_where_a_field_says_so(scripted: PMEClient, api: mocking.Mocker) -> None:
    api.post(GRAPH, [denied(), made()])
    (verdict,) = scripted.mint(requests_for(1))
    assert isinstance(verdict, Made)


def test_a_query_without_an_answer_ends_at_the_deadline(
    scripted: PMEClient, api: mocking.Mocker, clock: FakeClock
) -> None:
    api.post(GRAPH, status_code=502, text="<html>")
    with pytest.raises(PMEUnavailableError, match="models"):
        list(scripted.models())
    assert 60 < clock.slept <= 120


def test_a_token_that_is_refused_is_renewed_five_times(scripted: PMEClient, api: mocking.Mocker) -> None:
    api.post(TOKEN, [{"json": {"access_token": f"app{number}", "expires_in": 3599}} for number in range(9)])
    api.post(GRAPH, status_code=401)
    (verdict,) = scripted.mint(requests_for(1))
    assert isinstance(verdict, NotMade)
    assert isinstance(verdict.error, PMECredentialsError)
    used = [request.headers["Authorization"] for request in api.request_history if request.url == GRAPH]
    assert used == [f"Bearer app{number}" for number in range(6)]


def test_a_revocation_confirms_the_names(scripted: PMEClient, api: mocking.Mocker) -> None:
    api.post(GRAPH, json={"data": {"a0": True}})
    scripted.revoke([AccessToken("t" * 25)])
    assert scripted.mutation_names is MutationNames.EMBED_LINK


@pytest.mark.parametrize(
    ("answers", "settled"),
    [
        ([made()], 1),
        ([FIRST, made()], 1),
        ([unknown_field("link"), made()], 1),
        ([{"status_code": 415}], 1),
        ([{"exc": requests.exceptions.ReadTimeout}], 1),
        ([FIRST, SECOND], 0),
    ],
    ids=["made", "other names", "a field", "refused", "lost", "unknown"],
)
def test_other_requests_start_once_one_is_answered_and_not_refused_for_its_form(
    api: mocking.Mocker, clock: FakeClock, answers: list[Any], settled: int
) -> None:
    memory = DialectMemory()
    client = PMEClient("id", SecretStr(SECRET), HOST, clock=clock, memory=memory)
    api.post(GRAPH, json={"data": {"a0": {"name": "one"}}})
    with mock.patch.object(memory, "settle", wraps=memory.settle) as settle:
        client.model_names(["Model000000"])
        assert settle.call_count == 0
        api.post(GRAPH, answers)
        client.mint(requests_for(1))
    assert settle.call_count == settled


def test_a_list_that_the_api_refuses_is_empty_and_one_that_fails_is_asked_for_again(
    scripted: PMEClient, api: mocking.Mocker
) -> None:
    def refused(*statuses: int) -> dict[str, Any]:
        errors = [{"path": ["models"], "httpStatus": status} for status in statuses]
        return {"json": {"data": {"models": None}, "errors": errors}}

    api.post(GRAPH, [refused(404, 500), refused(404)])
    assert list(scripted.models()) == []
    assert len(graph_requests(api)) == 2


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
