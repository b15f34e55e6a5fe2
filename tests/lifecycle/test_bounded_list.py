"""A long list keeps its first entries and counts all."""

from __future__ import annotations

import pytest

from pme_airflow.lifecycle import bounded_list
from pme_airflow.lifecycle.bounded_list import MAX_ENTRIES, BoundedList


def test_entries_beyond_the_limit_are_counted_and_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded_list, "MAX_ENTRIES", 3)
    numbers: BoundedList[int] = BoundedList()
    numbers.append(1)
    numbers.extend(iter([2, 3, 4, 5]))
    assert numbers == [1, 2, 3]
    assert numbers.total == 5


def test_an_empty_list_is_false() -> None:
    assert not BoundedList()
    assert BoundedList().total == 0


def test_an_xcom_is_no_place_for_more_than_a_thousand() -> None:
    assert MAX_ENTRIES == 1000
