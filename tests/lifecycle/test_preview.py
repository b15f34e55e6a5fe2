"""What a flag or a sweep would end is listed beforehand, and nothing is changed."""

from __future__ import annotations

from pme_airflow.dev.emulator import World
from pme_airflow.lifecycle.leak_response import LeakRequest
from pme_airflow.lifecycle.preview import preview_flag, preview_sweep
from pme_airflow.lifecycle.services import Services
from tests.lifecycle.conftest import SHARED_MODELS
from tests.support.rooms import Shelf, mint, publish, rows


def test_a_preview_has_the_slots_of_all_models_of_a_token_and_changes_nothing(
    shared_services: Services, shared_world: World
) -> None:
    services, models = shared_services, SHARED_MODELS[:3]
    publish(services, "monday", Shelf(), mint(services, "monday", models, models_per_token=3).items)
    shown = preview_flag(services, LeakRequest(models=(models[1],))).as_json()
    assert [link["models"] for link in shown["links"]] == [models]
    assert sorted(slot["model_id"] for slot in shown["slots_that_go_dark"]) == models
    assert preview_flag(services, LeakRequest(models=("Model999999",))).links == ()
    assert preview_sweep(services).links == ()
    assert rows(services)[0].flagged_at is None
    assert len(shared_world.alive()) == 1
