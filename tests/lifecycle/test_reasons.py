"""Reasons are stored without tokens."""

from __future__ import annotations

import pytest

from pme_airflow.lifecycle.reasons import stored_reason

TOKEN = "k3f9x0a8q7w6e5r4t3y2u1i0p"


@pytest.mark.parametrize("reason", [TOKEN, f"see Bearer+{TOKEN}", f"https://x/show?m=y&auth=Bearer%20{TOKEN}"])
def test_a_token_is_masked(reason: str) -> None:
    stored = stored_reason(reason, "default")
    assert TOKEN not in stored
    assert stored


def test_other_words_are_kept_and_an_empty_reason_is_the_default() -> None:
    assert stored_reason("  in ticket 4711 ", "default") == "in ticket 4711"
    assert stored_reason(" \n", "default") == "default"
