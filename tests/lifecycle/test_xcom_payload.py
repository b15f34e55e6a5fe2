"""Many links are passed on by reference, and read page by page by the transfers."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta

import pytest

from pme_airflow.durations import Validity
from pme_airflow.errors import LedgerError, PMEInputError
from pme_airflow.ledger import manifests
from pme_airflow.ledger.run_context import RunContext
from pme_airflow.ledger.tables import manifests as table
from pme_airflow.lifecycle import mint_result
from pme_airflow.lifecycle.mint import MintLinksRequest, MintResult, mint_links
from pme_airflow.lifecycle.publish import Publisher
from pme_airflow.lifecycle.services import Services
from pme_airflow.lifecycle.xcom_payload import batches_payload, items_in, models_in, reference_to_models
from pme_airflow.placements.batching import batches
from tests.conftest import MODELS, MakeServices
from tests.support.clocks import FakeClock
from tests.support.rooms import Shelf, demand, mint, publish, rows

ALL = list(MODELS)


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forty models are many here."""
    monkeypatch.setattr(mint_result, "MAX_XCOM_ITEMS", 10)
    monkeypatch.setattr(manifests, "_PAGE", 7)


def test_many_links_are_handed_on_without_one_in_the_message(services: Services) -> None:
    outcome = mint(services, "monday", ALL)
    assert outcome.items == []
    assert outcome.links == len(ALL)
    payload = json.dumps(outcome.xcom_payload)
    assert "pme-sealed" not in payload
    assert len(payload) < 200
    items = list(items_in(services, outcome.xcom_payload))
    assert [item["model_id"] for item in items] == ALL
    assert {item["link_id"] for item in items} == {row.link_id for row in rows(services, "live")}
    assert all(services.open_item(dict(item)).url for item in items)


def test_references_and_items_of_mapped_tasks_are_read_alike(services: Services) -> None:
    many, few_items = mint(services, "monday", ALL[:30]), mint(services, "monday", ALL[30:])
    items = list(items_in(services, [many.xcom_payload, few_items.xcom_payload, None]))
    assert [item["model_id"] for item in items] == ALL


def test_a_reference_is_published_like_items(services: Services) -> None:
    shelf = Shelf()
    shelf.at_once = 4
    publish(services, "monday", shelf, items_in(services, mint(services, "monday", ALL).xcom_payload))
    assert set(shelf.shown) == set(ALL)
    first = dict(shelf.shown)
    outcome = publish(services, "tuesday", shelf, items_in(services, mint(services, "tuesday", ALL).xcom_payload))
    assert outcome.published.total == len(ALL)
    assert not set(first.values()) & set(shelf.shown.values())


def test_a_reference_shows_the_newest_link_there_is(services: Services) -> None:
    monday = mint(services, "monday", ALL).xcom_payload
    tuesday = mint(services, "tuesday", ALL).xcom_payload
    assert monday == tuesday
    runs = {row.link_id: row.run for row in rows(services, "live")}
    assert {runs[str(item["link_id"])] for item in items_in(services, monday)} == {"dag/tuesday/mint/-1"}


def test_the_same_list_is_kept_once_and_long_enough(make_services: MakeServices) -> None:
    clock = FakeClock()
    services = make_services(clock)
    database = services.database
    database.shared_now = lambda _: clock.now()  # type: ignore[method-assign]
    names = {reference_to_models(database, ALL)["manifest"] for _ in range(3)}
    (name,) = names
    for _ in range(10):
        clock.advance(timedelta(days=1, hours=1).total_seconds())
        reference_to_models(database, ALL)
    with database.read() as tx:
        assert len(tx.execute(table.select()).all()) == 6
    assert models_in(database, {"manifest": name}) == ALL
    clock.advance(timedelta(days=8).total_seconds())
    reference_to_models(database, ALL[:3])
    with pytest.raises(LedgerError, match="Clear the task"):
        models_in(database, {"manifest": name})


@pytest.mark.parametrize("links", ["pme-sealed:v1:x", b"x", 7])
def test_what_is_no_item_is_told(services: Services, links: object) -> None:
    with pytest.raises(PMEInputError, match="links: expected items"):
        list(items_in(services, links))


def test_what_is_no_item_is_passed_on_alone(services: Services) -> None:
    first, second = mint(services, "monday", ALL[:2]).items
    deep: list[object] = [first]
    for _ in range(2000):
        deep = [deep]
    links = [first, None, "x", 7, [second, ["y"]], {"manifest": "sha256:gone", "audience": "intranet"}, deep]
    passed = list(items_in(services, links))
    items = [item for item in passed if isinstance(item, dict) and "link_id" in item]
    assert items == [first, second]
    others = [item for item in passed if item not in items]
    assert [other for other in others if not isinstance(other, list)] == ["x", 7, "y", links[5], None]


def test_a_reference_of_another_audience_is_not_followed(services: Services) -> None:
    mint(services, "monday", ALL[:12], demand(audience="public"))
    reference = mint(services, "monday", ALL[:12]).xcom_payload
    assert isinstance(reference, dict)
    items = list(items_in(services, {**reference, "audience": "public"}))
    assert {item["audience"] for item in items} == {"intranet"}
    models = reference_to_models(services.database, ALL[:12])
    assert list(items_in(services, {**models, "audience": "public"})) == [{**models, "audience": "public"}]


def test_a_mapping_that_is_no_reference_is_told(services: Services) -> None:
    with pytest.raises(PMEInputError, match="models: a mapping must be"):
        models_in(services.database, {"querry": "*"})


def test_the_batches_of_a_large_account_are_references(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    models = [f"m{index}" for index in range(1001)]
    references = batches_payload(services.database, batches(models))
    assert sorted(m for part in references for m in models_in(services.database, part)) == sorted(models)
    assert batches_payload(services.database, batches(ALL)) == [ALL]
    assert batches_payload(services.database, [models[:600], models[600:1000]]) == [models[:600], models[600:1000]]


def test_lists_are_read_four_deep(services: Services) -> None:
    (item,) = mint(services, "monday", ALL[:1]).items
    assert list(items_in(services, [[[[item]]]])) == [item]
    assert list(items_in(services, [[[[[item]]]]])) == [[item]]


def test_a_missing_item_is_one_among_items_and_none_among_outputs_of_tasks(services: Services) -> None:
    (item,) = mint(services, "monday", ALL[:1]).items
    reference = mint(services, "tuesday", ALL[:12]).xcom_payload
    assert list(items_in(services, [None, item, None])) == [item, None, None]
    assert len(list(items_in(services, [None, reference, None]))) == 12
    assert list(items_in(services, [None])) == list(items_in(services, None)) == []


def test_a_part_that_is_cut_anew_finds_what_the_run_minted(services: Services) -> None:
    """An account that grew between a try and its rerun is split differently; nothing is minted twice."""

    def part(run: str, index: int, models: list[str]) -> MintResult:
        context = RunContext.of_task("dag", run, "mint", index)
        return mint_links(services, context, MintLinksRequest(models, "intranet", Validity.parse("24h")))

    part("monday", 0, ALL[:5])
    again = part("monday", 1, ALL[3:8])
    assert (again.reused, again.minted) == (2, 3)
    other = part("tuesday", 0, ALL[:1])
    assert other.minted == 1


def test_the_last_of_several_tasks_finishes_a_target_with_all_they_put(make_services: MakeServices) -> None:
    """Tasks that publish parts side by side leave an index of everything, whichever of them is last."""
    from tests.support.together import at_once

    indexes: list[int] = []

    class Indexed(Shelf):
        def finish(self, shown: object) -> None:
            indexes.append(len(list(shown)))  # type: ignore[call-overload]

    parts = [list(mint(make_services(), "monday", ALL[start::4]).items) for start in range(4)]

    def task(part: list[dict[str, object]]) -> Callable[[Callable[[], None]], None]:
        def run(together: Callable[[], None]) -> None:
            services = make_services()
            together()
            assert Publisher(services, RunContext(f"dag/monday/publish/{part[0]['model_id']}"), Indexed()).publish(part)

        return run

    at_once(*map(task, parts))
    assert indexes[-1] == len(ALL)
    assert indexes == sorted(indexes)


def test_a_token_in_place_of_a_reference_is_not_repeated(services: Services, caplog: pytest.LogCaptureFixture) -> None:
    token = "k3f9s8d7q2m4x6z1b5n0c8v7y"
    assert list(items_in(services, {"manifest": token})) == [{"manifest": token}]
    with pytest.raises(LedgerError) as refused:
        models_in(services.database, {"manifest": token})
    assert token not in caplog.text + str(refused.value)
