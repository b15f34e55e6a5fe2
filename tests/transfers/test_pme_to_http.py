"""The transfer to a JSON API: its arguments and its connection reach the API."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException

from pme_airflow.dev.emulator import World
from pme_airflow.hooks.pme import PMEHook
from pme_airflow.transfers.pme_to_http import PMEToHttpOperator
from tests.conftest import MODELS
from tests.support.entries import Entries, serving_entries
from tests.support.rooms import rename
from tests.support.task import task_context
from tests.support.web import Reply
from tests.transfers.conftest import Connect, MintItems

ONE = next(iter(MODELS))


@pytest.fixture
def cms(connect: Connect) -> Iterator[Entries]:
    with serving_entries() as entries:
        connect("cms", conn_type="http", host=entries.address, login="bot", password="secret", extra={"X-Team": "a"})
        yield entries


def to_http(links: Any, **arguments: Any) -> PMEToHttpOperator:
    given = {"http_conn_id": "cms", "endpoint": "spaces/{model_id}", "json": {"url": "{link}"}, **arguments}
    return PMEToHttpOperator(task_id="publish", links=links, audience="intranet", **given)


def run(operator: PMEToHttpOperator) -> dict[str, Any]:
    return operator.execute(task_context(None, operator))


def test_link_is_sent_with_the_connections_credentials(cms: Entries, mint_items: MintItems, world: World) -> None:
    result = run(to_http(mint_items(ONE), headers={"X-Space": "{model_id}"}))
    (request,) = cms.server.received
    assert (request.method, request.path) == ("PATCH", f"/spaces/{ONE}")
    assert json.loads(request.body)["url"].endswith(next(iter(world.tokens)))
    assert request.headers["Authorization"].startswith("Basic ")
    assert (request.headers["X-Team"], request.headers["X-Space"]) == ("a", ONE)
    assert result["counts"]["published"] == 1


def test_method_and_read_endpoint_are_used(cms: Entries, mint_items: MintItems) -> None:
    run(to_http(mint_items(ONE), method="put", read_endpoint="spaces/{model_id}"))
    assert cms.server.methods == ["GET", "PUT", "GET"]


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_usual_statuses_are_successes(cms: Entries, mint_items: MintItems, status: int) -> None:
    cms.server.reply = lambda request: Reply(status, b"")
    assert run(to_http(mint_items(ONE)))["counts"]["published"] == 1


def test_expected_statuses_replace_the_usual_ones(cms: Entries, mint_items: MintItems) -> None:
    cms.server.reply = lambda request: Reply(200, b"")
    with pytest.raises(AirflowFailException, match=r"HTTP 200 instead of \[299\]"):
        run(to_http(mint_items(ONE), expected_statuses=[299]))


def test_slot_of_a_model_that_is_not_listed_any_more_is_cleared(cms: Entries, mint_items: MintItems) -> None:
    run(to_http(mint_items(ONE)))
    run(to_http([], models=[], clear_json={"url": None}))
    assert cms.entries[f"spaces/{ONE}"] == {"url": None}


def test_timeout_is_passed_on(cms: Entries, mint_items: MintItems, monkeypatch: pytest.MonkeyPatch) -> None:
    assert to_http([]).make_target(PMEHook())._web._timeout == 30  # type: ignore[attr-defined]
    assert to_http([], timeout=3).make_target(PMEHook())._web._timeout == 3  # type: ignore[attr-defined]


def test_rendered_fields_hold_no_link() -> None:
    assert not {"json", "headers", "endpoint"} & set(PMEToHttpOperator.template_fields)


def test_two_connections_to_one_place_are_one_target(cms: Entries, connect: Connect, mint_items: MintItems) -> None:
    connect("other", conn_type="http", host=f"{cms.address}/")
    items = mint_items(ONE)
    first, second = (run(to_http(items, http_conn_id=conn_id)) for conn_id in ("cms", "other"))
    assert first["target"] == second["target"] == f"http:{cms.address}/spaces/{{model_id}}"
    assert second["counts"]["unchanged"] == 1


def test_one_connection_name_for_two_places_is_two_targets(connect: Connect, mint_items: MintItems) -> None:
    items = mint_items(ONE)
    with serving_entries() as one, serving_entries() as other:
        for entries in (one, other):
            connect("moved", conn_type="http", host=entries.address)
            assert run(to_http(items, http_conn_id="moved"))["counts"]["published"] == 1
        assert list(one.entries) == list(other.entries) == [f"spaces/{ONE}"]


def test_publications_of_an_earlier_version_are_taken_over(cms: Entries, mint_items: MintItems) -> None:
    items = mint_items(ONE)
    result = run(to_http(items))
    rename(PMEHook().services, result["target"], "http:cms")
    assert run(to_http(items))["counts"]["unchanged"] == 1


@pytest.mark.parametrize("host", ["http://cms.example", "http://127.0.0.1.evil.example"])
def test_plain_http_to_another_machine_is_refused(connect: Connect, mint_items: MintItems, host: str) -> None:
    connect("cms", conn_type="http", host=host)
    with pytest.raises(AirflowFailException, match="plain http"):
        run(to_http(mint_items(ONE)))


STEPS = [
    {"name": "read", "endpoint": "spaces/{{ model_id }}", "keep": {"etag": {"header": "ETag"}}},
    {
        "method": "PUT", "endpoint": "spaces/{{ model_id }}", "headers": {"If-Match": "{{ read.etag }}"},
        "json": {"url": "{{ link }}", "by": "{{ connection.login }}"},
    },
]  # fmt: skip


def by_steps(links: Any, **arguments: Any) -> PMEToHttpOperator:
    given = {"http_conn_id": "cms", "steps": STEPS, "read_back": [{"endpoint": "spaces/{{ model_id }}"}], **arguments}
    return PMEToHttpOperator(task_id="publish", links=links, audience="intranet", **given)


def test_links_are_published_by_steps(cms: Entries, mint_items: MintItems) -> None:
    cms.entries[f"spaces/{ONE}"], cms.edits = {"url": None}, 1
    result = run(by_steps(mint_items(ONE)))
    assert result["counts"]["published"] == 1
    assert result["target"] == f"http:{cms.address}/spaces/{{{{ model_id }}}}"
    assert cms.entries[f"spaces/{ONE}"]["by"] == "bot"


def test_a_recipe_that_is_wrong_names_every_problem(cms: Entries, mint_items: MintItems) -> None:
    wrong = [{**STEPS[1], "endpoint": "https://elsewhere.example"}, {**STEPS[1], "methd": "PUT"}]
    with pytest.raises(AirflowFailException, match=r"(?s)names another host.*methd: is unknown"):
        run(by_steps(mint_items(ONE), steps=wrong))


def test_one_request_and_steps_exclude_each_other() -> None:
    with pytest.raises(ValueError, match="give one form"):
        by_steps([], endpoint="x")
    with pytest.raises(ValueError, match="need steps"):
        PMEToHttpOperator(task_id="t", links=[], endpoint="x", json={}, take_away=STEPS)


def test_requests_to_ghost_are_signed(cms: Entries, mint_items: MintItems, connect: Connect) -> None:
    connect("cms", conn_type="http", host=cms.address, password=f"{'a1' * 12}:{'b2' * 32}")
    cms.entries[f"spaces/{ONE}"] = {"url": None}
    run(by_steps(mint_items(ONE), signer="ghost"))
    assert {r.headers["Authorization"].split()[0] for r in cms.server.received} == {"Ghost"}


def test_a_signer_without_its_key_says_so(cms: Entries, mint_items: MintItems) -> None:
    with pytest.raises(AirflowFailException, match="signer: ghost needs an Admin API key"):
        run(by_steps(mint_items(ONE), signer="ghost"))


def test_a_group_is_one_request_for_all_models(cms: Entries, mint_items: MintItems, world: World) -> None:
    models = list(MODELS)[:3]
    result = run(to_http(mint_items(*models), group=True, endpoint="pages/{audience}", json={"all": "{spaces}"}))
    assert cms.server.methods == ["PATCH"]
    assert [space["model_id"] for space in cms.entries["pages/intranet"]["all"]] == models
    assert all(token in json.dumps(cms.entries) for token in world.tokens)
    assert result["counts"]["published"] == 3


def test_a_group_fills_in_the_audience(cms: Entries, mint_items: MintItems) -> None:
    body = {"title": "Tours of {audience}", "all": "{spaces}"}
    run(to_http(mint_items(ONE), group=True, endpoint="pages", json=body, each={"{audience}": "{link} {audience}"}))
    written = cms.entries["pages"]
    assert written["title"] == "Tours of intranet"
    assert written["all"][0]["{audience}"].endswith(" intranet")


def test_a_request_that_is_wrong_is_refused_when_the_dag_is_parsed() -> None:
    with pytest.raises(ValueError, match=r"(?s)timeout: give seconds.*json.url: \{\{ link \}\} is not filled in"):
        to_http([], json={"url": "{{ link }}"}, timeout="30s")
    with pytest.raises(ValueError, match=r"timeout: give seconds"):
        by_steps([], timeout=0)
    with pytest.raises(ValueError, match=r"json: has no \{link\}"):
        PMEToHttpOperator(task_id="t", links=[], endpoint="x")


def test_one_expected_status_needs_no_list(cms: Entries, mint_items: MintItems) -> None:
    cms.server.reply = lambda request: Reply(299, b"")
    assert run(to_http(mint_items(ONE), expected_statuses=299))["counts"]["published"] == 1
