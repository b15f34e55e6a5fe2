"""What a flag or a sweep would end is listed beforehand, and nothing is changed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from sqlalchemy import update

from pme_airflow.dev.emulator import World
from pme_airflow.ledger.database import Database
from pme_airflow.ledger.engines import sqlite_engine
from pme_airflow.ledger.run_context import RunContext
from pme_airflow.ledger.tables import links
from pme_airflow.lifecycle.leak_response import LeakRequest
from pme_airflow.lifecycle.preview import Preview, preview_flag, preview_sweep
from pme_airflow.lifecycle.services import Services
from tests.conftest import MODELS
from tests.lifecycle.conftest import SHARED_MODELS
from tests.support.rooms import Shelf, mint, publish, rows


def test_a_preview_has_the_slots_of_all_models_of_a_token_and_changes_nothing(
    shared_services: Services, shared_world: World
) -> None:
    services, models = shared_services, SHARED_MODELS[:3]
    publish(services, "monday", Shelf(), mint(services, "monday", models, models_per_token=3).items)
    shown = preview_flag(services, LeakRequest(models=(models[1],))).as_json()
    assert (shown["dry_run"], shown["problems"]) == (True, [])
    assert [link["models"] for link in shown["links"]] == [models]
    assert sorted(slot["model_id"] for slot in shown["slots_that_go_dark"]) == models
    assert preview_flag(services, LeakRequest(models=("Model999999",))).links == ()
    assert preview_sweep(services).links == ()
    assert rows(services)[0].flagged_at is None
    assert len(shared_world.alive()) == 1


def test_a_preview_of_a_sweep_has_flagged_links_first_and_the_newest_before(services: Services) -> None:
    mint(services, "monday", MODELS)
    oldest, *_, newest = sorted(rows(services), key=lambda row: row.seq)
    with services.database.write(RunContext("test")) as tx:
        now = tx.now()
        tx.execute(update(links).values(retire_at=now))
        for row in (oldest, newest):
            tx.execute(update(links).where(links.c.link_id == row.link_id).values(flagged_at=now))
    sequence = [row.seq for row in preview_sweep(services).links]
    assert sequence == [newest.seq, oldest.seq, *range(newest.seq - 1, oldest.seq, -1)]


def test_what_could_not_be_read_is_in_the_preview_whether_or_not_links_were_found(shared_services: Services) -> None:
    services, models = shared_services, SHARED_MODELS[:1]
    (item,) = mint(services, "monday", models).items
    publish(services, "monday", Shelf(), [item])
    for known, count, problems in ((models[0], 1, 1), ("Model999999", 0, 2)):
        found = preview_flag(services, LeakRequest(models=(known, "no model"))).as_json()
        assert (len(found["links"]), len(found["slots_that_go_dark"])) == (count, count)
        assert len(found["problems"]) == problems
    (slot,) = preview_flag(services, LeakRequest(models=tuple(models))).slots
    assert (slot["audience"], slot["link_id"], slot["slot"]) == ("intranet", item["link_id"], models[0])


def test_a_ledger_without_tables_has_nothing_to_sweep(shared_services: Services, tmp_path: Path) -> None:
    empty = Database(sqlite_engine(tmp_path / "none.db"), shared_services.clock)
    assert preview_sweep(replace(shared_services, database=empty)) == Preview()
