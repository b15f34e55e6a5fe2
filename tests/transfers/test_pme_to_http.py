"""The transfer to a JSON API: its arguments and its connection reach the API."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException

from pme_airflow.dev.emulator import World
from pme_airflow.transfers.pme_to_http import PMEToHttpOperator
from tests.conftest import MODELS
from tests.support.entries import Entries, serving_entries
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
    from pme_airflow.hooks.pme import PMEHook

    assert to_http([]).make_target(PMEHook())._web._timeout == 30  # type: ignore[attr-defined]
    assert to_http([], timeout=3).make_target(PMEHook())._web._timeout == 3  # type: ignore[attr-defined]


def test_rendered_fields_hold_no_link() -> None:
    assert not {"json", "headers", "endpoint"} & set(PMEToHttpOperator.template_fields)
