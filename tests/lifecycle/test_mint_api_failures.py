"""Minting against an API that is away, or whose links end in the past. In virtual time."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from unittest import mock

import pytest

from pme_airflow.dev.emulator import Settings, World
from pme_airflow.dev.emulator.server import serving
from pme_airflow.lifecycle.account_models import ModelQuery
from pme_airflow.lifecycle.services import Services
from tests.conftest import MODELS, SECRET
from tests.support.clocks import FakeClock
from tests.support.rooms import Shelf, mint, publish, rows, services_at, sweep

ALL = list(MODELS)
DEADLINE = 120.0


def services_in_virtual_time(address: str, tmp_path: Path) -> tuple[Services, FakeClock]:
    clock = FakeClock()
    return services_at(address, f"sqlite:///{tmp_path}/ledger.db", SECRET, clock, deadline=DEADLINE), clock


@pytest.mark.parametrize("token_held", [False, True])
def test_a_run_against_a_dead_api_stops_after_one_deadline(tmp_path: Path, token_held: bool) -> None:
    with serving(World(Settings(client_secret=SECRET, models=MODELS))) as address:
        services, clock = services_in_virtual_time(address, tmp_path)
        if token_held:
            services.client.check_credentials()
    services.client.close()
    outcome = mint(services, "run", ALL)
    assert {failure.model_id for failure in outcome.failures} == set(ALL)
    assert not any(failure.permanent for failure in outcome.failures)
    assert DEADLINE / 2 < clock.monotonic() <= 2 * DEADLINE
    assert {row.state for row in rows(services)} <= {"failed"}


def test_a_link_that_ends_in_the_past_fails_its_model_and_is_retired_as_if_it_lived(tmp_path: Path) -> None:
    world = World(Settings(client_secret=SECRET, models=MODELS))
    issue = world.issue
    with serving(world) as address, mock.patch.object(world, "issue", lambda model_id, _: issue(model_id, -60)):
        services = services_at(address, f"sqlite:///{tmp_path}/ledger.db", SECRET)
        outcome = mint(services, "run", ALL[:1])
    (failure,) = outcome.failures
    assert (failure.model_id, failure.permanent) == (ALL[0], False)
    assert (outcome.items, outcome.minted) == ([], 0)
    (row,) = rows(services, "live")
    assert row.retire_at is not None
    assert row.valid_until - row.requested_at > timedelta(hours=23)


def test_a_rotation_asks_once_for_each_field_that_the_api_no_longer_has(tmp_path: Path) -> None:
    gone = ("state", "name", "application", "link")
    world = World(Settings(client_secret=SECRET, models=MODELS, without_fields=gone))
    ledger, shelf = f"sqlite:///{tmp_path}/ledger.db", Shelf()
    with serving(world) as address:

        def process() -> Services:
            return services_at(address, ledger, SECRET, grace=timedelta(0))

        for run in ("monday", "tuesday"):
            minted = mint(process(), run, ModelQuery("*"))
            assert minted.promise_kept
            assert publish(process(), run, shelf, minted.items).promise_kept
            assert sweep(process()).alive_count == 0
    assert set(shelf.shown) == set(ALL)
    assert len(world.alive()) == len(ALL)
    assert world.counts["refused_documents"] == 2  # the list once, the mint once
