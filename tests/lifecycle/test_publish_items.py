"""An item in XCom names a link and nothing else; one that is malformed costs its own slot."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from pme_airflow.dev.emulator import World
from pme_airflow.ledger import publications
from pme_airflow.lifecycle.publish_items import BadItem, read_items
from pme_airflow.lifecycle.services import Services
from pme_airflow.targets.base import ShownLink
from tests.conftest import MODELS
from tests.support.rooms import Shelf, mint, publish, rows, sweep

ALL = list(MODELS)


class Witness(Shelf):
    """A shelf that remembers what it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[ShownLink] = []

    def put(self, slot: str, link: ShownLink, previous: Any) -> dict[str, Any]:
        self.links.append(link)
        return super().put(slot, link, previous)


@pytest.fixture
def item(services: Services) -> dict[str, Any]:
    return dict(mint(services, "monday", ALL[:2]).items[0])


EDITS = {"audience": "public", "valid_until": "2099-01-01T00:00:00Z", "model_id": ALL[5], "application": "x"}


@pytest.mark.parametrize("key", [*EDITS, "all"])
def test_an_edited_item_is_published_as_the_ledger_has_it(
    services: Services, item: dict[str, Any], key: str, caplog: pytest.LogCaptureFixture
) -> None:
    edited = {**item, **(EDITS if key == "all" else {key: EDITS[key]})}
    witness = Witness()
    with caplog.at_level(logging.WARNING):
        result = publish(services, "monday", witness, [edited])
    (link,) = witness.links
    assert (link.audience, link.model_id) == ("intranet", item["model_id"])
    assert link.valid_until.isoformat().replace("+00:00", "Z") == item["valid_until"]
    assert [entry["model_id"] for entry in result.published] == [item["model_id"]]
    with services.database.read() as tx:
        (shown,) = publications.shown_at(tx, "shelf")
    assert (shown.audience, shown.model_id) == ("intranet", item["model_id"])
    assert ("was changed" in caplog.text) == (key != "application")


def test_a_link_of_another_token_is_refused(services: Services, item: dict[str, Any]) -> None:
    other = mint(services, "monday", ALL[:2]).items[1]
    result = publish(services, "monday", Shelf(), [{**item, "fingerprint": other["fingerprint"]}])
    assert not result.published
    assert "fingerprint" in result.failed[0]["reason"]


def test_the_links_own_sealed_text_is_used(services: Services, item: dict[str, Any]) -> None:
    other = mint(services, "monday", ALL[:2]).items[1]
    witness = Witness()
    publish(services, "monday", witness, [{**item, "link": other["link"]}])
    (link,) = witness.links
    assert link.token.reveal() == services.open_item(item).token.reveal()


def test_keys_of_a_callers_own_reach_the_target(services: Services, item: dict[str, Any]) -> None:
    (read,) = read_items(services, [{**item, "page": 42}])
    assert not isinstance(read, BadItem)
    assert read["page"] == 42


BAD: list[Any] = [
    None,
    "pme-sealed:v1:x",
    7,
    3.5,
    True,
    [],
    [{"link_id": "x"}],
    {},
    {"link_id": "lnk_unknown"},
    {"manifest": "sha256:gone", "audience": "intranet", "links": 3},
]


@pytest.mark.parametrize("bad", BAD, ids=repr)
def test_what_is_no_item_is_one_failed_slot(services: Services, item: dict[str, Any], bad: Any) -> None:
    result = publish(services, "monday", Shelf(), [bad, item])
    assert [entry["link_id"] for entry in result.published] == [item["link_id"]]
    (failure,) = result.failed
    assert failure["permanent"]
    assert not result.promise_kept
    assert result.links == 2


@pytest.mark.parametrize("key", ["link_id", "model_id", "audience", "fingerprint", "valid_until", "link"])
@pytest.mark.parametrize("value", [None, "", 7, ["x"], {"x": 1}, "absent"])
def test_an_item_with_a_wrong_or_missing_key_is_one_failed_slot(
    services: Services, item: dict[str, Any], key: str, value: Any
) -> None:
    other = mint(services, "monday", ALL[:2]).items[1]
    broken = {name: entry for name, entry in item.items() if name != key or value != "absent"}
    if value != "absent":
        broken[key] = value
    result = publish(services, "monday", Shelf(), [broken, other])
    assert [entry["link_id"] for entry in result.published] == [other["link_id"]]
    (failure,) = result.failed
    assert key in failure["reason"]


def test_an_unknown_link_is_one_failed_slot(services: Services, item: dict[str, Any]) -> None:
    result = publish(services, "monday", Shelf(), [{**item, "link_id": "lnk_" + "0" * 32}])
    (failure,) = result.failed
    assert "knows no link" in failure["reason"]
    assert failure["model_id"] == item["model_id"]


def test_a_text_in_place_of_a_model_is_not_repeated(services: Services, item: dict[str, Any]) -> None:
    hostile = {**item, "link_id": "lnk_x", "model_id": "Bearer+k3f9x0a8q7w6e5r4t3y2u1i0p\n"}
    (failure,) = publish(services, "monday", Shelf(), [hostile]).failed
    assert failure["model_id"] == "?"
    assert "k3f9x0a8q7w6e5r4t3y2u1i0p" not in str(failure)


def test_a_link_that_has_ended_is_reported_as_dead(services: Services, item: dict[str, Any], world: World) -> None:
    from pme_airflow.ledger import flags
    from pme_airflow.ledger.run_context import RunContext

    with services.database.write(RunContext("cli")) as tx:
        flags.flag(tx, "leaked", link_ids=[item["link_id"]])
    sweep(services)
    assert [row.state.value for row in rows(services) if row.link_id == item["link_id"]] == ["revoked"]
    (failure,) = publish(services, "monday", Shelf(), [item]).failed
    assert "revoked, expired or flagged" in failure["reason"]


@pytest.mark.parametrize(
    ("model_id", "named"),
    [
        ("M" * 40, "M" * 40),
        ("M" * 41, "M" * 40),
        ("Model000000", "Model000000"),
        ("a b", "?"),
        ("", "?"),
        (5, "?"),
        (None, "?"),
    ],
)
def test_a_malformed_item_names_its_model_if_that_can_be_one(services: Services, model_id: Any, named: str) -> None:
    (bad,) = read_items(services, [{"model_id": model_id}])
    assert isinstance(bad, BadItem)
    assert bad.model_id == named
