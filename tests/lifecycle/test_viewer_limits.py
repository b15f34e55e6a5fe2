"""Limits of requests and mints: for a user, for a model and in all."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest

from pme_airflow.errors import PMEInputError
from pme_airflow.lifecycle.viewer_limits import MintLimits, TooManyRequests, ViewerLimits


def refusals(limits: ViewerLimits, mints: list[tuple[str, str]]) -> list[bool]:
    refused = []
    for user, model in mints:
        seconds = 0
        try:
            limits.mint(user, model)
        except TooManyRequests as error:
            seconds = error.seconds
        assert 0 <= seconds <= 61
        refused.append(seconds > 0)
    return refused


def test_mints_are_limited_for_a_user_a_model_and_in_all() -> None:
    limits = ViewerLimits(5, MintLimits(user=2, model=3, total=5))
    asked = [("a", "m"), ("a", "m"), ("a", "n"), ("b", "m"), ("c", "m"), ("c", "n"), ("d", "n"), ("e", "o")]
    assert refusals(limits, asked) == [False, False, True, False, True, False, False, True]


def test_a_refused_mint_counts_for_nothing() -> None:
    limits = ViewerLimits(5, MintLimits(user=1, model=2, total=9))
    assert refusals(limits, [("a", "m"), *[("a", "m")] * 5, ("b", "m")]) == [False, *[True] * 5, False]


def test_requests_of_one_user_are_no_other_users() -> None:
    limits = ViewerLimits(1, MintLimits())
    limits.request("a")
    limits.request("b")
    with pytest.raises(TooManyRequests):
        limits.request("a")


@pytest.mark.parametrize("limit", [0, -1, 1.5, True, "3"])
def test_a_limit_that_is_no_number_is_named(limit: Any) -> None:
    with pytest.raises(PMEInputError, match=r"mint_limits\.model"):
        MintLimits(model=limit)


def test_the_usual_limits_of_a_minute() -> None:
    assert MintLimits() == MintLimits(user=10, model=300, total=600)
    assert MintLimits(1, 1, 1).total == 1


def test_who_asks_too_often_is_named_the_second_from_which_to_ask_again(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = ViewerLimits(1, MintLimits())
    limits.request("a")
    for later, seconds in ((0.0, 60), (59.9, 1)):
        now = time.time() + later
        monkeypatch.setattr("pme_airflow.lifecycle.viewer_limits.time", SimpleNamespace(time=lambda now=now: now))
        with pytest.raises(TooManyRequests) as refused:
            limits.request("a")
        assert abs(refused.value.seconds - seconds) <= 1
        assert refused.value.seconds >= 1
