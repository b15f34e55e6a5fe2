"""How many slots are worked on at the same time, as users write it."""

from __future__ import annotations

import pytest

from pme_airflow.concurrency import read_at_once
from pme_airflow.errors import PMEInputError


@pytest.mark.parametrize("value", [1, 4, 32])
def test_whole_numbers_from_1_to_32_are_read(value: int) -> None:
    assert read_at_once(value) == value


@pytest.mark.parametrize("value", [0, -1, 33, 4.0, "4", True, None, [4]])
def test_anything_else_is_refused(value: object) -> None:
    with pytest.raises(PMEInputError, match=r"^at_once: give a whole number from 1 to 32$"):
        read_at_once(value)
