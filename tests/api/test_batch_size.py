"""How many mutations one request holds."""

from __future__ import annotations

import pytest

from pme_airflow.api.batch_size import BatchSize


def test_a_size_that_may_not_grow_stays() -> None:
    for size in (BatchSize(10), BatchSize(10, None), BatchSize(10, 4)):
        size.accepted(10, 0.1)
        assert (size.next(), size.taken) == (10, 10)


def test_a_larger_size_is_tried_once_a_request_was_accepted() -> None:
    size = BatchSize(10, 25)
    assert size.next() == 10
    size.accepted(3, 0.1)
    assert (size.next(), size.taken) == (15, 10)


def test_sizes_grow_in_steps_to_the_largest() -> None:
    size = BatchSize(10, 22)
    seen = []
    for _ in range(5):
        seen.append(size.next())
        size.accepted(size.next(), 2.0)
    assert seen == [10, 15, 20, 22, 22]


def test_no_second_request_tries_a_larger_size_meanwhile() -> None:
    size = BatchSize(10, 25)
    size.accepted(10, 0.1)
    size.started(10)
    assert size.next() == 15
    size.started(15)
    size.started(10)
    size.ended(10)
    assert size.next() == 10
    size.ended(15)
    assert (size.next(), size.taken) == (15, 10)


def test_a_size_that_fewer_jobs_were_left_for_counts_as_far_as_it_went() -> None:
    size = BatchSize(10, 25)
    size.accepted(10, 0.1)
    size.started(12)
    size.accepted(12, 0.1)
    assert (size.taken, size.next()) == (12, 17)


@pytest.mark.parametrize("what", ["refused", "slow"])
def test_no_larger_size_is_tried_after_one_that_was_refused_or_slow(what: str) -> None:
    size = BatchSize(10, 25)
    size.accepted(10, 0.1)
    size.started(15)
    if what == "slow":
        size.accepted(15, 2.1)
    else:
        size.refused(15)
    size.ended(15)
    size.accepted(10, 0.1)
    assert (size.next(), size.taken) == (10, 10)


def test_a_size_that_is_refused_later_is_given_up_for_the_first_one() -> None:
    size = BatchSize(10, 25)
    for count in (10, 15, 20):
        size.accepted(count, 0.1)
    size.refused(20)
    assert (size.taken, size.next()) == (10, 10)
    size.accepted(20, 0.1)  # one that was in flight
    assert (size.taken, size.next()) == (10, 10)


@pytest.mark.parametrize("count", [1, 10])
def test_a_refusal_of_the_first_size_or_less_changes_nothing(count: int) -> None:
    size = BatchSize(10, 25)
    size.accepted(10, 0.1)
    size.accepted(15, 0.1)
    size.refused(count)
    assert (size.taken, size.next()) == (15, 20)


@pytest.mark.parametrize(("seconds", "taken"), [(10.0, 20), (10.1, 10)])
def test_a_size_that_was_taken_is_given_up_where_it_becomes_slow(seconds: float, taken: int) -> None:
    size = BatchSize(10, 25)
    for count in (10, 15, 20):
        size.accepted(count, 0.1)
    size.accepted(20, seconds)
    assert size.taken == taken
    assert size.next() == taken + (5 if taken == 20 else 0)


def test_a_slow_request_of_the_first_size_changes_nothing() -> None:
    size = BatchSize(10, 25)
    size.accepted(10, 60)
    assert (size.taken, size.next()) == (10, 15)
