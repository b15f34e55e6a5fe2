"""Optional fields that the API no longer has: left out one by one, and asked for once."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from unittest import mock

import pytest
import requests_mock as mocking

from pme_airflow.api.client import PMEClient
from pme_airflow.api.dialect import Dialect, DialectMemory, MutationNames
from pme_airflow.api.messages import MintRequest
from pme_airflow.api.outcomes import Made, NotMade, Revoked
from pme_airflow.dev.emulator import Settings, World
from pme_airflow.dev.emulator.server import serving
from pme_airflow.durations import Validity
from pme_airflow.errors import LedgerUnavailableError, PMESharedTokenError
from pme_airflow.secrets import SecretStr
from tests.api.scripted import GRAPH, made, requests_for
from tests.conftest import MODELS, SECRET

FIELDS = ["application", "link", "name", "state", "validUntil"]
#: What servers say of a field that they do not have.
MESSAGES = {
    "graphql-js": 'Cannot query field "link" on type "PrivateModelLink". Did you mean "name"?',
    "graphql-java": "Validation error (FieldUndefined@[createPrivateModelEmbedLink/link]) : Field 'link' in type "
    "'PrivateModelLink' is undefined",
    "unquoted": "Unknown field link on PrivateModelLink",
    "typed": "Undefined field PrivateModelLink.link",
    "deprecated": "The field `link` is deprecated and was removed, use `application`",
}


class Store:
    """Facts in memory, which may fail."""

    def __init__(self) -> None:
        self.facts: dict[str, str] = {}
        self.loads = 0
        self.broken = False

    def load(self) -> dict[str, str]:
        self.loads += 1
        if self.broken:
            raise LedgerUnavailableError("away")
        return dict(self.facts)

    def save(self, facts: dict[str, str]) -> None:
        if self.broken:
            raise LedgerUnavailableError("away")
        self.facts.update(facts)


def refused(*messages: str, **more: Any) -> dict[str, Any]:
    return {"status_code": 400, "json": {"errors": [{"message": m, "locations": [], **more} for m in messages]}}


def queries(api: mocking.Mocker) -> list[str]:
    return [json.loads(request.text)["query"] for request in api.request_history if request.url == GRAPH]


@pytest.mark.parametrize("gone", [*([field] for field in FIELDS), FIELDS], ids=lambda gone: "-".join(gone))
def test_everything_works_without_an_optional_field_which_is_asked_for_once(gone: list[str]) -> None:
    world = World(Settings(client_secret=SECRET, models=MODELS, without_fields=tuple(gone), latency=0.002))
    store = Store()
    with serving(world) as address:
        for _ in range(2):
            client = PMEClient("emulator-client", SecretStr(SECRET), address, memory=DialectMemory(store))
            assert [model.model_id for model in client.models()] == list(MODELS)
            assert set(client.model_names(list(MODELS)[:3])) == (set() if "name" in gone else set(list(MODELS)[:3]))
            with ThreadPoolExecutor(4) as pool:
                verdicts: list[Any] = [v for made in pool.map(client.mint, [requests_for(3)] * 4) for v in made]
            assert [type(verdict) for verdict in verdicts] == [Made] * 12
            assert {type(v) for v in client.revoke([v.link.access_token for v in verdicts])} == {Revoked}
    assert world.alive() == []
    documents = [{"name", "state"}, {"application", "link", "validUntil"}]
    assert world.counts.get("refused_documents", 0) <= sum(bool(fields & set(gone)) for fields in documents)


@pytest.mark.parametrize("server", MESSAGES)
def test_a_field_is_found_in_the_messages_of_several_servers(
    scripted: PMEClient, api: mocking.Mocker, server: str
) -> None:
    api.post(GRAPH, [refused(MESSAGES[server], httpStatus=400), made()])
    (verdict,) = scripted.mint(requests_for(1))
    assert isinstance(verdict, Made)
    assert "link validUntil" in queries(api)[0]
    assert "application validUntil" in queries(api)[1]


def test_a_field_is_found_by_its_place_where_the_message_does_not_name_it(
    scripted: PMEClient, api: mocking.Mocker
) -> None:
    def answer(request: Any, context: Any) -> dict[str, Any]:
        text = json.loads(request.text)["query"]
        if "application" not in text:
            return dict(made()["json"])
        line, rest = next((n, row) for n, row in enumerate(text.split("\n"), 1) if "application" in row)
        context.status_code = 400
        return {
            "errors": [{"message": "removed", "locations": [{"line": line, "column": rest.index("application") + 1}]}]
        }

    api.post(GRAPH, json=answer)
    assert isinstance(scripted.mint(requests_for(1))[0], Made)
    assert len(queries(api)) == 2


@pytest.mark.parametrize("message", ['Unknown type "Duration"', 'Cannot query field "nextOffset". Did you mean "name"?',
                                     'Unknown argument "modelId"', "application/json expected"])  # fmt: skip
def test_a_refusal_that_names_no_optional_field_is_not_sent_again(
    scripted: PMEClient, api: mocking.Mocker, message: str
) -> None:
    api.post(GRAPH, **refused(message, httpStatus=400))
    assert isinstance(scripted.mint(requests_for(1))[0], NotMade)
    assert len(queries(api)) == 1


def test_a_field_that_the_api_refuses_though_it_was_left_out_ends_the_request(
    scripted: PMEClient, api: mocking.Mocker
) -> None:
    api.post(GRAPH, **refused('Cannot query field "link"'))
    assert isinstance(scripted.mint(requests_for(1))[0], NotMade)
    assert len(queries(api)) == 2


def test_a_field_is_left_out_while_the_other_names_are_tried(scripted: PMEClient, api: mocking.Mocker) -> None:
    names = refused("Cannot query field 'createPrivateModelEmbedLink' on type 'Mutation'.", httpStatus=400)
    api.post(GRAPH, [names, refused('Cannot query field "link"'), made(), made()])
    for _ in range(2):
        assert isinstance(scripted.mint(requests_for(1))[0], Made)
    assert "createPrivateModelAccessLink" in queries(api)[-1]
    assert "link validUntil" not in queries(api)[-1]
    assert len(queries(api)) == 4


def test_names_are_not_asked_for_once_the_api_refused_the_field(scripted: PMEClient, api: mocking.Mocker) -> None:
    api.post(GRAPH, [refused('Cannot query field "name"'), {"json": {"data": {"a0": {"id": "Model000000"}}}}])
    for _ in range(2):
        assert scripted.model_names(["Model000000"]) == {}
        assert len(queries(api)) == 2


def test_a_client_with_a_deadline_asks_for_nothing_that_the_other_knows() -> None:
    world = World(Settings(client_secret=SECRET, models=MODELS, second_spelling=True, without_fields=("link",)))
    with serving(world) as address:
        client = PMEClient("emulator-client", SecretStr(SECRET), address)
        client.mint(requests_for(1))
        before = world.counts["refused_documents"]
        with client.with_deadline(5) as brief:
            assert isinstance(brief.mint(requests_for(1))[0], Made)
    assert (before, world.counts["refused_documents"]) == (2, 2)


# ------------------------------------------------------------------------ memory


@pytest.mark.parametrize(
    ("facts", "most"), [({"models_per_token": "20"}, 20), ({"models_per_token": "0"}, None), ({}, None)]
)
def test_the_models_of_a_token_are_known_from_another_process(facts: dict[str, str], most: int | None) -> None:
    store = Store()
    store.facts = facts
    assert DialectMemory(store).models_per_token == most


def test_another_request_waits_two_seconds_for_the_first() -> None:
    memory = DialectMemory()
    with memory.first_alone(), mock.patch.object(memory, "_settled", wraps=memory._settled) as settled:
        settled.wait.return_value = False
        with memory.first_alone():
            settled.wait.assert_called_once_with(2.0)


def test_what_was_refused_is_kept_for_the_next_process_once_the_rest_was_executed() -> None:
    store = Store()
    memory = DialectMemory(store)
    memory.refuse(["link", "no such field", None])
    assert store.facts == {}
    memory.executed(memory.dialect, mutation=True)
    memory.executed(memory.dialect, mutation=True)
    assert store.facts == {"refused_field:link": ""}
    assert DialectMemory(store).dialect == Dialect(refused=frozenset({"link"}))
    assert store.loads == 2


def test_a_store_that_fails_or_holds_something_else_changes_nothing() -> None:
    store = Store()
    store.facts = {"refused_field:accessToken": "", "another": "fact"}
    assert DialectMemory(store).dialect == Dialect()
    store.broken = True
    memory = DialectMemory(store)
    memory.refuse(["link"])
    memory.executed(memory.dialect, mutation=False)
    assert memory.dialect.refused == {"link"}


def test_the_names_of_mutations_are_confirmed_by_a_mutation_alone() -> None:
    memory = DialectMemory()
    memory.executed(Dialect(MutationNames.ACCESS_LINK), mutation=False)
    assert (memory.dialect.names, memory.names_confirmed) == (MutationNames.EMBED_LINK, False)
    memory.executed(Dialect(MutationNames.ACCESS_LINK), mutation=True)
    assert (memory.dialect.names, memory.names_confirmed) == (MutationNames.ACCESS_LINK, True)


def test_one_of_several_requests_goes_first_and_the_rest_wait_for_it() -> None:
    memory, order, first_inside, release = DialectMemory(), list[str](), threading.Event(), threading.Event()

    def first() -> None:
        with memory.first_alone():
            first_inside.set()
            release.wait(5)
            order.append("first")
            memory.settle()

    def second() -> None:
        with memory.first_alone():
            order.append("second")

    threads = [threading.Thread(target=first), threading.Thread(target=second)]
    threads[0].start()
    first_inside.wait(5)
    threads[1].start()
    release.set()
    for thread in threads:
        thread.join()
    with memory.first_alone():
        order.append("third")
    assert order == ["first", "second", "third"]


SEVERAL = MintRequest("Model000000", Validity(600), ("Model000000", "Model000001"))


@pytest.mark.parametrize(
    "error",
    [
        {"message": 'Cannot query field "createPrivateModelEmbedToken" on type "Mutation". Did you mean '
                    '"deletePrivateModelEmbedToken" or "createPrivateModelEmbedLink"?'},
        {"message": "Validation error (FieldUndefined@[createPrivateModelEmbedToken]) : Field "
                    "'createPrivateModelEmbedToken' in type 'Mutation' is undefined"},
        {"message": "removed", "locations": [{"line": 2, "column": 3}]},
    ],
    ids=["graphql-js", "graphql-java", "place"],
)  # fmt: skip
def test_a_missing_call_for_several_models_is_asked_for_once(
    scripted: PMEClient, api: mocking.Mocker, error: dict[str, Any]
) -> None:
    api.post(GRAPH, [{"status_code": 400, "json": {"errors": [error]}}, made()])
    for asked in (1, 1):
        (verdict,) = scripted.mint([SEVERAL])
        assert isinstance(verdict, NotMade)
        assert isinstance(verdict.error, PMESharedTokenError)
        assert verdict.resend
        assert len(queries(api)) == asked
    assert isinstance(scripted.mint(requests_for(1))[0], Made)


def test_other_processes_learn_that_the_call_is_missing(world: World, address: str) -> None:
    store = Store()
    for _ in range(3):
        client = PMEClient("emulator-client", SecretStr(SECRET), address, memory=DialectMemory(store))
        assert isinstance(client.mint([SEVERAL])[0], NotMade)
        assert isinstance(client.mint(requests_for(1))[0], Made)
    assert world.counts["refused_documents"] == 1


def test_a_token_for_several_models_does_not_show_by_which_names_the_api_knows_the_others() -> None:
    world = World(Settings(client_secret=SECRET, models=MODELS, second_spelling=True, shared_tokens=True))
    with serving(world) as address, PMEClient("emulator-client", SecretStr(SECRET), address) as client:
        (several,) = client.mint([SEVERAL])
        (single,) = client.mint(requests_for(1))
        assert isinstance(several, Made)
        assert isinstance(single, Made)
        assert [type(v) for v in client.revoke([several.link.access_token])] == [Revoked]


def test_a_limit_of_one_model_for_a_token_is_kept_as_a_refusal() -> None:
    memory = DialectMemory(None)
    assert (memory.models_per_token, memory.dialect.shares_tokens) == (None, True)
    memory.limit_models_per_token(2)
    assert (memory.models_per_token, memory.dialect.shares_tokens) == (2, True)
    memory.limit_models_per_token(1)
    assert (memory.models_per_token, memory.dialect.shares_tokens) == (1, False)
