from __future__ import annotations

from pme_airflow.api.limiter import LocalRateLimit
from pme_airflow.api.settings import ClientSettings, limiter_of
from tests.support.clocks import FakeClock


def test_the_defaults_are_those_that_the_docs_name() -> None:
    defaults = ClientSettings()
    assert (defaults.batch_size, defaults.max_concurrency, defaults.grow_to) == (10, 8, None)
    assert (defaults.requests_per_second, defaults.timeout, defaults.deadline) == (None, 30.0, 120.0)


def test_a_limiter_starts_with_the_concurrency_and_grows_no_further_than_allowed() -> None:
    clock = FakeClock()
    for grow_to, most in ((None, 8), (32, 32), (4, 8)):
        limiter = limiter_of(ClientSettings(grow_to=grow_to), clock)
        assert (limiter.at_once, limiter.most) == (8, most)


def seconds_for(limiter_settings: ClientSettings, shared: LocalRateLimit | None, clock: FakeClock) -> float:
    limiter = limiter_of(limiter_settings, clock, shared)
    for _ in range(100):
        limiter.ended(limiter.start(), 200)
    return clock.monotonic()


def test_a_named_rate_is_kept_and_a_shared_one_takes_its_place() -> None:
    assert seconds_for(ClientSettings(), None, FakeClock()) == 0.0
    assert 9.0 < seconds_for(ClientSettings(requests_per_second=10), None, FakeClock()) < 11.0
    clock = FakeClock()
    assert 4.5 < seconds_for(ClientSettings(requests_per_second=1000), LocalRateLimit(20, clock), clock) < 5.5
