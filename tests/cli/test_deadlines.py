"""How long a command goes on without a confirmation, counted from the start of its process."""

from __future__ import annotations

from datetime import timedelta

import pytest

from pme_airflow.cli import deadlines
from pme_airflow.cli.deadlines import MAX_WAIT, interactive_deadline


@pytest.mark.parametrize(
    ("loading", "seconds"), [(0.0, 7.0), (4.0, 7.0), (6.0, 5.0), (8.0, 3.0), (8.6, 2.5), (60.0, 2.5)]
)
def test_what_loading_took_is_taken_off_down_to_a_least_wait(
    monkeypatch: pytest.MonkeyPatch, loading: float, seconds: float
) -> None:
    monkeypatch.setattr(deadlines, "_STARTED", 100.0)
    monkeypatch.setattr(deadlines.time, "monotonic", lambda: 100.0 + loading)
    assert interactive_deadline() == timedelta(seconds=seconds)
    assert timedelta(seconds=7) == MAX_WAIT
