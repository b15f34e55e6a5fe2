"""A token of several models on its way: published, healed, leaked, scanned for, retired, resealed and probed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from pme_airflow.dev.emulator import World
from pme_airflow.errors import PMESealError
from pme_airflow.leaks.files import files_under
from pme_airflow.leaks.reports import Findings
from pme_airflow.ledger import audit, due, publications, slot_claims
from pme_airflow.ledger.due import RenewalDemand
from pme_airflow.ledger.publications import NotRecorded, Shown
from pme_airflow.ledger.run_context import RunContext
from pme_airflow.lifecycle.known_tokens import known_fingerprints
from pme_airflow.lifecycle.leak_response import LeakRequest, LeakResponse, respond
from pme_airflow.lifecycle.preview import preview_flag
from pme_airflow.lifecycle.reseal import reseal
from pme_airflow.lifecycle.retire import RetireRequest, retire
from pme_airflow.lifecycle.scan import ScanRequest, scan
from pme_airflow.lifecycle.scan_output import as_sarif
from pme_airflow.lifecycle.services import Services
from pme_airflow.lifecycle.token_probe import check_liveness
from pme_airflow.sealing import Sealer
from pme_airflow.secrets import SecretStr
from tests.conftest import SECRET
from tests.lifecycle.conftest import SHARED_MODELS
from tests.support.rooms import CLIENT, Shelf, demand, mint, publish, rows, sweep

MODELS = SHARED_MODELS[:20]
HALF = timedelta(hours=12)
RUN = RunContext("cli")


@pytest.fixture
def world(shared_world: World) -> World:
    return shared_world


@pytest.fixture
def services(shared_services: Services) -> Services:
    return shared_services


def shown(services: Services, shelf: Shelf, run: str = "monday", **named: Any) -> list[Mapping[str, Any]]:
    """Mint a token for twenty models, and publish all of them."""
    items = mint(services, run, MODELS, demand(**named), models_per_token=25).items
    publish(services, run, shelf, items)
    return items


def dark(world: World, shelf: Shelf) -> list[str]:
    """The slots that show no live link."""
    return [slot for slot, token in shelf.shown.items() if not world.opens(token, slot)]


def flagged(services: Services, **what: Any) -> LeakResponse:
    return respond(services, RUN, LeakRequest(**what, sweep=True))


def dark_slots(services: Services) -> int:
    with services.database.read() as tx:
        return due.dark_slots(tx, RenewalDemand(CLIENT, "intranet", HALF, timedelta(0))).count


def test_revoking_one_of_twenty_models_heals_twenty_slots(services: Services, world: World) -> None:
    shelf = Shelf()
    shown(services, shelf)
    assert len(preview_flag(services, LeakRequest(models=(MODELS[7],))).slots) == 20
    response = flagged(services, models=(MODELS[7],))
    assert response.promise_kept
    (link,) = response.links
    assert link.as_json()["models"] == MODELS
    assert (len(dark(world, shelf)), dark_slots(services)) == (20, 20)
    healed = shown(services, shelf, "keeper", renew_before=HALF)
    assert (len(healed), dark(world, shelf), dark_slots(services)) == (20, [], 0)
    assert world.counts["minted"] == 2


def test_a_models_flag_leaves_other_tokens_and_their_slots_alone(services: Services, world: World) -> None:
    shelf = Shelf()
    items = mint(services, "monday", MODELS, models_per_token=10).items
    publish(services, "monday", shelf, items)
    flagged(services, models=(MODELS[15],))
    assert dark(world, shelf) == MODELS[10:]
    assert not flagged(services, models=("Model999999",)).links


def test_all_models_of_a_leaked_token_are_named(services: Services, world: World, tmp_path: Path) -> None:
    items = shown(services, Shelf())
    (token,) = world.alive()
    (tmp_path / "note").write_text(f"see {token.token}")
    result = scan(services, ScanRequest((str(tmp_path),), files_under, RUN))
    (finding,) = result.findings
    assert finding.as_json()["models"] == tuple(MODELS)
    assert all(model_id in str(as_sarif(result.findings)) for model_id in MODELS)
    urls = [services.open_item(dict(item)).url.reveal() for item in items]
    assert len(set(urls)) == 20

    digest = hashlib.sha1(urls[13].encode(), usedforsecurity=False).hexdigest()
    assert known_fingerprints(services, Findings("x", 1, sha1=frozenset({digest}))) == [items[0]["fingerprint"]]
    (row,) = rows(services)
    assert audit.as_json(row)["models"] == MODELS
    assert all(model_id in row.named_models for model_id in MODELS)
    with services.database.read() as tx:
        for event in audit.history(tx, row.link_id)[:1]:
            assert all(model_id in event["reason"] for model_id in MODELS)
        assert [found.link_id for found in audit.list_links(tx, models=[MODELS[3]])] == [row.link_id]


def test_a_slot_that_goes_over_to_another_model_of_the_same_token_is_put_again(services: Services) -> None:
    class OnePage(Shelf):
        def slots(self, item: Mapping[str, Any]) -> list[str]:
            return ["page"]

    shelf = OnePage()
    items = mint(services, "monday", MODELS[:3], models_per_token=3).items
    publish(services, "monday", shelf, items[:1])
    assert publish(services, "keeper", shelf, items[:1]).unchanged.total == 1
    assert publish(services, "tuesday", shelf, items[1:2]).published.total == 1
    with services.database.read() as tx:
        (publication,) = publications.shown_at(tx, "shelf")
    assert publication.model_id == MODELS[1]
    assert [row.retire_at for row in rows(services)] == [None]


def test_an_item_for_another_model_than_its_token_opens_is_refused(services: Services) -> None:
    (item, *_) = mint(services, "monday", MODELS[:2], models_per_token=2).items
    foreign = {**item, "model_id": MODELS[5]}
    result = publish(services, "monday", Shelf(), [foreign])
    assert "not the item's" in result.failed[0]["reason"]
    with pytest.raises(PMESealError):
        services.open_item(foreign)
    with services.database.write(RUN) as tx:
        entry = Shown("page", str(item["link_id"]), {})
        assert publications.publish(tx, "site", [entry], claimed=False) == {"page": NotRecorded.OTHER_MODEL}


def test_a_late_writers_slot_gets_back_the_model_that_it_showed(services: Services) -> None:
    old = mint(services, "monday", MODELS[:2], models_per_token=2).items
    new = mint(services, "tuesday", MODELS[:2], models_per_token=2).items
    with services.database.write(RUN) as tx:
        entry = Shown("page", str(new[1]["link_id"]), {}, model_id=MODELS[1])
        assert not publications.publish(tx, "site", [entry], claimed=False)
        slot_claims.set_uncertain(tx, "site", ["page"])
    with services.database.write(RUN) as tx:
        wanted, models = {"page": str(old[0]["link_id"])}, {"page": MODELS[0]}
        plan = slot_claims.open_slots(tx, "site", wanted, models=models)["page"]
    assert plan.link is not None
    assert (plan.action, plan.link.link_id, plan.model_id) == (
        slot_claims.SlotAction.PUT, new[1]["link_id"], MODELS[1],
    )  # fmt: skip


def test_a_model_is_retired_with_its_token_only_when_no_slot_shows_the_others(services: Services, world: World) -> None:
    shelf = Shelf()
    shown(services, shelf)

    def retired(*models: str) -> Any:
        return retire(services, RUN, RetireRequest(models=models, at={"shelf": shelf}))

    one = retired(MODELS[4])
    assert (one.cleared.total, one.links, one.shared.total, one.promise_kept) == (1, 0, 1, False)
    assert MODELS[4] in one.lines()[0]
    assert dark(world, shelf) == []
    rest = retired(*(model_id for model_id in MODELS if model_id != MODELS[4]))
    assert (rest.cleared.total, rest.links, rest.shared.total, rest.promise_kept) == (19, 1, 0, True)
    assert world.alive() == []


def test_a_token_that_was_ended_elsewhere_is_found_and_all_of_its_slots_are_healed(
    services: Services, world: World
) -> None:
    shelf = Shelf()
    shown(services, shelf)
    (token,) = world.alive()
    world.revoke(token.token)
    found = check_liveness(services, RUN, "intranet")
    assert [row.opens for row in found.dead] == [tuple(MODELS)]
    shown(services, shelf, "keeper", renew_before=HALF)
    assert dark(world, shelf) == []
    assert sweep(services).promise_kept


def test_a_token_is_resealed_and_opens_its_models_alone(services: Services, world: World) -> None:
    items = shown(services, Shelf())
    after = replace(services, sealer=Sealer.of_connection(SecretStr("the new secret"), [SecretStr(f"open:{SECRET}")]))
    assert reseal(after, RUN).moved == 1
    (row,) = rows(services)
    assert (row.sealed or "").startswith("pme-sealed:v2:")
    assert after.open_row(row).url.reveal() == services.open_item(dict(items[0])).url.reveal()
    with pytest.raises(PMESealError):
        services.open_row(row)


def test_what_is_due_of_a_token_is_counted_by_its_models(services: Services, world: World) -> None:
    shelf = Shelf()
    shown(services, shelf)
    wanted = RenewalDemand(CLIENT, "intranet", HALF, timedelta(0))

    def due_now(**named: Any) -> int:
        with services.database.read() as tx:
            return due.renewals_due(tx, replace(wanted, **named)).count

    assert due_now() == 0
    assert due_now(renew_before=timedelta(hours=25)) == 20
    items = mint(services, "tuesday", MODELS[:15], models_per_token=15).items
    assert due_now() == 15  # the slots that are behind
    publish(services, "tuesday", shelf, items)
    assert due_now(renew_before=timedelta(hours=25)) == 20  # five of them have their first token alone
    shelf.broken = set(MODELS[:2])
    items = mint(services, "wednesday", MODELS, demand(), models_per_token=25).items
    publish(services, "wednesday", shelf, items)
    assert due_now() == 2


def test_a_hooks_user_records_a_model_of_a_token(services: Services) -> None:
    items = mint(services, "monday", MODELS[:2], models_per_token=2).items
    with services.database.write(RUN) as tx:
        for item in items:
            entry = Shown(item["model_id"], str(item["link_id"]), {}, model_id=item["model_id"])
            assert not publications.publish(tx, "own", [entry], claimed=False)
        assert [p.model_id for p in publications.shown_at(tx, "own")] == MODELS[:2]
