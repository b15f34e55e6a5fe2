"""One entry of a JSON API lists all spaces of an audience: written once, only if nobody edited it, and read back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import requests

from pme_airflow.dev.emulator import World
from pme_airflow.errors import PMEInputError
from pme_airflow.ledger import publications
from pme_airflow.ledger.run_context import RunContext
from pme_airflow.lifecycle.publish import Publisher
from pme_airflow.lifecycle.services import Services
from pme_airflow.sealing import OpenedLink
from pme_airflow.secrets import SecretStr
from pme_airflow.targets import web
from pme_airflow.targets.base import SlotCheck
from pme_airflow.targets.http_group import DEFAULT_EACH, GroupRequest, HttpGroupTarget
from tests.conftest import MODELS
from tests.support.entries import Entries, serving_entries
from tests.support.rooms import demand, mint, publish

ALL = list(MODELS)[:3]


@pytest.fixture
def cms() -> Iterator[Entries]:
    with serving_entries() as entries:
        yield entries


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web.time, "sleep", lambda seconds: None)


def team_page(cms: Entries, **changed: Any) -> HttpGroupTarget:
    arguments: dict[str, Any] = {
        "method": "PUT", "endpoint": "pages/{audience}", "json": {"title": "Tours", "spaces": "{spaces}"},
        "each": DEFAULT_EACH, "headers": {"X-Team": "{audience}"}, "expected": [200],
        "read_endpoint": "pages/{audience}",
    }  # fmt: skip
    request = GroupRequest(**{**arguments, **changed})
    return HttpGroupTarget(requests.Session(), cms.address, "http:team", request, timeout=5)


def night(services: Services, name: str, target: HttpGroupTarget, models: list[str] = ALL) -> None:
    assert list(publish(services, name, target, mint(services, name, models).items).failed) == []


def check(services: Services, target: HttpGroupTarget) -> SlotCheck:
    with services.database.read() as tx:
        found = target.check_shown(publications.shown_at(tx, target.name))
    assert found is not None
    return found


def test_all_spaces_are_written_in_one_request_by_name(cms: Entries, services: Services, world: World) -> None:
    for number, name in enumerate(("monday", "tuesday"), 1):
        night(services, name, team_page(cms))
        assert cms.server.methods.count("PUT") == number
    page = cms.entries["pages/intranet"]
    assert page["title"] == "Tours"
    assert [space["name"] for space in page["spaces"]] == [MODELS[model_id] for model_id in ALL]
    newest = {issued.model_id: issued.token for issued in world.tokens.values()}
    assert all(newest[space["model_id"]] in space["link"] for space in page["spaces"])
    assert all(space["valid_until"].endswith("Z") for space in page["spaces"])
    writes = [request for request in cms.server.received if request.method == "PUT"]
    assert {request.headers["X-Team"] for request in writes} == {"intranet"}
    assert len({request.headers["Idempotency-Key"] for request in writes}) == 2


def test_spaces_that_stay_and_go(cms: Entries, services: Services) -> None:
    night(services, "monday", team_page(cms))
    before = {space["model_id"]: space["link"] for space in cms.entries["pages/intranet"]["spaces"]}
    night(services, "tuesday", team_page(cms), ALL[:1])
    after = {space["model_id"]: space["link"] for space in cms.entries["pages/intranet"]["spaces"]}
    assert {model_id for model_id in ALL if before[model_id] != after[model_id]} == set(ALL[:1])
    Publisher(services, RunContext("dag/x/publish/-1"), team_page(cms)).retire_others("intranet", ALL[1:])
    assert [space["model_id"] for space in cms.entries["pages/intranet"]["spaces"]] == ALL[1:]
    Publisher(services, RunContext("dag/y/publish/-1"), team_page(cms)).retire_others("intranet", [])
    assert cms.entries["pages/intranet"] == {"title": "Tours", "spaces": []}


def test_a_space_whose_new_link_cannot_be_shown_keeps_its_former_one(cms: Entries, services: Services) -> None:
    night(services, "monday", team_page(cms))
    before = {space["model_id"]: space["link"] for space in cms.entries["pages/intranet"]["spaces"]}
    items = mint(services, "tuesday", ALL).items
    (refused,) = (item["link_id"] for item in items if item["model_id"] == ALL[0])

    def opened(item: Mapping[str, Any]) -> OpenedLink:
        link = services.open_item(dict(item))
        return OpenedLink(SecretStr("http://elsewhere.example/"), link.token) if item["link_id"] == refused else link

    publisher = Publisher(services, RunContext.of_task("dag", "tuesday", "publish"), team_page(cms), opened)
    result = publisher.publish(items)
    assert [failure["model_id"] for failure in result.failed] == ALL[:1]
    assert "the former link stays shown until 20" in result.failed[0]["reason"]
    after = {space["model_id"]: space["link"] for space in cms.entries["pages/intranet"]["spaces"]}
    assert {model_id for model_id in ALL if before[model_id] == after[model_id]} == set(ALL[:1])


def test_headers_name_the_audience_although_the_endpoint_does_not(cms: Entries, services: Services) -> None:
    target = team_page(cms, endpoint="pages/all", read_endpoint="pages/all")
    night(services, "monday", target)
    Publisher(services, RunContext("dag/x/publish/-1"), target).retire_others("intranet", [])
    writes = [request for request in cms.server.received if request.method == "PUT"]
    assert [request.headers["X-Team"] for request in writes] == ["intranet"] * 2
    assert cms.entries["pages/all"]["spaces"] == []


def test_each_audience_has_its_own_entry(cms: Entries, services: Services) -> None:
    night(services, "monday", team_page(cms))
    items = mint(services, "monday", ALL[:1], demand(audience="brokers")).items
    assert list(publish(services, "monday", team_page(cms), items).failed) == []
    assert [len(cms.entries[f"pages/{audience}"]["spaces"]) for audience in ("intranet", "brokers")] == [3, 1]


def test_an_edit_between_read_and_write_is_read_again(cms: Entries, services: Services) -> None:
    night(services, "monday", team_page(cms))
    cms.edits = 1
    night(services, "tuesday", team_page(cms))
    assert cms.server.methods.count("PUT") == 3


def test_an_entry_that_shows_another_link_or_none_is_noticed(cms: Entries, services: Services) -> None:
    night(services, "monday", team_page(cms))
    assert check(services, team_page(cms)).lost == []
    cms.entries["pages/intranet"]["spaces"][0]["link"] = None
    assert [slot.rpartition("#")[2] for slot in check(services, team_page(cms)).lost] == ALL[:1]
    del cms.entries["pages/intranet"]
    assert len(check(services, team_page(cms)).lost) == 3


def test_a_write_that_is_confirmed_and_not_done_fails(cms: Entries, services: Services) -> None:
    result = publish(
        services, "monday", team_page(cms, read_endpoint="pages/other"), mint(services, "monday", ALL).items
    )
    assert result.failed.total == 3
    cms.entries["pages/other"] = {"spaces": []}
    result = publish(
        services, "again", team_page(cms, read_endpoint="pages/other"), mint(services, "monday", ALL).items
    )
    assert "read_endpoint does not show the new link" in result.failed[0]["reason"]


def test_each_is_a_template_of_any_form(cms: Entries, services: Services, world: World) -> None:
    target = team_page(cms, json=["{spaces}", 7], each=["{name}", {"a": "{access_token} {link_id} {audience}"}, None])
    night(services, "monday", target, ALL[:1])
    spaces, seven = cms.entries["pages/intranet"]
    assert seven == 7
    (name, values, nothing) = spaces[0]
    assert (name, nothing) == (MODELS[ALL[0]], None)
    token, link_id, audience = values["a"].split()
    assert (link_id[:4], audience) == ("lnk_", "intranet")
    assert token in {issued.token for issued in world.alive()}


@pytest.mark.parametrize("body", [None, {}, {"spaces": "the {spaces}"}, ["x"], "{link}"])
def test_a_body_without_a_place_for_the_list_is_refused(cms: Entries, body: Any) -> None:
    with pytest.raises(PMEInputError, match=r"json: has no text \{spaces\}"):
        team_page(cms, json=body)


def test_a_check_reads_the_entry_of_each_audience(cms: Entries) -> None:
    items = [{"model_id": model_id, "audience": "intranet"} for model_id in ALL]
    cms.entries["pages/intranet"] = {}
    results = team_page(cms).check(items)
    assert cms.server.methods == ["GET"]
    assert [result.verdict.value for result in results] == ["good"]


def test_a_list_whose_method_changed_keeps_its_new_links(cms: Entries, services: Services) -> None:
    night(services, "monday", team_page(cms))
    patched = team_page(cms, method="PATCH")
    publisher = Publisher(services, RunContext.of_task("dag", "tuesday", "publish"), patched)
    publisher.publish(mint(services, "tuesday", ALL[1:]).items)
    assert publisher.retire_moved().removed.total == 2
    assert publisher.retire_others("intranet", ALL[1:]).removed.total == 3
    assert [space["model_id"] for space in cms.entries["pages/intranet"]["spaces"]] == ALL[1:]
    publisher.retire_others("intranet", [])
    assert cms.entries["pages/intranet"]["spaces"] == []
