"""Calls of Slack's methods are spaced by its tiers once it has refused one of them, and not before."""

from __future__ import annotations

import pytest

from pme_airflow.targets.slack_tiers import MethodTiers
from tests.support.clocks import FakeClock


@pytest.mark.parametrize(
    ("method", "seconds"), [("chat.postMessage", 1.0), ("chat.update", 1.2), ("conversations.list", 3.0)]
)
def test_calls_of_a_refused_method_are_spaced_evenly(method: str, seconds: float) -> None:
    clock = FakeClock()
    tiers = MethodTiers(clock)
    for _ in range(100):
        tiers.wait(method)
    assert clock.slept == 0
    tiers.refused(method)
    for _ in range(11):
        tiers.wait(method)
    assert clock.slept == pytest.approx(10 * seconds, rel=0.05)
    tiers.refused(method)  # the spacing goes on
    tiers.wait(method)
    assert clock.slept == pytest.approx(11 * seconds, rel=0.05)


def test_other_methods_are_not_slowed_down() -> None:
    clock = FakeClock()
    tiers = MethodTiers(clock)
    for method in ("chat.update", "auth.test"):
        tiers.refused(method)
    for _ in range(10):
        tiers.wait("chat.delete")
        tiers.wait("auth.test")
    assert clock.slept == 0


@pytest.mark.parametrize(
    ("method", "per_minute"),
    [
        ("chat.postMessage", 60), ("chat.update", 50), ("chat.delete", 50), ("conversations.history", 50),
        ("conversations.info", 50), ("conversations.list", 20),
    ],
)  # fmt: skip
def test_each_method_has_the_tier_that_slack_documents(method: str, per_minute: int) -> None:
    clock = FakeClock()
    tiers = MethodTiers(clock)
    tiers.refused(method)
    for _ in range(3):
        tiers.wait(method)
    before = clock.slept
    tiers.wait(method)
    assert clock.slept - before == pytest.approx(60 / per_minute / 0.97, rel=0.001)  # 3 % slower than the tier
