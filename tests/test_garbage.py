"""The garbage collector's threshold: raised during runs, restored after the last one, and left where it is no default."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from pme_airflow.garbage import fewer_collections


@pytest.fixture(autouse=True)
def _threshold() -> Iterator[None]:
    before = gc.get_threshold()
    gc.set_threshold(700, 11, 12)
    yield
    gc.set_threshold(*before)


def test_the_threshold_is_restored_after_the_last_run_and_after_an_error() -> None:
    first = fewer_collections()
    first.__enter__()
    raised = gc.get_threshold()
    assert raised[0] > 10_000
    assert raised[1:] == (11, 12)
    with pytest.raises(ZeroDivisionError), fewer_collections():
        _ = 1 / 0
    assert gc.get_threshold() == raised
    first.__exit__(None, None, None)
    assert gc.get_threshold() == (700, 11, 12)


@pytest.mark.parametrize("threshold", [0, 50_000])
def test_a_collector_that_is_off_or_runs_less_often_is_left_alone(threshold: int) -> None:
    gc.set_threshold(threshold, 11, 12)
    with fewer_collections():
        assert gc.get_threshold() == (threshold, 11, 12)
    assert gc.get_threshold() == (threshold, 11, 12)


def test_a_threshold_that_was_set_during_a_run_stays() -> None:
    with fewer_collections():
        gc.set_threshold(900, 11, 12)
    assert gc.get_threshold() == (900, 11, 12)
