"""Minting in virtual time: a worker that slept sends nothing stale, and a lost token's end is counted at the latest."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from pme_airflow.api.messages import MintRequest
from pme_airflow.api.outcomes import MintVerdict, NotMade, Unknown
from pme_airflow.clock import ServerClock
from pme_airflow.dev.emulator import World
from pme_airflow.errors import PMEModelError, PMEUnavailableError
from pme_airflow.ledger import audit, mint_requests, mint_runs
from pme_airflow.ledger.mint_requests import PendingMint
from pme_airflow.ledger.run_context import RunContext
from pme_airflow.lifecycle.mint_jobs import MintJob
from pme_airflow.lifecycle.mint_result import MintResult, MintTally
from pme_airflow.lifecycle.mint_worker import _MintWorker, _Staged
from pme_airflow.lifecycle.services import UNKNOWN_CLOCK_ERROR, Services
from tests.conftest import MODELS, SECRET
from tests.support.clocks import FakeClock
from tests.support.rooms import demand, known_spaces, mint, rows, services_at

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
    worker = _MintWorker(services, run_context, demand(), mint_run, [], MintTally(ALL), 1)
    clock.advance(100)
    ages = {ALL[0]: 0.0, ALL[1]: oldest}
    batch = [
        _Staged(PendingMint(model_id, f"lnk_{model_id}"), MintJob((model_id,)), clock.monotonic() - age)
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


# -------------------------------------------------------------------------------- refusals and lost responses


class Answers:
    """Answers every mint of some models with one verdict, and all others as the emulator does."""

    def __init__(self, services: Services, clock: FakeClock, verdicts: dict[str, NotMade | Unknown]) -> None:
        self._mint = services.client.mint
        self._clock = clock
        self._verdicts = verdicts
        self.asked_at: dict[str, list[float]] = {}

    def mint(self, requests: list[MintRequest]) -> list[MintVerdict]:
        for request in requests:
            self.asked_at.setdefault(request.model_id, []).append(self._clock.monotonic())
        known = self._mint([request for request in requests if request.model_id not in self._verdicts])
        made = iter(known)
        return [self._verdicts.get(request.model_id) or next(made) for request in requests]

    def pauses(self, model_id: str) -> list[float]:
        times = self.asked_at[model_id]
        return [later - earlier for earlier, later in pairwise(times)]


def mint_against(
    services: Services, clock: FakeClock, verdicts: dict[str, NotMade | Unknown]
) -> tuple[Answers, MintResult]:
    """Mint for two models without jitter."""
    api = Answers(services, clock, verdicts)
    with (
        mock.patch.object(services.client, "mint", api.mint),
        mock.patch("pme_airflow.lifecycle.mint_worker.random.uniform", side_effect=lambda low, high: high) as jitter,
    ):
        outcome = mint(services, "run", ALL[:2])
    assert {tuple(call.args) for call in jitter.call_args_list} == {(0.5, 1.0)}
    return api, outcome


def test_a_model_that_is_refused_is_tried_fifteen_times_a_second_apart_at_most(
    services: Services, clock: FakeClock
) -> None:
    api, outcome = mint_against(services, clock, {ALL[0]: NotMade(PMEModelError("busy"), resend=True)})
    assert api.pauses(ALL[0]) == pytest.approx([0.25, 0.5, *[1.0] * 12], abs=0.03)
    assert [failure.model_id for failure in outcome.failures] == [ALL[0]]
    assert [item["model_id"] for item in outcome.items] == [ALL[1]]


def test_models_that_are_refused_together_are_sent_together_again(
    services: Services, clock: FakeClock, world: World
) -> None:
    """An API in trouble is not sent more requests because the models of one would wait for times of their own."""
    models = known_spaces(world, 60)
    api = Answers(services, clock, {model_id: NotMade(PMEModelError("busy"), resend=True) for model_id in models})
    requests = []

    def counted(batch: list[MintRequest]) -> list[MintVerdict]:
        requests.append(len(batch))
        return api.mint(batch)

    with mock.patch.object(services.client, "mint", counted):
        mint(services, "run", models)
    assert sum(requests) == 60 * 15
    assert len(requests) <= 60 / 10 * 15 * 1.5


def test_a_model_that_is_refused_for_good_is_tried_once(services: Services, clock: FakeClock) -> None:
    api, outcome = mint_against(services, clock, {ALL[0]: NotMade(PMEModelError("gone"), resend=False)})
    assert api.pauses(ALL[0]) == []
    assert outcome.failures.total == 1


def test_a_refused_mint_is_sent_again_once_retry_after_has_passed(services: Services, clock: FakeClock) -> None:
    refused = NotMade(PMEModelError("busy"), resend=True, retry_after=7.0)
    assert mint_against(services, clock, {ALL[0]: refused})[0].pauses(ALL[0]) == pytest.approx([7.0] * 14, abs=0.03)


@pytest.mark.parametrize(("retry_after", "tries"), [(None, 20), (60.0, 6), (300.0, 2), (900.0, 1)])
def test_a_busy_api_is_waited_for_five_minutes_in_pauses_that_grow(
    services: Services, clock: FakeClock, retry_after: float | None, tries: int
) -> None:
    busy = NotMade(PMEUnavailableError("busy"), resend=True, retry_after=retry_after)
    api, outcome = mint_against(services, clock, {ALL[0]: busy})
    pauses = api.pauses(ALL[0])
    assert sum(pauses) <= 301
    assert len(pauses) + 1 == pytest.approx(tries, abs=2)
    if retry_after is None:
        assert pauses[:8] == pytest.approx([0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 20.0], abs=0.03)
    assert [failure.permanent for failure in outcome.failures] == [False]


def test_a_client_that_somebody_waits_for_gives_a_busy_api_up_after_its_deadline(
    services: Services, clock: FakeClock
) -> None:
    busy = NotMade(PMEUnavailableError("busy"), resend=True)
    with services.client.with_patience(10) as brief:
        api, outcome = mint_against(replace(services, client=brief), clock, {ALL[0]: busy})
    assert 3 < sum(api.pauses(ALL[0])) <= 10
    assert outcome.failures.total == 1


def test_an_api_that_counts_requests_by_the_minute_is_waited_for(services: Services, clock: FakeClock) -> None:
    busy = NotMade(PMEUnavailableError("busy"), resend=True)
    api = Answers(services, clock, {ALL[0]: busy})

    def minute(batch: list[MintRequest]) -> list[MintVerdict]:
        if clock.monotonic() > 60:
            api._verdicts.clear()
        return api.mint(batch)

    with mock.patch.object(services.client, "mint", minute):
        outcome = mint(services, "run", ALL[:2])
    assert [item["model_id"] for item in outcome.items] == ALL[:2]
    assert clock.monotonic() < 85


def test_a_lost_response_is_followed_by_a_longer_pause_each_time(services: Services, clock: FakeClock) -> None:
    api, outcome = mint_against(services, clock, {ALL[0]: Unknown("reset")})
    assert api.pauses(ALL[0]) == pytest.approx([0.5, 1.0, 2.0, 4.0], abs=0.03)
    assert outcome.lost == 5
    assert [item["model_id"] for item in outcome.items] == [ALL[1]]
