"""The retry policy, in virtual time: how long it pauses, and when it gives up."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import pytest
import requests
import requests_mock as mocking

from pme_airflow.api.client import PMEClient
from pme_airflow.api.outcomes import Made, NoResponse, NotMade, Refusal, RefusalKind
from pme_airflow.api.retry import Attempt, RetryPolicy
from pme_airflow.errors import PMEUnavailableError, PMEUnreachableError
from tests.api.scripted import GRAPH, made, requests_for
from tests.support.clocks import FakeClock


def attempt(kind: RefusalKind = RefusalKind.RETRY_LATER, retry_after: float | None = None) -> Attempt:
    return Attempt(NoResponse(False, "x"), Refusal(kind, PMEUnavailableError("busy"), retry_after))


def pauses(last: Attempt, deadline: float = 120.0, cost: float = 0.0) -> list[float]:
    """The pauses between attempts that are all like ``last``, each of which takes ``cost`` seconds."""
    clock, found = FakeClock(), []

    def one() -> Attempt:
        found.append(clock.slept)
        clock.advance(cost)
        return last

    assert RetryPolicy(deadline, clock).run(one, lambda _: len(found) < 200) is last
    return [later - earlier for earlier, later in pairwise(found)]


def test_pauses_double_up_to_twenty_seconds_with_jitter() -> None:
    for index, pause in enumerate(pauses(attempt())):
        backoff = min(0.4 * 2**index, 20.0)
        assert backoff / 2 <= pause <= backoff


@pytest.mark.parametrize("jitter", [0.5, 1.0])
def test_the_jitter_is_up_to_half_of_a_pause_and_a_tenth_of_that_behind_retry_after(
    jitter: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    bounds = []

    def uniform(*ends: float) -> float:
        bounds.append(ends)
        return jitter

    monkeypatch.setattr("pme_airflow.api.retry.random.uniform", uniform)
    backoffs = [0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 20.0, 20.0, 20.0, 20.0, 20.0, 20.0, 20.0]
    assert pauses(attempt(), 300.0)[:13] == pytest.approx([jitter * backoff for backoff in backoffs])
    assert pauses(attempt(retry_after=17.0))[:2] == pytest.approx([17 + jitter * 0.04, 17 + jitter * 0.08])
    assert set(bounds) == {(0.5, 1.0)}


@pytest.mark.parametrize(("deadline", "count"), [(0.0, 0), (0.39, 0), (0.4, 1), (1.19, 1), (1.21, 2)])
def test_an_attempt_may_start_at_the_deadline_and_none_behind_it(
    deadline: float, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pme_airflow.api.retry.random.uniform", lambda *_: 1.0)
    assert len(pauses(attempt(), deadline)) == count


def test_the_last_attempt_starts_before_the_deadline() -> None:
    for deadline in (0.5, 10.0, 120.0):
        assert deadline * 0.3 < sum(pauses(attempt(), deadline)) <= deadline


def test_the_time_that_attempts_take_counts_towards_the_deadline() -> None:
    assert len(pauses(attempt(), 120.0, cost=30.0)) <= 3


def test_no_attempt_of_any_run_starts_after_the_end_that_was_set() -> None:
    clock = FakeClock()
    policy = RetryPolicy(120.0, clock)
    policy.end_at(5.0)
    for _ in range(3):
        policy.run(attempt, lambda _: True)
    assert 2.0 < clock.monotonic() <= 5.0


def test_retry_after_is_the_pause_with_a_little_jitter() -> None:
    first, *_ = pauses(attempt(retry_after=17.0))
    assert 17.0 < first <= 17.0 + 0.4 * 0.1
    assert pauses(attempt(retry_after=121.0)) == []


@pytest.mark.parametrize("kind", [RefusalKind.RENEW_TOKEN, RefusalKind.OTHER_MUTATION_NAMES])
def test_what_only_needs_another_token_or_name_is_repeated_at_once(kind: RefusalKind) -> None:
    assert set(pauses(attempt(kind))) == {0.0}


def test_the_first_final_attempt_is_returned() -> None:
    attempts: Iterator[Attempt] = iter([attempt(), attempt(), Attempt(NoResponse(True, "lost"), None)])
    last = RetryPolicy(120, FakeClock()).run(lambda: next(attempts), lambda last: last.refusal is not None)
    assert last.refusal is None


def test_retry_after_is_waited_for(scripted: PMEClient, api: mocking.Mocker, clock: FakeClock) -> None:
    api.post(GRAPH, [{"status_code": 429, "headers": {"Retry-After": "17"}}, made()])
    (verdict,) = scripted.mint(requests_for(1))
    assert isinstance(verdict, Made)
    assert 17 <= clock.slept < 25


def test_a_busy_server_is_given_up_at_the_deadline(scripted: PMEClient, api: mocking.Mocker, clock: FakeClock) -> None:
    api.post(GRAPH, status_code=503, headers={"Retry-After": "30"})
    (verdict,) = scripted.mint(requests_for(1))
    assert isinstance(verdict, NotMade)
    assert type(verdict.error) is PMEUnavailableError
    assert verdict.resend
    assert 90 <= clock.slept <= scripted.settings.deadline


def test_an_unreachable_api_is_an_error_of_its_own_type(
    scripted: PMEClient, api: mocking.Mocker, clock: FakeClock
) -> None:
    api.post(GRAPH, exc=requests.exceptions.ConnectTimeout)
    (verdict,) = scripted.mint(requests_for(1))
    assert isinstance(verdict, NotMade)
    assert isinstance(verdict.error, PMEUnreachableError)
    assert 60 < clock.slept <= scripted.settings.deadline
