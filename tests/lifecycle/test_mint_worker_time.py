"""Minting in virtual time: a worker that slept sends nothing stale, and a lost token's end is counted at the latest."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from pme_airflow.api.outcomes import NotMade
from pme_airflow.clock import ServerClock
from pme_airflow.dev.emulator import World
from pme_airflow.ledger import audit, mint_requests, mint_runs
from pme_airflow.ledger.mint_requests import PendingMint
from pme_airflow.ledger.run_context import RunContext
from pme_airflow.lifecycle.mint_result import MintTally
from pme_airflow.lifecycle.mint_worker import _Job, _MintWorker, _Staged
from pme_airflow.lifecycle.services import UNKNOWN_CLOCK_ERROR, Services
from tests.conftest import MODELS, SECRET
from tests.support.clocks import FakeClock
from tests.support.rooms import demand, mint, rows, services_at

ALL = list(MODELS)
DAY = timedelta(hours=24)


@pytest.fixture
def clock(world: World) -> FakeClock:
    return FakeClock(world.now())


@pytest.fixture
def services(address: str, tmp_path: Path, clock: FakeClock) -> Iterator[Services]:
    made = services_at(address, f"sqlite:///{tmp_path}/ledger.db", SECRET, clock)
    made.database.prepare()
    yield made
    made.client.close()


@pytest.mark.parametrize(("seconds", "sent"), [(40, True), (61, False)])
def test_a_worker_that_slept_after_it_recorded_a_mint_records_it_anew(
    services: Services, clock: FakeClock, world: World, seconds: int, sent: bool
) -> None:
    """The row's end would not cover the token's life: the mint is not sent, and the next row is as late as its mint."""
    prepare = mint_requests.prepare

    def slow(*arguments: Any) -> Any:
        prepared = prepare(*arguments)
        if clock.monotonic() < seconds:
            clock.advance(seconds)
            world.move_clock(seconds)
        return prepared

    with mock.patch.object(mint_requests, "prepare", slow):
        outcome = mint(services, "run", ALL[:1])
    assert (outcome.minted, world.counts["minted"]) == (1, 1)
    assert [row.state.value for row in rows(services)] == (["live"] if sent else ["live", "failed"])


@pytest.mark.parametrize(("oldest", "sent"), [(61.0, False), (59.0, True)])
def test_a_batch_is_as_old_as_its_oldest_mint(
    services: Services, clock: FakeClock, world: World, oldest: float, sent: bool
) -> None:
    run_context = RunContext.of_task("dag", "run", "mint")
    with services.database.write(run_context) as tx:
        mint_run = mint_runs.begin(tx)
    worker = _MintWorker(services, run_context, demand(), mint_run, [], MintTally(ALL))
    clock.advance(100)
    ages = {ALL[0]: 0.0, ALL[1]: oldest}
    batch = [
        _Staged(PendingMint(model_id, f"lnk_{model_id}"), _Job(model_id), clock.monotonic() - age)
        for model_id, age in ages.items()
    ]
    verdicts = worker.send(batch)
    assert world.counts.get("minted", 0) == (2 if sent else 0)
    if not sent:
        assert [isinstance(verdict, NotMade) and verdict.resend for verdict in verdicts] == [True, True]


@pytest.mark.parametrize(("known", "error"), [(True, timedelta(seconds=2)), (False, UNKNOWN_CLOCK_ERROR)])
def test_a_lost_token_ends_as_late_as_the_servers_clock_may_say(
    services: Services, world: World, known: bool, error: timedelta
) -> None:
    world.set_faults({"lost_after": 1.0})
    with mock.patch.object(ServerClock, "known", known):
        mint(services, "run", ALL[:1])
    lost = rows(services, "unaccounted")
    assert len(lost) > 1
    for row in lost:
        with services.database.read() as tx:
            (at,) = [event["at"] for event in audit.history(tx, row.link_id) if event["event"] == "lost"]
        assert row.valid_until == datetime.fromisoformat(at.replace("Z", "+00:00")) + DAY + error
