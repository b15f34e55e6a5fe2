"""Sweeping in virtual time an API that is busy, away or silent: how long it is waited for, and when a sweep ends."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from unittest import mock

import pytest
from sqlalchemy import update

from pme_airflow.api.client import PMEClient
from pme_airflow.api.outcomes import NotRevoked, RevokeVerdict
from pme_airflow.dev.emulator import World
from pme_airflow.ledger import flags
from pme_airflow.ledger.run_context import RunContext
from pme_airflow.ledger.tables import links
from pme_airflow.lifecycle.services import Services
from pme_airflow.lifecycle.sweep import SweepRequest, SweepResult, _answer
from pme_airflow.lifecycle.sweep import sweep as sweep_links
from pme_airflow.sealing import Sealer, fingerprint
from pme_airflow.secrets import AccessToken, SecretStr
from tests.conftest import MODELS, SECRET
from tests.support.clocks import FakeClock
from tests.support.rooms import known_spaces, mint, rows, services_at, sweep

ALL = list(MODELS)
BUSY = NotRevoked("busy")
AWAY = NotRevoked("not reached", sent=False)


@pytest.fixture
def clock(world: World) -> FakeClock:
    return FakeClock(world.now())


@pytest.fixture
def services(address: str, tmp_path: Path, clock: FakeClock) -> Iterator[Services]:
    made = services_at(address, f"sqlite:///{tmp_path}/ledger.db", SECRET, clock)
    made.database.prepare()
    yield made
    made.client.close()


class Api:
    """Answers revocations with the given verdicts, and then as the emulator does."""

    def __init__(self, services: Services, clock: FakeClock, verdicts: Sequence[NotRevoked]) -> None:
        self._revoke = services.client.revoke
        self._clock = clock
        self._verdicts = list(verdicts)
        self.batches: list[list[str]] = []
        self.asked_at: list[float] = []

    def revoke(self, tokens: Sequence[AccessToken]) -> Sequence[RevokeVerdict]:
        self.batches.append([fingerprint(token) for token in tokens])
        self.asked_at.append(self._clock.monotonic())
        return [self._verdicts.pop(0)] * len(tokens) if self._verdicts else self._revoke(tokens)


def leak_and_sweep(services: Services, clock: FakeClock, verdicts: Sequence[NotRevoked]) -> tuple[Api, SweepResult]:
    """Flag one link, and sweep it."""
    mint(services, "run", ALL[:1])
    with services.database.write(RunContext("cli")) as tx:
        flags.flag(tx, "leaked", models=ALL[:1])
    api = Api(services, clock, verdicts)
    with mock.patch.object(services.client, "revoke", api.revoke):
        return api, sweep(services)


def test_a_leak_never_shares_a_request_with_a_retirement(services: Services, clock: FakeClock) -> None:
    items = mint(services, "run", ALL[:6]).items
    leaked, retired = [{item["fingerprint"] for item in items[index::2]} for index in (0, 1)]
    with services.database.write(RunContext("cli")) as tx:
        tx.execute(update(links).where(links.c.fingerprint.in_(retired)).values(retire_at=clock.now()))
        flags.flag(tx, "leaked", fingerprints=sorted(leaked))
    api = Api(services, clock, [])
    with mock.patch.object(services.client, "revoke", api.revoke):
        sweep(services)
    assert sorted(map(sorted, api.batches)) == sorted(map(sorted, (leaked, retired)))


def test_a_revocation_is_not_tried_before_retry_after_has_passed(services: Services, clock: FakeClock) -> None:
    api, result = leak_and_sweep(services, clock, [NotRevoked("busy", retry_after=40.0)])
    first, second = api.asked_at
    assert 40.0 <= second - first < 42.0
    assert result.revoked.total == 1


@pytest.mark.parametrize("verdict", [NotRevoked("false", denied=True), BUSY], ids=["denied", "unanswered"])
def test_links_that_are_refused_together_are_sent_together_again(
    services: Services, clock: FakeClock, world: World, verdict: NotRevoked
) -> None:
    models = known_spaces(world, 60)
    mint(services, "run", models)
    with services.database.write(RunContext("cli")) as tx:
        flags.flag(tx, "leaked", models=models)
    api = Api(services, clock, [verdict] * 18)
    with mock.patch.object(services.client, "revoke", api.revoke):
        assert sweep(services).revoked.total == 60
    assert len(api.batches) <= (18 + 6) * 1.5


def test_a_try_that_is_over_a_minute_away_is_left_to_the_next_sweep(services: Services, clock: FakeClock) -> None:
    api, result = leak_and_sweep(services, clock, [NotRevoked("busy", retry_after=61.0)])
    assert len(api.asked_at) == 1
    assert (result.revoked.total, result.pending) == (0, 1)
    clock.advance(61)
    assert sweep(services).revoked.total == 1


def test_a_try_that_is_a_minute_away_is_waited_for(services: Services, clock: FakeClock) -> None:
    api, result = leak_and_sweep(services, clock, [NotRevoked("busy", retry_after=60.0)])
    assert (len(api.asked_at), result.revoked.total) == (2, 1)


def test_a_sweep_ends_after_three_requests_in_a_row_that_reached_nothing(services: Services, clock: FakeClock) -> None:
    api, result = leak_and_sweep(services, clock, [AWAY, AWAY, BUSY, AWAY, AWAY, AWAY, AWAY])
    assert len(api.asked_at) == 6
    assert result.pending == 1
    assert [row.revoke_attempts for row in rows(services, "live")] == [0]


def test_a_sweep_ends_when_the_api_has_been_silent_for_two_minutes(services: Services, clock: FakeClock) -> None:
    api, result = leak_and_sweep(services, clock, [BUSY] * 200)
    assert result.pending == 1
    assert 115.0 < api.asked_at[-1] - api.asked_at[0] <= 125.0


def test_no_request_of_a_sweep_with_a_deadline_is_waited_for_longer_than_the_deadline(
    services: Services, clock: FakeClock
) -> None:
    mint(services, "run", ALL[:1])
    with services.database.write(RunContext("cli")) as tx:
        flags.flag(tx, "leaked", models=ALL[:1])
    waits: list[tuple[float, float]] = []
    revoke = PMEClient.revoke

    def noted(client: PMEClient, tokens: Sequence[AccessToken]) -> Sequence[RevokeVerdict]:
        waits.append((client.settings.timeout, client.settings.deadline))
        return revoke(client, tokens)

    with mock.patch.object(PMEClient, "revoke", noted):
        sweep_links(services, RunContext("cli"), SweepRequest(deadline=timedelta(seconds=10)))
    ((timeout, deadline),) = waits
    assert 0 < timeout <= 10
    assert 0 < deadline <= 10


def test_an_api_that_denies_is_not_silent(services: Services, clock: FakeClock) -> None:
    denied = NotRevoked("false", retry_after=50.0, denied=True)
    api, result = leak_and_sweep(services, clock, [denied] * 4)
    assert api.asked_at[-1] - api.asked_at[0] > timedelta(minutes=2).total_seconds()
    assert result.revoked.total == 1


def test_a_link_that_no_key_opens_is_named_and_tried_again_after_five_minutes(
    services: Services, clock: FakeClock, world: World
) -> None:
    mint(services, "run", ALL[:1])
    with services.database.write(RunContext("cli")) as tx:
        flags.flag(tx, "leaked", models=ALL[:1])
    result = sweep(replace(services, sealer=Sealer.of_connection(SecretStr("another secret"))))
    (row,) = result.unopened
    assert set(result.reasons) == {row.link_id}
    (after,) = rows(services, "live")
    assert (row.link_id, after.revoke_attempts, after.next_attempt_at) == (
        after.link_id, 0, clock.now() + timedelta(minutes=5),
    )  # fmt: skip
    assert not result.promise_kept
    clock.advance(299)
    assert sweep(services).revoked.total == 1  # within a minute of its time it is waited for
    assert world.alive() == []


@pytest.mark.parametrize(
    ("verdict", "attempts", "unanswered", "seconds"),
    [
        (NotRevoked("false", denied=True), 0, 9, 0.25),
        (NotRevoked("false", denied=True), 3, 0, 2.0),
        (NotRevoked("false", denied=True), 5, 0, 8.0),
        (NotRevoked("false", denied=True), 6, 0, 15.0),
        (NotRevoked("false", denied=True), 50, 0, 15.0),
        (NotRevoked("false", retry_after=40.0, denied=True), 0, 0, 40.0),
        (BUSY, 9, 0, 0.25),
        (BUSY, 0, 3, 2.0),
        (BUSY, 0, 4, 2.5),
        (BUSY, 0, 50, 2.5),
        (NotRevoked("busy", retry_after=1.0), 0, 0, 1.0),
    ],
)
def test_the_wait_doubles_with_each_denial_of_a_link_and_each_silence_of_the_api(
    services: Services, verdict: NotRevoked, attempts: int, unanswered: int, seconds: float
) -> None:
    mint(services, "run", ALL[:1])
    (row,) = rows(services)
    answer = _answer(replace(row, revoke_attempts=attempts), verdict, unanswered, 0.5)
    assert (answer.wait, answer.counts, answer.reason) == (
        timedelta(seconds=seconds), verdict.denied, verdict.reason
    )  # fmt: skip


def test_links_that_are_settled_together_wait_as_long_as_each_other(services: Services, clock: FakeClock) -> None:
    with mock.patch("pme_airflow.lifecycle.sweep.random.uniform", side_effect=lambda low, high: high) as jitter:
        leak_and_sweep(services, clock, [BUSY])
    assert {tuple(call.args) for call in jitter.call_args_list} == {(0.5, 1.0)}
