"""At most half of a long list is cleared at once."""

from __future__ import annotations

import pytest

from pme_airflow.lifecycle.clearing_guard import GUARDED_COUNT, clearing_refused, too_many


@pytest.mark.parametrize(
    ("going", "shown", "refused"),
    [(95, 100, True), (51, 100, True), (50, 100, False), (5, 9, True), (5, 10, False), (4, 4, False), (0, 0, False)],
)
def test_more_than_half_is_too_many_from_five_on(going: int, shown: int, refused: bool) -> None:
    assert too_many(going, shown) is refused
    assert GUARDED_COUNT == 5


def test_the_error_says_how_to_mean_it() -> None:
    error = clearing_refused(95, 100, "models of audience intranet")
    assert "95 of 100 models of audience intranet" in str(error)
    assert "allow_clearing: true" in str(error)
    assert error.permanent
